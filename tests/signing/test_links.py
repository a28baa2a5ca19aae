# SPDX-License-Identifier: Apache-2.0
"""Symbolic links: which are read through, and that nothing behind one is ever silently unsigned."""

import hashlib
import json
import shutil

import pytest

from lifeseal import signing
from lifeseal.errors import DigestMismatchError, FormatError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 2000, "text/vocab.txt": b"a\nb\n"}


@pytest.fixture
def snapshot(tmp_path, signer):
    """A model as the Hub's cache holds it: every file a link, one of them to a blob that repositories share."""
    plain = tmp_path / "plain"
    for name, content in FILES.items():
        (plain / name).parent.mkdir(parents=True, exist_ok=True)
        (plain / name).write_bytes(content)
    signing.sign(plain, signer=signer)
    repository = tmp_path / "hub/models--org--name"
    folder = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    for path in sorted(p for p in plain.rglob("*") if p.is_file()):
        name = path.relative_to(plain).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, repository / "blobs" / digest)
        (folder / name).symlink_to("../" * (2 + name.count("/")) + f"blobs/{digest}")
    weights = (folder / "model.safetensors").resolve()
    shared = tmp_path / "hub/blobs/ab" / ("ab" + "0" * 62)
    shared.parent.mkdir(parents=True)
    weights.rename(shared)
    weights.symlink_to(f"../../blobs/ab/{shared.name}")
    return folder


def test_a_snapshot_of_the_hub_is_read_through_its_links_only_if_asked(snapshot, policy):
    report = signing.verify(snapshot, policy=policy, links="hub-cache")
    assert (report.files, report.size) == (len(FILES), sum(map(len, FILES.values())))
    with signing.open_model(snapshot, policy=policy, links="hub-cache") as model:
        assert {name: model.read(name) for name in FILES} == FILES
    with pytest.raises(FormatError, match=r"'model\.sig': a regular file was expected, not a symbolic link into the blobs of a Hub cache"):
        signing.verify(snapshot, policy=policy)
    with pytest.raises(ValueError, match="links must be 'refuse' or 'hub-cache', not 'follow'"):
        signing.verify(snapshot, policy=policy, links="follow")


def test_a_snapshot_beside_its_signature_elsewhere_and_by_way_of_a_link(snapshot, policy, tmp_path):
    shutil.copyfile(tmp_path / "plain/model.sig", tmp_path / "elsewhere.sig")
    (tmp_path / "way").symlink_to(snapshot)
    assert signing.verify(tmp_path / "way", policy=policy, signature=tmp_path / "elsewhere.sig", links="hub-cache").files == len(FILES)
    assert signing.verify(snapshot, policy=policy, signature=snapshot / "model.sig", links="hub-cache").files == len(FILES)


def test_one_file_of_a_snapshot(snapshot, policy, signer, tmp_path):
    signing.sign(tmp_path / "plain/model.safetensors", signer=signer, out=tmp_path / "one.sig")
    found = signing.verify(snapshot / "model.safetensors", policy=policy, signature=tmp_path / "one.sig", links="hub-cache")
    assert found.size == len(FILES["model.safetensors"])
    with pytest.raises(FormatError, match="symbolic link"):
        signing.verify(snapshot / "model.safetensors", policy=policy, signature=tmp_path / "one.sig")


def replace_link(place, target):
    place.unlink()
    place.symlink_to(target)


HARM = {
    "a changed blob": (lambda s: (s / "config.json").resolve().write_bytes(b"[]"), DigestMismatchError, "1 changed: 'config.json'"),
    "a changed shared blob": (lambda s: (s / "model.safetensors").resolve().write_bytes(b"x" * 2000), DigestMismatchError, "1 changed"),
    "an extra link": (lambda s: (s / "new").symlink_to((s / "config.json").readlink()), DigestMismatchError, "1 not signed for: 'new'"),
    "a link that leads nowhere": (lambda s: (s / "config.json").resolve().unlink(), FormatError, "'config.json': a symbolic link that leads nowhere"),
    "an absolute link": (lambda s: replace_link(s / "config.json", (s / "config.json").resolve()), FormatError, "'config.json': a regular file"),
    "a link elsewhere": (lambda s: replace_link(s / "config.json", "../../../../plain/config.json"), FormatError, "'config.json': a regular file"),
    "a link too high": (lambda s: replace_link(s / "config.json", "../../../blobs/" + "0" * 64), FormatError, "'config.json': a regular file"),
    "a link to a name": (lambda s: replace_link(s / "config.json", "../../blobs/other"), FormatError, "'config.json': a regular file"),
    "a link to a folder": (lambda s: (s / "more").symlink_to("text"), FormatError, "'more': a regular file was expected, not a symbolic link"),
    "a link to itself": (lambda s: replace_link(s / "config.json", "config.json"), FormatError, "'config.json': a regular file"),
}


@pytest.mark.parametrize("what", HARM)
def test_refuses_a_snapshot_with(what, snapshot, policy):
    signing.verify(snapshot, policy=policy, links="hub-cache")
    harm, error, place = HARM[what]
    harm(snapshot)
    with pytest.raises(error) as caught:
        signing.verify(snapshot, policy=policy, links="hub-cache")
    assert place in str(caught.value)


@pytest.mark.parametrize("target", ["/etc/hostname", "../snapshots", "../../blobs/cd/" + "ab" + "0" * 62, "../../blobs/ab/abc", "../../../x"])
def test_a_blob_that_is_another_link_is_refused(snapshot, policy, target):
    blob = snapshot / (snapshot / "config.json").readlink()
    blob.unlink()
    blob.symlink_to(target)
    with pytest.raises(FormatError, match=r"'config\.json': leads to a link that is not one of the Hub cache's shared blobs"):
        signing.verify(snapshot, policy=policy, links="hub-cache")


@pytest.mark.parametrize("how", ["moved up", "snapshots renamed", "blobs a link"])
def test_the_layout_of_a_cache_outside_one_is_refused(snapshot, policy, how, tmp_path):
    if how == "moved up":
        place = tmp_path / "hub/models--org--name/other" / COMMIT
        place.parent.mkdir()
        shutil.move(snapshot, place)
    elif how == "snapshots renamed":
        place = snapshot.parent.with_name("other") / COMMIT
        snapshot.parent.rename(place.parent)
    else:
        place, blobs = snapshot, snapshot.parent.parent / "blobs"
        blobs.rename(tmp_path / "blobs")
        blobs.symlink_to(tmp_path / "blobs")
    with pytest.raises((FormatError, OSError)) as caught:
        signing.verify(place, policy=policy, links="hub-cache")
    assert "model.sig" in str(caught.value)


def with_links_allowed(model, signer):
    """Sign as releases do that take links as files; lifeseal itself never does."""
    document = json.loads(signing.sign(model, signer=signer).envelope.payload)
    document["predicate"]["serialization"]["allow_symlinks"] = True
    return signer.sign("application/vnd.in-toto+json", json.dumps(document).encode())


@pytest.mark.parametrize("target", ["config.json", "./config.json", ".//config.json", "weights/up"])
def test_a_signature_that_allows_links_lets_one_to_a_file_inside_be_read(model, signer, policy, target):
    (model / "deep").mkdir()
    (model / "alias").write_bytes((model / "config.json").read_bytes())
    (model / "weights/up").write_bytes((model / "config.json").read_bytes())
    allowed, plain = with_links_allowed(model, signer), signing.sign(model, signer=signer)
    replace_link(model / "weights/up", "../config.json")
    replace_link(model / "alias", target)
    assert signing.verify(model, policy=policy, signature=allowed).files == 7
    with signing.open_model(model, policy=policy, signature=allowed) as opened:
        assert opened.read("alias") == b"{}"
    with pytest.raises(FormatError, match="not a symbolic link"):
        signing.verify(model, policy=policy, signature=plain)
    (model / "config.json").write_bytes(b"[]")
    with pytest.raises(DigestMismatchError, match=r"3 changed: 'alias', 'config\.json', 'weights/up'"):
        signing.verify(model, policy=policy, signature=allowed)


ODD = {
    "out of the model": "../outside",
    "an absolute name": "/etc/hostname",
    "out and in again": "../model/config.json",
    "nowhere": "gone",
    "itself": "alias",
    "a folder": "weights",
    "the model": ".",
    "up from a folder": "weights/../config.json",
    "up from a folder that is not there": "gone/../config.json",
    "up from a file": "config.json/../config.json",
    "a file as a folder": "config.json/",
    "up from what is left out": ".git/../config.json",
}


@pytest.mark.parametrize("what", ODD)
def test_a_signature_that_allows_links_does_not_allow_one_to(what, model, signer, policy):
    (model / "alias").write_bytes(b"{}")
    (model.parent / "outside").write_bytes(b"{}")
    allowed = with_links_allowed(model, signer)
    assert signing.verify(model, policy=policy, signature=allowed).files == 6
    replace_link(model / "alias", ODD[what])
    with pytest.raises(FormatError, match="'alias': "):
        signing.verify(model, policy=policy, signature=allowed)


def test_a_link_cannot_lead_out_by_way_of_a_linked_folder_that_is_left_out(model, signer, policy):
    (model / "alias").write_bytes(b"{}")
    allowed = with_links_allowed(model, signer)
    outside = model.parent / "evil/deep"
    outside.mkdir(parents=True)
    (outside.parent / "config.json").write_bytes(b"evil")
    (model / ".git").symlink_to(outside)
    assert signing.verify(model, policy=policy, signature=allowed).files == 6
    replace_link(model / "alias", ".git/../config.json")
    assert (model / "alias").read_bytes() == b"evil"
    with pytest.raises(FormatError, match="'alias': a regular file was expected, not a symbolic link"):
        signing.verify(model, policy=policy, signature=allowed)


def test_files_behind_a_linked_folder_are_never_silently_unsigned(model, signer, policy):
    allowed = with_links_allowed(model, signer)
    (model / "more").symlink_to("weights")
    with pytest.raises(FormatError, match="'more': a regular file was expected, not a folder"):
        signing.verify(model, policy=policy, signature=allowed)
    with pytest.raises(FormatError, match="'more'"):
        signing.verify(model, policy=policy, signature=allowed, allow_unsigned_files=True)
