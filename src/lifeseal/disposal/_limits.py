# SPDX-License-Identifier: Apache-2.0
"""What a disposal does not reach, in sentences that fill themselves in."""

from collections.abc import Sequence

from lifeseal.disposal._values import Derivative, DisposedAsset, KnownDigests

_SHOWN = 20


def limitations(
    *,
    holder: str,
    assets: Sequence[DisposedAsset],
    searched: bool,
    unlinks: bool,
    derivatives: Sequence[Derivative],
    manifests: Sequence[KnownDigests],
    handed_over: int = 0,
    twins: Sequence[str] = (),
) -> tuple[str, ...]:
    """Say what a disposal will not reach.

    Args:
        holder: Kind of the root holder; empty if there is no vault.
        assets: What is disposed of.
        searched: Whether places are searched.
        unlinks: Whether files are unlinked.
        derivatives: What is known to be made from the assets.
        manifests: Which manifests are known to hold digests of them.
        handed_over: How many copies of their keys were given to recipients.
        twins: Other assets of the vault that hold the same.

    Returns:
        Sentences.
    """
    people = any(asset.kind == "subject" for asset in assets)
    lines = []
    if holder:
        lines.append(
            f"Root of the kind {holder}: earlier copies of it, and old disk blocks, open earlier copies of the vault; neither was searched for."
        )
        lines.append("That the vault and its holder refuse is what they answered; it proves nothing about copies of either.")
    lines += _of_sealed(assets, twins)
    if unlinks:
        lines.append("Files were unlinked, not overwritten: that sanitises no medium, and blocks of them may stay on it.")
    if searched:
        lines.append("The search finds the same bytes alone: not what was compressed, converted to other types, or encrypted.")
        lines.append("Swap, core dumps, memory and backups were not searched.")
    else:
        lines.append("No search for plaintext copies was made; swap, core dumps, caches and backups may hold some.")
    if people:
        lines.append("People are named by keyed pseudonyms: who holds the vault's root can compare them with an id.")
    if handed_over:
        lines.append(f"Keys were handed over {handed_over} times: what recipients hold stays readable to them, and to whoever gets it from them.")
    lines.append("Copies given to others, and models derived from these assets, are not reached.")
    if derivatives:
        lines.append(f"Known to be made from them, and not erased: {_few([one.name for one in derivatives])}. What they learned stays in them.")
    if manifests:
        lines.append(f"Still hold digests of the content without a key, by which it can be recognised: {_few([one.name for one in manifests])}.")
    lines.append("Names and paths stand here as they were. Times are this machine's clock.")
    return tuple(lines)


def _of_sealed(assets: Sequence[DisposedAsset], twins: Sequence[str]) -> list[str]:
    sealed = [asset for asset in assets if asset.kind == "sealed"]
    plain = [asset.name for asset in sealed if not asset.born_encrypted]
    lines = ["Other assets of the vault were compared as wholes; one that holds only some of the same files is not named."] if sealed else []
    if twins:
        lines.append(f"When this was planned, these held the same, and until they are disposed of too the disposal is partial: {_few(twins)}.")
    if plain:
        lines.append(f"Lay in plaintext before sealing, so the disk may still hold blocks of it: {_few(plain)}.")
    return lines


def _few(names: Sequence[str]) -> str:
    """Write the first names, and how many there are beyond."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:200] for name in names[:_SHOWN]) + more
