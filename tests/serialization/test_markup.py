# SPDX-License-Identifier: Apache-2.0
import pathlib

import pytest

from lifeseal import serialization
from support.scanning import judged

FILES = pathlib.Path(__file__).parent / "files"
PMML = '<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/></PMML>'
NET = (
    '<?xml version="1.0"?>\n<net name="m" version="11"><layers><layer id="0" name="w" type="Const" version="opset1">'
    '<data element_type="f32" shape="2" offset="0" size="8"/></layer></layers></net>'
)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('<?xml version="1.0" encoding="UTF-8"?>\n' + PMML, "pmml"),
        ("\ufeff <!-- a comment -->" + PMML, "pmml"),
        (NET.replace(' offset="0" size="8"', ""), "openvino"),
        ("<!DOCTYPE html><html><body>&amp;</body></html>", "text"),
        ('<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg/>', "text"),
        ('<!DOCTYPE svg [<!ENTITY ns "http://ns.adobe.com/x">]><svg xmlns="&ns;"/>', "text"),
        ('<!DOCTYPE log SYSTEM "log.dtd"><log/>', "text"),
        ('node {\n  name: "x"\n  op: "Placeholder"\n}\n', "tf-graph-text"),
    ],
)
def test_ordinary_documents_are_safe(content, kind):
    report = judged(content.encode())
    assert (report.format, report.verdict, report.findings) == (kind, "safe", ())


@pytest.mark.parametrize(
    ("lead", "rule", "verdict"),
    [
        ('<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "xml-external", "unsafe"),
        ("<!DOCTYPE PMML [<!ENTITY x SYSTEM 'http://host/x'>]>", "xml-external", "unsafe"),
        ('<!DOCTYPE PMML [<!ENTITY % x SYSTEM "http://host/x"> %x;]>', "xml-external", "unsafe"),
        ('<!DOCTYPE PMML [\n<!ENTITY\nx\nPUBLIC "a" "file:///x">]>', "xml-external", "unsafe"),
        ('<!DOCTYPE PMML SYSTEM "http://host/x.dtd">', "xml-external", "unsafe"),
        ('<!DOCTYPE PMML SYSTEM "../../x.dtd">', "xml-external", "unsafe"),
        ('<!DOCTYPE PMML PUBLIC "-//W3C//DTD" "file:///etc/passwd">', "xml-external", "unsafe"),
        ('<!-- --><x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></x>', "xml-external", "unsafe"),
        ('<!DOCTYPE PMML [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>', "xml-entity", "unreadable"),
        ('<!DOCTYPE PMML [<!ENTITY % a "x">]>', "xml-entity", "unreadable"),
        ('<?xml version="1.0" encoding="UTF-7"?>', "xml-encoding", "unreadable"),
    ],
)
def test_documents_that_make_their_reader_read_elsewhere_are_not_safe(lead, rule, verdict):
    report = judged((lead + PMML).encode())
    assert (report.verdict, report.rules) == (verdict, {rule})
    assert "encoding" in lead or judged((" " * (5 << 20) + lead + PMML).encode()).verdict != "safe"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_documents_are_read_in_their_own_encoding(encoding):
    content = '<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + PMML + "<!-- \u00e9 and much other text, so that it is one -->"
    assert judged(content.encode(encoding)).verdict == "unsafe"
    assert judged((PMML + "<!-- \u00e9 and much other text, so that it is one -->").encode(encoding)).verdict == "safe"


def test_a_network_of_openvino_and_its_numbers_belong_together(tmp_path):
    (tmp_path / "model.xml").write_text(NET)
    (tmp_path / "model.bin").write_bytes(b"\0\0\x80\x3f\xff\0\x80\x3f")
    report = serialization.scan(tmp_path)
    assert [(file.path, file.format, file.verdict.value) for file in report.files] == [
        ("model.bin", "tensor-data", "safe"),
        ("model.xml", "openvino", "safe"),
    ]
    (tmp_path / "model.bin").write_bytes(b"\0\0\x80\x3f\xff")
    assert serialization.scan(tmp_path).verdict.value == "unreadable"
    assert judged(NET.replace("opset1", "extension").encode()).rules == {"openvino-operator"}


def test_a_graph_as_text_is_judged_as_the_graph():
    report = serialization.scan(FILES / "graph.pbtxt")
    assert (report.format, report.verdict.value, report.findings) == ("tf-graph-text", "safe", ())
    content = (FILES / "graph.pbtxt").read_bytes()
    assert judged(content.replace(b"Placeholder", b"WriteFile")).verdict == "unsafe"
    assert judged(b"# a comment\n" + content.replace(b"Placeholder", b"WriteFile")).verdict == "unsafe"
    assert judged(content.replace(b'"Placeholder"', b'"Write" "File"')).verdict == "unreadable"
    assert judged(content.replace(b"Placeholder", b"\\127riteFile")).verdict == "unreadable"
    assert judged(b'To write a file, say op: "WriteFile".').verdict == "safe"


@pytest.mark.parametrize(
    "changed",
    [
        ('version="opset1"', ""),
        ('name="w"', 'name="a > b" version="extension"'),
        ('name="w" type="Const" version="opset1"', "name='version=\"opset1\"' type='Const' version='extension'"),
        ('version="opset1"', 'version="&#101;xtension"'),
    ],
)
def test_an_operator_of_an_extension_is_found_however_its_tag_is_written(changed):
    assert judged(NET.encode()).verdict == "safe"
    assert changed[0] in NET
    assert judged(NET.replace(*changed).encode()).rules == {"openvino-operator"}


def test_a_network_without_fields_of_its_own_is_one():
    assert judged(b'<net><layer id="0" type="Own" version="extension"/></net>').rules == {"openvino-operator"}


def test_an_inclusion_that_is_written_with_references_is_found():
    included = '<PMML xmlns:xi="http://www.w3.org/2001/XIncl&#117;de"><xi:include href="/etc/passwd"/></PMML>'
    assert judged(included.encode()).rules == judged(included.replace("&#117;", "u").encode()).rules == {"xml-external"}


def test_a_graph_as_text_may_hold_comments():
    assert judged(b'node {\n  op: # a comment\n    "PyFunc"\n}\n').rules == {"tf-reaches-out"}
