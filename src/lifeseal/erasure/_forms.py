# SPDX-License-Identifier: Apache-2.0
"""Which form a file of people's records has."""

from collections.abc import Sequence
from pathlib import Path

from lifeseal._io import StrPath
from lifeseal.erasure._columns import Columns
from lifeseal.erasure._files import Form, Lines
from lifeseal.erasure._work import Erased


def known(erased: Erased) -> Erased:
    """Refuse another word."""
    if erased not in {"skip", "mark", "refuse"}:
        raise ValueError(f"erased= is skip, mark or refuse, not {erased!r}")
    return erased


def form_for(source: StrPath, out: StrPath, *, id_field: str | None, clear: Sequence[str] = ()) -> Form:
    """Choose how a file is read and written; both have the same ending."""
    if Path(source).suffix.lower() != Path(out).suffix.lower():
        raise ValueError(f"{Path(out).name}: is to have the ending of {Path(source).name}, as it has its form")
    return form_of(source, id_field=id_field, clear=clear)


def form_of(path: StrPath, *, id_field: str | None, clear: Sequence[str] = ()) -> Form:
    """Choose how a file is read by the ending of its name."""
    ending = Path(path).suffix.lower()
    if ending == ".parquet":
        return Columns(id_field, clear)
    if ending not in {".jsonl", ".ndjson"}:
        raise ValueError(f"{Path(path).name}: a file of records is named .jsonl, .ndjson or .parquet")
    if clear:
        raise ValueError("clear= is about columns of Parquet; a line of JSONL is sealed whole")
    return Lines(id_field)
