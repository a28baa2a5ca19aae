# SPDX-License-Identifier: Apache-2.0
"""Datasets with a manifest: the manifest's signature first, then what it names and nothing else, into a folder of the caller's."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, ProgressCallback, Report, StrPath, make_folder, new_hasher, read_through, remove, replacing
from lifeseal.attestation import Bundle, Policy, Waiver, Withdrawals
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, StoreError
from lifeseal.hub._client import Client
from lifeseal.hub._pull import compare
from lifeseal.hub._push import Push, commit
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.provenance import Manifest

MANIFEST = "lifeseal.manifest.json"
SIGNATURE = f"{MANIFEST}.sig"
LEAVES = f"{MANIFEST}.leaves"
_BUFFER = 1 << 20


@attrs.frozen(kw_only=True)
class PulledData:
    """A dataset that was pulled and compared.

    Attributes:
        manifest: What somebody trusted signed; it knows its leaf files.
        path: The folder of the data, for `lifeseal.provenance.checked` and its like.
        commit: What the revision meant.
    """

    manifest: "Manifest"
    path: Path
    commit: str


@implements(
    "5.4.1",
    "7.1",
    evidences=("2.4", "5.2", "8.2"),
    limits="It says who signed the manifest and that the data is what it names; the folder is the caller's to protect afterwards.",
)
def pull_data(
    repo: str,
    out: StrPath,
    *,
    policy: Policy,
    revision: str = "main",
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    ignore: Iterable[str] = (),
    cache: StrPath | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    offline: bool = False,
    progress: ProgressCallback = None,
) -> PulledData:
    """Bring a dataset and its signed manifest into a new folder.

    The revision is resolved to a commit once. Manifest and signature are fetched and checked before anything else, the names at the commit
    are compared with those the manifest has, and only these are fetched. From the Hub's cache each file is copied, and compared while it is
    copied, so that what lies in ``out`` afterwards is what was recorded, whatever becomes of the cache. The manifest is written last: a folder
    without one is what a killed process left, and is to be removed.

    Args:
        repo: ``owner/name``.
        out: The new folder: ``data`` and, beside it, the manifest with its signature and leaf files.
        policy: Whose signatures count for datasets; there is no default.
        revision: A branch, tag or commit.
        withdrawals: See `lifeseal.provenance.open_manifest`.
        waiver: See `lifeseal.provenance.open_manifest`.
        ignore: Files at the commit that the manifest need not have and that are not fetched, as ``README.md``.
        cache: The cache's folder; by default that of huggingface_hub.
        endpoint: The Hub's address; by default that of huggingface_hub.
        token: For private repositories; by default the one that huggingface_hub finds.
        offline: Ask the cache alone, and no network.
        progress: Called while files are copied; raising from it stops the work.

    Returns:
        The manifest and where its data lies.

    Raises:
        DigestMismatchError: The commit holds files that the manifest has not, or lacks some, or a file is not what was recorded; nothing is
            left in ``out``, and that file is dropped from the cache.
        FileExistsError: ``out`` is there already.
        FormatError: Manifest or signature is not what the formats say.
        OSError: The cache or ``out`` cannot be read or written.
        PolicyError: The commit has no signed manifest, or one by another signer.
        SignatureError: The signature does not verify.
        StoreError: The repository or the revision is not there, or the Hub does not answer; offline, something is not in the cache.
        WithdrawnError: The dataset or its signer was withdrawn.
    """
    client = Client(repo, kind="dataset", cache=cache, endpoint=endpoint, token=token, offline=offline)
    note(dataset=repo, revision=revision)
    at = client.resolve(revision)
    note(commit=at)
    signature, lies = client.fetch(SIGNATURE, at), client.fetch(MANIFEST, at)
    if signature is None or lies is None:
        raise PolicyError(
            f"{client.where}: no signed manifest: {MANIFEST} and {SIGNATURE} are not both at commit {at}{' in the cache' if offline else ''}"
        )
    from lifeseal.provenance import Manifest, open_manifest

    manifest = open_manifest(lies, policy=policy, signature=Bundle.load(signature), withdrawals=withdrawals, waiver=waiver)
    beside = tuple(f"{LEAVES}/{name}" for name in manifest.leaf_names)
    names = tuple(file.path for file in manifest.files)
    if not offline:
        compare(client, at, (*names, *beside), frozenset(ignore) | {MANIFEST, SIGNATURE})
        client.fetch_all((*names, *beside), at)
    folder = Path(out)
    make_folder(folder)
    try:
        report = Report("copying", manifest.size, progress)
        snapshot = client.snapshot(at)
        with _taken(client, at):
            for file in manifest.files:
                _copy(snapshot, file.path, folder / "data" / file.path, file.sha256, report.add)
            for name in manifest.leaf_names:
                _copy(snapshot, f"{LEAVES}/{name}", folder / LEAVES / name, None, lambda _: None)
        manifest.write(folder / MANIFEST)
        Bundle.load(signature).write(folder / SIGNATURE)
        if not offline:
            client.remember(revision, at)
        return PulledData(manifest=Manifest.load(folder / MANIFEST, leaves=folder / LEAVES), path=folder / "data", commit=at)
    except BaseException:
        _clear(folder)
        raise


@implements(
    evidences=("2.4", "5.2", "8.2"),
    limits="The Hub can serve other bytes later; whoever pulls checks that. The token of huggingface_hub decides who may write.",
)
def push_data(
    folder: StrPath,
    repo: str,
    *,
    manifest: "Manifest",
    signature: Bundle,
    branch: str = "main",
    ignore: Iterable[str] = (),
    message: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: ProgressCallback = None,
) -> Push:
    """Compare a dataset with its manifest, and upload both and the signature in one commit.

    Files of the repository that are not among them are removed by that commit, because nobody could pull it otherwise; not those that are
    ignored. The manifest becomes ``lifeseal.manifest.json``.

    Args:
        folder: The data, as it was recorded.
        repo: ``owner/name``; made if it is not there.
        manifest: What was recorded; its leaf files must be there, if records were hashed.
        signature: Of the manifest, from `lifeseal.provenance.sign`.
        branch: Where the commit goes.
        ignore: Paths in the repository that are left as they are, as ``README.md``.
        message: Of the commit.
        private: Whether a new repository is private.
        endpoint: The Hub's address; by default that of huggingface_hub.
        token: By default the one that huggingface_hub finds.
        progress: Called while the data is compared; raising from it stops the work.

    Returns:
        What was pushed.

    Raises:
        DigestMismatchError: The data is not what was recorded; nothing was uploaded.
        FormatError: A lone file was recorded, a file has a name that the manifest needs, or it is not known where its leaf files are.
        OSError: Something cannot be read.
        StoreError: The Hub does not answer, refuses, or the branch moved meanwhile; the message says that nothing was committed.
    """
    with DiskSource(folder) as source:
        if not source.is_folder:
            raise FormatError(source.where, "a folder was expected")
        place = source.path
    names = tuple(file.path for file in manifest.files)
    taken = next((name for name in names if name in {MANIFEST, SIGNATURE} or name.split("/")[0] == LEAVES), None)
    if taken is not None:
        raise FormatError(f"{place}: {taken!r}", "another name was expected; the manifest has that one in a repository")
    leaves = manifest.leaf_names
    if leaves and manifest.leaves is None:
        raise FormatError(manifest.description.name, "the folder of its leaf files is not known; load the manifest from its file, or give leaves=")
    from lifeseal.provenance import verify

    verify(manifest, place, progress=progress)
    note(dataset=repo, subject=manifest.digest)
    contents: dict[str, Path | bytes] = {name: place / name for name in names}
    contents |= {MANIFEST: manifest.to_bytes(), SIGNATURE: signature.to_bytes()}
    contents |= {f"{LEAVES}/{name}": (manifest.leaves or place) / name for name in leaves}
    client = Client(repo, kind="dataset", endpoint=endpoint, token=token)
    done = commit(client, contents, branch=branch, keep=frozenset(ignore), message=message, private=private)
    note(commit=done.commit, files=len(names))
    return attrs.evolve(done, files=names)


@contextlib.contextmanager
def _taken(client: Client, at: str) -> Iterator[None]:
    """Tell what is missing in the cache, and drop from it what differs."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"{client.where}: {error.filename or error} is not in the cache {client.cache}") from None
    except DigestMismatchError as error:
        for name in error.changed:
            client.forget(name, at)
        raise DigestMismatchError(f"{client.where}, commit {at[:12]}", changed=error.changed) from None


def _copy(snapshot: Path, name: str, target: Path, sha256: bytes | None, took: Callable[[int], None]) -> None:
    """Copy one file out of the cache, comparing it on the way; it has its name only if it is right."""
    for parent in reversed(target.parents):
        if not parent.exists():
            make_folder(parent)
    hasher = new_hasher("sha256")
    with DiskSource(snapshot, links=frozenset({"hub-cache"})) as source, source.open(name) as reader, replacing(target, overwrite=False) as output:

        def take(piece: memoryview) -> None:
            hasher.update(piece)
            output.write(piece)
            took(len(piece))

        read_through(reader, f"{source.where}: {name!r}", memoryview(bytearray(_BUFFER)), take)
        if sha256 is not None and hasher.digest() != sha256:
            raise DigestMismatchError(source.where, changed=(name,))


def _clear(folder: Path) -> None:
    """Take away what was copied; nothing else can be in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else remove(path)
    with contextlib.suppress(OSError):
        folder.rmdir()
