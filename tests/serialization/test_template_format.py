# SPDX-License-Identifier: Apache-2.0
"""The method format of a text that a template puts together: such a text can name attributes, and nobody reads it before it is there."""

import json

import pytest

from lifeseal.serialization import scan_bytes


@pytest.mark.parametrize(
    ("template", "rules"),
    [
        ("{{ ('{0._' + '_class_' + '_}').format(x) }}", {"template-computed"}),
        ("{{ ('{0._' ~ name ~ '_}').format_map(x) }}", {"template-computed"}),
        ("{% set f = '{0._' + '_class_' + '_}' %}{{ f.format(x) }}", {"template-computed"}),
        ("{{ ''.join(['{0._', '_class_', '_}']).format(x) }}", {"template-computed"}),
        ("{{ (['{0._', '_class_', '_}'] | join).format(x) }}", {"template-computed"}),
        ("{{ 'a {}'.format(x) }}", set()),
        ("{{ (x).format(y) }}", set()),
        ("{{ ('a' + 'b').upper() }}", set()),
    ],
)
def test_format_of_a_text_that_is_put_together_needs_trust(template, rules):
    report = scan_bytes(json.dumps({"chat_template": template}).encode())
    assert {finding.rule for finding in report.findings} == rules
