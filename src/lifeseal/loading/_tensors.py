# SPDX-License-Identifier: Apache-2.0
"""Tensors out of a signed model: each file is read once, and used only when its digest has matched."""

from collections.abc import Iterable
from typing import Any, Literal

from lifeseal._io import ProgressCallback, refuse_beyond_memory, require
from lifeseal.loading._devices import device_target, scratch_memory
from lifeseal.loading._fill import Part, Target, fill
from lifeseal.loading._headers import Lead, check_distinct, chosen_files, read_leads, refuse_one_string, true_faults
from lifeseal.loading._stat_cache import StatCheckedModel, opened
from lifeseal.principles import implements, note
from lifeseal.serialization import TensorInfo, tensor_from_bytes, torch_dtype
from lifeseal.signing import SignedModel


@implements(
    "7.1",
    evidences=("2.2", "9.2"),
    limits="What was signed is what is loaded; a signer who signed a bad model is not caught, and other processes of the same user can reach memory.",
)
def load_tensors(
    signed: SignedModel | StatCheckedModel,
    *,
    framework: Literal["numpy", "torch"] = "numpy",
    device: str = "cpu",
    names: Iterable[str] | None = None,
    files: Iterable[str] | None = None,
    progress: ProgressCallback = None,
) -> dict[str, Any]:
    """Load tensors from a model's safetensors files in one pass.

    Each byte is read once, into the tensors' own memory, and hashed there. A header says where its tensors lie before its file's digest
    is known: it is read strictly, and nothing it says is returned, or raised as a fault of the file, until the digest has matched.
    Files of other formats are never read.

    Args:
        signed: From `lifeseal.signing.open_model`, or from `stat_checked`; a path is not accepted.
        framework: ``numpy`` or ``torch``. Types that NumPy lacks come back as in `lifeseal.serialization.load`.
        device: For ``torch``: where the tensors go.
        names: Which tensors; by default all. Of a file that was signed in shards only those are read that hold the header or a part of
            these tensors; files that were signed whole are all read and hashed whole, so name those you need with ``files``.
        files: Which files; by default every signed file whose name ends in ``.safetensors``.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        Tensors by name, writable, each in memory of its own.

    Raises:
        DigestMismatchError: A file is not what was signed.
        FormatError: A file is not strict safetensors, several layouts of the model lie there (lists the choices for ``files``), or there
            is nothing to load.
        KeyError: ``files`` or ``names`` asks for what is not there.
        LimitError: The tensors are larger than this machine's memory.
        MissingExtraError: The framework is not installed.
        OSError: A file cannot be read.
        TypeError: ``signed`` is not a `SignedModel`, or one string was given instead of several.
        ValueError: An unknown framework, or a device for ``numpy``.
    """
    signed, cache = opened(signed, what="load_tensors")
    if framework not in {"numpy", "torch"} or (framework == "numpy" and device != "cpu"):
        raise ValueError("framework= must be 'numpy' (on the CPU) or 'torch'")
    refuse_one_string(names=names)
    require("numpy", extra=framework)
    require(framework, extra=framework)
    wanted = None if names is None else set(names)
    chosen = chosen_files(signed, files)
    where = f"model {signed.subject.name!r}"
    if wanted is None:
        refuse_beyond_memory(sum(entry.size for entry in chosen), where=where)
    leads = read_leads(signed, chosen)
    with true_faults(signed, [(lead.entry, lead.data) for lead in leads]):
        check_distinct(signed, leads)
        if wanted is not None and (missing := sorted(wanted - {tensor.name for lead in leads for tensor in lead.header.tensors})):
            raise KeyError(f"tensor {missing[0]!r} is in none of the files")
        size = sum(tensor.stop - tensor.start for lead in leads for tensor in lead.header.tensors if wanted is None or tensor.name in wanted)
        refuse_beyond_memory(size, where=where)
    note(subject=signed.subject.digest, files=len(leads), size=size)
    found: dict[str, Any] = {}
    parts = [_part(lead, wanted, framework, device, found) for lead in leads]
    fill(signed, parts, progress=progress, cache=cache, buffers=scratch_memory(device))
    if cache is not None:
        cache.save()
        note(not_hashed=len(cache.believed))
    return found


def _part(lead: Lead, wanted: set[str] | None, framework: Literal["numpy", "torch"], device: str, found: dict[str, Any]) -> Part:
    targets = []
    for tensor in lead.header.tensors:
        if wanted is None or tensor.name in wanted:
            found[tensor.name], target = _place(tensor, lead.header.data_start, framework, device)
            targets.append(target)
    return Part(entry=lead.entry, lead=lead.data, targets=tuple(target for target in targets if target.start < target.stop))


def _place(tensor: TensorInfo, data_start: int, framework: Literal["numpy", "torch"], device: str) -> tuple[object, Target]:
    """Make memory for one tensor, and the target that fills it."""
    size, start, stop = tensor.stop - tensor.start, data_start + tensor.start, data_start + tensor.stop
    if device == "cpu":
        memory = require("numpy", extra=framework).empty(size, dtype="uint8")
        return tensor_from_bytes(memory, tensor, framework=framework), Target(start=start, stop=stop, memory=memoryview(memory))
    torch = require("torch", extra="torch")
    flat = torch.empty(size, dtype=torch.uint8, device=device)
    dtype = torch_dtype(tensor)
    shaped = flat if dtype is None else flat.view(dtype).reshape(tensor.shape)
    return shaped, device_target(flat, start, stop)
