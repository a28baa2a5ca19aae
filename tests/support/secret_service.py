# SPDX-License-Identifier: Apache-2.0
"""A real Secret Service: gnome-keyring on a message bus of its own, with its files in a folder of the test run."""

import gc
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# The package keyring leaves the connection of a look-up that fails to the garbage collector.
LEAKS = "ignore:unclosed <socket:ResourceWarning"
NO_SERVICE = "gnome-keyring, dbus, libsecret-tools or the Python packages keyring and secretstorage are not installed"
# As a session's bus, but that it starts nothing by itself: a daemon that was killed stays away.
_BUS = """<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default"><allow send_destination="*"/><allow eavesdrop="false"/><allow own="*"/></policy>
</busconfig>
"""


def is_there() -> bool:
    programs = all(map(shutil.which, ("gnome-keyring-daemon", "dbus-daemon", "secret-tool")))
    return programs and all(map(importlib.util.find_spec, ("keyring", "secretstorage")))


class SecretService:
    """A bus, and a keyring daemon on it that is unlocked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bus.conf").write_text(_BUS)
        command = ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--print-address=1"]
        self._bus = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._bus.stdout is not None
        self.address = self._bus.stdout.readline().strip()
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon, anew if it runs, and wait until it answers."""
        import secretstorage

        if self._daemon is not None:
            self.kill()
        places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"), str(self.folder))
        environment = {**os.environ, **places, "DBUS_SESSION_BUS_ADDRESS": self.address}
        command = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"]
        self._daemon = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        assert self._daemon.stdin is not None
        self._daemon.stdin.write(b"a password")
        self._daemon.stdin.close()
        for _ in range(500):
            connection = secretstorage.dbus_init()
            try:
                if not secretstorage.get_default_collection(connection).is_locked():
                    return
            except secretstorage.exceptions.SecretStorageException:
                time.sleep(0.01)
            finally:
                connection.close()
        raise AssertionError("the Secret Service did not start")

    def kill(self) -> None:
        """Kill the daemon; one that is dead is no error."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()

    def lock(self) -> None:
        """Lock the keyring, as a session does that is left alone."""
        import secretstorage

        connection = secretstorage.dbus_init()
        secretstorage.get_default_collection(connection).lock()
        connection.close()

    def stop(self) -> None:
        if self._daemon is not None:
            self.kill()
        self._bus.terminate()
        self._bus.wait()
        assert self._bus.stdout is not None
        self._bus.stdout.close()
        gc.collect()

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run secret-tool, which knows nothing of ours."""
        environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}
        return subprocess.run(["secret-tool", *arguments], check=False, capture_output=True, text=True, env=environment, timeout=20)
