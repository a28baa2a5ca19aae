# SPDX-License-Identifier: Apache-2.0
"""What is measured."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks._convert import WAYS, make_checkpoint
from benchmarks._data import ROOT, SCANNING_PACKAGES, SEALING_PACKAGES, make_files, own, peer
from benchmarks._datasets import measure_data_files, measure_data_records
from benchmarks._log import measure_log
from benchmarks._measure import Contender, Row, Sample, compare, rows_of
from benchmarks._openers import WAYS as OPENERS
from benchmarks._scale import measure_data_scale
from benchmarks._search import make_model, make_place

_READ_ALL = (
    "import os, sys; b = bytearray(1 << 20)\nfor e in os.scandir(sys.argv[1]):\n  with open(e.path, 'rb', 0) as f:\n    while f.readinto(b): pass"
)
_HASH_ALL = (
    "import os, sys; from {module} import {name} as new; b = bytearray(1 << 20); v = memoryview(b)\n"
    "for e in os.scandir(sys.argv[1]):\n  h = new()\n  with open(e.path, 'rb', 0) as f:\n    while n := f.readinto(b): h.update(v[:n])\n  h.digest()"
)
_ENGINE = (
    "import sys; from lifeseal._io import DiskSource, hash_files\n"
    "with DiskSource(sys.argv[1]) as s: hash_files(s, s.names(), algorithm=sys.argv[2], threads=int(sys.argv[3]))"
)

_IN_TEMP = "import os, sys, tempfile\nwith tempfile.TemporaryDirectory(dir=sys.argv[2]) as t:\n  "
_SEAL = _IN_TEMP + (
    "from lifeseal.erasure import FileRoot, Vault\n"
    "  with Vault.create(f'{t}/vault', root=FileRoot(f'{t}/root')) as v: v.seal(sys.argv[1], 'asset').close()"
)
_COPY = _IN_TEMP + (
    "import shutil\n  for e in os.scandir(sys.argv[1]):\n    shutil.copyfile(e.path, f'{t}/{e.name}')\n"
    "    with open(f'{t}/{e.name}', 'rb') as f: os.fsync(f.fileno())"
)
_STREAM = _IN_TEMP + (
    "from cryptography.cobblestone import Cobblestone256Encryptor as E\n  for e in os.scandir(sys.argv[1]):\n"
    "    c = E(E.generate_key(), context=b'bench')\n"
    "    with open(e.path, 'rb', 0) as f, open(f'{t}/{e.name}', 'wb', 0) as g:\n"
    "      while p := f.read(1 << 20): g.write(c.update(p))\n      g.write(c.finalize()); os.fsync(g.fileno())"
)
_PREPARE = (
    "import os, sys\nfrom lifeseal.erasure import FileRoot, Vault\nt = sys.argv[2]\n"
    "with Vault.create(f'{t}/vault', root=FileRoot(f'{t}/root')) as v: v.seal(sys.argv[1], 'asset').close()\n"
    "from cryptography.cobblestone import Cobblestone256Encryptor as E\nos.mkdir(f'{t}/streams')\nfor e in os.scandir(sys.argv[1]):\n"
    "  c = E(bytes(32), context=b'bench')\n  with open(e.path, 'rb', 0) as f, open(f'{t}/streams/{e.name}', 'wb', 0) as g:\n"
    "    while p := f.read(1 << 20): g.write(c.update(p))\n    g.write(c.finalize())"
)
_UNSEAL = _IN_TEMP + (
    "from lifeseal.erasure import FileRoot, Vault\n"
    "  with Vault.open(f'{sys.argv[1]}/vault', root=FileRoot(f'{sys.argv[1]}/root')) as v: v.unseal('asset', f'{t}/out')"
)
_UNSTREAM = _IN_TEMP + (
    "from cryptography.cobblestone import Cobblestone256Decryptor as D\n  for e in os.scandir(f'{sys.argv[1]}/streams'):\n"
    "    c = D(bytes(32), context=b'bench')\n    with open(e.path, 'rb', 0) as f, open(f'{t}/{e.name}', 'wb', 0) as g:\n"
    "      while p := f.read(1 << 20): g.write(c.update(p))\n      g.write(c.finalize()); os.fsync(g.fileno())"
)
_PYRAGE = _IN_TEMP + (
    "import pyrage\n  r = [pyrage.x25519.Identity.generate().to_public()]\n  for e in os.scandir(sys.argv[1]):\n"
    "    pyrage.encrypt_file(e.path, f'{t}/{e.name}', r)\n    with open(f'{t}/{e.name}', 'rb') as f: os.fsync(f.fileno())"
)
_AWS = _IN_TEMP + (
    "import aws_encryption_sdk as s\n  from aws_encryption_sdk.identifiers import CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm\n"
    "  from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey\n"
    "  from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider\n"
    "  class P(RawMasterKeyProvider):\n    provider_id = 'bench'\n    def _get_raw_key(self, key_id):\n"
    "      return WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, bytes(32), EncryptionKeyType.SYMMETRIC)\n"
    "  p = P(); p.add_master_key('k')\n"
    "  c = s.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)\n"
    "  a = s.identifiers.AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY\n  for e in os.scandir(sys.argv[1]):\n"
    "    with open(e.path, 'rb') as f, open(f'{t}/{e.name}', 'wb') as g:\n"
    "      with c.stream(mode='e', source=f, key_provider=p, algorithm=a, frame_length=int(sys.argv[3])) as x:\n        for q in x: g.write(q)\n"
    "      g.flush(); os.fsync(g.fileno())"
)
_AEAD = (
    "import os, sys; from cryptography.hazmat.primitives.ciphers.aead import AESGCM; a = AESGCM(bytes(32)); n = 0\n"
    "for e in os.scandir(sys.argv[1]):\n  with open(e.path, 'rb', 0) as f:\n"
    "    while p := f.read(1 << 20): a.encrypt(n.to_bytes(12, 'big'), p, None); n += 1"
)


@attrs.frozen(kw_only=True)
class Options:
    """What the command line asked for.

    Attributes:
        runs: Rounds that count.
        mib: Mebibytes of the large model.
        files: Number of files of the model of small files.
        folder: Where data is made.
        records: Records of the dataset of records.
    """

    runs: int
    mib: int
    files: int
    folder: Path
    records: int = 1_000_000


def measure_import(options: Options) -> list[Row]:
    """Import each package in a fresh interpreter, against the interpreter alone."""
    packages = sorted(path.parent.name for path in (ROOT / "src" / "lifeseal").glob("[a-z]*/__init__.py"))
    names = ["lifeseal", "lifeseal.errors", *(f"lifeseal.{package}" for package in packages)]
    contenders = [Contender(name="bare interpreter", command=(sys.executable, "-c", "pass"))]
    contenders += [Contender(name=name, command=(sys.executable, "-c", f"import {name}")) for name in names]
    return compare("import", contenders, references=["bare interpreter"], runs=options.runs)


def measure_hash(options: Options) -> list[Row]:
    """Hash four large files with the engine, against the hash alone and against reading."""
    folder = str(make_files(options.folder / "hash", count=4, size=options.mib * 2**20 // 4))
    rows: list[Row] = []
    for algorithm, module in (("sha256", "hashlib"), ("blake3", "blake3")):
        floor = _HASH_ALL.format(module=module, name=algorithm)
        contenders = [
            Contender(name=f"lifeseal, {threads} thread(s)", command=(sys.executable, "-c", _ENGINE, folder, algorithm, str(threads)))
            for threads in (1, 2)
        ]
        contenders += [
            Contender(name=f"{module}, one thread", command=(sys.executable, "-c", floor, folder)),
            Contender(name="reading", command=(sys.executable, "-c", _READ_ALL, folder)),
        ]
        case = f"hash {algorithm}, {options.mib} MiB in 4 files"
        rows += compare(case, contenders, references=[f"{module}, one thread", "reading"], runs=options.runs)
    return rows


def measure_verify(options: Options) -> list[Row]:
    """Verify models at the command line, against model_signing on its own signature of the same files."""
    key = options.folder / "bench"
    subprocess.run([own("lifeseal"), "keygen", "--out", key], check=True, stdout=subprocess.DEVNULL)
    large = make_files(options.folder / "large", count=4, size=options.mib * 2**20 // 4)
    small = make_files(options.folder / "small", count=options.files, size=4096)
    one = make_files(options.folder / "one", count=1, size=options.mib * 2**20)
    rows = _verify(f"verify {options.mib} MiB in 4 files", large, key, options)
    rows += _verify(f"verify {options.mib} MiB in 4 files, blake3", large, key, options, how=("--hash", "blake3"))
    rows += _verify(f"verify {options.mib} MiB in 1 file, ours in shards", one, key, options, how=("--shard-size", str(256 << 20)))
    rows += _verify(f"verify {options.files} files of 4 KiB", small, key, options)
    for folder, what in ((small, f"{options.files} files of 4 KiB"), (large, f"{options.mib} MiB in 4 files")):
        (folder / "extra.bin").write_bytes(b"not signed")
        rows += _verify(f"refuse {what} and one that was not signed", folder, key, options, exit_code=1)
    return rows


def _verify(case: str, model: Path, key: Path, options: Options, *, how: tuple[str, ...] = (), exit_code: int = 0) -> list[Row]:
    ours, theirs = options.folder / f"{model.name}{''.join(how)}.ours.sig", options.folder / f"{model.name}.theirs.sig"
    program = peer("model_signing")
    private = f"{key}.key"
    if not ours.exists():
        subprocess.run([own("lifeseal"), "sign", model, "--key", private, "--out", ours, *how], check=True, stdout=subprocess.DEVNULL)
    if not theirs.exists():
        subprocess.run([program, "sign", "key", model, "--private_key", private, "--signature", theirs], check=True, stdout=subprocess.DEVNULL)
    ask_us = (own("lifeseal"), "verify", str(model), "--key", f"{key}.pub", "--signature", str(ours))
    ask_them = (program, "verify", "key", str(model), "--public_key", f"{key}.pub", "--signature", str(theirs))
    contenders = [
        Contender(name="lifeseal verify", command=ask_us, exit_code=exit_code),
        Contender(name="model_signing verify", command=ask_them, exit_code=exit_code),
        Contender(name="sha256 alone", command=(sys.executable, "-c", _HASH_ALL.format(module="hashlib", name="sha256"), str(model))),
        Contender(name="reading", command=(sys.executable, "-c", _READ_ALL, str(model))),
    ]
    return compare(case, contenders, references=["model_signing verify", "sha256 alone", "reading"], runs=options.runs)


def measure_keyless(options: Options) -> list[Row]:
    """Verify a keyless signature of a small model offline, against model_signing; both are mostly the import of sigstore."""
    place = ROOT / "tests/vectors/keyless"
    root, trust = place / "root.json", options.folder / "trust.json"
    kind = "application/vnd.dev.sigstore"
    config = {"trustedRoot": json.loads(root.read_bytes()), "signingConfig": {"mediaType": f"{kind}.signingconfig.v0.2+json"}}
    trust.write_text(json.dumps({"mediaType": f"{kind}.clienttrustconfig.v0.1+json", **config}))
    model, who, issuer = str(place / "model"), "release@example.org", "https://issuer.example.org"
    rows: list[Row] = []
    for rekor in ("rekor1", "rekor2"):
        bundle = str(place / f"bundles/{rekor}.sig")
        ask_us = ("verify", model, "--signature", bundle, "--identity", who, "--issuer", issuer, "--trust-config", str(root))
        ask_them = (
            "verify",
            "sigstore",
            model,
            "--signature",
            bundle,
            "--identity",
            who,
            "--identity_provider",
            issuer,
            "--trust_config",
            str(trust),
        )
        contenders = [
            Contender(name="lifeseal verify", command=(own("lifeseal"), *ask_us)),
            Contender(name="model_signing verify", command=(peer("model_signing"), *ask_them)),
            Contender(name="import sigstore.verify", command=(sys.executable, "-c", "import sigstore.verify")),
        ]
        rows += compare(f"verify a keyless signature, {rekor}", contenders, references=["model_signing verify"], runs=options.runs)
    return rows


def measure_seal(options: Options) -> list[Row]:
    """Seal and unseal a folder, against the bare cipher stream and two peers, to disk; floors: copy, raw AEAD, reading."""
    folder = str(make_files(options.folder / "seal", count=4, size=options.mib * 2**20 // 4))
    place = str(options.folder)
    other = peer("python", packages=SEALING_PACKAGES)
    contenders = [
        Contender(name="lifeseal seal", command=(sys.executable, "-c", _SEAL, folder, place)),
        Contender(name="cryptography, Cobblestone-256 stream", command=(sys.executable, "-c", _STREAM, folder, place)),
        Contender(name="pyrage", command=(other, "-c", _PYRAGE, folder, place)),
        Contender(name="aws-encryption-sdk", command=(other, "-c", _AWS, folder, place, "4096")),
        Contender(name="aws-encryption-sdk, its quickest frames", command=(other, "-c", _AWS, folder, place, "65536")),
        Contender(name="copy", command=(sys.executable, "-c", _COPY, folder, place)),
        Contender(name="AES-256-GCM in memory", command=(sys.executable, "-c", _AEAD, folder)),
        Contender(name="reading", command=(sys.executable, "-c", _READ_ALL, folder)),
    ]
    references = ["cryptography, Cobblestone-256 stream", "pyrage", "aws-encryption-sdk", "aws-encryption-sdk, its quickest frames", "copy"]
    rows = compare(f"seal {options.mib} MiB in 4 files", contenders, references=references, runs=options.runs)
    small = str(make_files(options.folder / "seal-small", count=options.files, size=4096))
    contenders = [
        Contender(name="lifeseal seal", command=(sys.executable, "-c", _SEAL, small, place)),
        Contender(name="cryptography, Cobblestone-256 stream", command=(sys.executable, "-c", _STREAM, small, place)),
        Contender(name="copy", command=(sys.executable, "-c", _COPY, small, place)),
    ]
    references = ["cryptography, Cobblestone-256 stream", "copy"]
    rows += compare(f"seal {options.files} files of 4 KiB, each synchronised", contenders, references=references, runs=options.runs)
    made = options.folder / "made"
    made.mkdir()
    subprocess.run([sys.executable, "-c", _PREPARE, folder, made], check=True)
    contenders = [
        Contender(name="lifeseal unseal", command=(sys.executable, "-c", _UNSEAL, str(made), place)),
        Contender(name="cryptography, Cobblestone-256 stream", command=(sys.executable, "-c", _UNSTREAM, str(made), place)),
    ]
    return rows + compare(f"unseal {options.mib} MiB in 4 files", contenders, references=["cryptography, Cobblestone-256 stream"], runs=options.runs)


def measure_open(options: Options) -> list[Row]:
    """Decrypt a file into memory, against two peers, one with its default frames of 4 KiB and with those of 64 KiB; starting them is not counted."""
    ways: dict[str, list[Sample]] = {}
    for name in OPENERS:
        python = sys.executable if name == "lifeseal" else peer("python", packages=SEALING_PACKAGES)
        command = (python, str(ROOT / "benchmarks" / "_openers.py"), name, str(options.folder), str(options.mib), str(options.runs))
        ways[name] = _samples(command)
    return rows_of(f"decrypt {options.mib} MiB into memory", ways, [name for name in ways if name != "lifeseal"])


def _samples(command: tuple[str, ...]) -> list[Sample]:
    quiet = {**os.environ, "DO_NOT_TRACK": "1", "PROMPTFOO_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet)
    return [Sample(wall=wall, cpu=cpu, memory=memory) for wall, cpu, memory in json.loads(done.stdout.splitlines()[-1])]


def measure_range(options: Options) -> list[Row]:
    """Read a container by ranges, against the bare cipher stream, and against opening chunks that are in memory."""
    return _in_one_process("_vault", options, lambda name: "lifeseal" not in name, "range")


def measure_tree(options: Options) -> list[Row]:
    """Look up and erase keys among 16.7 million, against the opens and the fsyncs that they need. Takes 2 GB of disk."""
    return _in_one_process("_vault", options, lambda name: "lifeseal" not in name, "tree")


def measure_people(options: Options) -> list[Row]:
    """Seal, open and erase records of people, against bare AES-256-GCM with a key for each, and against two fsyncs."""
    return _in_one_process("_people", options, lambda name: "lifeseal" not in name)


def measure_load(options: Options) -> list[Row]:
    """Load into a PyTorch module, against an unverified load, against hashing and then loading, and against decryption alone."""
    return _in_one_process("_load", options, lambda name: "lifeseal load" not in name)


def measure_scan(options: Options) -> list[Row]:
    """Scan large files of several formats, against the header alone and against reading."""
    return _in_one_process("_scan", options, lambda name: "lifeseal" not in name)


def _in_one_process(module: str, options: Options, is_reference: Callable[[str], bool], *words: str) -> list[Row]:
    command = (sys.executable, "-m", f"benchmarks.{module}", str(options.folder), str(options.mib), str(options.runs), *words)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, dict[str, list[Sample]]] = {}
    for way in json.loads(done.stdout):
        samples = [Sample(wall=wall, cpu=cpu, memory=memory) for wall, cpu, memory in way["samples"]]
        found.setdefault(way["case"], {})[way["name"]] = samples
    return [row for case, ways in found.items() for row in rows_of(case, ways, [name for name in ways if is_reference(name)])]


def measure_convert(options: Options) -> list[Row]:
    """Convert a checkpoint, large or of many tensors, against PyTorch with safetensors, and against copying the file."""
    size = options.mib * 2**20
    rows: list[Row] = []
    for tensors, total, ways in ((300, size, WAYS), (1000, 64_000, WAYS[:1]), (10_000, 640_000, WAYS[:1])):
        source = make_checkpoint(options.folder / f"{tensors}.pt", tensors=tensors, size=total)
        target = str(options.folder / "out.safetensors")
        contenders = [Contender(name=way, command=(sys.executable, "-m", "benchmarks._convert", way, str(source), target)) for way in ways]
        case = f"convert {tensors} tensors of {total >> 20} MiB in all"
        rows += compare(case, contenders, references=[way for way in ways if not way.startswith("lifeseal")], runs=options.runs)
    return rows


_TORCH_ZIP = "import sys, torch; n = int(sys.argv[2]) // 300 // 4\ntorch.save({f'layer.{i}.weight': torch.zeros(n) for i in range(300)}, sys.argv[1])"
_PICKLES = (
    "import collections, pathlib, pickle, sys\nfor i in range(int(sys.argv[2])):\n"
    "  pathlib.Path(sys.argv[1], f'{i}.pkl').write_bytes(pickle.dumps({'a': i, 'b': [1, 2.5, 'x'], 'c': collections.OrderedDict(x=1)}))"
)


def measure_scanners(options: Options) -> list[Row]:
    """Scan a PyTorch file of 1 GiB and small pickles, against picklescan and modelaudit; starting them is not counted."""
    large, small, few = options.folder / "model.pt", options.folder / "pickles", options.folder / "few"
    subprocess.run([sys.executable, "-c", _TORCH_ZIP, large, str(1 << 30)], check=True)
    for folder, count in ((small, 1000), (few, 10)):
        folder.mkdir()
        subprocess.run([sys.executable, "-c", _PICKLES, folder, str(count)], check=True)
    rows: list[Row] = []
    cases = {  # a thousand would keep modelaudit busy for minutes
        "scan a PyTorch file of 1 GiB": (large, ("lifeseal", "picklescan", "modelaudit")),
        "scan 1000 small pickles": (small, ("lifeseal", "picklescan")),
        "scan 10 small pickles": (few, ("lifeseal", "modelaudit")),
    }
    for case, (path, names) in cases.items():
        ways: dict[str, list[Sample]] = {}
        for name in names:
            python = sys.executable if name == "lifeseal" else peer("python", packages=SCANNING_PACKAGES)
            command = (python, str(ROOT / "benchmarks" / "_scanners.py"), name, str(path), str(options.runs))
            ways[name] = _samples(command)
        rows += rows_of(case, ways, names[1:])
    return rows


def measure_search(options: Options) -> list[Row]:
    """Search ten times as many small files as the option says for copies of a large model, against listing their sizes and hashing them all."""
    model = str(make_model(options.folder / "model", size=options.mib << 20))
    place = str(make_place(options.folder / "place", files=10 * options.files))
    contenders = [
        Contender(name="lifeseal find_copies, with reading the model", command=(sys.executable, "-m", "benchmarks._search", model, place)),
        Contender(name="find -size", command=("/usr/bin/find", place, "-type", "f", "-size", f"{options.mib}M")),
        Contender(name="sha256sum of all", command=("/bin/sh", "-c", 'find "$1" -type f -print0 | xargs -0 sha256sum > /dev/null', "sh", place)),
    ]
    return compare("search", contenders, references=["find -size", "sha256sum of all"], runs=options.runs)


CASES: dict[str, Callable[[Options], list[Row]]] = {
    "import": measure_import,
    "hash": measure_hash,
    "verify": measure_verify,
    "keyless": measure_keyless,
    "seal": measure_seal,
    "open": measure_open,
    "range": measure_range,
    "tree": measure_tree,
    "people": measure_people,
    "log": measure_log,
    "load": measure_load,
    "scan": measure_scan,
    "scanners": measure_scanners,
    "data-files": measure_data_files,
    "data-records": measure_data_records,
    "data-scale": measure_data_scale,
    "convert": measure_convert,
    "search": measure_search,
}
