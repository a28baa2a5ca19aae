# SPDX-License-Identifier: Apache-2.0
"""Where remote files lie: any file system of fsspec, S3, or a dataset on the Hugging Face Hub."""

import base64
import binascii
import datetime as dt
import functools
import os
import pickle
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from lifeseal._io import require
from lifeseal.errors import FormatError, StoreError
from lifeseal.provenance._retry import Asking, Meaning, plain_meaning

_EXTRA = "remote"
_SHA256 = 32
_NEVER = 9e9  # seconds: a change that nobody can tell from the next one


class Listed(NamedTuple):
    """A file as the server listed it.

    Attributes:
        name: Below the place that was given.
        size: Bytes.
        tag: What becomes another when the content does: an ETag, a commit's blob, a time.
        stated: The digest that the server has of it, if the listing said so.
        changed: When it was changed, nanoseconds since 1970, where the tag is no more than that; 0 where it is.
    """

    name: str
    size: int
    tag: str
    stated: bytes = b""
    changed: int = 0


class Store(Protocol):
    """Reads one place. Its objects know the listing, so that what is read is what was listed."""

    asking: Asking
    pinned: str
    alone: bool

    def listing(self) -> Iterator[Listed]:
        """List the files of the place, which is a file itself if it says ``alone`` then."""

    def fetch(self, file: Listed, start: int, end: int) -> bytes:
        """Read a stretch; may return less. Raises the library's errors."""

    def now(self, file: Listed) -> Listed:
        """Tell how it is now; the same where a changed file could not have been read."""

    def stated(self, file: Listed) -> bytes:
        """Ask for the digest that the server has of it; empty if it has none."""

    def git_id(self, file: Listed) -> str:
        """Tell git's name for the content, where that is all the server has."""


class AnyStore:
    """A file system that fsspec knows.

    Args:
        url: With its protocol.
        options: For the file system.
        asking: How it is asked.
    """

    pinned = ""

    def __init__(self, url: str, options: Mapping[str, Any], asking: Asking) -> None:
        self.asking = asking
        self.alone = False
        protocol = url.partition("://")[0]
        self._fs = _file_system(protocol, pickle.dumps({**_said_in(url, protocol), **options}), os.getpid())
        self._root = str(self._fs._strip_protocol(url)).rstrip("/")  # noqa: SLF001 - the only way to a file system's own form of a URL

    def listing(self) -> Iterator[Listed]:
        """List the files of the place."""
        self._fs.invalidate_cache()
        found = self.asking.ask(lambda: self._fs.info(self._root))
        if found["type"] != "directory":
            self.alone = True
            return iter([self._listed(self._root.rpartition("/")[2], found)])
        entries = self.asking.ask(lambda: self._fs.find(self._root, detail=True))
        # Folders may be listed with a slash, as stores do that have none.
        files = ((str(path), info) for path, info in entries.items() if info["type"] == "file")
        return (self._listed(path.removeprefix(self._root).removeprefix("/"), info) for path, info in files)

    def fetch(self, file: Listed, start: int, end: int) -> bytes:
        """Read a stretch."""
        data: bytes = self._fs.cat_file(self._path(file), start=start, end=end)
        return data

    def now(self, file: Listed) -> Listed:
        """Tell how it is now."""
        self._fs.invalidate_cache()
        return self._listed(file.name, self.asking.ask(lambda: self._fs.info(self._path(file)), file.name, listed=True))

    def stated(self, file: Listed) -> bytes:  # noqa: ARG002 - as the protocol has it
        """Tell that it has no digest."""
        return b""

    def git_id(self, file: Listed) -> str:  # noqa: ARG002 - as the protocol has it
        """Tell that it is not git's."""
        return ""

    def _path(self, file: Listed) -> str:
        return self._root if self.alone else f"{self._root}/{file.name}"

    def _listed(self, name: str, info: Mapping[str, Any]) -> Listed:
        size = info.get("size")
        if not isinstance(size, int):
            raise FormatError(f"{self.asking.where}: {name!r}", "the server does not tell its size")
        if tag := next((str(info[key]) for key in ("ETag", "etag", "md5") if info.get(key)), ""):
            return Listed(name, size, tag)
        time = next((info[key] for key in ("mtime", "LastModified", "last_modified", "modified", "created") if info.get(key)), _NEVER)
        changed = time.timestamp() if isinstance(time, dt.datetime) else time if isinstance(time, int | float) else _NEVER
        # The same time is a number in a listing and a date elsewhere, in some file systems.
        return Listed(name, size, str(time if changed == _NEVER else changed), changed=int(changed * 1_000_000_000))


class S3Store:
    """A bucket of S3, or of a server that speaks like it.

    What is read is what was listed, because each request names the ETag. SHA-256 that the server keeps (it is asked with
    ``ChecksumMode=ENABLED``) counts only if it is of the whole object.

    Args:
        url: ``s3://BUCKET/PREFIX``.
        options: For s3fs; credentials come from the ordinary chain if they do not hold any.
        asking: How it is asked.
        patience: Seconds for one answer.
    """

    pinned = ""

    def __init__(self, url: str, options: Mapping[str, Any], asking: Asking, *, patience: float) -> None:
        self.asking = asking
        config = {"connect_timeout": patience, "read_timeout": patience, "retries": {"total_max_attempts": 1}}
        config |= options.get("config_kwargs", {})
        self._fs = _file_system("s3", pickle.dumps({**options, "config_kwargs": config}), os.getpid())
        self._fs.retries = 1  # attempts are counted in one place
        self._patience = patience
        self._bucket, _, self._key = url.partition("://")[2].partition("/")
        self._prefix = f"{self._key.rstrip('/')}/" if self._key else ""
        self.alone = False

    def listing(self) -> Iterator[Listed]:
        """List the files of the place."""
        if self._key and not self._key.endswith("/"):
            head = self._head(self._key)
            if head is not None:
                self.alone = True
                return iter([Listed(self._key.rpartition("/")[2], head["ContentLength"], head["ETag"], _ASK)])
        return self._pages()

    def fetch(self, file: Listed, start: int, end: int) -> bytes:
        """Read a stretch."""
        sync = require("fsspec.asyn", extra=_EXTRA).sync
        reply = self._fs.call_s3("get_object", Bucket=self._bucket, Key=self._name(file), Range=f"bytes={start}-{end - 1}", IfMatch=file.tag)
        if reply["ETag"] != file.tag:
            raise FormatError(f"{self.asking.where}: {file.name!r}", "changed while it was recorded: it is another one now")
        data: bytes = sync(self._fs.loop, reply["Body"].read, timeout=2 * self._patience)
        return data

    def now(self, file: Listed) -> Listed:
        """Tell that what was read is what was listed."""
        return file

    def stated(self, file: Listed) -> bytes:
        """Ask for the digest that the server has of the whole object."""
        if file.stated != _ASK:
            return b""
        options = {"Bucket": self._bucket, "Key": self._name(file), "ChecksumMode": "ENABLED", "IfMatch": file.tag}
        head = self.asking.ask(lambda: self._fs.call_s3("head_object", **options), file.name, listed=True)
        if head.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
            return b""
        try:
            digest = base64.b64decode(head.get("ChecksumSHA256", ""), validate=True)
        except binascii.Error:
            return b""  # of a composite checksum the text ends in -PARTS
        return digest if len(digest) == _SHA256 and head["ContentLength"] == file.size else b""

    def git_id(self, file: Listed) -> str:  # noqa: ARG002 - as the protocol has it
        """Tell that it is not git's."""
        return ""

    def _name(self, file: Listed) -> str:
        return self._key if self.alone else f"{self._prefix}{file.name}"

    def _head(self, key: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self.asking.ask(lambda: self._fs.call_s3("head_object", Bucket=self._bucket, Key=key))
        except FileNotFoundError:
            return None
        return found

    def _pages(self) -> Iterator[Listed]:
        more: dict[str, str] = {}
        while True:
            options = {"Bucket": self._bucket, "Prefix": self._prefix, **more}
            page = self.asking.ask(lambda options=options: self._fs.call_s3("list_objects_v2", **options))  # type: ignore[misc]
            for entry in page.get("Contents", ()):
                if not {"Key", "Size", "ETag"} <= entry.keys():
                    raise StoreError(f"{self.asking.where}: an entry of the listing lacks its name, size or ETag")
                name = entry["Key"].removeprefix(self._prefix)
                if (name.endswith("/") and not entry["Size"]) or not name:
                    continue  # what consoles put in place of an empty folder
                kinds = entry.get("ChecksumAlgorithm", ())
                yield Listed(name, entry["Size"], entry["ETag"], _ASK if "SHA256" in kinds else b"")
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or more == {"ContinuationToken": token}:
                raise StoreError(f"{self.asking.where}: the listing says that it goes on, and not where")
            more = {"ContinuationToken": token}


_ASK = b"?"  # in a listing: there is a digest, and the object's head tells it
_HUB = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/@]+))?(?:/(.*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubStore:
    """A dataset on the Hugging Face Hub, at one commit.

    Args:
        url: ``hf://datasets/OWNER/NAME@REVISION`` and a folder or file of it; without a revision, ``main``.
        options: ``token`` and ``endpoint``, by default those of huggingface_hub.
        asking: How it is asked.
        patience: Seconds for one answer.
        resolved: Whether the revision is a commit that the Hub has confirmed.

    Raises:
        ValueError: It is another URL.
    """

    def __init__(self, url: str, options: Mapping[str, Any], asking: Asking, *, patience: float, resolved: bool) -> None:
        found = _HUB.fullmatch(url)
        if found is None:
            raise ValueError(f"a dataset on the Hub is written hf://datasets/OWNER/NAME@REVISION, not {url[:200]!r}")
        self.asking = asking
        self._hub = require("huggingface_hub", extra="all")
        self._utils = require("huggingface_hub.utils", extra="all")
        self._options = {"endpoint": options.get("endpoint"), "token": options.get("token")}
        self._api = self._hub.HfApi(**self._options)
        self._patience = patience
        self._repo, revision, below = found[1], urllib.parse.unquote(found[2] or "main"), (found[3] or "").strip("/")
        self._below = below
        self.alone = False
        self._commit = revision if resolved else self._resolve(revision)
        self.pinned = f"hf://datasets/{self._repo}@{self._commit}" + (f"/{below}" if below else "")

    def listing(self) -> Iterator[Listed]:
        """List the files of the place."""
        tree = self.asking.ask(
            lambda: list(self._api.list_repo_tree(self._repo, recursive=True, revision=self._commit, repo_type="dataset")),
        )
        files = {entry.path: entry for entry in tree if isinstance(entry, self._hub.hf_api.RepoFile)}
        if self._below in files:
            self.alone = True
            return iter([self._listed(self._below.rpartition("/")[2], files[self._below])])
        prefix = f"{self._below}/" if self._below else ""
        return (self._listed(path.removeprefix(prefix), entry) for path, entry in files.items() if path.startswith(prefix))

    def fetch(self, file: Listed, start: int, end: int) -> bytes:
        """Read a stretch."""
        path = self._below if self.alone else f"{self._below}/{file.name}".removeprefix("/")
        url = self._hub.hf_hub_url(self._repo, path, repo_type="dataset", revision=self._commit, endpoint=self._options["endpoint"])
        headers = {**self._utils.build_hf_headers(token=self._options["token"]), "Range": f"bytes={start}-{end - 1}"}
        reply = self._utils.get_session().get(url, headers=headers, follow_redirects=True, timeout=self._patience)
        self._utils.hf_raise_for_status(reply)
        content: bytes = reply.content
        return content if reply.status_code == _PARTIAL else content[start:end]

    def now(self, file: Listed) -> Listed:
        """Tell that a commit does not change."""
        return file

    def stated(self, file: Listed) -> bytes:
        """Tell the digest that the Hub keeps of a large file."""
        return file.stated

    def git_id(self, file: Listed) -> str:
        """Tell git's name for a file that the Hub keeps in git itself."""
        return "" if file.stated else file.tag

    def _resolve(self, revision: str) -> str:
        found = str(self.asking.ask(lambda: self._api.repo_info(self._repo, revision=revision, repo_type="dataset", timeout=self._patience)).sha)
        if not _COMMIT.fullmatch(found) or (_COMMIT.fullmatch(revision) and found != revision):
            raise StoreError(f"{self.asking.where}: revision {revision[:60]!r} is said to be {found[:60]!r}, which is no commit or another one")
        return found

    def _listed(self, name: str, entry: Any) -> Listed:  # noqa: ANN401 - of a package without types here
        if entry.lfs is None:
            return Listed(name, entry.size, entry.blob_id)
        digest = str(entry.lfs.sha256)
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise FormatError(f"{self.asking.where}: {name!r}", f"the Hub tells {digest[:80]!r} where a SHA-256 was expected")
        return Listed(name, entry.lfs.size, entry.blob_id, bytes.fromhex(digest))


_PARTIAL = 206
_DENIED = {401, 403}
_NOT_THERE = {404, 410}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError", "LocalTokenNotFoundError"}
_GONE = {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError", "RemoteEntryNotFoundError"}


def meaning(error: Exception) -> Meaning:
    """Tell what an error of s3fs, huggingface_hub or another library means."""
    kind, text = type(error).__name__, str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if kind == "GatedRepoError" or kind in _NO_CREDENTIALS or status in _DENIED:
        return "denied"
    if kind in _GONE:
        return "gone"
    if "pre-conditions" in text or "PreconditionFailed" in text.replace(" ", "") or "412" in text[:200].split():
        return "changed"
    if type(error.__cause__).__module__.startswith("aiohttp"):  # fsspec calls whatever a web server answers "not found"
        status = getattr(error.__cause__, "status", None)
        return "denied" if status in _DENIED else "gone" if status in _NOT_THERE else "again"
    return plain_meaning(error)


@functools.lru_cache(maxsize=16)
def _file_system(protocol: str, options: bytes, process: int) -> Any:  # noqa: ANN401, ARG001 - of a package without types here; a forked process needs its own
    """Make a file system of this library's own, so that its caches are nobody else's; once, because its start costs more than many reads."""
    fsspec = require("fsspec", extra=_EXTRA)
    if protocol == "s3":
        require("s3fs", extra=_EXTRA)
    try:
        _refuse_unknown(fsspec, protocol)
        return fsspec.filesystem(protocol, skip_instance_cache=True, **pickle.loads(options))  # noqa: S301 - pickled by the line that calls this
    except ImportError as error:
        raise StoreError(f"{protocol}://: {error}") from None
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{protocol}://: fsspec cannot open that without more options: {str(error)[:200]}") from None


def _said_in(url: str, protocol: str) -> dict[str, Any]:
    """Take what a file system needs out of the address itself, as a host and its port."""
    fsspec = require("fsspec", extra=_EXTRA)
    _refuse_unknown(fsspec, protocol)
    try:
        return dict(fsspec.get_filesystem_class(protocol)._get_kwargs_from_urls(url))  # noqa: SLF001 - as fsspec.core.url_to_fs does
    except ImportError as error:
        raise StoreError(f"{protocol}://: {error}") from None
    except (ValueError, TypeError, LookupError, AssertionError):  # of which the text may quote the address, with a password
        raise ValueError(f"{protocol}://: the address is not written as fsspec's file system of that name expects") from None


def _refuse_unknown(fsspec: Any, protocol: str) -> None:  # noqa: ANN401 - a package without types here
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise ValueError(
            f"{protocol}://: fsspec knows no such place; a folder or file, hf://, s3:// or another address of fsspec was expected"
        ) from None
