# SPDX-License-Identifier: Apache-2.0
"""A Hub on loopback, a cache of its own, and a signed model."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import serialization, signing, testing
from lifeseal.attestation import KeySigner


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def hub():
    with testing.hub() as running:
        yield running


@pytest.fixture(autouse=True)
def without_xet(monkeypatch):
    """The Hub on loopback stores files as LFS; huggingface_hub reads this from the environment when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def places(hub, cache):
    """Where every call looks: this Hub, this cache, no other."""
    return {"cache": cache, "endpoint": hub.url, "token": "hf_loopback"}


@pytest.fixture
def folder(tmp_path, signer):
    found = tmp_path / "model"
    (found / "deep").mkdir(parents=True)
    serialization.save({"w": np.ones((64, 64), np.float32)}, found / "model.safetensors")
    (found / "config.json").write_text("{}")
    (found / "deep" / "a.txt").write_text("hi")
    signing.sign(found, signer=signer)
    return found


@pytest.fixture
def contents():
    def tell(folder):
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return tell
