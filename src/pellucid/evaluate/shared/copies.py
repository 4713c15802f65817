"""Copies of a case whose inputs are slightly changed."""

from __future__ import annotations

from typing import Literal

import torch

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
    unit = {
        name: problem.scale(name) if x.ndim > 2 else problem.predictor.unit(name, x)
        for name, x in problem.inputs.items()
    }
    if not any(bool((u > 0).any()) for u in unit.values()):
        raise Undefined("every picture is constant, so noise in proportion to its range is nothing")
    changed = {}
    for name, x in problem.inputs.items():
        draw = problem.draw(kind, name, first, torch.arange(count), purpose)
        noise = draw if kind == "normal" else 2 * draw - 1
        changed[name] = (x + share * unit[name] * noise).cpu()
    return [case.replace(inputs={**case.inputs, **{k: v[i] for k, v in changed.items()}}) for i in range(count)]
