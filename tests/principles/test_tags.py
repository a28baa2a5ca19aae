# SPDX-License-Identifier: Apache-2.0
"""Tags and the events that tagged calls leave."""

import logging
import threading
import types

import mypy.api
import pytest

from lifeseal import principles
from lifeseal.principles import _tags as tags_module
from lifeseal.principles import implements, note, public_callables, sink_for_block, tag_of, untagged


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Keep the primitives of these tests out of the process's own list."""
    mine = {}
    monkeypatch.setattr(tags_module, "_registry", mine)
    return mine


class Sink:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


@pytest.fixture
def sink():
    found = Sink()
    with sink_for_block(found):
        yield found


@implements("8.1.2", limits="Adds, and nothing else.", evidences=("en-304-223:5.2.4-1.1",))
def add(a, b=1):
    """Add."""
    note(sum=a + b)
    return a + b


@implements("8.1.2", limits="Fails.")
def fail(error):
    note(started=True)
    raise error


@implements("1.1", limits="Calls another.")
def outer():
    note(place="outer, before")
    result = add(1)
    note(after=result)
    return result


class Tool:
    @classmethod
    @implements("8.1.2", limits="Builds.")
    def build(cls):
        return cls()

    @staticmethod
    @implements("8.1.2", limits="Stands alone.")
    def alone(x):
        return x

    @implements("8.1.2", limits="Works.")
    def work(self, x):
        return (self, x)


# They are no primitives of lifeseal's, so its own list must not show them.
for _name in [name for name in tags_module._registry if name.startswith(f"{__name__}.")]:
    del tags_module._registry[_name]


def test_a_tagged_function_stays_itself():
    assert add(2, b=3) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_a_tag_names_provisions_levels_and_limits():
    primitive = tag_of(add)
    assert primitive.limits == "Adds, and nothing else."
    assert [(tag.provision, tag.level) for tag in primitive.tags] == [
        ("uk-ai-cop:8.1.2", principles.Level.IMPLEMENTS),
        (principles.find("en-304-223:5.2.4-1.1").id, principles.Level.EVIDENCES),
    ]
    assert tag_of(len) is None


def test_a_tagged_function_is_listed(registry):
    @implements("8.1.2", limits="None to speak of.")
    def listed():
        pass

    assert list(principles.primitives().values()) == [tag_of(listed)] == list(registry.values())


def test_its_name_is_the_public_one():
    def function():
        pass

    function.__module__, function.__qualname__ = "lifeseal.signing._verify", "verify"
    assert tag_of(implements("8.1.2", limits="x")(function)).name == "lifeseal.signing.verify"


@pytest.mark.parametrize(
    ("ids", "options", "complaint"),
    [
        (("99.1",), {"limits": "x"}, "unknown provision '99.1'"),
        (("8.1.2",), {"limits": "x", "evidences": ("99.1",)}, "unknown provision '99.1'"),
        (("8.1.2",), {"limits": ""}, "limits="),
        (("8.1.2",), {"limits": " \n"}, "limits="),
        ((), {"limits": "x"}, "at least one provision"),
    ],
)
def test_refuses_a_wrong_tag_at_import(ids, options, complaint):
    implements("8.1.2", limits="x", evidences=("1.1",))
    with pytest.raises(ValueError, match=complaint):
        implements(*ids, **options)


def test_keeps_the_type(tmp_path):
    code = tmp_path / "use.py"
    code.write_text(
        "from lifeseal.principles import implements\n"
        "@implements('8.1.2', limits='x')\n"
        "def seal(a: int, *, b: str = '') -> bytes:\n"
        "    return b''\n"
        "reveal_type(seal)\n"
        "seal(1, b='x')\n"
        "seal('1')\n"
        "seal(1, c=2)\n"
    )
    out, _, status = mypy.api.run(["--strict", f"--cache-dir={tmp_path / 'cache'}", "--config-file=", str(code)])
    assert "def (a: int, *, b: str =) -> bytes" in out.replace("builtins.", "")
    assert next(line for line in out.splitlines() if ": error:" in line).startswith(f"{code}:7:")
    assert ":8: error:" in out
    assert ":6: error:" not in out
    assert status == 1


def test_a_call_that_succeeds_leaves_one_event(sink):
    add(2)
    (event,) = sink.events
    assert (event.outcome, event.error, event.facts) == ("pass", "", {"sum": 3})
    assert event.primitive.endswith("test_tags.add")
    assert event.provisions == tuple(tag.provision for tag in tag_of(add).tags)
    assert event.time.endswith("Z")


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_call_that_fails_leaves_one_event_and_fails_the_same(sink, error):
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error
    (event,) = sink.events
    assert (event.outcome, event.error, event.facts) == ("fail", type(error).__name__, {"started": True})


def test_nested_calls_leave_an_event_each_with_their_own_facts(sink):
    outer()
    inside, outside = sink.events
    assert inside.facts == {"sum": 2}
    assert outside.facts == {"place": "outer, before", "after": 2}


def test_class_static_and_plain_methods_are_tagged_alike(sink):
    tool = Tool.build()
    assert isinstance(tool, Tool)
    assert Tool.alone(3) == 3
    assert tool.work(4) == (tool, 4)
    assert [event.primitive.rpartition("test_tags.")[2] for event in sink.events] == ["Tool.build", "Tool.alone", "Tool.work"]


class Broken:
    def emit(self, _):
        raise OSError("the log is full")


def test_a_sink_that_refuses_refuses_the_call():
    assert add(1) == 2
    with sink_for_block(Broken()), pytest.raises(OSError, match="the log is full"):
        add(1)


def test_a_sink_that_refuses_does_not_hide_the_first_error():
    with sink_for_block(Broken()), pytest.raises(ValueError, match="the first") as caught:
        fail(ValueError("the first"))
    assert caught.value.__notes__ == ["and this failure could not be logged: the log is full"]


def test_an_intent_is_announced_or_the_act_does_not_begin(sink):
    principles.announce("lifeseal.erasure.erase", ("uk-ai-cop:13.1",), names=("a",))
    (event,) = sink.events
    assert (event.outcome, event.facts) == ("intent", {"names": ("a",)})
    with sink_for_block(Broken()), pytest.raises(OSError, match="the log is full"):
        principles.announce("lifeseal.erasure.erase", ())


def test_a_sink_is_for_its_block_only():
    first, second = Sink(), Sink()
    with sink_for_block(first):
        add(1)
        with sink_for_block(second):
            add(2)
        add(3)
    add(4)
    assert [event.facts["sum"] for event in first.events] == [2, 4]
    assert [event.facts["sum"] for event in second.events] == [3]


def test_a_process_sink_hears_other_threads_and_a_block_sink_does_not():
    whole, block = Sink(), Sink()
    before = principles.set_process_sink(whole)
    try:
        with sink_for_block(block):
            thread = threading.Thread(target=add, args=(1,))
            thread.start()
            thread.join()
            add(2)
    finally:
        assert principles.set_process_sink(before) is whole
    assert [event.facts["sum"] for event in whole.events] == [2]
    assert [event.facts["sum"] for event in block.events] == [3]


def test_an_event_goes_to_the_logger_too(caplog):
    with caplog.at_level(logging.INFO, logger="lifeseal.evidence"):
        add(1)
    (record,) = caplog.records
    assert record.message.endswith("test_tags.add pass")
    assert getattr(record, "lifeseal.fact.sum") == 2


def test_a_fact_outside_a_primitive_goes_nowhere(sink):
    note(lost=True)
    add(1)
    assert sink.events[0].facts == {"sum": 2}


@pytest.fixture
def package():
    module = types.ModuleType("lifeseal.example")

    def bare():
        pass

    class Half:
        @classmethod
        def open(cls):
            pass

        @implements("8.1.2", limits="x")
        def seal(self):
            pass

        @property
        def size(self):
            return 0

        def _private(self):
            pass

    vars(module).update(__all__=["CONSTANT", "Half", "add", "bare"], CONSTANT=1, Half=Half, add=add, bare=bare, hidden=bare)
    return module


def test_walks_public_functions_and_methods(package):
    names = [name for name, _ in public_callables(package)]
    assert names == ["lifeseal.example.Half.open", "lifeseal.example.Half.seal", "lifeseal.example.add", "lifeseal.example.bare"]


def test_names_what_is_neither_tagged_nor_exempt(package):
    assert untagged(package, exempt={}) == ("lifeseal.example.Half.open", "lifeseal.example.bare")
    assert untagged(package, exempt={"lifeseal.example.bare": "touches nothing"}) == ("lifeseal.example.Half.open",)
    assert untagged(package, exempt={"lifeseal.example.bare": ""}) == ("lifeseal.example.Half.open", "lifeseal.example.bare")
