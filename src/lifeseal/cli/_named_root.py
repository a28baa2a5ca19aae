# SPDX-License-Identifier: Apache-2.0
"""A root as the user wrote it: its URI, and where its secret comes from."""

import datetime as dt
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import click

from lifeseal.cli._options import secret_from

_MAX_DAYS = 36500


class Named(NamedTuple):
    """A root that the user named.

    Attributes:
        uri: Whole, as ``file:PATH``.
        place: What stands behind the first colon.
        vault: The vault folder.
        secret_file: Where passphrase, PIN or token stands; without it a terminal is asked.
        new: Ask twice for what is chosen now.
        configured: It stands in the configuration, not on the command line.
        option: That named it, as ``--root``.
    """

    uri: str
    place: str
    vault: Path
    secret_file: Path | None
    new: bool
    configured: bool
    option: str

    def secret(self, what: str, *, confirm: bool = False) -> bytearray:
        """Read the secret that opens the root; the caller owns it.

        Args:
            what: As ``Passphrase``, for prompts and messages.
            confirm: Ask twice.

        Returns:
            The secret, not empty.

        Raises:
            click.UsageError: None is given, and there is no terminal to ask on.
        """
        found = secret_from(self.secret_file, prompt=f"{what} of {self.vault}", confirm=confirm, what=f"the {what}")
        if not found:
            raise click.UsageError(f"the {what} of {self.uri!r} is asked on a terminal; elsewhere give {self.option}-secret-file")
        return bytearray(found)


class Options:
    """The attributes of a URI, each taken once; what nobody took is refused.

    Args:
        text: As ``token=models;serial=17``, percent-encoded.
        separator: Between attributes.
        uri: Whole, for messages.
    """

    def __init__(self, text: str, separator: str, *, uri: str) -> None:
        self._uri = uri
        self._found: dict[str, str] = {}
        for part in filter(None, text.split(separator)):
            name, equals, value = part.partition("=")
            try:
                decoded = unquote(value, errors="strict")
            except UnicodeDecodeError:
                raise click.UsageError(f"{uri!r}: {name} is not UTF-8") from None
            if not equals or not decoded or name in self._found:
                raise click.UsageError(f"{uri!r}: each attribute is written name=value, and once; {part!r} is not")
            self._found[name] = decoded

    def take(self, name: str) -> str | None:
        """Take an attribute, if it is there."""
        return self._found.pop(name, None)

    def take_flag(self, name: str) -> bool:
        """Take an attribute that is ``true`` or absent."""
        found = self.take(name)
        if found not in {None, "true"}:
            raise click.UsageError(f"{self._uri!r}: {name} is true, or left out")
        return found is not None

    def take_days(self, name: str) -> dt.timedelta | None:
        """Take a number of days."""
        found = self.take(name)
        if found is None:
            return None
        if not (found.isascii() and found.isdigit() and int(found[:6]) <= _MAX_DAYS and len(found) < 6):  # noqa: PLR2004 - digits of the bound
            raise click.UsageError(f"{self._uri!r}: {name} is a number of days")
        return dt.timedelta(days=int(found))

    def done(self) -> None:
        """Refuse what nobody took."""
        if self._found:
            raise click.UsageError(f"{self._uri!r}: {next(iter(self._found))} is not known here")
