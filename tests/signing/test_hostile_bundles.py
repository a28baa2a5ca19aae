# SPDX-License-Identifier: Apache-2.0
"""Bundles that are signed correctly, by the trusted key, and still wrong."""

import hashlib
import json

import pytest

from lifeseal import signing
from lifeseal.attestation import Bundle, Purpose, Statement, Subject, sign_statement
from lifeseal.errors import DigestMismatchError, FormatError, LimitError, PolicyError

IN_TOTO = "application/vnd.in-toto+json"
FILES = {"config.json": b"{}", "empty": b"", "weights/a.bin": b"a" * 3000, "weights/deep/b.bin": bytes(range(256)) * 8, "weights-2": b"2"}


def good(files=None, hasher=hashlib.sha256, algorithm="sha256"):
    """A statement as JSON, right in every respect."""
    resources = [
        {"name": name, "algorithm": algorithm, "digest": hasher(content).hexdigest()}
        for name, content in sorted((FILES if files is None else files).items())
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root(resources)}}],
        "predicateType": Purpose.MODEL.predicate_type,
        "predicate": {
            "serialization": {"method": "files", "hash_type": algorithm, "allow_symlinks": False, "ignore_paths": ["model.sig"]},
            "resources": resources,
        },
    }


def root(resources):
    return hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()


def signed(document, signer):
    """Sign through the library where it writes such a statement, else the very bytes."""
    subjects = document.get("subject")
    plain = document.get("_type") == "https://in-toto.io/Statement/v1" and isinstance(document.get("predicate"), dict)
    if plain and all(set(subject) == {"name", "digest"} and set(subject["digest"]) == {"sha256"} for subject in subjects):
        subjects = tuple(Subject(name=subject["name"], sha256=bytes.fromhex(subject["digest"]["sha256"])) for subject in subjects)
        said = Statement(subjects=subjects, predicate_type=document["predicateType"], predicate=document["predicate"])
        return sign_statement(said, signer=signer)
    return signer.sign(IN_TOTO, json.dumps(document).encode())


def with_resources(document, resources):
    """List other files and make the subject's digest fit them."""
    document["predicate"]["resources"] = resources
    document["subject"][0]["digest"]["sha256"] = root(resources)


def named(*names):
    """Rename the first files, keep the root right."""

    def change(document):
        for resource, name in zip(document["predicate"]["resources"], names, strict=False):
            resource["name"] = name

    return change


def serialization(**fields):
    return lambda document: document["predicate"]["serialization"].update(fields)


def top(**fields):
    return lambda document: document.update(fields)


def without(*path):
    def change(document):
        *parents, last = path
        for part in parents:
            document = document[part]
        del document[last]

    return change


def resource(**fields):
    return lambda document: document["predicate"]["resources"][0].update(fields)


def listed_twice(document):
    first, *rest = document["predicate"]["resources"]
    with_resources(document, [first, first, *rest])


def listed_twice_with_two_digests(document):
    first, *rest = document["predicate"]["resources"]
    with_resources(document, [first | {"digest": "00" * 32}, first, *rest])


def two_subjects(document):
    document["subject"] *= 2


def wrong_root(document):
    document["subject"][0]["digest"]["sha256"] = "00" * 32


def other_order(document):
    document["predicate"]["resources"].reverse()


def uppercase(document):
    for entry in document["predicate"]["resources"]:
        entry["digest"] = entry["digest"].upper()


def plain_place(name):
    return named(name), FormatError, "a relative name without empty, '.' or '..' parts was expected"


HOSTILE = {
    "statement type of v0.1": (
        top(_type="https://in-toto.io/Statement/v0.1"),
        FormatError,
        "'_type': 'https://in-toto.io/Statement/v1' was expected",
    ),
    "predicate type of a dataset": (top(predicateType=Purpose.DATASET.predicate_type), PolicyError, "signed for another use"),
    "predicate type of v0.2": (top(predicateType="https://model_signing/Digests/v0.1"), PolicyError, "signed for another use"),
    "predicate type in capitals": (top(predicateType=Purpose.MODEL.predicate_type.upper()), PolicyError, "signed for another use"),
    "two subjects": (two_subjects, FormatError, "exactly one subject was expected, not 2"),
    "no subject": (top(subject=[]), FormatError, "at least one subject was expected"),
    "empty resources": (lambda document: with_resources(document, []), FormatError, "'resources': at least one file was expected"),
    "no resources": (without("predicate", "resources"), FormatError, "field 'resources' is missing"),
    "no predicate": (top(predicate=None), FormatError, "'predicate': an object was expected"),
    "no serialization": (without("predicate", "serialization"), FormatError, "field 'serialization' is missing"),
    "unknown predicate field": (lambda d: d["predicate"].update(extra=1), FormatError, "predicate: unknown field 'extra'"),
    "unknown method": (serialization(method="tree"), FormatError, "'method': method 'files' or 'shards' was expected, not 'tree'"),
    "shards without shard names": (serialization(method="shards", shard_size=10), FormatError, "a shard's name was expected: path:start:end"),
    "shards without a size": (serialization(method="shards"), FormatError, "field 'shard_size' is missing"),
    "shards of no size": (serialization(method="shards", shard_size=0), FormatError, "'shard_size': an integer from 1 to"),
    "shards of a broken size": (serialization(method="shards", shard_size=True), FormatError, "'shard_size': an integer was expected"),
    "no method": (without("predicate", "serialization", "method"), FormatError, "field 'method' is missing"),
    "unknown hash": (serialization(hash_type="md5"), FormatError, "'hash_type': one of sha256, blake2b, blake3 was expected, not 'md5'"),
    "hash in capitals": (serialization(hash_type="SHA256"), FormatError, "'hash_type': one of"),
    "no hash": (without("predicate", "serialization", "hash_type"), FormatError, "field 'hash_type' is missing"),
    "another hash than the files": (serialization(hash_type="blake3"), FormatError, "'algorithm': 'blake3' was expected, not 'sha256'"),
    "one file of another hash": (resource(algorithm="blake3"), FormatError, "'algorithm': 'sha256' was expected, not 'blake3'"),
    "a file without hash": (without("predicate", "resources", 0, "algorithm"), FormatError, "field 'algorithm' is missing"),
    "a file without name": (without("predicate", "resources", 0, "name"), FormatError, "field 'name' is missing"),
    "a file without digest": (without("predicate", "resources", 0, "digest"), FormatError, "field 'digest' is missing"),
    "a file that is no object": (lambda d: d["predicate"].update(resources=["x"]), FormatError, "'resources': an object was expected, not a string"),
    "digests too long": (resource(digest="00" * 33), FormatError, "'digest': 64 lower-case hexadecimal digits were expected"),
    "digests in capitals": (uppercase, FormatError, "'digest': 64 lower-case hexadecimal digits were expected"),
    "unknown serialization field": (serialization(chunk=1), FormatError, "'serialization': unknown field 'chunk'"),
    "shard size beside files": (serialization(shard_size=10), FormatError, "'serialization': unknown field 'shard_size'"),
    "no word on links": (without("predicate", "serialization", "allow_symlinks"), FormatError, "field 'allow_symlinks' is missing"),
    "links as a word": (serialization(allow_symlinks="no"), FormatError, "'allow_symlinks': a boolean was expected, not a string"),
    "a file listed twice": (listed_twice, FormatError, "'config.json' is listed twice"),
    "a file listed twice with two digests": (listed_twice_with_two_digests, FormatError, "'config.json' is listed twice"),
    "./x": plain_place("./config.json"),
    "../x": plain_place("../model/config.json"),
    "x/../y": plain_place("weights/../config.json"),
    "x//y": plain_place("weights//a.bin"),
    "x/": plain_place("config.json/"),
    "absolute": plain_place("/etc/passwd"),
    "no name": plain_place(""),
    "a dot among others": plain_place("."),
    "a name with NUL": plain_place("config.json\0"),
    "an endless name": (named("x" * 5000), LimitError, "'name': 5000 characters, more than the limit of 4096"),
    "everything ignored": (serialization(ignore_paths=["."]), FormatError, "'ignore_paths': '.': a relative name without"),
    "ignored with a dot": (serialization(ignore_paths=["./weights"]), FormatError, "'ignore_paths': './weights': a relative name without"),
    "ignored nothing": (serialization(ignore_paths=[""]), FormatError, "'ignore_paths': '': a relative name without"),
    "ignored no list": (serialization(ignore_paths="weights"), FormatError, "'ignore_paths': an array was expected"),
    "ignored numbers": (serialization(ignore_paths=[1]), FormatError, "'ignore_paths': an array of strings was expected"),
    "what is signed is ignored too": (
        serialization(ignore_paths=["weights"]),
        DigestMismatchError,
        "2 missing: 'weights/a.bin', 'weights/deep/b.bin'",
    ),
    "wrong root": (wrong_root, FormatError, "the listed digests do not add up to the subject's digest"),
    "root of another order": (other_order, FormatError, "the listed digests do not add up to the subject's digest"),
    "a file by another case": (named("Config.json"), DigestMismatchError, "1 missing: 'Config.json'; 1 not signed for: 'config.json'"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("allow_unsigned_files", [False, True])
def test_refuses_a_correctly_signed_bundle_with(what, model, signer, policy, allow_unsigned_files):
    change, error, where = HOSTILE[what]
    document = good()
    assert signing.verify(model, policy=policy, signature=signed(document, signer)).files == len(FILES)
    change(document)
    with pytest.raises(error) as caught:
        signing.verify(model, policy=policy, signature=signed(document, signer), allow_unsigned_files=allow_unsigned_files)
    assert (where.split(";")[0] if allow_unsigned_files and error is DigestMismatchError else where) in str(caught.value)


def in_order_of_parts(document):
    """As model-signing 1.1.1 sorts: by path part, so that a/b comes before a-b."""
    resources = document["predicate"]["resources"]
    with_resources(document, sorted(resources, key=lambda entry: entry["name"].split("/")))
    assert document["predicate"]["resources"] != resources


def no_ignored_paths(document):
    del document["predicate"]["serialization"]["ignore_paths"]


HARMLESS = {
    "nothing odd": lambda document: None,
    "the order of another release": in_order_of_parts,
    "unknown fields of a file": resource(mediaType="application/json", annotations={"a": [1]}),
    "no ignored paths": no_ignored_paths,
    "links allowed where there are none": serialization(allow_symlinks=True),
    "ignored paths that lead outside": serialization(ignore_paths=["/home/user/model.sig", "../model.sig", "gone", "folder/"]),
    "another name of the model": lambda document: document["subject"][0].update(name="something else"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_accepts_a_correctly_signed_bundle_with(what, model, signer, policy):
    document = good()
    HARMLESS[what](document)
    assert signing.verify(model, policy=policy, signature=signed(document, signer)).files == len(FILES)


def test_ignored_paths_that_lead_outside_leave_nothing_out(model, signer, policy):
    document = good()
    serialization(ignore_paths=[str(model / "extra"), "../model/extra", "weights/../extra"])(document)
    bundle = signed(document, signer)
    assert signing.verify(model, policy=policy, signature=bundle)
    (model / "extra").write_bytes(b"")
    with pytest.raises(DigestMismatchError, match="1 not signed for: 'extra'"):
        signing.verify(model, policy=policy, signature=bundle)


def test_links_are_refused_whatever_the_signer_allowed(model, signer, policy):
    document = good()
    serialization(allow_symlinks=True)(document)
    bundle = signed(document, signer)
    assert signing.verify(model, policy=policy, signature=bundle)
    (model / "empty").unlink()
    (model / "empty").symlink_to("/dev/null")
    with pytest.raises(FormatError, match="'empty': a regular file was expected, not a symbolic link"):
        signing.verify(model, policy=policy, signature=bundle)


def test_a_dot_stands_for_a_lone_file_and_for_nothing_else(tmp_path, signer, policy):
    (tmp_path / "m.bin").write_bytes(b"x")
    document = good({".": b"x"})
    assert signing.verify(tmp_path / "m.bin", policy=policy, signature=signed(document, signer)).files == 1
    (tmp_path / "m.bin").write_bytes(b"y")
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'm\.bin'"):
        signing.verify(tmp_path / "m.bin", policy=policy, signature=signed(document, signer))


def test_a_folder_of_the_right_content_is_not_the_lone_file_that_was_signed(tmp_path, signer, policy):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "m").write_bytes(b"x")
    assert signing.verify(tmp_path / "m/m", policy=policy, signature=signed(good({".": b"x"}), signer)).files == 1
    with pytest.raises(FormatError, match=r"'\.': a relative name without"):
        signing.verify(tmp_path / "m", policy=policy, signature=signed(good({".": b"x"}), signer))


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "weights/../../secret"])
def test_no_name_leads_outside_the_model(model, tmp_path, signer, policy, name):
    (tmp_path / "secret").write_bytes(b"secret")
    bundle = signed(good({name: b"secret"}), signer)
    with pytest.raises(FormatError, match=r"a relative name without empty, '\.' or '\.\.' parts was expected"):
        signing.open_model(model, policy=policy, signature=bundle, allow_unsigned_files=True)


def test_a_manifest_that_repeats_a_key_is_refused(model, signer, policy):
    text = json.dumps(good())
    doubled = text.replace('"method": "files"', '"method": "shards", "method": "files"')
    assert doubled != text
    assert signing.verify(model, policy=policy, signature=signer.sign(IN_TOTO, text.encode()))
    with pytest.raises(FormatError, match="'method' stands twice"):
        signing.verify(model, policy=policy, signature=signer.sign(IN_TOTO, doubled.encode()))


def test_a_payload_of_another_type_is_refused(model, signer, policy):
    data = json.dumps(good()).encode()
    assert signing.verify(model, policy=policy, signature=signer.sign(IN_TOTO, data))
    with pytest.raises(FormatError, match=r"payload type 'application/vnd\.in-toto\+json' was expected, not 'application/json'"):
        signing.verify(model, policy=policy, signature=signer.sign("application/json", data))


def test_a_hostile_bundle_in_a_file_is_named_by_its_path(model, signer, policy, tmp_path):
    document = good()
    wrong_root(document)
    signed(document, signer).write(tmp_path / "bad.sig")
    assert Bundle.load(tmp_path / "bad.sig")
    with pytest.raises(FormatError, match=r"/bad\.sig, payload, predicate, 'resources': the listed digests do not add up"):
        signing.verify(model, policy=policy, signature=tmp_path / "bad.sig")
