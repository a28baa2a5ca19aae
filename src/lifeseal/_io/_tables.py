# SPDX-License-Identifier: Apache-2.0
"""Rows of Parquet and Arrow files, a bounded batch at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from lifeseal._io._extras import require
from lifeseal._io._source import Reader
from lifeseal._io._streams import View
from lifeseal.errors import FormatError

Arrow: TypeAlias = Any  # an array, type or table of pyarrow, which has no types of its own for mypy

TABLES = frozenset({"parquet", "arrow"})
_ROWS = 8192
_BYTES = 16 << 20  # of a batch, as the file states them


def arrow() -> Any:  # noqa: ANN401 - a module
    """Import pyarrow, with its functions."""
    require("pyarrow.compute", extra="parquet")
    return require("pyarrow", extra="parquet")


class Table:
    """An opened table file. Use `open_table`.

    Attributes:
        schema: Its schema.
    """

    def __init__(self, opened: Any, *, is_parquet: bool) -> None:  # noqa: ANN401 - one of three readers of pyarrow
        self._opened = opened
        self._is_parquet = is_parquet
        self.schema = opened.schema_arrow if is_parquet else opened.schema

    def batches(self, *, first: int = 0, names: Sequence[str] | None = None) -> Iterator[Arrow]:
        """Read rows in order.

        Args:
            first: Number of the first row.
            names: Columns to read, by default all.

        Yields:
            Record batches of bounded size.
        """
        for at, batch in self._parquet(first, names) if self._is_parquet else self._arrow(names):
            if at + batch.num_rows > first:
                yield batch.slice(max(first - at, 0))

    def _parquet(self, first: int, names: Sequence[str] | None) -> Iterator[tuple[int, Arrow]]:
        metadata = self._opened.metadata
        before = 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            if before + found.num_rows > first:
                size = _batch_size(found.num_rows, found.total_byte_size)
                columns = None if names is None else list(names)
                for batch in self._opened.iter_batches(batch_size=size, row_groups=[group], columns=columns, use_threads=False):
                    yield before, batch
                    before += batch.num_rows
            else:
                before += found.num_rows

    def _arrow(self, names: Sequence[str] | None) -> Iterator[tuple[int, Arrow]]:
        before = 0
        stream = isinstance(self._opened, arrow().ipc.RecordBatchStreamReader)
        for batch in self._opened if stream else map(self._opened.get_batch, range(self._opened.num_record_batches)):
            batch.validate(full=True)  # an IPC file's offsets come from whoever wrote it
            chosen = batch if names is None else batch.select(list(names))
            size = _batch_size(batch.num_rows, batch.nbytes)
            yield from ((before + start, chosen.slice(start, size)) for start in range(0, batch.num_rows, size))
            before += batch.num_rows


def _batch_size(rows: int, size: int) -> int:
    return max(1, min(_ROWS, _BYTES * rows // max(size, 1)))


@contextlib.contextmanager
def open_table(kind: str, reader: Reader, where: str) -> Iterator[Table]:
    """Open a table file; what pyarrow finds wrong with it, here or in the block, is a `FormatError`.

    Args:
        kind: ``parquet`` or ``arrow``.
        reader: The file.
        where: Name for error messages.

    Yields:
        The table.

    Raises:
        FormatError: It is not such a file, or broken.
        MissingExtraError: pyarrow is not installed.
    """
    pa = arrow()
    try:
        with pa.PythonFile(View(reader), mode="r") as file:
            if kind == "parquet":
                with require("pyarrow.parquet", extra="parquet").ParquetFile(file) as opened:
                    yield Table(opened, is_parquet=True)
            else:
                start = bytearray(6)
                reader.readinto(memoryview(start), 0)
                yield Table(pa.ipc.open_file(file) if start == b"ARROW1" else pa.ipc.open_stream(file), is_parquet=False)
    except (pa.ArrowException, UnicodeError, IndexError, OverflowError) as error:
        raise FormatError(where, f"not a whole {kind} file: {_first_line(error)}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise FormatError(where, f"not a whole {kind} file: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
