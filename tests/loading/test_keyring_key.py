# SPDX-License-Identifier: Apache-2.0
"""A stat cache's key in the keyring: a real Secret Service on a bus of its own, and keyrings that are not believed."""

import os
import shutil
import subprocess
import sys

import keyring.errors
import numpy as np
import pytest
import safetensors.numpy

from lifeseal._io import KEYRINGS, _keyring, open_keyring
from lifeseal.errors import FormatError, StoreError
from lifeseal.loading import KeyringKey, load_tensors, stat_checked

PROGRAM = """
import sys
from pathlib import Path
import keyring.backends.SecretService as service
from lifeseal._io import open_keyring
from lifeseal.loading import KeyringKey
first = KeyringKey(name="models").fetch()
assert type(open_keyring()) is service.Keyring
print(len(first), first == KeyringKey(name="models").fetch(), first == KeyringKey(name="others").fetch())
"""


class Held:
    """A keyring in memory."""

    priority = 9

    def __init__(self):
        self.kept = {}

    def get_password(self, service, name):
        return self.kept.get((service, name))

    def set_password(self, service, name, password):
        self.kept[service, name] = password


@pytest.fixture
def held(monkeypatch):
    made = Held()
    monkeypatch.setattr("lifeseal.loading._cache_key.open_keyring", lambda: made)
    return made


@pytest.mark.skipif(not shutil.which("gnome-keyring-daemon") or not shutil.which("dbus-run-session"), reason="no Secret Service to start here")
def test_a_real_secret_service_makes_a_key_once_and_keeps_it(tmp_path):
    script = f'echo -n test | gnome-keyring-daemon --unlock --components=secrets >/dev/null; {sys.executable} -c "$PROGRAM"'
    surroundings = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PROGRAM": PROGRAM}
    done = subprocess.run(["dbus-run-session", "--", "bash", "-c", script], env=surroundings, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "32 True False\n"), done.stderr


def test_the_cache_is_bound_to_the_key_in_the_keyring(tmp_path, held, opened):
    folder, state = tmp_path / "model", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    safetensors.numpy.save_file({"a": np.ones(3, np.float32)}, folder / "m.safetensors")
    os.utime(folder / "m.safetensors", (1, 1))
    signed = opened(folder)
    assert load_tensors(stat_checked(signed, state=state, key=KeyringKey(name="k")))["a"].sum() == 3
    (secret,) = held.kept.values()
    assert len(bytes.fromhex(secret)) == 32
    stat_checked(signed, state=state, key=bytes.fromhex(secret))
    assert secret not in repr(KeyringKey(name="k"))


def test_what_lies_there_and_is_no_key_is_refused_and_not_shown(held):
    KeyringKey(name="k").fetch()
    held.kept = dict.fromkeys(held.kept, "hunter2")
    with pytest.raises(FormatError, match="a key of 64 hexadecimal digits was expected") as caught:
        KeyringKey(name="k").fetch()
    assert "hunter2" not in str(caught.value)


def test_a_locked_keyring_is_unavailable(held, monkeypatch):
    def locked(*_):
        raise keyring.errors.KeyringLocked("locked")

    monkeypatch.setattr(held, "get_password", locked)
    with pytest.raises(StoreError, match="is it unlocked"):
        KeyringKey(name="k").fetch()


def test_keyrings_are_chosen_by_class_and_never_by_the_environment(monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    with pytest.raises(StoreError, match=r"no keyring that is known to keep secrets \(SecretService: "):
        open_keyring()
    monkeypatch.setattr(_keyring, "KEYRINGS", (*KEYRINGS, f"{__name__}.Held"))
    assert isinstance(open_keyring(), Held)


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_refuses_a_name_that_people_cannot_read(name):
    with pytest.raises(ValueError, match=r"name|Length"):
        KeyringKey(name=name)
