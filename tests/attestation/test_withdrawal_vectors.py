# SPDX-License-Identifier: Apache-2.0
"""Lists of withdrawals that every release must judge alike: tests/vectors/withdrawals."""

import json
from pathlib import Path

import pytest

from lifeseal import errors
from lifeseal.attestation import Bundle, Purpose, TrustedCertificates, TrustedKey, Withdrawals, open_statement

HERE = Path(__file__).parent.parent / "vectors/withdrawals"
VECTORS = json.loads((HERE / "vectors.json").read_text())["vectors"]


def judge(vector):
    found = Withdrawals.load(HERE / vector["list"], policy=TrustedKey.from_file(HERE / "lister.pub"))
    if "artefact" in vector:
        found.check_artefact(vector["artefact"])
    if "signature" in vector:
        trust = HERE / vector["trust"]
        policy = TrustedKey.from_file(trust) if trust.suffix == ".pub" else TrustedCertificates.from_files([trust])
        open_statement(Bundle.load(HERE / vector["signature"]), policy=policy, purpose=Purpose.MODEL, withdrawals=found)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["why"])
def test_judges_as_the_vector_says(vector):
    if vector["must"] == "accept":
        judge(vector)
        return
    with pytest.raises(errors.LifesealError) as caught:
        judge(vector)
    assert type(caught.value).__name__ == vector["must"]
    assert vector["place"] in str(caught.value)


def test_every_file_is_in_a_vector_and_every_refusal_says_where():
    there = {str(path.relative_to(HERE)) for folder in ("lists", "signatures") for path in (HERE / folder).iterdir()}
    assert {vector[name] for vector in VECTORS for name in ("list", "signature") if name in vector} == there
    assert all(vector["why"] for vector in VECTORS)
    assert all(vector["place"] for vector in VECTORS if vector["must"] != "accept")
