# SPDX-License-Identifier: Apache-2.0
"""The disposal certificate: signed by whoever carried it out, co-signed by others, and never trusted before somebody has vouched for it."""

import hashlib
import os
from collections.abc import Mapping
from typing import Self

import attrs

from lifeseal._io import StrPath, loads, read_bounded, replace
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, SignerInfo, Statement, Withdrawals, open_statement
from lifeseal.disposal._cosignature import Cosignature, open_cosignature, read_cosignature, sign_cosignature
from lifeseal.disposal._statement import Disposal
from lifeseal.disposal._values import Party, Role
from lifeseal.errors import FormatError, LimitError, PolicyError
from lifeseal.principles import implements, note

MAX_CERTIFICATE = 16 << 20
_MAX_COSIGNATURES = 16
_WHAT = "a disposal certificate"


@attrs.frozen(kw_only=True)
class Certificate:
    """A disposal certificate, signed or not.

    Attributes:
        disposal: What it says.
        bundle: The signed form, or None if it is unsigned.
        cosignatures: Of the verifier and the Data Custodian, as far as they have signed.
        signer: Who signed, as a policy established it; None until `open_certificate` has checked it.
    """

    disposal: Disposal
    bundle: Bundle | None
    cosignatures: tuple[Cosignature, ...] = ()
    signer: SignerInfo | None = None

    def to_bytes(self) -> bytes:
        """Write the file form: the bundle, or the bare statement if it is unsigned; then a line for each co-signature.

        Source: in-toto attestation framework, spec/v1/bundle.md: one attestation a line.
        """
        first = self.disposal.to_statement().to_bytes() if self.bundle is None else self.bundle.to_bytes()
        return b"\n".join((first, *(one.bundle.to_bytes() for one in self.cosignatures)))

    @property
    def digest(self) -> str:
        """Digest of what is signed, as co-signatures name it: ``sha256:…``."""
        payload = self.disposal.to_statement().to_bytes() if self.bundle is None else self.bundle.envelope.payload
        return f"sha256:{hashlib.sha256(payload).hexdigest()}"

    @implements(
        "13.1", evidences=("13.2",), limits="It says that somebody put a name to the certificate; what that somebody looked at is theirs to state."
    )
    def cosign(self, *, signer: Signer, role: Role, party: Party) -> Self:
        """Sign the certificate as the one who verified it, or as the Data Custodian.

        Args:
            signer: Another key than that of who signed it.
            role: ``verifier`` or ``custodian``.
            party: Who that is.

        Returns:
            The certificate with the co-signature added.

        Raises:
            PolicyError: It is unsigned, somebody has signed in that role already, or the key signed it already.
            ValueError: An unknown role, or a party that cannot be written.
        """
        if self.bundle is None:
            raise PolicyError("an unsigned certificate cannot be co-signed: nobody has vouched for it yet")
        made = sign_cosignature(self.digest, signer=signer, role=role, party=party)
        found = attrs.evolve(self, cosignatures=(*self.cosignatures, made))
        found.check_cosignatures("certificate")
        return found

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
        first, *others = _lines(path)
        document = loads(first, where=where, what=_WHAT)
        bundle = Bundle.from_bytes(first, where=where) if isinstance(document, dict) and "mediaType" in document else None
        statement = Statement.from_bytes(first if bundle is None else bundle.envelope.payload, where=where)
        if statement.predicate_type != Purpose.CERTIFICATE.predicate_type:
            raise FormatError(where, f"a disposal certificate was expected, not {statement.predicate_type[:120]!r}")
        if bundle is None and others:
            raise FormatError(where, "a signed certificate was expected before co-signatures")
        cosignatures = tuple(read_cosignature(line, where=f"{where}, line {number}") for number, line in enumerate(others, 2))
        found = cls(disposal=Disposal.from_statement(statement, where=where), bundle=bundle, cosignatures=cosignatures)
        found.check_cosignatures(where)
        return found

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

    def check_cosignatures(self, where: str) -> None:
        """Refuse co-signatures of something else, two in one role, and one key in two roles.

        Args:
            where: Name for error messages.

        Raises:
            PolicyError: There are such.
        """
        if any(one.certificate != self.digest for one in self.cosignatures):
            raise PolicyError(f"{where}: a co-signature is of another certificate")
        if len({one.role for one in self.cosignatures}) != len(self.cosignatures):
            raise PolicyError(f"{where}: two co-signatures in one role")
        keys = [bundle.material for bundle in (self.bundle, *(one.bundle for one in self.cosignatures)) if bundle is not None]
        if len(set(keys)) != len(keys):
            raise PolicyError(f"{where}: one key signed in two roles; whoever verifies, or answers for the data, signs with a key of their own")


@implements(
    evidences=("13.1", "13.2"),
    limits="It shows that the signers stated this; whether the keys are gone is as sure as the certificate's own assurance says.",
)
def open_certificate(
    path: StrPath, *, policy: Policy, cosigners: Mapping[Role, Policy] | None = None, withdrawals: Withdrawals | None = None
) -> Certificate:
    """Read a certificate that somebody trusted signed.

    Args:
        path: The file.
        policy: Whose signatures count; there is no default.
        cosigners: Whose co-signatures count, by role; each role named here must have one. Others stay unchecked, and have no signer.
        withdrawals: Refuses signers from a time on. That an asset was withdrawn says nothing against the record of its end.

    Returns:
        The certificate, with its signers.

    Raises:
        FormatError: It is unsigned, or no disposal certificate.
        LimitError: It is larger than 16 MiB.
        OSError: It cannot be read.
        UntrustedError: A signature does not verify under its policy, is missing, or signs another kind of document or another certificate.
        WithdrawnError: A signer was withdrawn.
    """
    where = os.fspath(path)
    first, *others = _lines(path)
    bundle = Bundle.from_bytes(first, where=where)
    statement, signer = open_statement(bundle, policy=policy, purpose=Purpose.CERTIFICATE, where=where, withdrawals=withdrawals)
    cosignatures = tuple(read_cosignature(line, where=f"{where}, line {number}") for number, line in enumerate(others, 2))
    disposal = Disposal.from_statement(statement, where=where)
    found = Certificate(disposal=disposal, bundle=bundle, cosignatures=cosignatures, signer=signer)
    found.check_cosignatures(where)
    wanted = cosigners or {}
    if missing := sorted(set(wanted) - {one.role for one in cosignatures}):
        raise PolicyError(f"{where}: no co-signature of the {missing[0]}")
    opened = tuple(
        open_cosignature(one, policy=wanted[one.role], withdrawals=withdrawals, where=where) if one.role in wanted else one for one in cosignatures
    )
    keys = [signer.key, *(one.signer.key for one in opened if one.signer is not None)]
    if len(set(keys)) != len(keys):
        raise PolicyError(f"{where}: one key signed in two roles")
    note(vault=disposal.vault, epoch=disposal.epoch_after, status=disposal.status, signer=signer.fingerprint)
    return attrs.evolve(found, cosignatures=opened)


def _lines(path: StrPath) -> list[bytes]:
    lines = read_bounded(path, limit=MAX_CERTIFICATE, what=_WHAT).removesuffix(b"\n").split(b"\n")
    if len(lines) > 1 + _MAX_COSIGNATURES:
        raise LimitError(os.fspath(path), limit=1 + _MAX_COSIGNATURES, seen=len(lines), unit="lines")
    return lines
