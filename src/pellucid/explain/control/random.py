"""The random control."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Random(Explainer):
    """Uniform noise in [0, 1): a map that knows nothing. What does not beat it explains nothing.

    Budget: none beyond ``f(x)``.
    """

    name = "random"
    family = "control"
    passes = "1 F"
    source = "adebayo2018sanity"
    signed = False
    stochastic = True
    needs = ()

    def attribute(self, problem: Problem) -> Result:
        """Draw a map per case and target."""
        problem.bind()
        everyone = torch.arange(len(problem))
        # Drawn by what is explained, not by its place among the targets: explained alone, it is the same.
        how = [{k: v for k, v in t.describe().items() if k != "k"} for t in problem.targets]
        keys = [
            [zlib.crc32(json.dumps([t.index, h], sort_keys=True).encode()) for t, h in zip(b, how)]
            for b in problem.objective.bound if b is not None
        ]  # fmt: skip

        def one(name: str) -> Tensor:
            rows = [problem.draw("uniform", name, everyone, column, "random") for column in torch.tensor(keys).T]
            m = torch.stack(rows, dim=1)
            return m[:, :, 0] if m.ndim > 3 else m

        return Result({name: one(name) for name in problem.inputs})
