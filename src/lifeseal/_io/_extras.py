# SPDX-License-Identifier: Apache-2.0
"""Optional packages, imported where they are used."""

from importlib import import_module
from types import ModuleType

from lifeseal.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        module: The module's full name.
        extra: The extra of lifeseal that installs it.

    Returns:
        The module.

    Raises:
        MissingExtraError: It is not installed.
        ImportError: It is installed and broken.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(module, extra=extra) from None
