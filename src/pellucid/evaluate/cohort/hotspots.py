"""Mean maps of a cohort, added up case by case, and the places outside the patient where they are dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.core.attribution import Attribution
from pellucid.evaluate.cohort.places import Place

Array = NDArray[np.float64]
DENSE = 3.0  # times what an indifferent map holds
EDGE = 0.25  # of the peak: where a spot ends
LARGEST = 0.05  # of the picture: a spot that is larger is drawn tighter about its peak
PER_MAP = 2  # spots of one mean map


def density(a: Attribution, shape: tuple[int, ...]) -> Array | None:
    """The size of a map, ``(*spatial)`` with mean 1, all its pictures added; None if it is not finite or zero.

    Args:
        a: the map; tables and pictures on another grid than ``shape`` are left out.
        shape: of the case.
    """
    total = np.zeros(shape)
    for name in a.images:
        m = a.spatial(name).double().abs().numpy()
        if m.shape == shape:
            total += m
    mean = float(total.mean())
    return total / mean if np.isfinite(mean) and mean > 0 else None


def resized(x: Array, shape: tuple[int, ...]) -> Array:
    """A map on another grid, linear."""
    if x.shape == shape:
        return x
    mode = "bilinear" if x.ndim == 2 else "trilinear"
    tensor = torch.as_tensor(x, dtype=torch.float64)[None, None]
    return torch.nn.functional.interpolate(tensor, size=shape, mode=mode, antialias=x.ndim == 2)[0, 0].numpy()


@dataclass(eq=False)
class Means:
    """Mean density by method and by what was explained, and how often a pixel is outside; case by case.

    Attributes:
        shape: of the common grid.
    """

    shape: tuple[int, ...]
    cases: int = 0
    _away: Array = field(init=False)
    _sums: dict[tuple[str, str], Array] = field(init=False, default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing yet."""
        self._away = np.zeros(self.shape)

    def add(self, away: NDArray[np.bool_], maps: Sequence[tuple[str, str, Array]]) -> None:
        """One case: where it is outside, and ``(method, label, density)`` of its maps."""
        self.cases += 1
        self._away += resized(away.astype(float), self.shape)
        for method, label, dense in maps:
            on_grid = resized(dense, self.shape)
            for stratum in (label, ""):
                key = (method, stratum)
                self._sums[key] = self._sums.get(key, 0.0) + on_grid
                self._counts[key] = self._counts.get(key, 0) + 1

    @property
    def away(self) -> Array:
        """Share of the cases in which a pixel is outside."""
        return self._away / max(1, self.cases)

    def mean(self, method: str, label: str = "") -> Array:
        """The mean density of a method, of all maps or of those that explain ``label``."""
        return self._sums[method, label] / self._counts[method, label]

    def strata(self, method: str, least: int) -> list[str]:
        """``""`` (all maps), then the labels with ``least`` maps or more, unless there is one label only."""
        labels = [k for m, k in self._counts if m == method and k]
        return ["", *(k for k in labels if self._counts[method, k] >= least and len(labels) > 1)]


@dataclass(frozen=True)
class Spot:
    """A place outside that is dense in a mean map.

    Attributes:
        place: on the common grid.
        peak: largest density in it, smoothed.
        mass: what it holds of the mean map, 0 to 1.
        method: whose map.
        label: of the maps, ``""`` for all.
    """

    place: Place
    peak: float
    mass: float
    method: str
    label: str


def spots(means: Means, methods: Sequence[str], *, most: int, least: int) -> list[Spot]:
    """The places outside that hold most beyond their share in any of the mean maps; the densest first, none twice.

    Where no map is :data:`DENSE` anywhere outside, the one densest place is given nevertheless: it is worth a look.

    Args:
        means: of the cohort.
        methods: to look at.
        most: how many spots.
        least: maps that a label needs to be looked at by itself.
    """
    found = [s for m in methods for label in means.strata(m, least) for s in _of_map(means, m, label)]
    dense = [s for s in found if s.peak >= DENSE] or sorted(found, key=lambda s: -s.peak)[:1]
    kept: list[Spot] = []
    for s in sorted(dense, key=lambda s: -(s.mass - s.place.share)):
        if len(kept) < most and not any(s.place.overlaps(k.place) for k in kept):
            # A coarse map finds the place, a fine one draws it: of those that overlap, the densest has the box.
            mine = [o for o in dense if o.place.overlaps(s.place) and not any(o.place.overlaps(k.place) for k in kept)]
            kept.append(max(mine, key=lambda o: o.peak))
    return kept


def _of_map(means: Means, method: str, label: str) -> list[Spot]:
    mean = means.mean(method, label)
    free = means.away >= 0.5
    smooth = ndimage.gaussian_filter(mean, max(0.75, 0.01 * min(means.shape)), mode="nearest")
    smooth = np.where(free, smooth, 0.0)
    found: list[Spot] = []
    for _ in range(PER_MAP):
        top = float(smooth.max())
        if top <= 0 or (found and top < EDGE * found[0].peak):
            break
        place = _box(smooth, means.shape)
        at = place.on(means.shape)
        mass = float(np.where(free, mean, 0.0)[at].sum() / mean.size)
        found.append(Spot(place, top, mass, method, label))
        smooth[at] = 0.0
    return found


def _box(smooth: Array, shape: tuple[int, ...]) -> Place:
    """The box of what is connected to the peak, a pixel wider; tighter until it is no larger than allowed."""
    peak = tuple(int(i) for i in np.unravel_index(int(smooth.argmax()), shape))
    level = EDGE * float(smooth[peak])
    while level < 0.95 * float(smooth[peak]):
        labels, _ = ndimage.label(smooth >= level, np.ones((3,) * len(shape)))
        at = ndimage.find_objects((labels == labels[peak]).astype(int))[0]
        place = Place(tuple((max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(at, shape)), shape)
        if place.share <= LARGEST:
            return place
        level *= 1.15
    reach = [max(1, int(LARGEST ** (1 / len(shape)) * n / 2)) for n in shape]  # a plateau has no edge of its own
    return Place(tuple((max(0, i - r), min(n, i + r)) for i, r, n in zip(peak, reach, shape)), shape)
