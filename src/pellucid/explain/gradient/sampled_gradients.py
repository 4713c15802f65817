"""Sampled gradients: a quantile over the gradients of single voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.target import Bound, Objective
from pellucid.engine.problem import Problem
from pellucid.engine.stream import Stream, shape_of
from pellucid.errors import UsageError

_AT_ONCE = 1 << 22  # numbers that a quantile is taken of at a time


@dataclass(frozen=True, kw_only=True)
class SampledGradients(Explainer):
    """A quantile, voxel by voxel, over the gradients of ``samples`` voxels drawn from the region, one for each.

    In the gradient of a region's sum the voxels may cancel out, and a few with large gradients may outweigh the rest;
    a quantile shows what many of them agree on. Where fewer than ``1 − quantile`` of the drawn voxels depend on a
    voxel of the input, it is 0: the map is empty for a network that sees much less than the region at once.
    Voxels are drawn without replacement, by the target's weights, alike for all classes; a region of fewer voxels is
    taken whole. Notes: ``drawn``, how many there were.

    Budget: 1 forward, and for each target 1 forward and ``samples`` backwards. The gradients of one target and case
    are in memory together, ``2`` to ``4 · samples`` maps. Source: chrabaszcz2025aggregated.

    Attributes:
        samples: voxels, or groups of them.
        of: ``"voxels"``, drawn at random; ``"groups"``, the region cut, in the order of its voxels, into as many runs
            of equal length, each with the mean of its scores.
        reduce: ``"quantile"``, or ``"mean"``.
        quantile: from 0 to 1, interpolated linearly.
        keep_sign: whether of the gradients as they are (the source) or of their magnitudes.
    """

    name = "sampled_gradients"
    family = "gradient"
    source = "chrabaszcz2025aggregated"
    stochastic = True
    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    passes = "1 + T F, S*T B"
    samples: int = 100
    of: Literal["voxels", "groups"] = "voxels"
    reduce: Literal["quantile", "mean"] = "quantile"
    quantile: float = 0.9
    keep_sign: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.samples >= 1, f"samples={self.samples}: give 1 or more")
        require(self.of in ("voxels", "groups"), f"of={self.of!r}: choose 'voxels' or 'groups'")
        require(self.reduce in ("quantile", "mean"), f"reduce={self.reduce!r}: choose 'quantile' or 'mean'")
        require(0 <= self.quantile <= 1, f"quantile={self.quantile}: give a share from 0 to 1, such as 0.9")

    def attribute(self, problem: Problem) -> Result:
        """Draw, differentiate, reduce: one target and case at a time."""
        if problem.predictor.task not in self.tasks:
            raise UsageError(
                f"{self.name} draws voxels of a region, and a {problem.predictor.task} has none; use saliency"
            )
        problem.bind()
        maps = {k: x.new_zeros(len(problem), len(problem.targets), *x.shape[1:]) for k, x in problem.inputs.items()}
        drawn = torch.zeros(len(problem), len(problem.targets), dtype=torch.int64)
        for b in range(len(problem)):
            for t in range(len(problem.targets)):
                parts = self._parts(problem, b, t)
                drawn[b, t] = parts.count
                if parts.count:
                    for name, found in self._reduced(problem, b, parts).items():
                        maps[name][b, t] = found
        return Result(problem.per_sd(maps), notes={"drawn": drawn})

    def _parts(self, problem: Problem, b: int, t: int) -> Parts:
        """The drawn voxels or groups of a case's region."""
        bound = (problem.objective.bound[b] or [])[t]
        assert bound.weight is not None
        weight = bound.weight.detach().flatten().cpu().double()
        inside = weight.nonzero().flatten()
        count = min(self.samples, len(inside))
        ids = torch.full(weight.shape, count)
        if self.of == "groups":
            ids[inside] = torch.div(torch.arange(len(inside)) * count, max(1, len(inside)), rounding_mode="floor")
        else:  # the largest of log w + Gumbel noise are a sample by w without replacement
            generator = problem.generator(b, self.name)
            chance = torch.rand(len(inside), generator=generator, dtype=torch.float64)
            keys = weight[inside].log() - (-chance.clamp(min=1e-300).log()).log()
            ids[inside[keys.topk(count).indices]] = torch.arange(count)
        total = torch.zeros(count + 1, dtype=torch.float64).index_add_(0, ids, weight)
        device = problem.engine.device
        share = torch.where(ids < count, weight / total[ids], 0).to(device, problem.engine.dtype)
        return Parts(problem.objective, b, t, count, ids.to(device), share)

    def _reduced(self, problem: Problem, b: int, parts: Parts) -> dict[str, Tensor]:
        """Input name to ``(C, *spatial)``, reduced as soon as the gradients are there."""
        found: dict[str, Tensor] = {}

        def keep(_: Tensor, grads: dict[str, Tensor]) -> dict[str, Tensor]:
            found.update({k: self._over(g[0]) for k, g in grads.items()})
            return {}

        one = Stream(
            torch.tensor([b]), lambda _: {k: v[b : b + 1].clone() for k, v in problem.inputs.items()},
            shape=shape_of(problem.inputs),
        )  # fmt: skip
        problem.engine.gradients(
            one, parts.apart() if problem.engine.windowed(problem.inputs) else parts, transform=keep
        )
        return found

    def _over(self, values: Tensor) -> Tensor:
        """``(samples, *shape)`` to ``(*shape)``."""
        values = values if self.keep_sign else values.abs()
        if self.reduce == "mean":
            return values.mean(0)
        rows = values.flatten(1).split(max(1, _AT_ONCE // len(values)), dim=1)
        return torch.cat([torch.quantile(r, self.quantile, dim=0) for r in rows]).view(values.shape[1:])


class Parts(Objective):
    """The scores of parts of a region, one column for each: ``Σ_v share_v z_k(v)``.

    Args:
        inner: what is explained.
        b: the case.
        t: the target.
        count: how many parts.
        ids: ``(V,)``, the part that each voxel of the output is in; ``count`` where it is in none.
        share: ``(V,)``, of each voxel in its part.
    """

    def __init__(self, inner: Objective, b: int, t: int, count: int, ids: Tensor, share: Tensor) -> None:
        self.predictor, self.cases, self.bound = inner.predictor, inner.cases, inner.bound
        self.count, self.targets = count, [inner.targets[t]] * count
        self.b, self.whole, self.ids, self.share = b, (inner.bound[b] or [])[t], ids, share

    def __call__(self, output: Tensor, owner: Tensor) -> Tensor:  # noqa: ARG002
        """``(n, K, *spatial)`` outputs to ``(n, parts)`` scores."""
        if getattr(self.targets[0], "on", "logit") == "probability":
            output = self.predictor.probabilities(output)
        own = output[:, self.whole.index].flatten(1) * self.share
        found = own.new_zeros(len(own), self.count + 1).index_add_(1, self.ids, own)
        return found[:, : self.count]

    def apart(self) -> Objective:
        """The same as sums over regions, one mask for each part: so that windows which hold none of it are left out."""
        found = Objective(self.predictor, self.cases, self.targets)
        assert self.whole.weight is not None
        shape = self.whole.weight.shape
        masks = ((self.ids == i) for i in range(self.count))
        single = bool((self.share[self.ids < self.count] == 1).all())
        found.bound[self.b] = [
            Bound(self.whole.index, self.whole.label, (m if single else self.share * m).view(shape)) for m in masks
        ]
        return found
