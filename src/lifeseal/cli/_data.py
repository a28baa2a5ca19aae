# SPDX-License-Identifier: Apache-2.0
"""``data``: record and verify datasets."""

import datetime as dt
import os
from pathlib import Path

import click

from lifeseal.cli._models import load_signer
from lifeseal.cli._options import PATH, common, examples, refuse_half_unicode, same_file
from lifeseal.cli._output import Output, counted

_UNSTATED = "NOASSERTION"  # SPDX's word for a statement that nobody made


@click.group()
def data() -> None:
    """Record where data came from, and find every later change."""


@data.command(
    epilog=examples(
        "lifeseal data record reviews/ --out reviews.json --key release.key \\",
        "    --source https://example.org/reviews --licence CC-BY-4.0",
    )
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--out", required=True, type=PATH, help="The manifest to write; outside the data.")
@click.option("--source", default=_UNSTATED, help="URL the data came from, or what stands for one.")
@click.option("--licence", default=_UNSTATED, help="SPDX licence expression, or LicenseRef-….")
@click.option("--name", help="What to call the data; by default the first path's name.")
@click.option("--obtained", metavar="TIME", help="When it was obtained, as 2026-12-31T23:59:59Z; by default now.")
@click.option("--derived-from", multiple=True, type=PATH, metavar="MANIFEST", help="Manifest the data was made from. Repeatable.")
@click.option("--notes", default="", help="Anything else worth keeping.")
@click.option("--key", type=PATH, help="Sign the manifest; the signature goes to MANIFEST.sig.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@common
def record(
    output: Output,
    *,
    paths: tuple[Path, ...],
    out: Path,
    source: str,
    licence: str,
    name: str | None,
    obtained: str | None,
    derived_from: tuple[Path, ...],
    notes: str,
    key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Record the files below PATH… in a manifest."""
    from lifeseal import attestation, provenance

    place = Path(os.path.realpath(out))
    if any(Path(os.path.realpath(path)) in place.parents for path in paths):
        raise click.UsageError("--out lies inside the data; the manifest would be a file of its own dataset")
    if same_file(out, *paths, *derived_from, key):
        raise click.UsageError(f"--out: {out} is the data, a manifest it derives from, or the key; choose another name")
    called = name or Path(os.path.realpath(paths[0])).name
    refuse_half_unicode({"--name (by default the first path's)": called})
    signer = None if key is None else load_signer(key, passphrase_file)
    if signer is not None:
        attestation.Bundle.refuse_foreign(f"{out}.sig")
    when = dt.datetime.now(dt.UTC) if obtained is None else attestation.parse_time(obtained, where="--obtained")
    description = provenance.Description(name=called, source=source, obtained=when, licence=licence, notes=notes)
    origins = [provenance.Manifest.load(path) for path in derived_from]
    with output.progress() as progress:
        manifest = provenance.record(paths if len(paths) > 1 else paths[0], description=description, derived_from=origins, progress=progress)
    manifest.write(out)
    lines = [
        f"recorded {counted(len(manifest.files), 'file')}, {counted(manifest.size, 'byte')}",
        f"manifest   {out}",
        f"digest     {manifest.digest}",
    ]
    unstated = [f"--{word}" for word, said in (("source", source), ("licence", licence)) if said == _UNSTATED]
    if unstated:
        lines.append(f"not stated: {' and '.join(unstated)}; the Code asks for them (8.2.1)")
    if signer is not None:
        provenance.sign(manifest, signer=signer).write(f"{out}.sig")
        lines.append(f"signature  {out}.sig")
    document: dict[str, object] = {"manifest": str(out), "digest": manifest.digest, "files": len(manifest.files), "bytes": manifest.size}
    output.result("data-record", document | {"signature": f"{out}.sig" if signer else None}, tuple(lines))


@data.command(
    short_help="Check a manifest's signature, and the data against it.",
    epilog=examples(
        "lifeseal data verify reviews.json reviews/ --key release.pub",
        "lifeseal data verify reviews.json reviews/ --unsigned",
    ),
)
@click.argument("manifest", type=PATH)
@click.argument("path", required=False, type=PATH)
@click.option("--key", type=PATH, help="Public key that must have signed the manifest (PEM).")
@click.option("--signature", type=PATH, help="The signature; by default MANIFEST.sig.")
@click.option("--unsigned", is_flag=True, help="Compare the data with a manifest that nobody vouches for.")
@common
def verify(output: Output, *, manifest: Path, path: Path | None, key: Path | None, signature: Path | None, unsigned: bool) -> None:
    """Check who vouches for MANIFEST and, if PATH is given, that the data is what it records."""
    from lifeseal import attestation, provenance

    if (key is None) != unsigned:
        raise click.UsageError("say whom to trust with --key, or --unsigned for nobody")
    if unsigned and path is None:
        raise click.UsageError("without a signature there is only the data to compare: give PATH")
    if key is None:
        found = provenance.Manifest.load(manifest)
    else:
        found = provenance.open_manifest(manifest, policy=attestation.TrustedKey.from_file(key), signature=signature)
    lines = [f"{manifest}: {'unsigned' if key is None else 'signed by the key given'}", f"digest    {found.digest}"]
    lines += [f"source    {found.description.source} ({found.description.licence})"]
    if path is not None:
        with output.progress() as progress:
            compared = provenance.verify(found, path, progress=progress)
        lines[0] += "; the data is as recorded"
        lines.append(f"compared  {counted(compared.files, 'file')}, {counted(compared.size, 'byte')}")
    document: dict[str, object] = {
        "manifest": str(manifest),
        "digest": found.digest,
        "signed": key is not None,
        "data_compared": path is not None,
        "files": len(found.files),
        "bytes": found.size,
    }
    output.result("data-verify", document, tuple(lines))
