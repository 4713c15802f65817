"""A small experiment on pictures with a bright square, two of them a patient, for the tests of experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from own_sets import entries
from pellucid.core.case import Case
from pellucid.data.registry import DATASETS
from pellucid.nets.registry import NETWORKS
from tiny_networks import Noisy

TASK = "squares"
FACTORS: dict[str, Any] = {
    "width": {"narrow": {"model.options.width": 2}, "wide": {"model.options.width": 4}},
    "rate": {"fast": {"train.lr": 0.01}, "slow": {"train.lr": 1e-5}},
}


def squares(_root: Any = None, *, n: int = 36, noise: float = 0.6) -> list[Case]:
    """A square in every other patient's pictures."""
    rng, made = np.random.default_rng(0), []
    for i in range(n):
        image = noise * rng.random((1, 12, 12)).astype(np.float32)
        mask = np.zeros((12, 12), bool)
        if i // 2 % 2:
            mask[3:8, 3:8] = True
            image[0, 3:8, 3:8] += 0.6
        regions = {"lesion": mask} if mask.any() else {}
        made.append(Case(id=f"case {i}", inputs={"x": image}, truth=i // 2 % 2, group=f"p{i // 2}", regions=regions))
    return made


def worlds() -> Any:
    """The data set and the network, until the end of the block."""
    return _Both()


class _Both:
    def __enter__(self) -> None:
        self.held = [entries(DATASETS, own_squares=squares), entries(NETWORKS, noisy=Noisy)]
        for one in self.held:
            one.__enter__()

    def __exit__(self, *error: Any) -> None:
        for one in reversed(self.held):
            one.__exit__(*error)


def recipe(experiment: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Two factors over three folds; ``changes`` are of the task."""
    work = {
        "name": TASK, "title": "Squares",
        "data": {"dataset": "own_squares", "fractions": [0.5, 0.25, 0.25]},
        "model": {"network": "noisy", "options": {"width": 2, "norm": False, "dropout": 0.0}, "inputs": ["x"],
                  "task": "classification", "classes": ["no", "yes"]},
        "train": {"epochs": 2, "batch_size": 8, "lr": 0.01, "schedule": "constant"},
    } | changes  # fmt: skip
    section = {"folds": 3, "metrics": ["auroc", "f1"], "factors": FACTORS} | (experiment or {})
    return {"name": "small", "seed": 3, "device": "cpu", "tasks": [work], "experiment": section}


EXPLAINED: dict[str, Any] = {
    "explain": {"methods": ["saliency", "input_x_gradient"], "most": 3, "targets": [1]},
    "evaluate": {"metrics": ["deletion_auc", "mass_accuracy"], "steps": 4},
}
BACKED = EXPLAINED | {"explain": EXPLAINED["explain"] | {"background": 4}}
