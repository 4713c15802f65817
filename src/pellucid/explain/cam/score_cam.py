"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.explainer import require
from pellucid.core.fill import as_fill
from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam import channels as _channels
from pellucid.explain.cam.base import Cam, names, upsample


@dataclass(frozen=True, kw_only=True)
class ScoreCam(Cam):
    """``Σ_k w_k A_k``, ``w_k = y(x shown through H_k) − y(fill)``: no gradient is asked for.

    ``H_k`` is channel k, upsampled and scaled to 0–1; where it is 0, the fill stands in for the picture: ``x ∘ H_k +
    fill ∘ (1 − H_k)``. With several inputs each is masked by its own layer while the others are kept. A channel that
    is constant shows nothing and has no weight. A weight may be negative, where the score falls at the sight of a
    channel; the map keeps that by default, and ``sign="positive"`` is the paper's ReLU.

    Budget: one forward per channel that varies, one per image input for the fill (M) and one more, whatever the number
    of targets. Source: wang2020scorecam.

    Attributes:
        fill: what hides the picture (a Fill, in the image's units).
        weights: ``"increase"``, as above; ``"softmax"`` of that over the channels, as in the paper's algorithm: always
            positive, so that a model that does not care gets a map all the same.
        channels: ``"all"``, or how many at most: those that vary most over the grid.
    """

    name = "score_cam"
    source = "wang2020scorecam"
    passes = "1 + M + K F"
    sign: Literal["positive", "signed"] = "signed"
    fill: Any = "mean"
    weights: Literal["increase", "softmax"] = "increase"
    channels: _channels.Channels = "all"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        object.__setattr__(self, "fill", as_fill(self.fill))
        known = ("increase", "softmax")
        require(self.weights in known, f"weights={self.weights!r}: choose 'increase' or 'softmax'")
        _channels.check(self.channels)

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """Show the picture through each channel once, and not at all once."""
        acts, _ = problem.activations(names(chosen), gradients=False)
        todo = _channels.items(chosen, acts, _channels.spread, self.channels)
        hidden = [(name, b, -1) for name in chosen for b in range(len(problem))]
        runs = hidden + todo
        fill = problem.fill(self.fill)
        owner = torch.tensor([b for _, b, _ in runs], dtype=torch.long)

        def make(index: Tensor) -> dict[str, Tensor]:
            items = {k: v[owner[index].to(v.device)] for k, v in problem.inputs.items()}
            for row, (name, b, c) in enumerate(runs[i] for i in index.tolist()):
                shown, absent = items[name][row], fill[name][b]
                if c < 0:
                    items[name][row] = absent
                    continue
                h = upsample(acts[chosen[name].name][b, c][None, None], tuple(shown.shape[1:]))[0]
                h = (h - h.amin()) / (h.amax() - h.amin())
                items[name][row] = shown * h + absent * (1 - h)
            return items

        scores = problem.engine.scores(problem.stream(owner, make), problem.objective)
        first = {(name, b): i for i, (name, b, _) in enumerate(hidden)}
        rise = scores[len(hidden) :] - scores[[first[name, b] for name, b, _ in todo]]
        if self.weights == "softmax":
            rise = _softmax(rise, [(name, b) for name, b, _ in todo])
        return _channels.weigh(chosen, acts, todo, rise)

    def notes(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Any]:
        """The layers, and how many channels were left out."""
        return super().notes(problem, chosen) | _channels.notes(chosen, self.channels)


def _softmax(values: Tensor, groups: list[tuple[str, int]]) -> Tensor:
    """``(n, T)`` values, softmax over the rows of each group."""
    out = torch.empty_like(values)
    for group in dict.fromkeys(groups):
        rows = [i for i, g in enumerate(groups) if g == group]
        out[rows] = values[rows].softmax(0)
    return out
