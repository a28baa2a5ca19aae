# SPDX-License-Identifier: Apache-2.0
"""What a Hub keeps: repositories, their commits, and large files apart."""

import hashlib
import threading
from collections.abc import Mapping

import attrs

from lifeseal.testing._server import HttpError

_OVER = 1024


@attrs.frozen(kw_only=True)
class Blob:
    """A file of a commit.

    Attributes:
        content: What is handed out.
        large: Whether it is kept apart, as LFS does.
        sha256: Of the content that was committed, hexadecimal.
        git_id: Git's name for it; of a large file, for its pointer.
    """

    content: bytes = attrs.field(repr=lambda c: f"<{len(c)} bytes>")
    large: bool
    sha256: str
    git_id: str

    @classmethod
    def of(cls, content: bytes, *, large: bool) -> "Blob":
        """Name content as git does."""
        digest = hashlib.sha256(content).hexdigest()
        held = pointer(digest, len(content)) if large else content
        git_id = hashlib.sha1(b"blob %d\0" % len(held) + held, usedforsecurity=False).hexdigest()
        return cls(content=content, large=large, sha256=digest, git_id=git_id)

    @property
    def etag(self) -> str:
        """What names it in a download."""
        return self.sha256 if self.large else self.git_id


def pointer(digest: str, size: int) -> bytes:
    """Write what git holds of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()


@attrs.define
class Repository:
    """A model's, dataset's or space's repository.

    Attributes:
        commits: Files by path, by commit.
        refs: Commits by branch or tag.
    """

    commits: dict[str, Mapping[str, Blob]] = attrs.field(factory=dict)
    refs: dict[str, str] = attrs.field(factory=dict)

    def commit(self, files: Mapping[str, Blob], *, branch: str = "main") -> str:
        """Add a commit; return its id."""
        listing = repr((len(self.commits), sorted((name, blob.sha256) for name, blob in files.items())))
        found = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()
        self.commits[found] = dict(files)
        self.refs[branch] = found
        return found

    def at(self, revision: str) -> tuple[str, Mapping[str, Blob]]:
        """Return a revision's commit and files."""
        found = self.refs.get(revision, revision)
        if found not in self.commits:
            raise HttpError(404, "RevisionNotFound")
        return found, self.commits[found]


class Repositories:
    """All repositories of a Hub.

    Attributes:
        large: Files kept apart, by hexadecimal SHA-256.
        over: Files of more bytes are kept apart.
    """

    def __init__(self) -> None:
        self.large: dict[str, bytes] = {}
        self.over = _OVER
        self._all: dict[tuple[str, str], Repository] = {}
        self._lock = threading.Lock()

    def get(self, kind: str, name: str) -> Repository:
        """Return a repository, ``model``, ``dataset`` or ``space``, by ``owner/name``."""
        found = self._all.get((kind, name))
        if found is None:
            raise HttpError(404, "RepoNotFound")
        return found

    def create(self, kind: str, name: str) -> Repository:
        """Make a repository with one commit."""
        with self._lock:
            if (kind, name) in self._all:
                raise HttpError(409, "RepoExists")
            made = self._all[kind, name] = Repository()
        made.commit({".gitattributes": self.blob(b"*.safetensors filter=lfs\n")})
        return made

    def blob(self, content: bytes) -> Blob:
        """Keep content as its size asks."""
        large = len(content) > self.over
        if large:
            self.large[hashlib.sha256(content).hexdigest()] = content
        return Blob.of(content, large=large)
