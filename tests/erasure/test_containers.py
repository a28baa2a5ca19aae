# SPDX-License-Identifier: Apache-2.0
"""The container is C2SP Cobblestone-256: `cryptography` reads ours, and ours reads its."""

import contextlib
import os

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from lifeseal._io import DiskSource, Secret
from lifeseal.erasure._change import load
from lifeseal.erasure._container import file_key
from lifeseal.erasure._layout import DATA, container_context
from lifeseal.erasure._range import RangeReader
from lifeseal.errors import StateError, TamperedError


def test_cryptography_decrypts_our_container(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        identity = bytes.fromhex(vault.id)
    with load(desk.folder, desk.root) as state, state.tree.key(0) as key:
        found = []
        for path in desk.objects:
            file_id = bytes.fromhex(path.name)
            with file_key(key, file_id) as secret:
                decryptor = Cobblestone256Decryptor(bytes(secret.view()), container_context(identity, 0, 1, file_id, DATA))
            with contextlib.suppress(InvalidTag):  # the index, whose role is another
                found.append(decryptor.update(path.read_bytes()) + decryptor.finalize())
    assert sorted(found) == sorted(path.read_bytes() for path in desk.model.rglob("*") if path.is_file())


def sealed_by_cryptography(tmp_path, plain, key=bytes(32), context=b"context"):
    encryptor = Cobblestone256Encryptor(key, context)
    path = tmp_path / "container"
    path.write_bytes(encryptor.update(plain) + encryptor.finalize())
    return path


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 32767, 32768, 32769, 2_500_000])
def test_our_reader_decrypts_a_container_of_cryptography(tmp_path, size):
    plain = os.urandom(size)
    path = sealed_by_cryptography(tmp_path, plain)
    with DiskSource(path) as source, RangeReader(source.open("container"), Secret.copy_of(bytes(32)), b"context", where="c") as reader:
        assert reader.size == size
        buffer = bytearray(size + 5)
        assert reader.readinto(memoryview(buffer), 0) == size
        assert bytes(buffer) == plain + bytes(5)


PLAIN = os.urandom(3 * 16384 + 100)


@given(start=st.integers(0, len(PLAIN) + 10), count=st.integers(0, len(PLAIN) + 10))
def test_any_range_reads_as_the_slice(tmp_path_factory, start, count):
    path = sealed_by_cryptography(tmp_path_factory.mktemp("range"), PLAIN)
    with DiskSource(path) as source, RangeReader(source.open("container"), Secret.copy_of(bytes(32)), b"context", where="c") as reader:
        buffer = bytearray(count)
        done = reader.readinto(memoryview(buffer), start)
        assert bytes(buffer[:done]) == PLAIN[start : start + count]


@pytest.mark.parametrize(("key", "context"), [(bytes(31) + b"\1", b"context"), (bytes(32), b"contexts")])
def test_another_key_or_context_is_refused(tmp_path, key, context):
    path = sealed_by_cryptography(tmp_path, b"plain")
    with DiskSource(path) as source, pytest.raises(TamperedError, match="does not belong"):
        RangeReader(source.open("container"), Secret.copy_of(key), context, where="c")


def test_a_closed_reader_reads_nothing(tmp_path):
    path = sealed_by_cryptography(tmp_path, b"plain")
    with DiskSource(path) as source:
        with RangeReader(source.open("container"), Secret.copy_of(bytes(32)), b"context", where="c") as reader:
            pass
        with pytest.raises(StateError, match="closed"):
            reader.readinto(memoryview(bytearray(3)), 0)


def test_contexts_have_one_length_and_differ_in_every_field():
    base = (bytes(16), 1, 1, bytes(16), DATA)
    variants = [
        base,
        (b"\1" * 16, *base[1:]),
        (base[0], 2, *base[2:]),
        (*base[:2], 2, *base[3:]),
        (*base[:3], b"\1" * 16, DATA),
        (*base[:4], b"indx"),
    ]
    contexts = [container_context(*fields) for fields in variants]
    assert {len(context) for context in contexts} == {68}
    assert len(set(contexts)) == len(contexts)
