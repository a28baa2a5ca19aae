# SPDX-License-Identifier: Apache-2.0
"""The page: one file, no scripts, names from the log only as text."""

import json
from html.parser import HTMLParser

import pytest

from lifeseal import evidence
from lifeseal.cli._main import _run
from lifeseal.principles import Event

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</style></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "\u202egnp.exe",
    "a\x1b[31mred",
    "line\nend",
]
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "dl", "dt", "dd", "div", "b", "span", "section", "p"),
    *("ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "small", "br", "wbr", "i", "footer"),
}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page(tmp_path):
    def write(*events):
        with evidence.Log(tmp_path / "log") as log:
            for event in events:
                log.emit(event)
        return evidence.report(tmp_path / "log")

    return write


def event(*, outcome="fail", error="PolicyError", provisions=("uk-ai-cop:7.1",), primitive="lifeseal.signing.verify", **facts):
    return Event(time="2026-11-01T10:00:00.000000Z", primitive=primitive, outcome=outcome, error=error, provisions=provisions, facts=facts)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text_wherever_it_stands(page, text):
    plain = Page(page(event(subject="sha256:ab")))
    found = Page(
        page(
            event(subject=text, error=text, primitive=text, provisions=(text,)),
            event(model=text),
            event(outcome="pass", error="", primitive="lifeseal.evidence.track", tracked=text, subject=text),
            event(outcome="pass", error="", primitive="lifeseal.evidence.review", review=text, covers=(f"{text}=x",), reviewer=text, risks=(text,)),
            Event(time=text, primitive="p", outcome="pass", error="", provisions=(), facts={}),
        )
    )
    assert found.tags <= ALLOWED
    assert found.attributes <= plain.attributes | {"title"}
    assert not {name for name in found.attributes if name.startswith("on")} | ({"href", "src"} & found.attributes)
    assert all(c.isprintable() or c == "\n" for data in found.text for c in data)
    assert "\u202e" not in "".join(found.text)


class Places(HTMLParser):
    """Classes of the element that holds each text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [("", "")], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br", "wbr"}:
            self.open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        self.found.append((data, *self.open[-1]))


def test_no_long_word_of_a_log_runs_off_the_page(page):
    word = "w" * 150
    places = Places(
        page(
            event(subject=word, primitive=word, provisions=(word,)),
            event(outcome="pass", error="", primitive="lifeseal.evidence.track", tracked=word, subject="a"),
            event(outcome="pass", error="", primitive="p", review="r", covers=(f"{word}=b",), reviewer=word, risks=(word,)),
        )
    ).found
    held = [(tag, kind) for text, tag, kind in places if word in text]
    assert len(held) == 10  # refused: by, about; provision; artefact: digest, call; what changed; review: by, of, stale, risks
    assert all(tag == "code" or kind == "any" for tag, kind in held)
    assert any(text == "stale" for text, *_ in places)


def test_a_functions_name_breaks_behind_its_dots(page):
    assert "signing.<wbr>SignedModel.<wbr>verify<" in page(event(primitive="lifeseal.signing.SignedModel.verify"))


def test_the_page_stands_alone(page):
    text = page(event(subject="sha256:ab"))
    assert text.startswith("<!doctype html>")
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text


def test_refusals_come_first_and_the_limits_are_there(page):
    text = "".join(Page(page(event(subject="sha256:ab"), event(outcome="pass", error=""))).text)
    order = [
        text.index(words)
        for words in ("Refusals", "The 13 principles", "Provisions that this log speaks of", "Artefacts", "What this page does not say")
    ]
    assert order == sorted(order)
    assert "It is not compliance" in text
    assert all(f"{number}. " in text for number in range(1, 14))


def test_a_report_says_that_it_does_not_read_the_log_before(page, tmp_path, capsys):
    words = ["report", str(tmp_path / "log")]
    assert "goes on from another" not in page(event())
    assert _run(words) == 0
    assert "goes on from another" not in capsys.readouterr().out
    with evidence.Log(tmp_path / "log") as log:
        log.rotate(tmp_path / "old")
    assert "This log goes on from another, which was not read" in page(event())
    assert _run(words) == 0
    assert "goes on from another log, not read" in capsys.readouterr().out
    assert _run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["previous"] == evidence.verify(tmp_path / "old").head


def test_an_empty_log_has_a_page(page):
    assert "Nothing was refused" in page()


def test_long_logs_are_cut_and_say_so(page):
    text = page(*(event(subject=f"sha256:{n:04}") for n in range(300)))
    assert "The latest 100 of 300." in text
    assert "The last 100 of 300." in text
    assert len(text) < 200_000


@pytest.mark.parametrize(("refusals", "said"), [(5, None), (6, "and 1 earlier refusal;"), (12, "and 7 earlier refusals;")])
def test_the_command_names_the_latest_refusals_and_counts_the_others(page, tmp_path, capsys, refusals, said):
    page(*(event(subject=f"sha256:{n:02}") for n in range(refusals)))
    assert _run(["report", str(tmp_path / "log")]) == 0
    out = capsys.readouterr().out
    assert (out.count("refused      line"), "earlier" in out) == (5, said is not None)
    assert (said or "") in out


def test_the_command_writes_the_page_and_replaces_nothing_foreign(page, tmp_path, capsys):
    page(event(subject="sha256:ab"))
    words = ["report", str(tmp_path / "log"), "--html", str(tmp_path / "page.html"), "--oscal", str(tmp_path / "oscal")]
    assert _run(words) == 0
    assert "refused      line 2: lifeseal.signing.verify: PolicyError sha256:ab" in capsys.readouterr().out
    assert _run(words) == 0
    assert {path.name for path in (tmp_path / "oscal").iterdir()} == {
        "catalog.json",
        "mapping-collection.json",
        "component-definition.json",
        "assessment-results.json",
    }
    (tmp_path / "page.html").write_text("precious")
    assert _run(words) == 2
    assert (tmp_path / "page.html").read_text() == "precious"
