# SPDX-License-Identifier: Apache-2.0
"""A policy in a file: who may sign what, for which use, and from when to when."""

import contextlib
import datetime as dt
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from lifeseal._io import MAX_TOML, StrPath, Table, checked_name, load_toml, parse_hex, read_bounded
from lifeseal.attestation._bundle import Bundle
from lifeseal.attestation._certificates import TrustedCertificates
from lifeseal.attestation._combine import any_of, threshold
from lifeseal.attestation._identity import TrustedIdentity
from lifeseal.attestation._keys import TrustedKey
from lifeseal.attestation._policy import Policy, Purpose, SignerInfo, first_accepted, read_statement
from lifeseal.attestation._sigstore_trust import SigstoreTrust
from lifeseal.errors import FormatError, LifesealError, PolicyError, UntrustedError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.attestation._withdrawals import Withdrawals

POLICY_SCHEMA = "lifeseal.policy/1"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_ANY = "*"
_PUBLIC_GOOD = "public-good"
_MAX_LISTED = 1000
_MAX_PATTERN = 4096
_SHOWN = 5


@attrs.frozen
class _Listed:
    """A signer under its name in the file, for as long as one clause trusts it."""

    id: str
    policy: Policy
    start: dt.datetime
    end: dt.datetime

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        return first_accepted(bundles, lambda bundle: self._in_time(self.policy.check((bundle,), purpose=purpose, withdrawals=withdrawals)))

    def _in_time(self, signer: SignerInfo) -> SignerInfo:
        time = signer.time or dt.datetime.now(dt.UTC)
        if not self.start <= time < self.end:
            how = "signed by" if signer.time else "without a trusted timestamp, so judged at"
            window = f"from {self.start.isoformat()} until before {self.end.isoformat()}"
            raise PolicyError(f"signer {self.id!r} is trusted {window}, and this was {how} {time.isoformat(timespec='seconds')}")
        clock = () if signer.time else ("whether the signer was trusted at the time goes by this machine's clock",)
        return attrs.evolve(signer, name=f"{self.id} ({signer.name})", notes=(*signer.notes, *clock))


@attrs.frozen(kw_only=True)
class _Clause:
    line: int
    purposes: tuple[Purpose, ...]
    subjects: tuple[str, ...]
    policy: Policy


@attrs.frozen(kw_only=True, repr=False)
class PolicyFile:
    """A policy read from a file: who may sign which subjects, for which kinds of document, from when to when.

    A signature counts if one clause of the file accepts all of it: its signers, the kind of document, every subject that is signed, and
    the time, which is that of a trusted timestamp or else now. Clauses are tried in the file's order. Made by `load`.

    Attributes:
        where: The file's name.
        sha256: Digest of the file's bytes, 32 bytes; those of the keys and roots that it names are not in it.
        unused: Signers that no clause names, so that they are trusted for nothing.
    """

    where: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    unused: tuple[str, ...]
    _clauses: tuple[_Clause, ...]

    @classmethod
    @implements(
        evidences=("2.4", "5.2", "7.1"), limits="It trusts whom the file names; who may write the file and the keys beside it is the caller's care."
    )
    def load(cls, path: StrPath) -> Self:
        """Read a policy file, and the keys and certificates that it names.

        Args:
            path: The file, TOML; see the page on its format.

        Returns:
            The policy.

        Raises:
            FormatError: The file is no policy; says line and key. Or a key or certificate that it names is none.
            LimitError: One of the files is larger, or nested deeper, than allowed.
            OSError: One of them cannot be read.
        """
        where = os.fspath(path)
        data = read_bounded(path, limit=MAX_TOML, what="a policy file")
        table = load_toml(data, where=where, what="a policy")
        if table.take("schema") != POLICY_SCHEMA:
            raise FormatError(table.at("schema"), f"{POLICY_SCHEMA!r} was expected")
        signers = _read_signers(table.take_table("signers"), Path(path).parent)
        clauses = table.take_tables("trust")
        if not signers or not clauses:
            raise FormatError(where, "at least one signer and one [[trust]] were expected; a policy that trusts nobody is none")
        used: set[str] = set()
        read = tuple(_read_clause(clause, signers, used) for clause in clauses)
        table.done()
        digest = hashlib.sha256(data)
        note(policy=where, digest=f"sha256:{digest.hexdigest()}")
        return cls(where=where, sha256=digest.digest(), unused=tuple(sorted(signers.keys() - used)), clauses=read)

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        """Verify signatures under the first clause that accepts them.

        Args:
            bundles: Signatures over one payload.
            purpose: The kind of document; only clauses for it count.
            withdrawals: Signers whose signatures do not count.

        Returns:
            The signer, with the clause's line.

        Raises:
            FormatError: A certificate cannot be read, or what was signed is no in-toto statement.
            PolicyError: No clause accepts them; says why each did not.
        """
        reasons = []
        names: Sequence[str] | None = None
        for clause in self._clauses:
            if purpose not in clause.purposes:
                continue
            try:
                signer = clause.policy.check(bundles, purpose=purpose, withdrawals=withdrawals)
                names = _signed_names(bundles[0], purpose) if names is None else names
                _refuse_other_subjects(names, clause.subjects)
            except UntrustedError as error:
                reasons.append(f"line {clause.line}: {error}")
                continue
            return attrs.evolve(signer, clause=f"{self.where}, line {clause.line}: {signer.clause}")
        if not reasons:
            raise PolicyError(f"{self.where} trusts nobody for a {purpose.label}")
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise PolicyError(f"no clause of {self.where} accepts this {purpose.label}: {'; '.join(reasons[:_SHOWN])}{more}")

    def __repr__(self) -> str:
        return f"<PolicyFile {self.where!r}, {len(self._clauses)} clause(s)>"


def matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern stands for a whole name, code point by code point.

    Args:
        pattern: ``*`` stands for any characters, also for none; every other character for itself.
        name: The signed subject's name.

    Returns:
        Whether it does. The time is linear in the name's length for each star.

    >>> matches("acme-*", "acme-classifier"), matches("acme-*", "ACME-classifier"), matches("acme-*", "my-acme-classifier")
    (True, False, False)
    """
    first, *pieces = pattern.split("*")
    if not pieces:
        return name == pattern
    *middle, last = pieces
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _signed_names(bundle: Bundle, purpose: Purpose) -> Sequence[str]:
    """Read the names that were signed. Called once a signature has been verified: nothing unsigned is parsed.

    The caller of the policy parses the payload again, and takes its lists apart.
    """
    return [subject.name for subject in read_statement(bundle.envelope, purpose).subjects]


def _refuse_other_subjects(names: Sequence[str], patterns: Sequence[str]) -> None:
    other = next((name for name in names if not any(matches(pattern, name) for pattern in patterns)), None)
    if other is not None:
        raise PolicyError(f"the signed name {other[:80]!r} is not among those trusted here: {', '.join(map(repr, patterns[:_SHOWN]))}")


def _read_signers(table: Table, folder: Path) -> Mapping[str, Policy]:
    signers: dict[str, Policy] = {}
    for name in table.names():
        if not _ID.fullmatch(name):
            raise FormatError(table.at(name), "a signer's name was expected: letters, digits, '.', '_' and '-', 64 at most")
        entry = table.take_table(name)
        kinds = [kind for kind in _KINDS if kind in entry]
        if len(kinds) != 1:
            raise FormatError(table.at(name), f"exactly one of {', '.join(_KINDS)} was expected, to say who this signer is")
        policy = _KINDS[kinds[0]](entry, folder)
        entry.done()
        twin = next((other for other, known in signers.items() if _are_one(known, policy)), None)
        if twin is not None:
            raise FormatError(table.at(name), f"this is signer {twin!r} again; one signer has one name")
        signers[name] = policy
    table.done()
    return signers


def _key(entry: Table, folder: Path) -> Policy:
    place = _place(entry.take_str("key"), folder, where=entry.at("key"))
    tsa = _authorities(entry, folder)
    with _named_by(entry.at("key")):
        key = TrustedKey.from_file(place, tsa=tsa)
    if "fingerprint" in entry and parse_hex(entry.take("fingerprint"), length=32, where=entry.at("fingerprint")).hex() != key.fingerprint:
        raise FormatError(entry.at("fingerprint"), f"another key lies at {place}: {key.fingerprint}")
    return key


def _certificates(entry: Table, folder: Path) -> Policy:
    roots = _files(entry, "roots", folder)
    san = entry.take_str("san", max_length=_MAX_PATTERN)
    if not san or (san != _ANY and _ANY in san):
        raise FormatError(entry.at("san"), f"one name was expected, or {_ANY!r} to accept every certificate under the roots")
    tsa = _authorities(entry, folder)
    with _named_by(entry.at("roots")):
        return TrustedCertificates.from_files(roots, san=None if san == _ANY else san, tsa=tsa)


def _identity(entry: Table, folder: Path) -> Policy:
    identity, issuer, trust = (entry.take_str(name, max_length=_MAX_PATTERN) for name in ("identity", "issuer", "trust"))
    with _named_by(entry.at("trust")):
        config = SigstoreTrust.public_good() if trust == _PUBLIC_GOOD else SigstoreTrust.load(_place(trust, folder, where=entry.at("trust")))
    try:
        return TrustedIdentity(identity, issuer, config)
    except ValueError as error:
        raise FormatError(entry.at("issuer" if str(error).startswith("issuer") else "identity"), str(error)) from None


def _authorities(entry: Table, folder: Path) -> Sequence[Path]:
    """Name the files of the timestamp authorities that a signer's timestamps may come from; none unless the entry says so."""
    return _files(entry, "tsa", folder) if "tsa" in entry else ()


def _files(entry: Table, name: str, folder: Path) -> Sequence[Path]:
    return [_place(text, folder, where=entry.at(name, index)) for index, text in enumerate(_texts(entry, name))]


@contextlib.contextmanager
def _named_by(place: str) -> Iterator[None]:
    """Let the error about a file say where the policy names it."""
    try:
        yield
    except (LifesealError, OSError) as error:
        error.add_note(f"named by {place}")
        raise


# What defines a signer, and how it is read.
_KINDS: Mapping[str, Callable[[Table, Path], Policy]] = {"key": _key, "roots": _certificates, "identity": _identity}


def _read_clause(table: Table, signers: Mapping[str, Policy], used: set[str]) -> _Clause:
    names = _texts(table, "signers")
    for index, name in enumerate(names):
        if name not in signers:
            raise FormatError(table.at("signers", index), f"no signer is called {name[:80]!r}; there are {', '.join(list(signers)[:_SHOWN])}")
    used.update(names)
    start, end = _time(table, "from"), _time(table, "until")
    if start >= end:
        raise FormatError(table.at("until"), "a time after 'from' was expected")
    listed = [_Listed(name, signers[name], start, end) for name in names]
    needed = table.take_int("threshold", low=1, high=len(names)) if len(names) > 1 or "threshold" in table else 1
    if needed > 1:
        _refuse_overlap(table, names, signers)
    known = {purpose.word: purpose for purpose in Purpose}
    purposes = _texts(table, "purposes")
    for index, purpose in enumerate(purposes):
        if purpose not in known:
            raise FormatError(table.at("purposes", index), f"one of {', '.join(known)} was expected, not {purpose[:80]!r}")
    subjects = _texts(table, "subjects")
    for index, pattern in enumerate(subjects):
        if len(pattern) > _MAX_PATTERN or "**" in pattern:
            raise FormatError(
                table.at("subjects", index), f"a pattern of {_MAX_PATTERN} characters at most was expected, without two stars side by side"
            )
    table.done()
    policy = listed[0] if len(listed) == 1 else any_of(*listed) if needed == 1 else threshold(needed, *listed)
    return _Clause(line=table.line, purposes=tuple(known[purpose] for purpose in purposes), subjects=subjects, policy=policy)


def _refuse_overlap(table: Table, names: Sequence[str], signers: Mapping[str, Policy]) -> None:
    """Refuse a threshold over certificates that one holder can have: there it would count one signer as two."""
    for index, name in enumerate(names):
        other = next((other for other in names[:index] if _can_be_one(signers[name], signers[other])), None)
        if other is not None:
            raise FormatError(table.at("signers", index), f"one certificate can be both {name!r} and {other!r}; give each a san of its own")


def _are_one(one: Policy, other: Policy) -> bool:
    """Tell whether two entries name the same key, certificates or identity; whom their times are believed from makes no other signer."""
    if isinstance(one, TrustedCertificates) and isinstance(other, TrustedCertificates):
        return set(one.roots) == set(other.roots) and one.san == other.san
    if isinstance(one, TrustedIdentity) and isinstance(other, TrustedIdentity):
        return one.fingerprint == other.fingerprint
    return one == other


def _can_be_one(one: Policy, other: Policy) -> bool:
    if not (isinstance(one, TrustedCertificates) and isinstance(other, TrustedCertificates)) or not set(one.roots) & set(other.roots):
        return False
    return one.san is None or other.san is None or one.san.lower() == other.san.lower()


def _texts(table: Table, name: str) -> tuple[str, ...]:
    """Read an array of different strings, none empty, of which there is at least one."""
    texts = table.take_strs(name, max_items=_MAX_LISTED)
    if not texts:
        raise FormatError(table.at(name), "at least one entry was expected; nothing stands for everybody or everything")
    for index, text in enumerate(texts):
        if not text or text in texts[:index]:
            raise FormatError(table.at(name, index), "a text that is not empty and does not stand here already was expected")
    return texts


def _time(table: Table, name: str) -> dt.datetime:
    value = table.take(name)
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise FormatError(table.at(name), "a time with its offset was expected, without quotes, as 2026-12-31T23:59:59Z")
    return value


def _place(text: str, folder: Path, *, where: str) -> Path:
    """Find a file: below the policy's folder, or where an absolute path says."""
    if "\0" not in text and Path(text).is_absolute():
        return Path(text)
    return folder / checked_name(text, where=where)
