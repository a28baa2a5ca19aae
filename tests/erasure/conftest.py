# SPDX-License-Identifier: Apache-2.0
"""A vault with its root beside it, and a small model to seal."""

import contextlib
import tempfile
from pathlib import Path

import attrs
import pytest

from lifeseal.erasure import FileRoot, Vault


@attrs.frozen
class Desk:
    folder: Path
    root: FileRoot
    model: Path

    def create(self):
        return Vault.create(self.folder, root=self.root)

    def open(self, **options):
        return Vault.open(self.folder, root=self.root, **options)

    @property
    def objects(self):
        return sorted((self.folder / "objects").iterdir())

    @property
    def log(self):
        (found,) = self.folder.glob("log-*")
        return found


@pytest.fixture
def desk(tmp_path):
    model = tmp_path / "model"
    (model / "deep" / "er").mkdir(parents=True)
    (model / "weights.bin").write_bytes(bytes(range(256)) * 300)
    (model / "deep" / "config.json").write_bytes(b"{}")
    (model / "deep" / "er" / "empty").write_bytes(b"")
    return Desk(tmp_path / "vault", FileRoot(tmp_path / "vault.root"), model)


@contextlib.contextmanager
def in_memory():
    """A folder on a memory file system, where there is one: for tests of many changes, each of which waits for the disk."""
    with tempfile.TemporaryDirectory(prefix="lifeseal-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def content_of():
    return content
