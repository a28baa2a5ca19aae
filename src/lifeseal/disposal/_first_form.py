# SPDX-License-Identifier: Apache-2.0
"""Certificates of the first form, without a schema; they are read and no longer written."""

from collections.abc import Sequence

from lifeseal._io import Record
from lifeseal.attestation import Subject
from lifeseal.disposal._json import MAX_TEXT
from lifeseal.disposal._values import TRIGGERS, DisposedAsset, HeldBy, KeyCopy, Listing, Party, Removals, Stated
from lifeseal.errors import FormatError

ERASURE = "cryptographic erasure: the key was destroyed by replacing the root it hung from"
ALGORITHM = "AES-256-GCM in C2SP chunked encryption (Cobblestone-256)"
KEY_BITS = 256
NOTHING = Listing(first=(), more=0)
NO_REMOVALS = Removals(unlinked=NOTHING, gone=NOTHING, left=NOTHING, kept=NOTHING)
_TEXTS = ("status", "trigger", "request", "tool", "started", "finished", "vault", "assurance", "irreversible_since")
_STATUSES = frozenset({"completed", "partial"})


def read_first_form(record: Record, subjects: Sequence[Subject]) -> dict[str, object]:
    """Read a predicate.

    Args:
        record: The predicate.
        subjects: Of the statement.

    Returns:
        The fields of a `Disposal`.

    Raises:
        FormatError: It is none, or contradicts itself.
    """
    texts = {name: record.take_str(name, max_length=MAX_TEXT) for name in _TEXTS}
    sanitiser, custodian, holder = (record.take_str(name, max_length=MAX_TEXT) for name in ("sanitiser", "custodian", "holder"))
    record.take_const("method", ERASURE)
    record.take_const("algorithm", ALGORITHM)
    before, after = record.take_int("epoch_before"), record.take_int("epoch_after")
    items, limitations = record.take_list("assets"), record.take_strs("limitations")
    record.done()
    if texts["status"] not in _STATUSES or texts["trigger"] not in TRIGGERS or after <= before:
        raise FormatError(record.where, "a known status and trigger, and an epoch after the first, were expected")
    if len(items) != len(subjects):
        raise FormatError(record.at("assets"), f"one for each of the {len(subjects)} subjects was expected")
    return {
        **texts,
        "reasons": () if texts["status"] == "completed" else ("not every asset was refused as destroyed, or the holder had not finished",),
        "sanitiser": Party(name=sanitiser),
        "custodian": Party(name=custodian),
        "method": "none claimed",
        "techniques": (ERASURE,),
        "algorithm": ALGORITHM,
        "key_bits": KEY_BITS,
        "verification": "every asset was asked for again",
        "epoch_before": before,
        "epoch_after": after,
        "holders": (HeldBy(kind=holder, fingerprint="", assurance=texts["assurance"], since=0, until=0, state="in force"),),
        "keys": (KeyCopy(what="the root", holder=holder, state="unknown", evidence="not stated in this form"),),
        "worst_key": "unknown",
        "trials": (),
        "assets": tuple(_asset(item, subject, where=record.at("assets")) for item, subject in zip(items, subjects, strict=True)),
        "search": None,
        "second_search": None,
        "removed": NO_REMOVALS,
        "derivatives": (),
        "manifests": (),
        "not_searched": (),
        "stated": Stated(),
        "approval": None,
        "receipt": None,
        "journal": "",
        "log_head": "",
        "limitations": limitations,
    }


def _asset(item: object, subject: Subject, *, where: str) -> DisposedAsset:
    record = Record(item, where=where)
    numbers = {name: record.take_int(name) for name in ("slot", "generation", "files", "size")}
    born_encrypted = record.take_bool("born_encrypted")
    record.done()
    return DisposedAsset(
        name=subject.name,
        sha256=subject.sha256,
        born_encrypted=born_encrypted,
        slot=numbers["slot"],
        generation=numbers["generation"],
        files=numbers["files"],
        size=numbers["size"],
    )
