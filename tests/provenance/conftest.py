# SPDX-License-Identifier: Apache-2.0
"""A key, a stranger's key, and a small dataset."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import provenance
from lifeseal.attestation import KeySigner

FILES = {"a.csv": b"1,2\n", "deep/b.csv": b"3,4\n" * 1000, "deep/er/empty": b"", "z": b"\0"}


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def stranger():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def description():
    return provenance.Description(
        name="reviews",
        source="https://example.org/reviews",
        obtained=dt.datetime(2026, 11, 1, 12, 30, tzinfo=dt.UTC),
        licence="CC-BY-4.0",
    )


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def manifest(data, description):
    return provenance.record(data, description=description)
