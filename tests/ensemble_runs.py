"""A small run with ensembles, for the tests of the run and of its report."""

from __future__ import annotations

import torch

from pellucid.study.recipe import Recipe
from tiny_networks import Noisy

TASK = "one"
MEMBERS = ["saliency", "input_x_gradient", "smoothgrad"]
METHODS = ["saliency", "input_x_gradient", {"smoothgrad": {"samples": 2}}, "random"]
WEIGHTED = {"ensemble": {"of": MEMBERS, "combine": "weighted", "calibrate": "val", "metric": "pointing_game", "most": 4, "block": 4}}
REFINE = [{"ensemble": {"of": MEMBERS, "block": 4}}, WEIGHTED]


class Tiny(Noisy):
    """Of pictures in colour."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, 3, H, W)`` to logits ``(B, 2)``."""
        return super().forward(x.mean(1, keepdim=True))


def recipe(**changes: object) -> Recipe:
    """Three explained cases; the network ``tiny`` is to be registered."""
    work = {
        "name": TASK,
        "data": {"dataset": "synthetic_dermoscopy", "options": {"n": 18, "size": 32}, "fractions": [0.4, 0.3, 0.3]},
        "model": {"network": "tiny", "inputs": ["image"], "task": "classification", "classes": ["benign", "malignant"]},
        "train": {"epochs": 1, "batch_size": 8},
        "explain": {"methods": METHODS, "most": 3},
        "refine": REFINE,
        "evaluate": {"metrics": ["insertion_auc", "pointing_game", "stability_pearson"], "steps": 3, "checks": "cheap",
                     "findings": False},
    }  # fmt: skip
    return Recipe.model_validate({"name": "ensembles", "tasks": [work | changes]})
