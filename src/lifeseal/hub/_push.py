# SPDX-License-Identifier: Apache-2.0
"""Pushing: signed, and with nothing beside what was signed."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from lifeseal._io import DiskSource, HashName, ProgressCallback, StrPath
from lifeseal.attestation import Signer
from lifeseal.errors import FormatError, StoreError
from lifeseal.hub._client import Client, Kind
from lifeseal.hub._pull import SIGNATURE
from lifeseal.principles import implements, note
from lifeseal.signing import listed_names, sign


@attrs.frozen(kw_only=True)
class Push:
    """What was pushed.

    Attributes:
        repo: ``owner/name``.
        commit: The new commit.
        files: Files that were signed.
        removed: Files of the repository that nobody signed any more, and that the commit removed.
    """

    repo: str
    commit: str
    files: tuple[str, ...]
    removed: tuple[str, ...]


@implements(
    "7.1",
    evidences=("2.4", "5.3.1"),
    limits="The Hub can serve other bytes later; whoever pulls checks that. The token of huggingface_hub decides who may write.",
)
def push(
    folder: StrPath,
    repo: str,
    *,
    signer: Signer,
    branch: str = "main",
    kind: Kind = "model",
    hash: HashName = "sha256",  # noqa: A002 - the format's word
    shard_size: int | None = None,
    ignore: Iterable[str] = (),
    message: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    progress: ProgressCallback = None,
) -> Push:
    """Sign a folder and upload it in one commit that holds what was signed and the signature.

    Files of the repository that are not among them are removed by that commit, because nobody could pull it otherwise; not those that are
    ignored. Ignore ``README.md`` if it is to be edited on the Hub: each edit there, and what the Hub's bots write into its first lines, would
    break the signature. An ignored file is neither signed nor uploaded.

    Args:
        folder: What to push; ``model.sig`` is written into it.
        repo: ``owner/name``; made if it is not there.
        signer: Who signs.
        branch: Where the commit goes.
        kind: Of repository.
        hash: See `lifeseal.signing.sign`.
        shard_size: See `lifeseal.signing.sign`.
        ignore: Relative paths that are left out.
        message: Of the commit.
        private: Whether a new repository is private.
        endpoint: The Hub's address; by default that of huggingface_hub.
        token: By default the one that huggingface_hub finds.
        progress: See `lifeseal.signing.sign`.

    Returns:
        What was pushed.

    Raises:
        FormatError: ``folder`` is a file, or holds what cannot be signed.
        LimitError: See `lifeseal.signing.sign`.
        OSError: Something cannot be read, or the signature not written.
        StoreError: The Hub does not answer, refuses, or the branch moved meanwhile; the message says that nothing was committed.
    """
    left_out = frozenset(ignore)
    with DiskSource(folder) as source:
        if not source.is_folder:
            raise FormatError(source.where, "a folder was expected")
        place = source.path
    note(model=repo)
    bundle = sign(folder, signer=signer, hash=hash, shard_size=shard_size, ignore=left_out, progress=progress)
    names = listed_names(bundle, where=f"{place}/{SIGNATURE}")
    client = Client(repo, kind=kind, endpoint=endpoint, token=token)
    contents: dict[str, Path | bytes] = {name: place / name for name in (*names, SIGNATURE)}
    try:
        done = commit(client, contents, branch=branch, keep=left_out, message=message, private=private)
    except StoreError as error:
        error.add_note("the signature lies in the folder")
        raise
    note(commit=done.commit, files=len(names))
    return attrs.evolve(done, files=names)


def commit(client: Client, contents: Mapping[str, Path | bytes], *, branch: str, keep: frozenset[str], message: str | None, private: bool) -> Push:
    """Make a repository hold these files and no others, in one commit.

    Args:
        client: The repository; made if it is not there.
        contents: By name.
        branch: Where the commit goes.
        keep: Names that are left as they are.
        message: Of the commit.
        private: Whether a new repository is private.

    Returns:
        What was done; ``files`` are all names.

    Raises:
        StoreError: The Hub does not answer, refuses, or the branch moved meanwhile; nothing was committed.
    """
    hub, api = client.hub, client.api
    try:
        with client.quietly(), client.errors():
            api.create_repo(client.repo, repo_type=client.kind, private=private, exist_ok=True)
            head = client.resolve(branch)
            stays = keep | {".gitattributes", *contents}
            removed = tuple(sorted(name for name in client.names(head) if name not in stays))
            operations = [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in contents.items()]
            operations += [hub.CommitOperationDelete(path_in_repo=name) for name in removed]
            text = message or "Signed with lifeseal"
            made = api.create_commit(client.repo, operations, commit_message=text, repo_type=client.kind, revision=branch, parent_commit=head).oid
    except StoreError as error:
        error.add_note("nothing was committed")
        raise
    return Push(repo=client.repo, commit=str(made), files=tuple(contents), removed=removed)
