# SPDX-License-Identifier: Apache-2.0
"""A tensor's storage is numbers; one that an unpickler would run is a finding, however its bytes are packed or padded."""

import io
import pickle
import zipfile

import pytest
import torch

from lifeseal.serialization import scan_bytes


class Runs:
    def __reduce__(self):
        return print, ("ran",)


def checkpoint(storage, method=zipfile.ZIP_STORED):
    """A checkpoint of PyTorch whose one storage holds these bytes."""
    saved = io.BytesIO()
    torch.save({"w": torch.zeros(len(storage), dtype=torch.uint8)}, saved)
    out = io.BytesIO()
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(out, "w") as after:
        for entry in before.infolist():
            is_storage = entry.filename.endswith("data/0")
            after.writestr(entry.filename, storage if is_storage else before.read(entry), method)
    return out.getvalue()


def padded(size):
    """A pickle that runs, behind a text of some bytes."""
    text = pickle.BINBYTES + size.to_bytes(4, "little") + b"x" * size + pickle.POP
    return b"\x80\x03" + text + pickle.dumps(Runs(), 3)[2:]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 4000, 6000, 300_000])
def test_a_pickle_in_the_place_of_numbers_is_no_safe_file(size, method):
    assert scan_bytes(checkpoint(padded(size), method)).verdict == "unsafe"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", [bytes(300_000), bytes(range(256)) * 40, b"x" * 9000, b"N" * 9000, b"I" + b"1" * 9000, b"\x80\x02" + b"]" * 9000])
def test_numbers_that_lead_an_unpickler_on_for_a_while_are_safe(content, method):
    assert scan_bytes(checkpoint(content, method)).verdict == "safe"
