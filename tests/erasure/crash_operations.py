# SPDX-License-Identifier: Apache-2.0
"""Seal, erase and compact as operations for the crash harness: killed, refused or cut off anywhere, the vault is as before or as after.

Holders that are programs of their own (TPM, token, services, keyring) are not here: the harness counts and cuts the calls of the child alone, on a
disk of its own, and their state lies elsewhere and outlives each cut. Their own tests cut each call and command instead, and kill process or part.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from crash.harness import Operation
from lifeseal.attestation import KeySigner, TrustedKey, generate_key
from lifeseal.erasure import (
    FileRoot,
    PassphraseRoot,
    Recipient,
    RecipientKey,
    RootHolder,
    Vault,
    generate_recipient_key,
    open_hand_over,
    receive,
)
from lifeseal.errors import CredentialError, DestroyedError, PendingError, RolledBackError, StoreError, TamperedError

PLAIN = b"weights" * 3000
LIVE, ERASED, ABSENT, PENDING = "live", "erased", "absent", "pending"
Holder = Callable[[Path], RootHolder]


def _file(folder: Path) -> RootHolder:
    return FileRoot(folder / "root")


def _passphrase(_: Path) -> RootHolder:
    return PassphraseRoot(b"a passphrase")


def _open(folder: Path, holder: Holder) -> Vault:
    return Vault.open(folder / "vault", root=holder(folder))


def _prepare(folder: Path, holder: Holder) -> None:
    (folder / "plain").write_bytes(PLAIN)
    with Vault.create(folder / "vault", root=holder(folder)) as vault:
        vault.seal(folder / "plain", "first").close()


def _seal(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.seal(folder / "plain", "second").close()


def _seal_after_compacting(folder: Path, holder: Holder) -> None:
    with mock.patch("lifeseal.erasure._compact.FLOOR", 0), mock.patch("lifeseal.erasure._compact._FACTOR", 0), _open(folder, holder) as vault:
        vault.seal(folder / "plain", "second").close()


def _erase(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.erase(["first"])


NAMES = ("a", "b", "deep/c")


def _prepare_many(folder: Path, holder: Holder) -> None:
    (folder / "many" / "deep").mkdir(parents=True)
    for name in NAMES:
        (folder / "many" / name).write_bytes(name.encode() + PLAIN)
    with Vault.create(folder / "vault", root=holder(folder)) as vault:
        vault.seal(folder / "many", "many").close()


def _unseal_many(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.unseal("many", folder / "out")


def _check_many(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    found = {name: (folder / "out" / name).read_bytes() for name in NAMES if (folder / "out" / name).exists()}
    torn = [name for name, content in found.items() if content != name.encode() + PLAIN]
    if torn:
        return f"{torn} took their names without their content"
    return "acknowledged and lost" if acknowledged and len(found) != len(NAMES) else None


def _seal_many(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.seal(folder / "many", "again").close()


def _check_sealed_many(folder: Path, acknowledged: bool, *, holder: Holder) -> str | None:  # noqa: FBT001  # the harness calls it
    with _open(folder, holder) as vault:
        vault.verify()
        names = {info.name for info in vault.assets()}
        if "again" in names:
            vault.asset("again").unseal(folder / "out")
    return _check_many(folder, "again" in names) or ("acknowledged and lost" if acknowledged and "again" not in names else None)


def _seal_next(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.seal(folder / "many", "next").close()
        live = len(vault.assets())
    if len(list((folder / "vault" / "objects").iterdir())) != (len(NAMES) + 1) * live:
        raise AssertionError("the next writer did not clear up")


def _unseal_again(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.unseal("many", folder / "again")


def _compact(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.compact()


PEOPLE = b"".join(b'{"who":"%s","n":%d}\n' % (person, number) for number, person in enumerate([b"ann", b"bob", b"ann"]))


def _prepare_people(folder: Path, holder: Holder) -> None:
    (folder / "plain.jsonl").write_bytes(PEOPLE)
    (folder / "plain").write_bytes(PLAIN)
    with Vault.create(folder / "vault", root=holder(folder)) as vault:
        vault.subjects.seal_file(folder / "plain.jsonl", folder / "sealed.jsonl", id_field="who")


def _seal_people(folder: Path, holder: Holder) -> None:
    (folder / "more.jsonl").write_bytes(PEOPLE.replace(b"bob", b"eve"))
    with _open(folder, holder) as vault:
        vault.subjects.seal_file(folder / "more.jsonl", folder / "new.jsonl", id_field="who")


def _erase_people(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.subjects.erase(["bob"])


def _prepare_to_give(folder: Path, holder: Holder) -> None:
    _prepare(folder, holder)
    generate_key(folder / "giver")
    generate_recipient_key(folder / "partner", algorithm="x25519")


def _give(folder: Path, holder: Holder) -> None:
    signer = KeySigner.from_file(folder / "giver.key")
    with _open(folder, holder) as vault:
        vault.hand_overs.give("first", Recipient.from_file(folder / "partner.pub"), signer=signer, out=folder / "sidecar")


def _check_given(folder: Path, acknowledged: bool, *, holder: Holder) -> str | None:  # noqa: FBT001  # the harness calls it
    with _open(folder, holder) as vault:
        noted = vault.hand_overs.list("first")
        vault.verify()
    if not (folder / "sidecar").exists():
        return "acknowledged and lost" if acknowledged else None
    found, _ = open_hand_over(folder / "sidecar", policy=TrustedKey.from_file(folder / "giver.pub"))
    key = RecipientKey.from_file(folder / "partner.key")
    with receive(folder / "sidecar", folder / "vault", key=key, policy=TrustedKey.from_file(folder / "giver.pub")) as asset:
        asset.names()
    return None if noted == (found.copy,) else f"a sidecar is there that the vault does not know of; it knows {noted}"


def _people(vault: Vault, sealed: Path) -> bytes | None:
    """Read a sealed file, each record of the erased as a line of its own; None if there is no file."""
    if not sealed.exists():
        return None
    found = vault.subjects.unseal_many(sealed.read_bytes().splitlines(), erased="mark")
    return b"".join((b"-" if line is None else line) + b"\n" for line in found)


def _check_people(folder: Path, acknowledged: bool, *, holder: Holder, erased: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    with _open(folder, holder) as vault:
        old, new = _people(vault, folder / "sealed.jsonl"), _people(vault, folder / "new.jsonl")
        counts = vault.info().subjects, vault.info().forgotten
        vault.verify()
    lines = PEOPLE.splitlines(keepends=True)
    without = b"".join([lines[0], b"-\n", lines[2]])
    before, after = (PEOPLE, None), (without, None) if erased else (PEOPLE, PEOPLE.replace(b"bob", b"eve"))
    if (old, new) != after and (acknowledged or (old, new) != before):
        return f"{'acknowledged and lost: ' if acknowledged else ''}the records are {old!r}, {new!r}"
    return None if counts in {(2, 0), (1, 1) if erased else (3, 0)} else f"the vault counts {counts}"


def _for_people(name: str, act: Callable[[Path, Holder], None], *, erased: bool) -> Operation:
    return Operation(
        name=name,
        prepare=functools.partial(_prepare_people, holder=_file),
        run=functools.partial(act, holder=_file),
        check=functools.partial(_check_people, holder=_file, erased=erased),
        next_write=functools.partial(_next_write, holder=_file),
    )


def _state(vault: Vault, name: str) -> str:
    try:
        with vault.asset(name) as asset, asset.open("plain") as reader:
            buffer = bytearray(reader.size)
            reader.readinto(memoryview(buffer), 0)
    except DestroyedError:
        return ERASED
    except PendingError:
        return PENDING
    except StoreError as error:
        return ABSENT if "no asset" in str(error) else str(error)
    return LIVE if buffer == PLAIN else "otherwise"


def _check(folder: Path, acknowledged: bool, *, holder: Holder, after: tuple[str, str]) -> str | None:  # noqa: FBT001  # the harness calls it
    with _open(folder, holder) as vault:
        found = _state(vault, "first"), _state(vault, "second")
        listed = [info.state for info in vault.assets()]
    allowed = [after] if acknowledged else [(LIVE, ABSENT), after, *([(PENDING, ABSENT)] if after[0] == ERASED else [])]
    if found not in allowed:
        return f"{'acknowledged and lost: ' if acknowledged else ''}the assets are {found}"
    return None if len(listed) == 2 - (found[1] == ABSENT) else f"the vault lists {listed}"


def _next_write(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.seal(folder / "plain", "next").close()
        vault.verify()
        live = [info for info in vault.assets() if info.state == LIVE]
    roots, logs = (len(list((folder / "vault").glob(pattern))) for pattern in ("root-*", "log-*"))
    if logs != 1 or roots > 1 or len(list((folder / "vault" / "objects").iterdir())) != 2 * len(live):
        raise AssertionError("the next writer did not clear up")


def _new(folder: Path) -> RootHolder:
    return FileRoot(folder / "new")


def _move(folder: Path, holder: Holder) -> None:
    with _open(folder, holder) as vault:
        vault.rehome(_new(folder))


def _check_move(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    """The old root opens or the new, or both; once acknowledged only the new. What may stay of the old file opens nothing."""
    opened = []
    for holder in (_file, _new):
        try:
            vault = _open(folder, holder)
        except (CredentialError, RolledBackError, StoreError, TamperedError):
            continue
        with vault:
            if (found := _state(vault, "first")) != LIVE:
                return f"the asset is {found}"
            opened.append(holder)
    if not opened:
        return "neither root opens the vault"
    return "acknowledged, and not only the new root opens it" if acknowledged and opened != [_new] else None


def _end_move(folder: Path) -> None:
    try:
        vault = _open(folder, _file)
    except (CredentialError, RolledBackError, StoreError, TamperedError):
        with _open(folder, _new) as vault:
            if any(holder.state != "destroyed" for holder in vault.info().holders[:-1]):
                vault.retire(_file(folder))
    else:
        with vault:
            vault.rehome(_new(folder))
    _next_write(folder, _new)


def _for_vaults(name: str, act: Callable[[Path, Holder], None], after: tuple[str, str], holder: Holder) -> Operation:
    return Operation(
        name=name,
        prepare=functools.partial(_prepare, holder=holder),
        run=functools.partial(act, holder=holder),
        check=functools.partial(_check, holder=holder, after=after),
        next_write=functools.partial(_next_write, holder=holder),
    )


OPERATIONS = (
    _for_vaults("vault-seal", _seal, (LIVE, LIVE), _file),
    _for_vaults("vault-seal-after-compacting", _seal_after_compacting, (LIVE, LIVE), _file),
    _for_vaults("vault-erase", _erase, (ERASED, ABSENT), _file),
    Operation(
        name="vault-seal-folder",
        prepare=functools.partial(_prepare_many, holder=_file),
        run=functools.partial(_seal_many, holder=_file),
        check=functools.partial(_check_sealed_many, holder=_file),
        next_write=functools.partial(_seal_next, holder=_file),
    ),
    Operation(
        name="vault-unseal",
        prepare=functools.partial(_prepare_many, holder=_file),
        run=functools.partial(_unseal_many, holder=_file),
        check=_check_many,
        next_write=functools.partial(_unseal_again, holder=_file),
    ),
    _for_vaults("vault-compact", _compact, (LIVE, ABSENT), _file),
    _for_vaults("vault-erase-passphrase", _erase, (ERASED, ABSENT), _passphrase),
    Operation(
        name="vault-hand-over",
        prepare=functools.partial(_prepare_to_give, holder=_file),
        run=functools.partial(_give, holder=_file),
        check=functools.partial(_check_given, holder=_file),
        next_write=functools.partial(_next_write, holder=_file),
    ),
    _for_people("vault-subjects-seal", _seal_people, erased=False),
    _for_people("vault-subjects-erase", _erase_people, erased=True),
    Operation(
        name="vault-move",
        prepare=functools.partial(_prepare, holder=_file),
        run=functools.partial(_move, holder=_file),
        check=_check_move,
        next_write=_end_move,
    ),
)
