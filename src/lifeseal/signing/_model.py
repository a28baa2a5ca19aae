# SPDX-License-Identifier: Apache-2.0
"""A signed model: its bytes can be had only through reads that check them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

import attrs

from lifeseal._io import Buffer, Hasher, ProgressCallback, Reader, Source, available_cores, hash_files, new_hasher, refuse_beyond_memory
from lifeseal.attestation import SignerInfo, Subject, Waiver
from lifeseal.errors import DigestMismatchError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import Manifest

_PIECE = 1 << 20
_WIDE_PIECE = 8 << 20


@attrs.frozen(kw_only=True)
class FileEntry:
    """One file of a model, as signed.

    Attributes:
        path: Relative, POSIX, no ``..``; the exact bytes of the name, never normalised.
        size: Bytes on disk when the model was opened; the signature binds the content, and so the length, through the digest.
        digest: Raw digest of the content, 32 or 64 bytes.
    """

    path: str
    size: int
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class Verification:
    """What a whole verification established, and what it did not look at.

    Attributes:
        subject: The model's signed name and root digest.
        signer: Who signed, or None where a waiver stood in for a signature.
        waiver: The waiver used, or None.
        files: Files whose content was compared.
        size: Bytes that were compared.
        hash: Hash used for the files.
        ignored: Paths left out by the signature or the caller.
        unsigned: Files that are there, not signed for, and were allowed.
    """

    subject: Subject
    signer: SignerInfo | None
    waiver: Waiver | None
    files: int
    size: int
    hash: str
    ignored: tuple[str, ...]
    unsigned: tuple[str, ...]


class SignedModel:
    """A model whose signature and manifest were checked; each read checks the content.

    It has no path protocol, so it cannot be handed to a loader that would read unchecked bytes. Made by `open_model`.

    Args:
        source: Where the files lie, pinned by descriptor.
        manifest: What was signed.
        subject: Signed name and root digest.
        signer: Who signed.
        waiver: What stood in for a signature.
        ignored: Paths left out.
        unsigned: Files allowed without being signed.
    """

    def __init__(
        self,
        *,
        source: Source,
        manifest: Manifest,
        subject: Subject,
        signer: SignerInfo | None,
        waiver: Waiver | None,
        ignored: frozenset[str],
        unsigned: tuple[str, ...],
    ) -> None:
        self._source = source
        self._manifest = manifest
        self._ignored = ignored
        self.subject = subject
        self.signer = signer
        self.waiver = waiver
        self.unsigned = unsigned
        self._entries: Mapping[str, FileEntry] = MappingProxyType(
            {r.name: FileEntry(path=r.name, size=source.size(r.name), digest=r.digest) for r in manifest.resources}
        )

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The signed files, in the signature's order."""
        return tuple(self._entries.values())

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

    @implements("7.1", evidences=("9.2",), limits="The whole file is read and hashed whatever part is asked for.")
    def readinto(self, name: str, buffer: Buffer, start: int = 0) -> int:
        """Read part of one file into memory of the caller's, checked.

        The whole file is read once and hashed; on any failure the buffer is zeroed. Nobody else may write to the buffer meanwhile.

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
        found = hash_files(self._source, list(self._entries), algorithm=self._manifest.hash, progress=progress, phase="verifying")
        changed = tuple(name for name, entry in self._entries.items() if found[name].digest != entry.digest)
        note(subject=self.subject.digest, files=len(found))
        if changed:
            raise DigestMismatchError(self._source.where, changed=changed)
        return Verification(
            subject=self.subject,
            signer=self.signer,
            waiver=self.waiver,
            files=len(found),
            size=sum(entry.size for entry in found.values()),
            hash=self._manifest.hash,
            ignored=tuple(sorted(self._ignored)),
            unsigned=self.unsigned,
        )

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
        wide = self._manifest.hash == "blake3" and entry.size > _WIDE_PIECE
        hasher = new_hasher(self._manifest.hash, threads=available_cores() if wide else 1)
        try:
            with self._source.open(name) as reader:
                intact = reader.size == entry.size and _hash_around(reader, hasher, view, start, _WIDE_PIECE if wide else _PIECE)
            if not intact or hasher.digest() != entry.digest:
                raise DigestMismatchError(self._source.where, changed=(name,))
        except BaseException:
            view[:] = bytes(len(view))
            raise
        return len(view)


def _hash_around(reader: Reader, hasher: Hasher, view: memoryview, start: int, piece: int) -> bool:
    """Hash a whole file in one pass while ``view`` takes what lies at ``start``; False if the file ends early or late."""
    scratch = memoryview(bytearray(min(piece, max(1, reader.size - len(view)))))
    stop = start + len(view)
    done = 0
    while done < reader.size:
        wanted = start <= done < stop
        target = view[done - start : done - start + piece] if wanted else scratch[: (start if done < start else reader.size) - done]
        count = reader.readinto(target, done)
        if count == 0:
            return False
        hasher.update(target[:count])
        done += count
    return reader.readinto(scratch[:1], done) == 0
