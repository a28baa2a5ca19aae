# SPDX-License-Identifier: Apache-2.0
"""Records of people: sealed, opened and erased, in one process on one core. Run by the case ``people``."""

import functools
import json
import os
import random
import sys
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks._vault import Way, take_turns
from lifeseal._io import require
from lifeseal.erasure import FileRoot, Vault

_RECORDS = 100_000
_MILLION = 1_000_000
_ERASED = 1000
_TEXT = random.Random(1).randbytes(200).hex()[:200]


def main() -> None:
    """Measure, and print one JSON document."""
    folder, runs = Path(sys.argv[1]), int(sys.argv[3])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with Vault.create(folder / "vault", root=FileRoot(folder / "root")) as vault:
        json.dump(take_turns([*_record_ways(vault, folder), *_erasing_ways(folder)], runs), sys.stdout)


def _record_ways(vault: Vault, folder: Path) -> list[Way]:
    ways = []
    for people in (1000, _RECORDS):
        records = [
            (f"person-{number % people}", json.dumps({"who": f"person-{number % people}", "text": _TEXT}).encode()) for number in range(_RECORDS)
        ]
        random.Random(2).shuffle(records)
        vault.subjects.create_many(person for person, _ in records)
        ways += _some(vault, folder, people, records)
    return ways


def _some(vault: Vault, folder: Path, people: int, records: list[tuple[str, bytes]]) -> list[Way]:
    sealed = list(vault.subjects.seal_many(records))
    keys = {person: AESGCM.generate_key(256) for person, _ in records}
    bare = [(person, AESGCM(keys[person]).encrypt(bytes(12), record, b"")) for person, record in records]

    def seal() -> None:
        for _ in vault.subjects.seal_many(records):
            pass

    def unseal() -> None:
        for _ in vault.subjects.unseal_many(sealed):
            pass

    def encrypt() -> None:
        for person, record in records:
            nonce = os.urandom(12)
            AESGCM(keys[person]).encrypt(nonce, record, b"")

    def decrypt() -> None:
        for person, record in bare:
            AESGCM(keys[person]).decrypt(bytes(12), record, b"")

    among, floor = f"{_RECORDS} records of {people} people", "AES-256-GCM with the person's key at hand"
    ways = [
        Way(case=f"{among}: seal", name="lifeseal seal_many", run=seal),
        Way(case=f"{among}: seal", name=floor, run=encrypt),
        Way(case=f"{among}: unseal", name="lifeseal unseal_many", run=unseal),
        Way(case=f"{among}: unseal", name=floor, run=decrypt),
    ]
    for way in _file_ways(vault, folder / str(people), [record for _, record in records]):
        is_seal = way.case.startswith("seal")
        ways += [attrs.evolve(way, case=f"{among}: {way.case}"), Way(case=f"{among}: {way.case}", name=floor, run=encrypt if is_seal else decrypt)]
    return ways


def _file_ways(vault: Vault, base: Path, records: list[bytes]) -> list[Way]:
    ways = []
    for form in ("JSONL", "Parquet"):
        source, target, opened = (base.with_name(f"{base.name}{part}.{form.lower()}") for part in ("", ".sealed", ".opened"))
        if form == "JSONL":
            source.write_bytes(b"".join(record + b"\n" for record in records))
        else:
            table = require("pyarrow", extra="parquet").Table.from_pylist([json.loads(record) for record in records])
            require("pyarrow.parquet", extra="parquet").write_table(table, source)
        vault.subjects.seal_file(source, target, id_field="who")
        to_seal = functools.partial(vault.subjects.seal_file, source, target, id_field="who", overwrite=True)
        to_unseal = functools.partial(vault.subjects.unseal_file, target, opened, overwrite=True)
        ways += [
            Way(case=f"seal a {form} file", name="lifeseal seal_file", run=to_seal),
            Way(case=f"unseal a {form} file", name="lifeseal unseal_file", run=to_unseal),
        ]
    return ways


def _erasing_ways(folder: Path) -> list[Way]:
    """Erase among a million."""
    vault = Vault.create(folder / "million", root=FileRoot(folder / "million.root"))
    vault.subjects.create_many(map(str, range(_MILLION)))
    order = random.Random(3).sample(range(_MILLION), 200 * _ERASED)

    def erase(count: int) -> None:
        vault.subjects.erase(str(order.pop()) for _ in range(count))

    def synchronise() -> None:
        for name in ("one", "two"):
            with (folder / name).open("ab", buffering=0) as file:
                file.write(bytes(4096))
                os.fsync(file.fileno())

    among = "among a million people"
    return [
        Way(case=f"{_ERASED} erased in one epoch {among}", name="lifeseal erase", run=lambda: erase(_ERASED)),
        Way(case=f"{_ERASED} erased in one epoch {among}", name="two fsyncs", run=synchronise),
        Way(case=f"one erased {among}", name="lifeseal erase", run=lambda: erase(1)),
        Way(case=f"one erased {among}", name="two fsyncs", run=synchronise),
    ]


if __name__ == "__main__":
    main()
