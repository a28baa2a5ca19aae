# SPDX-License-Identifier: Apache-2.0
"""A signed model: its bytes can be had only through reads that check them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

import attrs

from lifeseal._io import Buffer, Hasher, HashName, ProgressCallback, Reader, Source, available_cores, hash_files, new_hasher, refuse_beyond_memory
from lifeseal.attestation import Fault, SignerInfo, Subject, Waiver, Withdrawals
from lifeseal.errors import DigestMismatchError, PolicyError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import Manifest, Resource

_PIECE = 1 << 20
_WIDE_PIECE = 8 << 20


@attrs.frozen(kw_only=True)
class FileEntry:
    """One file of a model, as signed.

    Attributes:
        path: Relative, POSIX, no ``..``; the exact bytes of the name, never normalised.
        size: Bytes on disk when the model was opened; the signature binds the content, and so the length, through the digest.
        digest: Raw digest of the content, 32 or 64 bytes; empty where the file was signed in shards.
        shards: Raw digests of its shards, in order, where it was signed so.
        stamp: What the file system said of the file when `digest` read it, for comparison only; empty elsewhere.
    """

    path: str
    size: int
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    shards: tuple[bytes, ...] = attrs.field(default=(), repr=lambda s: f"<{len(s)} shards>")
    stamp: bytes = attrs.field(default=b"", repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Verification:
    """What a whole verification established, and what it did not look at.

    Attributes:
        subject: The model's signed name and root digest.
        signer: Who signed, or None where a waiver stood in for a signature.
        waiver: The waiver used, for a missing signature or for a withdrawal, or None.
        withdrawals: The list that was consulted, or None.
        withdrawn: What it says of the model or its signer, in sentences, where the waiver let it pass.
        files: Files whose content was compared.
        size: Bytes that were compared.
        hash: Hash used for the files.
        ignored: Paths left out by the signature or the caller.
        unsigned: Files that are there, not signed for, and were allowed.
        shard_size: Bytes of a shard where files were signed in shards, or None.
        not_covered: What the verdict does not speak of, in sentences: revocation, untrusted timestamps, paths and files left out.
    """

    subject: Subject
    signer: SignerInfo | None
    waiver: Waiver | None
    withdrawals: Withdrawals | None
    withdrawn: tuple[str, ...]
    files: int
    size: int
    hash: str
    ignored: tuple[str, ...]
    unsigned: tuple[str, ...]
    shard_size: int | None
    not_covered: tuple[str, ...]


class SignedModel:
    """A model whose signature and manifest were checked; each read checks the content.

    It has no path protocol, so it cannot be handed to a loader that would read unchecked bytes. Made by `open_model`.

    Args:
        source: Where the files lie, pinned by descriptor.
        manifest: What was signed.
        subject: Signed name and root digest.
        signer: Who signed.
        waiver: What stood in for a signature, or let something withdrawn pass.
        withdrawals: The list that was consulted.
        withdrawn: What it says of the model or its signer, and the waiver let pass.
        ignored: Paths left out.
        unsigned: Files allowed without being signed.
        exceptions: The waiver that was given, whether or not it was needed so far.
    """

    def __init__(
        self,
        *,
        source: Source,
        manifest: Manifest,
        subject: Subject,
        signer: SignerInfo | None,
        waiver: Waiver | None,
        withdrawals: Withdrawals | None,
        withdrawn: tuple[str, ...],
        ignored: frozenset[str],
        unsigned: tuple[str, ...],
        exceptions: Waiver | None = None,
    ) -> None:
        self._source = source
        self._manifest = manifest
        self._ignored = ignored
        self._exceptions = exceptions
        self.subject = subject
        self.signer = signer
        self.waiver = waiver
        self.withdrawals = withdrawals
        self.withdrawn = withdrawn
        self.unsigned = unsigned
        self._entries: Mapping[str, FileEntry] = MappingProxyType(
            {name: _entry(name, source.size(name), parts, sharded=manifest.shard_size is not None) for name, parts in manifest.parts()}
        )

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The signed files, in the signature's order."""
        return tuple(self._entries.values())

    @property
    def hash(self) -> HashName:
        """Hash of the files: ``sha256``, ``blake2b`` or ``blake3``."""
        return self._manifest.hash

    @property
    def shard_size(self) -> int | None:
        """Bytes of each shard but a file's last; None where files were signed whole."""
        return self._manifest.shard_size

    @property
    def size(self) -> int:
        """Bytes of all signed files."""
        return sum(entry.size for entry in self._entries.values())

    @implements("7.1", evidences=("9.2",), limits="What was signed is what is read; that it does no harm is not shown by a signature.")
    def read(self, name: str) -> bytes:
        """Read one whole file, checked.

        Args:
            name: As in `files`.

        Returns:
            Its bytes; exactly those that were signed.

        Raises:
            DigestMismatchError: The content is not what was signed.
            KeyError: The signature names no such file.
            LimitError: It is larger than this machine's memory.
            OSError: It cannot be read.
        """
        refuse_beyond_memory(self._entry(name).size, where=f"{self._source.where}: {name!r}")
        buffer = bytearray(self._entry(name).size)
        self._fill(name, memoryview(buffer), 0)
        return bytes(buffer)

    @implements(
        "7.1",
        evidences=("9.2",),
        limits="Of a file signed whole, all is read and hashed whatever part is asked for; of one in shards, those touched.",
    )
    def readinto(self, name: str, buffer: Buffer, start: int = 0) -> int:
        """Read part of one file into memory of the caller's, checked.

        The whole file, or each shard that holds some of the part, is read once and hashed; on any failure the buffer is zeroed. Nobody else
        may write to the buffer meanwhile.

        Args:
            name: As in `files`.
            buffer: Writable; as much of the file as fits is put there.
            start: Offset in the file, bytes.

        Returns:
            Bytes put into the buffer.

        Raises:
            DigestMismatchError: The content is not what was signed.
            KeyError: The signature names no such file.
            OSError: It cannot be read.
            ValueError: ``start`` is negative.
        """
        if start < 0:
            raise ValueError("start= must not be negative")
        with memoryview(buffer).cast("B") as view:
            return self._fill(name, view[: max(0, self._entry(name).size - start)], start)

    @implements(
        "5.3.1",
        "7.1",
        evidences=("2.4", "9.2"),
        limits="It tells that nothing changed since signing, at the moment of reading; files can change afterwards, so load through a SignedModel.",
    )
    def verify(self, progress: ProgressCallback = None) -> Verification:
        """Read every signed file and compare it.

        Args:
            progress: Called about five times a second; raising from it stops the work.

        Returns:
            What was established.

        Raises:
            DigestMismatchError: Files differ from what was signed; lists them.
            FormatError: A file changed while it was read.
            OSError: A file cannot be read.
        """
        how = self._manifest
        names = list(self._entries)
        found = hash_files(self._source, names, algorithm=how.hash, shard_size=how.shard_size, progress=progress, phase="verifying")
        changed = tuple(name for name, e in self._entries.items() if (found[name].digest, found[name].shards) != (e.digest, e.shards))
        note(subject=self.subject.digest, files=len(found))
        if changed:
            raise DigestMismatchError(self._source.where, changed=changed)
        return Verification(
            subject=self.subject,
            signer=self.signer,
            waiver=self.waiver,
            withdrawals=self.withdrawals,
            withdrawn=self.withdrawn,
            files=len(found),
            size=sum(entry.size for entry in found.values()),
            hash=how.hash,
            ignored=tuple(sorted(self._ignored)),
            unsigned=self.unsigned,
            shard_size=how.shard_size,
            not_covered=self._not_covered(),
        )

    def _not_covered(self) -> tuple[str, ...]:
        notes = () if self.signer is None else self.signer.notes
        paths = (f"left out, whatever lies there: {', '.join(sorted(self._ignored))}",) if self._ignored else ()
        lists = ("no withdrawal list was consulted",) if self.withdrawals is None else ()
        return (*notes, *lists, *paths, *((f"unsigned files: {len(self.unsigned)}",) if self.unsigned else ()))

    def check_waiver(self, fault: Fault) -> None:
        """Accept a fault of this model under the waiver that `open_model` was given, or raise.

        Args:
            fault: What is wrong with it.

        Raises:
            PolicyError: No waiver was given, or it does not cover the model (its root digest; if it is unsigned, its `Digests.inventory`),
                does not allow the fault, or has expired.
        """
        if self._exceptions is None:
            raise PolicyError(f"{self._source.where}: {fault}, and open_model was given no waiver")
        self._exceptions.check(self.subject.digest if self.signer is not None else f"sha256:{self._manifest.inventory.hex()}", fault)

    def close(self) -> None:
        """Let go of the model's files; twice is no error."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SignedModel {self.subject.name!r} {self.subject.digest[:19]}>"

    def _entry(self, name: str) -> FileEntry:
        entry = self._entries.get(name)
        if entry is None:
            raise KeyError(f"{name!r} is not among the signed files of {self.subject.name!r}")
        return entry

    def _fill(self, name: str, view: memoryview, start: int) -> int:
        entry = self._entry(name)
        note(subject=self.subject.digest, file=name)
        length = self._manifest.shard_size or max(1, entry.size)
        digests = entry.shards or (entry.digest,)
        touched = range(min(start // length, len(digests) - 1), min((start + max(1, len(view)) - 1) // length, len(digests) - 1) + 1)
        wide = self._manifest.hash == "blake3" and min(length, entry.size) > _WIDE_PIECE
        try:
            with self._source.open(name) as reader:
                intact = reader.size == entry.size
                for index in touched if intact else ():
                    hasher = new_hasher(self._manifest.hash, threads=available_cores() if wide else 1)
                    first, last = index * length, min(entry.size, (index + 1) * length)
                    part = view[max(0, first - start) : max(0, last - start)]
                    intact = _hash_around(reader, hasher, part, max(start, first), range(first, last))
                    if not intact or hasher.digest() != digests[index]:
                        raise DigestMismatchError(self._source.where, changed=(name,))
            if not intact:
                raise DigestMismatchError(self._source.where, changed=(name,))
        except BaseException:
            view[:] = bytes(len(view))
            raise
        return len(view)


def unchecked(signed: SignedModel) -> Source:
    """Hand out a model's files as they lie there, unverified: for code that hashes what it reads and compares it with `SignedModel.files` itself.

    `lifeseal.loading` is made of it. Nothing else should be: what is read here can be anything.

    Args:
        signed: The model.

    Returns:
        Its files.
    """
    return signed._source  # noqa: SLF001 - the one door


def _entry(name: str, size: int, parts: tuple[Resource, ...], *, sharded: bool) -> FileEntry:
    if sharded:
        return FileEntry(path=name, size=size, digest=b"", shards=tuple(part.digest for part in parts))
    return FileEntry(path=name, size=size, digest=parts[0].digest)


def _hash_around(reader: Reader, hasher: Hasher, view: memoryview, start: int, within: range) -> bool:
    """Hash a file or shard in one pass while ``view`` takes what lies at ``start``; False if the file ends early or late."""
    done, end = within.start, within.stop
    piece = _WIDE_PIECE if len(within) > _WIDE_PIECE else _PIECE
    scratch = memoryview(bytearray(min(piece, max(1, end - done - len(view)))))
    stop = start + len(view)
    while done < end:
        wanted = start <= done < stop
        target = view[done - start : done - start + piece] if wanted else scratch[: (start if done < start else end) - done]
        count = reader.readinto(target, done)
        if count == 0:
            return False
        hasher.update(target[:count])
        done += count
    return end < reader.size or reader.readinto(scratch[:1], done) == 0
