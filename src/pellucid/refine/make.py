"""A Refiner as a recipe names it."""

from __future__ import annotations

from typing import Any

from pellucid.core.refiner import REFINERS, Refiner
from pellucid.core.registry import build, named, tuples


def as_refiner(value: Any) -> Refiner:
    """A Refiner from a Refiner, a name or ``{name: {option: value}}``.

    Raises:
        UsageError: unknown refiner or option (the near misses are named).
    """
    if isinstance(value, Refiner):
        return value
    name, options = named(value, "refiner", "a Refiner")
    return build(REFINERS[name], "refiner", name, tuples(options))
