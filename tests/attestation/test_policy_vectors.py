# SPDX-License-Identifier: Apache-2.0
"""Policy files that every release must judge alike: tests/vectors/policy."""

import json
from pathlib import Path

import pytest

from lifeseal import errors
from lifeseal.attestation import Bundle, PolicyFile, Purpose, open_statement

HERE = Path(__file__).parent.parent / "vectors/policy"
VECTORS = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))["vectors"]
SIGNED = [vector for vector in VECTORS if "signatures" in vector and vector["must"] == "accept"]
WHOLE = SIGNED[0]["policy"]


@pytest.fixture
def load(tmp_path):
    """Read a policy that lies beside the vectors' keys."""
    for path in HERE.rglob("*.p*"):
        place = tmp_path / path.relative_to(HERE)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())

    def load(text):
        (tmp_path / "policy.toml").write_text(text, encoding="utf-8")
        return PolicyFile.load(tmp_path / "policy.toml")

    return load


def judge(policy, vector):
    """Open what the vector signs; the clause that accepts it."""
    if "signatures" not in vector:
        return ""
    bundles = [Bundle.load(HERE / name) for name in vector["signatures"]]
    purpose = next(purpose for purpose in Purpose if purpose.word == vector["purpose"])
    return open_statement(bundles, policy=policy, purpose=purpose, where="bundle")[1].clause


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["why"])
def test_judges_as_the_vector_says(vector, load):
    if vector["must"] == "accept":
        assert vector["place"] in judge(load(vector["policy"]), vector)
        return
    with pytest.raises(errors.LifesealError) as caught:
        judge(load(vector["policy"]), vector)
    assert type(caught.value).__name__ == vector["must"]
    assert vector["place"] in str(caught.value)


def test_every_bundle_is_in_a_vector_and_every_refusal_says_where():
    assert {name for vector in VECTORS for name in vector.get("signatures", ())} == {f"bundles/{path.name}" for path in (HERE / "bundles").iterdir()}
    assert all(vector["why"] for vector in VECTORS)
    assert all(vector["place"] for vector in VECTORS if vector["must"] != "accept")


def test_a_part_of_a_policy_trusts_nobody_more(load):
    """A clause that is cut off is missing, or the file is refused; whoever remains was trusted by the whole."""
    whole = load(WHOLE)
    read = 0
    for cut in range(len(WHOLE)):
        try:
            policy = load(WHOLE[:cut])
        except (errors.FormatError, errors.LimitError):
            continue
        read += 1
        for vector in VECTORS:
            if vector["policy"] == WHOLE:
                accepted = [bool(accepts(one, vector)) for one in (policy, whole)]
                assert accepted[0] <= accepted[1], (cut, vector["why"])
    assert read


def accepts(policy, vector):
    try:
        return judge(policy, vector)
    except errors.UntrustedError:
        return ""
