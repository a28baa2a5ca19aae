# SPDX-License-Identifier: Apache-2.0
"""The loopback Hub, judged by huggingface_hub itself, in a process whose environment names it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from lifeseal import serialization, testing


@pytest.fixture
def hub():
    with testing.hub() as running:
        yield running


@pytest.fixture
def ask(hub, tmp_path):
    """Run code with huggingface_hub that sees this Hub and no other; it prints one JSON document."""
    (tmp_path / "home").mkdir()

    def run(code, *arguments):
        environment = {**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        program = f"import json, sys\nfrom pathlib import Path\nfrom huggingface_hub import *\napi = HfApi()\n{code}"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout or "null")

    return run


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model"
    (found / "deep").mkdir(parents=True)
    serialization.save({"w": np.ones((64, 64), np.float32)}, found / "model.safetensors")
    (found / "config.json").write_text("{}")
    (found / "deep/a.txt").write_text("hi")
    (found / "README.md").write_text("---\nlicense: mit\n---\n# hi\n")
    return found


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_goes_up_and_comes_down_the_same(hub, ask, folder, tmp_path):
    commit = ask("api.create_repo('acme/tiny'); print(json.dumps(api.upload_folder(repo_id='acme/tiny', folder_path=sys.argv[1]).oid))", folder)
    kept = {path: data for path, data in hub.files("acme/tiny").items() if path != ".gitattributes"}
    assert kept == contents(folder)
    assert hub.files("acme/tiny", revision=commit) == hub.files("acme/tiny")
    snapshot = ask("print(json.dumps(snapshot_download('acme/tiny', local_dir='down')))")
    down = {path: data for path, data in contents(tmp_path / snapshot).items() if not path.startswith((".cache", ".git"))}
    assert down == kept
    assert "POST /api/repos/create" in hub.requests


def test_the_cache_links_to_blobs_named_by_their_digests(hub, ask, folder, tmp_path):
    commit = hub.add("acme/tiny", contents(folder))
    snapshot = ask("print(json.dumps(snapshot_download('acme/tiny')))")
    assert snapshot.endswith(f"models--acme--tiny/snapshots/{commit}")
    assert str(Path(snapshot, "model.safetensors").readlink()).startswith("../../blobs/")
    assert contents(tmp_path / snapshot) == contents(folder)


def test_what_clients_ask_is_answered(hub, ask, folder):
    commit = hub.add("acme/tiny", contents(folder))
    found = ask(
        """
print(json.dumps({
    "sha": api.model_info("acme/tiny").sha,
    "tree": [entry.path for entry in api.list_repo_tree("acme/tiny", recursive=True)],
    "parameters": sum(get_safetensors_metadata("acme/tiny").parameter_count.values()),
    "sizes": [entry.size for entry in api.get_paths_info("acme/tiny", ["config.json", "missing"])],
    "text": HfFileSystem().read_text("acme/tiny/deep/a.txt"),
    "who": api.whoami()["name"],
    "branches": [ref.name for ref in api.list_repo_refs("acme/tiny").branches],
    "exists": [api.repo_exists("acme/tiny"), api.repo_exists("acme/none")],
    "files": [api.file_exists("acme/tiny", "config.json"), api.file_exists("acme/tiny", "x")],
}))
"""
    )
    assert found == {
        "sha": commit,
        "tree": sorted(contents(folder)),
        "parameters": 4096,
        "sizes": [2],
        "text": "hi",
        "who": "acme",
        "branches": ["main"],
        "exists": [True, False],
        "files": [True, False],
    }


def test_commits_change_files_and_older_ones_stay(hub, ask, folder):
    first = hub.add("acme/tiny", contents(folder))
    second = ask(
        "api.delete_file('config.json', 'acme/tiny');"
        "print(json.dumps(api.upload_file(path_or_fileobj=b'x' * 5000, path_in_repo='new.bin', repo_id='acme/tiny').oid))"
    )
    assert set(hub.files("acme/tiny", revision=second)) == set(contents(folder)) - {"config.json"} | {"new.bin"}
    assert set(hub.files("acme/tiny", revision=first)) == set(contents(folder))
    old = ask("print(json.dumps(Path(hf_hub_download('acme/tiny', 'config.json', revision=sys.argv[1])).read_text()))", first)
    assert old == "{}"


def test_folders_go_repositories_stay_and_what_is_out_of_date_is_refused(hub, ask, folder):
    first = hub.add("acme/tiny", contents(folder))
    found = ask(
        """
from huggingface_hub.errors import HfHubHTTPError
api.create_repo("acme/tiny", exist_ok=True)
refusals = []
for refused in (
    lambda: api.create_repo("acme/tiny"),
    lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="y", repo_id="acme/tiny", parent_commit=sys.argv[1]),
):
    api.delete_folder("deep", "acme/tiny") if refusals else None
    try:
        refused()
    except HfHubHTTPError as error:
        refusals.append(error.response.status_code)
print(json.dumps(refusals))
""",
        first,
    )
    assert found == [409, 412]
    assert set(hub.files("acme/tiny")) == {name for name in contents(folder) if not name.startswith("deep/")}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/_lfs/" + "0" * 64, b"other", 400),
        ("/api/models/acme/m/commit/main", b'{"key": "unknown", "value": {}}', 400),
        ("/api/models/acme/m/commit/other", b"", 404),
        ("/nothing", b"", 404),
    ],
)
def test_what_makes_no_sense_is_refused(hub, path, body, status):
    hub.add("acme/m", {"a": b"a"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{hub.url}{path}", data=body)
    caught.value.close()
    assert caught.value.code == status


def test_datasets_have_a_place_of_their_own(hub, ask):
    ask(
        "api.create_repo('acme/data', repo_type='dataset');"
        "api.upload_file(path_or_fileobj=b'a,b', path_in_repo='train.csv', repo_id='acme/data', repo_type='dataset');"
    )
    assert hub.files("acme/data", kind="dataset")["train.csv"] == b"a,b"
    assert ask("print(json.dumps(Path(hf_hub_download('acme/data', 'train.csv', repo_type='dataset')).read_text()))") == "a,b"
    assert ask("print(json.dumps(api.repo_exists('acme/data')))") is False


def test_a_hub_that_was_broken_into_hands_out_other_bytes_under_the_same_names(hub, ask, folder):
    for name in ("acme/good", "acme/bad"):
        hub.add(name, contents(folder))
    hub.replace("acme/bad", "deep/a.txt", b"ho")
    check = "snapshot_download(sys.argv[1]); print(json.dumps([m['path'] for m in api.verify_repo_checksums(sys.argv[1]).mismatches]))"
    assert ask(check, "acme/good") == []
    assert ask(check, "acme/bad") == ["deep/a.txt"]


def test_a_range_is_answered_in_part(hub):
    hub.add("acme/tiny", {"a": b"0123456789"})
    request = urllib.request.Request(f"{hub.url}/acme/tiny/resolve/main/a", headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(request) as reply:
        assert (reply.status, reply.read(), reply.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
