# SPDX-License-Identifier: Apache-2.0
"""Weights into a module that is there: read once, hashed where they lie, and wiped if anything fails."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from lifeseal._io import Hasher, ProgressCallback, new_hasher, refuse_beyond_memory, require, undisturbed
from lifeseal.attestation import Subject
from lifeseal.errors import FormatError
from lifeseal.loading._devices import scratch_memory
from lifeseal.loading._fill import Part, Target, fill
from lifeseal.loading._headers import Lead, check_distinct, chosen_files, read_leads, true_faults
from lifeseal.loading._places import Place, find_places, left_on_meta, wipe_all
from lifeseal.loading._stat_cache import StatCheckedModel, opened
from lifeseal.principles import implements, note
from lifeseal.serialization import TensorInfo, torch_dtype
from lifeseal.signing import SignedModel

Rename = Callable[[str], str | None]


@attrs.frozen(kw_only=True)
class LoadReport:
    """What a load put where.

    Attributes:
        subject: The model's signed name and root digest.
        files: Files that were read.
        size: Bytes that were read.
        loaded: Names of the module's parameters and buffers that were filled, tied ones included.
        missing: Names of the module that no file holds; with ``strict`` none.
        unexpected: Names in the files that the module has not; with ``strict`` none.
        on_meta: Parameters and buffers of the module that still have no memory, those included that are in no checkpoint.
        not_hashed: Files of a `StatCheckedModel` that looked untouched since they were hashed.
    """

    subject: Subject
    files: tuple[str, ...]
    size: int
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    on_meta: tuple[str, ...]
    not_hashed: tuple[str, ...]


@implements(
    "7.1",
    evidences=("2.2", "9.2"),
    limits="While it runs the module holds bytes that nobody has vouched for yet: never aim it at a module that is serving. What was signed is "
    "what is loaded; a signer who signed a bad model is not caught.",
)
def load_into(
    signed: SignedModel | StatCheckedModel,
    module: Any,  # noqa: ANN401 - torch is not imported here
    *,
    strict: bool = True,
    rename: Rename | None = None,
    files: Iterable[str] | None = None,
    progress: ProgressCallback = None,
) -> LoadReport:
    """Fill a PyTorch module's parameters and buffers from a signed model, in one pass and without a second copy.

    Names, types and shapes are compared before any byte is put anywhere. Then each file is read once, straight into the parameters, and
    hashed there; from a vault it comes through a little scratch memory. If anything fails, Ctrl-C included, everything that was to be
    filled is filled with NaN (whole numbers with zero): use the module only when this has returned. Never aim it at a module that serves,
    is trained, or is read by another thread.

    Tied weights are filled once, and need to be in the files once; if they are there under several names the bytes must be the same.
    Parameters on the ``meta`` device get memory on the processor when all is proved. On CUDA, pieces go through one page-locked buffer.

    Args:
        signed: From `lifeseal.signing.open_model`, or from `stat_checked`; a path is not accepted.
        module: The `torch.nn.Module`; types and shapes must be those of the files (``module.to(dtype)`` first).
        strict: Refuse names that only one side has; else they are told in the report.
        rename: Gives the module's name for a name in the files; None leaves that tensor out.
        files: Which files; by default every signed file whose name ends in ``.safetensors``.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        What was loaded.

    Raises:
        DigestMismatchError: A file is not what was signed.
        FormatError: A file is not strict safetensors, several layouts of the model lie there, or there is nothing to load.
        KeyError: ``files`` asks for what is not there.
        LimitError: A header is too large, or new memory larger than this machine's.
        MissingExtraError: PyTorch is not installed.
        OSError: A file cannot be read.
        TypeError: ``signed`` is not a `SignedModel`, or ``module`` no module.
        ValueError: Module and model do not fit together: names, types or shapes differ, or the module has parts that cannot be filled.
    """
    torch = require("torch", extra="torch")
    signed, cache = opened(signed, what="load_into")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"load_into fills a torch.nn.Module, not a {type(module).__name__}")
    places = find_places(module)
    by_name = {name: place for place in places for name in place.names}
    chosen = chosen_files(signed, files)
    refuse_beyond_memory(sum(place.tensor.nbytes for place in places if place.is_meta), where=f"model {signed.subject.name!r}")
    leads = read_leads(signed, chosen)
    with true_faults(signed, [(lead.entry, lead.data) for lead in leads]):
        check_distinct(signed, leads)
        fits, unexpected = _match(leads, by_name, rename)
        filled = list(dict.fromkeys(place for matched in fits for _, place in matched))
        found = {name for place in filled for name in place.names}
        missing = tuple(sorted(by_name.keys() - found))
        if strict and (missing or unexpected):
            raise ValueError(_difference(signed, missing, unexpected))
    note(subject=signed.subject.digest, files=len(leads), tensors=len(found), missing=len(missing), unexpected=len(unexpected))
    try:
        twins = _Twins()
        parts = [_part(lead, matched, twins) for lead, matched in zip(leads, fits, strict=True)]
        cuda = any(place.tensor.device.type == "cuda" for place in filled)
        size = fill(signed, parts, progress=progress, cache=cache, buffers=scratch_memory("cuda" if cuda else "cpu"))
        twins.check(signed)
        for place in filled:
            place.settle(module)
        if cache is not None:
            cache.save()
            note(not_hashed=len(cache.believed))
        return LoadReport(
            subject=signed.subject,
            files=tuple(lead.entry.path for lead in leads),
            size=size,
            loaded=tuple(sorted(found)),
            missing=missing,
            unexpected=unexpected,
            on_meta=left_on_meta(module),
            not_hashed=() if cache is None else tuple(sorted(cache.believed)),
        )
    except BaseException:
        undisturbed(lambda: wipe_all(filled))
        raise


def _match(leads: Sequence[Lead], by_name: dict[str, Place], rename: Rename | None) -> tuple[list[list[tuple[TensorInfo, Place]]], tuple[str, ...]]:
    """Pair each file's tensors with their places, types and shapes compared; and name those that have none."""
    taken: dict[str, str] = {}
    found, unexpected = [], []
    for lead in leads:
        matched = []
        for tensor in lead.header.tensors:
            name = tensor.name if rename is None else rename(tensor.name)
            if name is not None and taken.setdefault(name, tensor.name) != tensor.name:
                raise ValueError(f"rename= gives both {taken[name]!r} and {tensor.name!r} the name {name!r}")
            place = None if name is None else by_name.get(name)
            if place is not None:
                _compare(tensor, place, lead)
                matched.append((tensor, place))
            elif name is not None:
                unexpected.append(tensor.name)
        found.append(matched)
    return found, tuple(unexpected)


def _compare(tensor: TensorInfo, place: Place, lead: Lead) -> None:
    wanted, shape = place.tensor.dtype, tuple(place.tensor.shape)
    if torch_dtype(tensor) != wanted or tensor.shape != shape:
        raise ValueError(
            f"{place.names[0]!r} of the module is {wanted} of shape {shape}, and {tensor.name!r} in {lead.entry.path!r} is {tensor.dtype} "
            f"of shape {tensor.shape}"
        )


def _difference(signed: SignedModel, missing: tuple[str, ...], unexpected: tuple[str, ...]) -> str:
    said = [
        f"{len(names)} {what}, such as {names[0]!r}"
        for names, what in ((missing, "names of the module are in no file"), (unexpected, "names in the files are not the module's"))
        if names
    ]
    return f"model {signed.subject.name!r} does not fit the module: {'; '.join(said)}. Use rename=, or strict=False"


def _part(lead: Lead, matched: Sequence[tuple[TensorInfo, Place]], twins: "_Twins") -> Part:
    targets = []
    for tensor, place in matched:
        start, stop = lead.header.data_start + tensor.start, lead.header.data_start + tensor.stop
        if start < stop:
            targets.append(twins.target(tensor.name, place, start, stop))
        else:
            place.target(start, stop)
    return Part(entry=lead.entry, lead=lead.data, targets=tuple(targets))


class _Twins:
    """Tensors that the module ties and the files hold several times: one is loaded, and all are compared by digest."""

    def __init__(self) -> None:
        self._first: dict[Place, str] = {}
        self._others: list[tuple[Place, str, Hasher]] = []

    def target(self, name: str, place: Place, start: int, stop: int) -> Target:
        if self._first.setdefault(place, name) == name:
            return place.target(start, stop)
        hasher = new_hasher("blake3")
        self._others.append((place, name, hasher))
        return Target(start=start, stop=stop, take=lambda _, view: hasher.update(view))

    def check(self, signed: SignedModel) -> None:
        """Compare what is in the module now with what stood under the other names."""
        for place, name, hasher in self._others:
            if _content(place).digest() != hasher.digest():
                raise FormatError(
                    f"model {signed.subject.name!r}",
                    f"{name!r} and {self._first[place]!r} differ, and the module ties them; the same bytes were expected",
                )


def _content(place: Place) -> Hasher:
    torch = require("torch", extra="torch")
    hasher = new_hasher("blake3")
    tensor: Any = place.tensor if place.fresh is None else place.fresh
    flat = tensor.detach().reshape(-1).view(torch.uint8)
    for start in range(0, len(flat), 1 << 20):
        hasher.update(memoryview(flat[start : start + (1 << 20)].cpu().numpy()))
    return hasher
