# SPDX-License-Identifier: Apache-2.0
"""Seal and erase as operations for the crash harness: killed, refused or cut off anywhere, the vault is as before or as after."""

import functools
from pathlib import Path

from crash.harness import Operation
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DestroyedError

PLAIN = b"weights" * 3000


def _open(folder: Path) -> Vault:
    return Vault.open(folder / "vault", root=FileRoot(folder / "root"))


def _prepare(folder: Path) -> None:
    (folder / "plain").write_bytes(PLAIN)
    with Vault.create(folder / "vault", root=FileRoot(folder / "root")) as vault:
        vault.seal(folder / "plain", "first")


def _seal(folder: Path) -> None:
    with _open(folder) as vault:
        vault.seal(folder / "plain", "second")


def _erase(folder: Path) -> None:
    with _open(folder) as vault:
        vault.erase(["first"])


def _check(folder: Path, acknowledged: bool, *, after: str) -> str | None:  # noqa: FBT001  # the harness calls it
    with _open(folder) as vault:
        states = {info.name: info.state for info in vault.assets()}
        if states.keys() - {"first", "second"} or "first" not in states:
            return f"the vault holds {states}"
        if acknowledged and f"{after} {states.get(after)}" != {"second": "second live", "first": "first erased"}[after]:
            return f"acknowledged and lost: {states}"
        for name, state in states.items():
            try:
                with vault.asset(name) as asset, asset.open("plain") as reader:
                    buffer = bytearray(len(PLAIN))
                    reader.readinto(memoryview(buffer), 0)
            except DestroyedError:
                if state == "live":
                    return f"{name} is listed as live and destroyed"
            else:
                if buffer != PLAIN or state != "live":
                    return f"{name} is {state} and reads otherwise"
    return None


def _next_write(folder: Path) -> None:
    with _open(folder) as vault:
        vault.seal(folder / "plain", "next")
        live = [info for info in vault.assets() if info.state == "live"]
    if len(list((folder / "vault").glob("registry-*"))) != 1 or len(list((folder / "vault" / "objects").iterdir())) != 2 * len(live):
        raise AssertionError("the next writer did not clear up")


_for_vaults = functools.partial(Operation, prepare=_prepare, next_write=_next_write)

OPERATIONS = (
    _for_vaults(name="vault-seal", run=_seal, check=functools.partial(_check, after="second")),
    _for_vaults(name="vault-erase", run=_erase, check=functools.partial(_check, after="first")),
)
