# SPDX-License-Identifier: Apache-2.0
"""Uses a vault under a passphrase, stopping at named points so that `test_memory.py` can look into this process."""

import gc
import sys
from pathlib import Path

from lifeseal.erasure import PassphraseRoot, Vault

folder, model, masked = sys.argv[1:]


def stop(point):
    gc.collect()
    sys.stdout.write(f"{point}\n")
    sys.stdout.flush()
    sys.stdin.readline()


passphrase = bytearray(bytes.fromhex(masked))  # masked, so that no argument holds it
for place in range(len(passphrase)):  # where it lies, so that growing it leaves no copy
    passphrase[place] ^= 255
root = PassphraseRoot(passphrase)
vault = Vault.create(Path(folder), root=root)
vault.seal(model, "first")
vault.erase(["first"])
stop("open")
vault.close()
root.close()
stop("closed")
