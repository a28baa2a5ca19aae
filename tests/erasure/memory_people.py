# SPDX-License-Identifier: Apache-2.0
"""A process that seals and opens people's records, and waits while another looks through its memory: VAULT ROOT."""

import sys

from lifeseal.erasure import FileRoot, Vault


def point(name):
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()
    sys.stdin.readline()


with Vault.open(sys.argv[1], root=FileRoot(sys.argv[2])) as vault:
    sealed = list(vault.subjects.seal_many([("ann", b"one"), ("bob", b"two")] * 100))
    stream = vault.subjects.unseal_many(sealed)
    next(stream)
    point("in a stream")
    for _ in stream:
        pass
    point("open")
point("closed")
