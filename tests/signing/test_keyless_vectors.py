# SPDX-License-Identifier: Apache-2.0
"""Keyless and timestamped signatures that every release must judge alike: tests/vectors/keyless and tests/vectors/timestamps."""

import json
from pathlib import Path

import pytest

from lifeseal import errors, signing
from lifeseal.attestation import SigstoreTrust, TrustedCertificates, TrustedIdentity, TrustedKey

VECTORS = Path(__file__).parent.parent / "vectors"
KEYLESS, TIMESTAMPS = (json.loads((VECTORS / name / "vectors.json").read_text())["vectors"] for name in ("keyless", "timestamps"))


def judge(vector, folder, policy):
    def verify():
        return signing.verify(folder / "model", policy=policy, signature=folder / vector["bundle"])

    if vector["must"] == "verify":
        return verify()
    with pytest.raises(errors.LifesealError) as caught:
        verify()
    assert type(caught.value).__name__ == vector["must"]
    assert vector["place"] in str(caught.value)
    return None


def named(vector):
    return f"{Path(vector['bundle']).stem}: {vector['why']}"


@pytest.mark.parametrize("vector", KEYLESS, ids=named)
def test_judges_keyless_signatures_as_the_vector_says(vector):
    folder = VECTORS / "keyless"
    policy = TrustedIdentity(vector["identity"], vector["issuer"], SigstoreTrust.load(folder / vector["trust"]))
    report = judge(vector, folder, policy)
    assert report is None or report.signer.name == vector["identity"]


@pytest.mark.parametrize("vector", TIMESTAMPS, ids=named)
def test_judges_timestamped_signatures_as_the_vector_says(vector):
    folder = VECTORS / "timestamps"
    tsa = [folder / name for name in vector["tsa"]]
    bare = vector["signer"].endswith(".pub")
    signer = folder / vector["signer"]
    report = judge(vector, folder, TrustedKey.from_file(signer, tsa=tsa) if bare else TrustedCertificates.from_files([signer], tsa=tsa))
    if report is not None:
        assert (report.signer.time and report.signer.time.isoformat()) == vector["time"]
        assert any(vector["place"] in note for note in (*report.not_covered, ""))


@pytest.mark.parametrize(("name", "vectors"), [("keyless", KEYLESS), ("timestamps", TIMESTAMPS)])
def test_every_bundle_is_a_vector_with_a_reason(name, vectors):
    assert {vector["bundle"] for vector in vectors} == {f"bundles/{path.name}" for path in (VECTORS / name / "bundles").iterdir()}
    assert all(vector["why"] for vector in vectors)
    assert all(vector["place"] for vector in vectors if vector["must"] != "verify")
