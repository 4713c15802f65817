"""A map, with everything that is needed to judge it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.core.cost import Cost
from pellucid.core.geometry import Geometry
from pellucid.core.verdict import Verdict
from pellucid.errors import UsageError

# Filled in by pellucid.io and pellucid.report, which lie above: a noun does not import its writers.
SERVICES: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution:
    """Maps of one case, one method and one target, named as the inputs, raw and signed.

    Attributes:
        maps: input name to float32 tensor on the CPU: the shape of its input, or that without the channel axis.
            A method that cannot explain an input (a CAM, a table) leaves it out.
        method: registered name.
        case_id: of the case.
        target: what was explained: ``kind``, ``index``, ``label`` and the options of the target.
        score: the explained scalar on the clean case, ``f(x)``.
        signed: whether negative values mean "speaks against".
        checks: verdict by name.
        flags: short words for what is wrong or special: ``incomplete``, ``empty_target``, ``flat`` …
        provenance: method, parameters, seed, layer, fill, versions, hash of the weights.
        cost: passes and seconds. Passes are those of this case; targets explained together share them.
        notes: numbers that the method reports about itself, such as IG's ``nodes`` and ``completeness_error``.
        spacing: millimetres along each spatial axis.
        geometry: grid of a volume and of its source file.
        refinement: what a refinement changed, None for a map as its method made it.
    """

    maps: dict[str, Tensor]
    method: str
    case_id: str
    target: Mapping[str, Any]
    score: float
    signed: bool = True
    checks: Mapping[str, Verdict] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    notes: Mapping[str, Any] = field(default_factory=dict)
    spacing: tuple[float, ...] | None = None
    geometry: Geometry | None = None
    refinement: Mapping[str, Any] | None = None
    image_axes: int = 2

    def spatial(self, name: str) -> Tensor:
        """The map of a picture with its channels summed, ``(*spatial)``; a table's map as it is.

        Raises:
            UsageError: this method made no map for that input.
        """
        if name not in self.maps:
            raise UsageError(f"{self.method} made no map for input {name!r}; it made: {', '.join(self.maps)}")
        m = self.maps[name]
        return m.sum(0) if m.ndim > 1 and m.ndim == self.image_axes + 1 else m

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the maps that have spatial axes."""
        return tuple(k for k, v in self.maps.items() if v.ndim > 1)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the maps of tabular inputs."""
        return tuple(k for k, v in self.maps.items() if v.ndim == 1)

    def replace(self, **changes: Any) -> Attribution:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def save(self, path: str | Path) -> list[Path]:
        """Write the maps; the suffix picks NIfTI (volumes, with the source's geometry), PNG or NPZ."""
        return SERVICES["save"](self, Path(path))

    def plot(self, case: Any = None, **options: Any) -> Any:
        """A Matplotlib figure of the maps, over the case's pictures if it is given."""
        if "plot" not in SERVICES:
            importlib.import_module("pellucid.report")
        return SERVICES["plot"](self, case, **options)
