# SPDX-License-Identifier: Apache-2.0
"""SLSA provenance in an in-toto statement: what a dataset was made from, for tools that follow supply chains."""

from lifeseal.attestation import Purpose, Statement, Subject
from lifeseal.provenance._description import description_to_json
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._uris import as_uri

BUILD_TYPE = "lifeseal:recording/1"
_BUILDER = "lifeseal:record/1"
_KIND, _STEP = "lifeseal:kind", "lifeseal:step"


def slsa(manifest: Manifest) -> bytes:
    """Write what a dataset was made from.

    Args:
        manifest: Of the dataset; its digest is the subject.

    Returns:
        An in-toto statement, not signed.

    Raises:
        LimitError: The statement would be too large to be read back.

    Source: SLSA v1.0, provenance, "Model"; in-toto Attestation Framework v1.
    """
    about = manifest.description
    materials: list[dict[str, object]] = [
        {"digest": {"sha256": origin.digest.partition(":")[2]}, "annotations": {_KIND: "dataset"} | ({_STEP: origin.step} if origin.step else {})}
        for origin in manifest.derived_from
    ]
    pinned = {url: url.partition("@")[2].partition("/")[0] for url in manifest.pinned}
    materials += [{"uri": as_uri(url), "digest": {"gitCommit": commit}, "annotations": {_KIND: "source"}} for url, commit in pinned.items()]
    materials.append({"uri": as_uri(about.source), "annotations": {_KIND: "source"}})
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"description": description_to_json(about)},
            "internalParameters": {"files": str(len(manifest.files)), "bytes": str(manifest.size), "records": str(manifest.records)},
            "resolvedDependencies": materials,
        },
        "runDetails": {"builder": {"id": _BUILDER}, "metadata": {}},
    }
    subject = Subject(name=about.name, sha256=manifest.sha256)
    return Statement(subjects=(subject,), predicate_type=Purpose.TRAINING.predicate_type, predicate=predicate).to_bytes()
