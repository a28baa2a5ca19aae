# SPDX-License-Identifier: Apache-2.0
"""Decrypting a file into memory, nothing written: ``python _openers.py WAY FOLDER MIB RUNS``; each way in the environment that has it.

Every way reads its ciphertext from a file that the system has in memory.
"""

import functools
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PIECE = 8 << 20


def main() -> None:
    """Print one JSON list of wall seconds, seconds of all cores, and peak memory in bytes."""
    way, folder, mib, runs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    run = WAYS[way](folder, mib)
    samples = []
    for turn in range(runs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        if turn:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            samples.append((time.perf_counter() - wall, time.process_time() - cpu, memory))
    print(json.dumps(samples))


def _lifeseal(folder: Path, mib: int) -> Callable[[], object]:
    """Read an asset of a vault."""
    from lifeseal.erasure import FileRoot, Vault

    plain = folder / "plain"
    plain.write_bytes(bytes(mib << 20))
    with Vault.create(folder / "vault", root=FileRoot(folder / "root")) as vault:
        vault.seal(plain, "asset").close()
    vault = Vault.open(folder / "vault", root=FileRoot(folder / "root"))
    buffer = memoryview(bytearray(_PIECE))

    def run() -> None:
        with vault.asset("asset") as asset, asset.open(asset.names()[0]) as reader:
            for start in range(0, reader.size, _PIECE):
                reader.readinto(buffer, start)

    return run


def _pyrage(folder: Path, mib: int) -> Callable[[], object]:
    pyrage = importlib.import_module("pyrage")
    identity = pyrage.x25519.Identity.generate()
    sealed = folder / "sealed.age"
    sealed.write_bytes(pyrage.encrypt(bytes(mib << 20), [identity.to_public()]))
    return lambda: pyrage.decrypt(sealed.read_bytes(), [identity])


def _aws(folder: Path, mib: int, *, frame: int) -> Callable[[], object]:
    sdk = importlib.import_module("aws_encryption_sdk")
    identifiers = importlib.import_module("aws_encryption_sdk.identifiers")
    keys = importlib.import_module("aws_encryption_sdk.internal.crypto.wrapping_keys")
    raw = importlib.import_module("aws_encryption_sdk.key_providers.raw")
    wrapping = identifiers.WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING

    class Provider(raw.RawMasterKeyProvider):  # type: ignore[name-defined,misc]
        provider_id = "bench"

        def _get_raw_key(self, _: object) -> object:
            return keys.WrappingKey(wrapping, bytes(32), identifiers.EncryptionKeyType.SYMMETRIC)

    provider = Provider()
    provider.add_master_key("k")
    client = sdk.EncryptionSDKClient(commitment_policy=identifiers.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    suite = identifiers.AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
    sealed = folder / "sealed.aws"
    sealed.write_bytes(client.encrypt(source=bytes(mib << 20), key_provider=provider, algorithm=suite, frame_length=frame)[0])

    def run() -> None:
        with sealed.open("rb") as file:
            client.decrypt(source=file, key_provider=provider)

    return run


WAYS: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "lifeseal": _lifeseal,
    "pyrage": _pyrage,
    "aws-encryption-sdk": functools.partial(_aws, frame=4096),
    "aws-encryption-sdk, its quickest frames": functools.partial(_aws, frame=1 << 16),
}


if __name__ == "__main__":
    main()
