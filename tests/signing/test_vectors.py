# SPDX-License-Identifier: Apache-2.0
"""Bundles that every release must judge alike: tests/vectors/oms."""

import json
from pathlib import Path

import pytest

from lifeseal import errors, signing
from lifeseal.attestation import TrustedKey

HERE = Path(__file__).parent.parent / "vectors/oms"
VECTORS = json.loads((HERE / "vectors.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: Path(vector["bundle"]).stem)
def test_judges_as_the_vector_says(vector):
    policy = TrustedKey.from_file(HERE / vector.get("key", "release.pub"))
    if vector["must"] == "verify":
        report = signing.verify(HERE / vector["model"], policy=policy, signature=HERE / vector["bundle"])
        assert report.signer.fingerprint == policy.fingerprint
        return
    with pytest.raises(errors.LifesealError) as caught:
        signing.verify(HERE / vector["model"], policy=policy, signature=HERE / vector["bundle"])
    assert type(caught.value).__name__ == vector["must"]
    assert vector["place"] in str(caught.value)


def test_every_bundle_is_a_vector_with_a_reason():
    assert {vector["bundle"] for vector in VECTORS} == {f"bundles/{path.name}" for path in (HERE / "bundles").iterdir()}
    assert all(vector["why"] for vector in VECTORS)
    assert all(vector["place"] for vector in VECTORS if vector["must"] != "verify")
