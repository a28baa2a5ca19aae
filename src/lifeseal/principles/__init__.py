# SPDX-License-Identifier: Apache-2.0
"""The UK Code of Practice for the Cyber Security of AI as data, and the tags that tie functions to it.

>>> from lifeseal import principles
>>> principles.find("8.1.2").en_id
'en-304-223:5.2.4-1.2'
"""

from lifeseal.principles._catalogue import EN, UK, Judgement, Principle, Provision, find, judgements, principles, provisions
from lifeseal.principles._events import Event, Fact, Sink, announce, current_sink, note, now, set_process_sink, sink_for_block
from lifeseal.principles._tags import Level, Primitive, Tag, implements, load_all, primitives, public_callables, refused, tag_of, untagged
from lifeseal.principles._untagged import UNTAGGED

__all__ = [
    "EN",
    "UK",
    "UNTAGGED",
    "Event",
    "Fact",
    "Judgement",
    "Level",
    "Primitive",
    "Principle",
    "Provision",
    "Sink",
    "Tag",
    "announce",
    "current_sink",
    "find",
    "implements",
    "judgements",
    "load_all",
    "note",
    "now",
    "primitives",
    "principles",
    "provisions",
    "public_callables",
    "refused",
    "set_process_sink",
    "sink_for_block",
    "tag_of",
    "untagged",
]
