# SPDX-License-Identifier: Apache-2.0
"""The ``lifeseal`` command: thin, one function a command, nothing of its own."""

from lifeseal.cli._main import main

__all__ = ["main"]
