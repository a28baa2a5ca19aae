# SPDX-License-Identifier: Apache-2.0
"""Opening a signed model: signature first, then the manifest, then the names; content only through reads that check it."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from lifeseal._io import DiskSource, LinkKind, ProgressCallback, Source, StrPath, hash_files, read_whole
from lifeseal.attestation import Bundle, Policy, Purpose, Subject, Waiver, Withdrawals, open_statement, parse_digest
from lifeseal.errors import DigestMismatchError, PolicyError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import SIGNATURE_NAME, VERSION_CONTROL, Manifest, Resource, ignore_set
from lifeseal.signing._model import SignedModel, Verification

Links: TypeAlias = Literal["refuse", "hub-cache"]
_LINKS: dict[Links, frozenset[LinkKind]] = {"refuse": frozenset(), "hub-cache": frozenset({"hub-cache"})}
_MAX_BUNDLE = 192 << 20


@implements(
    "7.1",
    "5.3.1",
    evidences=("2.4", "9.2"),
    limits="It checks who signed and which files belong; each file's content is checked when it is read.",
)
def open_model(
    model: "StrPath | Source",
    *,
    policy: Policy,
    signature: "StrPath | Bundle | Sequence[StrPath | Bundle] | None" = None,
    expect: str | None = None,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    ignore: Iterable[str] = (),
    allow_unsigned_files: bool = False,
    links: Links = "refuse",
) -> SignedModel:
    """Check a model's signature and manifest, and hand out its bytes only through reads that check them.

    Names are compared before anything is hashed: a missing or an extra file is reported at once.

    Args:
        model: A folder, a file, or a source such as a sealed asset.
        policy: Whose signatures count; there is no default.
        signature: The bundle or its path, by default ``model.sig`` in the folder, ``NAME.sig`` beside a file; or several over the same bytes,
            for a policy that wants more than one signer.
        expect: The root digest wanted, ``sha256:`` and 64 hexadecimal digits: "signed by X" is not yet "the model I asked for".
        withdrawals: Refuses models, and signers from a time on; no list is consulted by default.
        waiver: Lets an unsigned model in if it covers its `Digests.inventory`, and a withdrawn one, or one by a withdrawn signer, if it covers its
            root digest; and what needs trust when it is pinned. It never helps against a bad signature.
        ignore: Further relative paths to leave out.
        allow_unsigned_files: Accept files that the signature does not name; they can be read through nothing here.
        links: What becomes of symbolic links that lead out of the model: ``refuse``, or ``hub-cache`` to read through those that the cache of
            the Hugging Face Hub is made of (``snapshots/COMMIT/NAME`` to ``blobs/DIGEST``). A link to a file inside the model is read through
            if the signature says so (``allow_symlinks``, which lifeseal never writes), a link to a folder never.

    Returns:
        The model. Close it, or use it in a ``with`` block.

    Raises:
        DigestMismatchError: Files are missing, or there without being signed.
        FormatError: The bundle, the manifest or a name is not what the formats say, or a link or special file lies in the model.
        LimitError: The bundle or the model is larger, or its folders deeper, than the limits.
        OSError: Something cannot be read.
        PolicyError: Unsigned, signed for another use or by another signer, not the digest expected, or the list of withdrawals has expired.
        SignatureError: The signature does not verify.
        WithdrawnError: The model or its signer was withdrawn, and no waiver covers that.
        ValueError: ``expect`` is not a digest, or ``links`` is another word.

    Source: OMS v1.0, section 8.
    """
    if links not in _LINKS:
        raise ValueError(f"links must be 'refuse' or 'hub-cache', not {links!r}")
    note(model=_label(model))
    wanted = None if expect is None else parse_digest(expect)
    with contextlib.ExitStack() as cleanup:
        source = cleanup.enter_context(DiskSource(model, links=_LINKS[links])) if isinstance(model, str | os.PathLike) else model
        place = _Place(source, signature)
        ignored = ignore_set(ignore, where=source.where) | place.own_names
        usual = VERSION_CONTROL | place.usual_names
        bundles = place.bundles()
        signer = None
        if not bundles:
            manifest, subject = _unsigned(source, waiver, ignored | usual, place)
        else:
            statement, signer = open_statement(
                bundles, policy=policy, purpose=Purpose.MODEL, where=place.where, withdrawals=withdrawals, waiver=waiver
            )
            del bundles  # of a model of many files they are large
            manifest = Manifest.from_statement(statement, lone_name=place.lone_name, where=f"{place.where}, payload")
            subject = statement.subjects[0]
            if manifest.links and isinstance(source, DiskSource):
                source.links |= {"inside"}
        reasons = ["" if signer is None else signer.withdrawn]
        if withdrawals is not None:
            reasons.append(withdrawals.check_artefact(subject.digest, waiver=waiver, where=source.where))
        withdrawn = tuple(filter(None, reasons))
        waived = signer is None or bool(withdrawn)
        note(subject=subject.digest, signer=None if signer is None else signer.fingerprint, waived=waived)
        if wanted is not None and wanted != subject.sha256:
            raise PolicyError(f"{source.where}: this is model {subject.digest}, and {expect} was expected")
        ignored |= manifest.ignored | (usual - manifest.top_names)
        unsigned = _compare_names(source, manifest, ignored, allow_unsigned_files=allow_unsigned_files)
        opened = SignedModel(
            source=source,
            manifest=manifest,
            subject=subject,
            signer=signer,
            waiver=waiver if waived else None,
            withdrawals=withdrawals,
            withdrawn=withdrawn,
            exceptions=waiver,
            ignored=ignored,
            unsigned=unsigned,
        )
        cleanup.pop_all()
    return opened


def signed_names(
    signature: "Bundle | Sequence[Bundle]",
    *,
    policy: Policy,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    where: str = "signature",
) -> tuple[str, ...]:
    """Verify a signature by itself, and list the files it names: to know what to fetch before anything is.

    Args:
        signature: One, or several over the same bytes.
        policy: Whose signatures count.
        withdrawals: See `open_model`.
        waiver: See `open_model`.
        where: Name for error messages.

    Returns:
        Relative POSIX names.

    Raises:
        FormatError: It is not what the formats say.
        PolicyError: Signed for another use or by another signer.
        SignatureError: It does not verify.
        WithdrawnError: The signer was withdrawn.
    """
    statement, _ = open_statement(signature, policy=policy, purpose=Purpose.MODEL, where=where, withdrawals=withdrawals, waiver=waiver)
    return tuple(name for name, _ in Manifest.from_statement(statement, lone_name=None, where=f"{where}, payload").parts())


@implements(
    "5.3.1",
    "7.1",
    evidences=("2.4", "9.2"),
    limits="A report on the moment of reading: loading the path afterwards reads it again, unchecked; load through open_model instead.",
)
def verify(
    model: "StrPath | Source",
    *,
    policy: Policy,
    signature: "StrPath | Bundle | Sequence[StrPath | Bundle] | None" = None,
    expect: str | None = None,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    ignore: Iterable[str] = (),
    allow_unsigned_files: bool = False,
    links: Links = "refuse",
    progress: ProgressCallback = None,
) -> Verification:
    """Check a model's signature and read everything it names; for reports, never before a load by path.

    Args:
        model: See `open_model`.
        policy: See `open_model`.
        signature: See `open_model`.
        expect: See `open_model`.
        withdrawals: See `open_model`.
        waiver: See `open_model`.
        ignore: See `open_model`.
        allow_unsigned_files: See `open_model`.
        links: See `open_model`.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        What was established, and what was not looked at.

    Raises:
        DigestMismatchError: Files are missing, unsigned or changed; lists them.
        FormatError: See `open_model`; or a file changed while it was read.
        LimitError: See `open_model`.
        OSError: Something cannot be read.
        PolicyError: See `open_model`.
        SignatureError: The signature does not verify.
        WithdrawnError: See `open_model`.
        ValueError: See `open_model`.
    """
    note(model=_label(model))
    opened = open_model(
        model,
        policy=policy,
        signature=signature,
        expect=expect,
        withdrawals=withdrawals,
        waiver=waiver,
        ignore=ignore,
        allow_unsigned_files=allow_unsigned_files,
        links=links,
    )
    note(subject=opened.subject.digest, signer=None if opened.signer is None else opened.signer.fingerprint)
    try:
        return opened.verify(progress)
    finally:
        if isinstance(model, str | os.PathLike):
            opened.close()


def _label(model: "StrPath | Source") -> str:
    return os.fspath(model) if isinstance(model, str | os.PathLike) else model.where


class _Place:
    """Where the signature is: given, inside the model, or beside a file."""

    def __init__(self, source: Source, given: "StrPath | Bundle | Sequence[StrPath | Bundle] | None") -> None:
        self._source = source
        lone = isinstance(source, DiskSource) and not source.is_folder
        self.lone_name = None if isinstance(source, DiskSource) and source.is_folder else source.name
        self._carried = SIGNATURE_NAME
        if not isinstance(source, DiskSource) and not getattr(source, "is_folder", True):  # a sealed file may carry the signature that lay beside it
            self.lone_name = source.names()[0]
            self._carried = getattr(source, "signature", None) or SIGNATURE_NAME
        if given is None or isinstance(given, str | os.PathLike | Bundle):
            self._given: tuple[StrPath | Bundle, ...] = () if given is None else (given,)
        elif not given:
            raise ValueError("signature= names no signature")
        else:
            self._given = tuple(given)
        self._beside = f"{source.where}.sig" if given is None and lone else None
        self.inside = given is None and not lone
        self.where = ", ".join("bundle" if isinstance(one, Bundle) else os.fspath(one) for one in self._given)
        self.where = self.where or self._beside or f"{source.where}/{self._carried}"
        # What is left out though nobody asks: the signature itself always; another of the usual name only if it is not signed for.
        paths = [os.fspath(one) for one in self._given if not isinstance(one, Bundle)]
        inner = frozenset(name for path in paths for name in source.names_of(path)) if isinstance(source, DiskSource) else frozenset()
        self.own_names = frozenset({SIGNATURE_NAME}) if self.inside else inner
        self.usual_names = frozenset() if lone else frozenset({SIGNATURE_NAME})

    def bundles(self) -> tuple[Bundle, ...]:
        """Read the signatures; none where none lies in the default place."""
        if self._given:
            return tuple(one if isinstance(one, Bundle) else Bundle.load(one) for one in self._given)
        if self._beside is not None:
            return (Bundle.load(self._beside),) if os.path.lexists(self._beside) else ()
        try:
            with self._source.open(self._carried) as reader:
                data = read_whole(reader, where=self.where, limit=_MAX_BUNDLE)
        except FileNotFoundError:
            return ()
        return (Bundle.from_bytes(data, where=self.where),)


def _unsigned(source: Source, waiver: Waiver | None, ignored: frozenset[str], place: _Place) -> tuple[Manifest, Subject]:
    """Take an unsigned model in under a waiver: what is there now becomes what later reads are checked against."""
    if waiver is None:
        raise PolicyError(f"{source.where}: unsigned: no signature at {place.where}")
    found = hash_files(source, source.names(ignore=ignored), phase="hashing")
    manifest = Manifest(resources=tuple(Resource(name=entry.name, digest=entry.digest) for entry in found.values()), hash="sha256", ignored=ignored)
    waiver.check(f"sha256:{manifest.inventory.hex()}", "unsigned")
    return manifest, Subject(name=source.name, sha256=manifest.root)


def _compare_names(source: Source, manifest: Manifest, ignored: frozenset[str], *, allow_unsigned_files: bool) -> tuple[str, ...]:
    there = source.names(ignore=ignored)
    signed = {resource.name for resource in manifest.resources}
    missing = tuple(sorted(signed.difference(there)))
    extra = tuple(name for name in there if name not in signed)
    resized: tuple[str, ...] = ()
    if manifest.shard_size is not None:  # only shards tell the size that was signed
        sizes = {name: parts[-1].end for name, parts in manifest.parts()}
        resized = tuple(sorted(name for name in signed.intersection(there) if source.size(name) != sizes[name]))
    if missing or resized or (extra and not allow_unsigned_files):
        raise DigestMismatchError(source.where, changed=resized, missing=missing, extra=() if allow_unsigned_files else extra)
    return extra
