# SPDX-License-Identifier: Apache-2.0
"""Recording: every file once, by a name that means one place, or a refusal."""

import datetime as dt
import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import attrs
import pytest

from lifeseal import provenance
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance import Manifest, Origin

FILES = {"a.csv": b"1,2\n", "deep/b.csv": b"3,4\n" * 1000, "deep/er/empty": b"", "z": b"\0"}


def listed(manifest):
    return {file.path: (file.size, file.sha256) for file in manifest.files}


def expected(files):
    return {name: (len(content), hashlib.sha256(content).digest()) for name, content in files.items()}


def test_a_folder_is_recorded_file_by_file(manifest):
    assert listed(manifest) == expected(FILES)
    assert [file.path for file in manifest.files] == sorted(FILES)
    assert manifest.size == sum(map(len, FILES.values()))


def test_one_file_is_recorded_by_its_name(data, description):
    assert listed(provenance.record(data / "a.csv", description=description)) == expected({"a.csv": b"1,2\n"})


def test_several_inputs_are_recorded_below_their_names(data, tmp_path, description):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.csv").write_bytes(b"other")
    (tmp_path / "lone").write_bytes(b"lone")
    found = provenance.record([data, tmp_path / "more", tmp_path / "lone"], description=description)
    assert listed(found) == expected({**{f"data/{name}": content for name, content in FILES.items()}, "more/a.csv": b"other", "lone": b"lone"})


def test_several_inputs_verify_below_their_common_folder(data, tmp_path, description):
    (tmp_path / "lone").write_bytes(b"lone")
    found = provenance.record([data, tmp_path / "lone"], description=description)
    assert provenance.verify(found, tmp_path).files == 5


@pytest.mark.parametrize("second", ["folder with other files", "the same folder", "a file"])
def test_two_inputs_of_one_name_are_refused(second, data, tmp_path, description):
    other = tmp_path / "other" / "data"
    other.parent.mkdir()
    if second == "folder with other files":
        other.mkdir()
        (other / "unlike").write_bytes(b"")
    elif second == "a file":
        other.write_bytes(b"")
    else:
        other = data
    with pytest.raises(FormatError, match="'data' stands in two inputs"):
        provenance.record([data, other], description=description)


@pytest.mark.parametrize("inputs", [[], ["empty"]], ids=["no input", "empty folder"])
def test_nothing_to_record_is_refused(inputs, tmp_path, description):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="there is no file to record"):
        provenance.record([tmp_path / name for name in inputs], description=description)


@pytest.mark.parametrize("odd", ["link", "link to a folder", "FIFO", "name"])
def test_what_is_not_a_plain_file_is_refused(odd, data, description):
    provenance.record(data, description=description)
    if odd == "link":
        (data / "odd").symlink_to(data / "a.csv")
    elif odd == "link to a folder":
        (data / "odd").symlink_to(data / "deep")
    elif odd == "FIFO":
        os.mkfifo(data / "odd")
    else:
        (data / os.fsdecode(b"odd\xff")).write_bytes(b"")
    with pytest.raises(FormatError, match=r"data: 'odd.*(symbolic link|FIFO|not UTF-8)"):
        provenance.record(data, description=description)


def test_a_lone_fifo_is_refused_and_not_waited_for(tmp_path, description):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="pipe: a folder or a regular file was expected, not a FIFO"):
        provenance.record(tmp_path / "pipe", description=description)


def test_a_path_that_no_manifest_holds_is_refused(tmp_path, description):
    folder = tmp_path / ("d" * 250)
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(15):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f" * 200, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    (tmp_path / "other").write_bytes(b"")
    assert len(provenance.record(folder, description=description).files[0].path) == 3965
    with pytest.raises(LimitError, match="4216 characters, more than the limit of 4096"):
        provenance.record([folder, tmp_path / "other"], description=description)


def test_equal_data_gives_equal_bytes(data, manifest, description):
    again = provenance.record(data, description=description)
    assert again.to_bytes() == manifest.to_bytes()
    assert again.digest == f"sha256:{hashlib.sha256(manifest.to_bytes()).hexdigest()}"
    (data / "a.csv").write_bytes(b"1,3\n")
    assert provenance.record(data, description=description).digest != manifest.digest


def test_origins_are_kept_as_digests(data, manifest, description):
    derived = provenance.record(data / "a.csv", description=description, derived_from=[manifest, "sha256:" + "ab" * 32])
    assert derived.derived_from == (Origin.of(manifest), Origin(digest="sha256:" + "ab" * 32))
    assert Manifest.from_bytes(derived.to_bytes()) == derived


@pytest.mark.parametrize("origin", ["ab" * 32, "sha256:" + "AB" * 32, "md5:" + "ab" * 16, ""])
def test_an_origin_that_is_no_digest_is_refused(origin, data, description):
    with pytest.raises(ValueError, match="a digest is written sha256:"):
        provenance.record(data, description=description, derived_from=[origin])


def test_worker_processes_give_the_same_manifest(data, manifest, description):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert provenance.record(data, description=description, executor=pool).to_bytes() == manifest.to_bytes()


def test_progress_reaches_the_end_and_can_stop_the_work(data, description):
    seen = []
    provenance.record(data, description=description, progress=seen.append)
    assert (seen[-1].phase, seen[-1].done) == ("recording", seen[-1].total)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        provenance.record(data, description=description, progress=stop)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": " "}, "name= and source= must say something"),
        ({"source": ""}, "name= and source= must say something"),
        ({"name": "n" * 4097}, "name= has 4097 characters"),
        ({"notes": "n" * 65537}, "notes= has 65537 characters"),
        ({"source": "\udcff"}, "source= is not valid Unicode"),
        ({"obtained": dt.datetime(2026, 1, 1)}, "obtained= needs a time zone"),  # noqa: DTZ001 - that is the point
        ({"obtained": dt.datetime(999, 1, 1, tzinfo=dt.UTC)}, "obtained= is in the year 999"),
        ({"licence": ""}, "licence= takes an SPDX expression"),
        ({"licence": "CC-BY;rm"}, "licence= takes an SPDX expression"),
        ({"licence": "MIT\n"}, "licence= takes an SPDX expression"),
        ({"sensitivity": "secret"}, "sensitivity= is one of public, internal"),
        ({"custodian": "c" * 65537}, "custodian= has 65537 characters"),
        ({"permitted_uses": [" "]}, "permitted_uses= has an entry that says nothing"),
        ({"intended_uses": ["u"] * 1001}, "intended_uses= has 1001 entries"),
    ],
)
def test_a_description_that_could_not_be_read_back_is_refused(change, message, description):
    with pytest.raises(ValueError, match=message):
        attrs.evolve(description, **change)


@pytest.mark.parametrize(
    "change",
    [{"name": "n" * 4096}, {"notes": "é\n\x1b[31m"}, {"licence": "MIT AND (Apache-2.0 OR LicenseRef-x)"}, {"source": "\U0001f600"}],
)
def test_a_description_at_the_bounds_is_kept(change, data, description):
    made = provenance.record(data, description=attrs.evolve(description, **change))
    assert Manifest.from_bytes(made.to_bytes()) == made


def test_times_are_kept_to_the_second_in_utc(data, description):
    there = dt.timezone(dt.timedelta(hours=5, minutes=30))
    made = provenance.record(data, description=attrs.evolve(description, obtained=dt.datetime(2026, 1, 1, 2, 0, 9, 123456, tzinfo=there)))
    assert b'"obtained":"2025-12-31T20:30:09Z"' in made.to_bytes()
