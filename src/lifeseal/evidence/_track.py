# SPDX-License-Identifier: Apache-2.0
"""The change record: digests of prompts and configuration, and which of them a threat model covers."""

import hashlib
from collections.abc import Iterable, Mapping

import attrs

from lifeseal._io import canonical
from lifeseal.principles import implements, note

_MAX_TEXT = 1024


@attrs.frozen(kw_only=True)
class Tracked:
    """One state of something that is tracked.

    Attributes:
        name: What the caller calls it.
        digest: ``sha256:`` and 64 hexadecimal digits; of a mapping, over its canonical JSON.
    """

    name: str
    digest: str


@implements(
    "8.3", evidences=("8.1", "3.1.1"), limits="It records that the content is this now; changes made elsewhere are seen only when it is called again."
)
def track(name: str, content: str | bytes | Mapping[str, object]) -> Tracked:
    """Record what a prompt, a configuration or another text is now; the log keeps its digest, never the content.

    Args:
        name: What to call it; the same each time.
        content: The text, or a mapping of JSON values.

    Returns:
        Its name and digest.

    Raises:
        ValueError: The name is empty, contains ``=`` or a line end, or is longer than 1024 characters; or the mapping is no JSON.
    """
    if not name.strip() or len(name) > _MAX_TEXT or set(name) & set("=\r\n"):
        raise ValueError("a name of 1 to 1024 characters without '=' or line ends was expected")
    data = content.encode() if isinstance(content, str) else canonical(dict(content)) if isinstance(content, Mapping) else bytes(content)
    found = Tracked(name=name, digest=f"sha256:{hashlib.sha256(data).hexdigest()}")
    note(tracked=name, subject=found.digest, size=len(data))
    return found


@implements(
    evidences=("3.1", "3.1.1", "3.2"), limits="It binds a document to what it was written about; whether the analysis is any good it cannot tell."
)
def review(document: bytes, *, covers: Iterable[Tracked], reviewer: str, risks: Iterable[str] = ()) -> str:
    """Record that a threat model, or another review, was made of things in their present state.

    When one of them changes, the report of the log calls the review stale.

    Args:
        document: The review itself; the log keeps its digest.
        covers: What it was made of, from `track`; at least one.
        reviewer: Who answers for it.
        risks: Risks that stay open, each an identifier or a sentence; they travel in a release.

    Returns:
        The document's digest, ``sha256:`` and 64 hexadecimal digits.

    Raises:
        ValueError: It covers nothing, or names no reviewer, or a text is longer than 1024 characters.
    """
    about, open_risks = tuple(f"{one.name}={one.digest}" for one in covers), tuple(risks)
    if not about or not reviewer.strip():
        raise ValueError("a review covers at least one tracked thing and names its reviewer")
    if any(not text.strip() or len(text) > _MAX_TEXT for text in (reviewer, *open_risks)):
        raise ValueError(f"reviewer= and risks= must say something, in {_MAX_TEXT} characters at most each")
    digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
    note(review=digest, covers=about, reviewer=reviewer, risks=open_risks)
    return digest
