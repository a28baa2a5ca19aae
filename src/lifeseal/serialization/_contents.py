# SPDX-License-Identifier: Apache-2.0
"""The contents of all files of a source together: what is written once, what is refused, what is left out."""

from collections.abc import Mapping
from typing import Final

import attrs

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._found import Found, Opened
from lifeseal.serialization._layout import Entry
from lifeseal.serialization._rules import shown

FORMAT_KEY: Final = "format"
_GROWTH: Final = 16
_FLOOR: Final = 1 << 30
_SHOWN: Final = 5


@attrs.frozen(kw_only=True)
class Contents:
    """What is to be written.

    Attributes:
        tensors: Those that are written, by name.
        aliases: Further names, each with the name that its tensor is written under.
        values: Plain data, by name.
        dropped: What is left out, and why.
    """

    tensors: Mapping[str, Found]
    aliases: Mapping[str, str]
    values: Mapping[str, object]
    dropped: Mapping[str, str]

    @property
    def entries(self) -> list[Entry]:
        """The tensors, for the layout."""
        return [Entry(name=name, dtype=tensor.dtype, shape=tensor.shape) for name, tensor in self.tensors.items()]

    @property
    def metadata(self) -> dict[str, str]:
        """What the files say about themselves: other names for tensors, as the safetensors library writes them, and whose layout it is."""
        return {FORMAT_KEY: "pt", **self.aliases}


def join(parts: Mapping[str, Opened], weight_map: Mapping[str, str] | None, *, drop: bool, where: str) -> Contents:
    """Put the contents of a source's files together.

    Args:
        parts: By file.
        weight_map: Of an index: which file holds which tensor.
        drop: Leave out tensors that cannot be written, instead of refusing all.
        where: Name for error messages.

    Returns:
        What is to be written.

    Raises:
        FormatError: A name stands in two files, the index says something else, a tensor cannot be written, or there is none.
    """
    tensors: dict[str, Found] = {}
    values: dict[str, object] = {}
    dropped: dict[str, str] = {}
    lost: dict[str, str] = {}
    homes: dict[str, str] = {}
    for file, part in parts.items():
        for name in (*part.tensors, *part.lost):
            if homes.setdefault(name, file) != file:
                raise FormatError(where, f"tensor {shown(name)!r} stands in two files")
        tensors |= part.tensors
        lost |= part.lost
        dropped |= part.dropped
        _add_values(values, part.values, where)
    if weight_map is not None and homes != dict(weight_map):
        odd = min(name for name in homes.keys() | weight_map.keys() if homes.get(name) != weight_map.get(name))
        raise FormatError(where, f"tensor {shown(odd)!r} is in {homes.get(odd, 'no file')!r}, but the index says {weight_map.get(odd, 'nothing')!r}")
    if lost and not drop:
        some = "; ".join(f"{shown(name)!r} is {what}" for name, what in sorted(lost.items())[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise FormatError(where, f"safetensors cannot hold {some}{more}; ask to drop them, or choose a part")
    if not tensors:
        raise FormatError(where, "there is no tensor to convert")
    kept, aliases = _without_aliases(tensors)
    return Contents(tensors=kept, aliases=aliases, values=values, dropped=dropped | lost)


def refuse_growth(contents: Contents, size: int, *, where: str) -> None:
    """Refuse tensors that are far larger than the files they come from: a few bytes can stand for any number of the same.

    Raises:
        LimitError: They are.
    """
    total = sum(entry.size for entry in contents.entries)
    if total > _GROWTH * size + _FLOOR:
        raise LimitError(f"{where}: tensors", limit=_GROWTH * size + _FLOOR, seen=total)


def _add_values(values: dict[str, object], more: Mapping[str, object], where: str) -> None:
    for name, value in more.items():
        if values.setdefault(name, value) != value:
            raise FormatError(where, f"value {shown(name)!r} is different in two files")


def _without_aliases(tensors: Mapping[str, Found]) -> tuple[dict[str, Found], dict[str, str]]:
    """Keep each tensor under the first of its names."""
    first: dict[tuple[object, ...], str] = {}
    kept: dict[str, Found] = {}
    aliases: dict[str, str] = {}
    for name, tensor in sorted(tensors.items()):
        home = first.setdefault(tensor.place, name)
        if home == name or not tensor.placed.size or name == FORMAT_KEY:
            kept[name] = tensor
        else:
            aliases[name] = home
    return kept, aliases
