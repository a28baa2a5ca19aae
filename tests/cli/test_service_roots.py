# SPDX-License-Identifier: Apache-2.0
"""Roots in tokens and services, from the command line."""

import pytest

from support import openbao, softhsm

MODULE = "module-path=/usr/lib/softhsm/libsofthsm2.so"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("pkcs11:", "is written pkcs11:token=LABEL?module-path=LIBRARY"),
        ("pkcs11:token=a", "is written pkcs11:token=LABEL?module-path=LIBRARY"),
        (f"pkcs11:?{MODULE}", "is written pkcs11:token=LABEL?module-path=LIBRARY"),
        ("pkcs11:token=a?module-path=lib.so", "module-path is an absolute path"),
        (f"pkcs11:token=a;token=b?{MODULE}", "'token=b' is not"),
        (f"pkcs11:token=?{MODULE}", "'token=' is not"),
        (f"pkcs11:token?{MODULE}", "'token' is not"),
        (f"pkcs11:token=%ff?{MODULE}", "token is not UTF-8"),
        (f"pkcs11:token=a;object=b?{MODULE}", "object is not known here"),
        (f"pkcs11:token=a?{MODULE}&pin-value=1234", "holds no pin-value: the PIN is asked on a terminal"),
        (f"pkcs11:token=a?{MODULE}&pin-source=file:pin", "holds no pin-source"),
        (f"pkcs11:token=a?{MODULE}&hardware=yes", "hardware is true, or left out"),
        (f"pkcs11:token=a?{MODULE}&retention-days=-1", "retention-days is a number of days"),
        (f"pkcs11:token=a?{MODULE}&retention-days=99999", "retention-days is a number of days"),
        (f"pkcs11:token=a?{MODULE}", "the PIN of"),
        ("aws-kms:", "is written aws-kms:REGION"),
        ("aws-kms:eu west", "is written aws-kms:REGION"),
        ("aws-kms:eu-west-2?days=3", "AWS waits 7 to 30 days"),
        ("aws-kms:eu-west-2?prefix=a/b", "a prefix has"),
        ("aws-kms:eu-west-2?profile=nobody-has-this-name", "nobody-has-this-name"),
        ("aws-kms:eu-west-2?account=1", "account is not known here"),
        ("openbao:", "is written openbao:https://HOST:8200/MOUNT"),
        ("openbao:https://bao.example.org", "is written openbao:https://HOST:8200/MOUNT"),
        ("openbao:bao.example.org/transit", "is written openbao:https://HOST:8200/MOUNT"),
        ("openbao:https://token@bao.example.org/transit", "is written openbao:https://HOST:8200/MOUNT"),
        ("openbao:https://bao.example.org/transit?token=x", "token is not known here"),
        ("openbao:https://bao.example.org/transit", "the token of"),
    ],
)
def test_a_root_that_is_not_written_as_it_should_be(uri, said, cli, tmp_path):
    answer = cli("vault", "init", tmp_path / "vault", "--root", uri)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "vault").exists()


@pytest.mark.skipif(not softhsm.is_there(), reason=softhsm.NO_SOFTHSM)
def test_a_vault_under_a_token_from_init_to_certificate(cli, tmp_path):
    root = f"pkcs11:token={softhsm.new_token().replace(' ', '%20')}?{MODULE}"
    (tmp_path / "pin").write_bytes(softhsm.PIN + b"\n")
    (tmp_path / "wrong").write_bytes(b"wrong pin\n")
    (tmp_path / "plain").write_bytes(b"plain")
    options = ("--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "pin")
    made = cli("vault", "init", tmp_path / "vault", *options[2:], "--json")
    assert made.code == 0
    assert made.document["assurance"].startswith("Best effort: a PKCS#11 token")
    assert cli("vault", "seal", tmp_path / "plain", "--name", "a", *options).code == 0
    refused = cli("vault", "list", "--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "wrong")
    assert (refused.code, "the PIN is wrong" in refused.err) == (2, True)
    assert "wrong pin" not in refused.err
    disposed = cli(
        *("dispose", "a", *options, "--trigger", "decommission", "--custodian", "Data", "--unsigned", "--out", tmp_path / "cert", "--yes", "--json"),
    )
    assert disposed.code == 0, disposed.err
    assert made.document["assurance"] in (tmp_path / "cert").read_text()
    gone = cli("vault", "unseal", "a", "--out", tmp_path / "out", *options)
    assert (gone.code, "was erased at epoch" in gone.err) == (4, True)


@pytest.mark.skipif(openbao.program() is None, reason=openbao.NO_OPENBAO)
def test_a_vault_under_openbao_from_init_to_certificate(cli, tmp_path):
    (tmp_path / "plain").write_bytes(b"plain")
    (tmp_path / "token").write_text(openbao.TOKEN + "\n")
    (tmp_path / "wrong").write_text("wrong token\n")
    with openbao.in_memory() as server:
        root = f"openbao:{server.url}/{server.mount()}?retention-days=14"
        options = ("--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "token")
        made = cli("vault", "init", tmp_path / "vault", *options[2:], "--json")
        assert made.code == 0, made.err
        assert "by more than 14 days" in made.document["assurance"]
        assert cli("vault", "seal", tmp_path / "plain", "--name", "a", *options).code == 0
        refused = cli("vault", "list", "--vault", tmp_path / "vault", "--root", root, "--root-secret-file", tmp_path / "wrong")
        assert (refused.code, "this token may not" in refused.err, "wrong token" in refused.err) == (2, True, False)
        disposed = cli(
            *("dispose", "a", *options, "--trigger", "decommission", "--custodian", "Data", "--unsigned", "--out", tmp_path / "cert", "--yes"),
        )
        assert disposed.code == 0, disposed.err
        assert made.document["assurance"] in (tmp_path / "cert").read_text()
        gone = cli("vault", "unseal", "a", "--out", tmp_path / "out", *options)
        assert (gone.code, "was erased at epoch" in gone.err) == (4, True)
    assert cli("vault", "list", *options).code == 3


def test_openbao_in_the_clear_is_for_loopback_alone(cli, tmp_path):
    (tmp_path / "token").write_text("t\n")
    answer = cli("vault", "init", tmp_path / "vault", "--root", "openbao:http://bao.example.org/transit", "--root-secret-file", tmp_path / "token")
    assert (answer.code, "an https address was expected" in answer.err) == (2, True)
