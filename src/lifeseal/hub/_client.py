# SPDX-License-Identifier: Apache-2.0
"""The one part that speaks to the Hub, through huggingface_hub; its errors end here."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lifeseal._io import StrPath, checked_name, replace, require
from lifeseal.errors import StoreError

Kind: TypeAlias = Literal["model", "dataset", "space"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WORKERS = 8


class Client:
    """One repository, on the Hub and in the cache.

    Args:
        repo: ``owner/name``.
        kind: Of repository.
        cache: The cache's folder; by default that of huggingface_hub.
        endpoint: The Hub's address; by default that of huggingface_hub.
        token: For private repositories.
        offline: Ask the cache alone.
    """

    def __init__(
        self,
        repo: str,
        *,
        kind: Kind = "model",
        cache: StrPath | None = None,
        endpoint: str | None = None,
        token: str | None = None,
        offline: bool = False,
    ) -> None:
        self.hub: Any = require("huggingface_hub", extra="all")
        self._errors: Any = require("huggingface_hub.errors", extra="all")
        self.repo = repo
        self.kind = kind
        self.offline = offline
        self.where = f"{kind} {repo!r} on the Hub"
        self.cache = Path(require("huggingface_hub.constants", extra="all").HF_HUB_CACHE if cache is None else cache).absolute()
        self._endpoint = endpoint
        self._token = token
        self._silent = _silent(require("huggingface_hub.utils", extra="all"))
        self.api: Any = self.hub.HfApi(endpoint=endpoint, token=token)
        from lifeseal.disposal import hub_folder

        self._folder: Path = self.cache / hub_folder(repo, kind=kind)

    def snapshot(self, commit: str) -> Path:
        """Name the folder in the cache that holds a commit's files."""
        return self._folder / "snapshots" / commit

    def resolve(self, revision: str) -> str:
        """Turn a branch or a tag into the commit that it means now.

        Args:
            revision: A branch, tag or commit.

        Returns:
            The commit, 40 hexadecimal digits.

        Raises:
            FormatError: Offline, the revision is no plain name.
            StoreError: There is no such repository or revision, or the Hub does not answer.
        """
        if self.offline:
            if _COMMIT.fullmatch(revision):
                return revision
            try:
                found = (self._folder / "refs" / checked_name(revision, where="revision")).read_text()
            except OSError:
                raise StoreError(f"{self.where}: revision {revision!r} is not in the cache {self.cache}") from None
        else:
            with self.errors():
                found = str(self.api.repo_info(self.repo, revision=revision, repo_type=self.kind).sha)
        if not _COMMIT.fullmatch(found) or (_COMMIT.fullmatch(revision) and found != revision):
            raise StoreError(f"{self.where}: revision {revision!r} is said to be {found[:60]!r}, which is no commit or another one")
        return found

    def remember(self, revision: str, commit: str) -> None:
        """Let the cache know which commit a branch or tag meant, for later calls without the network; as huggingface_hub does.

        Raises:
            OSError: The cache cannot be written.
        """
        if not _COMMIT.fullmatch(revision):
            place = self._folder / "refs" / checked_name(revision, where="revision")
            place.parent.mkdir(parents=True, exist_ok=True)
            replace(place, commit.encode())

    def names(self, commit: str) -> tuple[str, ...]:
        """List the files of a commit, as the Hub tells them.

        Raises:
            StoreError: The Hub does not answer.
        """
        with self.errors():
            found: list[str] = self.api.list_repo_files(self.repo, revision=commit, repo_type=self.kind)
        return tuple(found)

    def fetch(self, name: str, commit: str) -> Path | None:
        """Bring one file into the cache, if it is not there.

        Args:
            name: In the repository.
            commit: Of which commit.

        Returns:
            Its path in the snapshot; None if the commit has no such file.

        Raises:
            StoreError: The Hub does not answer, breaks off, or answers for another commit; or offline it is not in the cache.
        """
        options = {"repo_type": self.kind, "revision": commit, "cache_dir": self.cache, "endpoint": self._endpoint, "token": self._token}
        options["tqdm_class"] = self._silent
        with self.errors():
            try:
                found = self.hub.hf_hub_download(self.repo, name, local_files_only=self.offline, **options)
            except self._errors.LocalEntryNotFoundError as error:
                if self.offline:
                    return None
                raise StoreError(f"{self.where}: {name!r} cannot be fetched: {_said(error)}") from None
            except self._errors.EntryNotFoundError:
                return None
        place = self.snapshot(commit) / name
        if not place.parent.is_dir() or Path(found).name != place.name or not Path(found).parent.samefile(place.parent):
            raise StoreError(f"{self.where}: asked for commit {commit}, the Hub answered for another one ({found})")
        return place

    def fetch_all(self, names: Iterable[str], commit: str) -> bool:
        """Bring files into the cache.

        Args:
            names: In the repository.
            commit: Of which commit.

        Returns:
            Whether any was not there before.

        Raises:
            StoreError: As for `fetch`.
        """
        from concurrent.futures import ThreadPoolExecutor

        absent = [name for name in names if not os.path.lexists(self.snapshot(commit) / name)]
        with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="lifeseal-hub") as pool:
            for job in [pool.submit(self.fetch, name, commit) for name in absent]:
                job.result()
        return bool(absent)

    def forget(self, name: str, commit: str) -> None:
        """Drop one file from the cache, so that it is fetched anew."""
        place = self.snapshot(commit) / name
        blob = place.resolve()
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
        if blob.is_relative_to(self.cache.resolve()):
            with contextlib.suppress(FileNotFoundError):
                blob.unlink()

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Let huggingface_hub draw no progress bars during an upload, where it takes none of ours."""
        utils = require("huggingface_hub.utils", extra="all")
        drawn = not utils.are_progress_bars_disabled()
        try:
            if drawn:
                utils.disable_progress_bars()
            yield
        finally:
            if drawn:
                utils.enable_progress_bars()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what huggingface_hub and its HTTP library raise into an error of ours.

        Raises:
            StoreError: In their place.
        """
        known = self._errors
        try:
            yield
        except (known.EntryNotFoundError, StoreError):
            raise
        except (
            known.HTTPError,
            known.OfflineModeIsEnabled,
            RuntimeError,
            known.FileMetadataError,
            known.RevisionResolutionError,
            ConnectionError,
        ) as error:
            raise StoreError(f"{self.where}: {_said(error)}") from None


def _silent(utils: Any) -> type:  # noqa: ANN401 - a module that is imported late
    class Silent(utils.tqdm):  # type: ignore[misc]  # the same
        """A progress bar that shows none."""

        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - tqdm's own
            super().__init__(*args, **{**options, "disable": True})

    return Silent


def _said(error: BaseException) -> str:
    """Take the first line of a message: the next may hold addresses with tokens in them."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
