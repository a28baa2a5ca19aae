# SPDX-License-Identifier: Apache-2.0
"""One key and one small model for all tests of this folder."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal.attestation import KeySigner

FILES = {"config.json": b"{}", "empty": b"", "weights/a.bin": b"a" * 3000, "weights/deep/b.bin": bytes(range(256)) * 8, "weights-2": b"2"}


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def stranger():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def policy(signer):
    return signer.public


@pytest.fixture
def model(tmp_path):
    """An unsigned folder."""
    folder = tmp_path / "model"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
