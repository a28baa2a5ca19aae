# SPDX-License-Identifier: Apache-2.0
"""People at the command line: from sealing to a request of access, and no id in anything that is printed or written."""

import json

import pytest

PEOPLE = ["ann@example.org", "bob@example.org", "eve@example.org"]


def test_no_id_is_printed_logged_or_written(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"who": PEOPLE[number % 3], "n": number} for number in range(9)]
    (tmp_path / "plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    vault, log = ("--vault", "v", "--root", f"file:{tmp_path}/root"), ("--log", "events")
    said = []

    def run(*words, code=0, out=None, **options):
        for more in ((), ("--json",)):
            if out is not None:
                (tmp_path / out).unlink(missing_ok=True)
            answer = cli(*words, *more, *log, **options)
            assert answer.code == code, answer
            said.append(answer.out + answer.err)
        return answer

    assert cli("vault", "init", "v", "--root", f"file:{tmp_path}/root").code == 0
    run("vault", "subjects", "seal", "--id-field", "who", "plain.jsonl", "sealed.jsonl", *vault, out="sealed.jsonl")
    assert cli("data", "record", "sealed.jsonl", "--records", "--out", "m.json", "--source", "s", "--licence", "MIT").code == 0
    (tmp_path / "ids").write_text("bob@example.org\n\nann@example.org\r\n")
    found = run("vault", "subjects", "find", "--subjects", "ids", "sealed.jsonl", "m.json", *vault)
    assert [person["files"][0]["records"] for person in found.document["people"]] == [[1, 4, 7], [0, 3, 6]]
    assert {edge["name"] for person in found.document["people"] for edge in person["edges"]} == {"sealed.jsonl"}
    run("vault", "subjects", "unseal", "--id-field", "who", "sealed.jsonl", "out.jsonl", *vault, out="out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()
    (tmp_path / "nobody").write_text("nobody@example.org\n")
    run("vault", "subjects", "find", "--subjects", "nobody", "sealed.jsonl", *vault, code=3)
    (tmp_path / "bad.jsonl").write_text('{"whom": "nobody@example.org"}\n')
    run("vault", "subjects", "seal", "--id-field", "who", "bad.jsonl", "x.jsonl", *vault, code=2)
    (tmp_path / "none").write_text("\n")
    run("vault", "subjects", "find", "--subjects", "none", "sealed.jsonl", *vault, code=2)
    (tmp_path / "odd").write_bytes(b"\xff\n")
    run("vault", "subjects", "find", "--subjects", "odd", "sealed.jsonl", *vault, code=2)
    for name in ("plain.jsonl", "out.jsonl", "ids", "nobody", "bad.jsonl"):
        (tmp_path / name).unlink()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"events", "sealed.jsonl", "m.json", "root"} <= {path.name for path in written}
    for person in [*PEOPLE, "nobody@example.org"]:
        assert person not in "".join(said)
        assert [path for path in written if person.encode() in path.read_bytes()] == []


def test_the_vault_says_how_many_people_it_has(cli, home):
    answer = cli("vault", "info", "--vault", home / "vault", "--root", f"file:{home}/root")
    assert "people     2 live, 0 erased" in answer.out
    answer = cli("vault", "info", "--vault", home / "vault", "--root", f"file:{home}/root", "--json")
    assert (answer.document["subjects"], answer.document["forgotten"]) == (2, 0)


def test_the_erased_are_skipped_marked_or_refused(cli, home):
    from lifeseal.erasure import FileRoot, Vault

    with Vault.open(home / "vault", root=FileRoot(home / "root")) as vault:
        vault.subjects.erase(["bob"])
    words = ("vault", "subjects", "unseal", home / "people.sealed.jsonl", home / "p.jsonl", "--vault", home / "vault", "--root", f"file:{home}/root")
    answer = cli(*words)
    assert (answer.code, (home / "p.jsonl").read_text()) == (0, '{"who": "ann"}\n')
    assert "1 record of people who were erased left out" in answer.out
    (home / "p.jsonl").unlink()
    assert cli(*words, "--erased", "mark").code == 0
    assert (home / "p.jsonl").read_text().splitlines()[1].startswith('{"lifeseal.erased/1":{"epoch":')
    (home / "p.jsonl").unlink()
    assert cli(*words, "--erased", "refuse").code == 4
    assert cli(*words, "--erased", "keep").code == 2


@pytest.mark.parametrize("what", ["seal", "unseal"])
def test_nothing_that_is_there_is_replaced(what, cli, home):
    given, more = ("people.jsonl", ("--id-field", "who")) if what == "seal" else ("people.sealed.jsonl", ())
    (home / "there.jsonl").write_text("mine")
    words = ("vault", "subjects", what, *more, "--vault", home / "vault", "--root", f"file:{home}/root", home / given)
    answer = cli(*words, home / "there.jsonl")
    assert (answer.code, (home / "there.jsonl").read_text()) == (2, "mine")
    assert "there.jsonl" in answer.err
    assert cli(*words, home / "new.jsonl").code == 0


def test_people_on_hold_are_not_disposed_of_and_their_ids_not_told(cli, home):
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    held = cli("vault", "hold", "--subjects", home / "ids", *vault, "--reason", "case 9")
    assert (held.code, "on hold: 1 person" in held.out) == (0, True)
    (home / "both").write_text("bob\nann\n")
    end = (
        "dispose",
        "--subjects",
        home / "both",
        *vault,
        "--trigger",
        "subject-erasure",
        "--custodian",
        "r",
        "--unsigned",
        "--yes",
        "--out",
        home / "e",
    )
    answer = cli(*end)
    assert (answer.code, "person 1 of those given (counted from 0) is on hold (case 9)" in answer.err) == (2, True)
    assert not (home / "e").exists()
    info = cli("vault", "info", *vault, "--json")
    assert (info.document["subjects"], info.document["people_on_hold"]) == (2, 1)
    assert "people     2 live, 0 erased, 1 on hold" in cli("vault", "info", *vault).out
    assert "ann" not in answer.out + answer.err + held.out + held.err
    assert cli("vault", "release", "--subjects", home / "ids", *vault).code == 0
    assert cli(*end).code == 0


def test_everybody_is_put_on_hold_and_released(cli, home):
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    assert "on hold: everybody" in cli("vault", "hold", "--everybody", *vault, "--reason", "case 9").out
    assert "everybody on hold" in cli("vault", "info", *vault).out
    answer = cli("vault", "release", "--everybody", *vault, "--json")
    assert (answer.code, answer.document["people"]) == (0, "all")
    assert cli("vault", "release", "--everybody", *vault).code == 2


@pytest.mark.parametrize("words", [(), ("live", "--everybody"), ("--subjects", "ids", "--everybody")])
def test_a_hold_is_on_one_kind_of_thing(words, cli, home):
    answer = cli("vault", "hold", *words, "--vault", home / "vault", "--root", f"file:{home}/root", "--reason", "r")
    assert (answer.code, "assets NAME" in answer.err) == (2, True)
