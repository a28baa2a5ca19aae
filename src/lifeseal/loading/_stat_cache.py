# SPDX-License-Identifier: Apache-2.0
"""Digests remembered by what the file system says of a file: faster than hashing again, and weaker."""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lifeseal._io import DiskReader, DiskSource, Reader, Record, StrPath, canonical, loads, parse_hex, read_bounded, replace
from lifeseal.errors import TamperedError
from lifeseal.loading._cache_key import KEY_SIZE, KeyringKey
from lifeseal.principles import implements, note
from lifeseal.signing import FileEntry, SignedModel, unchecked

if TYPE_CHECKING:
    from lifeseal.attestation import SignerInfo, Subject

STAT_CACHE_SCHEMA = "lifeseal.stat-cache/1"
_NAME = "lifeseal-stat-cache.json"
_STAMP = 40
_DIGEST = 32
_MAX_ENTRIES = 8192
_MAX_FILE = 4 << 20
_QUIET = 2_000_000_000
_TIMES = (slice(0, 8), slice(32, 40))
# Source: Linux, include/uapi/linux/magic.h: ext2 to ext4, XFS, Btrfs, F2FS, tmpfs. Others, network and FUSE among them, are never believed.
_LOCAL = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994})


class StatCache:
    """Digests by stamp, authenticated by a key.

    Args:
        folder: Where the cache lies.
        key: 32 bytes that lie elsewhere.
        clock: Nanoseconds since 1970.

    Raises:
        FormatError: The file is no such cache.
        LimitError: The file is too large.
        OSError: It cannot be read.
        TamperedError: It was changed, or made under another key.
    """

    def __init__(self, folder: StrPath, key: bytes, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._path = Path(folder) / _NAME
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._hashed: dict[tuple[str, bytes], int] = {}
        self._learnt = False
        self.believed: set[str] = set()
        self._digests = self._read()

    def stamp(self, reader: Reader) -> bytes | None:
        """Tell the stamp of an opened file; None where it is not to be believed: on other file systems, or changed in the last two seconds."""
        if not isinstance(reader, DiskReader) or _file_system(reader.fileno()) not in _LOCAL:
            return None
        found = reader.stamp()
        newest = max(int.from_bytes(found[place], "big", signed=True) for place in _TIMES)
        return found if newest <= self._clock() - _QUIET else None

    def knows(self, signed: SignedModel, entry: FileEntry, stamp: bytes) -> bool:
        """Tell whether a file with this stamp had the signed content."""
        known = self._digests.get(stamp) == _content(signed, entry)
        if known:
            with self._lock:
                self.believed.add(entry.path)
        return known

    def learn(self, signed: SignedModel, entry: FileEntry, stamp: bytes, size: int) -> None:
        """Count bytes of a file that were hashed and right; remember the file when that is all of it."""
        with self._lock:
            done = self._hashed[entry.path, stamp] = self._hashed.get((entry.path, stamp), 0) + size
            if done == entry.size:
                self._digests.pop(stamp, None)
                self._digests[stamp] = _content(signed, entry)
                self._learnt = True

    def save(self) -> None:
        """Write what was learnt; of very many entries the oldest go.

        Raises:
            OSError: The disk refused.
        """
        if self._learnt:
            newest = dict(list(self._digests.items())[-_MAX_ENTRIES:])
            entries = [[stamp.hex(), digest.hex()] for stamp, digest in newest.items()]
            replace(self._path, canonical({"schema": STAT_CACHE_SCHEMA, "entries": entries, "mac": self._mac(entries)}), mode=0o600)

    def _read(self) -> dict[bytes, bytes]:
        where = str(self._path)
        try:
            data = read_bounded(self._path, limit=_MAX_FILE)
        except FileNotFoundError:
            return {}
        record = Record(loads(data, where=where, max_bytes=_MAX_FILE, what="a stat cache"), where=where)
        record.take_const("schema", STAT_CACHE_SCHEMA)
        entries, mac = record.take_list("entries", max_items=_MAX_ENTRIES), record.take_str("mac", max_length=2 * _DIGEST)
        record.done()
        if not hmac.compare_digest(mac.encode(), self._mac(entries).encode()):
            raise TamperedError(f"{where}: was changed, or made under another key; remove it to have everything hashed again")
        found = {}
        for entry in entries:
            stamp, digest = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)  # noqa: PLR2004
            found[parse_hex(stamp, length=_STAMP, where=where)] = parse_hex(digest, length=_DIGEST, where=where)
        return found

    def _mac(self, entries: object) -> str:
        return hmac.digest(self._key, STAT_CACHE_SCHEMA.encode() + b"\0" + canonical(entries), "sha256").hex()


class StatCheckedModel:
    """A signed model of which files that look untouched since they were last hashed are not hashed again. Made by `stat_checked`.

    It goes to `load_tensors` and `load_into` in place of the `SignedModel`; nothing else takes it.

    Args:
        signed: The model.
        cache: What is remembered.
    """

    def __init__(self, signed: SignedModel, cache: StatCache) -> None:
        self._signed = signed
        self._cache = cache

    @property
    def subject(self) -> "Subject":
        """The model's signed name and root digest."""
        return self._signed.subject

    @property
    def signer(self) -> "SignerInfo | None":
        """Who signed."""
        return self._signed.signer

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The signed files."""
        return self._signed.files

    def __repr__(self) -> str:
        return f"<StatCheckedModel {self.subject.name!r} {self.subject.digest[:19]}>"


@implements(
    "7.1",
    evidences=("9.2",),
    limits="Weaker than hashing: what writes to a file's blocks, or through a map of memory that was made before, and what sets this machine's "
    "clock, can change content behind the same stamp.",
)
def stat_checked(signed: SignedModel, *, state: StrPath, key: bytes | KeyringKey) -> StatCheckedModel:
    """Hash each file of a model once, and believe the file system afterwards: for large models that are loaded again and again.

    Signature, policy, times, withdrawals and waivers were checked by `open_model`, and are each time. What is remembered is only: a file
    with this device, inode, size and these times had that digest. They are asked of the descriptor that is read from, before and after.
    Not believed are file systems other than ext4, XFS, Btrfs, F2FS and tmpfs (network, FUSE, overlay), files that changed in the last
    two seconds, and sealed assets; those are hashed each time.

    Args:
        signed: From `lifeseal.signing.open_model`.
        state: A folder for the cache.
        key: 32 random bytes that authenticate it, kept elsewhere; or where the operating system's keyring has them. Whoever has them can
            forge it.

    Returns:
        What `load_tensors` and `load_into` take in place of the model.

    Raises:
        FormatError: What lies in ``state`` is no such cache, or what lies in the keyring no key.
        LimitError: The cache is too large.
        MissingExtraError: The key is in the keyring, and the package ``keyring`` is not installed.
        OSError: The cache cannot be read.
        StoreError: There is no keyring that is known to keep secrets, or it is locked.
        TamperedError: The cache was changed, or made under another key.
        TypeError: ``signed`` is not a `SignedModel`.
        ValueError: The key is not 32 bytes long, or ``state`` lies in the model.
    """
    if not isinstance(signed, SignedModel):
        raise TypeError(f"stat_checked takes a SignedModel from signing.open_model, not {type(signed).__name__}")
    if not isinstance(key, KeyringKey) and len(key) != KEY_SIZE:
        raise ValueError(f"key= must be {KEY_SIZE} bytes, not {len(key)}")
    source = unchecked(signed)
    if isinstance(source, DiskSource) and source.names_of(Path(state) / _NAME):
        raise ValueError("state= must not lie in the model: the cache would be a file that nobody signed")
    note(subject=signed.subject.digest)
    return StatCheckedModel(signed, StatCache(state, key.fetch() if isinstance(key, KeyringKey) else key))


def opened(model: SignedModel | StatCheckedModel, *, what: str) -> tuple[SignedModel, StatCache | None]:
    """Take apart what a loading function was given.

    Args:
        model: A signed model, stat-checked or not.
        what: The function, for the error.

    Returns:
        The model, and the cache if there is one.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(model, StatCheckedModel):
        model._cache.believed.clear()  # noqa: SLF001 - one module
        return model._signed, model._cache  # noqa: SLF001
    if not isinstance(model, SignedModel):
        raise TypeError(f"{what} takes a SignedModel from signing.open_model, not {type(model).__name__}")
    return model, None


def _content(signed: SignedModel, entry: FileEntry) -> bytes:
    """One digest for what was signed of a file: hash, shard size and digests."""
    how = f"{signed.hash}:{signed.shard_size}:{entry.size}:".encode()
    return hashlib.sha256(how + b"".join(entry.shards or (entry.digest,))).digest()


def _file_system(fd: int) -> int:
    """Tell the kind of file system that a file lies on. Source: statfs(2); the first word is the type."""
    import ctypes

    room = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).fstatfs(fd, room) != 0:
        return 0
    return ctypes.c_ulong.from_buffer(room).value & 0xFFFFFFFF
