# SPDX-License-Identifier: Apache-2.0
"""Vaults that an earlier release wrote: what is in them comes out, for ever."""

import shutil
from pathlib import Path

import pytest

from lifeseal.erasure import FileRoot, PassphraseRoot, Strength, Vault, check_structure
from lifeseal.errors import CredentialError, DestroyedError

VECTORS = Path(__file__).parents[1] / "vectors" / "vault-1"
WEIGHTS, CONFIG = bytes(range(256)) * 100, b'{"layers": 2}\n'


@pytest.fixture(params=["file", "passphrase", "moved"])
def kept(request, tmp_path):
    shutil.copytree(VECTORS, tmp_path / "kept")
    for path in (tmp_path / "kept").glob("*.root"):
        path.chmod(0o600)
    root = PassphraseRoot(b"correct horse battery staple") if request.param == "passphrase" else FileRoot(tmp_path / "kept" / f"{request.param}.root")
    return tmp_path / "kept" / request.param, root


def test_a_vault_of_format_1_is_read(kept, tmp_path, content_of):
    folder, root = kept
    check_structure(folder)
    with Vault.open(folder, root=root) as vault:
        assert [(info.name, info.slot, info.generation, info.state) for info in vault.assets()] == [
            ("classifier", 0, 1, "live"),
            ("one file", 1, 2, "live"),
            ("", 2, 1, "erased"),
        ]
        assert vault.verify().size == len(WEIGHTS) + 2 * len(CONFIG)
        vault.unseal("classifier", tmp_path / "out")
        vault.unseal("one file", tmp_path / "one")
        with pytest.raises(DestroyedError, match="erased at epoch"):
            vault.asset("forgotten")
    assert content_of(tmp_path / "out") == {"weights.bin": WEIGHTS, "deep/config.json": CONFIG}
    assert (tmp_path / "one").read_bytes() == CONFIG


def test_a_vault_that_moved_knows_its_earlier_holder(tmp_path):
    shutil.copytree(VECTORS, tmp_path / "kept")
    (tmp_path / "kept" / "moved.root").chmod(0o600)
    with Vault.open(tmp_path / "kept" / "moved", root=FileRoot(tmp_path / "kept" / "moved.root")) as vault:
        before, now = vault.info().holders
        assert (before.kind, before.fingerprint, before.place) == ("passphrase", "argon2id m=65536 t=3 p=4", "")
        assert (before.strength, before.retention, before.state) == (Strength.BEST_EFFORT, None, "destroyed")
        assert (before.since, before.until, before.when) == (1, 12, "2026-11-25T03:15:34.959997Z")
        assert (now.kind, now.since, now.until, now.state) == ("file", 13, 0, "in force")
        assert {info.name: info.assurance for info in vault.assets()}["classifier"] == f"{before.assurance} {now.assurance}"
        assert vault.erase(["classifier"]).holders[0] == before
        assert vault.info().pending == ()


def test_a_vault_of_format_1_is_written_to(kept, tmp_path):
    folder, root = kept
    (tmp_path / "more").write_bytes(b"more")
    with Vault.open(folder, root=root) as vault:
        assert vault.seal(tmp_path / "more", "forgotten").generation == 2
        vault.erase(["classifier"])
        vault.compact()
        vault.verify()


def test_the_roots_of_the_two_do_not_open_each_other():
    with pytest.raises(CredentialError, match="kind 'passphrase'"):
        Vault.open(VECTORS / "passphrase", root=FileRoot(VECTORS / "file.root"))
    with pytest.raises(CredentialError, match="kind 'file'"):
        Vault.open(VECTORS / "file", root=PassphraseRoot(b"correct horse battery staple"))
