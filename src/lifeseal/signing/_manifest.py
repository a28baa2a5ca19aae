# SPDX-License-Identifier: Apache-2.0
"""The OpenSSF Model Signing predicate: which files, which digests."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Self

import attrs

from lifeseal._io import DIGEST_SIZES, HASHES, HashName, Record, canonical, checked_name
from lifeseal.attestation import Purpose, Statement, Subject
from lifeseal.errors import FormatError, LimitError

SIGNATURE_NAME = "model.sig"
_MAX_RESOURCES = 1 << 20
_MAX_LISTED = 4096
_SHARD = re.compile(r"(.*):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})", re.ASCII | re.DOTALL)
# Source: OMS v1.0, section 6.3: paths of version control at the top level are left out.
VERSION_CONTROL = frozenset({".git", ".gitattributes", ".github", ".gitignore"})


@attrs.frozen(kw_only=True)
class Resource:
    """One file, or one shard of a file, as the manifest lists it.

    Attributes:
        name: Of the file: relative, POSIX, the exact bytes of the name, never normalised.
        digest: Raw digest of the content, 32 or 64 bytes.
        start: Where the shard starts, bytes.
        end: Where it ends, exclusive; None for a whole file.
    """

    name: str
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    start: int = 0
    end: int | None = None

    @property
    def listed(self) -> str:
        """The name as the manifest has it. Source: OMS v1.0, section 6.2: ``path:start:end``."""
        return self.name if self.end is None else f"{self.name}:{self.start}:{self.end}"


@attrs.frozen(kw_only=True)
class Manifest:
    """What an OMS signature is over.

    Attributes:
        resources: The files or shards, in the order that the root digest is over.
        hash: Hash of each; the root digest is always SHA-256.
        ignored: Paths that were left out when it was signed.
        shard_size: Bytes of each shard but a file's last; None where whole files are listed.
        links: Whether the signer took links to files as files.
    """

    resources: tuple[Resource, ...]
    hash: HashName
    ignored: frozenset[str]
    shard_size: int | None = None
    links: bool = False

    def parts(self) -> Iterator[tuple[str, tuple[Resource, ...]]]:
        """Give each file's name, and what is listed of it in the order of its bytes."""
        if self.shard_size is None:
            yield from ((resource.name, (resource,)) for resource in self.resources)
            return
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.name, []).append(resource)
        yield from ((name, tuple(sorted(listed, key=lambda r: (r.start, r.end or 0)))) for name, listed in found.items())

    @property
    def root(self) -> bytes:
        """SHA-256 over the raw digests in order."""
        return hashlib.sha256(b"".join(resource.digest for resource in self.resources)).digest()

    @property
    def top_names(self) -> frozenset[str]:
        """The first part of each name: files and folders that the signature speaks of."""
        return frozenset(resource.name.partition("/")[0] for resource in self.resources)

    @property
    def inventory(self) -> bytes:
        """SHA-256 over names and digests; the root is over digests alone, and where no signature binds the names this must."""
        return hashlib.sha256(canonical([[resource.listed, resource.digest.hex()] for resource in self.resources])).digest()

    def to_statement(self, name: str) -> Statement:
        """Write the in-toto statement; equal manifests give equal statements.

        Args:
            name: What to call the model; informational.

        Returns:
            The statement.

        Raises:
            LimitError: There are more entries, or longer names, than any verifier of ours reads.
        """
        longest = max(self.resources, key=lambda resource: len(resource.listed))
        if len(self.resources) > _MAX_RESOURCES:
            raise LimitError("files and shards of the signature", limit=_MAX_RESOURCES, seen=len(self.resources), unit="entries")
        if len(longest.listed) > _MAX_LISTED:
            raise LimitError(f"{longest.listed[:80]!r}…", limit=_MAX_LISTED, seen=len(longest.listed), unit="characters")
        how: dict[str, object] = {
            "method": "files" if self.shard_size is None else "shards",
            "hash_type": self.hash,
            "allow_symlinks": self.links,
            "ignore_paths": sorted(self.ignored),
        }
        if self.shard_size is not None:
            how["shard_size"] = self.shard_size
        listed = [{"name": resource.listed, "algorithm": self.hash, "digest": resource.digest.hex()} for resource in self.resources]
        return Statement(
            subjects=(Subject(name=name, sha256=self.root),),
            predicate_type=Purpose.MODEL.predicate_type,
            predicate={"serialization": how, "resources": listed},
        )

    @classmethod
    def from_statement(cls, statement: Statement, *, lone_name: str | None, where: str) -> Self:
        """Read the predicate strictly.

        Args:
            statement: A verified statement. Its list of files is empty afterwards: that of a large model is not kept twice.
            lone_name: What ``"."`` stands for, as other releases name a model of one file; None for a folder, which has no such file.
            where: Name for error messages.

        Returns:
            The manifest; its root digest is the statement's subject.

        Raises:
            FormatError: It is not an OMS v1.0 predicate, or contradicts itself.

        Source: OMS v1.0, sections 5 and 6.
        """
        if len(statement.subjects) != 1:
            raise FormatError(where, f"exactly one subject was expected, not {len(statement.subjects)}")
        predicate = Record(statement.predicate, where=f"{where}, predicate")
        how = predicate.take_record("serialization")
        bare = _serialization(how)
        listed = predicate.take_list("resources", max_items=_MAX_RESOURCES)
        predicate.done()
        if not listed:
            raise FormatError(predicate.at("resources"), "at least one file was expected")
        listed.reverse()
        resources = [_resource(listed.pop(), bare, where=predicate.at("resources")) for _ in range(len(listed))]
        if lone_name is not None and {resource.name for resource in resources} == {"."}:
            resources = [attrs.evolve(resource, name=lone_name) for resource in resources]
        manifest = cls(resources=tuple(resources), hash=bare.hash, ignored=bare.ignored, shard_size=bare.shard_size, links=bare.links)
        manifest.check(statement.subjects[0], where=predicate.at("resources"))
        return manifest

    def check(self, subject: Subject, *, where: str) -> None:
        """Refuse names that are no plain places, what is listed twice, shards that do not tile their file, and a root that is not the subject's.

        Args:
            subject: What the statement says it is about.
            where: Name for error messages.

        Raises:
            FormatError: One of these.
        """
        seen: set[tuple[str, int] | str] = set()
        for resource in self.resources:
            checked_name(resource.name, where=where)
            key = resource.name if resource.end is None else (resource.name, resource.start)
            if key in seen:
                raise FormatError(where, f"{resource.name[:200]!r} is listed twice")
            seen.add(key)
        for _, parts in self.parts() if self.shard_size is not None else ():
            _check_tiles(parts, self.shard_size or 0, where=where)
        if self.root != subject.sha256:
            raise FormatError(where, "the listed digests do not add up to the subject's digest")


def _check_tiles(parts: tuple[Resource, ...], size: int, *, where: str) -> None:
    """Refuse shards of one file that leave a gap, overlap, or are not all of the one size but the last."""
    *full, last = parts
    regular = all((part.start, part.end) == (index * size, (index + 1) * size) for index, part in enumerate(full))
    if not regular or last.start != len(full) * size or not last.start < (last.end or 0) <= last.start + size:
        place = next((part for index, part in enumerate(parts) if part.start != index * size or part.end != (index + 1) * size), last)
        raise FormatError(
            f"{where}: {place.listed[:200]!r}", f"shards of {size} bytes that tile the file from 0 without gap or overlap were expected"
        )


def ignore_set(paths: Iterable[str], *, where: str) -> frozenset[str]:
    """Check paths to leave out, as a caller gives them.

    Args:
        paths: Relative POSIX paths; no patterns.
        where: Name for error messages.

    Returns:
        The paths.

    Raises:
        FormatError: One is not a plain relative path.
        TypeError: One text was given instead of several.
    """
    if isinstance(paths, str):
        raise TypeError(f"ignored paths are several, such as [{paths[:80]!r}]")
    return frozenset({checked_name(path.rstrip("/"), where=f"{where}, ignored path") for path in paths})


def _serialization(how: Record) -> Manifest:
    """Read how it was signed, as a manifest without files."""
    method = how.take_str("method", max_length=64)
    if method not in {"files", "shards"}:
        raise FormatError(how.at("method"), f"method 'files' or 'shards' was expected, not {method[:60]!r}")
    named = how.take_str("hash_type", max_length=64)
    chosen = next((name for name in HASHES if name == named), None)
    if chosen is None:
        raise FormatError(how.at("hash_type"), f"one of {', '.join(HASHES)} was expected, not {named[:60]!r}")
    links = how.take_bool("allow_symlinks")
    ignored = how.take_strs("ignore_paths") if "ignore_paths" in how else ()
    shard_size = how.take_int("shard_size", low=1) if method == "shards" else None
    how.done()
    left_out = frozenset(_recorded(path, where=how.at("ignore_paths")) for path in ignored) - {""}
    return Manifest(resources=(), hash=chosen, ignored=left_out, shard_size=shard_size, links=links)


def _recorded(path: str, *, where: str) -> str:
    """Read a recorded ignored path; one that leads outside the model (older releases wrote such) leaves nothing out."""
    parts = path.rstrip("/").split("/")
    if path.startswith("/") or ".." in parts:
        return ""
    return checked_name("/".join(parts), where=where)


def _resource(item: object, how: Manifest, *, where: str) -> Resource:
    record = Record(item, where=where)
    listed = record.take_str("name", max_length=_MAX_LISTED)
    record.take_const("algorithm", how.hash)
    digest = record.take_hex("digest", length=DIGEST_SIZES[how.hash])
    record.skip()
    if how.shard_size is None:
        return Resource(name=listed, digest=digest)
    found = _SHARD.fullmatch(listed)
    if found is None:
        raise FormatError(f"{where}: {listed[:200]!r}", "a shard's name was expected: path:start:end, in whole numbers of bytes")
    return Resource(name=found[1], digest=digest, start=int(found[2]), end=int(found[3]))
