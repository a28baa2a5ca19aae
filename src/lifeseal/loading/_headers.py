# SPDX-License-Identifier: Apache-2.0
"""Which files are loaded, and what their headers say before anybody vouches for it."""

import collections
import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

from lifeseal._io import Reader
from lifeseal.errors import DigestMismatchError, FormatError, LimitError
from lifeseal.loading._fill import Part, fill
from lifeseal.serialization import LENGTH_SIZE, Header, header_length, parse_header_bytes
from lifeseal.signing import FileEntry, SignedModel, unchecked

_SUFFIX = ".safetensors"
_OF_SEVERAL = re.compile(r"(.*)-\d{5}(-of-\d{5}\.safetensors)", re.DOTALL)
_SHOWN = 8


@attrs.frozen(kw_only=True)
class Lead:
    """The beginning of a file: attacker input until the file's digest has matched.

    Attributes:
        entry: The file.
        data: Length field and header, as they were read.
        header: What they say, read strictly.
    """

    entry: FileEntry
    data: bytes
    header: Header


def chosen_files(signed: SignedModel, files: Iterable[str] | None) -> list[FileEntry]:
    """Pick the files to load.

    Args:
        signed: The model.
        files: Their names; by default every signed file whose name ends in ``.safetensors``.

    Returns:
        The files, in the signature's order or the caller's.

    Raises:
        FormatError: There is none to load.
        KeyError: One is not signed.
        TypeError: One string was given instead of several.
    """
    refuse_one_string(files=files)
    there = {entry.path: entry for entry in signed.files}
    paths = [path for path in there if path.endswith(_SUFFIX)] if files is None else list(dict.fromkeys(files))
    missing = [path for path in paths if path not in there]
    if missing:
        raise KeyError(f"{missing[0]!r} is not among the signed files of {signed.subject.name!r}")
    if not paths:
        raise FormatError(f"model {signed.subject.name!r}", "a signed .safetensors file was expected; there is none to load")
    return [there[path] for path in paths]


def refuse_one_string(**options: Iterable[str] | None) -> None:
    """Refuse a string where several are asked for: it would be taken for its letters."""
    for option, value in options.items():
        if isinstance(value, str):
            raise TypeError(f"{option}= takes several, such as [{value!r}]")


def read_leads(signed: SignedModel, entries: Sequence[FileEntry]) -> list[Lead]:
    """Read and parse the headers of files.

    Args:
        signed: The model.
        entries: The files.

    Returns:
        Their beginnings; of use only to plan a `fill`, which proves them.

    Raises:
        DigestMismatchError: A file is not what was signed.
        FormatError: A file is what was signed, and no strict safetensors.
        LimitError: As for `FormatError`: its header is too large.
        OSError: A file cannot be read.
    """
    return [_read_lead(signed, entry) for entry in entries]


@contextlib.contextmanager
def true_faults(signed: SignedModel, leads: Iterable[tuple[FileEntry, bytes]]) -> Iterator[None]:
    """Let a fault in what headers say be raised only when the files are what was signed; else it is their change that is the fault.

    Args:
        signed: The model.
        leads: The files that the block judges, and their beginnings.

    Raises:
        DigestMismatchError: A file is not what was signed.
    """
    try:
        yield
    except (FormatError, LimitError, LookupError, ValueError):
        fill(signed, [Part(entry=entry, lead=data) for entry, data in leads])
        raise


def check_distinct(signed: SignedModel, leads: Sequence[Lead]) -> None:
    """Refuse files that hold tensors of the same name: they are layouts of which one must be chosen.

    Args:
        signed: The model.
        leads: The files.

    Raises:
        FormatError: Two hold the same name; lists the choices.
    """
    seen: dict[str, str] = {}
    for lead in leads:
        for tensor in lead.header.tensors:
            other = seen.setdefault(tensor.name, lead.entry.path)
            if other != lead.entry.path:
                choices = _layouts([lead.entry.path for lead in leads])
                raise FormatError(
                    f"model {signed.subject.name!r}",
                    f"tensor {tensor.name!r} stands in {other!r} and in {lead.entry.path!r}; one layout was expected. Choose with files=: {choices}",
                )


def _layouts(paths: Sequence[str]) -> str:
    """List what can be chosen: files numbered ``-00001-of-00002`` go together."""
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for path in paths:
        groups[_OF_SEVERAL.sub(r"\1-*\2", path)].append(path)
    named = [f"{name} ({len(members)} files)" if name not in members else name for name, members in groups.items()]
    return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")


def _read_lead(signed: SignedModel, entry: FileEntry) -> Lead:
    source = unchecked(signed)
    data = b""
    with source.open(entry.path) as reader:
        if reader.size != entry.size:
            raise DigestMismatchError(source.where, changed=(entry.path,))
        data = _first(reader, LENGTH_SIZE)
        with true_faults(signed, [(entry, data)]):
            length = header_length(data, size=entry.size, where=entry.path)
        data += _first(reader, length, start=LENGTH_SIZE)
    with true_faults(signed, [(entry, data)]):
        return Lead(entry=entry, data=data, header=parse_header_bytes(data, size=entry.size, where=entry.path))


def _first(reader: Reader, count: int, *, start: int = 0) -> bytes:
    buffer = bytearray(min(count, max(0, reader.size - start)))
    done = 0
    with memoryview(buffer) as view:
        while done < len(view) and (got := reader.readinto(view[done:], start + done)):
            done += got
    return bytes(buffer[:done])
