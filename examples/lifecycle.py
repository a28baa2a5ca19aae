# SPDX-License-Identifier: Apache-2.0
"""The life of one model, from its data to its certified end, on real data.

Handwritten digits are recorded, a small network is trained on them, saved, signed, tested, released, loaded through verification, attacked, sealed,
erased and certified. Every step that lifeseal took part in is in the event log at the end; ``examples/assessor.py`` asks that log questions.

Run it with ``make demo``, or ``python examples/lifecycle.py [FOLDER]``.
"""

import datetime as dt
import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lifeseal import attestation, disposal, erasure, errors, evidence, loading, provenance, serialization, signing
from lifeseal.principles import Event, Level, find, primitives

Array: TypeAlias = npt.NDArray[np.float32]
console = Console(highlight=False, width=None if sys.stdout.isatty() else 118)


def main() -> None:
    """Live the whole life of one model."""
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-artefacts") / dt.datetime.now(dt.UTC).strftime("%Y%m%d-%H%M%S")
    where.mkdir(parents=True)
    log = where / "events.jsonl"
    steps: list[tuple[str, int]] = []

    def step(title: str) -> None:
        steps.append((title, len(list(evidence.read(log)))))
        console.print(f"\n[bold cyan]{len(steps)}. {title}[/]")

    with evidence.Log(log):
        step("Keys: one for the team, one for a stranger")
        policy, signer, stranger = make_keys(where)
        step("Record where the data came from, and sign that")
        manifest = record_data(where, signer)
        step("Train on data that is what the manifest says, save as safetensors, sign")
        model, accuracy = train_and_sign(where, manifest, signer, policy)
        step("Think about threats, test, and release what was tested")
        release_model(where, model, signer, policy, accuracy)
        step("Load through verification: what is checked is what is used")
        load_checked(where, model, policy, accuracy)
        step("Refuse what is not what it should be")
        refuse_attacks(where, model, policy, stranger)
        step("Seal model and data: encrypted at rest, under one small root")
        seal(where, policy, accuracy)
        step("Decommission: erase, try to read, certify")
        decommission(where, signer)
        step("A second process believes the certificate, not us")
        verify_elsewhere(where, log)
    summarise(where, log, steps)
    print(f"artefacts: {where}")


def say(text: str, *, indent: int = 3) -> None:
    """Tell the reader what happened."""
    console.print(Padding(Text(text), (0, 0, 0, indent)))


def refused(what: str, error: Exception) -> None:
    """Tell the reader what was refused, and why."""
    console.print(Padding(Text.assemble(("refused", "green"), f" {what}"), (0, 0, 0, 3)))
    console.print(Padding(Text.assemble((type(error).__name__, "yellow"), f": {error}"), (0, 0, 0, 11)))


def make_keys(where: Path) -> tuple[attestation.TrustedKey, attestation.KeySigner, attestation.KeySigner]:
    """Make a key for the team and one that nobody here trusts."""
    keys = where / "keys"
    keys.mkdir()
    policy = attestation.generate_key(keys / "team")
    attestation.generate_key(keys / "stranger")
    say(f"team key {policy.fingerprint[:16]}…: whoever holds its private part is trusted below, nobody else")
    return policy, attestation.KeySigner.from_file(keys / "team.key"), attestation.KeySigner.from_file(keys / "stranger.key")


def record_data(where: Path, signer: attestation.KeySigner) -> provenance.Manifest:
    """Take the digits out of scikit-learn, and state their source, time and licence."""
    data = where / "data"
    data.mkdir()
    digits = files("sklearn.datasets.data") / "digits.csv.gz"
    (data / "digits.csv.gz").write_bytes(digits.read_bytes())
    description = provenance.Description(
        name="digits",
        source="https://archive.ics.uci.edu/dataset/80, as bundled with scikit-learn",
        obtained=dt.datetime.now(dt.UTC),
        licence="CC-BY-4.0",
        notes="Test part of the UCI set: 1797 images of 8 x 8 pixels.",
    )
    manifest = provenance.record(data, description=description)
    manifest.write(where / "digits.manifest.json")
    provenance.sign(manifest, signer=signer).write(where / "digits.manifest.json.sig")
    say(f"{len(manifest.files)} file, {manifest.size:,} bytes, from {description.source}")
    say(f"manifest {manifest.digest[:23]}…, signed")
    return manifest


def train_and_sign(where: Path, manifest: provenance.Manifest, signer: attestation.KeySigner, policy: attestation.TrustedKey) -> tuple[Path, float]:
    """Check the data against its signed manifest, train, save without pickle, sign."""
    vouched = provenance.open_manifest(where / "digits.manifest.json", policy=policy)
    provenance.verify(vouched, where / "data")
    say("data: signed by the team, and every byte as recorded")
    images, labels = read_digits(where / "data" / "digits.csv.gz")
    evidence.track("training configuration", {"steps": 300, "hidden": 48})
    evidence.track("training configuration", {"steps": 400, "hidden": 48})
    network = train(images[:1400], labels[:1400])
    accuracy = score(network, images[1400:], labels[1400:])
    say(f"trained 64-48-10 on 1400 images; right on {accuracy:.1%} of the 397 it never saw")
    model = where / "model"
    model.mkdir()
    serialization.save(network, model / "model.safetensors", metadata={"trained_on": manifest.digest})
    (model / "config.json").write_text(json.dumps({"layers": [64, 48, 10], "activation": "relu"}), encoding="utf-8")
    signing.sign(model, signer=signer).write(where / "model.sig")  # a copy to keep when the model is gone
    say(f"signed {sorted(path.name for path in model.iterdir())}")
    return model, accuracy


def release_model(where: Path, model: Path, signer: attestation.KeySigner, policy: attestation.TrustedKey, accuracy: float) -> None:
    """Record the threat model, state what was verified, scanned and tested, and release on that."""
    config = evidence.track("training configuration", {"steps": 400, "hidden": 48})
    threats = b"Poisoned images: pinned by the manifest. Readings under 0.9: a person looks. No rate limit: R-7, open."
    evidence.review(threats, covers=[config], reviewer="A. Analyst", risks=["R-7: no rate limit"])
    verification = signing.verify(model, policy=policy)
    evidence.attest_verification(verification, signer=signer).write(where / "model.svr.sig")
    report = serialization.scan(model, digest=True)
    evidence.attest_scan(report, signer=signer, log_head=evidence.current_head()).write(where / "model.scan.sig")
    bar = 0.85
    results = evidence.attest_tests(
        verification.subject,
        signer=signer,
        passed=[f"accuracy above {bar}"] if accuracy > bar else (),
        failed=[] if accuracy > bar else [f"accuracy above {bar}"],
    )
    results.write(where / "model.tests.sig")
    today = dt.datetime.now(dt.UTC)
    record = evidence.Release(
        subject=verification.subject,
        name="digits",
        version="1.0",
        number=1,
        intended_use="Reading single handwritten digits.",
        training_data=["UCI optdigits, test part"],
        limitations=["Not for cheques."],
        failure_modes=["Mixes up 1 and 7 in some hands."],
        guardrails=["A person sees every reading below 0.9."],
        retention="Erased at decommissioning, with its data.",
        maintenance="Reviewed each quarter.",
        open_risks=["R-7: no rate limit"],
        log_head=evidence.current_head(),
        released=today,
        next_review=today + dt.timedelta(days=90),
    )
    evidence.release(record, signer=signer, results=[results]).write(where / "release.sig")
    say(f"threat model of the configuration in force; {len(report.files)} files scanned: {report.verdict.value}; 1 test passed")
    say("released as digits 1.0; the release holds the head of this log, so a tail cut later shows")


def load_checked(where: Path, model: Path, policy: attestation.TrustedKey, accuracy: float) -> None:
    """Load the tensors of the released model through its signature, and see that they are the same network."""
    released, _ = evidence.open_release(where / "release.sig", policy=policy)
    with signing.open_model(model, policy=policy, expect=released.expect) as signed:
        network = loading.load_tensors(signed)
        images, labels = read_digits(where / "data" / "digits.csv.gz")
        again = score(network, images[1400:], labels[1400:])
        say(f"model {signed.subject.digest[:23]}…, signer {signed.signer.name if signed.signer else 'nobody'}")
    if again != accuracy:
        raise SystemExit("the loaded network is not the trained one")
    say(f"{len(network)} tensors loaded; the same {again:.1%}")


def refuse_attacks(where: Path, model: Path, policy: attestation.TrustedKey, stranger: attestation.KeySigner) -> None:
    """Try three attacks; each must be refused, for its own reason."""
    attacks = where / "attacks"
    tampered = shutil.copytree(model, attacks / "tampered")
    content = bytearray((tampered / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tampered / "model.safetensors").write_bytes(content)
    try:
        signing.verify(tampered, policy=policy)
    except errors.DigestMismatchError as error:
        refused("a copy with one bit flipped", error)
    else:
        raise SystemExit("a tampered copy was accepted")

    foreign = shutil.copytree(model, attacks / "foreign")
    signing.sign(foreign, signer=stranger)
    try:
        signing.verify(foreign, policy=policy)
    except errors.PolicyError as error:
        refused("the same model, signed by a stranger", error)
    else:
        raise SystemExit("a stranger's signature was accepted")

    marker = attacks / "executed"
    hostile = attacks / "weights.pkl"
    hostile.write_bytes(pickle.dumps(_Hostile(marker)))
    report = serialization.scan(hostile)
    if report.verdict.value != "unsafe" or marker.exists():
        raise SystemExit("a hostile pickle was not recognised, or it ran")
    refused("a pickle that runs a command when loaded", errors.UnsafeError(f"{report.findings[0].place}: {report.findings[0].message}"))
    say("it was read without being run: its marker file is not there")


class _Hostile:
    """Pickles to a call of a shell command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


def seal(where: Path, policy: attestation.TrustedKey, accuracy: float) -> None:
    """Put model and data in a vault, remove the plaintext, and load from the sealed model."""
    (where / "root").mkdir(mode=0o700)
    images, labels = read_digits(where / "data" / "digits.csv.gz")
    with erasure.Vault.create(where / "vault", root=erasure.FileRoot(where / "root" / "vault.root")) as vault:
        for folder in ("model", "data"):
            vault.seal(where / folder, f"digits-{folder}", remove_plaintext=True).close()
        say(f"vault {vault.id}, epoch {vault.epoch}: {', '.join(info.name for info in vault.assets())}; plaintext unlinked")
        with vault.asset("digits-model") as asset, signing.open_model(asset, policy=policy) as signed:
            again = score(loading.load_tensors(signed), images[1400:], labels[1400:])
        if again != accuracy:
            raise SystemExit("the sealed network is not the trained one")
        say(f"loaded straight from the vault, decrypted and verified in memory; the same {again:.1%}")
    shutil.copytree(where / "vault", where / "vault-copy-before-erasure")
    say("and somebody makes a copy of the vault")


def decommission(where: Path, signer: attestation.KeySigner) -> None:
    """Erase both assets, show that nobody can read them, write the certificate."""
    root = erasure.FileRoot(where / "root" / "vault.root")
    with erasure.Vault.open(where / "vault", root=root) as vault:
        plan = disposal.plan(vault, ["digits-model", "digits-data"], request="DEMO-1")
        certificate = disposal.dispose(plan, signer=signer, sanitiser="ops@example.org", custodian="records@example.org", trigger="decommission")
        certificate.write(where / "disposal-certificate.json")
        for name in ("digits-model", "digits-data"):
            try:
                vault.asset(name)
            except errors.DestroyedError as error:
                refused(f"reading {name}", error)
            else:
                raise SystemExit("an erased asset was read")
    try:
        erasure.Vault.open(where / "vault-copy-before-erasure", root=root)
    except errors.LifesealError as error:
        refused("the copy made before the erasure", error)
    else:
        raise SystemExit("the copy of the vault could be opened")
    say(f"certificate: {certificate.disposal.status}; {certificate.disposal.assurance}")
    for limit in certificate.disposal.limitations:
        say(f"it also says: {limit}", indent=5)


def verify_elsewhere(where: Path, log: Path) -> None:
    """Let the command line, in a process of its own, check the certificate against key and vault."""
    command = [sys.executable, "-m", "lifeseal", "certificate", "verify", str(where / "disposal-certificate.json")]
    command += ["--key", str(where / "keys" / "team.pub"), "--vault", str(where / "vault")]
    command += ["--root", f"file:{where / 'root' / 'vault.root'}", "--log", str(log)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command, fixed arguments
    for line in done.stdout.splitlines()[:4]:
        say(line.strip())


def summarise(where: Path, log: Path, steps: list[tuple[str, int]]) -> None:
    """Show which provisions each step implemented, and where the evidence lies."""
    events = list(evidence.read(log))
    table = Table(title="\nWhat each step implemented, of the UK Code of Practice for the Cyber Security of AI", title_justify="left")
    for heading in ("step", "implemented", "helped to show", "evidence in events.jsonl"):
        table.add_column(heading)
    for number, (title, start) in enumerate(steps):
        stop = steps[number + 1][1] if number + 1 < len(steps) else len(events)
        part = events[start:stop]
        implemented = served(part, Level.IMPLEMENTS)
        refusals = sum(event.outcome == "fail" for event in part)
        lines = f"events {start + 1} to {stop}" + (f", {refusals} refused" if refusals else "")
        table.add_row(title, in_order(implemented), in_order(served(part, Level.EVIDENCES) - implemented), lines)
    console.print(table)
    say("A refusal is the control at work: it counts as implemented too. A tag says what a function can do; it makes nobody compliant.")
    found = evidence.verify(log)
    say(f"log: {found.events} events, chain unbroken, head {found.head[:16]}… (keep it elsewhere: only it shows a cut tail)")
    (where / "report.html").write_text(evidence.report(log), encoding="utf-8")
    (where / "oscal").mkdir()
    for name, document in evidence.oscal(log).items():
        (where / "oscal" / name).write_bytes(document)
    for name in (
        "digits.manifest.json",
        "digits.manifest.json.sig",
        "model.sig",
        "release.sig",
        "disposal-certificate.json",
        "events.jsonl",
        "report.html",
    ):
        say(f"{name:<28}{(where / name).stat().st_size:>8,} bytes")


def served(events: list[Event], level: Level) -> set[str]:
    """Tell which provisions the functions that ran serve, in the Code's numbers."""
    ran = {event.primitive for event in events if event.outcome in {"pass", "fail"}}
    tags = (tag for name in ran for tag in primitives()[name].tags)
    return {find(tag.provision).number for tag in tags if tag.level is level}


def in_order(numbers: set[str]) -> str:
    """Write provision numbers in the Code's order."""
    return " ".join(sorted(numbers, key=lambda number: [int(part) for part in number.split(".")]))


def read_digits(path: Path) -> tuple[Array, npt.NDArray[np.int64]]:
    """Read the images, scaled to 0..1, and their labels."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return rows[:, :-1] / np.float32(16), rows[:, -1].astype(np.int64)


def train(images: Array, labels: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Train a network with one hidden layer by plain gradient descent."""
    draw = np.random.default_rng(7)
    network = {
        "hidden.weight": (draw.standard_normal((64, 48)) * 0.15).astype(np.float32),
        "hidden.bias": np.zeros(48, np.float32),
        "out.weight": (draw.standard_normal((48, 10)) * 0.15).astype(np.float32),
        "out.bias": np.zeros(10, np.float32),
    }
    wanted = np.eye(10, dtype=np.float32)[labels]
    for _ in range(400):
        hidden = np.maximum(images @ network["hidden.weight"] + network["hidden.bias"], 0)
        guess = np.exp(hidden @ network["out.weight"] + network["out.bias"])
        error = (guess / guess.sum(axis=1, keepdims=True) - wanted) / np.float32(len(images))
        back = (error @ network["out.weight"].T) * (hidden > 0)
        for name, slope in (
            ("out.weight", hidden.T @ error),
            ("out.bias", error.sum(axis=0)),
            ("hidden.weight", images.T @ back),
            ("hidden.bias", back.sum(axis=0)),
        ):
            network[name] -= (np.float32(1.0) * slope).astype(np.float32)
    return network


def score(network: dict[str, Array], images: Array, labels: npt.NDArray[np.int64]) -> float:
    """Tell which share of the images the network reads right."""
    hidden = np.maximum(images @ network["hidden.weight"] + network["hidden.bias"], 0)
    return float(((hidden @ network["out.weight"] + network["out.bias"]).argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
