# SPDX-License-Identifier: Apache-2.0
import contextlib
import copy
import ctypes
import os
import pickle
import re
import resource
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import pytest

from lifeseal._io import _memory
from lifeseal._io._memory import MAX_SECRET, Secret
from lifeseal.errors import LimitError

KEY = bytes(range(1, 33))

# Holds a key and says what it is, masked, so that neither the pipe nor the parent puts a copy into its memory.
HOLDER = """
import sys
from lifeseal._io._memory import Secret
secret = Secret.random(32)
kept = bytes(secret.view()) if "copy" in sys.argv else None
mask = bytearray(32)
with secret.view() as view:
    for place in range(32):
        mask[place] = view[place] ^ 255
print(mask.hex(), flush=True)
sys.stdin.readline()
secret.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def in_child(act):
    """Run it in a forked child and return its exit status, 99 if it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test worker may have threads; they hold nothing that the child needs
        child = os.fork()
    if child == 0:
        status = 99
        try:
            status = act()
        except BaseException:  # noqa: BLE001  # the child must not come back into the test
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def occurrences(pid, pattern):
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            start, end, rights, name = re.fullmatch(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()
            if "r" not in rights or name.startswith("[v"):
                continue
            memory.seek(int(start, 16))
            found += memory.read(int(end, 16) - int(start, 16)).count(pattern)
    return found


def test_holds_what_it_was_given():
    with Secret.copy_of(KEY) as secret, secret.view() as view:
        assert bytes(view) == KEY
        assert len(secret) == 32


def test_draws_keys_that_differ():
    with Secret.random() as one, Secret.random() as other:
        assert len(one) == 32
        assert not one.same_as(other)
        with one.view() as view:
            assert any(view)


@pytest.mark.parametrize("size", [1, 33, 4096, 10_000, MAX_SECRET])
def test_fills_all_of_any_size(size):
    with Secret.random(size) as secret, secret.view() as view:
        assert len(view) == size
        assert size < 33 or any(view[-16:])


def test_fills_only_the_part_asked_for():
    with Secret(64) as secret:
        secret.fill_random(16, 48)
        with secret.view() as view:
            assert bytes(view[:16]) == bytes(16) == bytes(view[48:])
            assert any(view[16:48])


@pytest.mark.parametrize("size", [0, -1, MAX_SECRET + 1])
def test_refuses_a_size_out_of_bounds(size):
    with pytest.raises(LimitError):
        Secret(size)


def test_zeroes_the_bytearray_it_copied_and_no_other_buffer():
    source, untouched = bytearray(KEY), memoryview(bytearray(KEY))
    Secret.copy_of(source).close()
    Secret.copy_of(untouched).close()
    assert source == bytes(32)
    assert untouched == KEY


def test_compares_by_content_only_when_asked_to():
    with Secret.copy_of(KEY) as one, Secret.copy_of(KEY) as same, Secret.copy_of(KEY[::-1]) as other:
        assert one.same_as(same)
        assert not one.same_as(other)
        assert one != same
        assert len({one, same}) == 2


def test_shows_nothing():
    with Secret.copy_of(b"not to be seen") as secret:
        for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(vars(secret))):
            assert "not to be seen" not in shown
        assert repr(secret) == "<Secret of 14 bytes>"


@pytest.mark.parametrize("act", [pickle.dumps, lambda secret: pickle.dumps(secret, protocol=0), copy.copy, copy.deepcopy])
def test_is_not_pickled_or_copied(act):
    with Secret(32) as secret, pytest.raises(TypeError, match="not pickled or copied"):
        act(secret)


def test_gives_no_view_after_close():
    secret = Secret(32)
    secret.close()
    secret.close()
    with pytest.raises(ValueError, match="closed"):
        secret.view()


@pytest.mark.parametrize("end", [Secret.close, Secret.__del__])
def test_is_zeroed_even_while_a_view_is_held(end):
    secret = Secret.copy_of(KEY)
    with secret.view() as view:
        end(secret)
        assert bytes(view) == bytes(32)


def test_is_zeroed_when_nobody_holds_it_any_more():
    view = Secret.copy_of(KEY).view()
    assert bytes(view) == bytes(32)
    view.release()


def test_a_child_sees_zeros_and_the_parent_its_key():
    with Secret.copy_of(KEY) as secret, secret.view() as view:
        plain = bytearray(KEY)
        assert in_child(lambda: 7 if bytes(view) == bytes(32) and plain == KEY else 1) == 7
        assert bytes(view) == KEY


def test_its_pages_are_locked_and_kept_out_of_dumps_and_forks():
    with Secret(32) as secret, secret.view() as view:
        flags = flags_at(ctypes.addressof(ctypes.c_char.from_buffer(view)))
    assert {"lo", "dd", "wf"} <= flags


def flags_at(address):
    flags, inside = "", False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            flags = line
    return set(flags.split())


@contextlib.contextmanager
def no_right_to_lock():
    before, user = resource.getrlimit(resource.RLIMIT_MEMLOCK), os.geteuid()
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, before[1]))
    try:
        if user == 0:
            os.seteuid(65534)  # root may always lock
        yield
    finally:
        os.seteuid(user)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)


def test_refuses_memory_that_cannot_be_locked():
    with pytest.raises(OSError, match=r"cannot be locked against swapping; raise the limit \(ulimit -l\)"), no_right_to_lock():
        Secret(32)
    Secret(32).close()


def test_takes_memory_that_cannot_be_locked_where_that_was_allowed(monkeypatch):
    monkeypatch.setattr(_memory, "_allowed", [])
    _memory.allow_unlocked_memory()
    with no_right_to_lock(), Secret.copy_of(KEY) as secret, secret.view() as view:
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        flags = flags_at(address)
        assert bytes(view) == KEY
    assert {"dd", "wf"} <= flags
    assert "lo" not in flags


@pytest.mark.parametrize(("options", "held", "after"), [([], 1, 0), (["copy"], 2, 1)], ids=["kept", "control"])
def test_the_key_is_found_in_no_other_place_of_the_process(options, held, after):
    with subprocess.Popen([sys.executable, "-c", HOLDER, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        key = bytes(byte ^ 255 for byte in bytes.fromhex(holder.stdout.readline()))
        assert occurrences(holder.pid, key) == held
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "closed\n"
        assert occurrences(holder.pid, key) == after
