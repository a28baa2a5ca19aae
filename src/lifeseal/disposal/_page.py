# SPDX-License-Identifier: Apache-2.0
"""A certificate as one page for the file: no scripts, nothing fetched, printable on A4."""

from collections.abc import Iterable, Sequence

from lifeseal._io import html_text
from lifeseal.disposal._certificate import Certificate
from lifeseal.disposal._page_style import STYLE
from lifeseal.disposal._statement import Disposal
from lifeseal.disposal._values import Listing, Party, Searched
from lifeseal.principles import implements, note

_SHOWN = 12
_STATUS = {"completed": "Completed", "partial": "Not completed: partial", "pending": "Not final: pending"}
_TRIGGERS = {"decommission": "Decommissioning", "transfer": "Transfer of ownership", "subject-erasure": "Erasure request"}
_HOLDS = {"in force": "holds the root now"}


@implements(
    evidences=("13.1", "13.2"), limits="It shows what the certificate says; unless it was opened under a policy, nobody has checked who says it."
)
def page(certificate: Certificate) -> str:
    """Write a certificate as a page.

    Args:
        certificate: From `open_certificate`; of one from `Certificate.load` the page says that nobody checked it.

    Returns:
        One self-contained HTML document, without scripts and without links to elsewhere. Long lists are cut, and say so.
    """
    found = certificate.disposal
    note(vault=found.vault, status=found.status)
    parts = [
        _header(certificate),
        _section("What was disposed of", _assets(found)),
        _section("How", _facts(_how(found))),
        _section("Keys and their copies", _keys(found)),
        _section("Verified how", _verified(found)),
        _section("Plaintext copies", _copies(found)),
        _section("Not erased, and still known", _left(found)),
        _section("What this does not reach", _list(found.limitations)),
        _section("Media and categories, as stated", _facts(_stated(found))),
        _section("Who answers for it", _people(certificate)),
    ]
    body = "\n".join(part for part in parts if part)
    title = f"Disposal certificate: {', '.join(asset.name for asset in found.assets[:3])}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html_text(title[:200])}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>{html_text(found.tool)} · certificate {_code(certificate.digest)}</footer>\n</body>\n</html>\n"
    )


def _code(value: object) -> str:
    return f"<code>{html_text(value)}</code>"


def _name(value: object) -> str:
    return f'<span class="name">{html_text(value)}</span>'


def _figure(text: str) -> str:
    return f'<span class="figure">{html_text(text)}</span>'


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{html_text(title)}</h2>\n{content}\n</section>" if content else ""


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    """Write names and values; values are HTML already, and empty ones are left out."""
    found = "".join(f"<dt>{html_text(name)}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f"<dl>{found}</dl>" if found else ""


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html_text(item)}</li>' for item in items)}</ul>" if items else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, more: int = 0) -> str:
    """Write a table; cells are HTML already."""
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{html_text(word)}</th>' for word in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    rest = f'<p class="more">and {more:,} more, in the certificate itself</p>' if more else ""
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{rest}'


def _time(text: str) -> str:
    return html_text(f"{text[:19].replace('T', ' ')} UTC" if text.endswith("Z") and "T" in text else text)


def _header(certificate: Certificate) -> str:
    found = certificate.disposal
    reasons = _list(found.reasons[:_SHOWN])
    unchecked = ""
    if certificate.bundle is None:
        unchecked = '<p class="warn">Unsigned: nobody vouches for this page.</p>'
    elif certificate.signer is None:
        unchecked = '<p class="warn">Nobody has checked the signature: this page shows what the file claims.</p>'
    facts = _facts(
        (
            ("Occasion", html_text(_TRIGGERS.get(found.trigger, found.trigger))),
            ("Request", html_text(found.request)),
            ("Begun", _time(found.started)),
            ("Finished", _time(found.finished)),
            ("Irreversible", f"not before {_time(found.irreversible_since)}" if found.irreversible_since != "unknown" else "from when on is unknown")
            if found.vault
            else ("", ""),
        )
    )
    worst = f"<small>worst key copy: {html_text(found.worst_key)}</small>" if found.worst_key else ""
    return (
        f"<header>\n<div><h1>Certificate of disposal</h1>{facts}</div>\n"
        f'<p class="status {html_text(found.status)}">{_STATUS[found.status]}{worst}</p>\n</header>\n{unchecked}{reasons}'
    )


def _assets(found: Disposal) -> str:
    kinds = {"sealed": "sealed in the vault", "plaintext": "in plaintext", "subject": "one person's records"}
    rows = [
        (
            _name(asset.name),
            html_text(kinds[asset.kind]),
            "" if asset.kind == "subject" else f"{asset.files:,}",
            "" if asset.kind == "subject" else _figure(f"{asset.size:,}"),
            "yes" if asset.born_encrypted else "no",
            "" if asset.slot is None else _figure(f"{asset.slot} / {asset.generation}"),
            _code(f"sha256:{asset.sha256.hex()}"),
        )
        for asset in found.assets[:_SHOWN]
    ]
    head = ("Name", "Kind", "Files", "Bytes", "Born encrypted", "Slot / use", "Root digest")
    return _table(head, rows, more=max(0, len(found.assets) - _SHOWN))


def _how(found: Disposal) -> tuple[tuple[str, str], ...]:
    return (
        ("Method (NIST SP 800-88)", html_text(found.method)),
        ("Technique", "<br>".join(map(html_text, found.techniques))),
        ("Encryption", html_text(f"{found.algorithm}, {found.key_bits}-bit keys" if found.algorithm else "")),
        ("Vault", _code(found.vault) if found.vault else ""),
        ("Epochs", f"keys opened at {found.epoch_before}, open no more from {found.epoch_after}" if found.vault else ""),
        ("Assurance", html_text(found.assurance)),
        ("Tool", html_text(found.tool)),
        ("Journal", _code(found.journal) if found.journal else ""),
        ("Event log", _code(found.log_head) if found.log_head else ""),
    )


def _keys(found: Disposal) -> str:
    copies = [
        (html_text(copy.what), _name(copy.holder), f'<b class="{html_text(copy.state)}">{html_text(copy.state)}</b>', html_text(copy.evidence))
        for copy in found.keys[:_SHOWN]
    ]
    holders = [
        (
            html_text(held.kind),
            _figure(f"{held.since} to {held.until or 'now'}"),
            html_text(_HOLDS.get(held.state, held.state)),
            html_text(held.assurance),
        )
        for held in found.holders[:_SHOWN]
    ]
    worst = f"<p>The worst copy decides: <b>{html_text(found.worst_key)}</b>.</p>" if found.keys else ""
    table = _table(("Copy of", "With", "State", "Because"), copies, more=max(0, len(found.keys) - _SHOWN))
    return table + worst + _table(("Root held by", "Epochs", "Its root", "Assurance"), holders, more=max(0, len(found.holders) - _SHOWN))


def _verified(found: Disposal) -> str:
    rows = [
        (html_text(trial.what), f'<b class="{html_text(trial.answer.replace(" ", "-"))}">{html_text(trial.answer)}</b>', html_text(trial.detail))
        for trial in found.trials
    ]
    return f"<p>{html_text(found.verification)}.</p>{_table(('Tried', 'Answer', 'Seen'), rows)}"


def _copies(found: Disposal) -> str:
    removed = found.removed
    return _facts(
        (
            ("Searched before", _search(found.search)),
            ("Searched after", _search(found.second_search)),
            ("Unlinked", _few(removed.unlinked)),
            ("Gone already", _few(removed.gone)),
            ("Left", _few(removed.left)),
            ("Kept on purpose", _few(removed.kept)),
            ("Not searched", html_text("; ".join(found.not_searched))),
        )
    )


def _search(search: Searched | None) -> str:
    if search is None:
        return ""
    count = len(search.copies.first) + search.copies.more
    places = html_text(", ".join(search.places[:_SHOWN])) + (f" and {len(search.places) - _SHOWN} more" if len(search.places) > _SHOWN else "")
    found = f"{places}: {search.files:,} files, {count:,} {'copy' if count == 1 else 'copies'}"
    unread = _few(search.unread)
    return f"{found}; could not be read: {unread}" if unread else found


def _few(listing: Listing) -> str:
    """Write the first texts of a list, each on a line."""
    count = len(listing.first) + listing.more
    rest = f"<br>and {count - _SHOWN:,} more, in the certificate itself" if count > _SHOWN else ""
    return "<br>".join(_code(text) for text in listing.first[:_SHOWN]) + rest


def _left(found: Disposal) -> str:
    derivatives = [
        (html_text(one.kind), _name(one.name), html_text(one.how if one.certain else f"perhaps {one.how}"), _code(one.digest))
        for one in found.derivatives[:_SHOWN]
    ]
    manifests = [
        (
            "manifest",
            _name(one.name),
            f"digests of {one.files:,} files{' and of records' if one.records else ''}, without a key",
            _code(one.digest),
        )
        for one in found.manifests[:_SHOWN]
    ]
    more = max(0, len(found.derivatives) - _SHOWN) + max(0, len(found.manifests) - _SHOWN)
    return _table(("What", "Name", "How", "Digest"), [*derivatives, *manifests], more=more)


def _stated(found: Disposal) -> tuple[tuple[str, str], ...]:
    stated = found.stated
    media = [
        ", ".join(filter(None, (medium.kind, medium.manufacturer, medium.model, medium.serial, medium.property_number, medium.source)))
        for medium in stated.media[:_SHOWN]
    ]
    return (
        ("Media", "<br>".join(map(html_text, media))),
        ("Confidentiality before", html_text(stated.confidentiality_before)),
        ("Confidentiality after", html_text(stated.confidentiality_after)),
        ("Destination", html_text(stated.destination)),
        ("Backups", html_text(stated.backups)),
    )


def _people(certificate: Certificate) -> str:
    found = certificate.disposal
    signed = "unsigned"
    if certificate.bundle is not None:
        signed = "signature not checked" if certificate.signer is None else f"signed, key {certificate.signer.fingerprint}"
    rows = [("Sanitiser", found.sanitiser, found.finished, signed)]
    for one in certificate.cosignatures:
        how = "co-signature not checked" if one.signer is None else f"co-signed, key {one.signer.fingerprint}"
        rows.append((one.role.capitalize(), one.party, one.time, how))
    roles = {one.role for one in certificate.cosignatures}
    rows += [] if "custodian" in roles else [("Data Custodian", found.custodian, "", "")]
    rows += [] if "verifier" in roles else [("Verifier", Party(name=""), "", "")]
    for word, vouched in (("Approved by", found.approval), ("Received by", found.receipt)):
        rows += [] if vouched is None else [(word, vouched.by, "", f"signed, key {vouched.signer}")]
    cells = [
        (html_text(role), _party(party), _time(time), html_text(how) if how else '<span class="line"></span>') for role, party, time, how in rows
    ]
    return _table(("Role", "Name, title, place, contact", "Date", "Signature"), cells)


def _party(party: Party) -> str:
    about = ", ".join(filter(None, (party.title, party.organisation, party.location, party.contact)))
    return f"{_name(party.name)}<br><small>{html_text(about)}</small>" if about else _name(party.name)
