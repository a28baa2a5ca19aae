# SPDX-License-Identifier: Apache-2.0
"""``scan``: could reading this run code?"""

from pathlib import Path

import click

from lifeseal.cli._options import PATH, common
from lifeseal.cli._output import Output, Refused

_CODES = {"safe": 0, "needs-trust": 1, "unsafe": 1, "unreadable": 2}
_SHOWN = 10
_WORST = ("safe", "needs-trust", "unreadable", "unsafe")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--allow", multiple=True, metavar="GLOBAL", help="Raise files that use this global, as mypkg.Config, to needs-trust. Repeatable.")
@common
def scan(output: Output, *, paths: tuple[Path, ...], allow: tuple[str, ...]) -> None:
    """Tell whether reading model files could run code, without running any.

    "safe" means: a format and content that cannot run code when read by its usual loader. It does not mean that the model is good.
    """
    from lifeseal import serialization

    reports = [serialization.scan(path, allow=allow) for path in paths]
    worst = max((report.verdict.value for report in reports), key=_WORST.index)
    files = [(report.path, file) for report in reports for file in report.files]
    counts = {verdict: sum(file.verdict.value == verdict for _, file in files) for verdict in _WORST}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [f"{worst}: {summary}"]
    for _, file in files:
        if file.verdict.value != "safe" or len(files) == 1:
            lines.append(f"{file.verdict.value:<12} {file.path}  ({file.format})")
            lines += [f"{'':<12}   {finding.place or 'whole file'}: {finding.message}" for finding in file.findings[:_SHOWN]]
            lines += [f"{'':<12}   and {len(file.findings) - _SHOWN} more findings"] if len(file.findings) > _SHOWN else []
    documents = [{"scanned": path, **file.to_json()} for path, file in files]
    output.result("scan", {"verdict": worst, "counts": counts, "files": documents}, tuple(lines), ok=worst == "safe")
    if worst != "safe":
        raise Refused(_CODES[worst])
