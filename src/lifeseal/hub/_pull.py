# SPDX-License-Identifier: Apache-2.0
"""Pulling: the commit first, then the signature, then what it names and nothing else."""

from collections.abc import Iterable

from lifeseal._io import ProgressCallback, StrPath
from lifeseal.attestation import Bundle, Policy, Waiver, Withdrawals
from lifeseal.errors import DigestMismatchError, PolicyError, StoreError
from lifeseal.hub._client import Client, Kind
from lifeseal.principles import implements, note
from lifeseal.signing import SignedModel, Verification, open_model, signed_names
from lifeseal.signing import verify as verify_model

SIGNATURE = "model.sig"
_LIMITS = "It says who signed what was pulled. Who may write to the repository, and what else it holds, is the Hub's affair."


@implements("7.1", "5.3.1", evidences=("2.4", "9.2"), limits=_LIMITS)
def pull(
    repo: str,
    *,
    policy: Policy,
    revision: str = "main",
    kind: Kind = "model",
    expect: str | None = None,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    ignore: Iterable[str] = (),
    cache: StrPath | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    offline: bool = False,
    progress: ProgressCallback = None,
) -> SignedModel:
    """Bring a signed repository into the Hub's cache, and open it.

    The revision is resolved to a commit once. The signature is fetched and checked before anything else, the names at the commit are
    compared with those it names, and only these are fetched. What was fetched is read and compared at once; a file that differs is dropped
    from the cache. What was there before is compared when it is read, as with `lifeseal.signing.open_model`.

    Args:
        repo: ``owner/name``.
        policy: Whose signatures count; there is no default.
        revision: A branch, tag or commit; give a commit or ``expect`` to have the same model tomorrow.
        kind: Of repository. For a dataset too it is ``model.sig`` that is looked for.
        expect: See `lifeseal.signing.open_model`.
        withdrawals: See `lifeseal.signing.open_model`.
        waiver: See `lifeseal.signing.open_model`; an unsigned repository is not pulled under any.
        ignore: Files at the commit that need not be signed and are not fetched, as ``README.md``.
        cache: The cache's folder; by default that of huggingface_hub.
        endpoint: The Hub's address; by default that of huggingface_hub.
        token: For private repositories; by default the one that huggingface_hub finds.
        offline: Ask the cache alone, and no network.
        progress: Called while what was fetched is read; raising from it stops the work.

    Returns:
        The model. Close it, or use it in a ``with`` block.

    Raises:
        DigestMismatchError: The commit holds files that nobody signed, or lacks signed ones, or what was fetched is not what was signed.
        FormatError: The signature is not what the formats say.
        LimitError: See `lifeseal.signing.open_model`.
        OSError: The cache cannot be read or written.
        PolicyError: The commit is unsigned, or signed by another signer or for another use, or is not the digest expected.
        SignatureError: The signature does not verify.
        StoreError: The repository or the revision is not there, or the Hub does not answer; offline, something is not in the cache.
        WithdrawnError: The model or its signer was withdrawn.
    """
    client = Client(repo, kind=kind, cache=cache, endpoint=endpoint, token=token, offline=offline)
    note(model=repo, revision=revision)
    commit = client.resolve(revision)
    note(commit=commit)
    signature = client.fetch(SIGNATURE, commit)
    if signature is None:
        raise PolicyError(f"{client.where}: unsigned: no {SIGNATURE} at commit {commit}{' in the cache' if offline else ''}")
    left_out = frozenset(ignore)
    names = signed_names(Bundle.load(signature), policy=policy, withdrawals=withdrawals, waiver=waiver, where=f"{client.where}, {SIGNATURE}")
    new = False
    if not offline:
        compare(client, commit, names, left_out | {SIGNATURE})
        new = client.fetch_all(names, commit)
    opened = open_model(
        client.snapshot(commit),
        policy=policy,
        expect=expect,
        withdrawals=withdrawals,
        waiver=waiver,
        ignore=left_out,
        links="hub-cache",
    )
    try:
        if new:
            _check(client, commit, opened, progress)
        if not offline:
            client.remember(revision, commit)
    except BaseException:
        opened.close()
        raise
    note(subject=opened.subject.digest, fetched=new)
    return opened


@implements(
    "5.3.1",
    "7.1",
    evidences=("2.4", "9.2"),
    limits="A report on the moment of reading: a library that loads from the cache afterwards reads it again, unchecked.",
)
def verify(
    repo: str,
    *,
    policy: Policy,
    revision: str = "main",
    kind: Kind = "model",
    cache: StrPath | None = None,
    expect: str | None = None,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    ignore: Iterable[str] = (),
    progress: ProgressCallback = None,
) -> Verification:
    """Check what the cache holds of a repository, as it is, without the network.

    Args:
        repo: ``owner/name``.
        policy: Whose signatures count.
        revision: A branch or tag as the cache knows it, or a commit.
        kind: Of repository.
        cache: The cache's folder; by default that of huggingface_hub.
        expect: See `lifeseal.signing.verify`.
        withdrawals: See `lifeseal.signing.verify`.
        waiver: See `lifeseal.signing.verify`.
        ignore: See `lifeseal.signing.verify`.
        progress: See `lifeseal.signing.verify`.

    Returns:
        What was established.

    Raises:
        DigestMismatchError: Files are missing, unsigned or changed; lists them.
        FormatError: See `lifeseal.signing.verify`.
        LimitError: See `lifeseal.signing.verify`.
        OSError: Something cannot be read.
        PolicyError: See `lifeseal.signing.verify`.
        SignatureError: The signature does not verify.
        StoreError: The repository or revision is not in the cache.
        WithdrawnError: See `lifeseal.signing.verify`.
    """
    client = Client(repo, kind=kind, cache=cache, offline=True)
    note(model=repo, revision=revision)
    snapshot = client.snapshot(client.resolve(revision))
    if not snapshot.is_dir():
        raise StoreError(f"{client.where}: commit {snapshot.name} is not in the cache {client.cache}")
    return verify_model(
        snapshot,
        policy=policy,
        expect=expect,
        withdrawals=withdrawals,
        waiver=waiver,
        ignore=ignore,
        links="hub-cache",
        progress=progress,
    )


def compare(client: Client, commit: str, names: tuple[str, ...], ignore: frozenset[str]) -> None:
    """Refuse a commit whose names are not those that were signed, before anything is fetched."""
    there = set(client.names(commit))
    free = ignore | {".gitattributes"}
    extra = tuple(sorted(name for name in there - set(names) if name not in free))
    missing = tuple(sorted(set(names) - there))
    if extra or missing:
        raise DigestMismatchError(f"{client.where}, commit {commit[:12]}", missing=missing, extra=extra)


def _check(client: Client, commit: str, opened: SignedModel, progress: ProgressCallback) -> None:
    """Read what was fetched; what differs goes from the cache, else it would stay there for good."""
    try:
        opened.verify(progress)
    except DigestMismatchError as error:
        for name in error.changed:
            client.forget(name, commit)
        raise DigestMismatchError(f"{client.where}, commit {commit[:12]}", changed=error.changed) from None
