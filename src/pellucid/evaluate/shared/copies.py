"""Copies of a case whose inputs are slightly changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.engine.problem import Problem
from pellucid.evaluate.undefined import Undefined


def copies(problem: Problem, kind: Literal["normal", "uniform"], share: float, count: int, purpose: str) -> list[Case]:
    """Copies of the problem's one case with noise on every input.

    ``"normal"``: sd of ``share`` × (max − min) of a picture, ``share`` × the training sd of a table's column.
    ``"uniform"``: between −``share`` and ``share`` of the same. The copies keep the case's id, so that a method
    which draws at random draws the same for each, and only the input differs.

    Raises:
        Undefined: the noise would be zero everywhere, because every picture is constant.
    """
    case, first = problem.cases[0], torch.zeros(count, dtype=torch.long)
    unit = units(problem)
    if not any(bool((u > 0).any()) for u in unit.values()):
        raise Undefined("every picture is constant, so noise in proportion to its range is nothing")
    changed = {}
    for name, x in problem.inputs.items():
        draw = problem.draw(kind, name, first, torch.arange(count), purpose)
        noise = draw if kind == "normal" else 2 * draw - 1
        changed[name] = (x + share * unit[name] * noise).cpu()
    return [case.replace(inputs={**case.inputs, **{k: v[i] for k, v in changed.items()}}) for i in range(count)]


def units(problem: Problem) -> dict[str, Tensor]:
    """What one is of every input: the range of a picture, the training sd of each column of a table."""
    return {
        name: problem.scale(name) if x.ndim > 2 else problem.predictor.unit(name, x)
        for name, x in problem.inputs.items()
    }


def distances(problem: Problem, others: Sequence[Case]) -> list[float]:
    """Euclidean distance of copies from the problem's one case, all inputs together, each in its own units.

    A picture that is the same everywhere has no range; it counts in its own values, if it changes at all.
    """
    unit = units(problem)
    inputs = problem.engine.stack(others)
    total = torch.zeros(len(others), dtype=torch.double)
    for name, x in problem.inputs.items():
        one = torch.where(unit[name] > 0, unit[name], torch.ones_like(unit[name]))
        total += ((inputs[name] - x) / one).double().flatten(1).square().sum(1).cpu()
    return [float(v) for v in total.sqrt()]
