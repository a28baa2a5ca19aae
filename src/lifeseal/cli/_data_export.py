# SPDX-License-Identifier: Apache-2.0
"""``data export``: a manifest in the formats that others read."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Output

if TYPE_CHECKING:
    from lifeseal.provenance import ExportFormat


@click.command(
    epilog=examples(
        "lifeseal data export reviews.json --format croissant --out croissant.json",
        "lifeseal data export reviews.json --format cyclonedx --out reviews.cdx.json",
    )
)
@click.argument("manifest", type=PATH)
@click.option(
    "--format",
    "chosen",
    required=True,
    type=click.Choice(["croissant", "cyclonedx", "spdx", "slsa"]),
    help="Croissant 1.1, CycloneDX 1.7, SPDX 3.0.1, SLSA provenance v1.",
)
@click.option("--out", required=True, type=PATH, help="Where the document goes. For Croissant, beside the data and the manifest.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@common
def export(output: Output, *, manifest: Path, chosen: str, out: Path, force: bool) -> None:
    """Write MANIFEST in another format, with its digests. Its signature is not looked at."""
    from lifeseal import provenance
    from lifeseal._io import replace

    if same_file(out, manifest):
        raise click.UsageError(f"--out: {out} is the manifest; choose another name")
    found = provenance.Manifest.load(manifest)
    replace(out, provenance.export(found, cast("ExportFormat", chosen), manifest_name=manifest.name), overwrite=force)
    document: dict[str, object] = {"manifest": str(manifest), "digest": found.digest, "format": chosen, "out": str(out)}
    output.result("data-export", document, (f"wrote {out}", f"of        {found.digest}"))
