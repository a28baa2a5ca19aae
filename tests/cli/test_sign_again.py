# SPDX-License-Identifier: Apache-2.0
"""Signing again with an earlier signature at hand, and models that the Hub's cache holds."""

import shutil

from lifeseal.cli._output import listing


def test_says_what_changed_since_the_earlier_signature(cli, home):
    shutil.copyfile(home / "model/model.sig", home / "old.sig")
    (home / "model/weights.bin").unlink()
    (home / "model/new").write_bytes(b"")
    words = ("sign", home / "model", "--key", home / "k.key", "--previous", home / "old.sig")
    answer = cli(*words)
    assert answer.code == 0
    for line in ("added      new\n", "removed    weights.bin\n", "changed    none\n"):
        assert line in answer.out
    assert cli(*words, "--json").document["since_previous"] == {"added": ["new"], "removed": ["weights.bin"], "changed": []}
    assert cli(*words[:-2], "--json").document["since_previous"] is None
    assert cli(*words, "--hash", "blake3").code == 2
    assert cli(*words[:-1], home / "d.json").code == 2
    assert cli(*words[:-1], home / "nothing").code == 2


def test_a_long_list_is_cut_on_a_terminal(cli):
    assert listing([str(n) for n in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert listing(["a"]) == "a"


def test_a_snapshot_of_the_hub_is_verified_if_asked(cli, home):
    snapshot = home / "models--o--n/snapshots/main"
    snapshot.mkdir(parents=True)
    (home / "models--o--n/blobs").mkdir()
    for number, name in enumerate(("config.json", "weights.bin", "model.sig")):
        shutil.copyfile(home / "model" / name, home / "models--o--n/blobs" / f"{number:040}")
        (snapshot / name).symlink_to(f"../../blobs/{number:040}")
    refused = cli("verify", snapshot, "--key", home / "k.pub")
    assert (refused.code, "into the blobs of a Hub cache" in refused.err) == (2, True)
    assert cli("verify", snapshot, "--key", home / "k.pub", "--links", "hub-cache").code == 0
    assert cli("verify", snapshot, "--key", home / "k.pub", "--links", "follow").code == 2
