# SPDX-License-Identifier: Apache-2.0
"""Writing an asset's plaintext: a file gets its name only when its whole container has authenticated."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from lifeseal._io import Behind, Together, make_folder, read_through, remove, replacing
from lifeseal.erasure._index import signature_of

if TYPE_CHECKING:
    from lifeseal.erasure._asset import SealedAsset

_PIECE = 1 << 20


def write_plaintext(asset: "SealedAsset", out: Path) -> int:
    """Decrypt every file of an asset.

    Args:
        asset: What to decrypt.
        out: The new file or folder; its parent must exist. The signature of a single file goes beside it, as ``OUT.sig``.

    Returns:
        Bytes written.

    Raises:
        FileExistsError: ``out`` is there already.
        StoreError: A container is missing.
        TamperedError: A container is not the one that was sealed; what was written so far is removed.
        OSError: A file cannot be read or written.
    """
    names = asset.names()
    for name in names:
        with asset.open(name):
            pass
    if not asset.is_folder:
        return _write_lone(asset, names[0], out)
    files: list[Path] = []
    folders = {out: None}  # in the order they were made
    make_folder(out, mode=0o700)
    try:
        done = 0
        with Together() as together:
            for name in names:
                for parent in reversed([out / part for part in Path(name).parents]):
                    if parent not in folders:
                        make_folder(parent, mode=0o700)
                        folders[parent] = None
                done += _write(asset, name, out / name, together=together)
                files.append(out / name)
                if together.full:
                    together.settle()
    except BaseException:
        with contextlib.suppress(OSError):
            for file in files:
                remove(file)
            for folder in reversed(folders):
                folder.rmdir()
        raise
    return done


def _write_lone(asset: "SealedAsset", name: str, out: Path) -> int:
    if asset.signature is None:
        return _write(asset, name, out)
    beside = out.with_name(signature_of(out.name))
    done = _write(asset, asset.signature, beside)
    try:
        return done + _write(asset, name, out)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(beside)
        raise


def _write(asset: "SealedAsset", name: str, path: Path, *, together: Together | None = None) -> int:
    with asset.open(name) as reader, replacing(path, mode=0o600, overwrite=False, together=together) as output, Behind() as behind:
        one, two = (memoryview(bytearray(min(_PIECE, reader.size + 1))) for _ in range(2))
        return read_through(reader, f"{asset.where}: {name!r}", one, lambda piece: behind.do(output.write, piece), spare=two)
