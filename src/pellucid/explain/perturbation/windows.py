"""Windows over a case's inputs: where they lie, and what the model says with one of them filled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil

from torch import Tensor

from pellucid.core.explainer import require
from pellucid.core.target import Objective
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError

Window = tuple[str, tuple[slice, ...]]
Sides = int | tuple[int, ...]


def columns(name: str, x: Tensor) -> list[Window]:
    """One window for each column of a table ``(B, F)``."""
    return [(name, (slice(i, i + 1),)) for i in range(x.shape[1])]


def check_sizes(name: str, shape: tuple[int, ...], sides: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Raise UsageError unless windows of these sizes cover a picture of this shape."""
    if any(side > length for side, length in zip(sides, shape)):
        raise UsageError(f"window {sides} is larger than input {name!r} {shape}; give at most {min(shape)}")
    require(
        all(step <= side for side, step in zip(sides, strides)),
        f"stride {strides} is larger than the window {sides}: pixels would be left out",
    )


def starts(shape: tuple[int, ...], sides: tuple[int, ...], strides: tuple[int, ...]) -> list[list[int]]:
    """Along each axis, the multiples of the stride up to the first one whose window reaches the far border."""
    return [
        [i * step for i in range(ceil((length - side) / step) + 1)]
        for length, side, step in zip(shape, sides, strides)
    ]


def windows(name: str, shape: tuple[int, ...], sides: tuple[int, ...], strides: tuple[int, ...]) -> list[Window]:
    """All windows over a picture, clipped at its border: a slice per axis, the channel axis first."""
    return [
        (name, (slice(None), *(slice(a, min(a + s, n)) for a, s, n in zip(corner, sides, shape))))
        for corner in product(*starts(shape, sides, strides))
    ]


def per_axis(what: str, value: Sides | None, shape: tuple[int, ...], default: tuple[int, ...]) -> tuple[int, ...]:
    """A size for each axis, from one number, one per axis, or the default.

    Raises:
        UsageError: another number of axes.
    """
    if value is None:
        return default
    if isinstance(value, int):
        return (value,) * len(shape)
    require(len(value) == len(shape), f"{what}={value} has {len(value)} axes, the input has {len(shape)}")
    return tuple(value)


def scores_without(
    problem: Problem, objective: Objective, fill: dict[str, Tensor], owner: Tensor, windows: Sequence[Window]
) -> Tensor:
    """``(n, T)``: the explained scalars of the cases ``owner`` ``(n,)``, each with its own one of n windows filled."""

    def make(index: Tensor) -> dict[str, Tensor]:
        at = owner[index]
        items = {k: v[at.to(v.device)] for k, v in problem.inputs.items()}
        for row, (i, b) in enumerate(zip(index.tolist(), at.tolist())):
            name, where = windows[i]
            items[name][(row, *where)] = fill[name][(b, *where)]
        return items

    return problem.engine.scores(problem.stream(owner, make), objective)
