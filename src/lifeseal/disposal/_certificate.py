# SPDX-License-Identifier: Apache-2.0
"""The disposal certificate: what was erased, how, how sure that is, and what it does not reach."""

import os
from typing import Literal, Self, TypeAlias, get_args

import attrs

from lifeseal._io import Record, StrPath, loads, read_bounded, replace
from lifeseal.attestation import Bundle, Policy, Purpose, SignerInfo, Statement, Subject, Withdrawals, open_statement
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note

Trigger: TypeAlias = Literal["transfer", "decommission", "subject-erasure"]
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
METHOD = "cryptographic erasure: the key was destroyed by replacing the root it hung from"
ALGORITHM = "AES-256-GCM in C2SP chunked encryption (Cobblestone-256)"
MAX_TEXT = 4096
_MAX_CERTIFICATE = 16 << 20
_STATES = ("completed", "partial")


@attrs.frozen(kw_only=True)
class DisposedAsset:
    """One asset that was erased.

    Attributes:
        name: As it was sealed.
        sha256: Root digest of the plaintext, as a model signature computes it, taken before the erasure; 32 bytes.
        slot: Its place in the vault's registry.
        generation: Which sealing of that place.
        files: Number of files.
        size: Plaintext bytes.
        born_encrypted: False if the plaintext lay in files before it was sealed.
    """

    name: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    slot: int
    generation: int
    files: int
    size: int
    born_encrypted: bool


@attrs.frozen(kw_only=True)
class Disposal:
    """What a certificate says.

    Attributes:
        status: ``completed`` (every asset was tried afterwards and refused as destroyed) or ``partial``.
        trigger: Why: ``transfer``, ``decommission`` or ``subject-erasure``.
        sanitiser: Who carried it out.
        custodian: Data Custodian who is responsible.
        request: Reference of the request, or empty; never a person's name.
        tool: Name and version of the program.
        started: UTC, RFC 3339, this machine's clock.
        finished: The same.
        vault: Vault id, hexadecimal.
        epoch_before: Epoch whose root opened the keys.
        epoch_after: Epoch that opens them no more.
        holder: Kind of place that held the root.
        assurance: How far the old root can be trusted to be gone.
        irreversible_since: A time, or ``unknown``.
        assets: What was erased.
        limitations: What the erasure does not reach.
    """

    status: str
    trigger: str
    sanitiser: str
    custodian: str
    request: str
    tool: str
    started: str
    finished: str
    vault: str
    epoch_before: int
    epoch_after: int
    holder: str
    assurance: str
    irreversible_since: str
    assets: tuple[DisposedAsset, ...]
    limitations: tuple[str, ...]

    def to_statement(self) -> Statement:
        """Write the in-toto statement."""
        texts = {name: getattr(self, name) for name in _TEXTS}
        return Statement(
            subjects=tuple(Subject(name=asset.name, sha256=asset.sha256) for asset in self.assets),
            predicate_type=Purpose.CERTIFICATE.predicate_type,
            predicate={
                **texts,
                "method": METHOD,
                "algorithm": ALGORITHM,
                "epoch_before": self.epoch_before,
                "epoch_after": self.epoch_after,
                "assets": [{name: getattr(asset, name) for name in _ASSET_FIELDS} for asset in self.assets],
                "limitations": list(self.limitations),
            },
        )

    @classmethod
    def from_statement(cls, statement: Statement, *, where: str) -> Self:
        """Read a statement's predicate strictly.

        Args:
            statement: With the disposal predicate type.
            where: Name for error messages.

        Returns:
            What it says.

        Raises:
            FormatError: It is no disposal, or contradicts itself.
        """
        record = Record(statement.predicate, where=f"{where}, predicate")
        texts = {name: record.take_str(name, max_length=MAX_TEXT) for name in _TEXTS}
        record.take_const("method", METHOD)
        record.take_const("algorithm", ALGORITHM)
        before, after = record.take_int("epoch_before"), record.take_int("epoch_after")
        items = record.take_list("assets")
        limitations = record.take_strs("limitations")
        record.done()
        if texts["status"] not in _STATES or texts["trigger"] not in TRIGGERS or after <= before:
            raise FormatError(record.where, "a known status and trigger, and an epoch after the first, were expected")
        if len(items) != len(statement.subjects):
            raise FormatError(record.at("assets"), f"one for each of the {len(statement.subjects)} subjects was expected")
        assets = tuple(_asset(item, subject, where=record.at("assets")) for item, subject in zip(items, statement.subjects, strict=True))
        return cls(**texts, epoch_before=before, epoch_after=after, assets=assets, limitations=limitations)


@attrs.frozen(kw_only=True)
class Certificate:
    """A disposal certificate, signed or not.

    Attributes:
        disposal: What it says.
        bundle: The signed form, or None if it is unsigned.
        signer: Who signed, as a policy established it; None until `open_certificate` has checked it.
    """

    disposal: Disposal
    bundle: Bundle | None
    signer: SignerInfo | None = None

    def to_bytes(self) -> bytes:
        """Write the file form: the bundle, or the bare statement if it is unsigned."""
        return self.disposal.to_statement().to_bytes() if self.bundle is None else self.bundle.to_bytes()

    @classmethod
    @implements(evidences=("13.1", "13.2"), limits="Nobody vouches for a certificate read this way; open_certificate checks who does.")
    def load(cls, path: StrPath) -> Self:
        """Read a certificate without checking who vouches for it; see `open_certificate` for that.

        Args:
            path: The file.

        Returns:
            The certificate, unverified.

        Raises:
            FormatError: It is no disposal certificate.
            LimitError: It is larger than 16 MiB.
            OSError: It cannot be read.
        """
        where = os.fspath(path)
        data = read_bounded(path, limit=_MAX_CERTIFICATE, what="a disposal certificate")
        document = loads(data, where=where, what="a disposal certificate")
        bundle = Bundle.from_bytes(data, where=where) if isinstance(document, dict) and "mediaType" in document else None
        statement = Statement.from_bytes(data if bundle is None else bundle.envelope.payload, where=where)
        if statement.predicate_type != Purpose.CERTIFICATE.predicate_type:
            raise FormatError(where, f"a disposal certificate was expected, not {statement.predicate_type[:120]!r}")
        return cls(disposal=Disposal.from_statement(statement, where=where), bundle=bundle)

    @implements(evidences=("13.1", "13.2"), limits="The certificate is the record of an erasure, not the erasure.")
    def write(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write the certificate durably.

        Args:
            path: The file; its folder must exist.
            overwrite: True replaces a file of that name.

        Raises:
            FileExistsError: The name is taken.
            OSError: The disk refused.
        """
        replace(path, self.to_bytes(), overwrite=overwrite)


@implements(
    evidences=("13.1", "13.2"),
    limits="It shows that the signer stated this; whether the keys are gone is as sure as the certificate's own assurance says.",
)
def open_certificate(path: StrPath, *, policy: Policy, withdrawals: Withdrawals | None = None) -> Certificate:
    """Read a certificate that somebody trusted signed.

    Args:
        path: The file.
        policy: Whose signatures count; there is no default.
        withdrawals: Refuses signers from a time on. That an asset was withdrawn says nothing against the record of its end.

    Returns:
        The certificate, with its signer.

    Raises:
        FormatError: It is unsigned, or no disposal certificate.
        LimitError: It is larger than 16 MiB.
        OSError: It cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
        WithdrawnError: The signer was withdrawn.
    """
    where = os.fspath(path)
    bundle = Bundle.from_bytes(read_bounded(path, limit=_MAX_CERTIFICATE, what="a disposal certificate"), where=where)
    statement, signer = open_statement(bundle, policy=policy, purpose=Purpose.CERTIFICATE, where=where, withdrawals=withdrawals)
    disposal = Disposal.from_statement(statement, where=where)
    note(vault=disposal.vault, epoch=disposal.epoch_after, status=disposal.status, signer=signer.fingerprint)
    return Certificate(disposal=disposal, bundle=bundle, signer=signer)


_TEXTS = (
    "status",
    "trigger",
    "sanitiser",
    "custodian",
    "request",
    "tool",
    "started",
    "finished",
    "vault",
    "holder",
    "assurance",
    "irreversible_since",
)
_ASSET_FIELDS = ("slot", "generation", "files", "size", "born_encrypted")


def _asset(item: object, subject: Subject, *, where: str) -> DisposedAsset:
    record = Record(item, where=where)
    numbers = {name: record.take_int(name) for name in ("slot", "generation", "files", "size")}
    born_encrypted = record.take_bool("born_encrypted")
    record.done()
    return DisposedAsset(name=subject.name, sha256=subject.sha256, born_encrypted=born_encrypted, **numbers)
