# SPDX-License-Identifier: Apache-2.0
"""A connection between a client and a real service, which loses, doubles or delays what a test tells it to."""

import contextlib
import http.client
import http.server
import threading
from urllib.parse import urlsplit


class Proxy:
    """Passes requests on, one by one.

    Attributes:
        at: Number of the request that is treated otherwise, from 1; 0 for none.
        way: ``before``: it never arrives; ``after``: its answer is lost; ``twice``: it arrives twice; ``late``: its answer is held back.
        lasting: Whether no later request arrives either.
        seen: Method and path of each request so far.
    """

    def __init__(self, target):
        self._target = urlsplit(target)
        self.held = threading.Event()
        self.plan()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece: else each answer waits for the other side's delayed acknowledgement

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return lambda: proxy.handle(self)
                raise AttributeError(name)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def plan(self, at=0, way="before", *, lasting=False):
        """Say what shall happen from here on."""
        self.held.set()
        self.held = threading.Event()
        self.at, self.way, self.lasting, self.seen = at, way, lasting, []

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.held.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def handle(self, request):
        """Pass a request on, or do to it what was planned."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append((request.command, request.path))
        here = len(self.seen) == self.at
        held = self.held
        if (here and self.way == "before") or (self.lasting and 0 < self.at < len(self.seen)):
            request.close_connection = True
            return
        if here and self.way == "twice":
            self._pass(request, body)
        status, headers, content = self._pass(request, body)
        if here and self.way == "late":
            held.wait(30)
        if here and self.way in {"after", "late"}:
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "content-length", "connection", "date", "server"}:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
        request.wfile.flush()

    def _pass(self, request, body):
        upstream = http.client.HTTPConnection(self._target.hostname, self._target.port, timeout=30)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in {"connection", "content-length"}}
            upstream.request(request.command, request.path, body=body, headers=headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()
