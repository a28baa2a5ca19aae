# SPDX-License-Identifier: Apache-2.0
"""A vault with two assets, and keys."""

import shutil
from pathlib import Path

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import disposal
from lifeseal.attestation import KeySigner
from lifeseal.erasure import FileRoot, Vault


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def stranger():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@attrs.frozen
class Desk:
    """A vault on disk; ``model`` is what lies sealed in it as ``model``; ``other`` has the same sizes."""

    place: Path
    vault: Vault
    model: Path

    @property
    def root(self):
        return FileRoot(self.place / "root")

    def reopen(self, place=None):
        place = place or self.place
        return Vault.open(place / "vault", root=FileRoot(place / "root"))

    def backup(self):
        copy = self.place / "backup"
        copy.mkdir()
        shutil.copytree(self.place / "vault", copy / "vault")
        shutil.copy2(self.place / "root", copy / "root")
        return copy


@pytest.fixture
def desk(tmp_path):
    model = tmp_path / "plain"
    model.mkdir()
    (model / "a").write_bytes(b"first")
    (model / "b").write_bytes(bytes(1000))
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(model, "model").close()
        (model / "a").write_bytes(b"other")
        vault.seal(model, "other").close()
        (model / "a").write_bytes(b"first")
        yield Desk(tmp_path, vault, model)


@pytest.fixture
def end(signer):
    """Dispose of assets of a vault, with what a test does not care about filled in."""

    def run(vault, names=("model",), **options):
        planned = options.pop("planned", None) or disposal.plan(vault, names, request=options.pop("request", ""))
        wanted = {"signer": signer, "sanitiser": "ops@example.org", "custodian": "records@example.org", "trigger": "decommission"}
        return disposal.dispose(planned, **{**wanted, **options})

    return run
