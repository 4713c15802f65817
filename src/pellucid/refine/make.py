"""A Refiner as a recipe names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.core.refiner import REFINERS, Refiner
from pellucid.core.registry import build
from pellucid.errors import UsageError


def as_refiner(value: Any) -> Refiner:
    """A Refiner from a Refiner, a name or ``{name: {option: value}}``.

    Raises:
        UsageError: unknown refiner or option (the near misses are named).
    """
    options: dict[str, Any] = {}
    if isinstance(value, Refiner):
        return value
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise UsageError(f"a refiner with options is one name and its options, not {dict(value)}")
        value, own = next(iter(value.items()))
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in (own or {}).items()}
    if not isinstance(value, str):
        raise UsageError(f"refiner {value!r}: give a name, a Refiner, or a name with its options")
    return build(REFINERS[value], "refiner", value, options)
