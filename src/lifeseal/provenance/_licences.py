# SPDX-License-Identifier: Apache-2.0
"""Licences as others write them: by their page, their name, or several of them; read into one SPDX licence expression."""

import re
from collections.abc import Iterable

UNSTATED = "LicenseRef-not-stated"
_MAX_LENGTH = 180
_OPERATORS = {"AND", "OR", "WITH"}
_ID = re.compile(r"(DocumentRef-[A-Za-z0-9.\-]+:)?[A-Za-z0-9.\-]+\+?", re.ASCII)
_WORDS = re.compile(r"[()]|[^\s()]+")
_PAGES = (
    (re.compile(r"spdx\.org/licenses/([A-Za-z0-9.\-+]+?)(?:\.html|\.json|\.txt)?"), "{}"),
    (re.compile(r"creativecommons\.org/publicdomain/zero/([\d.]+)(?:/.*)?"), "CC0-{}"),
    (re.compile(r"creativecommons\.org/licenses/([a-z\-]+)/([\d.]+)(?:/(?:deed|legalcode)[^/]*)?"), "CC-{}-{}"),
    (re.compile(r"apache\.org/licenses/license-(2\.0|1\.1|1\.0)(?:\.html|\.txt)?", re.IGNORECASE), "Apache-{}"),
)
_ADDRESS = re.compile(r"https?://(?:www\.)?(.+)", re.IGNORECASE)


def licence_expression(texts: Iterable[str]) -> str:
    """Read licences into one expression; several apply together, which asks for more rather than less.

    Args:
        texts: An SPDX expression, the address of a licence's page, or a name, each.

    Returns:
        The expression. What is neither an expression nor a page that is known becomes ``LicenseRef-…`` with the letters of it.
    """
    found = list(dict.fromkeys(_one(text.strip()) for text in texts if text.strip()))
    if len(found) > 1:
        found = [f"({one})" if " " in one else one for one in found]
    whole = " AND ".join(found)
    return whole if 0 < len(whole) <= _MAX_LENGTH else _reference(whole) if whole else UNSTATED


def _one(text: str) -> str:
    address = _ADDRESS.fullmatch(text.rstrip("/"))
    if address is None:
        return text if is_expression(text) else _reference(text)
    for page, name in _PAGES:
        if known := page.fullmatch(address[1]):
            return name.format(*(part.upper() if "creativecommons" in page.pattern else part for part in known.groups()))
    return _reference(address[1])


def _reference(text: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9.\-]+", "-", text.removeprefix("LicenseRef-"))[: _MAX_LENGTH - 20].strip("-")
    return f"LicenseRef-{letters}" if letters else UNSTATED


def is_expression(text: str) -> bool:
    """Tell whether a text has the form of an SPDX licence expression: names, joined by AND, OR and WITH, in parentheses that close.

    Source: SPDX 3.0.1, annex B.
    """
    depth, name_is_next = 0, True
    for word in _WORDS.findall(text):
        if word == "(" if name_is_next else word == ")":
            depth += 1 if name_is_next else -1
        elif name_is_next and word not in _OPERATORS and _ID.fullmatch(word):
            name_is_next = False
        elif not name_is_next and word in _OPERATORS:
            name_is_next = True
        else:
            return False
        if depth < 0:
            return False
    return depth == 0 and not name_is_next
