"""CAM, the class activation map of a network with global pooling and one linear head."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.explainer import require
from pellucid.engine.layers import Layer, tap
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError
from pellucid.explain.cam.base import Cam, names

# Of the largest gradient, and of the score: what rounding may do.
SLACK = {"float64": 1e-6, "float32": 1e-3, "bf16": 0.05, "fp16": 0.01}
LOUD = 30.0  # times the activation
LARGEST = 1e4  # what half precision still holds
INSTEAD = "use hires_cam, which is the same where CAM is defined, or grad_cam"


@dataclass(frozen=True, kw_only=True)
class ClassActivationMap(Cam):
    """``Σ_k w_k A_k`` with the weights ``w`` of the linear head behind global average pooling.

    Its mean over the layer's grid is the score less the bias (and less what other inputs add to it). That the head is
    global pooling and one linear layer is found out by running the model: the gradient at the layer has to be the
    same all over the grid, and two more passes, with the layer's maps changed at random, have to give the scores that
    the weights say. A ReLU between the layer and the pooling counts as part of the layer.

    Budget: 3 forwards, 1 backward per target down to the layer. Source: zhou2016learning.

    Raises:
        UsageError: another kind of head (what was found is said).
    """

    name = "cam"
    source = "zhou2016learning"
    needs = ("layer", "linear_head")
    tasks = ("classification", "regression")
    passes = "3 F, T B"
    sign: Literal["positive", "signed"] = "signed"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """Read the weights off the gradient, and prove them."""
        require(problem.predictor.task in self.tasks, f"a segmentation has no pooled linear head; {INSTEAD}")
        slack = SLACK[problem.engine.precision]
        acts, grads = problem.activations(names(chosen))
        heads = {n: _head(n, acts[n].flatten(2)[:, None], grads[n].flatten(3), slack) for n in acts}
        _prove(problem, acts, heads, slack)
        maps = {}
        for name, layer in chosen.items():
            weight, a = heads[layer.name]
            maps[name] = (weight * a).sum(2).mul(a.shape[3]).unflatten(2, layer.grid)
        return maps


def _head(name: str, a: Tensor, g: Tensor, slack: float) -> tuple[Tensor, Tensor]:
    """The gradient ``(B, T, C, 1)`` that all places share, and the maps ``(B, 1, C, n)`` that are pooled."""
    shared = g.gather(3, g.abs().argmax(3, keepdim=True))
    size = g.abs().amax((1, 2, 3))
    off = (g - shared).abs().amax((1, 2, 3))
    behind_relu = (g - shared * (a > 0)).abs().amax((1, 2, 3))
    worst = torch.minimum(off, behind_relu) / torch.where(size > 0, size, 1)
    if bool((worst > slack).any()):
        raise UsageError(
            f"cam needs global average pooling and one linear layer behind layer {name!r}, but the gradient there "
            f"differs over the grid by {100 * float(worst.max()):.0f} % of its largest value; {INSTEAD}"
        )
    plain = (off <= slack * size).view(-1, 1, 1, 1)
    return shared, torch.where(plain, a, a.clamp(min=0))


def _prove(problem: Problem, acts: dict[str, Tensor], heads: dict[str, tuple[Tensor, Tensor]], slack: float) -> None:
    """Change the maps, run, and compare the score with what the weights say: one half of the channels, then the other.

    The other half is set to zero, and the factors are large, so that a hidden unit or a softmax is driven out of the
    range in which it is nearly linear.
    """
    draw = torch.Generator().manual_seed(0)
    owner, probe = problem.copies(2)
    at = owner.to(problem.engine.device)
    factors, said, size = {}, problem.scores[at], problem.scores[at].abs()
    for name, a in acts.items():
        half = torch.rand(a.shape[1], generator=draw) > 0.5
        noise = LOUD * torch.rand(a.shape[1:], generator=draw)
        kept = torch.stack([half, ~half]).view(2, -1, *[1] * (a.ndim - 2))
        loudest = a.flatten(1).abs().amax(1).clamp(min=1)[at].view(-1, *[1] * (a.ndim - 1))
        factors[name] = (noise * kept)[probe].to(a) * (LARGEST / (LOUD * loudest)).clamp(max=1)
        weight, shown = heads[name]
        change = (weight * shown)[at] * (factors[name].flatten(2)[:, None] - 1)
        said, size = said + change.sum((2, 3)), size + change.abs().sum((2, 3))

    def altered(index: Tensor) -> AbstractContextManager[None]:
        return tap(
            problem.engine.module,
            lambda layer, out: out * factors[layer][index.to(out.device)].to(out.dtype) if layer in factors else None,
        )

    stream = problem.stream(owner, lambda i: {k: v[at[i.to(at.device)]] for k, v in problem.inputs.items()})
    found = problem.engine.scores(stream, problem.objective, context=altered)
    off = (found - said).abs() / torch.where(size > 0, size, 1)
    if bool((off > slack).any()):
        raise UsageError(
            "cam needs one linear layer behind global average pooling, but the score is not linear in the pooled maps "
            f"of {', '.join(map(repr, acts))} (off by {100 * float(off.max()):.1f} %; a logit may be, a probability "
            f"is not); {INSTEAD}"
        )
