# SPDX-License-Identifier: Apache-2.0
"""Proofs: each holds against its manifest alone, and none that was bent does."""

import copy
import hashlib
import json

import attrs
import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal.errors import CredentialError, DigestMismatchError, FormatError, LifesealError, TamperedError
from lifeseal.provenance import Absent, Grown, Included, Manifest, Proof, Records, _tree, check_proof, prove, prove_growth

KEY = b"a key for the leaves"
LINES = [b"line %d" % number for number in range(2100)]


def written(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory, description):
    """A dataset with set roots, and its manifest as a stranger gets it: without leaf files."""
    home = tmp_path_factory.mktemp("proofs")
    (home / "d").mkdir()
    (home / "d" / "a.txt").write_bytes(b"\n".join(LINES[:2000]))
    (home / "d" / "b.txt").write_bytes(b"\n".join(LINES[2000:]))
    (home / "d" / "empty.txt").write_bytes(b"")
    (home / "d" / "twice.txt").write_bytes(b"same\nsame\n")
    (home / "d" / "whole.bin").write_bytes(b"no records")
    return provenance.record(home / "d", description=description, records=Records(leaves=home / "l", sets=True))


@pytest.fixture
def stranger(made):
    return Manifest.from_bytes(made.to_bytes())


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 1999, 2000, 2099])
def test_inclusion_holds_with_the_manifest_alone(number, made, stranger):
    proof = Proof.from_bytes(prove(made, LINES[number]).to_bytes())
    claim = check_proof(proof, stranger, record=LINES[number])
    assert isinstance(claim, Included)
    assert (claim.file, claim.place.index) == (("a.txt", number) if number < 2000 else ("b.txt", number - 2000))
    assert len(proof.to_bytes()) < 1500


def test_pymerkle_agrees_on_the_path(made):
    theirs = pymerkle.InmemoryTree.init_from_entries(LINES[:2000], algorithm="sha256")
    claim = prove(made, LINES[77]).claim
    path = [node for node in theirs.prove_inclusion(78).path if node != claim.leaf]
    assert (list(claim.place.nodes), theirs.get_root()) == (path, made.file("a.txt").records.root)


@pytest.mark.parametrize("record", [b"line 2100", b"", b"line 1\n", b"Line 1", b"same "])
def test_absence_holds_with_the_manifest_alone(record, made, stranger):
    proof = Proof.from_bytes(prove(made, record).to_bytes())
    claim = check_proof(proof, stranger, record=record)
    assert isinstance(claim, Absent)
    assert [gap.file for gap in claim.gaps] == ["a.txt", "b.txt", "empty.txt", "twice.txt"]


def test_absence_at_both_ends_of_the_order(tmp_path, description):
    entries = sorted(LINES[:50], key=lambda line: hashlib.sha256(b"\0" + line).digest())
    (tmp_path / "a.txt").write_bytes(b"\n".join(entries[1:-1]))
    made = provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l", sets=True))
    for record, missing in ((entries[0], "below"), (entries[-1], "above")):
        claim = check_proof(prove(made, record), made, record=record)
        assert getattr(claim.gaps[0], missing) is None


def test_a_proof_is_about_one_record_and_one_manifest(made, stranger, description):
    proof = prove(made, LINES[5])
    with pytest.raises(DigestMismatchError, match="another record"):
        check_proof(proof, stranger, record=LINES[6])
    with pytest.raises(DigestMismatchError, match="not about the manifest given"):
        check_proof(proof, attrs.evolve(stranger, description=attrs.evolve(description, notes="other")), record=LINES[5])
    with pytest.raises(ValueError, match="checked with previous="):
        check_proof(proof, stranger, previous=stranger)


def test_absence_needs_set_roots_and_records(tmp_path, description, manifest):
    (tmp_path / "a.txt").write_bytes(b"a\n")
    made = provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l"))
    with pytest.raises(FormatError, match=r"not there, and that cannot be proved without set roots"):
        prove(made, b"b")
    assert isinstance(prove(made, b"a").claim, Included)
    with pytest.raises(FormatError, match="no records were recorded"):
        prove(manifest, b"a")


def test_keyed_records_are_proved_with_the_key(tmp_path, description):
    (tmp_path / "a.txt").write_bytes(b"a\nb\n")
    made = provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l", sets=True), leaf_key=KEY)
    for record, kind in ((b"a", Included), (b"c", Absent)):
        proof = prove(made, record, leaf_key=KEY)
        assert isinstance(check_proof(proof, made, record=record, leaf_key=KEY), kind)
        assert isinstance(check_proof(proof, made), kind)  # about a leaf, whatever the record
        with pytest.raises(CredentialError):
            check_proof(proof, made, record=record)
    with pytest.raises(CredentialError):
        prove(made, b"a")


def leaves_of(document, path=()):
    """Every place in a JSON document that holds a string or a number."""
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        return [place for key, item in items for place in leaves_of(item, (*path, key))]
    return [path]


def bent(value):
    if isinstance(value, str) and len(value) == 64:
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return value + 1 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize("record", [LINES[1500], LINES[0], b"absent"])
def test_no_proof_that_was_bent_anywhere_holds(record, made, stranger):
    good = json.loads(prove(made, record).to_bytes())
    check_proof(Proof.from_bytes(written(good)), stranger, record=record)
    for *path, last in leaves_of(good):
        bad = copy.deepcopy(good)
        holder = bad
        for key in path:
            holder = holder[key]
        if holder[last] is None:
            continue
        holder[last] = bent(holder[last])
        with pytest.raises(LifesealError):
            check_proof(Proof.from_bytes(written(bad)), stranger, record=record)


def swapped(gap):
    return attrs.evolve(gap, below=gap.above, above=gap.below)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda claim: attrs.evolve(claim, gaps=claim.gaps[1:]), "does not cover every file"),
        (lambda claim: attrs.evolve(claim, gaps=(*claim.gaps, claim.gaps[0])), "does not cover every file"),
        (lambda claim: attrs.evolve(claim, gaps=claim.gaps[::-1]), "does not cover every file"),
        (lambda claim: attrs.evolve(claim, gaps=(attrs.evolve(claim.gaps[0], below=None), *claim.gaps[1:])), r"absent from 'a\.txt'"),
        (lambda claim: attrs.evolve(claim, gaps=(attrs.evolve(claim.gaps[0], above=None), *claim.gaps[1:])), r"absent from 'a\.txt'"),
        (lambda claim: attrs.evolve(claim, gaps=(swapped(claim.gaps[0]), *claim.gaps[1:])), r"absent from 'a\.txt'"),
        (lambda claim: attrs.evolve(claim, gaps=(attrs.evolve(claim.gaps[1], file="a.txt"), *claim.gaps[1:])), r"absent from 'a\.txt'"),
    ],
    ids=["one file left out", "one twice", "other order", "no lower neighbour", "no upper neighbour", "swapped", "of another file"],
)
def test_absence_leaves_no_room(change, error, made, stranger):
    proof = prove(made, b"absent")
    with pytest.raises(TamperedError, match=error):
        check_proof(attrs.evolve(proof, claim=change(proof.claim)), stranger, record=b"absent")


@pytest.mark.parametrize("around", [(-1, 1), (-2, -1), (1, 2), (-1, 0), (0, 1)], ids=["two apart", "below", "above", "itself above", "itself below"])
def test_absence_of_what_is_there_cannot_be_forged_from_its_neighbours(around, made, stranger):
    wanted = LINES[7]
    distinct = sorted(hashlib.sha256(b"\0" + line).digest() for line in LINES[:2000])
    tree = _tree.Levels.over(distinct)
    at = distinct.index(hashlib.sha256(b"\0" + wanted).digest())
    below, above = (provenance.Place(index=i, leaf=distinct[i], nodes=tree.inclusion(i)) for i in (at + around[0], at + around[1]))
    honest = prove(made, b"absent").claim
    forged = Absent(leaf=distinct[at], gaps=(provenance.Gap(file="a.txt", below=below, above=above), *honest.gaps[1:]))
    with pytest.raises(TamperedError, match=r"absent from 'a\.txt'"):
        check_proof(Proof(manifest=made.digest, claim=forged), stranger, record=wanted)


def test_a_proof_of_absence_against_a_manifest_without_sets_is_refused(made):
    bare = attrs.evolve(
        made, files=tuple(attrs.evolve(file, records=file.records and attrs.evolve(file.records, set_root=None)) for file in made.files)
    )
    proof = attrs.evolve(prove(made, b"absent"), manifest=bare.digest)
    with pytest.raises(TamperedError, match="holds no set root"):
        check_proof(proof, bare)


def test_a_proof_that_names_another_file_is_refused(made, stranger):
    proof = prove(made, LINES[5])
    for file in ("b.txt", "whole.bin", "nowhere"):
        with pytest.raises(TamperedError):
            check_proof(attrs.evolve(proof, claim=attrs.evolve(proof.claim, file=file)), stranger)


@pytest.fixture
def grow(tmp_path, description):
    """Record what a folder holds now, or what it is changed to."""
    folder = tmp_path / "g"
    folder.mkdir()

    def run(content, **options):
        for name, data in content.items():
            if data is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(data)
        return provenance.record(folder, description=description, records=Records(leaves=tmp_path / "l"), **options)

    return run


def lines(count):
    return b"".join(line + b"\n" for line in LINES[:count])


START = {"a.txt": lines(1100), "b.txt": lines(3), "c.bin": b"whole", "e.txt": b""}


@pytest.mark.parametrize(
    "change",
    [{}, {"a.txt": lines(1101)}, {"a.txt": lines(2100), "b.txt": lines(4)}, {"d.txt": b"new\n", "d.bin": b""}, {"e.txt": b"first\n"}],
    ids=["nothing", "one record", "many", "files", "the first record"],
)
def test_growth_holds_with_the_two_manifests_alone(change, grow):
    old = grow(START)
    new = grow(change)
    proof = Proof.from_bytes(prove_growth(old, new).to_bytes())
    claim = check_proof(proof, Manifest.from_bytes(new.to_bytes()), previous=Manifest.from_bytes(old.to_bytes()))
    assert isinstance(claim, Grown)
    assert {file for file, _ in claim.files} == {name for name in change if name in START}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"a.txt": lines(1099)}, {"changed": ("a.txt",)}),
        ({"a.txt": b"x" + lines(1100)}, {"changed": ("a.txt",)}),
        ({"a.txt": b"x\n" + lines(1200)}, {"changed": ("a.txt",)}),
        ({"a.txt": lines(1000) + b"x\n" + lines(1100)}, {"changed": ("a.txt",)}),
        ({"c.bin": b"whole, and more"}, {"changed": ("c.bin",)}),
        ({"b.txt": None}, {"missing": ("b.txt",)}),
        ({"b.txt": b""}, {"changed": ("b.txt",)}),
    ],
    ids=["shorter", "changed", "shifted", "inserted", "file without records", "gone", "emptied"],
)
def test_what_did_not_only_grow_is_named(change, wanted, grow):
    old, new = grow(START), grow(change)
    with pytest.raises(DigestMismatchError) as caught:
        prove_growth(old, new)
    assert {name: getattr(caught.value, name) for name in wanted} == wanted
    forged = Proof(manifest=new.digest, claim=Grown(previous=old.digest, files=()))
    with pytest.raises((DigestMismatchError, TamperedError)):
        check_proof(forged, new, previous=old)


def test_no_growth_that_was_bent_holds(grow):
    old, new = grow(START), grow({"a.txt": lines(2000), "b.txt": lines(9)})
    good = json.loads(prove_growth(old, new).to_bytes())
    check_proof(Proof.from_bytes(written(good)), new, previous=old)
    for *path, last in leaves_of(good):
        bad = copy.deepcopy(good)
        holder = bad
        for key in path:
            holder = holder[key]
        holder[last] = bent(holder[last])
        with pytest.raises(LifesealError):
            check_proof(Proof.from_bytes(written(bad)), new, previous=old)
    proof = Proof.from_bytes(written(good))
    for files in (proof.claim.files[1:], (*proof.claim.files, proof.claim.files[0]), (*proof.claim.files, ("x.txt", ()))):
        with pytest.raises(TamperedError):
            check_proof(attrs.evolve(proof, claim=attrs.evolve(proof.claim, files=files)), new, previous=old)
    with pytest.raises(ValueError, match="checked with previous="):
        check_proof(proof, new)
    with pytest.raises(ValueError, match="no single record"):
        check_proof(proof, new, previous=old, record=b"x")


def test_growth_is_since_one_manifest(grow, description):
    old, new = grow(START), grow({"a.txt": lines(2000)})
    twin = attrs.evolve(old, description=attrs.evolve(description, notes="the same data, said otherwise"))
    with pytest.raises(DigestMismatchError, match="is about growth since"):
        check_proof(prove_growth(old, new), new, previous=twin)


def test_growth_under_another_key_cannot_be_told(grow):
    old, new = grow(START, leaf_key=KEY), grow({}, leaf_key=b"another key, long enough")
    with pytest.raises(DigestMismatchError, match="the leaf key is another"):
        prove_growth(old, new)


def test_a_proof_is_written_and_read(made, tmp_path):
    proof = prove(made, LINES[3])
    proof.write(tmp_path / "p.json")
    assert Proof.load(tmp_path / "p.json") == proof
    (tmp_path / "other.json").write_bytes(b"{}")
    with pytest.raises(FileExistsError, match="is no record proof"):
        proof.write(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.update(schema="lifeseal.record-proof/2"), "p, 'schema'"),
        (lambda d: d.update(kind="other"), "p, 'kind'"),
        (lambda d: d.update(more=1), "p"),
        (lambda d: d.update(manifest="ab" * 32), "p, 'manifest'"),
        (lambda d: d["place"].update(more=1), "p, 'place'"),
        (lambda d: d["place"].update(index=-1), "p, 'place', 'index'"),
        (lambda d: d["place"]["nodes"].append("ab"), "p, 'place', 'nodes', 'node'"),
        (lambda d: d["place"]["nodes"].append(7), "p, 'place', 'nodes', 'node'"),
        (lambda d: d["place"].update(leaf="AB" * 32), "p, 'place', 'leaf'"),
        (lambda d: d.pop("file"), "p"),
    ],
)
def test_a_bad_field_is_refused_at_its_place(change, place, made):
    document = json.loads(prove(made, LINES[3]).to_bytes())
    change(document)
    with pytest.raises(FormatError) as caught:
        Proof.from_bytes(written(document), where="p")
    assert caught.value.where == place


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4).map(json.dumps).map(str.encode))
def test_any_other_bytes_are_refused_by_our_own_errors(data):
    with pytest.raises(LifesealError):
        Proof.from_bytes(data)
