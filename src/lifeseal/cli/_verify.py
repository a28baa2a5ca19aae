# SPDX-License-Identifier: Apache-2.0
"""``verify``: the command that gates a deployment."""

from pathlib import Path

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted


@click.command(
    epilog=examples(
        "lifeseal verify model/ --key release.pub",
        "lifeseal verify model/ --key release.pub --expect sha256:9f86…",
    )
)
@click.argument("model", type=PATH)
@click.option("--key", required=True, type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--signature", type=PATH, multiple=True, help="The signature; by default MODEL/model.sig, or MODEL.sig beside a file. Repeatable.")
@click.option("--expect", metavar="DIGEST", help="Root digest that the model must have, sha256:…")
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave out a path, relative to the model. Repeatable.")
@click.option("--allow-unsigned-files", is_flag=True, help="Accept files that the signature does not name.")
@click.option("--waiver", type=PATH, help="Accept an unsigned model that this waiver covers.")
@common
def verify(
    output: Output,
    *,
    model: Path,
    key: Path,
    signature: tuple[Path, ...],
    expect: str | None,
    ignore: tuple[str, ...],
    allow_unsigned_files: bool,
    waiver: Path | None,
) -> None:
    """Check that MODEL is exactly what the holder of the key signed.

    A report on this moment: a program that loads the files afterwards reads them again, unchecked. To load what was checked, use
    lifeseal.signing.open_model and lifeseal.loading.
    """
    from lifeseal import attestation, signing

    policy = attestation.TrustedKey.from_file(key)
    exception = None if waiver is None else attestation.Waiver.load(waiver)
    with output.progress() as progress:
        found = signing.verify(
            model,
            policy=policy,
            signature=signature or None,
            expect=expect,
            ignore=ignore,
            allow_unsigned_files=allow_unsigned_files,
            waiver=exception,
            progress=progress,
        )
    signer = None if found.signer is None else found.signer.fingerprint
    document: dict[str, object] = {
        "model": str(model),
        "name": found.subject.name,
        "digest": found.subject.digest,
        "signer": signer,
        "waived_by": None if found.waiver is None else found.waiver.owner,
        "files": found.files,
        "bytes": found.size,
        "hash": found.hash,
        "shard_size": found.shard_size,
        "ignored": list(found.ignored),
        "unsigned_files": list(found.unsigned),
        "clause": None if found.signer is None else found.signer.clause,
        "time": None if found.signer is None or found.signer.time is None else found.signer.time.isoformat(),
        "not_covered": list(found.not_covered),
        "revocation": "not consulted",
    }
    who = f"key {signer}" if signer else f"nobody: waived by {found.waiver.owner if found.waiver else ''}"
    lines = [f"{model}: as it was signed" if signer else f"{model}: unsigned, accepted by waiver"]
    lines += [
        f"signer    {who}",
        f"model     {found.subject.digest}",
        f"compared  {counted(found.files, 'file')}, {counted(found.size, 'byte')}, {found.hash}",
    ]
    lines += [f"left out  {', '.join(found.ignored)}"] if found.ignored else []
    lines += [f"unsigned  {', '.join(found.unsigned)}"] if found.unsigned else []
    output.result("verify", document, tuple(lines))
