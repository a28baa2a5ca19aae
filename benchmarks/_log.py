# SPDX-License-Identifier: Apache-2.0
"""The event log: what a tagged call costs, and a log's verification, beside floors that do the least of it. Run by the case ``log``."""

import subprocess
from typing import TYPE_CHECKING

from benchmarks._data import own, python
from benchmarks._measure import Contender, Row, compare

if TYPE_CHECKING:
    from benchmarks._cases import Options

_CALLS = 100_000
_TAGGED = (
    "import sys\nfrom lifeseal import evidence\nfrom lifeseal.principles import implements, note\n"
    "@implements('12.1', limits='A measurement.')\ndef work(n): note(subject='sha256:' + 'a' * 64, files=n)\n"
    "{start}for n in range(int(sys.argv[1])): work(n)\nevidence.stop()"
)
_START = "evidence.start(sys.argv[2])\n"
_PLAIN = "import sys\ndef work(n): pass\nfor n in range(int(sys.argv[1])): work(n)"
_LOGGING = (
    "import sys, logging\nlogging.basicConfig(filename=sys.argv[2], format='%(asctime)s %(message)s', level=20)\n"
    "for n in range(int(sys.argv[1])): logging.info('work %s %d', 'sha256:' + 'a' * 64, n)"
)
_MAKE = (
    "import sys\nfrom lifeseal import evidence\nfrom lifeseal.principles import Event\nlog = evidence.Log(sys.argv[2])\n"
    "more = {'time': '2026-11-01T10:00:00Z', 'facts': {'subject': 'sha256:' + 'a' * 64}}\n"
    "event = Event(primitive='lifeseal.signing.verify', provisions=('uk-ai-cop:7.1',), outcome='pass', error='', **more)\n"
    "for _ in range(int(sys.argv[1])): log.emit(event)\nlog.close()"
)
_CHAIN = (
    "import sys, json, hashlib\nhead = '0' * 64\nfor line in open(sys.argv[1], 'rb'):\n"
    "  assert json.loads(line)['prev'] == head\n  head = hashlib.sha256(line[:-1]).hexdigest()"
)


def measure_log(options: "Options") -> list[Row]:
    """Call a tagged function without and with a log, and verify a log, against the standard library's logging and a bare check of the chain."""
    path, count = options.folder / "log", str(_CALLS)
    calls = [
        Contender(name="lifeseal, no log", command=python(_TAGGED.format(start=""), count)),
        Contender(name="lifeseal, a log", command=python(_TAGGED.format(start=_START), count, options.folder / "calls")),
        Contender(name="logging.info to a file", command=python(_LOGGING, count, options.folder / "plain")),
        Contender(name="plain calls", command=python(_PLAIN, count)),
    ]
    rows = compare(f"{_CALLS} calls", calls, references=["logging.info to a file"], runs=options.runs)
    subprocess.run(python(_MAKE, str(options.records), path), check=True)
    reading = [
        Contender(name="lifeseal log verify", command=(own("lifeseal"), "log", "verify", str(path), "-q")),
        Contender(name="lifeseal report", command=(own("lifeseal"), "report", str(path), "--html", str(options.folder / "r.html"), "-q")),
        Contender(name="json.loads and sha256 of each line", command=python(_CHAIN, path)),
    ]
    return rows + compare(f"a log of {options.records} events", reading, references=["json.loads and sha256 of each line"], runs=options.runs)
