"""Small runs of classifiers that are too sure of themselves: exclusive classes, or labels of which one never occurs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pellucid as pc
from own_sets import registered
from pellucid.data.case_list import collect
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

NAMES = ("nodule", "effusion", "rare")


def tables_to_learn(root: str | None = None, *, patients: int = 150, labels: bool = False, seed: int = 0) -> Any:
    """Two pictures of noise per patient, and a table from which three classes, or two labels and a rare one, follow."""
    rng = np.random.default_rng(seed)
    g = torch.Generator().manual_seed(seed)
    rows = [(f"{i}-{j}", (i, j)) for i in range(patients) for j in range(2)]

    def make(name: str, row: tuple[int, int]) -> pc.Case:
        table = rng.normal(size=3)
        p = 1 / (1 + np.exp(-1.5 * table))
        truth: Any = (rng.random(3) < p * [1, 1, 0]).astype(int).tolist()
        if not labels:
            p = np.exp(1.5 * table)
            truth = int(rng.choice(3, p=p / p.sum()))
        inputs = {"ct": torch.rand(1, 8, 8, generator=g), "ehr": torch.tensor(table).float()}
        meta = {"view": ("AP", "PA")[row[1]], "age": 30 + row[0] % 3 * 20, "site": "one"}
        return pc.Case(id=name, inputs=inputs, truth=truth, group=f"p{row[0]}", meta=meta)

    return collect(rows, make, source="tables_to_learn")


def recipe(
    *, labels: bool = False, calibrate: bool = True, patients: int = 150, epochs: int = 12, strata: Sequence[str] = (),
) -> Recipe:  # fmt: skip
    """Trained alone, for too long and too fast, so that probabilities are too extreme."""
    data = {"dataset": "tables_to_learn", "options": {"labels": labels, "patients": patients}, "fractions": [0.3, 0.35, 0.35]}
    task = {
        "name": "labels" if labels else "classes", "data": data,
        "model": {
            "network": "image_tabular", "options": {"features": 3, "classes": 3}, "inputs": ["ct", "ehr"],
            "task": "classification", "classes": list(NAMES), "activation": "sigmoid" if labels else "softmax",
        },
        "train": {"epochs": epochs, "lr": 0.03, "schedule": "constant", "calibrate": calibrate},
        "evaluate": {"metrics": [], "findings": False, "strata": list(strata)},
    }  # fmt: skip
    return Recipe.model_validate({"name": "answers", "tasks": [task]})


def run(folder: Path, **options: Any) -> Run:
    """The run of :func:`recipe`."""
    with registered(tables_to_learn=tables_to_learn):
        return run_recipe(recipe(**options), folder, quiet=True)
