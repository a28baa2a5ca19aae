# SPDX-License-Identifier: Apache-2.0
"""What lies in the vault folder, planted or stuck, stops no erasure; what was not unlinked is said, and so is what was done."""

import os

import pytest

from lifeseal import principles
from lifeseal.erasure import FileRoot, _leftovers
from lifeseal.erasure._log import LogReader
from lifeseal.errors import DestroyedError, RolledBackError, StoreError, TamperedError

PLANTED = [
    "objects/" + "0" * 32,
    "log-0000000000000002",
    "log-0000000000000004",
    "root-0000000000000004",
    "log-9999999999999999",
    ".lifeseal-0123456789abcdef.tmp",
    "objects/.lifeseal-0123456789abcdef.tmp",
]


def erased(vault, name="model"):
    try:
        vault.asset(name).close()
    except DestroyedError as error:
        return int(str(error).split("erased at epoch ")[1].split(";")[0])
    return None


@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_directory_stops_no_erasure_and_is_left_alone(desk, name, full):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        (desk.folder / name).mkdir()
        if full:
            (desk.folder / name / "file").write_bytes(b"")
        erasure = vault.erase(["model"])
        assert erasure.not_removed == ()
        assert erased(vault) == erasure.epoch_after
        with pytest.raises(DestroyedError, match=f"erased at epoch {erasure.epoch_after}"):
            vault.asset("model")
        vault.seal(desk.model, "next").close()
        vault.erase(["next"])
    assert (desk.folder / name).is_dir()
    assert [path for path in desk.objects if path.is_file()] == []
    assert len([path for path in desk.folder.glob("log-*") if path.is_file()]) == 1
    desk.open(at_least=erasure.epoch_after).close()


def test_without_anything_planted_an_erasure_takes_one_epoch_and_leaves_nothing(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        erasure = vault.erase(["model"])
        assert (erasure.epoch_before, erasure.epoch_after, erasure.not_removed) == (3, 4, ())
    assert desk.objects == []
    assert desk.log.name == "log-0000000000000001"


def test_a_planted_directory_with_the_next_name_is_passed_over_also_by_what_was_interrupted(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        for epoch in (4, 5):
            (desk.folder / f"log-{epoch:016d}").mkdir()

        def refuse(self, new, *, over):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(FileRoot, "replace", refuse)
            with pytest.raises(OSError, match="Input/output") as caught:
                vault.erase(["model"])
        assert caught.value.__notes__ == ["nothing was changed: epoch 3 is still in force"]
        assert erased(vault) is None
        erasure = vault.erase(["model"])
        assert erased(vault) == erasure.epoch_after == 6


@pytest.mark.parametrize("name", ["objects/" + "0" * 32, "log-0000000000000002", "log-0000000000000004", "log-9999999999999999"])
def test_a_planted_link_is_unlinked_and_not_followed(desk, tmp_path, name):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_bytes(b"precious")
    with desk.create() as vault:
        for aim in (target, target / "file", tmp_path / "nowhere"):
            vault.seal(desk.model, "model").close()
            (desk.folder / name).symlink_to(aim)
            erasure = vault.erase(["model"])
            assert erasure.not_removed == ()
            assert erased(vault) == erasure.epoch_after
            assert not (desk.folder / name).is_symlink()
    assert (target / "file").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_planted_pipe_is_unlinked(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        os.mkfifo(desk.folder / "log-0000000000000003")
        os.mkfifo(desk.folder / "objects" / ("0" * 32))
        assert vault.erase(["model"]).not_removed == ()
    assert desk.objects == []


def stuck(monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._leftovers.remove_all", lambda folder, names: tuple(names))


class _Sink:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


def test_what_cannot_be_unlinked_after_an_erasure_is_said_and_cleared_by_a_later_writer(desk, monkeypatch):
    sink = _Sink()
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        there = tuple(f"objects/{path.name}" for path in desk.objects)
        with monkeypatch.context() as patch, principles.sink_for_block(sink):
            stuck(patch)
            erasure = vault.erase(["model"])
        assert erasure.not_removed == there
        assert sink.events[-1].facts["not_removed"] == 4
        assert len(desk.objects) == 4
        with pytest.raises(DestroyedError):
            vault.asset("model")
        vault.seal(desk.model / "weights.bin", "next").close()
        assert len(desk.objects) == 2


def test_what_stays_stuck_stops_no_later_writer(desk, monkeypatch, tmp_path, content_of):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        (desk.folder / "objects" / ("0" * 32)).write_bytes(b"planted")
        (desk.folder / "log-0000000000000002").write_bytes(b"planted")
        stuck(monkeypatch)
        vault.seal(desk.model, "other").close()
        erasure = vault.erase(["model"])
        assert {"objects/" + "0" * 32, "log-0000000000000002"} < set(erasure.not_removed)
        assert erased(vault) == erasure.epoch_after
        vault.unseal("other", tmp_path / "out")
        monkeypatch.undo()
        assert vault.erase(["other"]).not_removed == ()
    assert content_of(tmp_path / "out") == content_of(desk.model)
    assert desk.objects == []


def test_a_retried_erasure_clears_away_what_the_first_could_not(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        with monkeypatch.context() as patch:
            stuck(patch)
            vault.erase(["model"])
        with pytest.raises(DestroyedError):
            vault.erase(["model"])
    assert desk.objects == []


def test_containers_that_cannot_be_listed_stop_no_erasure(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        (desk.folder / "objects").rename(desk.folder / "elsewhere")
        assert vault.erase(["model"]).not_removed == ("objects",)
        (desk.folder / "elsewhere").rename(desk.folder / "objects")
        with pytest.raises(DestroyedError):
            vault.asset("model")
        vault.seal(desk.model, "next").close()
        assert vault.erase(["next"]).not_removed == ()
    assert desk.objects == []


def test_a_planted_log_of_a_far_epoch_is_a_rollback_and_the_message_says_what_to_do(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        planted = desk.folder / "log-0000000000000099"
        planted.write_bytes(bytes(100))
        with pytest.raises(RolledBackError, match=r"epoch 99.*the root was restored; nothing was changed.*move it out"):
            vault.erase(["model"])
        assert erased(vault) is None
        planted.unlink()
        vault.erase(["model"])
        assert erased(vault) == 4


def failing_reads(monkeypatch, error):
    """Let the root be replaced; then no read of it works."""
    real_read, real_replace = FileRoot.read, FileRoot.replace
    broken = []

    def read(self):
        if broken:
            raise error
        return real_read(self)

    def replace(self, new, *, over):
        real_replace(self, new, over=over)
        broken.append(True)

    monkeypatch.setattr(FileRoot, "read", read)
    monkeypatch.setattr(FileRoot, "replace", replace)


def test_a_disk_that_fails_after_the_keys_are_gone_says_so(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        with monkeypatch.context() as patch:
            failing_reads(patch, OSError(5, "Input/output error"))
            with pytest.raises(StoreError, match=r"epoch 4 is in force: the keys are gone; what follows it failed: .*Input/output error"):
                vault.erase(["model"])
        assert erased(vault) == 4


def test_an_error_of_ours_after_the_keys_are_gone_says_so_too(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        with monkeypatch.context() as patch:
            failing_reads(patch, TamperedError("the root is damaged"))
            with pytest.raises(TamperedError, match="damaged") as caught:
                vault.erase(["model"])
        assert caught.value.__notes__ == [f"{desk.folder}: epoch 4 is in force: the keys are gone"]
        assert erased(vault) == 4


def test_a_clean_up_that_fails_before_an_erasure_says_that_the_assets_are_as_they_were(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        (desk.folder / "objects" / ("0" * 32)).write_bytes(b"left")
        with monkeypatch.context() as patch:
            failing_reads(patch, OSError(5, "Input/output error"))
            with pytest.raises(StoreError, match="epoch 4 is in force: every asset is as it was; what follows it failed"):
                vault.erase(["model"])
        assert erased(vault) is None
        vault.erase(["model"])
        assert erased(vault) is not None


def test_an_erasure_reads_as_many_nodes_however_many_assets_live(desk, monkeypatch):
    counts, erasing = [0], []
    read = LogReader.read

    def reading(self, *arguments):
        counts[-1] += 1
        return read(self, *arguments)

    monkeypatch.setattr(LogReader, "read", reading)
    with desk.create() as vault:
        for number in range(30):
            counts.append(0)
            vault.seal(desk.model / "deep" / "config.json", f"asset {number}").close()
            if number in {2, 29}:
                counts.append(0)
                vault.erase([f"asset {number}"])
                erasing.append(counts[-1])
    assert erasing[1] <= erasing[0] + 2


def test_containers_are_listed_once_for_a_seal_and_twice_for_an_erasure(desk, monkeypatch):
    listed = []
    ids = _leftovers.object_ids

    def listing(folder):
        listed.append(folder)
        return ids(folder)

    with desk.create() as vault:
        vault.seal(desk.model, "one").close()
        monkeypatch.setattr(_leftovers, "object_ids", listing)
        vault.seal(desk.model, "two").close()
        assert len(listed) == 1
        vault.erase(["one"])
        assert len(listed) == 3
        assert len(desk.objects) == 4
