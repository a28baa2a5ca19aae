# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face Hub on loopback: as much of its interface as huggingface_hub uses without Xet."""

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

from lifeseal.testing._repositories import Blob, Repositories, Repository, pointer
from lifeseal.testing._server import HttpError, Reply, Request, serving

Kind: TypeAlias = Literal["model", "dataset", "space"]
_OWNER = "acme"
_NAME = r"[^/]+/[^/]+"
_FIXED: Mapping[str, object] = {
    "/api/whoami-v2": {"type": "user", "name": _OWNER, "auth": {"accessToken": {"role": "write"}}, "orgs": []},
    "/api/validate-yaml": {"errors": [], "warnings": []},
}
_CREATE = re.compile(r"/api/repos/create")
_API = re.compile(rf"/api/(model|dataset|space)s/({_NAME})(?:/(preupload|commit|revision|tree|paths-info|refs)(?:/([^/]+)(?:/(.*))?)?)?")
_BATCH = re.compile(rf"/(?:datasets/|spaces/)?{_NAME}\.git/info/lfs/objects/batch")
_UPLOAD = re.compile(r"/_lfs/([0-9a-f]{64})")
_FILE = re.compile(rf"/(?:(dataset|space)s/)?({_NAME})/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Hub:
    """A Hub whose repositories lie in memory.

    Clients take its address as ``endpoint=``, or from ``HF_ENDPOINT`` (read when huggingface_hub is imported), with
    ``HF_HUB_DISABLE_XET=1``. Every token is accepted.

    Attributes:
        url: Where it answers.
        requests: What was asked, method and path, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self._repositories = Repositories()

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment to use this Hub and no other."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": "hf_loopback", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def add(self, name: str, files: Mapping[str, bytes], *, kind: Kind = "model") -> str:
        """Put files into a repository, which is made if it is not there; other files of it go.

        Args:
            name: ``owner/name``.
            files: Content by path.
            kind: Of repository.

        Returns:
            The commit.
        """
        try:
            repository = self._repositories.get(kind, name)
        except HttpError:
            repository = self._repositories.create(kind, name)
        return repository.commit({path: self._repositories.blob(content) for path, content in files.items()})

    def files(self, name: str, *, revision: str = "main", kind: Kind = "model") -> Mapping[str, bytes]:
        """Look into a repository.

        Args:
            name: ``owner/name``.
            revision: A branch, tag or commit.
            kind: Of repository.

        Returns:
            Content by path.
        """
        _, found = self._repositories.get(kind, name).at(revision)
        return {path: blob.content for path, blob in found.items()}

    def replace(self, name: str, path: str, content: bytes, *, kind: Kind = "model") -> None:
        """Change a file behind its commit's back, as a Hub that was broken into would.

        Args:
            name: ``owner/name``.
            path: In the repository, at ``main``.
            content: What is handed out from now on, under the old names.
            kind: Of repository.
        """
        repository = self._repositories.get(kind, name)
        commit, found = repository.at("main")
        repository.commits[commit] = {**found, path: attrs.evolve(found[path], content=content)}

    def answer(self, request: Request) -> Reply:
        """Answer a client.

        Args:
            request: What was asked.

        Returns:
            The reply.
        """
        self.requests.append(f"{request.method} {request.path}")
        path = urlsplit(request.path).path
        if path in _FIXED:
            return _json(_FIXED[path])
        for pattern, reply in ((_CREATE, self._create), (_BATCH, self._batch), (_UPLOAD, self._upload), (_API, self._api), (_FILE, self._download)):
            if found := pattern.fullmatch(path):
                return reply(found, request)
        raise HttpError(404, "NotFound")

    def _create(self, _: re.Match[str], request: Request) -> Reply:
        asked = json.loads(request.body)
        kind = asked.get("type") or "model"
        name = f"{asked.get('organization') or _OWNER}/{asked['name']}"
        try:
            self._repositories.create(kind, name)
        except HttpError as error:
            return _json({"error": "exists", "url": f"{self.url}/{name}", "id": name}, status=error.status)
        return _json({"url": f"{self.url}/{'' if kind == 'model' else f'{kind}s/'}{name}", "id": name})

    def _batch(self, _: re.Match[str], request: Request) -> Reply:
        objects = []
        for wanted in json.loads(request.body)["objects"]:
            actions = {} if wanted["oid"] in self._repositories.large else {"actions": {"upload": {"href": f"{self.url}/_lfs/{wanted['oid']}"}}}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
        return _json({"transfer": "basic", "objects": objects})

    def _upload(self, found: re.Match[str], request: Request) -> Reply:
        if hashlib.sha256(request.body).hexdigest() != found[1]:
            raise HttpError(400, "BadOid")
        self._repositories.large[found[1]] = request.body
        return Reply()

    def _api(self, found: re.Match[str], request: Request) -> Reply:
        kind, name, verb = found[1], found[2], found[3]
        revision, rest = unquote(found[4] or "main"), unquote(found[5] or "")
        repository = self._repositories.get(kind, name)
        commit, files = repository.at(revision)
        answers: Mapping[str | None, Callable[[], object]] = {
            None: lambda: _info(name, commit, files),
            "revision": lambda: _info(name, commit, files),
            "preupload": lambda: {"files": [self._planned(entry, files) for entry in json.loads(request.body)["files"]]},
            "commit": lambda: self._commit(repository, name, revision, request.body),
            "tree": lambda: [_entry(path, blob) for path, blob in sorted(files.items()) if path.startswith(f"{rest}/" if rest else "")],
            "paths-info": lambda: [_entry(path, files[path]) for path in _paths(request.body) if path in files],
            "refs": lambda: {
                "branches": [{"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": target} for ref, target in repository.refs.items()],
                "tags": [],
                "converts": [],
            },
        }
        return _json(answers[verb]())

    def _download(self, found: re.Match[str], request: Request) -> Reply:
        repository = self._repositories.get(found[1] or "model", found[2])
        return _download(repository, unquote(found[3]), unquote(found[4]), request)

    def _planned(self, entry: Any, files: Mapping[str, Blob]) -> dict[str, object]:  # noqa: ANN401 - JSON
        path, large = entry["path"], entry["size"] > self._repositories.over
        known = {"oid": files[path].git_id} if path in files else {}
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known}

    def _commit(self, repository: Repository, name: str, branch: str, body: bytes) -> dict[str, object]:
        parent, files = repository.at(branch)
        changed = dict(files)
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    if value.get("parentCommit", parent) != parent:
                        raise HttpError(412, "PreconditionFailed")
                case "file":
                    changed[value["path"]] = Blob.of(base64.b64decode(value["content"]), large=False)
                case "lfsFile":
                    changed[value["path"]] = Blob.of(self._repositories.large[value["oid"]], large=True)
                case "deletedFile":
                    changed.pop(value["path"], None)
                case "deletedFolder":
                    folder = f"{value['path'].rstrip('/')}/"
                    changed = {path: blob for path, blob in changed.items() if not path.startswith(folder)}
                case other:
                    raise HttpError(400, f"unknown operation {other}")
        commit = repository.commit(changed, branch=branch)
        return {"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{name}/commit/{commit}", "hookOutput": ""}


def _download(repository: Repository, revision: str, path: str, request: Request) -> Reply:
    commit, files = repository.at(revision)
    if path not in files:
        raise HttpError(404, "EntryNotFound")
    blob = files[path]
    headers = {"ETag": f'"{blob.etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if blob.large:
        headers |= {"X-Linked-Size": str(len(blob.content)), "X-Linked-Etag": f'"{blob.etag}"'}
    if wanted := _RANGE.fullmatch(request.headers.get("range", "")):
        start, last = int(wanted[1]), min(int(wanted[2] or len(blob.content)), len(blob.content) - 1)
        headers["Content-Range"] = f"bytes {start}-{last}/{len(blob.content)}"
        return Reply(body=blob.content[start : last + 1], status=206, kind="application/octet-stream", headers=headers)
    return Reply(body=blob.content, kind="application/octet-stream", headers=headers)


def _entry(path: str, blob: Blob) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.git_id}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(pointer(blob.sha256, len(blob.content)))}
    return entry


def _info(name: str, commit: str, files: Mapping[str, Blob]) -> dict[str, object]:
    counts = {"private": False, "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
    return {"_id": "0", "id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": path} for path in sorted(files)], **counts}


def _paths(body: bytes) -> list[str]:
    """Read the paths asked for, sent as JSON or as a form."""
    found = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
    return [found] if isinstance(found, str) else found


def _json(document: object, *, status: int = 200) -> Reply:
    return Reply(body=json.dumps(document).encode(), status=status)


@contextlib.contextmanager
def hub() -> Iterator[Hub]:
    """Run a Hub on a random loopback port.

    Yields:
        The Hub, empty.
    """
    running = Hub()
    with serving(running.answer) as url:
        running.url = url
        yield running
