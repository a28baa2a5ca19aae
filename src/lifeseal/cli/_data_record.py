# SPDX-License-Identifier: Apache-2.0
"""``data record``: write down what data is."""

import contextlib
import datetime as dt
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifeseal.cli._options import PATH, bytes_from, common, examples, refuse_half_unicode, same_file
from lifeseal.cli._output import Output, counted
from lifeseal.cli._signers import choose_signer

if TYPE_CHECKING:
    from concurrent.futures import Executor

_PATIENCE = 5.0  # seconds for what a worker is at when the work ends early
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_UNSTATED = "NOASSERTION"  # SPDX's word for a statement that nobody made
_NOT_STATED = (_UNSTATED, "", (), None, "not stated", "LicenseRef-not-stated")


def place(_: click.Context, __: click.Parameter, value: str | None) -> str | Path | None:
    """Make a path of what is no URL."""
    return value if value is None or _URL.match(value) else Path(value)


def _places(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str | Path, ...]:
    return tuple(value if _URL.match(value) else Path(value) for value in values)


@click.command(
    epilog=examples(
        "lifeseal data record reviews/ --out reviews.json --key release.key \\",
        "    --source https://example.org/reviews --licence CC-BY-4.0",
        "lifeseal data record reviews/ --out reviews.json --records --workers 4",
        "lifeseal data record hf://datasets/acme/reviews@main --out reviews.json",
        "lifeseal data record reviews/ --out reviews.json --describe croissant.json",
    )
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(readable=False), callback=_places, metavar="PATH|URL…")
@click.option("--out", required=True, type=PATH, help="The manifest to write; outside the data.")
@click.option("--source", default=_UNSTATED, help="URL the data came from, or what stands for one; by default the URL that is recorded.")
@click.option("--licence", default=_UNSTATED, help="SPDX licence expression, or LicenseRef-….")
@click.option("--name", help="What to call the data; by default the first path's name.")
@click.option("--obtained", metavar="TIME", help="When it was obtained, as 2026-12-31T23:59:59Z; by default now.")
@click.option("--acquisition", default="", metavar="TEXT", help="How it was obtained: crawled, bought, measured, ….")
@click.option("--sensitivity", type=click.Choice(["public", "internal", "confidential", "personal", "special-category"]), help="How sensitive it is.")
@click.option("--intended-use", "intended_uses", multiple=True, metavar="TEXT", help="What it is meant for. Repeatable.")
@click.option("--permitted-use", "permitted_uses", multiple=True, metavar="TEXT", help="What it may be used for. Repeatable.")
@click.option("--retention", default="", metavar="TEXT", help="How long it may be kept.")
@click.option("--consent", default="", metavar="REF", help="Where consent or another legal ground is written down.")
@click.option("--custodian", default="", metavar="TEXT", help="Role or organisation that looks after it.")
@click.option("--limitations", default="", metavar="TEXT", help="What it lacks or must not be used for.")
@click.option("--notes", default="", help="Anything else worth keeping.")
@click.option("--describe", type=PATH, metavar="FILE", help="Take what is not stated here from a Croissant or CycloneDX file or a dataset card.")
@click.option("--derived-from", multiple=True, type=PATH, metavar="MANIFEST", help="Manifest the data was made from. Repeatable.")
@click.option("--step", default="", metavar="WORD", help="What made the data from those: filter, tokenise, ….")
@click.option("--records", "with_records", is_flag=True, help="Hash each record too; leaf files go to OUT.leaves.")
@click.option("--sets", is_flag=True, help="With --records: allow proofs that a record is absent.")
@click.option("--format", "formats", multiple=True, metavar="ENDING=FORMAT", help="With --records: cut so, as .log=lines or .txt=whole. Repeatable.")
@click.option("--leaf-key-file", type=PATH, metavar="FILE", help="With --records: key for the leaves, raw bytes, 16 or more; - reads standard input.")
@click.option("--previous", type=PATH, metavar="MANIFEST", help="With --records: do not read again what has not changed since this manifest.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Hash in so many processes.")
@click.option("--key", type=PATH, help="Sign the manifest; the signature goes to MANIFEST.sig.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--cert", type=PATH, help="The key's certificate (PEM).")
@click.option("--chain", type=PATH, multiple=True, help="Certificates between it and the root (PEM). Repeatable.")
@click.option("--sigstore", is_flag=True, help="Sign the manifest without a key, in the name of an identity token.")
@click.option("--identity-token-file", type=PATH, metavar="F", help="With --sigstore: holds the token; - reads standard input.")
@click.option("--trust-config", metavar="F", help="With --sigstore: the deployment's ClientTrustConfig (JSON), or public-good.")
@common
def record(
    output: Output,
    *,
    paths: tuple[str | Path, ...],
    out: Path,
    name: str | None,
    obtained: str | None,
    describe: Path | None,
    derived_from: tuple[Path, ...],
    step: str,
    with_records: bool,
    sets: bool,
    formats: tuple[str, ...],
    leaf_key_file: Path | None,
    previous: Path | None,
    workers: int | None,
    key: Path | None,
    passphrase_file: Path | None,
    cert: Path | None,
    chain: tuple[Path, ...],
    sigstore: bool,
    identity_token_file: Path | None,
    trust_config: str | None,
    **stated: Any,  # noqa: ANN401 - fields of the description, which checks them
) -> None:
    """Record the files below PATH… in a manifest; or those of URL…: s3://…, hf://datasets/…, and what else fsspec reads."""
    from lifeseal import attestation, provenance

    if not with_records and (sets or formats or leaf_key_file is not None or previous is not None):
        raise click.UsageError("--sets, --format, --leaf-key-file and --previous are about records: give --records too")
    cuts = dict(word.rpartition("=")[::2] for word in formats)
    place = Path(os.path.realpath(out))
    here = [path for path in paths if isinstance(path, Path)]
    if any(Path(os.path.realpath(path)) in place.parents for path in here):
        raise click.UsageError("--out lies inside the data; the manifest would be a file of its own dataset")
    if same_file(out, *here, *derived_from, describe, key):
        raise click.UsageError(f"--out: {out} is the data, a manifest it derives from, or the key; choose another name")
    when = dt.datetime.now(dt.UTC) if obtained is None else attestation.parse_time(obtained, where="--obtained")
    taken, upstream = (None, ()) if describe is None else provenance.describe(describe, obtained=when)
    if taken is not None:
        name = name or taken.name
        known = {field: value for field in stated if (value := getattr(taken, field)) not in _NOT_STATED}
        stated = {field: known.get(field, value) if value in _NOT_STATED else value for field, value in stated.items()}
    first = paths[0]
    called = name or (Path(os.path.realpath(first)).name if isinstance(first, Path) else _called(first))
    if stated["source"] == _UNSTATED and len(paths) == 1 and isinstance(first, str):
        stated["source"] = provenance.Remote(url=first).where
    refuse_half_unicode({"--name (by default the first path's)": called})
    signer = None
    if key is not None or sigstore or cert is not None or chain or identity_token_file is not None or trust_config is not None:
        signer = choose_signer(
            key=key,
            passphrase_file=passphrase_file,
            cert=cert,
            chain=chain,
            sigstore=sigstore,
            token_file=identity_token_file,
            trust=trust_config,
        )
    if signer is not None:
        attestation.Bundle.refuse_foreign(f"{out}.sig")
    description = provenance.Description(name=called, obtained=when, **stated)
    origins = [*upstream, *(provenance.Origin.of(provenance.Manifest.load(path), step=step) for path in derived_from)]
    leaf_key = bytes_from(leaf_key_file)
    before = None if previous is None else provenance.Manifest.load(previous)
    with output.progress() as progress, _workers(workers) as executor:
        manifest = provenance.record(
            paths if len(paths) > 1 else paths[0],
            description=description,
            records=provenance.Records(leaves=f"{out}.leaves", sets=sets, formats=cuts) if with_records else None,
            leaf_key=leaf_key,
            derived_from=origins,
            previous=before,
            executor=executor,
            progress=progress,
        )
    manifest.write(out)
    counts = [counted(len(manifest.files), "file"), counted(manifest.size, "byte")] + ([counted(manifest.records, "record")] if with_records else [])
    lines = [f"recorded {', '.join(counts)}", f"manifest   {out}", f"digest     {manifest.digest}"]
    lines += [f"pinned     {url}" for url in manifest.pinned]
    lines += [f"leaf files {out}.leaves"] if with_records else []
    lines += [f"warning    {warning}" for warning in manifest.warnings]
    unstated = [f"--{word}" for word in ("source", "licence") if stated[word] == _UNSTATED]
    if unstated:
        lines.append(f"not stated: {' and '.join(unstated)}; the Code asks for them (8.2.1)")
    if signer is not None:
        provenance.sign(manifest, signer=signer).write(f"{out}.sig")
        lines.append(f"signature  {out}.sig")
    document: dict[str, object] = {"manifest": str(out), "digest": manifest.digest, "files": len(manifest.files), "bytes": manifest.size}
    document |= {"records": manifest.records if with_records else None, "warnings": list(manifest.warnings), "pinned": list(manifest.pinned)}
    output.result("data-record", document | {"signature": f"{out}.sig" if signer else None}, tuple(lines))


def _called(url: str) -> str:
    """Name a dataset after the last part of its URL that says something."""
    parts = [part.partition("@")[0] for part in url.partition("://")[2].partition("?")[0].split("/")]
    return next((part for part in reversed(parts) if part), url[:80])


@contextlib.contextmanager
def _workers(count: int | None) -> "Iterator[Executor | None]":
    """Start worker processes, if any were asked for; when the work ends early, so do they."""
    if count is None:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + _PATIENCE
        for child in active_children():
            child.join(max(0.0, until - time.monotonic()))
        for child in active_children():
            child.terminate()
        raise
    pool.shutdown()


def _leave_interrupts() -> None:
    """A terminal interrupts every process; the one that was called answers for all."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
