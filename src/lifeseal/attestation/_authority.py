# SPDX-License-Identifier: Apache-2.0
"""Asking a timestamp authority over the network; only signing does so."""

import contextlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

import attrs

from lifeseal._io import StrPath
from lifeseal.attestation._bundle import MAX_DER, MAX_DERS, Bundle
from lifeseal.attestation._timestamps import Token, check_authorities, read_authorities
from lifeseal.errors import FormatError, LimitError, PolicyError, StoreError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    import http.client

_GOOD = (200, 201)


class TimestampAuthority:
    """Has an RFC 3161 authority attest that a signature exists now.

    It learns the signature's hash, nothing else. Its answer is believed only under the roots given, as those who verify will believe it.

    Args:
        url: ``http://`` or ``https://``; redirects are not followed and no proxy is used.
        authorities: DER: its root, and certificates below it that it does not send.
        timeout: Seconds for the whole exchange.
    """

    def __init__(self, url: str, authorities: tuple[bytes, ...], *, timeout: float = 15) -> None:
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url
        if not plain or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.fragment:
            raise ValueError(f"a timestamp authority is named as http://host/path or https://host/path, not {url[:120]!r}")
        if not authorities:
            raise ValueError("at least one root of the timestamp authority is needed; none is trusted by default")
        check_authorities(authorities)
        self.url = url
        self._https, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authorities = authorities
        self._timeout = timeout

    @classmethod
    @implements(evidences=("5.2",), limits="Whether the authority's clock is right cannot be seen from here.")
    def from_files(cls, url: str, tsa: Iterable[StrPath], *, timeout: float = 15) -> Self:
        """Name an authority, and read its roots, PEM.

        Args:
            url: ``http://`` or ``https://``.
            tsa: Files of its root, and of certificates below it that it does not send.
            timeout: Seconds for the whole exchange.

        Returns:
            The authority.

        Raises:
            FormatError: A file holds no certificate, or there is no root among them.
            LimitError: A file is larger than 256 KiB.
            OSError: One cannot be read.
            ValueError: The URL is none, or no file is given.
        """
        return cls(url, read_authorities(tsa), timeout=timeout)

    def stamp(self, bundle: Bundle) -> Bundle:
        """Add a timestamp over the bundle's signature.

        Args:
            bundle: A signed bundle.

        Returns:
            The bundle with the timestamp, which was checked.

        Raises:
            FormatError: The answer is no timestamp.
            LimitError: The answer is larger than 256 KiB, or the bundle has 16 timestamps already.
            PolicyError: The timestamp is not one that the roots given vouch for.
            StoreError: The authority cannot be reached, or does not answer in time.
        """
        import rfc3161_client

        if len(bundle.timestamps) >= MAX_DERS:
            raise LimitError("bundle", limit=MAX_DERS, seen=len(bundle.timestamps) + 1, unit="timestamps")
        signature = bundle.envelope.signature
        request = rfc3161_client.TimestampRequestBuilder(data=signature, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256).build()
        answer = self._post(request.as_bytes())
        try:
            attested = Token.read(answer).check(signature, self._authorities, nonce=request.nonce)
        except FormatError as error:
            raise FormatError(self.url, error.wanted) from None
        except PolicyError as error:
            raise PolicyError(f"{self.url}: the timestamp cannot be used: {error}") from None
        note(timestamp=attested.latest.isoformat())
        return attrs.evolve(bundle, timestamps=(*bundle.timestamps, answer))

    def _post(self, query: bytes) -> bytes:
        import http.client
        import ssl

        if self._https:
            secured = http.client.HTTPSConnection
            connection: http.client.HTTPConnection = secured(self._host, self._port, timeout=self._timeout, context=ssl.create_default_context())
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        # Socket timeouts are per read, so a server that drips could hold on for ever; the timer ends the whole exchange.
        late = threading.Event()
        timer = threading.Timer(self._timeout, _hang_up, (connection, late))
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", self._target, query, {"Content-Type": "application/timestamp-query"})
            response = connection.getresponse()
            status, answer = response.status, response.read(MAX_DER + 1)
        except (OSError, http.client.HTTPException) as error:
            if not (late.is_set() or isinstance(error, TimeoutError)):
                raise self._unavailable(str(error) or type(error).__name__) from None
            late.set()
            status, answer = 0, b""
        finally:
            timer.cancel()
            connection.close()
        if late.is_set():
            raise self._unavailable(f"no answer within {self._timeout:g} seconds")
        if status not in _GOOD:
            raise self._unavailable(f"it answered HTTP status {status}")
        if len(answer) > MAX_DER:
            raise LimitError(self.url, limit=MAX_DER, seen=len(answer))
        return answer

    def _unavailable(self, why: str) -> StoreError:
        return StoreError(f"{self.url}: no timestamp from this authority: {why}; no signature was written")


def _hang_up(connection: "http.client.HTTPConnection", late: threading.Event) -> None:
    import socket

    late.set()
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
