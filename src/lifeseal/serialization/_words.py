# SPDX-License-Identifier: Apache-2.0
"""Words for symbolic values in findings."""

from lifeseal.serialization._rules import shown
from lifeseal.serialization._values import TRUSTED, UNKNOWN, Global, Made, Value


def split(text: str) -> frozenset[str]:
    """Return the words of a list that is written as text."""
    return frozenset(text.split())


def full(found: Global) -> str:
    """Return module and name."""
    return shown(f"{found.module}.{found.name}")


def described(value: Value) -> str:
    """Say what a value is."""
    if isinstance(value, Global):
        return full(value)
    if isinstance(value, Made):
        return f"what {full(value.source)} made"
    if value is TRUSTED:
        return "an object that another call made"
    if value is UNKNOWN:
        return "the result of something that is not known to be harmless"
    return "a value that is no class or function"
