# SPDX-License-Identifier: Apache-2.0
"""Text formats of models that are neither JSON nor YAML: XML (PMML, OpenVINO) and TensorFlow's graphs as text.

Source: XML 1.0 sections 2.8, 4.2 and 4.3.3; XInclude 1.0; PMML 4.4; OpenVINO "IR"; Protocol Buffers "Text Format".
"""

import re
from html import unescape
from typing import Final

from lifeseal.serialization._beside import Reference, leads_outside
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown
from lifeseal.serialization._tensorflow import judge_operators

_DECLARATION: Final = re.compile(r"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']")
_HEAD: Final = 1 << 10
_ENCODINGS: Final = re.compile(r"utf-?8|utf-?16(-?[lb]e)?|us-ascii|ascii|iso-8859-\d+|latin-?1|windows-125\d|cp125\d", re.IGNORECASE)
_DOCTYPE: Final = re.compile(r"<!DOCTYPE\s+[^\s>\[]+\s*(?:(SYSTEM|PUBLIC)\s*(\"[^\"]*\"|'[^']*')\s*(\"[^\"]*\"|'[^']*')?)?", re.IGNORECASE)
_ENTITY: Final = re.compile(r"<!ENTITY\s+(%\s+)?\S+\s*(SYSTEM|PUBLIC)?\s*(\"[^\"]*\"|'[^']*')?")
_DEFINITIONS: Final = re.compile(r"https?://www\.(w3\.org|apple\.com|oasis-open\.org|dmg\.org)/[\w./+-]+", re.ASCII)
_INCLUDE: Final = "http://www.w3.org/2001/XInclude"
_ROOT: Final = re.compile(r"<(?!\?|!)([\w:.-]+)")
_NET: Final = re.compile(r"<net[\s>]")
_LAYER: Final = re.compile(r"<layer(?=[\s/>])(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+")
_FIELD: Final = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_CONSTANT: Final = re.compile(r"<data\s[^>]*")
_PLACE: Final = re.compile(r"\s(offset|size)\s*=\s*[\"'](\d{1,18})[\"']")
_OPSET: Final = re.compile(r"opset\d+|experimental|ie_internal_opset")
_COMMENTS: Final = re.compile(r"\A(?:\s*#[^\n]*\n)*")
_GRAPH: Final = re.compile(r"(?:saved_model_schema_version|meta_graphs|meta_info_def|graph_def|node|library|versions?)\s*(?::|\{|<)")
_OPERATOR: Final = re.compile(r"\bop(?:\s|#[^\n]*\n)*:(?:\s|#[^\n]*\n)*((?:(?:\"[^\"\n]*\"|'[^'\n]*')\s*)+)")
_NAME: Final = re.compile(r"[\"']([\w>./-]+)[\"']\s*", re.ASCII)


def markup_of(text: str) -> str:
    """Return the markup that a text begins as: ``xml``, ``graph`` or nothing."""
    start = _COMMENTS.sub("", text.lstrip("\ufeff"), count=1).lstrip()
    if start.startswith("<"):
        return "xml"
    return "graph" if _GRAPH.match(start) else ""


def judge_markup(markup: str, text: str, context: Context) -> str:
    """Judge a piece of text of some markup; returns its format, or nothing."""
    return _judge_xml(text, context) if markup == "xml" else _judge_graph(text, context)


def _judge_graph(text: str, context: Context) -> str:
    names = set()
    for match in _OPERATOR.finditer(text):
        name = _NAME.fullmatch(match[1])
        if name is None:
            context.say("tf-invalid", "'op'", f"the name of an operator that is written in parts or with escapes: {shown(match[1])}")
        else:
            names.add(name[1])
    judge_operators(names, context)
    return "tf-graph-text"


def _judge_xml(text: str, context: Context) -> str:
    declared = _DECLARATION.search(text[:_HEAD])
    if declared is not None and not _ENCODINGS.fullmatch(declared[1]):
        context.say("xml-encoding", "", f"says that it is written in {shown(declared[1])}, in which readers may see another document")
    for match in _DOCTYPE.finditer(text):
        identifier = ((match[3] if (match[1] or "").upper() == "PUBLIC" else match[2]) or "")[1:-1]
        if identifier and leads_outside(identifier) and not _DEFINITIONS.fullmatch(identifier):
            context.say("xml-external", "", f"refers to a definition elsewhere: {shown(identifier)}")
    for match in _ENTITY.finditer(text):
        if match[2]:
            context.say("xml-external", "", f"an entity that is read from elsewhere: {shown(match[3] or '')}")
        elif match[1] or "&" in (match[3] or "&") or "%" in (match[3] or ""):
            context.say("xml-entity", "", "an entity that stands for others, which can grow without end")
    if _INCLUDE in (unescape(text) if "&#" in text else text):
        context.say("xml-external", "", "includes other files")
    if _NET.search(text):
        _judge_openvino(text, context)
        return "openvino"
    root = _ROOT.search(text)
    return "pmml" if root is not None and root[1].rpartition(":")[2] == "PMML" else ""


def _judge_openvino(text: str, context: Context) -> None:
    stop = 0
    for match in _LAYER.finditer(text):
        fields = [(name, one or other) for name, one, other in _FIELD.findall(match[0])]
        versions = [value for name, value in fields if name == "version"] or [""]
        if not all(map(_OPSET.fullmatch, versions)):
            kind = next((value for name, value in fields if name == "type"), "")
            context.say("openvino-operator", repr(shown(kind)), "an operator of an extension, which a library must bring")
    for match in _CONSTANT.finditer(text):
        places = {name: int(value) for name, value in _PLACE.findall(match[0])}
        if places.keys() == {"offset", "size"}:
            stop = max(stop, sum(places.values()))
    if stop:
        context.refer(Reference(".bin", instead_of=".xml"), stop)
