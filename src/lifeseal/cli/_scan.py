# SPDX-License-Identifier: Apache-2.0
"""``scan``: could reading this run code?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, Refused

if TYPE_CHECKING:
    from lifeseal.serialization import FileReport, ScanReport

_CODES = {"safe": 0, "needs-trust": 1, "unsafe": 1, "unreadable": 2}
_SHOWN = 10
_WORST = ("safe", "needs-trust", "unreadable", "unsafe")


@click.command(
    epilog=examples(
        "lifeseal scan model/",
        "lifeseal scan checkpoint.pt --allow mypkg.Config",
        "lifeseal scan model/ --format sarif > scan.sarif",
    )
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--allow", multiple=True, metavar="GLOBAL", help="Raise files that use this global, as mypkg.Config, to needs-trust. Repeatable.")
@click.option("--format", "layout", type=click.Choice(["sarif"]), help="Print a SARIF 2.1.0 log instead.")
@common
def scan(output: Output, *, paths: tuple[Path, ...], allow: tuple[str, ...], layout: str | None) -> None:
    """Tell whether reading model files could run code, without running any.

    "safe" means: a format and content that cannot run code when read by its usual loader. It does not mean that the model is good.
    """
    from lifeseal import serialization

    reports = [serialization.scan(paths[0], allow=allow)] if len(paths) == 1 else [_report(path, allow) for path in paths]
    worst = max((report.verdict.value for report in reports), key=_WORST.index)
    files = [(report.path, file) for report in reports for file in report.files]
    counts = {verdict: sum(file.verdict.value == verdict for _, file in files) for verdict in _WORST}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [f"{worst}: {summary}"]
    for path, file in files:
        if file.verdict.value != "safe" or len(files) == 1:
            lines.append(f"{file.verdict.value:<12} {_shown(path, file)}  ({file.format})")
            lines += [f"{'':<12}   {finding.place or 'whole file'}: {finding.message}" for finding in file.findings[:_SHOWN]]
            lines += [f"{'':<12}   and {len(file.findings) - _SHOWN} more findings"] if len(file.findings) > _SHOWN else []
    if layout is not None:
        output.document(_sarif(files))
        if worst != "safe":
            raise Refused(_CODES[worst])
        return
    documents = [{"scanned": path, **file.to_json()} for path, file in files]
    output.result("scan", {"verdict": worst, "counts": counts, "files": documents}, tuple(lines), ok=worst == "safe")
    if worst != "safe":
        raise Refused(_CODES[worst])


def _report(path: Path, allow: tuple[str, ...]) -> "ScanReport":
    """Scan one of several paths: one that cannot be read never hides what the others are."""
    from lifeseal import serialization
    from lifeseal.errors import FormatError

    try:
        return serialization.scan(path, allow=allow)
    except (FormatError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        finding = serialization.Finding(rule="not-read", place="", message=f"cannot be read: {reason}")
        file = serialization.FileReport(path=path.name, format="unknown", verdict=serialization.Verdict.UNREADABLE, findings=(finding,))
        return serialization.ScanReport(path=str(path), files=(file,), decides=0)


def _sarif(files: "list[tuple[str, FileReport]]") -> dict[str, object]:
    import attrs

    from lifeseal import serialization

    named = tuple(attrs.evolve(file, path=_shown(path, file)) for path, file in files)
    return serialization.ScanReport(path="", files=named, decides=0).to_sarif()


def _shown(path: str, file: "FileReport") -> str:
    return str(Path(path) / file.path) if Path(path).is_dir() else path
