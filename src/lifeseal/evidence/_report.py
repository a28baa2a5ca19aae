# SPDX-License-Identifier: Apache-2.0
"""The page that a person reads: what a log shows, refusals first, in one file without scripts."""

import datetime as dt
from collections.abc import Iterable, Sequence

from lifeseal import __version__
from lifeseal._io import StrPath
from lifeseal._io import html_text as _text
from lifeseal.evidence._style import STYLE
from lifeseal.evidence._summary import Summary, Tally, summarise
from lifeseal.principles import Provision, find, implements, judgements, note, principles, provisions

_WORDS = {"pass": "held", "fail": "refused", "inconclusive": "evidence only"}
_SHOWN = 100
_EARLIER = (
    "This log goes on from another, which was not read: changes, reviews and refusals recorded there do not show, nor that a review there is stale."
)
_LIMITS = (
    "It counts calls of this library that were logged. What else ran, and who ran it, it cannot see.",
    "A call that held says that the control worked for the artefact it was given, at that moment. It is not compliance, and no organisation's duty.",
    "A refusal is a control that worked: something was wrong and was not used.",
    "The log's chain was checked. A cut tail shows only against a head that was kept elsewhere; times are the machine's clock.",
)


@implements(evidences=("2.3", "12.1", "8.1"), limits="It shows what the log says, in words for people; it judges nothing that the log does not hold.")
def report(log: StrPath) -> str:
    """Write a page about a log: refusals, the principles with what the log evidences, artefacts, changes, time, limits.

    Args:
        log: An event log; its chain is checked.

    Returns:
        One self-contained HTML document, without scripts and without links to elsewhere.

    Raises:
        FormatError: See `verify`.
        LimitError: See `verify`.
        OSError: It cannot be read.
        TamperedError: See `verify`.
    """
    summary = summarise(log)
    note(head=summary.head)
    return render(summary)


def render(summary: Summary) -> str:
    """Write the page of a summary."""
    tallies = {tally.provision: tally for tally in summary.tallies}
    name = summary.log.rpartition("/")[2]
    parts = [
        _header(summary, name),
        _section("Refusals", _refusals(summary), "refusals"),
        _section("The 13 principles", _map(tallies), "principles"),
        _section("Provisions that this log speaks of", _provisions(summary.tallies), "provisions"),
        _section("Artefacts", _artefacts(summary), "artefacts"),
        _section("Prompts, configuration, reviews", _changes(summary), "changes"),
        _section("Time", _timeline(summary), "time"),
        _section("What this page does not say", _list((*_LIMITS, _EARLIER) if summary.previous else _LIMITS), "limits"),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Evidence from {_text(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>lifeseal {_text(__version__)} · head {_code(summary.head)}</footer>\n</body>\n</html>\n"
    )


def _code(value: object) -> str:
    return f"<code>{_text(value)}</code>"


def _any(value: object) -> str:
    """Write text of the log that may be one long word: it breaks anywhere, and its column keeps some room beside others that are long."""
    return f'<span class="any">{_text(value)}</span>'


def _function(primitive: str) -> str:
    """Write a function's name so that it breaks behind its dots first."""
    return f'<code class="any">{_text(primitive.removeprefix("lifeseal.")).replace(".", ".<wbr>")}</code>'


def _time(time: str) -> str:
    return f'<span class="time">{_text(time[:19].replace("T", " "))}</span>'


def _section(title: str, content: str, anchor: str) -> str:
    return f'<section id="{anchor}">\n<h2>{_text(title)}</h2>\n{content}\n</section>' if content else ""


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; cells are HTML already."""
    top = "".join(f'<th scope="col">{_text(word)}</th>' for word in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _header(summary: Summary, name: str) -> str:
    held = sum(tally.passed > 0 for tally in summary.tallies)
    figures = [
        (f"{summary.events:,}", "events"),
        (f"{summary.refused:,}", "refusals"),
        (f"{len(summary.artefacts):,}", "artefacts"),
        (f"{held}", "provisions with a control that ran"),
    ]
    boxes = "".join(f"<div><b>{number}</b><span>{_text(word)}</span></div>" for number, word in figures)
    facts = [("Log", _code(name)), ("From", _text(_moment(summary.first))), ("To", _text(_moment(summary.last))), ("Head", _code(summary.head))]
    facts += [("Goes on from", _code(summary.previous))] if summary.previous else []
    facts += [("Damage", _text(f"{summary.damaged} torn ends, closed by a later writer"))] if summary.damaged else []
    lines = "".join(f"<dt>{_text(term)}</dt><dd>{value}</dd>" for term, value in facts)
    return f'<header>\n<h1>What was done, and what was refused</h1>\n<dl>{lines}</dl>\n<div class="figures">{boxes}</div>\n</header>'


def _moment(time: str) -> str:
    try:
        return dt.datetime.fromisoformat(time).strftime("%d %B %Y, %H:%M:%S UTC")
    except ValueError:
        return time or "no event"


def _refusals(summary: Summary) -> str:
    if not summary.refused:
        return '<p class="calm">Nothing was refused.</p>'
    latest = summary.refusals[-_SHOWN:]
    more = f"<p>The latest {len(latest)} of {summary.refused:,}.</p>" if len(latest) < summary.refused else ""
    rows = [(_time(one.time), _text(_words(one.error)), _function(one.primitive), _code(one.about or "—"), str(one.line)) for one in reversed(latest)]
    return more + _table(("Time (UTC)", "Why", "By", "About", "Line"), rows)


def _words(error: str) -> str:
    """Write an error's class as words: DigestMismatchError becomes ``digest mismatch``."""
    plain = error.removesuffix("Error")
    return "".join(f" {c.lower()}" if c.isupper() else c for c in plain).strip() or error


def _map(tallies: dict[str, Tally]) -> str:
    cards = []
    for principle in principles():
        own = [provision for provision in provisions().values() if provision.principle == principle.number]
        dots = "".join(_dot(provision, tallies.get(provision.id)) for provision in own)
        cards.append(
            f'<div class="card"><p class="phase">{_text(principle.phase)}</p><h3>{principle.number}. {_text(principle.title)}</h3>'
            f'<div class="dots">{dots}</div></div>'
        )
    keys = (
        ("pass", "a control ran and held"),
        ("fail", "a control refused something"),
        ("inconclusive", "evidence only"),
        ("none", "nothing in this log"),
    )
    legend = "".join(f'<span><i class="dot {kind}"></i>{_text(words)}</span>' for kind, words in (*keys, ("people", "only people can do this")))
    return f'<p class="legend">{legend}</p><div class="map">{"".join(cards)}</div>'


def _dot(provision: Provision, tally: Tally | None) -> str:
    kind = tally.verdict if tally else "people" if judgements()[provision.id].level == "organisational" else "none"
    title = f"{provision.number} ({provision.force}): {provision.paraphrase}"
    return f'<span class="dot {kind}" title="{_text(title)}">{_text(provision.number)}</span>'


def _provisions(tallies: Iterable[Tally]) -> str:
    rows = [_provision(tally) for tally in tallies]
    return _table(("Provision", "What it asks", "Verdict", "Calls", "Lines"), rows) if rows else ""


def _provision(tally: Tally) -> tuple[str, ...]:
    known = provisions().get(tally.provision)
    asks = "<i>not known to this version</i>" if known is None else f"{_text(known.paraphrase)} <small>{_text(known.force)}</small>"
    label = (
        _any(tally.provision) if known is None else f"<b>{_text(known.number)}</b><br><small>{_text(find(known.id).en_id.partition(':')[2])}</small>"
    )
    counts = ((tally.passed, "held"), (tally.failed, "refused"), (tally.unfinished, "no verdict"), (tally.evidence, "evidence"))
    calls = "<br>".join(f"{count:,} {word}" for count, word in counts if count)
    verdict = f'<span class="verdict {tally.verdict}">{_text(_WORDS[tally.verdict])}</span>'
    return label, asks, verdict, f'<span class="time">{calls}</span>', ", ".join(map(str, tally.lines))


def _artefacts(summary: Summary) -> str:
    shown = summary.artefacts[-_SHOWN:]
    rows = [
        (
            _code(one.digest),
            "<br>".join(
                f"{_function(name)} {_text({'pass': '✓', 'fail': '✗', 'unfinished': '…'}[how])} {count:,}"
                for (name, how), count in sorted(one.calls.items())
            ),
            _time(one.last),
        )
        for one in reversed(shown)
    ]
    more = f"<p>The last {len(shown)} of {len(summary.artefacts):,}.</p>" if len(shown) < len(summary.artefacts) else ""
    return more + _table(("Digest", "Calls", "Last (UTC)"), rows) if rows else ""


def _changes(summary: Summary) -> str:
    content = ""
    if summary.changes:
        rows = [
            (_time(one.time), _any(one.name), _code(one.before[7:19] or "first"), _code(one.after[7:19]), str(one.line))
            for one in reversed(summary.changes)
        ]
        content += _table(("Time (UTC)", "What", "Before", "After", "Line"), rows)
    if summary.reviews:
        rows = [
            (
                _code(one.document[7:19]),
                _any(one.reviewer),
                _any(", ".join(one.covers)),
                f'<span class="verdict fail">stale</span><br>{_any(", ".join(one.stale))}'
                if one.stale
                else '<span class="verdict pass">current</span>',
                _any("; ".join(one.risks) or "none"),
            )
            for one in summary.reviews
        ]
        content += "<h3>Reviews</h3>" + _table(("Document", "Reviewer", "Covers", "State", "Open risks"), rows)
    return content


def _timeline(summary: Summary) -> str:
    if not summary.days:
        return ""
    most = max(sum(counts) for counts in summary.days.values())
    days = list(summary.days.items())[-_SHOWN:]
    bars = "".join(
        f'<tr><th scope="row">{_text(day)}</th><td class="bar">{_bars(counts, most)}</td><td>{sum(counts):,}</td></tr>' for day, counts in days
    )
    return f'<div class="wide"><table class="days"><tbody>{bars}</tbody></table></div>'


def _bars(counts: tuple[int, int, int], most: int) -> str:
    kinds = zip(("pass", "fail", "inconclusive"), counts, strict=True)
    return "".join(f'<span class="{kind}" style="width:{max(0.4, 100 * count / most):.1f}%"></span>' for kind, count in kinds if count)
