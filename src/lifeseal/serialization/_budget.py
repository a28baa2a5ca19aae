# SPDX-License-Identifier: Apache-2.0
"""The work that one scanned file may cost, shared by all its pickles, members and nested archives."""

from typing import Final

from lifeseal.errors import LimitError

MAX_OPCODES: Final = 1_200_000
MAX_CELLS: Final = 1 << 20
MAX_FIELDS: Final = 1 << 17
MAX_VALUES: Final = 400_000
MAX_MEMBERS: Final = 24_000
MEMBER_COST: Final = 192
_READINGS: Final = 3
_UNPACKED: Final = 64 << 20
_RATIO: Final = 8
_ESCAPES: Final = 1 << 18
_TRIES: Final = 100_000
_SEARCHED: Final = 16 << 20


class Budget:
    """Work that is left for one file.

    Args:
        size: Bytes of the file; reading each a few times is allowed.

    Attributes:
        opcodes: Opcodes of pickle; other steps are counted in the same unit.
        cells: Items of tuples.
        fields: Items of dictionaries that are remembered.
        values: Values of JSON.
        members: Entries of archives' directories.
        content: Bytes of members that are read in place.
        unpacked: Bytes that compressed streams may expand to.
        tries: Opcodes of pickles that are only looked for.
        searched: Bytes that are searched for pickles.
        escapes: Escapes of letters in texts.
        forks: Places where two readers of one pickle go on differently.
    """

    def __init__(self, size: int) -> None:
        self.opcodes = MAX_OPCODES
        self.cells = MAX_CELLS
        self.fields = MAX_FIELDS
        self.values = MAX_VALUES
        self.members = MAX_MEMBERS
        self.content = _READINGS * size + _UNPACKED
        self.unpacked = _RATIO * size + _UNPACKED
        self.tries = _TRIES
        self.searched = _SEARCHED
        self.escapes = _ESCAPES
        self.forks = 64

    def spend(self, opcodes: int, where: str) -> None:
        """Take away some opcodes.

        Raises:
            LimitError: None are left.
        """
        self.opcodes -= opcodes
        if self.opcodes < 0:
            raise LimitError(where or "pickle", limit=MAX_OPCODES, seen=MAX_OPCODES - self.opcodes, unit="opcodes")

    def spend_unpacked(self, count: int, where: str) -> None:
        """Take away some bytes of expansion.

        Raises:
            LimitError: None are left.
        """
        self.unpacked -= count
        if self.unpacked < 0:
            raise LimitError(where or "compressed", limit=_UNPACKED, seen=_UNPACKED - self.unpacked, unit="bytes after expansion")

    def affords_json(self, data: bytes) -> bool:
        """Tell whether parsing some JSON is within what is left, and take it away."""
        self.values -= data.count(b",") + data.count(b"[") + data.count(b"{")
        return self.values >= 0
