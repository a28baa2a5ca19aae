# SPDX-License-Identifier: Apache-2.0
"""What the cache of the Hugging Face Hub holds of one repository, and where.

Source: huggingface_hub, "Understand caching"; ``utils/_shared_blobs.py`` of release 2: blobs of several repositories may lie once, in
``blobs/XX/DIGEST``, with the links to them listed in ``DIGEST.refs``.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_SHARED = re.compile(r"\.\./\.\./blobs/([0-9a-f]{2}/[0-9a-f]{64})")
_COMPANIONS = ("", ".refs", ".lock")


@attrs.frozen(kw_only=True)
class HubTraces:
    """Everything in a Hub cache that tells of one repository.

    Attributes:
        folder: Name of its folder, as ``models--owner--name``.
        paths: Files and links, and the folders that hold them, each after what lies in it.
        shared: Blobs that no other repository links to, with what lies beside them.
        mentions: Lists of links that name the repository and belong to blobs that others link to as well.
        size: Bytes of the files.
    """

    folder: str
    paths: tuple[Path, ...]
    shared: tuple[Path, ...]
    mentions: tuple[Path, ...]
    size: int

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.paths or self.shared or self.mentions)


def hub_folder(repo: str, *, kind: str = "model") -> str:
    """Name the folder that a repository has in a Hub cache.

    Args:
        repo: ``owner/name``.
        kind: ``model``, ``dataset`` or ``space``.

    Returns:
        The folder's name, as ``models--owner--name``.

    Raises:
        ValueError: That is no name of a repository.
    """
    if not _REPOSITORY.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ValueError(f"{repo!r} is no name of a repository, as 'owner/name'")
    return "--".join((f"{kind}s", *repo.split("/")))


def hub_traces(cache: Path, repo: str, *, kind: str = "model") -> HubTraces:
    """Look for a repository in a Hub cache.

    Args:
        cache: The cache's folder (``hub``).
        repo: ``owner/name``.
        kind: ``model``, ``dataset`` or ``space``.

    Returns:
        What is there.

    Raises:
        OSError: A folder cannot be read.
        ValueError: That is no name of a repository.
    """
    folder = hub_folder(repo, kind=kind)
    paths = [path for place in (cache / folder, cache / ".locks" / folder) for path in _below(place)]
    mine, others = set(_shared(cache / folder)), {blob for other in _folders(cache) if other.name != folder for blob in _shared(other)}
    lists = [path for path in _below(cache / "blobs") if path.suffix == ".refs" and _lists(path, folder)]
    # What is listed for this repository and linked to by no other is a leftover of it, though its link is gone.
    mine |= {f"{path.parent.name}/{path.stem}" for path in lists}
    shared = [cache / "blobs" / f"{blob}{end}" for blob in sorted(mine - others) for end in _COMPANIONS]
    kept = {cache / "blobs" / blob for blob in others}
    files = [*paths, *shared]
    return HubTraces(
        folder=folder,
        paths=tuple(paths),
        shared=tuple(path for path in shared if os.path.lexists(path)),
        mentions=tuple(path for path in lists if path.with_suffix("") in kept),
        size=sum(path.lstat().st_size for path in files if path.is_file() and not path.is_symlink()),
    )


def _lists(path: Path, folder: str) -> bool:
    """Tell whether a list of links names one in a repository's folder."""
    return any(line.startswith(f"{folder}/") for line in path.read_text(errors="replace").splitlines())


def _below(place: Path) -> Iterator[Path]:
    """Walk a folder from its leaves up, without following links; nothing if it is not there."""
    if place.is_symlink() or not os.path.lexists(place):
        if place.is_symlink():
            yield place
        return
    for root, folders, files in os.walk(place, topdown=False, onerror=_raise):
        yield from (Path(root, name) for name in sorted(files))
        yield from (Path(root, name) for name in sorted(folders) if Path(root, name).is_symlink())
        yield Path(root)


def _raise(error: OSError) -> None:
    raise error


def _folders(cache: Path) -> Iterator[Path]:
    if cache.is_dir():
        yield from (path for path in cache.iterdir() if "--" in path.name and not path.is_symlink())


def _shared(folder: Path) -> Iterator[str]:
    """Name the shared blobs that a repository's own blobs are links to."""
    for path in _below(folder / "blobs"):
        if path.is_symlink() and (found := _SHARED.fullmatch(str(path.readlink()))):
            yield found[1]
