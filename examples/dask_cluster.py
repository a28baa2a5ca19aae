# SPDX-License-Identifier: Apache-2.0
"""Records a bucket on a Dask cluster, down to the record, and compares with the same call in one process.

``pip install 'lifeseal[dask]' 'moto[s3,server]'``, then ``python examples/dask_cluster.py``. The bucket is one of moto on loopback; for your
own, give its URL: ``python examples/dask_cluster.py s3://BUCKET/PREFIX``. Credentials come from where boto looks for them.
"""

import datetime as dt
import gzip
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from lifeseal import provenance

DESCRIPTION = provenance.Description(
    name="reviews", source="https://example.org/reviews", obtained=dt.datetime(2026, 11, 1, tzinfo=dt.UTC), licence="CC-BY-4.0"
)
LOOPBACK = {"AWS_ACCESS_KEY_ID": "example", "AWS_SECRET_ACCESS_KEY": "example", "AWS_DEFAULT_REGION": "us-east-1"}


def serve(told: Connection) -> None:
    """Run a bucket's server in a process of its own."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    told.send(server.get_host_and_port()[1])
    told.recv()


def fill() -> str:
    """Put a small dataset into a bucket."""
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="datasets")
    for number in range(40):
        lines = "".join(f'{{"id": {number * 1000 + line}, "text": "review number {line}"}}\n' for line in range(1000)).encode()
        s3.put_object(Bucket="datasets", Key=f"reviews/train/{number:03}.jsonl", Body=lines)
    s3.put_object(Bucket="datasets", Key="reviews/train/last.jsonl.gz", Body=gzip.compress(b'{"id": -1}\n', mtime=0))
    s3.put_object(Bucket="datasets", Key="reviews/photo.bin", Body=bytes(1 << 20), ChecksumAlgorithm="SHA256")
    s3.put_object(Bucket="datasets", Key="reviews/README", Body=b"Reviews of 2026.\n")
    return "s3://datasets/reviews"


def record(url: str, folder: Path) -> None:
    """Record twice, and compare."""
    from distributed import Client, LocalCluster

    begun = time.monotonic()
    alone = provenance.record(url, description=DESCRIPTION, records=provenance.Records(leaves=folder / "alone"))
    took = time.monotonic() - begun
    print(f"in this process   {len(alone.files)} files, {alone.size} bytes, {alone.records} records in {took:.1f} s")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        begun = time.monotonic()
        spread = provenance.record(url, description=DESCRIPTION, records=provenance.Records(leaves=folder / "spread"), executor=executor)
        print(f"on {len(client.scheduler_info()['workers'])} workers      in {time.monotonic() - begun:.1f} s")
    if spread.to_bytes() != alone.to_bytes():
        sys.exit("the manifests differ")
    leaves = {path.name: path.read_bytes() for path in (folder / "alone").glob("*.leaves")}
    if leaves != {path.name: path.read_bytes() for path in (folder / "spread").glob("*.leaves")}:
        sys.exit("the leaf files differ")
    print(f"byte for byte the same manifest and {len(leaves)} leaf files: {spread.digest}")


def main() -> None:
    """Record the bucket that was named, or one on loopback."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:]:
            record(sys.argv[1], Path(folder))
            return
        start = multiprocessing.get_context("spawn")
        here, there = start.Pipe()
        server = start.Process(target=serve, args=(there,), daemon=True)
        server.start()
        os.environ.update({**LOOPBACK, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{here.recv()}"})
        try:
            record(fill(), Path(folder))
        finally:
            here.send("done")
            server.join()


if __name__ == "__main__":
    main()
