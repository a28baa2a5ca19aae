# SPDX-License-Identifier: Apache-2.0
"""A transparency log: an RFC 6962 tree with real proofs, answering as Rekor does, versions 1 and 2."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

from lifeseal._io import canonical, encode_base64
from lifeseal.testing._server import Reply, Request
from lifeseal.testing._signed import new_key, sign, spki


@attrs.define
class Tree:
    """A Merkle tree over entries, grown at its end.

    Source: RFC 6962, section 2.1.
    """

    leaves: list[bytes] = attrs.field(factory=list)

    def add(self, entry: bytes) -> int:
        """Append an entry; return its index."""
        self.leaves.append(hashlib.sha256(b"\0" + entry).digest())
        return len(self.leaves) - 1

    def root(self) -> bytes:
        """Return the tree's root hash."""
        return _root(self.leaves)

    def proof(self, index: int) -> list[bytes]:
        """Return the hashes beside the way from an entry to the root, the lowest first."""
        return _path(index, self.leaves)


def _split(leaves: list[bytes]) -> int:
    return 1 << (len(leaves) - 1).bit_length() - 1


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    at = _split(leaves)
    return hashlib.sha256(b"\1" + _root(leaves[:at]) + _root(leaves[at:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    at = _split(leaves)
    if index < at:
        return [*_path(index, leaves[:at]), _root(leaves[at:])]
    return [*_path(index - at, leaves[at:]), _root(leaves[:at])]


class Log:
    """One log with a key of its own.

    Args:
        version: Of Rekor's interface, 1 or 2.

    Attributes:
        origin: Its name in its signed statements: its address, once it answers.
        key: Signs its statements.
        tree: Of all entries.
        clock: What it takes for the time, seconds since 1970.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.origin = "rekor.loopback"
        self.key = new_key()
        self.clock: Callable[[], float] = time.time
        self.tree = Tree()
        self._lock = threading.Lock()

    @property
    def id(self) -> bytes:
        """Identifier of the log's key."""
        return hashlib.sha256(spki(self.key)).digest()

    def answer(self, request: Request) -> Reply:
        """Take in an entry."""
        proposed = json.loads(request.body)
        found = self.add_v1(proposed) if self.version == 1 else self.add_v2(proposed)
        return Reply(status=201, body=json.dumps(found).encode())

    def add_v1(self, proposed: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
        """Take in an entry and promise it, as Rekor 1 does.

        Args:
            proposed: A ``dsse`` or ``hashedrekord`` entry of version 0.0.1.

        Returns:
            The answer, JSON.
        """
        if proposed["kind"] == "dsse":
            content = proposed["spec"]["proposedContent"]
            envelope = json.loads(content["envelope"])
            payload = base64.b64decode(envelope["payload"])
            proposed = proposed | {
                "spec": {
                    "envelopeHash": _hash(content["envelope"].encode()),
                    "payloadHash": _hash(payload),
                    "signatures": [
                        {"signature": signature["sig"], "verifier": verifier}
                        for signature, verifier in zip(envelope["signatures"], content["verifiers"], strict=True)
                    ],
                }
            }
        body = canonical(proposed)
        index, proof, checkpoint = self._include(body)
        entry: dict[str, object] = {"body": encode_base64(body), "integratedTime": int(self.clock()), "logID": self.id.hex(), "logIndex": index}
        promise = sign(self.key, canonical(entry))
        included = {
            "logIndex": index,
            "treeSize": proof["size"],
            "rootHash": proof["root"].hex(),
            "hashes": [digest.hex() for digest in proof["hashes"]],
            "checkpoint": checkpoint,
        }
        verification = {"signedEntryTimestamp": encode_base64(promise), "inclusionProof": included}
        return {hashlib.sha256(body).hexdigest(): entry | {"verification": verification}}

    def add_v2(self, proposed: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
        """Take in an entry, as Rekor 2 does: no promise and no time.

        Args:
            proposed: A ``hashedRekordRequestV002``.

        Returns:
            The answer, JSON.
        """
        request = proposed["hashedRekordRequestV002"]
        record = {"data": {"algorithm": "SHA2_256", "digest": request["digest"]}, "signature": request["signature"]}
        body = canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}})
        index, proof, checkpoint = self._include(body)
        return {
            "logIndex": str(index),
            "logId": {"keyId": encode_base64(self.id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "canonicalizedBody": encode_base64(body),
            "inclusionProof": {
                "logIndex": str(index),
                "treeSize": str(proof["size"]),
                "rootHash": encode_base64(proof["root"]),
                "hashes": [encode_base64(digest) for digest in proof["hashes"]],
                "checkpoint": {"envelope": checkpoint},
            },
        }

    def _include(self, body: bytes) -> tuple[int, dict[str, Any], str]:
        with self._lock:
            index = self.tree.add(body)
            proof: dict[str, Any] = {"size": len(self.tree.leaves), "root": self.tree.root(), "hashes": self.tree.proof(index)}
        note = f"{self.origin}\n{proof['size']}\n{encode_base64(proof['root'])}\n"
        signature = encode_base64(self.id[:4] + sign(self.key, note.encode()))
        return index, proof, f"{note}\n\N{EM DASH} {self.origin} {signature}\n"


def _hash(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
