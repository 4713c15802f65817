"""A box in a picture or volume: named in words, moved to another grid, matched with places to compare it with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

ENDS = {"R": ("left", "right"), "L": ("right", "left"), "A": ("posterior", "anterior"), "P": ("anterior", "posterior"),
        "S": ("inferior", "superior"), "I": ("superior", "inferior")}  # fmt: skip
PICTURE = (("upper", "lower"), ("left", "right"))
SAME, AT_LEAST = 0.9, 0.5  # how much of a place lies outside, in parts of that of the place it is compared with


@dataclass(frozen=True)
class Place:
    """A box, half-open, on a grid.

    Attributes:
        box: ``((start, end), …)``, one pair per axis.
        shape: of the grid.
    """

    box: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """``"2:15,3:13"``, rows then columns, counted from 0, the end not included."""
        return ",".join(f"{a}:{b}" for a, b in self.box)

    @property
    def share(self) -> float:
        """Of the picture, 0 to 1."""
        return float(np.prod([b - a for a, b in self.box]) / np.prod(self.shape))

    def on(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """The box on another grid of the same field of view; at least one pixel wide."""
        found = []
        for (a, b), old, new in zip(self.box, self.shape, shape):
            low = min(int(a * new / old + 0.5), new - 1)
            found.append(slice(low, max(low + 1, int(b * new / old + 0.5))))
        return tuple(found)

    def overlaps(self, other: Place) -> bool:
        """Whether they share a pixel."""
        return all(a < d and c < b for (a, b), (c, d) in zip(self.box, other.box))

    def zone(self, orientation: str | None = None) -> str:
        """Where it is, in words: ``"upper left corner"``; in a volume by the patient's directions, if known.

        Args:
            orientation: three letters, the direction in which each axis of a volume grows.
        """
        words: list[str] = []
        for axis, ((a, b), n) in enumerate(zip(self.box, self.shape)):
            third = int(3 * (a + b) / 2 / n)
            if third == 1:
                continue
            if len(self.shape) == 2:
                words.append(PICTURE[axis][third == 2])
            elif orientation:
                words.append(ENDS[orientation[axis]][third == 2])
            else:
                words.append(f"{'high' if third == 2 else 'low'} end of axis {axis}")
        if not words:
            return "middle"
        if len(self.shape) == 2:
            return " ".join(words) + (" corner" if len(words) == 2 else " edge")
        return " ".join(words) + " part" if orientation else ", ".join(words)

    def words(self, orientation: str | None = None) -> str:
        """Zone, range (both ends included, counted from 0) and share of the picture."""
        names = ("rows", "columns") if len(self.shape) == 2 else tuple(f"axis {i}:" for i in range(len(self.shape)))
        ranges = ", ".join(f"{n} {a}–{b - 1}" for n, (a, b) in zip(names, self.box))
        what = "picture" if len(self.shape) == 2 else "volume"
        return f"{self.zone(orientation)} ({ranges}; {100 * self.share:.2g} % of the {what})"


def matched(place: Place, away: NDArray[np.float64], others: Sequence[Place], *, most: int = 2) -> list[Place]:
    """Places of the same size to compare a place with: its mirror images first, then others, all as much outside.

    Where none is (nine tenths as much), the one that is most, if half as much.

    Args:
        place: to match.
        away: share of the cases in which a pixel is outside the patient, on the place's grid.
        others: places that a match must not touch either.
        most: how many at most.

    Returns:
        None, one or several; none where nothing of that size is as much outside.
    """
    wanted = float(away[place.on(place.shape)].mean())
    found: list[Place] = []
    second, best = None, AT_LEAST * wanted
    for candidate in _candidates(place):
        if any(candidate.overlaps(p) for p in (place, *others, *found)):
            continue
        free = float(away[candidate.on(place.shape)].mean())
        if free >= SAME * wanted:
            found.append(candidate)
        elif free > best:
            second, best = candidate, free
        if len(found) == most:
            break
    return found or ([second] if second else [])


def _candidates(place: Place) -> Iterator[Place]:
    """Mirror images, those of one axis first; then every position in steps of half the box, the farthest first."""
    n = len(place.shape)
    for flip in sorted(product((False, True), repeat=n), key=lambda f: (sum(f), [not v for v in reversed(f)])):
        if any(flip):
            box = tuple((s - b, s - a) if f else (a, b) for f, (a, b), s in zip(flip, place.box, place.shape))
            yield Place(box, place.shape)
    sides = [b - a for a, b in place.box]
    grid = product(*(range(0, s - w + 1, max(1, w // 2)) for s, w in zip(place.shape, sides)))
    home = np.array([a for a, _ in place.box])
    for start in sorted(grid, key=lambda p: -float(np.abs(np.array(p) - home).sum())):
        yield Place(tuple((a, a + w) for a, w in zip(start, sides)), place.shape)
