# SPDX-License-Identifier: Apache-2.0
"""Purging: every trace of a repository in the cache, and a second look."""

from pathlib import Path

import attrs

from lifeseal._io import StrPath, remove, replace
from lifeseal.errors import StoreError
from lifeseal.hub._client import Client, Kind
from lifeseal.principles import implements, note

_NOT_COVERED = (
    "downloads into other folders (local_dir) and copies that were made of the files",
    "huggingface_hub's store of Xet chunks and its logs, which do not tell repositories apart: remove it whole",
    "modules that transformers copied from the repository (HF_MODULES_CACHE) and what datasets made of it (HF_DATASETS_CACHE)",
    "the bytes on the medium: files were unlinked, not overwritten",
)


@attrs.frozen(kw_only=True)
class Purge:
    """What was removed.

    Attributes:
        repo: ``owner/name``.
        kind: Of repository.
        cache: The cache's folder.
        removed: What was unlinked, relative to the cache; empty if nothing was there.
        size: Bytes of it.
        not_covered: What was not looked at, in sentences.
    """

    repo: str
    kind: str
    cache: Path
    removed: tuple[str, ...]
    size: int
    not_covered: tuple[str, ...]


@implements(
    evidences=("13.1", "13.2"),
    limits="Files are unlinked, not overwritten; copies outside the cache, Xet chunks, and what libraries derived from the files are not looked at.",
)
def purge(repo: str, *, kind: Kind = "model", cache: StrPath | None = None) -> Purge:
    """Remove every trace of a repository from the Hub's cache: its files in all revisions, its locks, and what it shares with nobody.

    Then it looks again. No other program may use the cache meanwhile.

    Args:
        repo: ``owner/name``.
        kind: Of repository.
        cache: The cache's folder; by default that of huggingface_hub.

    Returns:
        What was removed, and what was not looked at.

    Raises:
        OSError: Something cannot be removed; the rest has been.
        StoreError: The second look found something: another program uses the cache.
        ValueError: That is no name of a repository.
    """
    from lifeseal.disposal import hub_traces

    place = Client(repo, kind=kind, cache=cache, offline=True).cache
    traces = hub_traces(place, repo, kind=kind)
    note(model=repo, traces=len(traces.paths) + len(traces.shared))
    failure: OSError | None = None
    for act, path in [*((_forget, path) for path in traces.mentions), *((_remove, path) for path in (*traces.paths, *traces.shared))]:
        try:
            act(path, traces.folder)
        except OSError as error:  # the rest goes all the same
            failure = failure or error
    if failure is not None:
        raise failure
    left = hub_traces(place, repo, kind=kind)
    if left.found:
        found = (*left.paths, *left.shared, *left.mentions)
        raise StoreError(
            f"{place}: {len(found)} traces of {repo!r} are there after they were removed, such as {found[0].name!r}; is another program using it?"
        )
    return Purge(
        repo=repo,
        kind=kind,
        cache=place,
        removed=tuple(path.relative_to(place).as_posix() for path in (*traces.paths, *traces.shared)),
        size=traces.size,
        not_covered=_NOT_COVERED,
    )


def _remove(path: Path, _: str) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        remove(path)


def _forget(path: Path, folder: str) -> None:
    """Take the repository's links out of a list that others need."""
    lines = path.read_bytes().splitlines(keepends=True)
    replace(path, b"".join(line for line in lines if not line.startswith(f"{folder}/".encode())))
