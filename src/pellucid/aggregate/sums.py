"""Region measures from running sums: a map comes in pieces, is added up and dropped.

For a target's map ``A`` and each part of a label map the state is ``Σ f(A)`` for every ``f`` of :data:`PARTS`, ``ΣA``,
``ΣA²`` (the state may be added to that of other pieces, in any order) and the voxels counted. The measures are

``mass = Σ_r f(A) / Σ_V f(A)``, ``mean = Σ_r f(A) / |r|``, ``enrichment = mass / (|r| / |V|)``, ``share = |r| / |V|``,
``signed_sum = Σ_r A``, ``signed_mean = Σ_r A / |r|``, ``signed_var = Σ_r A² / |r| − signed_mean²``,

of a region ``r`` in the whole picture ``V``. Mass follows volume; enrichment is 1 where the map is indifferent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from pellucid.aggregate.labels import LabelMap

PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda m: m.abs(),
    "positive_": lambda m: m.clamp(min=0),
    "negative_": lambda m: (-m).clamp(min=0),
}
KEYS = (*PARTS, "signed", "square")
MEASURES = (
    *(f"{part}{m}" for part in PARTS for m in ("mass", "mean", "enrichment")),
    "signed_sum", "signed_mean", "signed_var", "share",
)  # fmt: skip


class RegionSums:
    """The running sums of one case's maps over the parts of a label map.

    Args:
        labels: of the case.
        device: where the maps come from.

    Attributes:
        sums: target to ``(5, parts)`` float64, in the order of :data:`KEYS`; made when a target first comes.
        voxels: ``(parts,)`` float64, of the whole grid.
    """

    def __init__(self, labels: LabelMap, *, device: torch.device | str = "cpu") -> None:
        self.labels = labels
        self.parts = labels.parts.to(device)
        self.voxels = torch.bincount(labels.parts.flatten().long(), minlength=labels.count).double()
        self.sums: dict[int, Tensor] = {}
        self._place: tuple[tuple[int, int], Tensor] | None = None  # all targets of a slab come one after the other

    def update(self, target: int, maps: Iterable[Tensor], *, start: int = 0) -> None:
        """Add planes ``start : start + n`` of a target's map.

        Args:
            target: its number.
            maps: one per picture, ``(n, *rest)`` of the first spatial axis, channels summed. ``f`` is taken of each, so
                that a picture that speaks for and one that speaks against do not cancel; the signed sums are of their
                sum.
            start: the first plane.
        """
        pictures = [m.to(self.parts.device, torch.float64) for m in maps]
        place = self._at(start, len(pictures[0]))
        signed = torch.stack(pictures).sum(0) if len(pictures) > 1 else pictures[0]
        values = [torch.stack([f(m) for m in pictures]).sum(0) for f in PARTS.values()]
        found = [
            torch.bincount(place, weights=v.flatten(), minlength=self.labels.count)
            for v in (*values, signed, signed * signed)
        ]
        more = torch.stack(found).cpu()
        self.sums[target] = self.sums[target] + more if target in self.sums else more

    def _at(self, start: int, planes: int) -> Tensor:
        """The parts of these planes, flat."""
        if self._place is None or self._place[0] != (start, planes):
            self._place = (start, planes), self.parts[start : start + planes].flatten().long()
        return self._place[1]

    def measures(self, target: int) -> dict[str, dict[str, float]]:
        """Region to measure to value. NaN where there is nothing to divide by: an empty region, or no such part."""
        sums = self.sums.get(target, torch.zeros(len(KEYS), self.labels.count, dtype=torch.float64))
        whole = dict(zip(KEYS, sums.sum(1).tolist()))
        volume = float(self.voxels.sum())
        found = {}
        for region, parts in self.labels.regions.items():
            inside = dict(zip(KEYS, sums[:, list(parts)].sum(1).tolist()))
            found[region] = region_measures(inside, whole, float(self.voxels[list(parts)].sum()), volume)
        return found

    def of_map(self, target: int) -> dict[str, float]:
        """``map_mean`` and ``map_var`` of the signed map over the whole picture."""
        sums = self.sums.get(target, torch.zeros(len(KEYS), self.labels.count, dtype=torch.float64))
        mean, var = _moments(float(sums[-2].sum()), float(sums[-1].sum()), float(self.voxels.sum()))
        return {"map_mean": mean, "map_var": var}


def region_measures(
    inside: Mapping[str, float], whole: Mapping[str, float], voxels: float, volume: float
) -> dict[str, float]:
    """The measures of one region from its sums and those of the whole picture, by the names in :data:`KEYS`."""
    share = voxels / volume
    found: dict[str, float] = {}
    for part in PARTS:
        mass = _over(inside[part], whole[part]) if voxels else math.nan
        found |= {
            f"{part}mass": mass, f"{part}mean": _over(inside[part], voxels), f"{part}enrichment": _over(mass, share),
        }  # fmt: skip
    mean, var = _moments(inside["signed"], inside["square"], voxels)
    total = inside["signed"] if voxels else math.nan
    return found | {"signed_sum": total, "signed_mean": mean, "signed_var": var, "share": share}


def _moments(total: float, square: float, voxels: float) -> tuple[float, float]:
    if not voxels:
        return math.nan, math.nan
    mean = total / voxels
    return mean, max(square / voxels - mean**2, 0.0)


def _over(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan
