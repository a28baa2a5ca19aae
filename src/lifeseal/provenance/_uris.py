# SPDX-License-Identifier: Apache-2.0
"""What stands for a source, as the URI that other formats demand."""

import re
import urllib.parse

_RESERVED = ":/?#@!$&'()*+,;=%"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(//([^/?#@]*@)?[^/?#@:]*(:[0-9]*)?(?=[/?#]|$)|(?!//))[^#]*(#[^#]*)?")
_PREFIX = "urn:lifeseal:source:"


def as_uri(source: str) -> str:
    """Write what stands for a source as a URI: characters that none may hold are escaped, and what is no URI becomes one of ours.

    Args:
        source: As a description states it.

    Returns:
        A URI. Source: RFC 3986, appendix A.
    """
    escaped = _LONE_PERCENT.sub("%25", urllib.parse.quote(source, safe=_RESERVED))
    return escaped if _URI.fullmatch(escaped) else _PREFIX + urllib.parse.quote(source, safe="")


def from_uri(uri: str) -> str:
    """Read what `as_uri` wrote; other URIs stay as they are."""
    return urllib.parse.unquote(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else uri
