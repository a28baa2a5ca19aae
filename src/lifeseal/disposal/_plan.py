# SPDX-License-Identifier: Apache-2.0
"""What a disposal would do: nothing is done yet. The search for copies is part of it, so that what would be unlinked is seen before."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from lifeseal._io import ProgressCallback, StrPath, canonical
from lifeseal.attestation import Statement
from lifeseal.disposal._copies import Copy, Search, find_copies
from lifeseal.disposal._json import MAX_TEXT, to_json
from lifeseal.disposal._limits import limitations
from lifeseal.disposal._removal import Target, everything_in, shown
from lifeseal.disposal._twins import twins
from lifeseal.disposal._values import Derivative, DisposedAsset, KnownDigests
from lifeseal.disposal._wanted import Wanted
from lifeseal.errors import LimitError, StateError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.erasure import AssetInfo, Vault
    from lifeseal.provenance import Manifest

ORDER_SCHEMA = "lifeseal.disposal-order/1"
Remove: TypeAlias = Literal["none", "files", "all"]
_MAX_ASSETS = 20_000
_REMOVED: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "files": frozenset({"file", "partial", "name"}),
    "all": frozenset({"file", "partial", "name", "tensors"}),
}


@attrs.frozen(kw_only=True)
class Plan:
    """What a disposal would erase and unlink, and what it would not reach; nothing is done yet.

    Attributes:
        vault: The open vault; None if everything lies in plaintext.
        assets: What would be disposed of, with digests taken now.
        request: Reference of the request, or empty.
        places: Where copies were searched for.
        search: What was found there; None if no places were given.
        targets: Names that would be unlinked.
        folders: Folders that would be removed when that empties them.
        kept: Copies that people decided to keep.
        derivatives: What was made from the assets, and would not be erased.
        manifests: Manifests that would still hold unkeyed digests.
        limitations: What would go into the certificate.
    """

    vault: "Vault | None"
    assets: tuple[DisposedAsset, ...]
    request: str
    places: tuple[Path, ...] = ()
    search: Search | None = None
    targets: tuple[Target, ...] = attrs.field(default=(), repr=lambda t: f"<{len(t)} names>")
    folders: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    derivatives: tuple[Derivative, ...] = ()
    manifests: tuple[KnownDigests, ...] = ()
    limitations: tuple[str, ...]
    wanted: Wanted | None = attrs.field(default=None, repr=False)
    people: tuple[str, ...] = attrs.field(default=(), repr=lambda p: f"<{len(p)} people>")

    @property
    def order(self) -> bytes:
        """What exactly would be done, as canonical JSON: for `approve`, and for the journal. It names no person."""
        return canonical(
            {
                "schema": ORDER_SCHEMA,
                "vault": "" if self.vault is None else self.vault.id,
                "request": self.request,
                "assets": to_json(self.assets),
                "places": [shown(place) for place in self.places],
                "unlink": [target.to_json() for target in self.targets],
                "keep": [shown(path) for path in self.kept],
            }
        )

    @property
    def digest(self) -> str:
        """Digest of the order, ``sha256:…``."""
        return f"sha256:{hashlib.sha256(self.order).hexdigest()}"


@implements(evidences=("13.1", "13.2", "5.1"), limits="It lists what the vault and the places given hold; elsewhere it does not look.")
def plan(
    vault: "Vault | None",
    names: Iterable[str] = (),
    *,
    request: str = "",
    plaintext: Iterable[StrPath] = (),
    subjects: Iterable[str] = (),
    search: Iterable[StrPath] = (),
    remove: Remove = "none",
    keep: Iterable[StrPath] = (),
    statements: "Iterable[Manifest | Statement]" = (),
    progress: ProgressCallback = None,
) -> Plan:
    """Prepare a disposal: read the assets once more for their digests, search for copies, and say what will not be reached.

    Args:
        vault: Where sealed assets and people's records are; None if there are none.
        names: Live assets of the vault.
        request: Reference of the request; never a person's name.
        plaintext: Folders and files in the clear that are to go as a whole: a model, prompts, a tokenizer, adapters.
        subjects: Ids of people whose records in the vault are to go; they are kept in memory alone.
        search: Folders and files to search for copies of ``names`` and ``plaintext``.
        remove: Which copies are to be unlinked: ``none``; ``files``: whole files, interrupted downloads and locks; ``all``: also files that hold
            tensors of theirs among other things.
        keep: Copies to leave where they are; the disposal is then partial.
        statements: Manifests and training statements, to tell what was made from the assets and which digests stay.
        progress: Called now and then; raising from it stops the work.

    Returns:
        The plan.

    Raises:
        DestroyedError: An asset is erased already.
        FileNotFoundError: A place or a plaintext is not there.
        FormatError: A plaintext holds links or special files.
        LimitError: More than 20 000 things at once.
        StateError: An asset was sealed anew meanwhile; or an asset or person is on hold.
        StoreError: An asset or person is unknown, or a container is missing.
        TamperedError: A container does not authenticate.
        TypeError: One string was given instead of several.
        ValueError: Nothing to dispose of, one thing twice, or a reference that a certificate cannot hold.
        OSError: Something cannot be read.
    """
    wanted, plain, people = _several(names=names), _several(plaintext=plaintext), _several(subjects=subjects)
    places, keeps = tuple(Path(os.path.abspath(p)) for p in _several(search=search)), {Path(os.path.abspath(p)) for p in _several(keep=keep)}  # noqa: PTH100 - links stay
    if not wanted and not plain and not people:
        raise ValueError("at least one asset must be named, each once")
    if people and (wanted or plain):
        raise ValueError("people's records and other things are disposed of separately")
    if vault is None and (wanted or people):
        raise ValueError("assets and people are those of a vault, and none was given")
    if len(wanted) + len(plain) + len(people) > _MAX_ASSETS:
        raise LimitError("a disposal", limit=_MAX_ASSETS, seen=len(wanted) + len(plain) + len(people), unit="things")
    refuse_unwritable(request=request)
    known: set[bytes] = set()
    lists = [_plain(Path(os.path.abspath(path)), vault, known) for path in plain]  # noqa: PTH100 - the same
    assets = [_sealed(vault, name, known) for name in wanted if vault is not None]
    assets += [asset for asset, _, _ in lists]
    assets += [] if vault is None else _people(vault, people)
    sought = Wanted.merged(_wanted(vault, wanted, [Path(path) for path in plain])) if places else None
    found = None if sought is None else find_copies(sought, places, progress=progress)
    targets = {target.path: target for _, inside, _ in lists for target in inside}
    if found is not None:
        for copy in found.copies:
            for target in _targets(copy, remove):
                if target.path not in keeps:
                    targets.setdefault(target.path, target)
        gone = {target.identity[:2] for target in targets.values()}
        for link in [path for path in targets if path.is_symlink() and not _leads_to(path, gone)]:
            del targets[link]
    graph = tuple(statements)
    manifests = _still_known(known, graph)
    derivatives = _made_from([f"sha256:{asset.sha256.hex()}" for asset in assets if asset.kind != "subject"] + [m.digest for m in manifests], graph)
    note(vault="" if vault is None else vault.id, assets=len(assets), targets=len(targets))
    return Plan(
        vault=vault,
        assets=tuple(assets),
        request=request,
        places=places,
        search=found,
        targets=tuple(targets[path] for path in sorted(targets)),
        folders=tuple(folder for _, _, folders in lists for folder in folders),
        kept=tuple(sorted(keeps)),
        derivatives=derivatives,
        manifests=manifests,
        limitations=limitations(
            holder="" if vault is None or not (wanted or people) else vault.holder,
            assets=assets,
            searched=found is not None,
            unlinks=bool(targets),
            derivatives=derivatives,
            manifests=manifests,
            handed_over=0 if vault is None else sum(len(vault.hand_overs.list(name)) for name in wanted),
            twins=[] if vault is None else [name for name, why in twins(vault, assets, but=wanted) if not why],
        ),
        wanted=sought,
        people=tuple(str(person) for person in people),
    )


def refuse_unwritable(**texts: str) -> None:
    """Refuse, before anything is erased, what a certificate could not be written or read with."""
    for name, text in texts.items():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{name}= is not valid Unicode") from None
        if len(text) > MAX_TEXT:
            raise ValueError(f"{name}= has {len(text)} characters, more than {MAX_TEXT}")


def _several(**given: "Iterable[StrPath]") -> tuple[str, ...]:
    ((what, items),) = given.items()
    if isinstance(items, str | os.PathLike):
        raise TypeError(f"{what} must be several, such as [{what.removesuffix('s')}]")
    found = tuple(os.fspath(item) for item in items)
    if len(set(found)) != len(found):
        raise ValueError(f"{what}: at least one asset must be named, each once" if what == "names" else f"{what}= must be given each once")
    return found


def _sealed(vault: "Vault", name: str, known: set[bytes]) -> DisposedAsset:
    from lifeseal import signing

    with vault.asset(name) as asset:
        digests = signing.digest(asset)
    known.update(entry.digest for entry in digests.files)
    info = _info(vault, name)
    if info is None or (info.slot, info.generation) != (asset.slot, asset.generation):
        raise StateError(f"{name!r} was sealed anew while it was read; plan again")
    if info.hold:
        raise StateError(f"asset {name!r} is on hold ({info.hold}), so it is not disposed of")
    return DisposedAsset(
        name=name,
        sha256=bytes.fromhex(digests.root.removeprefix("sha256:")),
        slot=info.slot,
        generation=info.generation,
        files=info.files,
        size=info.size,
        born_encrypted=info.born_encrypted,
    )


def _info(vault: "Vault", name: str) -> "AssetInfo | None":
    return next((info for info in vault.assets() if info.name == name), None)


def _plain(path: Path, vault: "Vault | None", known: set[bytes]) -> tuple[DisposedAsset, tuple[Target, ...], tuple[Path, ...]]:
    """Take everything below a path, and its digest; files are stamped before they are read."""
    from lifeseal import signing

    targets, folders = everything_in(path)
    if any((folder / "vault.json").is_file() and (folder / "objects").is_dir() for folder in folders):
        raise ValueError(f"{path}: holds a vault; dispose of its assets instead, and keep the folder")
    if vault is not None:
        vault.trials.refuse_overlap(path)
    digests = signing.digest(path)
    known.update(entry.digest for entry in digests.files)
    asset = DisposedAsset(
        kind="plaintext",
        name=shown(path.name),
        sha256=bytes.fromhex(digests.root.removeprefix("sha256:")),
        files=len(targets),
        size=sum(target.identity[2] for target in targets),
        born_encrypted=False,
    )
    return asset, targets, folders


def _people(vault: "Vault", people: Sequence[str]) -> list[DisposedAsset]:
    """Stand in for people: pseudonym and slot, never an id."""
    if not people:
        return []
    slots = vault.subjects.slots(people)
    for number, reason in enumerate(vault.holds.people(people)):
        if reason:
            raise StateError(f"person {number} of those given (counted from 0) is on hold ({reason}), so nobody is disposed of")
    pseudonyms = [vault.subjects.pseudonym(person) for person in people]
    return [
        DisposedAsset(
            kind="subject",
            name=pseudonym,
            sha256=hashlib.sha256(bytes.fromhex(pseudonym)).digest(),
            slot=entry.slot,
            generation=entry.generation,
            files=0,
            size=0,
            born_encrypted=False,
        )
        for entry, pseudonym in zip(slots, pseudonyms, strict=True)
    ]


def _wanted(vault: "Vault | None", names: Sequence[str], plain: Sequence[Path]) -> list[Wanted]:
    found = [Wanted.of(path) for path in plain]
    if vault is not None:
        for name in names:
            with vault.asset(name) as asset:
                found.append(Wanted.of(asset))
    return found


def _targets(copy: Copy, remove: str) -> list[Target]:
    if copy.kind not in _REMOVED[remove]:
        return []
    return [Target(path=path, identity=copy.identity) for path in (copy.path, *copy.links)]


def _leads_to(link: Path, gone: set[tuple[int, int]]) -> bool:
    """Tell whether a link leads to a file that is to be unlinked; if not, it stays as the file does."""
    try:
        status = link.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in gone


def _made_from(needles: Iterable[str], statements: "Sequence[Manifest | Statement]") -> tuple[Derivative, ...]:
    from lifeseal.provenance import trace

    found = {}
    for needle in needles if statements else ():
        for edge in trace(needle, statements):
            found[edge.target] = Derivative(name=edge.name, kind=edge.kind, digest=edge.target, how=edge.how, certain=edge.certain)
    return tuple(found.values())


def _still_known(digests: set[bytes], statements: "Iterable[Manifest | Statement]") -> tuple[KnownDigests, ...]:
    """Name the manifests that hold digests of what is disposed of; those of files are never keyed."""
    from lifeseal.provenance import Manifest

    found = []
    for manifest in statements:
        if isinstance(manifest, Manifest) and (count := sum(file.sha256 in digests for file in manifest.files)):
            records = manifest.key_use is None and any(True for _ in manifest.recorded())
            found.append(KnownDigests(name=manifest.description.name, digest=manifest.digest, files=count, records=records))
    return tuple(found)
