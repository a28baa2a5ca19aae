# SPDX-License-Identifier: Apache-2.0
"""Uses a vault, stopping at named points so that `test_memory.py` can look into this process."""

import gc
import sys

from lifeseal.erasure import FileRoot, Vault

folder, root, model, out = sys.argv[1:]


def stop(point):
    gc.collect()
    sys.stdout.write(f"{point}\n")
    sys.stdout.flush()
    sys.stdin.readline()


vault = Vault.open(folder, root=FileRoot(root))
asset = vault.asset("first")
with asset.open("weights.bin") as reader:
    reader.readinto(memoryview(bytearray(100)), 0)
stop("open")
vault.seal(model, "second")
vault.unseal("second", out)
stop("sealed")
vault.erase(["first"])
stop("erased")
vault.close()
stop("closed")
