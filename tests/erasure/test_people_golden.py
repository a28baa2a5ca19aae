# SPDX-License-Identifier: Apache-2.0
"""Records that an earlier release sealed: they open for ever, until their person is erased; and by the page alone, without our code."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from lifeseal.erasure import ErasedSlot, FileRoot, Vault
from lifeseal.errors import DestroyedError, StoreError

VECTORS = Path(__file__).parents[1] / "vectors" / "people-1"
ROWS = [{"who": who, "text": f"record {number}", "n": number} for number, who in enumerate(["ann", "bob", 7, "ann", "eve"])]
KEPT = [row for row in ROWS if row["who"] != "bob"]


@pytest.fixture
def kept(tmp_path):
    shutil.copytree(VECTORS, tmp_path / "kept")
    (tmp_path / "kept/file.root").chmod(0o600)
    return tmp_path / "kept"


@pytest.fixture
def vault(kept):
    with Vault.open(kept / "vault", root=FileRoot(kept / "file.root"), at_least=5) as opened:
        yield opened


def test_records_that_were_sealed_open_and_those_of_the_erased_do_not(vault, kept, tmp_path):
    assert vault.subjects.unseal((kept / "ann.record").read_bytes()) == b"a record"
    vault.subjects.unseal_file(kept / "sealed.jsonl", tmp_path / "out.jsonl", id_field="who")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()] == KEPT
    vault.subjects.unseal_file(kept / "sealed.parquet", tmp_path / "out.parquet", id_field="who")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{**row, "who": str(row["who"])} for row in KEPT]
    with pytest.raises(DestroyedError, match="erased at epoch 5; the key of slot 2, generation 1"):
        vault.subjects.unseal((kept / "sealed.jsonl").read_bytes().splitlines()[1])
    with pytest.raises(StoreError, match="never had, or were erased"):
        vault.subjects.slots(["bob"])
    assert vault.subjects.slots(["ann", "7", "eve"]) == tuple(ErasedSlot(slot=slot, generation=1) for slot in (1, 3, 4))
    assert vault.subjects.pseudonym("bob") == "65f78b0fa49f06a858700179ce8938fd"
    assert vault.subjects.leaf_keys(lambda _: "eve")(b"").hex() == "e14784d6497b7b1917ced2edb90db9bfc844c4e202a98f25a922239485fa0024"
    vault.verify()


def test_the_page_alone_tells_how_a_record_is_opened(vault, kept):
    with vault._session.current().tree.key(1) as key, key.view() as view:
        record_key = HKDFExpand(SHA256(), 32, b"lifeseal.sealed/1 record key").derive(bytes(view))

    def opened(sealed, context=b""):
        assert sealed[:28] == b"LSR1" + bytes.fromhex(vault.id) + (1).to_bytes(4, "big") + (1).to_bytes(4, "big")
        return AESGCM(record_key).decrypt(sealed[28:40], sealed[40:], b"lifeseal.sealed/1" + sealed[:28] + context)

    assert opened((kept / "ann.record").read_bytes()) == b"a record"
    line = json.loads((kept / "sealed.jsonl").read_bytes().splitlines()[3])
    assert json.loads(opened(base64.b64decode(line["lifeseal.sealed/1"]))) == ROWS[3]
    table = pq.read_table(kept / "sealed.parquet")
    layout = table.schema.metadata[b"lifeseal.sealed/1"]
    assert json.loads(layout)["sealed"] == ["who", "text"]
    message = opened(table["lifeseal.sealed/1"][3].as_py(), hashlib.sha256(layout).digest())
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(json.loads(layout)["schema"])))
    row = pa.ipc.read_record_batch(pa.py_buffer(message), pa.schema([schema.field("who"), schema.field("text")]))
    assert row.to_pylist() == [{"who": "ann", "text": "record 3"}]


def test_a_kept_vault_is_written_to(vault, kept):
    old = (kept / "ann.record").read_bytes()
    assert vault.subjects.owner(vault.subjects.seal("bob", b"again")) == ErasedSlot(slot=5, generation=1)
    vault.subjects.erase(["ann"])
    with pytest.raises(DestroyedError):
        vault.subjects.unseal(old)
    vault.compact()
    vault.verify()
