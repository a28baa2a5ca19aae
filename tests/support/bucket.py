# SPDX-License-Identifier: Apache-2.0
"""A bucket on loopback: moto's S3, behind a server that can be told to fail."""

import contextlib
import http.client
import logging
import threading
from urllib.parse import unquote, urlsplit

import boto3
from moto.server import ThreadedMotoServer

from lifeseal.testing._server import Reply, Request, serving

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
_KEPT = {"content-type", "content-length", "connection", "transfer-encoding", "server", "date"}


class Bucket:
    """One bucket.

    Attributes:
        url: ``s3://…``.
        endpoint: Where it answers.
        asked: What was asked, method and path, in order.
        fault: Called with each request; what it returns is answered instead of the object.
    """

    def __init__(self, moto):
        self._moto = moto
        self._lock = threading.Lock()
        self.url, self.endpoint = "s3://bucket", ""
        self.asked = []
        self.fault = lambda request: None
        self.client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{moto}", aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )

    def put(self, key, body, **options):
        self.client.put_object(Bucket="bucket", Key=key, Body=body, **options)

    def empty(self):
        self.asked.clear()
        self.fault = lambda request: None
        with contextlib.suppress(self.client.exceptions.NoSuchBucket):
            for entry in self.client.list_objects_v2(Bucket="bucket").get("Contents", ()):
                self.client.delete_object(Bucket="bucket", Key=entry["Key"])
            self.client.delete_bucket(Bucket="bucket")
        self.client.create_bucket(Bucket="bucket")

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.asked.append(f"{request.method} {unquote(urlsplit(request.path).path)}")
            found = self.fault(request)
        return self._ask(request) if found is None else found

    def _ask(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._moto)
        with contextlib.closing(connection):
            connection.request(request.method, request.path, body=request.body or None, headers=dict(request.headers))
            reply = connection.getresponse()
            body = reply.read()
            headers = {name: value for name, value in reply.getheaders() if name.lower() not in _KEPT}
            if request.method == "HEAD":
                body = bytes(int(reply.headers.get("content-length") or 0))
            return Reply(body=body, status=reply.status, kind=reply.headers.get("content-type", ""), headers=headers)


@contextlib.contextmanager
def bucket():
    """Run one, empty."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        found = Bucket(server.get_host_and_port()[1])
        with serving(found.answer) as found.endpoint:
            yield found
    finally:
        server.stop()


def refusal(status, code):
    """What S3 says no with."""
    return Reply(status=status, body=f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), kind="application/xml")
