# SPDX-License-Identifier: Apache-2.0
"""Roots in places of this machine, from the command line."""

import pytest

from support import secret_service, swtpm


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("tpm:", "is written tpm:INDEX, as tpm:0x01500016"),
        ("tpm:22020118", "is written tpm:INDEX"),
        ("tpm:0x015000160000", "is written tpm:INDEX"),
        ("tpm:0x81000000", "an NV index lies from 0x01000000 to 0x01ffffff"),
        ("tpm:0x01500016?auth=1234", "auth is not known here"),
        ("tpm:0x01500016?hardware=yes", "hardware is true, or left out"),
        ("tpm:0x01500016?writes=many", "writes is a number"),
        ("tpm:0x01500016?owner-auth-file=/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_root_that_is_not_written_as_it_should_be(uri, said, cli, tmp_path):
    (tmp_path / "auth").write_text("secret")
    answer = cli("vault", "init", tmp_path / "vault", "--root", uri, "--root-secret-file", tmp_path / "auth")
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "vault").exists()


def test_the_value_is_asked_on_a_terminal_only(cli, tmp_path):
    answer = cli("vault", "init", tmp_path / "vault", "--root", "tpm:0x01500016")
    assert (answer.code, "the authorisation value of the index of 'tpm:0x01500016' is asked on a terminal" in answer.err) == (2, True)


@pytest.mark.parametrize("uri", ["keyring:", "keyring:a%0ab\n", "keyring:" + "x" * 201])
def test_a_keyring_root_has_a_name(uri, cli, tmp_path):
    answer = cli("vault", "init", tmp_path / "vault", "--root", uri)
    assert (answer.code, "a root in a keyring is written keyring:NAME" in answer.err) == (2, True)


@pytest.mark.skipif(not secret_service.is_there(), reason=secret_service.NO_SERVICE)
@pytest.mark.filterwarnings(secret_service.LEAKS)
def test_a_vault_in_a_keyring_from_init_to_certificate(cli, tmp_path, tmp_path_factory, monkeypatch):
    service = secret_service.SecretService(tmp_path_factory.mktemp("k"))
    try:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", service.address)
        (tmp_path / "plain").write_bytes(b"plain")
        options = ("--vault", tmp_path / "vault", "--root", "keyring:models")
        none = cli("vault", "init", tmp_path / "vault", *options[2:])
        assert (none.code, "this session has no keyring" in none.err, (tmp_path / "vault").exists()) == (3, True, False)
        service.start()
        made = cli("vault", "init", tmp_path / "vault", *options[2:], "--json")
        assert made.code == 0, made.err
        assert cli("vault", "seal", tmp_path / "plain", "--name", "a", *options).code == 0
        disposed = cli(
            *(
                "dispose",
                "a",
                *options,
                "--trigger",
                "decommission",
                "--custodian",
                "Data",
                "--unsigned",
                "--out",
                tmp_path / "cert",
                "--yes",
                "--json",
            ),
        )
        assert disposed.code == 0, disposed.err
        assert made.document["assurance"] in (tmp_path / "cert").read_text()
        service.lock()
        locked = cli("vault", "list", *options)
        assert (locked.code, "the keyring is locked" in locked.err) == (2, True)
    finally:
        service.stop()


@pytest.fixture
def tpm(tmp_path_factory):
    tpm = swtpm.Swtpm(tmp_path_factory.mktemp("t"))
    yield tpm
    tpm.stop()


@pytest.mark.skipif(not swtpm.is_there(), reason=swtpm.NO_SWTPM)
def test_a_vault_in_a_tpm_from_init_to_certificate_and_out_again(cli, tmp_path, tpm):
    root = f"tpm:0x01500016?tcti={tpm.tcti}&hardware=true&writes=50"
    (tmp_path / "auth").write_text("secret\n")
    (tmp_path / "wrong").write_text("not that\n")
    (tmp_path / "plain").write_bytes(b"plain")
    options = ("--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "auth")
    made = cli("vault", "init", tmp_path / "vault", *options[2:], "--json")
    assert made.code == 0, made.err
    assert made.document["assurance"].startswith("Hardware, as its operator declares")
    assert cli("vault", "seal", tmp_path / "plain", "--name", "a", *options).code == 0
    refused = cli("vault", "list", "--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "wrong")
    assert (refused.code, "the authorisation value is wrong" in refused.err, "not that" in refused.err) == (2, True, False)
    disposed = cli(
        *("dispose", "a", *options, "--trigger", "decommission", "--custodian", "Data", "--unsigned", "--out", tmp_path / "cert", "--yes", "--json"),
    )
    assert disposed.code == 0, disposed.err
    assert made.document["assurance"] in (tmp_path / "cert").read_text()
    assert disposed.document["irreversible_since"].startswith("20")
    moved = cli("vault", "rehome", *options, "--to", f"file:{tmp_path}/file.root", "--json")
    assert moved.code == 0, moved.err
    assert [(holder["kind"], holder["state"]) for holder in moved.document["holders"]] == [("tpm", "destroyed"), ("file", "in force")]
    again = cli("vault", "rehome", *options, "--to", f"file:{tmp_path}/file.root", "--json")
    assert (again.code, again.document["holders"]) == (0, moved.document["holders"])
    back = cli(
        *("vault", "rehome", "--vault", tmp_path / "vault", "--root", f"file:{tmp_path}/file.root"),
        *("--to", root, "--to-secret-file", tmp_path / "auth", "--json"),
    )
    assert (back.code, back.document["holder"]) == (0, "tpm")
    assert cli("vault", "verify", *options).code == 0
