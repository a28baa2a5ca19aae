# SPDX-License-Identifier: Apache-2.0
"""A deployment whose Rekor 2 is as the public one: its key is Ed25519, and its name is made of its address and its key (C2SP signed-note)."""

import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.forged import b64

from lifeseal import testing

_ED25519 = b"\n\x01"


class NamedLog(testing.Log):
    def __init__(self):
        super().__init__(2)
        self.key = Ed25519PrivateKey.generate()

    @property
    def id(self):
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(self.origin.encode() + _ED25519 + public).digest()

    def _include(self, body):
        index = self.tree.add(body)
        proof = {"size": len(self.tree.leaves), "root": self.tree.root(), "hashes": self.tree.proof(index)}
        return index, proof, self.checkpoint()

    def checkpoint(self, *lines):
        """Sign the tree as it is; other lines may go before or after the log's own, which is None."""
        note = f"{self.origin}\n{len(self.tree.leaves)}\n{b64(self.tree.root())}\n"
        signed = line(self.origin, self.id[:4] + self.key.sign(note.encode()))
        return f"{note}\n{''.join(signed if other is None else other for other in lines or (None,))}"


class NamedSigstore(testing.Sigstore):
    def __init__(self):
        super().__init__()
        self.logs = {**self.logs, 2: NamedLog()}

    def trusted_root(self):
        document = json.loads(super().trusted_root())
        document["tlogs"][1]["logId"]["keyId"] = b64(self.logs[2].id)
        document["tlogs"][1]["publicKey"]["keyDetails"] = "PKIX_ED25519"
        return json.dumps(document).encode()


def line(name, signature):
    return f"\N{EM DASH} {name} {b64(signature)}\n"
