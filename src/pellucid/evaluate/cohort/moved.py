"""What filling a place did to the answers, case by case, and what that says over patients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binomtest

from pellucid.evaluate.cohort.hotspots import Array, Spot
from pellucid.evaluate.cohort.places import Place

PATIENTS = 5  # fewer cannot show anything: five whose answers all change are p = 0.03 at one place
MARGIN = 0.1  # more than at the control: of a probability, or standard deviations of a regression's predictions


@dataclass(frozen=True, eq=False)
class Filled:
    """One case in which a place was filled; arrays are ``(2,)``: filled with what is around it, and with the mean.

    Attributes:
        case: id.
        group: the patient.
        change: the answer as it was minus as it is, mean over targets.
        size: mean over targets of the absolute change.
        control: the same at the matched places, mean over these.
        flips: whether the answer flips (filled with what is around it).
        control_flips: whether it does at any of the matched places.
    """

    case: str
    group: str
    change: Array
    size: Array
    control: Array
    flips: bool
    control_flips: bool

    @property
    def side(self) -> int:
        """1 if the answer moves at the place (by 0.1 more than at the control, or it flips there alone), −1 if the
        reverse, 0 if neither."""
        gap = float(self.size[0] - self.control[0])
        if abs(gap) >= MARGIN:
            return 1 if gap > 0 else -1
        return int(self.flips) - int(self.control_flips)


@dataclass(frozen=True, eq=False)
class Tested:
    """What was measured at one spot.

    Attributes:
        spot: where.
        controls: places it is compared with.
        methods: those, no controls, whose maps are dense there; the densest first.
        held: method to the share of its map that lies there, mean over the cases in ``filled``; controls too.
        filled: the cases whose maps point there (all, if no method is dense there).
    """

    spot: Spot
    controls: tuple[Place, ...]
    methods: tuple[str, ...]
    held: dict[str, float]
    filled: list[Filled] = field(default_factory=list)

    def column(self, name: str, fill: int = 0) -> Array:
        """``change``, ``size`` or ``control`` of all cases, ``(n,)``."""
        return np.array([getattr(f, name)[fill] for f in self.filled], float)


@dataclass(frozen=True)
class Effect:
    """Means over patients of the size of the change, at the place, at the control, and their paired difference.

    Intervals are 95 % bootstrap over patients, NaN where these are too few. ``more`` counts patients whose answer
    moves at the place (:attr:`Filled.side`), ``less`` those in whom it moves at the control; ``p`` is the exact sign
    test of the two, one-sided. A mark that few patients show is found by it as well as one that all show.
    """

    patients: int = 0
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    control: float = np.nan
    difference: float = np.nan
    difference_low: float = np.nan
    difference_high: float = np.nan
    more: int = 0
    less: int = 0
    p: float = np.nan


def effect(t: Tested, *, n_boot: int, seed: int) -> Effect:
    """What filling the place with what is around it did, over patients."""
    if not t.filled:
        return Effect()
    names, at = np.unique([f.group for f in t.filled], return_inverse=True)
    size, control = (np.bincount(at, t.column(k)) / np.bincount(at) for k in ("size", "control"))
    gap = size - control
    side = np.bincount(at, [f.side for f in t.filled])
    more, less = int((side > 0).sum()), int((side < 0).sum())
    found = Effect(
        len(names), float(size.mean()), control=float(control.mean()), difference=float(gap.mean()), more=more,
        less=less, p=float(binomtest(more, more + less, alternative="greater").pvalue) if more + less else 1.0,
    )  # fmt: skip
    if len(names) < PATIENTS:
        return found
    draws = np.random.default_rng(seed).integers(len(names), size=(n_boot, len(names)))
    low, high = np.quantile(size[draws].mean(1), [0.025, 0.975])
    gap_low, gap_high = np.quantile(gap[draws].mean(1), [0.025, 0.975])
    return replace(
        found, low=float(low), high=float(high), difference_low=float(gap_low), difference_high=float(gap_high)
    )


def in_sd(t: Tested, sd: float) -> Tested:
    """The changes of a regression in standard deviations of its predictions."""
    k = 1 / sd if sd > 0 else 1.0
    rows = [replace(f, change=f.change * k, size=f.size * k, control=f.control * k) for f in t.filled]
    return replace(t, filled=rows)
