# SPDX-License-Identifier: Apache-2.0
"""The work that one scanned file may cost, shared by all its pickles, members and nested archives."""

from typing import Final

from lifeseal.errors import LimitError

MAX_OPCODES: Final = 1 << 21
MAX_CELLS: Final = 1 << 21
MAX_VALUES: Final = 2_000_000
MAX_MEMBERS: Final = 1 << 15
MAX_JSON: Final = 64 << 20
MEMBER_COST: Final = 32
_SIGNS: Final = 2
_READINGS: Final = 3
_UNPACKED: Final = 256 << 20


class Budget:
    """Work that is left for one file.

    Args:
        size: Bytes of the file; reading each a few times is allowed.

    Attributes:
        opcodes: Opcodes of pickle; other steps are counted in the same unit.
        cells: Items of tuples.
        values: Values of JSON.
        members: Entries of archives' directories.
        content: Bytes of members, unpacked or read in place.
        text: Bytes of JSON.
    """

    def __init__(self, size: int) -> None:
        self.opcodes = MAX_OPCODES
        self.cells = MAX_CELLS
        self.values = MAX_VALUES
        self.members = MAX_MEMBERS
        self.content = _READINGS * size + _UNPACKED
        self.text = MAX_JSON

    def spend(self, opcodes: int, where: str) -> None:
        """Take away some opcodes.

        Raises:
            LimitError: None are left.
        """
        self.opcodes -= opcodes
        if self.opcodes < 0:
            raise LimitError(where or "pickle", limit=MAX_OPCODES, seen=MAX_OPCODES - self.opcodes, unit="opcodes")

    def spend_json(self, data: bytes) -> int:
        """Take away what parsing some JSON costs; returns the most values it may have.

        Raises:
            LimitError: It has far more signs of values than are left, so that telling those within strings apart would be long work.
        """
        most = self.values
        seen = data.count(b",") + data.count(b"[") + data.count(b"{")
        self.values = max(0, most - seen)
        if seen > _SIGNS * MAX_VALUES:
            raise LimitError("JSON", limit=MAX_VALUES, seen=seen, unit="values")
        self.text = max(0, self.text - len(data))
        return most
