"""What a picture of a method is made of: two halves, each a case, its maps, and a fact that holds for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid import Attribution, Case, Predictor, explain

ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Shown:
    """One panel: a title and a map ``(rows, columns)``.

    Attributes:
        title: one or two short lines.
        values: the map, raw.
        top: end of the colour bar, where two panels share it; the map's own largest value if None.
        outline: whether the truth is drawn around (not on another grid than the picture's).
        grey: whether it is a picture, not a map.
    """

    title: str
    values: np.ndarray
    top: float | None = None
    outline: bool = True
    grey: bool = False


@dataclass(frozen=True, eq=False)
class Half:
    """A case, its maps, and one sentence.

    Attributes:
        text: what is seen, and why.
        truth: mask of what the score really depends on, ``(rows, columns)``.
        shown: the panels, the picture first.
        fact: whether the numbers are what the sentence says.
    """

    text: str
    truth: np.ndarray
    shown: list[Shown]
    fact: bool


Picture = Callable[[], tuple[Half, Half]]
PICTURES: dict[str, Picture] = {}


def picture(name: str) -> Callable[[Picture], Picture]:
    """Register the two halves of a method's picture: what it shows, and how it misleads."""

    def keep(make: Picture) -> Picture:
        PICTURES[name] = make
        return make

    return keep


def ask(model: Predictor, case: Case, method: str, *, target: Any = 0, **options: Any) -> Attribution:
    """Explain, on the processor, so that the numbers are the same on every machine up to rounding."""
    return explain(model, case, method, target, device="cpu", **options)


def spatial(a: Attribution) -> np.ndarray:
    """The map of the only picture, or of the last one; values below rounding set to zero."""
    m = np.asarray(a.spatial(a.images[-1]), float)
    return np.where(abs(m) > ROUNDING * max(1.0, abs(a.score)) / m.size, m, 0.0)


def panel(title: str, a: Attribution, *, top: float | None = None) -> Shown:
    """A map under a title."""
    return Shown(title, spatial(a), top)


def half(text: str, case: Case, truth: str | np.ndarray, *maps: Shown, fact: bool) -> Half:
    """A half whose first panels are the case's pictures; the outline belongs to the last of them."""
    mask = np.asarray(case.region(truth)) if isinstance(truth, str) else truth
    last = len(case.inputs) - 1
    pictures = [
        Shown(f"input “{name}”" if last else "input", np.asarray(x[0], float), outline=i == last, grey=True)
        for i, (name, x) in enumerate(case.inputs.items())
    ]
    return Half(text, mask, [*pictures, *maps], bool(fact))


def near(case: Case, region: str, by: int = 3) -> np.ndarray:
    """A region and what lies within so many pixels of it."""
    from scipy.ndimage import binary_dilation

    return binary_dilation(np.asarray(case.region(region)), iterations=by)


def share(a: Attribution, mask: np.ndarray) -> float:
    """Of the absolute map, how much lies in a mask; 0 for an empty map."""
    m = abs(spatial(a))
    return float(m[mask].sum() / m.sum()) if m.sum() > 0 else 0.0


def inside(a: Attribution, case: Case, region: str, by: int = 3) -> float:
    """The signed sum of a map in and around a region."""
    return float(spatial(a)[near(case, region, by)].sum())


def apart(low: float, under: float, over: float, high: float) -> bool:
    """Whether one number is under, the other over what was said of them."""
    return low < under and high > over


def total(a: Attribution) -> float:
    """What a map adds up to."""
    return float(spatial(a).sum())
