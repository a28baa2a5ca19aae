# SPDX-License-Identifier: Apache-2.0
"""``convert``: tensors out of a file that could run code, without running it."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted

if TYPE_CHECKING:
    from lifeseal._io import HashName

_SHOWN = 10


@click.command(
    epilog=examples(
        "lifeseal convert pytorch_model.bin model.safetensors",
        "lifeseal convert checkpoint.pt model.safetensors --select state_dict",
        "lifeseal convert pytorch_model.bin.index.json model.safetensors --max-shard-size 5000000000",
    )
)
@click.argument("source", type=PATH, metavar="IN")
@click.argument("out", type=PATH, metavar="OUT")
@click.option("--select", metavar="KEYS", help="Convert this part only, as state_dict or model.encoder.")
@click.option("--drop-unsupported", is_flag=True, help="Leave out tensors that safetensors cannot hold, and list them.")
@click.option("--max-shard-size", type=click.IntRange(min=1), metavar="BYTES", help="Write several files of so many bytes of tensors, and an index.")
@click.option("--hash", "algorithm", type=click.Choice(["blake3", "sha256", "blake2b"]), default="blake3", help="Hash for the digests that are told.")
@click.option("--waiver", type=PATH, help="A waiver file that accepts 'unsafe' of IN; it is still not run.")
@common
def convert(
    output: Output,
    *,
    source: Path,
    out: Path,
    select: str | None,
    drop_unsupported: bool,
    max_shard_size: int | None,
    algorithm: str,
    waiver: Path | None,
) -> None:
    """Copy a model's tensors into safetensors, bit for bit, without running anything of it.

    IN is a file of PyTorch, NumPy (.npz), GGUF, HDF5 or Keras, an index of several files, or a folder with one index. Numbers and text beside
    the tensors go to OUT.values.json; all else is listed as dropped. A file that the scan calls unsafe is refused unless a waiver covers its sha256.
    """
    from lifeseal import attestation, serialization

    exception = attestation.Waiver.load(waiver) if waiver is not None else None
    with output.progress() as progress:
        done = serialization.convert(
            source,
            out,
            select=select,
            unsupported="drop" if drop_unsupported else "refuse",
            max_shard_size=max_shard_size,
            hash=cast("HashName", algorithm),
            waiver=exception,
            progress=progress,
        )
    copied = f"converted {counted(len(done.tensors), 'tensor')} to {counted(len(done.outputs), 'file')}"
    lines = [f"{copied}; the source is {done.verdict.value} ({done.format})"]
    lines += [f"read     {file.path}  {file.digest}" for file in done.sources[:_SHOWN]]
    lines += [f"wrote    {file.path}  {file.digest}" for file in done.outputs[:_SHOWN]]
    lines += [f"beside   {done.values}"] if done.values is not None else []
    lines += [f"once     {name} as {kept}" for name, kept in list(done.aliases.items())[:_SHOWN]]
    lines += [f"dropped  {name}: {what}" for name, what in list(done.dropped.items())[:_SHOWN]]
    lines += [f"dropped  {len(done.dropped) - _SHOWN} more; --json lists all"] if len(done.dropped) > _SHOWN else []
    output.result("convert", done.to_json(), tuple(lines))
