# SPDX-License-Identifier: Apache-2.0
"""Asking a server again, a stated number of times; and one place where other people's errors become ours."""

import errno
import re
import time
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import attrs

from lifeseal.errors import CredentialError, FormatError, LifesealError, MissingExtraError, StoreError

T = TypeVar("T")
Meaning: TypeAlias = Literal["gone", "denied", "changed", "again"]

_FIRST, _LONGEST = 0.1, 10.0  # seconds between attempts
_SHOWN = 300
_SECRET = re.compile(r"(?<=//)[^/@\s]+(?=@)|(?<=\?)[^\s'\"]+")


@attrs.frozen(kw_only=True)
class Asking:
    """How a server is asked.

    Attributes:
        where: Its name in messages; holds no secret.
        attempts: How often at most.
        meaning: Tells what an error of the library that speaks to it means.
    """

    where: str
    attempts: int
    meaning: Callable[[Exception], Meaning]

    def ask(self, action: Callable[[], T], name: str = "", *, listed: bool = False) -> T:
        """Do something over the network, again where that may help.

        Args:
            action: What to do.
            name: The object it is about.
            listed: Whether the server has said before that it is there.

        Returns:
            What the action returned.

        Raises:
            CredentialError: The server refuses, or wants credentials that were not found.
            FileNotFoundError: It is not there.
            FormatError: It was listed, and is gone or another one now.
            StoreError: The server does not answer, or with errors, after all attempts.
        """
        place, said = f"{self.where}: {name!r}" if name else self.where, ""
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except (LifesealError, MissingExtraError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a file system of fsspec raises; none of it may leave here
                meaning, said = self.meaning(error), _said(error)
            if meaning == "denied":
                raise CredentialError(f"{place}: the server refuses these credentials, or there are none: {said}")
            if meaning != "again":
                if listed:
                    raise FormatError(place, "changed while it was recorded: it is " + ("another one now" if meaning == "changed" else "gone"))
                raise FileNotFoundError(errno.ENOENT, "there is nothing", place)
            if attempt < self.attempts:
                time.sleep(min(_FIRST * 2 ** (attempt - 1), _LONGEST))
        raise StoreError(f"{place}: no answer in {self.attempts} attempts: {said}; record again later")


def plain_meaning(error: Exception) -> Meaning:
    """Tell what an error means that Python has a class for."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "gone"
    return "denied" if isinstance(error, PermissionError) else "again"


def _said(error: Exception) -> str:
    """Quote an error in one short line, without what a URL in it may keep secret: its user, password and query."""
    return f"{type(error).__name__}: {_SECRET.sub('…', ' '.join(str(error).split()))[:_SHOWN]}"
