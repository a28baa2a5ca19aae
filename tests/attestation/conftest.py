# SPDX-License-Identifier: Apache-2.0
"""One signer, one signed bundle, for all tests of this folder."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal.attestation import KeySigner, Purpose, Statement, Subject, sign_statement


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def stranger():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def statement():
    return Statement(
        subjects=(Subject(name="m", sha256=bytes(range(32))),),
        predicate_type=Purpose.MODEL.predicate_type,
        predicate={"a": 1, "b": [True, None, "é"]},
    )


@pytest.fixture(scope="session")
def bundle(signer, statement):
    return sign_statement(statement, signer=signer)
