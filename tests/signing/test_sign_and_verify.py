# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import contextlib
import hashlib
import json
import os
import socket
import unicodedata

import pytest

from lifeseal import signing
from lifeseal._io import DiskSource
from lifeseal.attestation import Bundle, SignerInfo, sign_statement
from lifeseal.errors import DigestMismatchError, FormatError, LimitError, PolicyError, SignatureError
from lifeseal.signing._manifest import Manifest, Resource

FILES = {"config.json": b"{}", "empty": b"", "weights/a.bin": b"a" * 3000, "weights/deep/b.bin": bytes(range(256)) * 8, "weights-2": b"2"}
SIZE = sum(map(len, FILES.values()))


def payload(bundle):
    return json.loads(bundle.envelope.payload)


def listed(bundle):
    return [resource["name"] for resource in payload(bundle)["predicate"]["resources"]]


def test_a_signed_folder_verifies_and_reads_as_it_was(model, signer, policy):
    bundle = signing.sign(model, signer=signer)
    report = signing.verify(model, policy=policy)
    assert (report.files, report.size, report.hash) == (len(FILES), sum(map(len, FILES.values())), "sha256")
    name = f"key {policy.fingerprint[:12]}"
    assert report.signer == SignerInfo(kind="key", fingerprint=policy.fingerprint, key=policy.fingerprint, name=name, clause=name)
    assert report.not_covered == (
        "no withdrawal list was consulted",
        "left out, whatever lies there: .git, .gitattributes, .github, .gitignore, model.sig",
    )
    assert (report.waiver, report.unsigned) == (None, ())
    assert report.ignored == (".git", ".gitattributes", ".github", ".gitignore", "model.sig")
    assert Bundle.load(model / "model.sig") == bundle
    with signing.open_model(model, policy=policy) as opened:
        assert {entry.path: opened.read(entry.path) for entry in opened.files} == FILES
        assert {entry.path: (entry.size, entry.digest) for entry in opened.files} == {
            name: (len(content), hashlib.sha256(content).digest()) for name, content in FILES.items()
        }
        assert opened.size == report.size
        assert opened.subject == report.subject
        assert opened.verify() == report


def test_a_signed_file_verifies_and_reads_as_it_was(tmp_path, signer, policy):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    (tmp_path / "neighbour").write_bytes(b"not part of it")
    bundle = signing.sign(path, signer=signer)
    assert Bundle.load(tmp_path / "model.onnx.sig") == bundle
    assert listed(bundle) == ["model.onnx"]
    report = signing.verify(path, policy=policy)
    assert (report.files, report.size, report.subject.name) == (1, 7, "model.onnx")
    with signing.open_model(path, policy=policy) as opened:
        assert opened.read("model.onnx") == b"weights"
    path.write_bytes(b"Weights")
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'model\.onnx'"):
        signing.verify(path, policy=policy)


def test_a_single_file_that_was_renamed_is_not_the_one_signed(tmp_path, signer, policy):
    (tmp_path / "a").write_bytes(b"weights")
    signing.sign(tmp_path / "a", signer=signer)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(DigestMismatchError, match="1 missing: 'a'; 1 not signed for: 'b'"):
        signing.verify(tmp_path / "b", policy=policy, signature=tmp_path / "a.sig")


def test_the_root_digest_is_over_the_digests_in_order_of_names(model, signer):
    bundle = signing.sign(model, signer=signer)
    assert listed(bundle) == sorted(FILES)
    joined = b"".join(hashlib.sha256(FILES[name]).digest() for name in sorted(FILES))
    assert payload(bundle)["subject"] == [{"name": "model", "digest": {"sha256": hashlib.sha256(joined).hexdigest()}}]


def test_equal_models_give_equal_payloads(tmp_path, model, signer):
    first = signing.sign(model, signer=signer).envelope.payload
    copy = tmp_path / "elsewhere" / "model"
    for name in reversed(FILES):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(FILES[name])
    again = signing.sign(copy, signer=signer, ignore=["b", "a"]).envelope.payload
    assert signing.sign(copy, signer=signer, ignore=["a/", "b"]).envelope.payload == again
    assert signing.sign(copy, signer=signer).envelope.payload == first


def test_signing_again_replaces_the_signature(model, signer, policy):
    first = signing.sign(model, signer=signer)
    (model / "config.json").write_bytes(b'{"a":1}')
    second = signing.sign(model, signer=signer)
    assert second.envelope.payload != first.envelope.payload
    assert "model.sig" not in listed(second)
    assert signing.verify(model, policy=policy).subject.digest == f"sha256:{payload(second)['subject'][0]['digest']['sha256']}"


@pytest.mark.parametrize("hash_name", ["sha256", "blake2b", "blake3"])
def test_every_hash_signs_verifies_and_detects(model, signer, policy, hash_name):
    bundle = signing.sign(model, signer=signer, hash=hash_name)
    assert {resource["algorithm"] for resource in payload(bundle)["predicate"]["resources"]} == {hash_name}
    assert signing.verify(model, policy=policy).hash == hash_name
    with signing.open_model(model, policy=policy) as opened:
        assert opened.read("weights/a.bin") == FILES["weights/a.bin"]
    (model / "weights/a.bin").write_bytes(b"a" * 2999 + b"b")
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'weights/a\.bin'"):
        signing.verify(model, policy=policy)


def test_a_wide_blake3_file_is_read_in_pieces_and_checked(tmp_path, signer, policy):
    content = os.urandom(9 << 20)
    (tmp_path / "m").write_bytes(content)
    signing.sign(tmp_path / "m", signer=signer, hash="blake3")
    with signing.open_model(tmp_path / "m", policy=policy) as opened:
        assert opened.read("m") == content
        buffer = bytearray(100)
        assert opened.readinto("m", buffer, (8 << 20) - 50) == 100
        assert buffer == content[(8 << 20) - 50 : (8 << 20) + 50]
    with (tmp_path / "m").open("r+b") as file:
        file.seek((8 << 20) + 5)
        file.write(b"\x00\x01\x02\x03")
    with signing.open_model(tmp_path / "m", policy=policy) as opened, pytest.raises(DigestMismatchError, match="1 changed: 'm'"):
        opened.readinto("m", bytearray(10), 0)


def test_an_unknown_hash_is_a_programming_error(model, signer):
    with pytest.raises(ValueError, match="hash must be one of sha256, blake2b, blake3, not 'md5'"):
        signing.sign(model, signer=signer, hash="md5")
    assert not (model / "model.sig").exists()


def test_workers_of_an_executor_give_the_same_signature(model, signer):
    plain = signing.sign(model, signer=signer).envelope.payload
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        assert signing.sign(model, signer=signer, executor=executor).envelope.payload == plain


# What can happen to a model after signing


def swap(model):
    a, b = model / "weights/a.bin", model / "weights/deep/b.bin"
    kept = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(kept)


HARM = {
    "one more file": (lambda m: (m / "weights/c.bin").write_bytes(b""), r"1 not signed for: 'weights/c\.bin'"),
    "one more folder with a file": (lambda m: ((m / "new").mkdir(), (m / "new/x").write_bytes(b"")), "1 not signed for: 'new/x'"),
    "a file less": (lambda m: (m / "empty").unlink(), "1 missing: 'empty'"),
    "a byte changed": (lambda m: (m / "config.json").write_bytes(b"[]"), r"1 changed: 'config\.json'"),
    "a byte appended": (lambda m: (m / "empty").write_bytes(b"x"), "1 changed: 'empty'"),
    "cut": (lambda m: (m / "weights-2").write_bytes(b""), "1 changed: 'weights-2'"),
    "renamed": (lambda m: (m / "empty").rename(m / "Empty"), "1 missing: 'empty'; 1 not signed for: 'Empty'"),
    "moved": (lambda m: (m / "weights/a.bin").rename(m / "a.bin"), r"1 missing: 'weights/a\.bin'; 1 not signed for: 'a\.bin'"),
    "two swapped": (swap, r"2 changed: 'weights/a\.bin', 'weights/deep/b\.bin'"),
    "another signature inside": (lambda m: (m / "weights/model.sig").write_bytes(b""), r"1 not signed for: 'weights/model\.sig'"),
    "git files below the top": (lambda m: (m / "weights/.gitignore").write_bytes(b""), r"1 not signed for: 'weights/\.gitignore'"),
}


@pytest.mark.parametrize("harm", HARM)
def test_refuses_a_model_with(harm, model, signer, policy):
    signing.sign(model, signer=signer)
    assert signing.verify(model, policy=policy)
    act, where = HARM[harm]
    act(model)
    with pytest.raises(DigestMismatchError, match=f"model: {where}"):
        signing.verify(model, policy=policy)


HARMLESS = {
    "an empty folder": lambda m: (m / "new").mkdir(),
    "version control at the top": lambda m: ((m / ".git").mkdir(), (m / ".git/HEAD").write_bytes(b"x"), (m / ".gitignore").write_bytes(b"x")),
    "a link under version control": lambda m: (m / ".git").symlink_to("/etc"),
    "other times and modes": lambda m: (os.utime(m / "empty", (0, 0)), (m / "empty").chmod(0o444)),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_accepts_a_model_with(change, model, signer, policy):
    signing.sign(model, signer=signer)
    HARMLESS[change](model)
    assert signing.verify(model, policy=policy).files == len(FILES)


def test_missing_and_extra_names_are_told_before_anything_is_hashed(model, signer, policy):
    signing.sign(model, signer=signer)
    (model / "empty").unlink()
    (model / "extra").write_bytes(b"")
    with pytest.raises(DigestMismatchError) as caught:
        signing.open_model(model, policy=policy)
    assert (caught.value.missing, caught.value.extra, caught.value.changed) == (("empty",), ("extra",), ())


def test_a_stranger_is_not_trusted(model, signer, stranger):
    signing.sign(model, signer=signer)
    with pytest.raises(PolicyError, match=r"another signer's"):
        signing.verify(model, policy=stranger.public)


def test_every_provision_of_trust_is_an_argument():
    with pytest.raises(TypeError, match="policy"):
        signing.verify("model")


# Names and kinds of file


def link_file(folder):
    (folder / "odd").symlink_to("config.json")


def link_folder(folder):
    (folder / "odd").symlink_to("weights", target_is_directory=True)


def link_nowhere(folder):
    (folder / "odd").symlink_to("nowhere")


def link_outside(folder):
    (folder / "odd").symlink_to("/etc/hostname")


def fifo(folder):
    os.mkfifo(folder / "odd")


def unix_socket(folder):
    here = os.getcwd()  # noqa: PTH109 - a socket's path is short
    os.chdir(folder)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as end:
        end.bind("odd")
    os.chdir(here)


ODD = {
    link_file: "symbolic link",
    link_folder: "symbolic link",
    link_nowhere: "symbolic link",
    link_outside: "symbolic link",
    fifo: "FIFO",
    unix_socket: "socket",
}


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("below", [".", "weights/deep"])
def test_refuses_what_is_no_regular_file(model, signer, policy, make, below):
    signing.sign(model, signer=signer)
    make(model / below)
    wanted = f"odd': a regular file was expected, not a {ODD[make]}"
    for act in (lambda: signing.sign(model, signer=signer), lambda: signing.verify(model, policy=policy)):
        with pytest.raises(FormatError, match=wanted):
            act()
    with pytest.raises(FormatError, match=wanted):
        signing.verify(model, policy=policy, allow_unsigned_files=True)
    assert signing.verify(model, policy=policy, ignore=[f"{below}/odd".removeprefix("./")])


def test_a_signed_file_replaced_by_a_link_to_the_same_content_is_refused(model, signer, policy, tmp_path):
    signing.sign(model, signer=signer)
    (model / "empty").rename(tmp_path / "empty")
    (model / "empty").symlink_to(tmp_path / "empty")
    with pytest.raises(FormatError, match="'empty': a regular file was expected, not a symbolic link"):
        signing.verify(model, policy=policy)


def test_a_folder_replaced_by_a_link_after_opening_is_refused(model, signer, policy, tmp_path):
    signing.sign(model, signer=signer)
    with signing.open_model(model, policy=policy) as opened:
        (model / "weights").rename(tmp_path / "weights")
        (model / "weights").symlink_to(tmp_path / "weights")
        with pytest.raises(FormatError, match="'weights': a regular file was expected, not a symbolic link"):
            opened.read("weights/a.bin")
        assert opened.read("config.json") == b"{}"


def test_a_folder_renamed_after_opening_is_still_the_one_opened(model, signer, policy):
    signing.sign(model, signer=signer)
    with signing.open_model(model, policy=policy) as opened:
        model.rename(model.with_name("old"))
        model.mkdir()
        (model / "config.json").write_bytes(b"!!")
        assert opened.read("config.json") == b"{}"
        assert opened.verify().files == len(FILES)


def test_the_path_itself_may_be_a_link(model, signer, policy, tmp_path):
    signing.sign(model, signer=signer)
    (tmp_path / "link").symlink_to(model, target_is_directory=True)
    assert signing.verify(tmp_path / "link", policy=policy).files == len(FILES)


@pytest.mark.parametrize("place", ["file", "folder", "model"])
def test_refuses_names_that_are_not_utf8(tmp_path, model, signer, place):
    signing.sign(model, signer=signer, out=tmp_path / "control.sig")
    if place == "file":
        (model / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    elif place == "folder":
        (model / os.fsdecode(b"caf\xe9")).mkdir()
        (model / os.fsdecode(b"caf\xe9") / "x").write_bytes(b"")
    else:
        model = model.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(FormatError, match="the name is not UTF-8"):
        signing.sign(model, signer=signer)


def test_names_are_bytes_and_never_normalised(model, signer, policy):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (model / composed).write_bytes(b"1")
    (model / decomposed).write_bytes(b"2")
    signing.sign(model, signer=signer)
    with signing.open_model(model, policy=policy) as opened:
        assert (opened.read(composed), opened.read(decomposed)) == (b"1", b"2")
    (model / decomposed).unlink()
    with pytest.raises(DigestMismatchError, match="1 missing") as caught:
        signing.verify(model, policy=policy)
    assert caught.value.missing == (decomposed,)


@pytest.mark.parametrize("name", ["a b", "new\nline", "back\\slash", "-rf", "*", "名前", "a:0:10", '"', "..x", "\x7f", "e" * 255])
def test_any_utf8_name_signs_and_verifies(model, signer, policy, name):
    (model / name).write_bytes(b"odd")
    signing.sign(model, signer=signer)
    with signing.open_model(model, policy=policy) as opened:
        assert opened.read(name) == b"odd"


def test_an_empty_model_is_not_signed(tmp_path, signer):
    (tmp_path / "m" / "sub").mkdir(parents=True)
    with pytest.raises(FormatError, match="m: there is no file to sign"):
        signing.sign(tmp_path / "m", signer=signer)
    assert not (tmp_path / "m/model.sig").exists()


def test_a_model_of_nothing_but_ignored_files_is_not_signed(model, signer):
    with pytest.raises(FormatError, match="there is no file to sign"):
        signing.sign(model, signer=signer, ignore=list(FILES))


def test_neither_file_nor_folder_is_refused(tmp_path, signer):
    os.mkfifo(tmp_path / "m")
    with pytest.raises(FormatError, match="m: a folder or a regular file was expected, not a FIFO"):
        signing.sign(tmp_path / "m", signer=signer)
    with pytest.raises(FileNotFoundError):
        signing.sign(tmp_path / "nothing", signer=signer)


def test_folders_too_deep_are_refused(tmp_path, signer, policy):
    deepest = tmp_path / "m" / "/".join(["d"] * 64)
    deepest.mkdir(parents=True)
    (deepest / "x").write_bytes(b"")
    signing.sign(tmp_path / "m", signer=signer)
    assert signing.verify(tmp_path / "m", policy=policy).files == 1
    (deepest / "d").mkdir()
    with pytest.raises(LimitError, match="65 nested folders, more than the limit of 64"):
        signing.verify(tmp_path / "m", policy=policy)


@contextlib.contextmanager
def without_privilege():
    """Root reads everything; nobody does not. Directories opened before stay open."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["config.json", "weights"])
def test_what_cannot_be_read_is_an_os_error_not_a_verdict(model, signer, policy, name):
    bundle = signing.sign(model, signer=signer)
    for path in (model, model / "weights", model / "weights/deep"):
        path.chmod(0o755)
    with DiskSource(model) as source:
        assert signing.verify(source, policy=policy).files == len(FILES)
        (model / name).chmod(0)
        with without_privilege(), pytest.raises(PermissionError, match="Permission denied"):
            signing.verify(source, policy=policy, signature=bundle)
        with without_privilege(), pytest.raises(PermissionError, match="Permission denied"):
            signing.sign(source, signer=signer, out=model / "new.sig")
        (model / name).chmod(0o755)
    assert not (model / "new.sig").exists()


def test_ten_thousand_small_files(tmp_path, signer, policy):
    folder = tmp_path / "m"
    for outer in range(100):
        (folder / f"{outer:03}").mkdir(parents=True)
        for inner in range(100):
            (folder / f"{outer:03}/{inner:03}").write_bytes(b"%d %d" % (outer, inner))
    signing.sign(folder, signer=signer)
    assert signing.verify(folder, policy=policy).files == 10_000
    (folder / "077/077").write_bytes(b"77 78")
    with pytest.raises(DigestMismatchError, match="1 changed: '077/077'"):
        signing.verify(folder, policy=policy)


# Leaving out


def test_ignored_paths_are_recorded_and_honoured(model, signer, policy):
    bundle = signing.sign(model, signer=signer, ignore=["weights/deep", "empty"])
    assert listed(bundle) == ["config.json", "weights-2", "weights/a.bin"]
    assert {"weights/deep", "empty"} < set(payload(bundle)["predicate"]["serialization"]["ignore_paths"])
    (model / "weights/deep/b.bin").write_bytes(b"changed")
    (model / "weights/deep/new").symlink_to("/etc")
    report = signing.verify(model, policy=policy)
    assert report.files == 3
    assert {"weights/deep", "empty"} < set(report.ignored)
    with signing.open_model(model, policy=policy) as opened, pytest.raises(KeyError, match="'empty' is not among the signed files"):
        opened.read("empty")


def test_version_control_at_the_top_is_not_signed_and_the_signature_says_so(model, signer):
    plain = signing.sign(model, signer=signer).envelope.payload
    for name in (".git/HEAD", ".github/ci.yml", ".gitignore", ".gitattributes"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"x")
    bundle = signing.sign(model, signer=signer)
    assert bundle.envelope.payload == plain
    assert payload(bundle)["predicate"]["serialization"]["ignore_paths"] == [".git", ".gitattributes", ".github", ".gitignore", "model.sig"]
    (model / "weights/.gitignore").write_bytes(b"x")
    assert listed(signing.sign(model, signer=signer)) == sorted([*FILES, "weights/.gitignore"])


def test_an_ignored_path_is_a_whole_name_not_a_prefix(model, signer):
    bundle = signing.sign(model, signer=signer, ignore=["weight", "a.bin", "*.json"])
    assert listed(bundle) == sorted(FILES)


@pytest.mark.parametrize("path", ["", "/", ".", "..", "../x", "/etc", "./x", "a//b", "a/../b"])
def test_refuses_ignored_paths_that_are_no_plain_places(model, signer, policy, path):
    signing.sign(model, signer=signer)
    with pytest.raises(FormatError, match="ignored path: "):
        signing.sign(model, signer=signer, ignore=[path])
    with pytest.raises(FormatError, match="ignored path: "):
        signing.open_model(model, policy=policy, ignore=[path])


def test_a_verifier_may_leave_out_more_but_not_what_was_signed(model, signer, policy):
    signing.sign(model, signer=signer)
    (model / "notes").write_bytes(b"mine")
    assert signing.verify(model, policy=policy, ignore=["notes"]).files == len(FILES)
    with pytest.raises(DigestMismatchError, match="1 missing: 'empty'"):
        signing.verify(model, policy=policy, ignore=["notes", "empty"])


def test_what_is_usually_left_out_is_checked_where_it_is_signed_for(model, signer, policy, tmp_path):
    """Other implementations can sign version control's files, or a model.sig of somebody else's."""
    extra = {".gitattributes": b"*.bin lfs", ".github/ci.yml": b"on: push", "model.sig": b"older"}
    for name, content in extra.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(content)
    resources = tuple(Resource(name=name, digest=hashlib.sha256(content).digest()) for name, content in sorted((FILES | extra).items()))
    manifest = Manifest(resources=resources, hash="sha256", ignored=frozenset())
    bundle = sign_statement(manifest.to_statement("model"), signer=signer)
    (model / ".git").mkdir()
    (model / ".git/HEAD").write_bytes(b"ref")
    report = signing.verify(model, policy=policy, signature=bundle)
    assert report.files == len(FILES) + 3
    assert report.ignored == (".git", ".gitignore")
    (model / ".github/evil.yml").write_bytes(b"on: push")
    with pytest.raises(DigestMismatchError, match=r"1 not signed for: '\.github/evil\.yml'"):
        signing.verify(model, policy=policy, signature=bundle)


def test_unsigned_files_are_accepted_only_if_asked_and_listed(model, signer, policy):
    signing.sign(model, signer=signer)
    (model / "README.md").write_bytes(b"hello")
    with pytest.raises(DigestMismatchError, match=r"1 not signed for: 'README\.md'"):
        signing.verify(model, policy=policy)
    assert signing.verify(model, policy=policy, allow_unsigned_files=True).unsigned == ("README.md",)
    with signing.open_model(model, policy=policy, allow_unsigned_files=True) as opened:
        assert opened.unsigned == ("README.md",)
        assert "README.md" not in {entry.path for entry in opened.files}
        with pytest.raises(KeyError, match="README"):
            opened.read("README.md")
    (model / "empty").unlink()
    with pytest.raises(DigestMismatchError, match=r"model: 1 missing: 'empty'$"):
        signing.verify(model, policy=policy, allow_unsigned_files=True)


# Where the signature lies


@pytest.mark.parametrize("place", ["outside.sig", "model/inside.sig", "model/weights/deep/inside.sig"])
def test_a_signature_may_lie_elsewhere(model, signer, policy, tmp_path, place):
    signing.sign(model, signer=signer, out=tmp_path / place)
    assert signing.verify(model, policy=policy, signature=tmp_path / place).files == len(FILES)
    with pytest.raises(PolicyError, match="unsigned: no signature at"):
        signing.verify(model, policy=policy)


def test_a_signature_made_outside_may_be_moved_in(model, signer, policy, tmp_path):
    signing.sign(model, signer=signer, out=tmp_path / "s")
    (tmp_path / "s").rename(model / "s")
    assert signing.verify(model, policy=policy, signature=model / "s").files == len(FILES)
    with pytest.raises(DigestMismatchError, match="1 not signed for: 's'"):
        signing.verify(model, policy=policy, signature=Bundle.load(model / "s"))


def test_a_bundle_in_memory_serves_as_well(model, signer, policy, stranger):
    bundle = signing.sign(model, signer=signer)
    signing.sign(model, signer=stranger)
    assert signing.verify(model, policy=policy, signature=bundle).signer.fingerprint == policy.fingerprint


def test_a_signature_named_but_absent_is_an_error_not_an_unsigned_model(model, signer, policy, tmp_path):
    signing.sign(model, signer=signer)
    with pytest.raises(FileNotFoundError):
        signing.verify(model, policy=policy, signature=tmp_path / "nothing.sig")


@pytest.mark.parametrize("target", ["folder", "link"])
def test_the_signature_does_not_take_the_place_of_anything_else(model, signer, tmp_path, target):
    out = tmp_path / "out.sig"
    if target == "folder":
        out.mkdir()
    else:
        out.symlink_to(model / "config.json")
    with pytest.raises(FileExistsError):
        signing.sign(model, signer=signer, out=out)
    assert (model / "config.json").read_bytes() == b"{}"


# Which model


def test_expect_pins_one_model(model, signer, policy):
    digest = f"sha256:{payload(signing.sign(model, signer=signer))['subject'][0]['digest']['sha256']}"
    assert signing.verify(model, policy=policy, expect=digest).subject.digest == digest
    other = "sha256:" + "0" * 64
    with pytest.raises(PolicyError, match=f"this is model {digest}, and {other} was expected"):
        signing.verify(model, policy=policy, expect=other)
    for text in (digest.removeprefix("sha256:"), digest.upper(), ""):
        with pytest.raises(ValueError, match="a digest is written sha256:"):
            signing.verify(model, policy=policy, expect=text)


def test_expect_refuses_an_older_model_of_the_same_signer(model, signer, policy):
    old = signing.sign(model, signer=signer)
    kept = (model / "config.json").read_bytes()
    (model / "config.json").write_bytes(b"new")
    signing.sign(model, signer=signer)
    wanted = signing.verify(model, policy=policy).subject.digest
    (model / "config.json").write_bytes(kept)
    old.write(model / "model.sig")
    assert signing.verify(model, policy=policy)
    with pytest.raises(PolicyError, match="was expected"):
        signing.verify(model, policy=policy, expect=wanted)


# Work in progress


class StopAskedError(Exception):
    pass


def stop(_):
    raise StopAskedError


def test_progress_tells_bytes_and_can_stop_the_work(model, signer, policy):
    seen = []
    signing.sign(model, signer=signer, progress=seen.append)
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("hashing", SIZE, SIZE)
    signing.verify(model, policy=policy, progress=seen.append)
    assert (seen[-1].phase, seen[-1].done) == ("verifying", SIZE)
    with pytest.raises(StopAskedError):
        signing.verify(model, policy=policy, progress=stop)
    before = (model / "model.sig").read_bytes()
    with pytest.raises(StopAskedError):
        signing.sign(model, signer=signer, progress=stop)
    assert (model / "model.sig").read_bytes() == before


def test_a_model_opened_from_a_source_leaves_the_source_open(model, signer, policy):
    with DiskSource(model) as source:
        signing.sign(source, signer=signer)
        assert signing.verify(source, policy=policy).files == len(FILES)
        assert source.names(ignore=frozenset({"model.sig"})) == tuple(sorted(FILES))


def test_a_refused_model_holds_no_descriptors(model, signer, policy, stranger):
    signing.sign(model, signer=signer)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of this process
    for _ in range(3):
        with pytest.raises(PolicyError, match="another signer"):
            signing.open_model(model, policy=stranger.public)
        with pytest.raises(DigestMismatchError, match="1 missing"):
            signing.open_model(model, policy=policy, ignore=["empty"])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - the same


def test_a_signed_model_is_no_path(model, signer, policy):
    signing.sign(model, signer=signer)
    with signing.open_model(model, policy=policy) as opened:
        with pytest.raises(TypeError, match="SignedModel"):
            os.fspath(opened)
        assert str(model) not in repr(opened)
    opened.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened.read("config.json")


def test_a_changed_signature_does_not_verify(model, signer, policy):
    bundle = signing.sign(model, signer=signer)
    document = json.loads(bundle.to_bytes())
    other = signer.sign(bundle.envelope.payload_type, bundle.envelope.payload + b" ")
    document["dsseEnvelope"]["signatures"] = json.loads(other.to_bytes())["dsseEnvelope"]["signatures"]
    (model / "model.sig").write_text(json.dumps(document))
    with pytest.raises(SignatureError, match="the signature of this model does not verify"):
        signing.verify(model, policy=policy)


def test_what_nobody_could_read_is_not_signed(model, signer, monkeypatch):
    from lifeseal.signing import _manifest

    monkeypatch.setattr(_manifest, "_MAX_RESOURCES", len(FILES) - 1)
    with pytest.raises(LimitError, match=f"{len(FILES)} entries, more than the limit of {len(FILES) - 1}"):
        signing.sign(model, signer=signer)
    monkeypatch.setattr(_manifest, "_MAX_RESOURCES", len(FILES))
    monkeypatch.setattr(_manifest, "_MAX_LISTED", 10)
    with pytest.raises(LimitError, match="18 characters, more than the limit of 10"):
        signing.sign(model, signer=signer)
    assert not (model / "model.sig").exists()


def test_one_text_is_not_several(model, signer, policy):
    with pytest.raises(TypeError, match="ignored paths are several"):
        signing.sign(model, signer=signer, ignore="empty")
    with pytest.raises(TypeError, match="files= are several"):
        signing.digest(model, files="empty")
