# SPDX-License-Identifier: Apache-2.0
"""Signing again: what changed is told, and nothing is believed of bytes that were not read unless the caller asks for it."""

import os
import pathlib

import pytest

from lifeseal import principles, signing
from lifeseal._io import DiskSource
from lifeseal.errors import DigestMismatchError, FormatError


class Kept:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


def signed_again(model, signer, **how):
    """Sign and tell what the event says."""
    kept = Kept()
    with principles.sink_for_block(kept):
        bundle = signing.sign(model, signer=signer, **how)
    return bundle, next(event for event in kept.events if event.primitive == "lifeseal.signing.sign").facts


def change(model):
    (model / "weights/a.bin").write_bytes(b"b" * 3000)
    (model / "new").write_bytes(b"n")
    (model / "empty").unlink()


def test_an_earlier_signature_tells_what_changed_and_every_file_is_read(model, signer, policy):
    first = signing.sign(model, signer=signer)
    change(model)
    again, details = signed_again(model, signer, previous=model / "model.sig")
    assert signing.compare(first, again) == signing.Changes(added=("new",), removed=("empty",), changed=("weights/a.bin",))
    assert {name: details[name] for name in ("added", "removed", "changed", "read")} == {"added": 1, "removed": 1, "changed": 1, "read": 5}
    assert again.envelope.payload == signing.sign(model, signer=signer).envelope.payload
    assert signing.compare(again, again) == signing.Changes(added=(), removed=(), changed=())
    signing.verify(model, policy=policy)


def test_a_change_hidden_from_the_file_system_is_signed_as_it_is_beside_an_earlier_signature(model, signer, policy):
    bundle = signing.sign(model, signer=signer)
    before = (model / "config.json").stat()
    (model / "config.json").write_bytes(b"[]")
    os.utime(model / "config.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    signing.sign(model, signer=signer, previous=bundle)
    signing.verify(model, policy=policy)


def test_earlier_digests_spare_reading_what_nobody_touched(model, signer, policy):
    earlier = signing.digest(model)
    change(model)
    again, details = signed_again(model, signer, previous=earlier)
    assert (details["read"], details["files"]) == (2, 5)
    assert again.envelope.payload == signing.sign(model, signer=signer).envelope.payload
    signing.verify(model, policy=policy)


@pytest.mark.parametrize("what", ["written with the old time", "replaced by a copy with the old time", "another under the name"])
def test_earlier_digests_are_not_taken_of_a_file_that_was(model, signer, what, tmp_path):
    earlier = signing.digest(model)
    target = model / "config.json"
    before = target.stat()
    if what == "written with the old time":
        target.write_bytes(b"[]")
    elif what == "another under the name":
        (model / "weights-2").write_bytes(b"[]")
        pathlib.Path(model / "weights-2").replace(target)
    else:
        (tmp_path / "copy").write_bytes(b"[]")
        pathlib.Path(tmp_path / "copy").replace(target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    again, details = signed_again(model, signer, previous=earlier)
    assert details["read"] == 1
    assert again.envelope.payload == signing.sign(model, signer=signer).envelope.payload


def test_digests_of_another_kind_are_not_compared(model, signer):
    earlier = signing.sign(model, signer=signer, hash="blake3")
    for previous in (earlier, signing.digest(model, hash="blake3")):
        with pytest.raises(ValueError, match="digests are blake3 of whole files, and the signature is to be sha256 of whole files"):
            signing.sign(model, signer=signer, previous=previous)
    with pytest.raises(ValueError, match="digests are blake3"):
        signing.compare(earlier, signing.sign(model, signer=signer))


def test_what_is_no_signature_of_a_model_is_no_earlier_one(model, signer):
    other = signer.sign("application/vnd.in-toto+json", b'{"_type":"https://in-toto.io/Statement/v1"}')
    with pytest.raises(FormatError, match="earlier signature: field 'predicateType' is missing"):
        signing.sign(model, signer=signer, previous=other)
    with pytest.raises(FileNotFoundError):
        signing.sign(model, signer=signer, previous=model / "none.sig")
    assert not (model / "model.sig").exists()


class Meddling(DiskSource):
    """A folder in which something happens when its last file is opened."""

    def open(self, name):
        reader = super().open(name)
        if name == "weights/deep/b.bin":
            self.meddle()
        return reader


MEDDLE = {
    "a file rewritten after it was read": lambda m: (m / "config.json").write_bytes(b"[]"),
    "a file replaced after it was read": lambda m: (m / "weights-2").replace(m / "config.json"),
    "a file removed": lambda m: (m / "config.json").unlink(),
    "a file added": lambda m: (m / "late").write_bytes(b""),
    "a file touched": lambda m: os.utime(m / "config.json"),
}


@pytest.mark.parametrize("what", MEDDLE)
@pytest.mark.parametrize("share", [False, True])
def test_a_model_is_not_signed_with(what, share, model, signer):
    shares = [signing.digest(model, files=["config.json"])] if share else None
    with Meddling(model) as source:
        source.meddle = lambda: None
        out = model.with_name("out.sig")
        signing.sign(source, signer=signer, out=out, digests=shares)
        out.unlink()
        source.meddle = lambda: MEDDLE[what](model)
        with pytest.raises((FormatError, FileNotFoundError)):
            signing.sign(source, signer=signer, out=out, digests=shares)
        assert not out.exists()


def test_digests_are_not_taken_while_files_change(model):
    with Meddling(model) as source:
        source.meddle = lambda: (model / "config.json").write_bytes(b"[]")
        with pytest.raises(FormatError, match=r"'config\.json': changed while the files were read"):
            signing.digest(source)


def test_a_stale_share_that_is_signed_all_the_same_fails_verification(model, signer, policy):
    share = signing.digest(model, files=["config.json"])
    signing.sign(model, signer=signer, digests=[share])
    (model / "config.json").write_bytes(b"[]")
    with pytest.raises(DigestMismatchError):
        signing.verify(model, policy=policy)
