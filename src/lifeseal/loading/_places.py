# SPDX-License-Identifier: Apache-2.0
"""The parameters and buffers of a module, as places to fill: each place once, whatever names share it."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from lifeseal._io import require
from lifeseal.loading._devices import device_target
from lifeseal.loading._fill import Target


@attrs.define(kw_only=True, eq=False)
class Place:
    """One tensor of a module.

    Attributes:
        names: Of the parameters and buffers that are this tensor; several where weights are tied.
        tensor: The tensor itself.
        fresh: Memory made for it where it has none of its own (``meta``) or none in one piece; given to the module at the end.
    """

    names: tuple[str, ...]
    tensor: Any
    fresh: Any = None

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape and no memory."""
        return bool(self.tensor.device.type == "meta")

    def target(self, start: int, stop: int) -> Target:
        """Make what fills it.

        Args:
            start: Offset in the file of its first byte.
            stop: Offset behind its last.

        Returns:
            The target.
        """
        torch = require("torch", extra="torch")
        tensor = self.tensor.detach()
        if self.is_meta or not tensor.is_contiguous():
            device = "cpu" if self.is_meta else tensor.device
            tensor = self.fresh = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        flat = tensor.reshape(-1).view(torch.uint8)
        if flat.device.type == "cpu":
            return Target(start=start, stop=stop, memory=memoryview(flat.numpy()))
        return device_target(flat, start, stop)

    def settle(self, module: Any) -> None:  # noqa: ANN401 - torch is not imported here
        """Give fresh memory to the module, under every name."""
        torch = require("torch", extra="torch")
        if self.fresh is None:
            return
        if not self.is_meta:
            with torch.inference_mode():
                self.tensor.detach().copy_(self.fresh)
            return
        is_parameter = isinstance(self.tensor, torch.nn.Parameter)
        made = torch.nn.Parameter(self.fresh, requires_grad=self.tensor.requires_grad) if is_parameter else self.fresh
        for name in self.names:
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, made)

    def wipe(self) -> None:
        """Fill it with NaN, or zeros where its type has no NaN."""
        torch = require("torch", extra="torch")
        for tensor in (self.tensor, self.fresh):
            if tensor is not None and tensor.device.type != "meta":
                numbers = tensor.dtype.is_floating_point or tensor.dtype.is_complex
                with torch.inference_mode():  # else what was made in that mode could not be written to
                    tensor.detach().fill_(float("nan") if numbers else 0)


def find_places(module: Any) -> tuple[Place, ...]:  # noqa: ANN401 - torch is not imported here
    """List what `load_into` can fill: parameters and persistent buffers.

    Args:
        module: A `torch.nn.Module`.

    Returns:
        Places in the order of the module.

    Raises:
        ValueError: A parameter is of a kind that is not filled (sharded, quantised, sparse, not yet made), or two overlap.
    """
    found: dict[object, Place] = {}
    for name, tensor in _tensors(module):
        _refuse_odd(name, tensor)
        place = found.setdefault(_identity(tensor), Place(names=(), tensor=tensor))
        place.names += (name,)
    _refuse_overlaps(list(found.values()))
    return tuple(found.values())


def wipe_all(places: Iterable[Place]) -> None:
    """Wipe each place, also when one of them fails."""
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.callback(place.wipe)


def left_on_meta(module: Any) -> tuple[str, ...]:  # noqa: ANN401 - torch is not imported here
    """Name parameters and buffers that still have no memory, those included that no file holds."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return tuple(sorted(name for name, tensor in named if tensor.device.type == "meta"))


def _tensors(module: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - torch is not imported here
    yield from module.named_parameters(remove_duplicate=False)
    passing = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, part in module.named_modules(remove_duplicate=False)
        for name in part._non_persistent_buffers_set  # noqa: SLF001 - no other way to ask
    }
    for name, buffer in module.named_buffers(remove_duplicate=False):
        if name not in passing:
            yield name, buffer


def _refuse_odd(name: str, tensor: Any) -> None:  # noqa: ANN401 - torch is not imported here
    torch = require("torch", extra="torch")
    fault = ""
    if torch.nn.parameter.is_lazy(tensor):
        fault = "has no shape yet; run the module once"
    elif type(tensor.data) is not torch.Tensor or tensor.layout != torch.strided or tensor.is_quantized:
        fault = f"is a {type(tensor.data).__name__} of layout {tensor.layout}; only plain dense tensors are filled"
    elif tensor.is_conj() or tensor.is_neg() or any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)):
        fault = "is a view of fewer numbers than it shows"
    if fault:
        raise ValueError(f"{name!r} of the module {fault}")


def _identity(tensor: Any) -> object:  # noqa: ANN401 - torch is not imported here
    """Tell what makes two names one place: the same object, or the same numbers in memory."""
    if tensor.device.type == "meta" or not tensor.numel():
        return id(tensor)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())


def _refuse_overlaps(places: list[Place]) -> None:
    """Refuse places that share some of their memory: what they hold would depend on who is filled last."""
    extents = []
    for place in places:
        tensor = place.tensor
        if tensor.device.type != "meta" and tensor.numel():
            reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
            extents.append((str(tensor.device), tensor.data_ptr(), tensor.data_ptr() + reach * tensor.element_size(), place.names[0]))
    extents.sort()
    for (device, _, end, name), (other_device, start, _, other) in itertools.pairwise(extents):
        if device == other_device and start < end:
            raise ValueError(f"{name!r} and {other!r} of the module share a part of their memory; load_tensors and copy them instead")
