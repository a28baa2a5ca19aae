# SPDX-License-Identifier: Apache-2.0
"""Tar archives: a sample is a record, and an archive that is not whole is refused, whatever `tarfile` makes of it."""

import contextlib
import gzip
import io
import struct
import tarfile

import pytest

from lifeseal import provenance
from lifeseal.errors import DigestMismatchError, FormatError, LifesealError, LimitError
from lifeseal.provenance import Records, _samples, checked, sample_parts

MEMBERS = [
    ("a/1.jpg", b"picture"),
    ("a/1.cls", b"0"),
    ("a/2.jpg", b"other"),
    ("a/2.seg.png", b""),
    ("b/2.jpg", b"x" * 3000),
    ("é" * 90 + ".txt", b"long name"),
]
SAMPLES = [dict(MEMBERS[:2]), dict(MEMBERS[2:4]), dict(MEMBERS[4:5]), dict(MEMBERS[5:])]


def tar(members, form=tarfile.PAX_FORMAT, extra=()):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return sink.getvalue()


@pytest.fixture
def recorded(tmp_path, description):
    def run(content, name="s.tar"):
        path = tmp_path / name
        path.write_bytes(content)
        return provenance.record(path, description=description, records=Records(leaves=tmp_path / "l")), path

    return run


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packed", [False, True])
def test_a_sample_is_what_differs_in_its_ending_alone(form, packed, recorded):
    data = tar(MEMBERS, form)
    made, path = recorded(gzip.compress(data) if packed else data, "s.tar.gz" if packed else "s.tar")
    out = list(checked(made, path))
    assert [sample_parts(record) for record in out] == SAMPLES
    assert made.files[0].records.root == recorded(tar(MEMBERS))[0].files[0].records.root
    assert out[0] == b"".join(struct.pack("<IQ", len(name), len(content)) + name.encode() + content for name, content in MEMBERS[:2])


@pytest.mark.parametrize(
    ("members", "wrong"),
    [
        ([*MEMBERS[:1], ("a/1.cls", b"1"), *MEMBERS[2:]], 0),
        (MEMBERS[2:], 0),
        ([*MEMBERS[:4], *MEMBERS[5:]], 2),
        ([*MEMBERS, ("z.txt", b"")], 4),
        ([*MEMBERS[:2], ("a/2.JPG", b"other"), *MEMBERS[3:]], 1),
        ([*MEMBERS[:1], ("c.txt", b""), *MEMBERS[1:]], 0),
    ],
    ids=["changed", "first gone", "one gone", "added", "renamed", "torn apart"],
)
def test_the_first_wrong_sample_is_named(members, wrong, recorded):
    made, path = recorded(tar(MEMBERS))
    path.write_bytes(tar(members))
    with pytest.raises(DigestMismatchError) as caught:
        list(checked(made, path))
    assert caught.value.record == wrong


def test_an_empty_archive_has_no_samples(recorded):
    assert recorded(tar([]))[0].records == 0


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind, recorded):
    odd = tarfile.TarInfo("odd")
    odd.type, odd.linkname = kind, "a/1.jpg"
    with pytest.raises(FormatError, match="'odd': a regular file was expected"):
        recorded(tar(MEMBERS, extra=[odd]))


def test_an_archive_that_is_not_whole_is_refused(recorded, tmp_path):
    good = tar(MEMBERS, tarfile.GNU_FORMAT)
    recorded(good)
    for length in {*range(0, len(good.rstrip(b"\0")) + 400, 512), 100, 700, 2000, len(good.rstrip(b"\0"))}:
        with pytest.raises(FormatError, match="not a whole tar archive"):
            recorded(good[:length])
    assert len(list((tmp_path / "l").glob("*.leaves"))) == 1


def test_a_broken_header_is_not_taken_for_the_end(recorded):
    good = tar(MEMBERS, tarfile.GNU_FORMAT)
    starts = [at for at in range(0, len(good), 512) if good[at + 257 : at + 262] == b"ustar"]
    for start in starts:
        with pytest.raises(FormatError, match="not a whole tar archive"):
            recorded(good[: start + 148] + b"0000000\0" + good[start + 156 :])


def test_what_follows_the_end_is_refused(recorded):
    with pytest.raises(FormatError, match="not a whole tar archive"):
        recorded(tar(MEMBERS) + b"more")


def test_flipped_bytes_raise_errors_of_ours_alone(recorded):
    good = tar(MEMBERS)
    for place in range(0, len(good), 37):
        with contextlib.suppress(LifesealError):
            recorded(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])


def test_sizes_that_headers_claim_are_bounded(recorded, monkeypatch):
    monkeypatch.setattr(_samples, "MAX_RECORD", 5000)
    recorded(tar([("a.txt", b"x" * 4900)]))
    with pytest.raises(LimitError, match=r"record 0: .* more than the limit of 5000"):
        recorded(tar([("a.txt", b"x" * 4900), ("a.cls", b"x" * 200)]))
    monkeypatch.setattr(_samples, "_HEADERS", 100_000)
    recorded(tar([("n" * 5000, b"")]))
    with pytest.raises(LimitError, match="headers of one member"):
        recorded(tar([("n" * 300_000, b"")]))


@pytest.mark.parametrize("record", [b"a", struct.pack("<IQ", 3, 0) + b"ab", struct.pack("<IQ", 1, 9) + b"abc"])
def test_what_is_no_sample_is_refused(record):
    with pytest.raises(FormatError, match="cut off within a part"):
        sample_parts(record)
