# SPDX-License-Identifier: Apache-2.0
"""The manifest's file form: one byte sequence for one manifest, anything else is refused."""

import datetime as dt
import json
import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal.errors import FormatError, LifesealError, LimitError
from lifeseal.provenance import Column, Description, FileRecords, KeyUse, Manifest, Origin, RecordedFile, SetRoot, _manifest


def document(manifest):
    return json.loads(manifest.to_bytes())


def written(fields):
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_what_is_written_is_read_back(manifest, tmp_path):
    manifest.write(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json") == manifest
    assert (tmp_path / "m.json").read_bytes() == manifest.to_bytes()


def test_the_helper_of_these_tests_writes_the_same_form(manifest):
    assert written(document(manifest)) == manifest.to_bytes()


def test_every_truncation_is_refused(manifest):
    good = manifest.to_bytes()
    for length in range(len(good)):
        with pytest.raises(FormatError, match=r"^m\b"):
            Manifest.from_bytes(good[:length], where="m")


def test_every_flipped_bit_is_refused_or_another_manifest_in_its_one_form(manifest):
    good = manifest.to_bytes()
    refused = 0
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            try:
                found = Manifest.from_bytes(bytes(bad), where="m")
            except LifesealError:
                refused += 1
            else:
                assert found.to_bytes() == bad
                assert found.digest != manifest.digest
    assert refused > len(good) * 3


@pytest.mark.parametrize(
    "data",
    [b"", b"\xef\xbb\xbf{}", b"[]", b"null", b"{}"],
    ids=["empty", "byte order mark", "array", "null", "no field"],
)
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(FormatError, match=r"^m\b"):
        Manifest.from_bytes(data, where="m")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["files"].append(d["files"][-1]), "m, 'files'"),
        (lambda d: d["files"].reverse(), "m, 'files'"),
        (lambda d: d["files"].clear(), "m, 'files'"),
        (lambda d: d["files"].insert(0, {**d["files"][0], "path": "/etc/passwd"}), "m, 'files'"),
        (lambda d: d["files"].insert(0, {**d["files"][0], "path": "../up"}), "m, 'files'"),
        (lambda d: d["files"][0].update(path="a/../b"), "m, 'files'"),
        (lambda d: d["files"][0].update(path="a//b"), "m, 'files'"),
        (lambda d: d["files"][0].update(path="./a"), "m, 'files'"),
        (lambda d: d["files"][0].update(path=""), "m, 'files'"),
        (lambda d: d["files"][0].update(path="a\0"), "m, 'files'"),
        (lambda d: d["files"].insert(1, {**d["files"][0], "path": "a.csv/below"}), "m, 'files'"),
        (lambda d: d["files"][0].update(mode=420), "m, 'files'"),
        (lambda d: d["files"][0].pop("size"), "m, 'files'"),
        (lambda d: d["files"][0].update(size=-1), "m, 'files', 'size'"),
        (lambda d: d["files"][0].update(size=True), "m, 'files', 'size'"),
        (lambda d: d["files"][0].update(size="4"), "m, 'files', 'size'"),
        (lambda d: d["files"][0].update(sha256="AB" * 32), "m, 'files', 'sha256'"),
        (lambda d: d["files"][0].update(sha256="ab" * 31), "m, 'files', 'sha256'"),
        (lambda d: d.update(extra=1), "m"),
        (lambda d: d.pop("derived_from"), "m"),
        (lambda d: d.update(derived_from=["md5:" + "ab" * 16]), "m, 'derived_from'"),
        (lambda d: d.update(derived_from=[7]), "m, 'derived_from'"),
        (lambda d: d.update(schema="lifeseal.dataset/4"), "m, 'schema'"),
        (lambda d: d["files"][0].update(records={}), "m, 'files'"),
        (lambda d: d["description"].update(custodian="x"), "m, 'description'"),
        (lambda d: d.update(derived_from=[{"digest": "sha256:" + "ab" * 32, "step": ""}]), "m, 'derived_from'"),
        (lambda d: d["description"].update(extra=1), "m, 'description'"),
        (lambda d: d["description"].pop("notes"), "m, 'description'"),
        (lambda d: d["description"].update(name=""), "m, 'description'"),
        (lambda d: d["description"].update(name="n" * 4097), "m, 'description'"),
        (lambda d: d["description"].update(licence="MIT\x00"), "m, 'description'"),
        (lambda d: d["description"].update(licence=""), "m, 'description'"),
        *(
            (lambda d, text=text: d["description"].update(obtained=text), "m, 'description', 'obtained'")
            for text in ("2026-11-01T12:30:00", "2026-11-01T12:30:00+00:00", "2026-11-01 12:30:00Z", "2026-11-01T12:30:00.5Z", "2026-02-30T00:00:00Z")
        ),
    ],
)
def test_a_bad_field_is_refused_at_its_place(change, place, manifest):
    fields = document(manifest)
    change(fields)
    with pytest.raises(FormatError) as caught:
        Manifest.from_bytes(written(fields), where="m")
    assert caught.value.where.partition(": ")[0] == place


PINNED = "hf://datasets/acme/reviews@" + "ab" * 20


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["files"][0].update(stated_by="nobody"), "m, 'files', 'stated_by'"),
        (lambda d: d["files"][0].update(stated_by=""), "m, 'files', 'stated_by'"),
        (lambda d: d.update(pinned=[PINNED[:-1]]), "m, 'pinned'"),
        (lambda d: d.update(pinned=[PINNED.replace("ab", "AB")]), "m, 'pinned'"),
        (lambda d: d.update(pinned=["https://example.org"]), "m, 'pinned'"),
        (lambda d: d.update(pinned=[7]), "m, 'pinned'"),
        (lambda d: d.update(warnings=[]), "m"),
        (lambda d: d.pop("warnings"), "m"),
        (lambda d: d.update(schema="lifeseal.dataset/2"), "m, 'files'"),
        (lambda d: (d.pop("pinned"), d.pop("warnings"), d["files"][0].pop("stated_by")), "m"),
    ],
)
def test_a_bad_field_of_schema_3_is_refused_at_its_place(change, place, manifest):
    files = (attrs.evolve(manifest.files[0], stated_by="server"), *manifest.files[1:])
    remote = attrs.evolve(manifest, files=files, pinned=(PINNED,))
    assert Manifest.from_bytes(remote.to_bytes()) == remote
    fields = document(remote)
    change(fields)
    with pytest.raises(FormatError) as caught:
        Manifest.from_bytes(written(fields), where="m")
    assert caught.value.where.partition(": ")[0] == place


def test_a_path_longer_than_any_file_system_has_is_refused(manifest):
    fields = document(manifest)
    fields["files"][-1]["path"] = "z" * 4097
    with pytest.raises(LimitError, match="'path': 4097 characters"):
        Manifest.from_bytes(written(fields), where="m")
    fields["files"][-1]["path"] = "z" * 4096
    assert Manifest.from_bytes(written(fields), where="m").files[-1].path == "z" * 4096


@pytest.mark.parametrize(
    "change",
    [
        lambda good: good + b"\n",
        lambda good: b" " + good,
        lambda good: good.replace(b'":', b'": ', 1),
        lambda good: json.dumps(dict(reversed(json.loads(good).items())), separators=(",", ":")).encode(),
        lambda good: good.replace(b"reviews", b"r\\u0065views", 1),
    ],
    ids=["newline", "leading space", "space", "order", "escape"],
)
def test_another_spelling_of_the_same_manifest_is_refused(change, manifest):
    bad = change(manifest.to_bytes())
    assert json.loads(bad) == document(manifest)
    with pytest.raises(FormatError, match="m: the canonical form was expected"):
        Manifest.from_bytes(bad, where="m")


def test_what_nobody_could_read_back_is_not_written(manifest, monkeypatch, tmp_path):
    monkeypatch.setattr(_manifest, "MAX_MANIFEST", len(manifest.to_bytes()))
    manifest.write(tmp_path / "m.json")
    larger = attrs.evolve(manifest, description=attrs.evolve(manifest.description, notes="n"))
    with pytest.raises(LimitError, match="more than the limit"):
        larger.write(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json") == manifest


def test_a_field_that_stands_twice_is_refused(manifest):
    with pytest.raises(FormatError, match="'schema' stands twice"):
        Manifest.from_bytes(manifest.to_bytes().replace(b"{", b'{"schema":"x",', 1), where="m")


_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_uses = st.lists(_words, max_size=2).map(tuple)
_times = st.datetimes(dt.datetime(1001, 1, 2), dt.datetime(9998, 1, 1), timezones=st.just(dt.UTC)).map(lambda t: t.replace(microsecond=0))  # noqa: DTZ001 - hypothesis adds it
_licences = st.from_regex(re.compile(r"[A-Za-z0-9.+():\- ]{1,40}", re.ASCII), fullmatch=True)
_short = st.builds(Description, name=_words, source=_words, obtained=_times, licence=_licences, notes=_texts)
_full = st.builds(
    Description,
    name=_words,
    source=_words,
    obtained=_times,
    licence=_licences,
    acquisition=_texts,
    sensitivity=st.sampled_from([None, "public", "internal", "confidential", "personal", "special-category"]),
    intended_uses=_uses,
    permitted_uses=_uses,
    retention=_texts,
    consent=_texts,
    custodian=_texts,
    limitations=_texts,
)
_digests = st.binary(min_size=32, max_size=32)
_counts = st.integers(0, 2**40)
_sets = st.builds(SetRoot, count=st.just(0), root=_digests)
_columns = st.lists(st.builds(Column, name=_texts, type=_texts, sha256=_digests), max_size=2).map(tuple)
_records = st.builds(
    FileRecords,
    format=st.sampled_from(["jsonl", "csv+gzip"]),
    count=_counts,
    root=_digests,
    leaves=_digests,
    set_root=st.none() | _sets,
    columns=_columns,
)


def _files(records):
    entries = st.tuples(st.integers(0, 2**63 - 1), _digests, records)
    return st.dictionaries(_names, entries, min_size=1, max_size=5).map(
        lambda found: tuple(RecordedFile(path=path, size=size, sha256=sha256, records=r) for path, (size, sha256, r) in sorted(found.items()))
    )


def _origins(steps):
    return st.lists(st.builds(Origin, digest=_digests.map(lambda d: f"sha256:{d.hex()}"), step=steps), max_size=2).map(tuple)


_one = st.builds(Manifest, description=_short, files=_files(st.none()), derived_from=_origins(st.just("")))
_key_uses = st.none() | st.builds(KeyUse, keys=st.just("one"), check=st.binary(min_size=8, max_size=8)) | st.just(KeyUse(keys="per-record"))
_two = st.builds(Manifest, description=_full | _short, files=_files(st.none() | _records), derived_from=_origins(_words), key_use=_key_uses)


@given(_one | _two)
def test_any_manifest_comes_back_as_it_was(made):
    found = Manifest.from_bytes(made.to_bytes())
    assert found == made
    assert found.to_bytes() == made.to_bytes()


@given(_one)
def test_what_schema_1_can_say_is_said_in_schema_1(made):
    assert document(made)["schema"] == "lifeseal.dataset/1"


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4).map(json.dumps).map(str.encode)
)
def test_any_other_bytes_are_refused_by_our_own_errors(data):
    with pytest.raises(LifesealError):
        Manifest.from_bytes(data)
