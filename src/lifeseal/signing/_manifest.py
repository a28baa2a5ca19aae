# SPDX-License-Identifier: Apache-2.0
"""The OpenSSF Model Signing predicate: which files, which digests."""

import hashlib
from collections.abc import Iterable
from typing import Self

import attrs

from lifeseal._io import DIGEST_SIZES, HASHES, HashName, Record, canonical, checked_name
from lifeseal.attestation import Purpose, Statement, Subject
from lifeseal.errors import FormatError

SIGNATURE_NAME = "model.sig"
# Source: OMS v1.0, section 6.3: paths of version control at the top level are left out.
VERSION_CONTROL = frozenset({".git", ".gitattributes", ".github", ".gitignore"})


@attrs.frozen(kw_only=True)
class Resource:
    """One file as the manifest lists it.

    Attributes:
        name: Relative, POSIX, the exact bytes of the name, never normalised.
        digest: Raw digest of the content, 32 or 64 bytes.
    """

    name: str
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class Manifest:
    """What an OMS signature is over, method ``files``.

    Attributes:
        resources: The files, in the order that the root digest is over.
        hash: Hash of each file; the root digest is always SHA-256.
        ignored: Paths that were left out when it was signed.
    """

    resources: tuple[Resource, ...]
    hash: HashName
    ignored: frozenset[str]

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
        return hashlib.sha256(canonical([[resource.name, resource.digest.hex()] for resource in self.resources])).digest()

    def to_statement(self, name: str) -> Statement:
        """Write the in-toto statement; equal manifests give equal statements.

        Args:
            name: What to call the model; informational.

        Returns:
            The statement.
        """
        return Statement(
            subjects=(Subject(name=name, sha256=self.root),),
            predicate_type=Purpose.MODEL.predicate_type,
            predicate={
                "serialization": {
                    "method": "files",
                    "hash_type": self.hash,
                    "allow_symlinks": False,
                    "ignore_paths": sorted(self.ignored),
                },
                "resources": [{"name": resource.name, "algorithm": self.hash, "digest": resource.digest.hex()} for resource in self.resources],
            },
        )

    @classmethod
    def from_statement(cls, statement: Statement, *, lone_name: str | None, where: str) -> Self:
        """Read the predicate strictly.

        Args:
            statement: A verified statement.
            lone_name: What ``"."`` stands for, as other releases name a model of one file; None for a folder, which has no such file.
            where: Name for error messages.

        Returns:
            The manifest; its root digest is the statement's subject.

        Raises:
            FormatError: It is not an OMS v1.0 predicate with method ``files``, or contradicts itself.

        Source: OMS v1.0, sections 5 and 6.
        """
        if len(statement.subjects) != 1:
            raise FormatError(where, f"exactly one subject was expected, not {len(statement.subjects)}")
        predicate = Record(statement.predicate, where=f"{where}, predicate")
        how = predicate.take_record("serialization")
        chosen, ignored = _serialization(how)
        listed = predicate.take_list("resources")
        predicate.done()
        if not listed:
            raise FormatError(predicate.at("resources"), "at least one file was expected")
        names = [_resource(item, chosen, where=predicate.at("resources")) for item in listed]
        if lone_name is not None and len(names) == 1 and names[0].name == ".":
            names = [attrs.evolve(names[0], name=lone_name)]
        manifest = cls(resources=tuple(names), hash=chosen, ignored=ignored)
        manifest.check(statement.subjects[0], where=predicate.at("resources"))
        return manifest

    def check(self, subject: Subject, *, where: str) -> None:
        """Refuse names that are no plain places, names listed twice, and a root that is not the subject's digest.

        Args:
            subject: What the statement says it is about.
            where: Name for error messages.

        Raises:
            FormatError: One of these.
        """
        seen: set[str] = set()
        for resource in self.resources:
            checked_name(resource.name, where=where)
            if resource.name in seen:
                raise FormatError(where, f"{resource.name[:200]!r} is listed twice")
            seen.add(resource.name)
        if self.root != subject.sha256:
            raise FormatError(where, "the listed digests do not add up to the subject's digest")


def ignore_set(paths: Iterable[str], *, where: str) -> frozenset[str]:
    """Check paths to leave out, as a caller gives them.

    Args:
        paths: Relative POSIX paths; no patterns.
        where: Name for error messages.

    Returns:
        The paths.

    Raises:
        FormatError: One is not a plain relative path.
    """
    return frozenset({checked_name(path.rstrip("/"), where=f"{where}, ignored path") for path in paths})


def _serialization(how: Record) -> tuple[HashName, frozenset[str]]:
    method = how.take_str("method", max_length=64)
    if method != "files":
        raise FormatError(how.at("method"), f"method 'files' was expected; {method[:60]!r} is not read by this version")
    named = how.take_str("hash_type", max_length=64)
    chosen = next((name for name in HASHES if name == named), None)
    if chosen is None:
        raise FormatError(how.at("hash_type"), f"one of {', '.join(HASHES)} was expected, not {named[:60]!r}")
    how.take_bool("allow_symlinks")  # links below a model are refused whatever the signer allowed
    ignored = how.take_strs("ignore_paths") if "ignore_paths" in how else ()
    how.done()
    return chosen, frozenset(_recorded(path, where=how.at("ignore_paths")) for path in ignored) - {""}


def _recorded(path: str, *, where: str) -> str:
    """Read a recorded ignored path; one that leads outside the model (older releases wrote such) leaves nothing out."""
    parts = path.rstrip("/").split("/")
    if path.startswith("/") or ".." in parts:
        return ""
    return checked_name("/".join(parts), where=where)


def _resource(item: object, chosen: HashName, *, where: str) -> Resource:
    record = Record(item, where=where)
    name = record.take_str("name", max_length=4096)
    record.take_const("algorithm", chosen)
    digest = record.take_hex("digest", length=DIGEST_SIZES[chosen])
    record.skip()
    return Resource(name=name, digest=digest)
