# SPDX-License-Identifier: Apache-2.0
"""``--particulars``: what only people know about a disposal, in a TOML file."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lifeseal._io import Table
    from lifeseal.disposal import Party, Stated

_PARTY = ("title", "organisation", "location", "contact")
_MEDIUM = ("kind", "manufacturer", "model", "serial", "property_number", "source")
_STATED = ("confidentiality_before", "confidentiality_after", "destination", "backups")
_MAX_TEXT = 4096


class Particulars:
    """What was stated.

    Attributes:
        stated: For the certificate.
    """

    def __init__(self, parties: dict[str, dict[str, str]], stated: "Stated") -> None:
        self._parties = parties
        self.stated = stated

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read the file.

        Args:
            path: The file, or None for nothing stated.

        Returns:
            What it states.

        Raises:
            FormatError: It is no such file; says line and key.
            LimitError: It is too large.
            OSError: It cannot be read.
        """
        from lifeseal.disposal import Medium, Stated

        if path is None:
            return cls({}, Stated())
        from lifeseal._io import MAX_TOML, load_toml, read_bounded

        table = load_toml(read_bounded(path, limit=MAX_TOML), where=str(path), what="particulars of a disposal")
        parties = {name: _texts(table.take_table(name), _PARTY) for name in ("sanitiser", "custodian") if name in table}
        media = tuple(Medium(**_texts(medium, _MEDIUM)) for medium in table.take_tables("media")) if "media" in table else ()
        stated = Stated(media=media, **_texts(table, _STATED))
        return cls(parties, stated)

    def sanitiser(self, name: str) -> "Party":
        """Complete the sanitiser's name with what is stated."""
        return self._party("sanitiser", name)

    def custodian(self, name: str) -> "Party":
        """Complete the custodian's name with what is stated."""
        return self._party("custodian", name)

    def _party(self, role: str, name: str) -> "Party":
        from lifeseal.disposal import Party

        return Party(name=name, **self._parties.get(role, {}))


def _texts(table: "Table", names: tuple[str, ...]) -> dict[str, str]:
    """Take the texts that are there, and refuse anything else."""
    found = {name: table.take_str(name, max_length=_MAX_TEXT) for name in names if name in table}
    table.done()
    return found
