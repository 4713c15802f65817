"""A run over several findings with a model that is known: each finding is read off one patch of the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pellucid as pc
from own_sets import registered
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

FINDINGS = ("Mass", "Nodule", "Hernia")
SIDE = 24
LUNGS = ((slice(3, 21), slice(2, 10)), (slice(3, 21), slice(14, 22)))
UPPER_RIGHT, LOWER_LEFT = (slice(6, 10), slice(3, 8)), (slice(16, 20), slice(15, 20))  # the patient's
PATCHES = {"Mass": UPPER_RIGHT, "Nodule": UPPER_RIGHT, "Hernia": LOWER_LEFT}


class Spots(nn.Module):
    """A finding is there where its patch is bright; the first column of the table speaks for Hernia a little."""

    def __init__(self) -> None:
        super().__init__()
        masks = torch.zeros(len(FINDINGS), SIDE, SIDE)
        for k, name in enumerate(FINDINGS):
            masks[(k, *PATCHES[name])] = 1
        self.weight = nn.Parameter(masks / masks.sum((1, 2), keepdim=True))
        self.shift = nn.Parameter(torch.tensor([0.5, 0.6, 0.5]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        seen = torch.einsum("nchw,khw->nk", x, self.weight)
        return 10 * (seen - self.shift) + torch.stack([0 * t[:, 0], 0 * t[:, 0], 0.5 * t[:, 0]], 1)


def spots(root: str | None = None, *, n: int = 20, shots: int = 2, seed: int = 0) -> list[pc.Case]:
    """``shots`` pictures a patient; what is bright is mostly there, and has a box."""
    rng = np.random.default_rng(seed)
    lungs = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    for where in LUNGS:
        lungs[where] = True
    cases = []
    for i in range(n):
        x = torch.as_tensor(0.05 * rng.random((1, SIDE, SIDE)), dtype=torch.float32)
        regions, truth = {"lungs": lungs}, []
        for name in FINDINGS:
            if name == "Nodule":
                truth.append(truth[0] if rng.random() < 0.8 else 0)
                continue
            bright = rng.random() < 0.5
            if bright:
                x[(0, *PATCHES[name])] = 0.55 + 0.2 * float(rng.random())
            truth.append(int(bright) if rng.random() < 0.85 else int(not bright))
            if truth[-1]:
                regions[name] = torch.zeros(SIDE, SIDE, dtype=torch.bool)
                regions[name][PATCHES[name]] = True
        table = torch.tensor([rng.normal(), rng.normal()], dtype=torch.float32)
        cases.append(
            pc.Case(id=f"s{i}", inputs={"image": x, "ehr": table}, truth=torch.tensor(truth), regions=regions, group=f"p{i // shots}")
        )
    return cases


def recipe(
    *, targets: list[Any], analysis: list[Any], methods: list[Any] | None = None, **options: Any
) -> dict[str, Any]:
    """Explained without a training."""
    return {
        "name": "findings", "tasks": [{
            "name": "chest", "data": {"dataset": "spots", "options": options, "zones": ["lung_zones_classical"]},
            "model": {"load": f"{__name__}:Spots", "inputs": ["image", "ehr"], "task": "classification",
                      "classes": list(FINDINGS), "activation": "sigmoid", "features": {"ehr": ["age", "weight"]}},
            "explain": {"methods": methods or ["saliency", "random"], "targets": targets, "cases": "test"},
            "evaluate": {"metrics": [], "checks": "cheap", "findings": False, "region": "target"},
            "analysis": analysis,
        }],
    }  # fmt: skip


def run(folder: Path, **options: Any) -> Run:
    """The run of :func:`recipe`, without judging the maps."""
    with registered(spots=spots):
        return run_recipe(recipe(**options), folder, quiet=True, only=("data", "explain", "analyse"))
