# SPDX-License-Identifier: Apache-2.0
"""Events as plain log records, which OpenTelemetry's handler exports with their attributes."""

import logging

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from lifeseal import evidence
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note


@implements("8.3", evidences=("2.3",), limits="For this test.")
def primitive(*, fail=False):
    note(subject="sha256:ab", files=2, whole=True, names=("a", "b"), absent=None)
    if fail:
        raise FormatError("place", "something")


@pytest.fixture
def exported():
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger, handler = logging.getLogger("lifeseal.evidence"), LoggingHandler(level=logging.INFO, logger_provider=provider)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [record.log_record for record in exporter.get_finished_logs()]
    logger.removeHandler(handler)
    logger.setLevel(before)
    provider.shutdown()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_sdk_exports_every_attribute(exported):
    primitive()
    with pytest.raises(FormatError):
        primitive(fail=True)
    well, refused = exported()
    wanted = {
        "lifeseal.outcome": "pass",
        "lifeseal.error": "",
        "lifeseal.provisions": ("uk-ai-cop:8.3", "uk-ai-cop:2.3"),
        "lifeseal.fact.subject": "sha256:ab",
        "lifeseal.fact.files": 2,
        "lifeseal.fact.whole": True,
        "lifeseal.fact.names": ("a", "b"),
    }
    assert wanted.items() <= dict(well.attributes).items()
    assert "lifeseal.fact.absent" not in well.attributes
    assert (refused.attributes["lifeseal.outcome"], refused.attributes["lifeseal.error"]) == ("fail", "FormatError")
    assert well.body.endswith("primitive pass")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_record_and_the_log_say_the_same(exported, tmp_path):
    with evidence.Log(tmp_path / "log"):
        primitive()
    (event,) = evidence.read(tmp_path / "log")
    (record,) = exported()
    assert record.attributes["lifeseal.time"] == event.time
    assert record.attributes["lifeseal.primitive"] == event.primitive
