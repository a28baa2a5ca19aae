# SPDX-License-Identifier: Apache-2.0
"""Recording datasets and reading them checked, against hashing alone."""

import json
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._data import make_files, own, peer, python
from benchmarks._measure import Contender, Row, compare

if TYPE_CHECKING:
    from benchmarks._cases import Options

_DESCRIBED = (
    "import sys, datetime as dt; from lifeseal import provenance as p\n"
    "d = p.Description(name='b', source='s', obtained=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), licence='MIT')\n"
)
_RECORD = _DESCRIBED + "p.record(sys.argv[1], description=d).digest"
_RECORDS = (
    "import sys, tempfile, contextlib, concurrent.futures as f, multiprocessing as mp\n"
    + _DESCRIBED
    + "n = int(sys.argv[3])\n"
    + "with tempfile.TemporaryDirectory(dir=sys.argv[2]) as t:\n"
    + "  with f.ProcessPoolExecutor(n, mp_context=mp.get_context('fork')) if n > 1 else contextlib.nullcontext() as e:\n"
    + "    p.record(sys.argv[1], description=d, records=p.Records(leaves=f'{t}/l'), executor=e)"
)
_CHECKED = "import sys; from lifeseal import provenance as p\nm = p.Manifest.load(sys.argv[2])\nfor r in p.checked(m, sys.argv[1]): pass"
_HASH_LOOP = (
    "import os, sys, hashlib\nfor e in os.scandir(sys.argv[1]):\n"
    "  with open(e.path, 'rb', buffering=0) as f: hashlib.file_digest(f, 'sha256').digest()"
)
_HASH_TWO = (
    "import os, sys, hashlib; from concurrent.futures import ThreadPoolExecutor as T\n"
    "def one(p):\n  with open(p, 'rb', buffering=0) as f: return hashlib.file_digest(f, 'sha256').digest()\n"
    "with T(2) as pool: list(pool.map(one, [e.path for e in os.scandir(sys.argv[1])]))"
)
_LINES = "import sys, hashlib; sha256 = hashlib.sha256\nwith open(sys.argv[1], 'rb') as f:\n  for line in f: sha256(line).digest()"


def measure_data_files(options: "Options") -> list[Row]:
    """Record files, against two-thread hashlib on large ones, against a plain loop and model_signing on small ones."""
    large = make_files(options.folder / "large", count=200, size=options.mib * 2**20 // 200)
    contenders = [
        Contender(name="lifeseal record", command=python(_RECORD, large)),
        Contender(name="hashlib, two threads", command=python(_HASH_TWO, large)),
    ]
    rows = compare(f"record {options.mib} MiB in 200 files", contenders, references=["hashlib, two threads"], runs=options.runs)
    small = make_files(options.folder / "small", count=options.files, size=4096)
    key, signature = options.folder / "k", options.folder / "s.sig"
    subprocess.run([own("lifeseal"), "keygen", "--out", key], check=True, stdout=subprocess.DEVNULL)
    sign = (peer("model_signing"), "sign", "key", str(small), "--private_key", f"{key}.key", "--signature", str(signature))
    contenders = [
        Contender(name="lifeseal record", command=python(_RECORD, small)),
        Contender(name="hashlib, plain loop", command=python(_HASH_LOOP, small)),
        Contender(name="model_signing sign", command=sign),
    ]
    references = ["hashlib, plain loop", "model_signing sign"]
    return rows + compare(f"record {options.files} files of 4 KiB", contenders, references=references, runs=options.runs)


def measure_data_records(options: "Options") -> list[Row]:
    """Record each line of JSONL and each row of Parquet, and read them checked, against a loop that hashes lines."""
    text, table, place = options.folder / "r.jsonl", options.folder / "r.parquet", options.folder
    _make_lines(text, options.records)
    make_table = "import sys, pyarrow.json as j, pyarrow.parquet as q; q.write_table(j.read_json(sys.argv[1]), sys.argv[2], row_group_size=100_000)"
    subprocess.run(python(make_table, text, table), check=True)
    record = (own("lifeseal"), "data", "record", str(text), "--out", str(options.folder / "m.json"), "--records", "-q")
    subprocess.run(record, check=True)
    contenders = [
        Contender(name="lifeseal record, one process", command=python(_RECORDS, text, place, 1)),
        Contender(name="lifeseal record, two processes", command=python(_RECORDS, text, place, 2)),
        Contender(name="lifeseal record, Parquet rows", command=python(_RECORDS, table, place, 1)),
        Contender(name="lifeseal checked", command=python(_CHECKED, text, options.folder / "m.json")),
        Contender(name="sha256 of each line", command=python(_LINES, text)),
    ]
    return compare(f"{options.records} records", contenders, references=["sha256 of each line"], runs=options.runs)


def _make_lines(path: Path, count: int) -> None:
    dice = random.Random(8)
    words = [f"word{number}" for number in range(5000)]
    with path.open("w") as file:
        for number in range(count):
            row = {"id": number, "text": " ".join(dice.choices(words, k=16)), "label": number % 10, "score": dice.random()}
            file.write(json.dumps(row) + "\n")
