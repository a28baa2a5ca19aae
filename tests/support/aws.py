# SPDX-License-Identifier: Apache-2.0
"""moto's KMS, for the shape of requests and answers alone: it decrypts with keys that are disabled or scheduled for deletion."""

import contextlib
import logging

import boto3
import requests
from botocore.config import Config
from moto.server import ThreadedMotoServer

KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
REGION = "eu-west-2"


@contextlib.contextmanager
def kms():
    """Run it, and give its address."""
    logger = logging.getLogger("werkzeug")
    level = logger.level
    logger.setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        logger.setLevel(level)


def client(url, *, attempts=1, timeout=10, region=REGION, **keys):
    config = Config(retries={"total_max_attempts": attempts}, connect_timeout=timeout, read_timeout=timeout)
    return boto3.client("kms", region_name=region, endpoint_url=url, config=config, **(keys or KEYS))


def forget(url):
    """Let the server forget every key."""
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
