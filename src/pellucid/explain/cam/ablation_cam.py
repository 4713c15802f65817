"""Ablation-CAM."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.engine.layers import Layer, tap
from pellucid.engine.problem import Problem
from pellucid.explain.cam import channels as _channels
from pellucid.explain.cam.base import Cam, names


@dataclass(frozen=True, kw_only=True)
class AblationCam(Cam):
    """``ReLU(Σ_k w_k A_k)``, ``w_k = y − y(channel k of the layer set to zero)``: no gradient is asked for.

    The paper divides by ``y``. That is one factor for the whole map, turns it over where ``y`` is negative and is not
    defined where it is zero, so it is left out: the weights are in units of the score.

    Budget: one forward per channel that is not zero, and one more, whatever the number of targets. Source:
    desai2020ablation.

    Attributes:
        channels: ``"all"``, or how many at most: those with the largest mean square.
    """

    name = "ablation_cam"
    source = "desai2020ablation"
    passes = "1 + K F"
    channels: _channels.Channels = "all"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        _channels.check(self.channels)

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """Zero each channel once."""
        acts, _ = problem.activations(names(chosen), gradients=False)
        todo = _channels.items(chosen, acts, _channels.energy, self.channels)

        def without(index: Tensor) -> AbstractContextManager[None]:
            def change(layer: str, out: Tensor) -> Tensor | None:
                rows = [(r, todo[i][2]) for r, i in enumerate(index.tolist()) if chosen[todo[i][0]].name == layer]
                if not rows:
                    return None
                out = out.clone()
                out[[r for r, _ in rows], [c for _, c in rows]] = 0
                return out

            return tap(problem.engine.module, change)

        owner = torch.tensor([b for _, b, _ in todo], dtype=torch.long)
        stream = problem.stream(owner, lambda i: {k: v[owner[i].to(v.device)] for k, v in problem.inputs.items()})
        drops = problem.scores[:0]
        if todo:
            scores = problem.engine.scores(stream, problem.objective, context=without)
            drops = problem.scores[owner.to(scores.device)] - scores
        return _channels.weigh(chosen, acts, todo, drops)

    def notes(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Any]:
        """The layers, and how many channels were left out."""
        return super().notes(problem, chosen) | _channels.notes(chosen, self.channels)
