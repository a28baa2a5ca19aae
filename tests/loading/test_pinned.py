# SPDX-License-Identifier: Apache-2.0
"""A folder for libraries that take paths: what lies in it was checked, and stays so."""

import datetime as dt
import gc
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from lifeseal import evidence, signing
from lifeseal.attestation import KeySigner, Waiver, generate_key
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DigestMismatchError, FormatError, LimitError, PolicyError, UnsafeError
from lifeseal.loading import _pinned, _sealed, pinned
from support.sources import Flaky

MODES = ["memory", "copy"]
NEEDS_TRUST = '{"auto_map": {"AutoModel": "evil.X"}}'


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model"
    (found / "part").mkdir(parents=True)
    (found / "config.json").write_text("{}")
    safetensors.numpy.save_file({"a": np.arange(100_000)}, found / "part" / "m.safetensors")
    return found


@pytest.fixture
def place(tmp_path):
    found = tmp_path / "pins"
    found.mkdir()
    return found


def open_files():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("hash_name", ["sha256", "blake3"])
@pytest.mark.parametrize("shards", [{}, {"shard_size": 1000}], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_the_folder_holds_the_signed_files_and_goes_with_the_block(mode, shards, hash_name, folder, place, opened):
    wanted = contents(folder)
    signed = opened(folder, hash=hash_name, **shards)
    before = open_files()
    with pinned(signed, mode=mode, dir=place) as pin:
        assert isinstance(pin, Path)
        assert pin.parent == place
        assert contents(pin) == wanted
    assert list(place.iterdir()) == []
    assert open_files() == before


@pytest.mark.parametrize("mode", MODES)
def test_only_the_files_that_are_asked_for_are_there(mode, folder, place, opened):
    signed = opened(folder)
    with pinned(signed, files=["config.json"], mode=mode, dir=place) as pin:
        assert contents(pin) == {"config.json": b"{}"}
    with pytest.raises(KeyError, match=r"'model\.sig' is not among the signed files"):
        pinned(signed, files=["model.sig"], mode=mode, dir=place)
    with pytest.raises(TypeError, match="files= takes several"):
        pinned(signed, files="config.json")


def test_unsigned_files_are_not_there(folder, place, signer):
    signing.sign(folder, signer=signer)
    (folder / "modeling.py").write_text("import os")
    with signing.open_model(folder, policy=signer.public, allow_unsigned_files=True) as signed, pinned(signed, dir=place) as pin:
        assert set(contents(pin)) == {"config.json", "part/m.safetensors"}


def test_nobody_can_change_files_in_memory(folder, place, opened):
    signed = opened(folder)
    with pinned(signed, dir=place) as pin:
        path = pin / "part" / "m.safetensors"
        attempts = {
            "write": lambda: os.pwrite(os.open(path, os.O_RDWR), b"x", 0),
            "truncate": lambda: os.truncate(path, 1),
            "grow": lambda: os.truncate(path, 1 << 20),
            "map": lambda: mmap.mmap(os.open(path, os.O_RDWR), 10),
            "open for writing": lambda: path.open("wb"),
        }
        for attempt in attempts.values():
            with pytest.raises(OSError, match="Operation not permitted"):
                attempt()
        (folder / "part" / "m.safetensors").write_bytes(b"changed behind its back")
        assert safetensors.numpy.load_file(path)["a"].sum() == sum(range(100_000))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shards", [{}, {"shard_size": 1000}], ids=str)
@pytest.mark.parametrize("change", ["bit", "cut", "longer"])
def test_changed_files_are_refused_and_nothing_stays(change, shards, mode, folder, place, opened):
    signed = opened(folder, **shards)
    good = (folder / "part" / "m.safetensors").read_bytes()
    bad = {"bit": good[:-1] + bytes([good[-1] ^ 1]), "cut": good[:-1], "longer": good + b"\0"}[change]
    (folder / "part" / "m.safetensors").write_bytes(bad)
    before = open_files()
    with pytest.raises(DigestMismatchError) as caught:
        pinned(signed, mode=mode, dir=place)
    assert caught.value.changed == ("part/m.safetensors",)
    assert list(place.iterdir()) == []
    assert open_files() == before


@pytest.mark.parametrize("mode", MODES)
def test_a_change_between_any_two_reads_is_noticed_or_harmless(mode, folder, place, opened, monkeypatch):
    signed = opened(folder)
    path, good = folder / "part" / "m.safetensors", (folder / "part" / "m.safetensors").read_bytes()
    real, refused = signed._source, 0
    for step in range(16):
        reads = iter(range(1000))

        def before_read(start, reads=reads, step=step):
            if next(reads) == step:
                with path.open("r+b") as file:
                    file.write(bytes(len(good)))

        monkeypatch.setattr(signed, "_source", Flaky(real, before_read, most=100_000))
        try:
            with pinned(signed, mode=mode, dir=place) as pin:
                assert contents(pin)["part/m.safetensors"] == good
        except DigestMismatchError:
            refused += 1
        path.write_bytes(good)
    assert 5 < refused < 16


@pytest.mark.slow
def test_what_is_pinned_during_changes_was_signed(folder, place, opened, request):
    signed = opened(folder)
    path, good = folder / "part" / "m.safetensors", (folder / "part" / "m.safetensors").read_bytes()
    stop, outcomes = threading.Event(), []

    def change():
        while not stop.is_set():
            with path.open("r+b") as file:
                file.write(bytes(1000))
            stop.wait(0.001)
            path.write_bytes(good)
            stop.wait(0.02)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(500 if request.config.getoption("--long") else 20):
            try:
                with pinned(signed, dir=place) as pin:
                    assert contents(pin)["part/m.safetensors"] == good
                    outcomes.append(True)
            except (DigestMismatchError, FormatError):
                outcomes.append(False)
    finally:
        stop.set()
        writer.join()
    assert True in outcomes


def test_children_and_other_ranks_read_the_path(folder, place, opened):
    code = "import sys, safetensors.numpy; print(safetensors.numpy.load_file(sys.argv[1] + '/part/m.safetensors')['a'].sum())"
    with pinned(opened(folder), dir=place) as pin:
        ranks = [subprocess.Popen([sys.executable, "-c", code, pin], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [rank.communicate()[0] for rank in ranks] == [f"{sum(range(100_000))}\n"] * 2
        child = os.fork()
        if not child:
            os._exit(0 if (pin / "config.json").read_bytes() == b"{}" else 1)
        assert os.waitpid(child, 0)[1] == 0


HARDENED = """
import ctypes, sys
from lifeseal import attestation, loading, signing
prctl = ctypes.CDLL(None).prctl
prctl(4, 0, 0, 0, 0)
signed = signing.open_model(sys.argv[1], policy=attestation.TrustedKey.from_file(sys.argv[2]))
first, second = loading.pinned(signed, dir=sys.argv[3]), loading.pinned(signed, dir=sys.argv[3])
with second:
    with first:
        print(prctl(3, 0, 0, 0, 0))
    print(prctl(3, 0, 0, 0, 0))
print(prctl(3, 0, 0, 0, 0))
"""


def test_a_hardened_process_is_readable_while_it_pins_and_not_after(folder, place, tmp_path):
    generate_key(tmp_path / "k")
    signing.sign(folder, signer=KeySigner.from_file(tmp_path / "k.key"))
    without_privileges = [] if os.geteuid() else ["setpriv", "--bounding-set=-all"]
    command = [*without_privileges, sys.executable, "-c", HARDENED, folder, tmp_path / "k.pub", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n1\n0\n", "")


def test_where_children_cannot_open_them_the_way_out_is_named(folder, place, opened, monkeypatch):
    signed = opened(folder)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LimitError, match=r"child processes cannot open \(mode='copy' takes disk instead\)"):
        pinned(signed, dir=place)
    with pinned(signed, mode="copy", dir=place) as pin:
        assert contents(pin)["config.json"] == b"{}"


def test_more_than_the_free_memory_is_refused_unread(folder, place, opened, monkeypatch):
    def refuse(size, where):
        raise LimitError(where, limit=5, seen=size, unit="bytes of memory")

    signed = opened(folder)
    monkeypatch.setattr(_pinned, "refuse_beyond_free", refuse)
    with pytest.raises(LimitError, match=r"mode='copy' takes disk instead\): 800\d\d\d bytes of memory, more than the limit of 5"):
        pinned(signed, dir=place)


def test_a_system_without_sealed_memory_says_so(folder, place, opened, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="use mode='copy'"):
        pinned(opened(folder), dir=place)


def test_a_place_that_cannot_be_written_is_an_error(folder, opened):
    with pytest.raises(OSError, match="/proc/nowhere"):
        pinned(opened(folder), dir="/proc/nowhere")


@pytest.mark.parametrize("mode", MODES)
def test_what_could_run_code_is_never_exposed(mode, folder, place, opened):
    (folder / "old.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    signed = opened(folder)
    with pytest.raises(UnsafeError, match=r"'old\.bin' is unsafe, so it is not exposed: .*os\.system"):
        pinned(signed, mode=mode, dir=place)
    with pinned(signed, files=["config.json"], mode=mode, dir=place) as pin:
        assert contents(pin) == {"config.json": b"{}"}
    assert list(place.iterdir()) == []


def test_what_cannot_be_judged_is_not_exposed(folder, place, opened):
    (folder / "odd").write_bytes(bytes(range(256)))
    with pytest.raises(FormatError, match=r"'odd': cannot be judged, so it is not exposed"):
        pinned(opened(folder), dir=place)


def waiver(signed, *allows):
    return Waiver(
        covers=[signed.subject.digest], allows=allows, reason="r", owner="o", expires=dt.datetime.now(dt.UTC) + dt.timedelta(days=1), risk="R-1"
    )


def test_what_needs_trust_is_exposed_under_a_waiver_for_the_model(folder, place, signer, tmp_path):
    (folder / "custom.json").write_text(NEEDS_TRUST)
    signing.sign(folder, signer=signer)
    with signing.open_model(folder, policy=signer.public) as signed:
        with pytest.raises(PolicyError, match=r"'custom\.json' needs trust .*was given no waiver"):
            pinned(signed, dir=place)
        good, other = waiver(signed, "needs-trust"), waiver(signed, "unsigned")
    with signing.open_model(folder, policy=signer.public, waiver=other) as signed, pytest.raises(PolicyError, match="does not allow 'needs-trust'"):
        pinned(signed, dir=place)
    with (
        evidence.Log(tmp_path / "log.jsonl"),
        signing.open_model(folder, policy=signer.public, waiver=good) as signed,
        pinned(signed, dir=place) as pin,
    ):
        assert "custom.json" in contents(pin)
    events = {event.primitive.rpartition(".")[2]: event for event in evidence.read(tmp_path / "log.jsonl")}
    assert events["check"].facts["owner"] == "o"
    assert events["pinned"].facts["waived"] == "custom.json"


def test_an_unsigned_model_needs_both_waived(folder, place, signer):
    (folder / "custom.json").write_text(NEEDS_TRUST)
    inventory = signing.digest(folder).inventory
    both = Waiver(
        covers=[inventory],
        allows=["unsigned", "needs-trust"],
        reason="r",
        owner="o",
        expires=dt.datetime.now(dt.UTC) + dt.timedelta(days=1),
        risk="R-1",
    )
    with signing.open_model(folder, policy=signer.public, waiver=both) as signed, pinned(signed, dir=place) as pin:
        assert "custom.json" in contents(pin)


def test_a_sealed_model_is_pinned_and_never_written_to_disk(folder, place, signer, tmp_path):
    wanted = contents(folder)
    signing.sign(folder, signer=signer)
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(folder, "m", remove_plaintext=True)
        with vault.asset("m") as asset, signing.open_model(asset, policy=signer.public) as signed, pinned(signed, dir=place) as pin:
            assert contents(pin) == wanted
            assert all(path.is_symlink() or path.is_dir() for path in pin.rglob("*"))


def test_a_pin_that_nobody_holds_goes_away(folder, place, opened):
    pinned(opened(folder), dir=place)
    gc.collect()
    assert list(place.iterdir()) == []


def test_a_writer_that_maps_the_memory_before_it_is_sealed_is_refused(folder, place, opened, monkeypatch):
    real, maps = _sealed._make, []

    def make(name):
        fd = real(name)
        os.ftruncate(fd, 10)
        maps.append(mmap.mmap(fd, 10))
        return fd

    monkeypatch.setattr(_sealed, "_make", make)
    with pytest.raises(OSError, match="busy"):
        pinned(opened(folder), dir=place)
    for mapped in maps:
        mapped.close()


@pytest.mark.parametrize("wrong", ["path", None])
def test_a_path_is_not_accepted(wrong, folder):
    with pytest.raises(TypeError, match="takes a SignedModel"):
        pinned(wrong)


def test_another_mode_is_refused(folder, opened):
    with pytest.raises(ValueError, match="mode= must be"):
        pinned(opened(folder), mode="link")


def test_copies_are_read_only_by_their_permissions(folder, place, opened):
    with pinned(opened(folder), mode="copy", dir=place) as pin:
        assert (pin / "config.json").stat().st_mode & 0o777 == 0o400
        assert pin.stat().st_mode & 0o777 == 0o500
