# SPDX-License-Identifier: Apache-2.0
"""What is pushed is signed, and can be pulled."""

import os

import pytest

from lifeseal import hub as hubs
from lifeseal.errors import DigestMismatchError, FormatError, StoreError

REPO = "acme/tiny"


@pytest.fixture
def at(hub):
    return {"endpoint": hub.url, "token": "hf_loopback"}


def test_a_folder_goes_up_signed_and_comes_down(hub, folder, signer, at, places, contents):
    (folder / "model.sig").unlink()
    pushed = hubs.push(folder, REPO, signer=signer, **at)
    up = {path: data for path, data in hub.files(REPO).items() if path != ".gitattributes"}
    assert up == contents(folder)
    assert pushed.files == ("config.json", "deep/a.txt", "model.safetensors")
    assert hub.files(REPO, revision=pushed.commit) == hub.files(REPO)
    with hubs.pull(REPO, policy=signer.public, revision=pushed.commit, **places) as signed:
        signed.verify()


def test_pushing_again_takes_away_what_is_signed_no_more(hub, folder, signer, at, places):
    hubs.push(folder, REPO, signer=signer, **at)
    (folder / "deep" / "a.txt").unlink()
    (folder / "deep").rmdir()
    pushed = hubs.push(folder, REPO, signer=signer, hash="blake3", **at)
    assert pushed.removed == ("deep/a.txt",)
    assert set(hub.files(REPO)) - {".gitattributes"} == {"config.json", "model.safetensors", "model.sig"}
    hubs.pull(REPO, policy=signer.public, **places).close()


def test_an_ignored_readme_is_not_uploaded_and_may_change_on_the_hub(hub, folder, signer, at, places, contents):
    (folder / "README.md").write_text("# here\n")
    hubs.push(folder, REPO, signer=signer, ignore=["README.md"], **at)
    assert "README.md" not in hub.files(REPO)
    hub.add(REPO, dict(hub.files(REPO)) | {"README.md": b"# edited there\n"})
    with hubs.pull(REPO, policy=signer.public, ignore=["README.md"], **places) as signed:
        assert "README.md" not in {entry.path for entry in signed.files}
    hubs.push(folder, REPO, signer=signer, ignore=["README.md"], **at)
    assert hub.files(REPO)["README.md"] == b"# edited there\n"


def test_a_signed_readme_that_is_edited_on_the_hub_breaks_the_signature(hub, folder, signer, at, places):
    (folder / "README.md").write_text("# here\n")
    hubs.push(folder, REPO, signer=signer, **at)
    hub.add(REPO, dict(hub.files(REPO)) | {"README.md": b"# edited there\n"})
    with pytest.raises(DigestMismatchError) as caught:
        hubs.pull(REPO, policy=signer.public, **places)
    assert caught.value.changed == ("README.md",)


def test_a_dataset_goes_up_too(hub, folder, signer, at, places):
    hubs.push(folder, REPO, signer=signer, kind="dataset", **at)
    assert "model.sig" in hub.files(REPO, kind="dataset")
    hubs.pull(REPO, policy=signer.public, kind="dataset", **places).close()


def test_a_branch_that_moves_meanwhile_is_not_overwritten(hub, folder, signer, at, monkeypatch):
    hubs.push(folder, REPO, signer=signer, **at)
    real = hubs._push.Client.names

    def move(client, commit):
        hub.add(REPO, {"config.json": b"of someone else"})
        return real(client, commit)

    monkeypatch.setattr(hubs._push.Client, "names", move)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(StoreError) as caught:
        hubs.push(folder, REPO, signer=signer, **at)
    assert caught.value.__notes__ == ["nothing was committed", "the signature lies in the folder"]
    assert hub.files(REPO)["config.json"] == b"of someone else"


def test_what_cannot_be_signed_is_not_uploaded(hub, folder, signer, at):
    (folder / "pipe").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe")
    with pytest.raises(FormatError, match="FIFO"):
        hubs.push(folder, REPO, signer=signer, **at)
    with pytest.raises(FormatError, match="a folder was expected"):
        hubs.push(folder / "config.json", REPO, signer=signer, **at)
    assert hub.requests == []
