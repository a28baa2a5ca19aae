# SPDX-License-Identifier: Apache-2.0
"""One small HTTP server on loopback, for every service that the fixtures stand in for."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import ssl

MAX_BODY = 1 << 30


@attrs.frozen(kw_only=True)
class Request:
    """What a client asked.

    Attributes:
        method: ``GET``, ``POST``, ``PUT``, ``HEAD`` or ``DELETE``.
        path: With its query, as sent.
        headers: Names in lower case.
        body: Whole.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")


@attrs.frozen(kw_only=True)
class Reply:
    """What it is answered.

    Attributes:
        status: HTTP status.
        body: Sent with its length; for ``HEAD`` only the length is.
        kind: Content type.
        headers: Others.
    """

    body: bytes = b""
    status: int = HTTPStatus.OK
    kind: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)


class HttpError(Exception):
    """What a service says no with.

    Attributes:
        status: HTTP status.
        code: A word for it.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@contextlib.contextmanager
def serving(answer: Callable[[Request], Reply], *, tls: "ssl.SSLContext | None" = None) -> Iterator[str]:
    """Answer HTTP requests on a random loopback port until the block ends.

    Args:
        answer: Called in a thread for each connection.
        tls: Makes it HTTPS.

    Yields:
        The server's address, ``http://127.0.0.1:PORT``.
    """

    class Handler(_Handler):
        def reply(self, request: Request) -> Reply:
            return answer(request)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small answer waits 40 ms for an acknowledgement
    wbufsize = 1 << 16

    def reply(self, request: Request) -> Reply:
        raise NotImplementedError

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=self.path, headers=headers, body=self._body(headers))
        try:
            found = self.reply(request)
        except HttpError as error:
            body = json.dumps({"error": error.code}).encode()
            found = Reply(status=error.status, body=body, headers={"X-Error-Code": error.code, "X-Error-Message": error.code})
        except (ValueError, KeyError, TypeError) as error:
            found = Reply(status=HTTPStatus.BAD_REQUEST, body=repr(error).encode(), kind="text/plain")
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(found.body)))
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(min(int(headers.get("content-length") or 0), MAX_BODY))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(min(size, MAX_BODY)))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Say nothing: a test's output is its own."""

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names it looks for
