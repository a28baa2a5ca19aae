# SPDX-License-Identifier: Apache-2.0
"""What a disposal certificate is made of; named as NIST SP 800-88 Rev. 2, section 4.6 and appendix C, names it, where it does."""

from typing import Literal, TypeAlias, get_args

import attrs

Trigger: TypeAlias = Literal["transfer", "decommission", "subject-erasure"]
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
Status: TypeAlias = Literal["completed", "partial", "pending"]
KeyState: TypeAlias = Literal["destroyed", "scheduled", "unknown", "handed-over", "live"]
KEY_STATES: tuple[KeyState, ...] = get_args(KeyState)  # from best to worst
Role: TypeAlias = Literal["verifier", "custodian"]
ROLES: tuple[Role, ...] = get_args(Role)


@attrs.frozen(kw_only=True)
class Party:
    """Somebody who answers for a step.

    Attributes:
        name: Of a person or office; not of one whose records are erased.
        title: Position.
        organisation: Whose.
        location: Where the work was done.
        contact: Phone or address.
    """

    name: str
    title: str = ""
    organisation: str = ""
    location: str = ""
    contact: str = ""


@attrs.frozen(kw_only=True)
class Medium:
    """A medium that held the content, where the record is to name it.

    Attributes:
        kind: Media type, as ``SSD``.
        manufacturer: Of the medium.
        model: Of the medium.
        serial: Serial number.
        property_number: Organisationally assigned number.
        source: User or computer it came from.
    """

    kind: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    property_number: str = ""
    source: str = ""


@attrs.frozen(kw_only=True)
class Stated:
    """What only people can know; it goes into the certificate as they state it.

    Attributes:
        media: Media that held the content.
        confidentiality_before: Categorisation before.
        confidentiality_after: Categorisation after.
        destination: Where the media, or the rights in the content, go.
        backups: Whether and where the content or the root was backed up.
    """

    media: tuple[Medium, ...] = ()
    confidentiality_before: str = ""
    confidentiality_after: str = ""
    destination: str = ""
    backups: str = ""


@attrs.frozen(kw_only=True)
class DisposedAsset:
    """One thing that was disposed of.

    Attributes:
        kind: ``sealed``: an asset of a vault; ``plaintext``: a folder or file in the clear; ``subject``: one person's records.
        name: As it was sealed or called; of a person the keyed pseudonym.
        sha256: Root digest of the plaintext, as a model signature computes it, taken before; of a person that of the pseudonym. 32 bytes.
        slot: Its place in the vault's key tree; None if it had none, or the certificate is not to say it.
        generation: Which use of that slot; None as ``slot``.
        files: Number of files.
        size: Plaintext bytes.
        born_encrypted: False if the plaintext lay in files before it was sealed.
    """

    kind: Literal["sealed", "plaintext", "subject"] = "sealed"
    name: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    slot: int | None = None
    generation: int | None = None
    files: int
    size: int
    born_encrypted: bool


@attrs.frozen(kw_only=True)
class HeldBy:
    """A place that held the root.

    Attributes:
        kind: The sort of place, as ``file``.
        fingerprint: Names its key; empty if the vault's id says enough.
        assurance: How far an old root can be trusted to be gone from it.
        since: First epoch under it.
        until: Last epoch under it; 0 for the one in force.
        state: ``in force``, or what became of its root.
    """

    kind: str
    fingerprint: str
    assurance: str
    since: int
    until: int
    state: str


@attrs.frozen(kw_only=True)
class KeyCopy:
    """One copy of a key that opened the content.

    Attributes:
        what: Which key, and what it is wrapped by.
        holder: Who or what has it.
        state: ``destroyed``; ``scheduled``: shall be; ``unknown``: older copies cannot be excluded; ``handed-over``: to a recipient, for good;
            ``live``.
        evidence: What this rests on.
    """

    what: str
    holder: str
    state: KeyState
    evidence: str


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt to open what was erased.

    Attributes:
        what: What was tried.
        answer: ``refused``, which is not proof; ``opened``; ``not tried``.
        detail: What was seen.
    """

    what: str
    answer: Literal["refused", "opened", "not tried"]
    detail: str


@attrs.frozen(kw_only=True)
class Listing:
    """The first thousand of some texts, and how many others there are.

    Attributes:
        first: Sorted.
        more: How many others.
    """

    first: tuple[str, ...]
    more: int

    def __bool__(self) -> bool:
        return bool(self.first)


@attrs.frozen(kw_only=True)
class Searched:
    """One search for plaintext copies.

    Attributes:
        places: Folders and files that were searched.
        files: Number of files looked at.
        read: Number of files read.
        copies: What was found, with what it holds.
        unread: What could not be read or judged, and why.
    """

    places: tuple[str, ...]
    files: int
    read: int
    copies: Listing
    unread: Listing


@attrs.frozen(kw_only=True)
class Removals:
    """What became of plaintext files.

    Attributes:
        unlinked: Those that this disposal unlinked; that is no sanitising of the medium.
        gone: Those that were not there any more.
        left: Those that are another file now, or that the disk would not let go of, and why.
        kept: Those that people decided to keep.
    """

    unlinked: Listing
    gone: Listing
    left: Listing
    kept: Listing


@attrs.frozen(kw_only=True)
class Derivative:
    """A dataset or model that was made from what was disposed of, and was not erased.

    Attributes:
        name: What it is called.
        kind: ``dataset`` or ``model``.
        digest: Its digest.
        how: ``holds``, ``derived``, ``trained`` or ``based``.
        certain: False where it may not have seen the content.
    """

    name: str
    kind: str
    digest: str
    how: str
    certain: bool


@attrs.frozen(kw_only=True)
class KnownDigests:
    """A manifest that still holds digests of the content, computed without a key: whoever guesses content can compare.

    Attributes:
        name: Of the dataset.
        digest: Of the manifest.
        files: How many of the disposed files it names.
        records: Whether it holds digests of single records, too.
    """

    name: str
    digest: str
    files: int
    records: bool


@attrs.frozen(kw_only=True)
class Vouched:
    """A signed document that the disposal rested on.

    Attributes:
        by: Who it says it is of.
        signer: Fingerprint of who signed it.
        sha256: Of the signed payload.
    """

    by: Party
    signer: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
