"""The base of what is made of maps: Attributions in, Attributions out, without a pass through the model."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Refiner(ABC):
    """Makes maps of maps. Fields are its options.

    A new one is a frozen dataclass in a file of its own under ``refine/``; giving it a ``name`` registers it. A refined
    map is called ``label(method)``, such as ``segx(grad_cam)``, keeps the target and the provenance of what it was made
    from, and says in ``refinement`` what was done (``refiner``, ``options``, ``of``).

    Attributes:
        of: the methods whose maps are taken; all that are not refined themselves if None.
        label: what the refined maps are called; the refiner's name if None.

    Class attributes:
        name: registered name.
        source: citation key in ``docs/references.bib``.
    """

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""
    of: tuple[str, ...] | None = None
    label: str | None = None

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            REFINERS.add(cls.name, cls)

    @abstractmethod
    def refine(
        self, maps: Sequence[Attribution], case: Case, *, soft: Mapping[str, Tensor] | None = None
    ) -> list[Attribution]:
        """What is made of the maps of one case.

        Args:
            maps: of the case; those that :meth:`takes` declines are left out by the caller.
            case: that was explained; its regions are the masks.
            soft: probabilities ``(*spatial)`` by region, where a model predicted the region.
        """

    def takes(self, a: Attribution) -> bool:
        """Whether this map is to be refined."""
        return a.refinement is None if self.of is None else a.method in self.of

    def called(self, method: str) -> str:
        """The name of the refined map."""
        return f"{self.label or self.name}({method})"

    def describe(self) -> dict[str, Any]:
        """The options as plain values, for provenance."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


REFINERS: Registry[type[Refiner]] = Registry("refiner", "pellucid.refine")
