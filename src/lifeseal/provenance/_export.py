# SPDX-License-Identifier: Apache-2.0
"""A manifest in the formats that others read."""

from typing import Literal, TypeAlias, get_args

from lifeseal.principles import implements, note
from lifeseal.provenance._croissant import croissant
from lifeseal.provenance._cyclonedx import dataset_bom
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._slsa import slsa
from lifeseal.provenance._spdx import spdx

ExportFormat: TypeAlias = Literal["croissant", "cyclonedx", "spdx", "slsa"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)


@implements(
    evidences=("5.1", "8.1", "8.2"),
    limits="It restates the manifest, digests included; whoever reads it gets no more than the manifest's signer vouched for.",
)
def export(manifest: Manifest, format: ExportFormat, *, manifest_name: str = "manifest.json") -> bytes:  # noqa: A002 - the plain word for it
    """Write a manifest in another format, with its digests.

    Args:
        manifest: What to write.
        format: ``croissant`` (1.1), ``cyclonedx`` (1.7), ``spdx`` (3.0.1) or ``slsa`` (provenance v1 in an in-toto statement that nobody has
            signed).
        manifest_name: Where the manifest lies beside the export; Croissant names it.

    Returns:
        The document; equal manifests give equal bytes.

    Raises:
        LimitError: A statement of SLSA would be too large to be read back.
        ValueError: Another format.
    """
    if format not in EXPORT_FORMATS:
        raise ValueError(f"format must be one of {', '.join(EXPORT_FORMATS)}, not {format!r}")
    note(subject=manifest.digest, format=format)
    if format == "croissant":
        return croissant(manifest, manifest_name)
    return {"cyclonedx": dataset_bom, "spdx": spdx, "slsa": slsa}[format](manifest)
