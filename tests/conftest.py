# SPDX-License-Identifier: Apache-2.0
"""Shared by all tests: example counts, skips that fail in CI, and the published vectors beside the checkout."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from support.skips import NO_VECTORS, is_allowed

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"

_quiet = {"deadline": None, "print_blob": True, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("default", max_examples=50, **_quiet)
hypothesis.settings.register_profile("long", max_examples=5000, **_quiet)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="many more examples, and the tests marked long")


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background job, and what tests start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.load_profile("long" if config.getoption("--long") else "default")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_unlisted_skip(report)
    return report


def _fail_unlisted_skip(report):
    if not (IN_CI and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if not is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI without a reason that tests/support/skips.py lists: {reason}"


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """The published vectors, beside the checkout; absent: skip, and in CI an error."""
    found = ROOT.parent / "shared" / "vectors"
    if not found.is_dir():
        if IN_CI:
            pytest.fail(NO_VECTORS)
        pytest.skip(NO_VECTORS)
    return found
