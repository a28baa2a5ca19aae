# SPDX-License-Identifier: Apache-2.0
"""A signed model, opened."""

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import signing
from lifeseal.attestation import KeySigner


@pytest.fixture(scope="session")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def opened(signer):
    """Sign a folder, then open it; the files may be changed in between or after."""
    with contextlib.ExitStack() as stack:

        def sign_and_open(folder, **options):
            signing.sign(folder, signer=signer, **options)
            return stack.enter_context(signing.open_model(folder, policy=signer.public))

        yield sign_and_open
