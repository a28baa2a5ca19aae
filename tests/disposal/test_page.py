# SPDX-License-Identifier: Apache-2.0
"""The page for the file: everything a reader needs, nothing that runs, whatever the names are."""

import html.parser
import re

import attrs
import pytest

from lifeseal import disposal
from lifeseal.disposal import Derivative, KeyCopy, KnownDigests, Listing, Medium, Party, Removals, Searched, Stated

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[2J\u202e\r\n&amp;"
FRAME = {"html", "head", "meta", "title", "style", "body", "main", "header", "div", "h1", "h2", "section", "p", "footer"}
ELEMENTS = FRAME | {"dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "span", "code", "b", "br", "small"}


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.elements, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attributes)

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture
def made(desk, end):
    return end(desk.vault, request="REQ-1")


def filled(made):
    """A certificate with something hostile in every field of text."""
    nothing = Listing(first=(HOSTILE,), more=3)
    party = Party(name=HOSTILE, title=HOSTILE, organisation=HOSTILE, location=HOSTILE, contact=HOSTILE)
    found = made.disposal
    texts = {field.name: HOSTILE for field in attrs.fields(type(found)) if field.type is str and field.name not in {"method", "worst_key"}}
    search = Searched(places=(HOSTILE,), files=1, read=1, copies=nothing, unread=nothing)
    return attrs.evolve(
        made,
        disposal=attrs.evolve(
            found,
            **texts,
            status="partial",
            reasons=(HOSTILE,),
            sanitiser=party,
            custodian=party,
            techniques=(HOSTILE,),
            assets=tuple(attrs.evolve(asset, name=HOSTILE) for asset in found.assets),
            holders=tuple(attrs.evolve(held, kind=HOSTILE, assurance=HOSTILE, state=HOSTILE) for held in found.holders),
            keys=(KeyCopy(what=HOSTILE, holder=HOSTILE, state="unknown", evidence=HOSTILE),),
            trials=tuple(attrs.evolve(trial, what=HOSTILE, detail=HOSTILE) for trial in found.trials),
            search=search,
            second_search=search,
            removed=Removals(unlinked=nothing, gone=nothing, left=nothing, kept=nothing),
            derivatives=(Derivative(name=HOSTILE, kind=HOSTILE, digest=HOSTILE, how=HOSTILE, certain=False),),
            manifests=(KnownDigests(name=HOSTILE, digest=HOSTILE, files=1, records=True),),
            not_searched=(HOSTILE,),
            stated=Stated(media=(Medium(kind=HOSTILE),), destination=HOSTILE, backups=HOSTILE),
            limitations=(HOSTILE,),
        ),
    )


def test_it_says_what_the_certificate_says(made):
    text = " ".join(read(disposal.page(made)).text)
    found = made.disposal
    for said in ("Completed", "REQ-1", "model", found.vault, found.assurance, "none claimed", "Decommissioning", *found.limitations, made.digest):
        assert said in text
    for trial in found.trials:
        assert trial.what in text


def test_it_says_whether_anybody_checked_it(made, desk, end, signer):
    assert "Nobody has checked the signature" in disposal.page(made)
    made.write(desk.place / "c")
    checked = disposal.page(disposal.open_certificate(desk.place / "c", policy=signer.public))
    assert "Nobody has checked" not in checked
    assert f"signed, key {signer.public.fingerprint}" in checked
    assert "Unsigned: nobody vouches" in disposal.page(end(desk.vault, ["other"], signer=None))


@pytest.mark.parametrize("which", ["plain", "hostile"])
def test_nothing_in_it_runs_or_is_fetched(which, made):
    page = disposal.page(made if which == "plain" else filled(made))
    reader = read(page)
    assert reader.elements <= ELEMENTS
    assert reader.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope"}
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?:|javascript:", page)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)
    assert ("alert(1)" in "".join(reader.text)) == (which == "hostile")


def test_long_lists_are_cut_and_say_so(made):
    many = tuple(attrs.evolve(made.disposal.assets[0], name=f"n{number}") for number in range(1000))
    page = disposal.page(attrs.evolve(made, disposal=attrs.evolve(made.disposal, assets=many)))
    assert "and 988 more, in the certificate itself" in page
    assert len(page) < 40_000


def test_a_partial_one_shows_its_reasons(made):
    page = disposal.page(attrs.evolve(made, disposal=attrs.evolve(made.disposal, status="partial", reasons=("a copy is still there: x",))))
    assert "Not completed: partial" in page
    assert "a copy is still there: x" in page
