"""The model with every subset of its inputs: what each one is worth."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor

from pellucid.engine.problem import Problem
from pellucid.evaluate.undefined import Undefined

MOST = 6


@dataclass(frozen=True, eq=False)
class Subsets:
    """``values[s]`` is the explained scalar with the inputs in the bit set ``s`` present, ``(2ⁿ,)``.

    Input ``i`` is present where bit ``i`` of ``s`` is set. An absent picture is filled, an absent table is at its
    training mean.
    """

    names: tuple[str, ...]
    values: Tensor

    def ablation(self) -> dict[str, float]:
        """``f(x) − f(x without i)`` of every input."""
        whole = len(self.values) - 1
        return {n: float(self.values[whole] - self.values[whole ^ (1 << i)]) for i, n in enumerate(self.names)}

    def shapley(self) -> dict[str, float]:
        """Exact Shapley values; they add up to ``f(x) − f(nothing)``. Source: shapley1953value."""
        n = len(self.names)
        sets = torch.arange(2**n)
        size = sum((sets >> i) & 1 for i in range(n))
        weight = torch.tensor([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)]).double()
        found = {}
        for i, name in enumerate(self.names):
            without = sets[(sets >> i) & 1 == 0]
            gain = self.values[without | (1 << i)] - self.values[without]
            found[name] = float((weight[torch.as_tensor(size)[without]] * gain).sum())
        return found


def subsets(problem: Problem, filled: dict[str, Tensor]) -> Tensor:
    """``(2ⁿ, T)`` scores of a problem's one case with every subset of its n inputs: 2ⁿ forwards.

    Raises:
        Undefined: one input, or more than six.
    """
    names = problem.predictor.inputs
    if len(names) < 2:
        raise Undefined("the model has one input, so there is nothing to share")
    if len(names) > MOST:
        raise Undefined(f"{len(names)} inputs have {2 ** len(names)} subsets; up to {MOST} inputs are compared")
    sets = torch.arange(2 ** len(names))

    def make(index: Tensor) -> dict[str, Tensor]:
        chosen = sets[index].to(problem.engine.device)
        out = {}
        for i, name in enumerate(names):
            x = problem.inputs[name]
            there = ((chosen >> i) & 1).bool().view(-1, *[1] * (x.ndim - 1))
            out[name] = torch.where(there, x, filled[name])
        return out

    stream = problem.stream(torch.zeros_like(sets), make)
    return problem.engine.scores(stream, problem.objective).double().cpu()
