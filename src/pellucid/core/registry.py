"""What is registered by name: methods, metrics, data sets, networks. A new one is one file."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, Generic, TypeVar

from pellucid.errors import UsageError, nearest, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to classes or functions. The package that holds them is imported when they are first asked for.

    Args:
        kind: what one entry is called in messages, such as ``"method"``.
        package: the package whose modules register themselves; all of them are imported on first use.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._entries: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, entry: T) -> T:
        """Register ``entry``; a name can be taken once (a module that is reloaded may take its own again)."""
        old = self._entries.get(name)
        if old is not None and getattr(old, "__qualname__", 0) != getattr(entry, "__qualname__", 1):
            raise UsageError(f"two {self.kind}s are called {name!r}; rename one")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Use as a decorator: ``@REGISTRY.register("name")``."""
        return lambda entry: self.add(name, entry)

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self.package)
            for module in pkgutil.walk_packages(package.__path__, self.package + "."):
                importlib.import_module(module.name)

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def items(self) -> list[tuple[str, T]]:
        """All entries, by name."""
        return [(name, self[name]) for name in self]


def named(value: Any, kind: str, other: str = "") -> tuple[str, dict[str, Any]]:
    """The name and the options in a name, ``{name: {option: value}}`` or ``(name, options)``.

    Args:
        value: as a recipe has it.
        kind: what it is called in messages, such as ``"method"``.
        other: what else could have been given, such as ``"an Explainer"``.

    Raises:
        UsageError: none of these, or several names.

    Example:
        >>> named({"occlusion": {"window": 8}}, "method")
        ('occlusion', {'window': 8})
    """
    name, options = value, None
    if isinstance(value, Mapping):
        if len(value) != 1:
            article = "an" if kind[0] in "aeiou" else "a"
            raise UsageError(f"{article} {kind} with options is one name and its options, not {dict(value)}")
        name, options = next(iter(value.items()))
    elif isinstance(value, tuple) and len(value) == 2:
        name, options = value
    if not isinstance(name, str):
        wanted = ", ".join(("a name", *([other] if other else []), "or a name with its options"))
        raise UsageError(f"{kind} {name!r}: give {wanted}")
    return name, dict(options or {})


def tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with tuples for the lists of a recipe, as frozen dataclasses have them."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def build(cls: type[T], kind: str, name: str, options: dict[str, Any]) -> T:
    """Make a dataclass from options by keyword; an unknown option is refused with the nearest one.

    Raises:
        UsageError: unknown option, or a value that the class refuses.
    """
    known = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise UsageError(f"{kind} {name!r} has no option {option!r}; {nearest(option, known)}")
    _check_numbers(cls, kind, name, options)
    try:
        return cls(**options)
    except TypeError as error:  # an option compared with a number, and it is a word
        raise UsageError(f"{kind} {name!r} with {options}: an option is of the wrong type ({error})") from error


def _check_numbers(cls: type, kind: str, name: str, options: dict[str, Any]) -> None:
    """Refuse what is not a whole number where one is wanted, and NaN and infinity everywhere."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError:  # a name that is there for type checkers only
        return
    for option, value in options.items():
        wanted = {*(typing.get_args(hints.get(option)) or (hints.get(option),))} - {type(None)}
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not isfinite(value) and wanted & {int, float}:
            raise UsageError(f"{kind} {name!r}: {option}={value!r} is not a finite number")
        if wanted == {int} and value is not None and not hasattr(value, "__index__"):
            raise UsageError(f"{kind} {name!r}: {option}={value!r} is not a whole number")
