"""SmoothGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.chance import draw_planes
from pellucid.engine.engine import Gradients
from pellucid.engine.linear import Copies, Linear
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(Explainer):
    """The mean gradient over copies with ``N(0, (noise · (max − min))²)`` added, or the mean of its square.

    For a table per standard deviation of the column, so that its unit does not matter. Both forms, and ``vargrad``
    with the same samples and noise, share their gradients.

    Budget: 1 forward, ``samples`` gradients. Source: smilkov2017smoothgrad; the square: hooker2019benchmark.

    Attributes:
        samples: noisy copies.
        noise: sd as a share of the input's range.
        reduce: ``"mean"``, signed; or ``"square"``, the mean of the squared gradients.
    """

    name = "smoothgrad"
    family = "gradient"
    source = "smilkov2017smoothgrad"
    stochastic = True
    passes = "1 + S F, S*T B"
    samples: int = 20
    noise: float = 0.1
    reduce: Literal["mean", "square"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.samples >= 1, f"samples={self.samples}: give 1 or more")
        require(self.noise > 0, f"noise={self.noise}: give a positive share of the input's range")
        require(
            self.reduce in ("mean", "square"),
            f"reduce={self.reduce!r}: choose 'mean' or 'square'; the variance is the method 'vargrad'",
        )

    def attribute(self, problem: Problem) -> Result:
        """The mean over the copies."""
        found = noisy_gradients(problem, self.samples, self.noise)
        if self.reduce == "square":
            return Result(problem.per_sd(problem.per_sd(found.squares)))
        return Result(problem.per_sd(found.sums))

    def linear(self, problem: Problem) -> Linear | None:
        """The mean of planes, with the noise that these planes have in ``attribute``."""
        if problem.tables or self.reduce != "mean":
            return None
        noisy = problem.noisy(self.noise, "smoothgrad")
        scales = {k: problem.scale(k) for k in problem.inputs}

        def make(start: int, stop: int, copy: int) -> dict[str, Tensor]:
            if problem.predictor.windows is None:  # drawn as a whole
                volumes = noisy(torch.zeros(1, dtype=torch.int64), torch.tensor([copy]))
                return {k: v[:, :, start:stop] for k, v in volumes.items()}
            planes = {}
            for k, v in problem.inputs.items():
                drawn = draw_planes(
                    "normal", tuple(v.shape[1:]), seed=problem.seed, case=problem.cases[0].id,
                    purpose=f"smoothgrad {k}", copy=copy, start=start, stop=stop,
                )  # fmt: skip
                planes[k] = v[:, :, start:stop] + self.noise * scales[k] * drawn.to(v)
            return planes

        copies = Copies(count=self.samples, make=make, weight=lambda _copy: 1 / self.samples)
        return Linear(finish=lambda _name, grad, _start, _stop: grad, copies=copies)


def noisy_gradients(problem: Problem, samples: int, noise: float) -> Gradients:
    """The mean gradient and the mean squared gradient over noisy copies, once for all methods that ask for them."""

    def make() -> Gradients:
        owner, copy = problem.copies(samples)
        noisy = problem.noisy(noise, "smoothgrad")

        def at(index: Tensor) -> dict[str, Tensor]:
            return noisy(owner[index], copy[index])

        weights = torch.full((len(owner),), 1 / samples, dtype=torch.float64)
        return problem.engine.gradients(problem.stream(owner, at), problem.objective, weights=weights, square=True)

    return problem.once(("noisy gradients", samples, noise), make)
