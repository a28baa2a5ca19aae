# SPDX-License-Identifier: Apache-2.0
"""How a model was trained, as a SLSA provenance statement about the model's root digest."""

import re
from collections.abc import Iterable, Mapping

import attrs

from lifeseal._io import Record, canonical
from lifeseal.attestation import Purpose, Statement, Subject
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.provenance._manifest import Manifest

BUILD_TYPE = "lifeseal:training/1"
BUILDER = "lifeseal:record-training/1"
_KIND = "lifeseal:kind"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_MAX_URI = 4096


@attrs.frozen(kw_only=True)
class Code:
    """The program that trained.

    Attributes:
        uri: Where its repository is.
        commit: The commit, 40 or 64 lower-case hexadecimal digits.
    """

    uri: str
    commit: str

    def __attrs_post_init__(self) -> None:
        if not self.uri.strip() or len(self.uri) > _MAX_URI:
            raise ValueError("uri= says where the code is, in at most 4096 characters")
        if not _COMMIT.fullmatch(self.commit):
            raise ValueError(f"commit= takes 40 or 64 lower-case hexadecimal digits, not {self.commit[:80]!r}")


@attrs.frozen(kw_only=True)
class Input:
    """Something that a training used.

    Attributes:
        kind: ``dataset``, ``model`` or ``code``; ``other`` where another program wrote the statement.
        name: What it is called.
        uri: Where it came from; empty if that is not said.
        digest: ``sha256:`` and 64 hexadecimal digits; empty for code.
    """

    kind: str
    name: str
    uri: str
    digest: str


@implements(
    "8.2",
    "8.2.1",
    "5.2",
    evidences=("8.1.1",),
    limits="It states what the training script says it used; nobody watched the training, and input that is not named is not known.",
)
def record_training(subject: Subject, *, inputs: Iterable[Manifest | Subject], parameters: Mapping[str, object], code: Code) -> Statement:
    """State what a model was trained on, from which models, with which parameters and code.

    Sign it with `attestation.sign_statement`; its purpose is ``training``.

    Args:
        subject: The model: name and root digest, as a `signing` verification or bundle gives them.
        inputs: Manifests of datasets, and subjects of models that were the starting point.
        parameters: Whatever set the training up; JSON values.
        code: The program.

    Returns:
        The statement: SLSA provenance v1.

    Raises:
        LimitError: The statement would be too large to be read back.
        ValueError: There are no inputs, or a parameter is no JSON value.

    Source: SLSA v1.0, provenance, "Model".
    """
    materials = [_material(item) for item in inputs]
    if not materials:
        raise ValueError("inputs= names at least one dataset or model")
    try:
        canonical(dict(parameters))
    except TypeError as error:
        raise ValueError(f"parameters= holds JSON values: {error}") from None
    materials.append({"uri": code.uri, "digest": {"gitCommit": code.commit}, "annotations": {_KIND: "code"}})
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"parameters": dict(parameters)},
            "internalParameters": {},
            "resolvedDependencies": materials,
        },
        "runDetails": {"builder": {"id": BUILDER}, "metadata": {}},
    }
    note(subject=subject.digest, inputs=len(materials))
    statement = Statement(subjects=(subject,), predicate_type=Purpose.TRAINING.predicate_type, predicate=predicate)
    statement.to_bytes()
    return statement


def _material(item: Manifest | Subject) -> dict[str, object]:
    if isinstance(item, Manifest):
        found = {"name": item.description.name, "uri": item.description.source, "digest": {"sha256": item.sha256.hex()}}
        return {**found, "annotations": {_KIND: "dataset"}}
    return {"name": item.name, "digest": {"sha256": item.sha256.hex()}, "annotations": {_KIND: "model"}}


def training_inputs(statement: Statement) -> tuple[Input, ...]:
    """Read what a training used, from a SLSA provenance statement of ours or of another program.

    Args:
        statement: The statement.

    Returns:
        Its resolved dependencies that have a SHA-256 or a URI.

    Raises:
        FormatError: It is no SLSA provenance v1 statement.
    """
    if statement.predicate_type != Purpose.TRAINING.predicate_type:
        raise FormatError("statement", f"predicate type {Purpose.TRAINING.predicate_type!r} was expected, not {statement.predicate_type[:120]!r}")
    where = "statement, predicate"
    definition = Record(Record(statement.predicate, where=where).take("buildDefinition"), where=f"{where}, 'buildDefinition'")
    found = definition.take_list("resolvedDependencies") if "resolvedDependencies" in definition else []
    return tuple(_input(Record(item, where=definition.at("resolvedDependencies"))) for item in found)


def _input(record: Record) -> Input:
    texts = {name: record.take_str(name) if name in record else "" for name in ("name", "uri")}
    digests = record.take_record("digest") if "digest" in record else None
    sha256 = digests.take_hex("sha256", length=32) if digests is not None and "sha256" in digests else None
    annotations = record.take("annotations") if "annotations" in record else None
    kind = annotations.get(_KIND, "other") if isinstance(annotations, dict) else "other"
    return Input(kind=str(kind), digest="" if sha256 is None else f"sha256:{sha256.hex()}", **texts)
