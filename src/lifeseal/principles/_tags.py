# SPDX-License-Identifier: Apache-2.0
"""Tags: what a function can do for which provision, and what it cannot."""

import enum
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import ParamSpec, TypeVar

import attrs

from lifeseal.principles._catalogue import find
from lifeseal.principles._events import Event, Fact, collecting, heard, now, send

P = ParamSpec("P")
R = TypeVar("R")


class Level(enum.StrEnum):
    """How a primitive relates to a provision."""

    IMPLEMENTS = "implements"
    EVIDENCES = "evidences"


@attrs.frozen(kw_only=True)
class Tag:
    """One provision that a primitive serves.

    Attributes:
        provision: UK id, as ``uk-ai-cop:8.1.2``.
        level: Whether the call is the control, or leaves evidence that helps to show it.
    """

    provision: str
    level: Level


@attrs.frozen(kw_only=True)
class Primitive:
    """A tagged function.

    Attributes:
        name: Full public name.
        tags: The provisions it serves.
        limits: What it does not do, in one sentence.
    """

    name: str
    tags: tuple[Tag, ...]
    limits: str


_registry: dict[str, Primitive] = {}
_NO_TAGS = frozenset({"cli", "testing", "integrations"})  # thin, or for tests: what they call is tagged


def implements(*ids: str, limits: str, evidences: Sequence[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Tag a public function with the provisions it implements, and record each call.

    A tag is a capability, an event is evidence: every call emits one event, also when it fails. Outside a log that costs a few
    microseconds. An object whose class has ``__facts__`` says by it what belongs into every event of its methods, as which vault it is of.

    Args:
        ids: Provisions for which the call itself is the control.
        limits: What it does not do, in one sentence; not empty.
        evidences: Provisions that it only helps to show.

    Returns:
        A decorator that keeps the function's type.

    Raises:
        ValueError: An unknown provision, no provision, or empty limits; at import, not at an audit.
    """
    if not limits.strip():
        raise ValueError("limits= must say what the primitive does not do")
    tags = tuple(Tag(provision=find(i).id, level=Level.IMPLEMENTS) for i in ids)
    tags += tuple(Tag(provision=find(i).id, level=Level.EVIDENCES) for i in evidences)
    if not tags:
        raise ValueError("at least one provision must be named")
    named = tuple(tag.provision for tag in tags)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = public_name(function)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with collecting(_standing(args)) as facts:
                try:
                    result = function(*args, **kwargs)
                except BaseException as error:
                    if not heard():
                        raise
                    failed = Event(time=now(), primitive=name, outcome="fail", error=type(error).__name__, provisions=named, facts=facts)
                    try:
                        send(failed)
                    except Exception as second:  # noqa: BLE001 - the first error is the one to report; it names the second
                        error.add_note(f"and this failure could not be logged: {second}")
                    raise
            if heard():
                send(Event(time=now(), primitive=name, outcome="pass", error="", provisions=named, facts=facts))
            return result

        primitive = Primitive(name=name, tags=tags, limits=limits)
        run.__primitive__ = primitive  # type: ignore[attr-defined]
        _registry[name] = primitive
        return run

    return decorate


def refused(function: object, error: BaseException, **facts: Fact) -> None:
    """Record that a tagged call, which has returned, refused what came later: of an iterator, say.

    Args:
        function: The tagged function.
        error: What is about to be raised.
        facts: As for `note`.
    """
    primitive = tag_of(function)
    if primitive is None:
        raise ValueError("a tagged function was expected")
    provisions = tuple(tag.provision for tag in primitive.tags)
    event = Event(time=now(), primitive=primitive.name, outcome="fail", error=type(error).__name__, provisions=provisions, facts=dict(facts))
    try:
        send(event)
    except Exception as second:  # noqa: BLE001 - the first error is the one to report; it names the second
        error.add_note(f"and this failure could not be logged: {second}")


def tag_of(function: object) -> Primitive | None:
    """Return a function's tag, or None."""
    found = getattr(function, "__primitive__", None)
    return found if isinstance(found, Primitive) else None


def primitives() -> Mapping[str, Primitive]:
    """Return every tagged function of the packages imported so far, by name."""
    return MappingProxyType(dict(sorted(_registry.items())))


def load_all() -> Mapping[str, Primitive]:
    """Import every package of lifeseal whose functions carry tags, and return all tagged functions by name."""
    import pkgutil

    import lifeseal

    for module in pkgutil.iter_modules(lifeseal.__path__):
        if module.ispkg and not module.name.startswith("_") and module.name not in _NO_TAGS:
            importlib.import_module(f"lifeseal.{module.name}")
    return primitives()


def public_callables(package: ModuleType) -> Iterator[tuple[str, object]]:
    """Walk a package's public functions, and the public methods of its public classes.

    Args:
        package: A package with ``__all__``.

    Yields:
        The full public name, and the function.
    """
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value):
            for method, raw in sorted(vars(value).items()):
                function = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
                if not method.startswith("_") and inspect.isfunction(function):
                    yield f"{package.__name__}.{name}.{method}", function
        elif inspect.isfunction(value):
            yield f"{package.__name__}.{name}", value


def untagged(package: ModuleType, *, exempt: Mapping[str, str]) -> tuple[str, ...]:
    """Name the public functions that carry no tag and stand on no list of exemptions.

    Args:
        package: A package with ``__all__``.
        exempt: Full public name to the reason why it needs no tag.

    Returns:
        Full public names, sorted; empty is what is wanted.
    """
    return tuple(sorted(name for name, function in public_callables(package) if tag_of(function) is None and not exempt.get(name)))


def _standing(args: tuple[object, ...]) -> Mapping[str, Fact]:
    """Ask the object that a method is called on what belongs into each of its events."""
    ask: Callable[[object], Mapping[str, Fact]] | None = getattr(type(args[0]), "__facts__", None) if args else None
    return {} if ask is None else ask(args[0])


def public_name(function: Callable[..., object]) -> str:
    """Return the name users know: without the private module."""
    parts = [part for part in function.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, function.__qualname__])
