# SPDX-License-Identifier: Apache-2.0
"""swtpm, a TPM 2.0 of software: the real program, on a socket in a folder of the test run."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

_ACCEPTS = "00010000"  # flag of a socket that takes connections
NO_SWTPM = "swtpm, tpm2-tools or tpm2-pytss is not installed"


def is_there() -> bool:
    return all(map(shutil.which, ("swtpm", "tpm2_nvreadpublic"))) and importlib.util.find_spec("tpm2_pytss") is not None


def _listening(path: str) -> bool:
    """Tell whether somebody listens at a socket; asking it would be a connection, and it takes one."""
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(words[-1] == path and words[3] == _ACCEPTS for words in lines)


class Swtpm:
    """A TPM with its state in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.socket}"

    def start(self) -> None:
        """Power the TPM on."""
        (self.folder / "state").mkdir(exist_ok=True)
        control = f"type=unixio,path={self.socket}.ctrl"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}/state", "--ctrl", control]
        command += ["--server", f"type=unixio,path={self.socket}", "--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if _listening(str(self.socket)) and _listening(f"{self.socket}.ctrl"):
                return
            time.sleep(0.01)
        raise AssertionError("swtpm did not start")

    def stop(self) -> None:
        """Cut its power."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for path in (self.socket, Path(f"{self.socket}.ctrl")):
            path.unlink(missing_ok=True)

    def tool(self, name: str, *arguments: str, check: bool = True, tcti: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of tpm2-tools, which know nothing of ours."""
        environment = {**os.environ, "TPM2TOOLS_TCTI": tcti or self.tcti, "TSS2_LOG": "all+NONE"}
        return subprocess.run([f"tpm2_{name}", *arguments], check=check, capture_output=True, text=True, env=environment)


class Tap:
    """A socket before the TPM's that keeps what passes, and can be cut at a command: ``(number, "before" or "after")`` it was carried out."""

    def __init__(self, tpm: Swtpm, path: Path) -> None:
        self.path = path
        self.seen = bytearray()
        self.commands: list[int] = []
        self.done: list[int] = []
        self.cut: tuple[int, str] | None = None
        self._tpm = tpm
        Path(f"{path}.ctrl").symlink_to(f"{tpm.socket}.ctrl")  # what switches the TPM on and off passes by
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.path}"

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
                server.connect(str(self._tpm.socket))
                self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """Hand commands and answers on; a command is 2 bytes of tag, 4 of length, 4 of code, and so on."""
        while command := client.recv(4096):
            self.seen += command
            self.commands.append(int.from_bytes(command[6:10], "big"))
            at = len(self.commands)
            if self.cut == (at, "before"):
                return
            server.sendall(command)
            answer = server.recv(4096)
            self.seen += answer
            if int.from_bytes(answer[6:10], "big") == 0:
                self.done.append(self.commands[-1])
            if self.cut == (at, "after"):
                return
            client.sendall(answer)
