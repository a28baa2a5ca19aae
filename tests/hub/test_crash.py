# SPDX-License-Identifier: Apache-2.0
"""A dataset that is pulled out of the cache, stopped at every call: what has its name is whole, and what was acknowledged is there."""

import datetime as dt
import shutil

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from lifeseal import hub as hubs
from lifeseal import provenance
from lifeseal.errors import LifesealError

pytestmark = pytest.mark.crash
REPO = "acme/rows"
FILES = {"a.jsonl": b'{"n": 1}\n' * 2000, "deep/b.bin": bytes(range(256)) * 9}


@pytest.fixture(autouse=True)
def _able_machine():
    if not harness.able():
        pytest.skip(harness.WHY_SKIPPED)


@pytest.fixture
def operation(tmp_path, hub, signer):
    data, cache = tmp_path / "rows", tmp_path / "filled"
    for name, content in FILES.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    description = provenance.Description(name="rows", source="made here", obtained=dt.datetime.now(dt.UTC).replace(microsecond=0), licence="CC0-1.0")
    manifest = provenance.record(data, description=description, records=provenance.Records(leaves=tmp_path / "leaves"))
    hubs.push_data(data, REPO, manifest=manifest, signature=provenance.sign(manifest, signer=signer), endpoint=hub.url, token="hf_loopback")
    hubs.pull_data(REPO, tmp_path / "first", policy=signer.public, cache=cache, endpoint=hub.url, token="hf_loopback")

    def pull(folder):
        return hubs.pull_data(REPO, folder / "rows", policy=signer.public, cache=folder / "cache", offline=True)

    def check(folder, acknowledged):
        out = folder / "rows"
        torn = [name for name, content in FILES.items() if (out / "data" / name).exists() and (out / "data" / name).read_bytes() != content]
        if torn:
            return f"{torn} have their names without their content"
        try:
            found = provenance.verify(provenance.open_manifest(out / "lifeseal.manifest.json", policy=signer.public), out / "data")
        except (OSError, LifesealError) as error:
            return f"acknowledged and lost: {error}" if acknowledged else None
        return None if found.files == len(FILES) else f"{found.files} files are vouched for"

    def again(folder):
        shutil.rmtree(folder / "rows", ignore_errors=True)  # as the page says
        pull(folder)

    return harness.Operation(
        name="pull-data",
        prepare=lambda folder: shutil.copytree(cache, folder / "cache", symlinks=True),
        run=pull,
        check=check,
        next_write=again,
    )


def test_killed_at_any_call_it_is_old_or_new(operation, tmp_path):
    (tmp_path / "kills").mkdir()
    assert harness.kills(operation, tmp_path / "kills") == []


@pytest.mark.parametrize("error", harness.ERRORS)
def test_refused_at_any_call_it_is_old_or_new_and_clean(operation, error, tmp_path):
    (tmp_path / "refusals").mkdir()
    assert harness.errors(operation, tmp_path / "refusals", error) == []


def test_power_cut_at_any_call_keeps_what_was_acknowledged(operation, tmp_path):
    with mounted(KINDS[0], tmp_path) as disk:
        assert harness.cuts(operation, disk, flush=False) == []
