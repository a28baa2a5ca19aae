# SPDX-License-Identifier: Apache-2.0
"""Lists of what was withdrawn: artefacts by their digest, signers from a time on."""

import datetime as dt
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import Literal, Self, TypeAlias, get_args

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, replace
from lifeseal.attestation._bundle import Bundle
from lifeseal.attestation._documents import open_document, sign_document
from lifeseal.attestation._identity import identity_fingerprint
from lifeseal.attestation._keys import TrustedKey
from lifeseal.attestation._paths import load_der, read_certificates, signed_part_of
from lifeseal.attestation._policy import Policy, Purpose, Signer, SignerInfo, waive_withdrawn
from lifeseal.attestation._seen import remember
from lifeseal.attestation._statement import parse_digest
from lifeseal.attestation._waiver import Waiver, format_time, parse_time, whole_seconds
from lifeseal.errors import FormatError, LimitError, PolicyError, WithdrawnError
from lifeseal.principles import implements, note

SignerKind: TypeAlias = Literal["key", "certificate", "identity"]
SIGNER_KINDS: tuple[SignerKind, ...] = get_args(SignerKind)
WITHDRAWALS_SCHEMA = "lifeseal.withdrawals/1"
_MAX_LIST = 16 << 20
_MAX_SIGNED = 32 << 20
_MAX_ENTRIES = 100_000
_MAX_NAME = 256
_MAX_TEXT = 4096
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


@attrs.frozen(kw_only=True)
class WithdrawnArtefact:
    """A model or a dataset that is to be used no more.

    Attributes:
        digest: Root digest of the model, or digest of the dataset's manifest: ``sha256:`` and 64 hexadecimal digits.
        reason: Why; 4096 characters at most.
    """

    digest: str
    reason: str

    def __attrs_post_init__(self) -> None:
        parse_digest(self.digest)
        _refuse_blank(self.reason, "reason", _MAX_TEXT)


@attrs.frozen(kw_only=True)
class WithdrawnSigner:
    """A key, a certificate or an identity whose signatures count no more from a time on.

    Attributes:
        kind: ``key``; ``certificate``: a signer's, or of an authority above it; or ``identity``, of Sigstore.
        fingerprint: 64 hexadecimal digits: SHA-256 of a key's PEM form, of the signed part (TBSCertificate, DER) of a certificate, or as
            `TrustedIdentity.fingerprint`.
        since: From when on, with a time zone; a fraction of a second is cut off. A signature is judged by its trusted time, or else now.
        reason: Why; 4096 characters at most.
    """

    kind: SignerKind
    fingerprint: str
    since: dt.datetime = attrs.field(converter=whole_seconds)
    reason: str

    def __attrs_post_init__(self) -> None:
        if self.kind not in SIGNER_KINDS or not _FINGERPRINT.fullmatch(self.fingerprint):
            raise ValueError(f"a withdrawn signer is one of {', '.join(SIGNER_KINDS)}, by 64 lower-case hexadecimal digits")
        if self.since.tzinfo is None:
            raise ValueError("since= needs a time zone")
        _refuse_blank(self.reason, "reason", _MAX_TEXT)

    @classmethod
    @implements(
        evidences=("5.2", "11.1.1"),
        limits="It names the key; the list that holds it must be signed and delivered. Signers' certificates of the same key are withdrawn too.",
    )
    def of_key(cls, path: StrPath, *, since: dt.datetime, reason: str) -> Self:
        """Withdraw a signer's key, and with it every signer's certificate of it. Of an authority, withdraw each certificate.

        Args:
            path: The public key, PEM.
            since: From when on, with a time zone.
            reason: Why.

        Returns:
            The entry.

        Raises:
            FormatError: It is no such key.
            LimitError: The file is larger than 64 KiB.
            OSError: It cannot be read.
            ValueError: ``since`` has no zone, or there is no reason.
        """
        return cls(kind="key", fingerprint=TrustedKey.from_file(path).fingerprint, since=since, reason=reason)

    @classmethod
    @implements(
        evidences=("5.2", "11.1.1"),
        limits="It names the certificate; the list that holds it must be signed and delivered. Its key stays trusted where it is bare.",
    )
    def of_certificate(cls, path: StrPath, *, since: dt.datetime, reason: str) -> Self:
        """Withdraw a certificate, and whatever is below it.

        Args:
            path: The certificate, PEM; the only one in the file.
            since: From when on, with a time zone.
            reason: Why.

        Returns:
            The entry.

        Raises:
            FormatError: It is not one certificate.
            LimitError: The file is larger than 256 KiB.
            OSError: It cannot be read.
            ValueError: ``since`` has no zone, or there is no reason.
        """
        der, *more = read_certificates(path)
        if more:
            raise FormatError(os.fspath(path), f"one certificate was expected, not {len(more) + 1}: which of them is withdrawn?")
        return cls(kind="certificate", fingerprint=signed_part_of(load_der(der, where=os.fspath(path))), since=since, reason=reason)

    @classmethod
    def of_identity(cls, identity: str, issuer: str, *, since: dt.datetime, reason: str) -> Self:
        """Withdraw an identity of Sigstore.

        Args:
            identity: As its certificates carry it.
            issuer: The identity provider, a URL.
            since: From when on, with a time zone.
            reason: Why.

        Returns:
            The entry.

        Raises:
            ValueError: They are no identity and issuer, ``since`` has no zone, or there is no reason.
        """
        return cls(kind="identity", fingerprint=identity_fingerprint(identity, issuer), since=since, reason=reason)


def _artefacts(values: Iterable[WithdrawnArtefact]) -> tuple[WithdrawnArtefact, ...]:
    return tuple(sorted(values, key=lambda entry: entry.digest))


def _signers(values: Iterable[WithdrawnSigner]) -> tuple[WithdrawnSigner, ...]:
    return tuple(sorted(values, key=lambda entry: (entry.kind, entry.fingerprint)))


@attrs.frozen(kw_only=True)
class Withdrawals:
    """What somebody withdrew, in one numbered list that ends. The newest list counts alone: what it leaves out is not withdrawn.

    A list that is made here counts as the caller's own word; one of somebody else's comes from `load`.

    Attributes:
        name: What the list is called; 256 characters at most. The numbers of one name go up.
        number: From 1 on.
        issued: When, with a time zone; a fraction of a second is cut off, as in the next time.
        expires: When it ends: from then on it is refused, and with it whatever it was to be consulted for.
        artefacts: Models and datasets, each once; their order is not kept.
        signers: Keys, certificates and identities, each once; their order is not kept.
        signer: Who signed the list, as a policy established it; None for one that was made here.
    """

    name: str
    number: int
    issued: dt.datetime = attrs.field(converter=whole_seconds)
    expires: dt.datetime = attrs.field(converter=whole_seconds)
    artefacts: tuple[WithdrawnArtefact, ...] = attrs.field(default=(), converter=_artefacts)
    signers: tuple[WithdrawnSigner, ...] = attrs.field(default=(), converter=_signers)
    signer: SignerInfo | None = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        _refuse_blank(self.name, "name", _MAX_NAME)
        if self.number < 1 or self.issued.tzinfo is None or self.expires.tzinfo is None or self.issued >= self.expires:
            raise ValueError("a list has a number from 1 on, and times with a zone, of which the end is the later")
        _refuse_repeated([entry.digest for entry in self.artefacts])
        _refuse_repeated([f"{entry.kind} {entry.fingerprint}" for entry in self.signers])

    def to_bytes(self) -> bytes:
        """Write the unsigned file form: canonical JSON."""
        signers = [{"kind": e.kind, "fingerprint": e.fingerprint, "since": format_time(e.since), "reason": e.reason} for e in self.signers]
        return canonical(
            {
                "schema": WITHDRAWALS_SCHEMA,
                "list": self.name,
                "number": self.number,
                "issued": format_time(self.issued),
                "expires": format_time(self.expires),
                "artefacts": [{"digest": entry.digest, "reason": entry.reason} for entry in self.artefacts],
                "signers": signers,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "withdrawal list") -> Self:
        """Read the unsigned file form strictly. Nobody vouches for it; see `load`.

        Args:
            data: UTF-8 JSON.
            where: Name for error messages.

        Returns:
            The list.

        Raises:
            FormatError: It is no withdrawal list.
            LimitError: It, or something in it, is larger than allowed.
        """
        record = Record(loads(data, where=where, max_bytes=_MAX_LIST, what="a withdrawal list"), where=where)
        record.take_const("schema", WITHDRAWALS_SCHEMA)
        name, number = record.take_str("list", max_length=_MAX_NAME), record.take_int("number", low=1)
        issued, expires = _take_time(record, "issued"), _take_time(record, "expires")
        try:
            artefacts = [_read_artefact(entry) for entry in _records(record, "artefacts")]
            signers = [_read_signer(entry) for entry in _records(record, "signers")]
            record.done()
            return cls(name=name, number=number, issued=issued, expires=expires, artefacts=artefacts, signers=signers)
        except ValueError as error:
            raise FormatError(where, str(error)) from None

    @classmethod
    @implements(
        evidences=("5.2", "7.1", "11.1.1"),
        limits="A list that nobody delivers cannot be missed before the last one expires; without a memory an older one passes until then.",
    )
    def load(cls, path: StrPath, *, policy: Policy, seen: StrPath | None = None) -> Self:
        """Read a list that somebody trusted signed, that has not expired, and that is not older than the newest one seen.

        Args:
            path: The signed list.
            policy: Whose signatures count for withdrawal lists; there is no default.
            seen: A folder that remembers the newest number of each list; it must be there, and is written to. None remembers nothing.

        Returns:
            The list, with its signer.

        Raises:
            FormatError: It is no withdrawal list, or the memory is broken.
            LimitError: It is larger than 32 MiB.
            OSError: It cannot be read, or the memory not be read or written.
            PolicyError: It is unsigned, expired or issued in the future, or signed otherwise than the policy asks.
            RolledBackError: A newer one, or another of the same number, has been seen.
            SignatureError: The signature does not verify.
        """
        where = os.fspath(path)
        data, subject, signer = open_document(path, policy=policy, purpose=Purpose.WITHDRAWAL_LIST, limit=_MAX_SIGNED)
        found = attrs.evolve(cls.from_bytes(data, where=f"{where}, predicate"), signer=signer)
        if subject.name != found.name:
            raise FormatError(f"{where}, payload, 'subject'", f"the list's name {found.name!r} was expected, not {subject.name[:80]!r}")
        note(list=found.name, number=found.number, signer=signer.fingerprint, digest=subject.digest)
        if (now := dt.datetime.now(dt.UTC)) < found.issued:
            raise PolicyError(f"{where}: issued at {format_time(found.issued)}, which is still to come: its clock or this machine's is wrong")
        found.refuse_expired(now=now)
        if seen is not None:
            remember(seen, name=found.name, number=found.number, sha256=subject.sha256, where=where)
        return found

    @implements(evidences=("5.2", "11.1.1"), limits="It binds the list to the key's holder; delivering it to those who verify is up to the caller.")
    def sign(self, signer: Signer) -> Bundle:
        """Sign the list.

        Args:
            signer: Who signs.

        Returns:
            The bundle, which holds the list.

        Raises:
            LimitError: The list is larger than 16 MiB, so that nobody could read it back.
        """
        note(list=self.name, number=self.number)
        data = self.to_bytes()
        if len(data) > _MAX_LIST:
            raise LimitError(f"withdrawal list {self.name!r}", limit=_MAX_LIST, seen=len(data))
        return sign_document(data, name=self.name, purpose=Purpose.WITHDRAWAL_LIST, signer=signer)

    @implements(evidences=("5.2",), limits="An unsigned list is a draft: nobody vouches for it.")
    def write(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write the unsigned file form durably.

        Args:
            path: The file; its folder must exist.
            overwrite: True replaces a file of that name.

        Raises:
            FileExistsError: The name is taken.
            OSError: The disk refused.
        """
        replace(path, self.to_bytes(), overwrite=overwrite)

    def refuse_expired(self, *, now: dt.datetime | None = None) -> None:
        """Refuse the list if it has ended: what it would say today is not known.

        Args:
            now: The time to judge by, with a time zone; by default this machine's clock.

        Raises:
            PolicyError: It has expired.
        """
        if (now or dt.datetime.now(dt.UTC)) >= self.expires:
            raise PolicyError(f"withdrawal list {self.name!r}, number {self.number}, expired at {format_time(self.expires)}; get the newest")

    def check_signer(self, signer: SignerInfo, *, now: dt.datetime | None = None) -> None:
        """Refuse a signature by a key or identity, or under a certificate, that was withdrawn when it was made.

        Args:
            signer: Who signed, and when if that is known.
            now: The time to judge by where it is not, with a time zone; by default this machine's clock.

        Raises:
            WithdrawnError: The key, the identity, or a certificate on the path was withdrawn.
        """
        time = signer.time or now or dt.datetime.now(dt.UTC)
        own = {
            ("identity" if signer.kind == "identity" else "key", signer.key),
            *(("certificate", fingerprint) for fingerprint in signer.certificates),
        }
        for entry in self.signers:
            if (entry.kind, entry.fingerprint) in own and time >= entry.since:
                how = f"signed by {time.isoformat(timespec='seconds')}" if signer.time else "it has no trusted timestamp of before"
                raise WithdrawnError(
                    f"{entry.kind} {entry.fingerprint[:12]} was withdrawn from {format_time(entry.since)} on, and {how}: {entry.reason} "
                    f"(list {self.name!r}, number {self.number})"
                )

    def check_artefact(self, digest: str, *, waiver: Waiver | None = None, where: str = "") -> str:
        """Refuse an artefact that was withdrawn, unless a waiver covers it.

        Args:
            digest: ``sha256:`` and 64 hexadecimal digits.
            waiver: Accepts it, if it covers the digest for the fault ``withdrawn``.
            where: Name for error messages; by default the digest.

        Returns:
            Why it was withdrawn, where the waiver let it pass; empty if it was not.

        Raises:
            PolicyError: The list has expired.
            WithdrawnError: It was withdrawn, and there is no waiver that covers it.
        """
        self.refuse_expired()
        found = next((entry for entry in self.artefacts if entry.digest == digest), None)
        if found is None:
            return ""
        reason = f"{digest} was withdrawn: {found.reason} (list {self.name!r}, number {self.number})"
        waive_withdrawn(reason, [digest], waiver, where=where or digest)
        return reason


def _refuse_blank(text: str, name: str, limit: int) -> None:
    if not text.strip() or len(text) > limit:
        raise ValueError(f"{name}= must say something, in {limit} characters at most")


def _refuse_repeated(entries: Sequence[str]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(f"a list has {_MAX_ENTRIES} entries of a kind at most")
    repeated = next((one for one, next_one in itertools.pairwise(entries) if one == next_one), None)
    if repeated is not None:
        raise ValueError(f"{repeated} stands twice on the list")


def _records(record: Record, name: str) -> list[Record]:
    items = record.take_list(name, max_items=_MAX_ENTRIES)
    return [Record(item, where=f"{record.at(name)}, entry {index}") for index, item in enumerate(items)]


def _take_time(record: Record, name: str) -> dt.datetime:
    return parse_time(record.take_str(name, max_length=32), where=record.at(name))


def _read_artefact(record: Record) -> WithdrawnArtefact:
    digest, reason = record.take_str("digest", max_length=80), record.take_str("reason", max_length=_MAX_TEXT)
    record.done()
    try:
        return WithdrawnArtefact(digest=digest, reason=reason)
    except ValueError as error:
        raise FormatError(record.where, str(error)) from None


def _read_signer(record: Record) -> WithdrawnSigner:
    kind = next((kind for kind in SIGNER_KINDS if kind == record.take("kind")), None)
    if kind is None:
        raise FormatError(record.at("kind"), f"one of {', '.join(SIGNER_KINDS)} was expected")
    fingerprint = record.take_hex("fingerprint", length=32).hex()
    since, reason = _take_time(record, "since"), record.take_str("reason", max_length=_MAX_TEXT)
    record.done()
    try:
        return WithdrawnSigner(kind=kind, fingerprint=fingerprint, since=since, reason=reason)
    except ValueError as error:
        raise FormatError(record.where, str(error)) from None
