# SPDX-License-Identifier: Apache-2.0
"""Text for pages: whatever it says, it only shows."""


def html_text(value: object) -> str:
    """Escape text that can come from an attacker; what only a terminal or a layout acts on is written as an escape.

    Args:
        value: Any text.

    Returns:
        HTML, for content and for quoted attributes.
    """
    from html import escape  # here, as few make pages

    shown = (c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in str(value))
    return escape("".join(shown), quote=True)
