# SPDX-License-Identifier: Apache-2.0
"""Licences as others write them become one SPDX expression that says no less, or a reference that keeps their letters."""

import datetime as dt
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal.errors import FormatError
from lifeseal.provenance._licences import is_expression, licence_expression

NOW = dt.datetime(2026, 11, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=5)))


@pytest.mark.parametrize(
    ("texts", "expression"),
    [
        (["MIT"], "MIT"),
        (["MIT OR (Apache-2.0 AND GPL-2.0-or-later WITH Classpath-exception-2.0)"],) * 2,
        (["https://spdx.org/licenses/Apache-2.0.html"], "Apache-2.0"),
        (["http://spdx.org/licenses/MIT"], "MIT"),
        (["https://creativecommons.org/licenses/by/4.0/"], "CC-BY-4.0"),
        (["https://creativecommons.org/licenses/by-nc-sa/3.0/deed.en"], "CC-BY-NC-SA-3.0"),
        (["http://creativecommons.org/publicdomain/zero/1.0/"], "CC0-1.0"),
        (["https://www.apache.org/licenses/LICENSE-2.0.txt"], "Apache-2.0"),
        (["https://example.org/our/terms?v=4.0"], "LicenseRef-example.org-our-terms-v-4.0"),
        (["Our terms / 2024"], "LicenseRef-Our-terms-2024"),
        (["MIT", "Apache-2.0", "MIT"], "MIT AND Apache-2.0"),
        (["MIT OR Apache-2.0", "GPL-2.0-only"], "(MIT OR Apache-2.0) AND GPL-2.0-only"),
        (["MIT OR"], "LicenseRef-MIT-OR"),
        (["(("], "LicenseRef-not-stated"),
        ([], "LicenseRef-not-stated"),
        (["x" * 400], f"LicenseRef-{'x' * 160}"),
    ],
    ids=str,
)
def test_licences_become_one_expression(texts, expression):
    expression = expression[0] if isinstance(expression, list) else expression
    assert licence_expression(texts) == expression
    assert is_expression(expression)


@pytest.mark.parametrize("text", ["", "AND", "MIT AND", "OR MIT", "MIT MIT", "(MIT", "MIT)", "()", "MIT () OR X", "MIT ( OR X )", "a/b", "é"])
def test_what_does_not_parse_is_no_expression(text):
    assert not is_expression(text)


def test_a_long_text_costs_no_more_than_its_length():
    begun = time.monotonic()
    for text in ("https://x" + "/" * 3_000_000 + "x", "https://creativecommons.org/licenses/" + "by-" * 1_000_000, "(" * 3_000_000, "- " * 1_000_000):
        assert is_expression(licence_expression([text]))
    assert time.monotonic() - begun < 2


@given(st.lists(st.text(max_size=300), max_size=4))
def test_whatever_is_written_there_can_be_recorded_under(texts):
    found = licence_expression(texts)
    assert is_expression(found)
    provenance.Description(name="n", source="s", obtained=NOW, licence=found)


@pytest.mark.parametrize(
    ("licence", "expression"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        (["MIT", "Apache-2.0"], "MIT AND Apache-2.0"),
        ({"@type": "CreativeWork", "url": "https://spdx.org/licenses/MIT.html", "name": "The MIT licence"}, "MIT"),
        ({"@type": "CreativeWork", "name": "Our own"}, "LicenseRef-Our-own"),
        (None, "LicenseRef-not-stated"),
    ],
    ids=str,
)
def test_a_croissant_tells_its_licence(licence, expression, tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"@context": {}, "name": "d", "license": licence}))
    assert provenance.describe(tmp_path / "d.json", obtained=NOW)[0].licence == expression


def test_a_card_tells_its_licences(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: [cc-by-4.0, mit]\n---\n")
    assert provenance.describe(tmp_path / "README.md", obtained=NOW)[0].licence == "cc-by-4.0 AND mit"
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: our terms\n---\n")
    assert provenance.describe(tmp_path / "README.md", obtained=NOW)[0].licence == "LicenseRef-our-terms"


@pytest.mark.parametrize("value", ["2024-99-99", '!!float "zz"', "0x_", "9" * 5000, '!!timestamp "zz"', '!!bool "zz"'], ids=lambda text: text[:12])
def test_a_card_whose_values_cannot_be_read_is_refused_by_name(value, tmp_path):
    (tmp_path / "README.md").write_text(f"---\nx: {value}\n---\n")
    with pytest.raises(FormatError, match=r"README\.md: a head of YAML"):
        provenance.describe(tmp_path / "README.md", obtained=NOW)


@pytest.mark.parametrize("kind", ["croissant", "cyclonedx", "spdx", "slsa"])
def test_equal_manifests_give_equal_exports_whatever_the_zone_of_their_time(kind, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    made = provenance.record(tmp_path / "x", description=provenance.Description(name="n", source="s", obtained=NOW, licence="MIT"))
    read = provenance.Manifest.from_bytes(made.to_bytes())
    assert made == read
    assert provenance.export(made, kind, manifest_name="m.json") == provenance.export(read, kind, manifest_name="m.json")
