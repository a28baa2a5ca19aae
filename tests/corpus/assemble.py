# SPDX-License-Identifier: Apache-2.0
"""Pickles written opcode by opcode, so that each sample is exactly what it says."""

import pickle
import struct

import attrs


@attrs.frozen
class Ref:
    """A global, by module and name."""

    module: str
    name: str


@attrs.frozen(init=False)
class Call:
    """A call of a global or of another value."""

    function: object
    arguments: tuple

    def __init__(self, function, *arguments):
        if isinstance(function, str):
            module, _, name = function.partition(":")
            function = Ref(module, name)
        self.__attrs_init__(function, arguments)


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(value: str) -> bytes:
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def ref(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode() if "." not in name else text(module) + text(name) + b"\x93"


def ops(value) -> bytes:
    """Return opcodes that leave a value on the stack."""
    match value:
        case Ref(module, name):
            found = ref(module, name)
        case Call(function, arguments):
            found = ops(function) + ops(arguments) + b"R"
        case tuple():
            found = b"(" + b"".join(map(ops, value)) + b"t"
        case list():
            found = b"](" + b"".join(map(ops, value)) + b"e"
        case dict():
            found = b"}(" + b"".join(ops(item) for pair in value.items() for item in pair) + b"u"
        case str():
            found = text(value)
        case _:
            found = pickle.dumps(value, 3)[2:-1]
    return found


def stream(value) -> bytes:
    """Return a whole pickle."""
    return b"\x80\x04" + ops(value) + b"."
