# SPDX-License-Identifier: Apache-2.0
"""Several writers, refusing disks, and where a log may lie."""

import base64
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings

import attrs
import pytest

from lifeseal import attestation, evidence, serialization, signing
from lifeseal.attestation import KeySigner
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import CredentialError, FormatError, LimitError, StateError

PROGRAM = """
import sys
from lifeseal import evidence
from lifeseal.principles import Event
with evidence.Log(sys.argv[1]) as log:
    for number in range(200):
        log.emit(Event(time="t", primitive=sys.argv[2], outcome="pass", error="", provisions=(), facts={"number": number}))
"""


@pytest.fixture(autouse=True)
def _no_log_is_left():
    yield
    evidence.stop()


def by_writer(path):
    found = {}
    for event in evidence.read(path):
        found.setdefault(event.primitive, []).append(event.facts["number"])
    return found


def test_two_processes_and_four_threads_write_one_log(tmp_path, make_event):
    path = tmp_path / "log"
    others = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), f"process{place}"]) for place in range(2)]

    def write(place):
        for number in range(100):
            log.emit(attrs.evolve(make_event(number), primitive=f"thread{place}"))

    with evidence.Log(path) as log:
        threads = [threading.Thread(target=write, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    wanted = {f"thread{place}": list(range(100)) for place in range(4)} | {f"process{place}": list(range(200)) for place in range(2)}
    assert by_writer(path) == wanted
    assert evidence.verify(path).damaged == 0


def test_a_forked_process_goes_on_with_the_log(tmp_path, make_event):
    path = tmp_path / "log"
    with evidence.Log(path) as log:
        log._lock.acquire()  # as another thread might hold it at this instant
        child = _fork()
        if child == 0:
            with_error = 1
            try:
                for number in range(300):
                    log.emit(attrs.evolve(make_event(number), primitive="child"))
                with_error = 0
            finally:
                os._exit(with_error)
        log._lock.release()
        for number in range(300):
            log.emit(attrs.evolve(make_event(number), primitive="parent"))
        assert os.waitpid(child, 0)[1] == 0
    assert by_writer(path) == {"child": list(range(300)), "parent": list(range(300))}


def _fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test worker may have threads
        return os.fork()


def test_many_starts_and_stops_in_threads_keep_the_chain(tmp_path):
    path = tmp_path / "log"
    (tmp_path / "data").write_bytes(b"[]")
    faults = []

    def work():
        for _ in range(20):
            try:
                evidence.start(path)
            except StateError as error:
                if "started already" not in str(error):
                    faults.append(error)
            try:
                serialization.scan(tmp_path / "data")
            except StateError as error:
                if "closed" not in str(error):
                    faults.append(error)
            evidence.stop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert evidence.verify(path).damaged == 0


def test_a_started_log_hears_every_thread(tmp_path):
    (tmp_path / "data").write_bytes(b"[]")
    evidence.start(tmp_path / "log")
    threads = [threading.Thread(target=serialization.scan, args=(tmp_path / "data",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    evidence.stop()
    serialization.scan(tmp_path / "data")
    assert [event.primitive for event in evidence.read(tmp_path / "log")].count("lifeseal.serialization.scan") == 4


def test_a_second_start_is_refused(tmp_path):
    evidence.start(tmp_path / "log")
    with pytest.raises(StateError, match="started already"):
        evidence.start(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    evidence.stop()
    evidence.stop()


def test_a_closed_log_refuses_and_closes_twice(log, make_event):
    made = evidence.Log(log)
    made.close()
    made.close()
    with pytest.raises(StateError, match="this event log is closed"):
        made.emit(make_event())


def test_a_refused_call_is_evidence_too(tmp_path):
    with evidence.Log(tmp_path / "log"), pytest.raises(FileNotFoundError):
        serialization.scan(tmp_path / "absent")
    (event,) = evidence.read(tmp_path / "log")
    assert (event.primitive, event.outcome, event.error) == ("lifeseal.serialization.scan", "fail", "FileNotFoundError")


@pytest.fixture
def full_disk(tmp_path):
    """No file may grow beyond 4 KiB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    def empty():
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    fill.undo = empty
    yield fill
    empty()
    signal.signal(signal.SIGXFSZ, handler)


def test_a_refusing_log_refuses_the_call_and_names_the_log(tmp_path, make_event, full_disk):
    log = evidence.Log(tmp_path / "log")
    full_disk()
    with pytest.raises(OSError, match="File too large") as caught:
        log.emit(make_event(text="x" * 5000))
    assert any("the event log" in text for text in caught.value.__notes__)
    log.emit(make_event(1))
    full_disk.undo()
    log.close()
    assert evidence.verify(tmp_path / "log").events == 1


def test_a_warning_log_warns_and_goes_on(tmp_path, make_event, full_disk, caplog):
    log = evidence.Log(tmp_path / "log", on_failure="warn")
    full_disk()
    log.emit(make_event(text="x" * 5000))
    assert "could not be written" in caplog.text
    with pytest.raises(OSError, match="File too large"):
        log.emit(make_event(outcome="intent", text="x" * 5000))
    full_disk.undo()
    log.emit(make_event(2))
    log.close()
    found = evidence.verify(tmp_path / "log")
    assert (found.events, found.damaged) == (1, 0)


def test_damage_that_cannot_be_closed_now_is_closed_later(tmp_path, make_event, full_disk):
    log = evidence.Log(tmp_path / "log", on_failure="warn")
    with (tmp_path / "log").open("ab") as other:
        other.write(b'{"torn')
    full_disk()
    log.emit(make_event(text="x" * 5000))
    full_disk.undo()
    log.emit(make_event(2))
    log.close()
    found = evidence.verify(tmp_path / "log")
    assert (found.events, found.damaged) == (1, 1)


def test_an_irreversible_act_does_not_begin_unlogged(tmp_path, make_event, full_disk):
    (tmp_path / "plain").write_bytes(b"x")
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(tmp_path / "plain", "a")
        with evidence.Log(tmp_path / "log", on_failure="warn") as log:
            log.emit(make_event(text="x" * 5000))
            full_disk()
            with pytest.raises(OSError, match="File too large") as caught:
                vault.erase(["a"])
            assert any("the event log" in text for text in caught.value.__notes__)
            with vault.asset("a") as asset:
                assert asset.names() == ("plain",)
            full_disk.undo()
            vault.erase(["a"])
        assert [info.state for info in vault.assets()] == ["erased"]
    outcomes = [(event.primitive, event.outcome) for event in evidence.read(tmp_path / "log")]
    assert outcomes[1:] == [("lifeseal.erasure.Vault.erase", "intent"), ("lifeseal.erasure.Vault.erase", "pass")]


@pytest.mark.parametrize(("policy", "refused"), [("refuse", True), ("warn", False)])
def test_an_event_too_long_for_a_line(policy, refused, tmp_path, make_event, caplog):
    with evidence.Log(tmp_path / "log", on_failure=policy) as log:
        if refused:
            with pytest.raises(LimitError, match=r"event for .*log: .* more than the limit of 1048576"):
                log.emit(make_event(text="x" * (1 << 20)))
        else:
            log.emit(make_event(text="x" * (1 << 20)))
            assert "could not be written" in caplog.text
            with pytest.raises(LimitError):
                log.emit(make_event(outcome="intent", text="x" * (1 << 20)))
        log.emit(make_event(text="x" * (1 << 19)))
    assert evidence.verify(tmp_path / "log").events == 1


def test_names_that_are_not_unicode_are_written_with_escapes(tmp_path, make_event):
    with evidence.Log(tmp_path / "log") as log:
        log.emit(make_event(name=os.fsdecode(b"n\xff"), names=("a", os.fsdecode(b"\xfe")), control="\x1b[31m\n\0"))
    (event,) = evidence.read(tmp_path / "log")
    assert (event.facts["name"], event.facts["names"], event.facts["control"]) == ("n\\udcff", ("a", "\\udcfe"), "\x1b[31m\n\0")


def test_another_word_for_on_failure_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be 'refuse' or 'warn'"):
        evidence.Log(tmp_path / "log", on_failure="ignore")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("kind", ["FIFO", "folder", "link"])
def test_a_log_is_a_regular_file_of_its_own(kind, tmp_path, log):
    path = tmp_path / "odd"
    {"FIFO": lambda: os.mkfifo(path), "folder": path.mkdir, "link": lambda: path.symlink_to(log)}[kind]()
    with pytest.raises(FormatError, match="odd: a regular file was expected"):
        evidence.Log(path)


def test_a_log_in_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        evidence.Log(tmp_path / "absent" / "log")


def test_a_log_without_permission_is_refused(log):
    code = "import os, sys; os.setgid(65534); os.setuid(65534); from lifeseal import evidence; evidence.Log(sys.argv[1])"
    if os.geteuid():
        log.chmod(0o400)
        with pytest.raises(PermissionError):
            evidence.Log(log)
        return
    for folder in (log.parent, *log.parent.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", "from lifeseal import evidence; " + code, str(log)], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
    assert evidence.verify(log).events == 3


def test_a_new_log_is_readable_by_its_owner_alone(log):
    assert log.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_the_log(tmp_path):
    (tmp_path / "plain").write_bytes(b"the plaintext itself, forty bytes or so")
    with evidence.Log(tmp_path / "log"):
        attestation.generate_key(tmp_path / "k", passphrase=b"correct horse")
        signer = KeySigner.from_file(tmp_path / "k.key", passphrase=b"correct horse")
        signing.sign(tmp_path / "plain", signer=signer)
        with pytest.raises(CredentialError, match="passphrase"):
            KeySigner.from_file(tmp_path / "k.key", passphrase=b"battery staple")
        with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
            vault.seal(tmp_path / "plain", "a").close()
            root = (tmp_path / "root").read_bytes()[40:72]
            with vault.asset("a") as asset, asset._key.view() as view:
                data_key = bytes(view)
            vault.erase(["a"])
    text = (tmp_path / "log").read_bytes()
    scalar = signer._private.private_numbers().private_value
    secrets = [b"correct horse", b"battery staple", b"the plaintext", b"PRIVATE KEY", *forms(scalar.to_bytes(32, "big")), *forms(root)]
    secrets += forms(data_key)
    secrets += (tmp_path / "k.key").read_bytes().splitlines()[1:-1]
    assert [secret for secret in secrets if secret in text] == []
    assert vault.id.encode() in text
    assert signer.public.fingerprint.encode() in text


def forms(secret):
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), str(int.from_bytes(secret, "big")).encode()]


def test_a_block_log_hears_this_block_only(tmp_path):
    (tmp_path / "data").write_bytes(b"[]")
    evidence.start(tmp_path / "process")
    with evidence.Log(tmp_path / "block"):
        serialization.scan(tmp_path / "data")
    evidence.stop()
    heard = {name: [event.primitive for event in evidence.read(tmp_path / name)] for name in ("block", "process")}
    assert heard["block"] == ["lifeseal.serialization.scan"]
    assert "lifeseal.serialization.scan" not in heard["process"]
