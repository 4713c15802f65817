"""What a window's gradient starts from: how the explained scalars depend on the stitched logits, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.core.target import Bound, Objective, RegionScore, Target
from pellucid.engine.windows import Slices
from pellucid.errors import UsageError


class Seeds(Protocol):
    """Targets that are sums ``Σ_v weight(v) · z_k(v)`` of the stitched logits. Slices are those of the volume."""

    def present(self, slices: Slices) -> list[int]:
        """The targets that have any weight there."""
        ...

    def channel(self, target: int) -> int:
        """``k``, the output channel of a target."""
        ...

    def weight(self, target: int, slices: Slices) -> Tensor:
        """The weights there, bool or float."""
        ...


class BoundSeeds:
    """The seeds of a case's bound targets."""

    def __init__(self, bound: Sequence[Bound]) -> None:
        self.bound = bound
        self._present: dict[tuple[tuple[int, int], ...], list[int]] = {}

    def present(self, slices: Slices) -> list[int]:
        """The targets that have any weight there."""
        key = tuple((s.start, s.stop) for s in slices)
        if key not in self._present:
            self._present[key] = [t for t in range(len(self.bound)) if bool(self.weight(t, slices).any())]
        return self._present[key]

    def channel(self, target: int) -> int:
        """The output channel of a target."""
        return self.bound[target].index

    def weight(self, target: int, slices: Slices) -> Tensor:
        """The weights there."""
        weight = self.bound[target].weight
        if weight is None:
            raise UsageError("windows: this target has no weight for each voxel, so it cannot be cut into windows")
        return weight[slices]


class CurvedSeeds(BoundSeeds):
    """The seeds of targets that are not linear in the logits: their slope is taken at the stitched logits.

    Args:
        bound: of the case.
        logits: ``(K, *spatial)``, stitched, of the input that the gradient is wanted at.
        targets: of the objective.
        predictor: whose activation it is.
    """

    def __init__(
        self, bound: Sequence[Bound], logits: Tensor, targets: Sequence[Target], predictor: Predictor
    ) -> None:
        super().__init__([_refreshed(b, t, logits, predictor) for b, t in zip(bound, targets)])
        self.logits, self.targets, self.predictor = logits, targets, predictor

    def slope(self, target: int, slices: Slices) -> Tensor:
        """``∂S/∂L`` there, ``(K, *covered)``."""
        at = self.logits[(slice(None), *slices)]
        weight, k = self.weight(target, slices).to(at.device), self.channel(target)
        if getattr(self.targets[target], "on", "logit") != "probability":
            out = torch.zeros_like(at)
            out[k] = weight.to(at.dtype)
            return out
        with torch.enable_grad():
            leaf = at.detach().clone().requires_grad_()
            score = (self.predictor.probabilities(leaf[None])[0, k] * weight.to(at.dtype)).sum()
            (out,) = torch.autograd.grad(score, leaf)
        return torch.as_tensor(out)


def linear(objective: Objective) -> bool:
    """Whether every target is a fixed weighted sum of logits, so that each window adds its own part to it."""
    return pointwise(objective) and all(
        getattr(t, "on", "logit") == "logit" and not _moves(t) for t in objective.targets
    )


def pointwise(objective: Objective) -> bool:
    """Whether every target is a sum over voxels of something that depends on that voxel's logits alone."""
    return type(objective) is Objective


def _moves(target: Target) -> bool:
    return isinstance(target, RegionScore) and target.refresh and target.region == "predicted"


def _refreshed(bound: Bound, target: Target, logits: Tensor, predictor: Predictor) -> Bound:
    """The bound target with the region that these logits have, where it is asked to move with them."""
    if not (isinstance(target, RegionScore) and _moves(target)):
        return bound
    mask = predictor.labels(logits[None])[0] == predictor.label_of(bound.index)
    return Bound(bound.index, bound.label, target.weigh(predictor, logits, mask, bound.index), bound.flags)
