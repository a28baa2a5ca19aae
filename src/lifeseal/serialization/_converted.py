# SPDX-License-Identifier: Apache-2.0
"""What a conversion did, and the file of plain data beside its tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from lifeseal._io import HashName, StrPath, canonical
from lifeseal.serialization._report import Verdict

SCHEMA: Final = "lifeseal.values/1"
VALUES_SUFFIX: Final = ".values.json"


@attrs.frozen(kw_only=True)
class ConvertedTensor:
    """One tensor, as it was written.

    Attributes:
        name: Its name.
        dtype: The name of its type in safetensors.
        shape: Sizes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@attrs.frozen(kw_only=True)
class ConvertedFile:
    """A file that was read or written.

    Attributes:
        path: Where it lies.
        size: Bytes.
        digest: Name of the hash, a colon, and the digest in hexadecimal digits.
    """

    path: str
    size: int
    digest: str


@attrs.frozen(kw_only=True)
class Conversion:
    """What a conversion did.

    Attributes:
        format: Of the source, as the scan names it.
        verdict: Of the source, as the scan gave it; ``unsafe`` only under a waiver.
        sources: The files that were read.
        outputs: The files of tensors that were written.
        tensors: Tensors in the outputs, by name.
        aliases: Further names of a tensor that is written once, with the name that it is written under.
        dropped: What is not in the outputs, by name, and why.
        values: The file of plain data, or None where there is none.
    """

    format: str
    verdict: Verdict
    sources: tuple[ConvertedFile, ...]
    outputs: tuple[ConvertedFile, ...]
    tensors: tuple[ConvertedTensor, ...]
    aliases: Mapping[str, str]
    dropped: Mapping[str, str]
    values: Path | None

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "format": self.format,
            "verdict": self.verdict.value,
            "sources": [attrs.asdict(file) for file in self.sources],
            "outputs": [attrs.asdict(file) for file in self.outputs],
            "tensors": [{"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in self.tensors],
            "aliases": dict(self.aliases),
            "dropped": dict(self.dropped),
            "values": None if self.values is None else str(self.values),
        }


def values_of(path: StrPath) -> Path:
    """Name the file of plain data beside a file of tensors."""
    target = Path(path)
    return target.with_name(target.name + VALUES_SUFFIX)


def values_bytes(values: Mapping[str, object], outputs: Mapping[str, str]) -> bytes:
    """Write plain data, bound to the files of tensors that it belongs to.

    Args:
        values: By name.
        outputs: Digests by file name.

    Returns:
        Canonical JSON.
    """
    return canonical({"schema": SCHEMA, "tensors": dict(outputs), "values": dict(values)})


def digest_text(algorithm: HashName, digest: bytes) -> str:
    """Write a digest with the name of its hash."""
    return f"{algorithm}:{digest.hex()}"
