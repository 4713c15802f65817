"""A recipe that is searched in seconds."""

from __future__ import annotations

from typing import Any

from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe, load_recipe

GRID = {"space": {"lr": [1e-4, 1e-3], "batch_size": [8, 16]}}
TPE = {
    "sampler": "tpe", "objective": "val_metric", "trials": 4,
    "space": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "optimizer": ["adam", "sgd"]},
}  # fmt: skip


def plain(section: dict[str, Any] | None, *, train: dict[str, Any] | None = None) -> dict[str, Any]:
    """The quick demo's classification with few cases and epochs, and this ``search`` section."""
    recipe = demo_recipe("classification", quick=True).model_dump(mode="json", exclude_none=True)
    work = recipe["tasks"][0]
    work["data"]["options"] = {"n": 20, "size": 32, "seed": 1}
    work["also"], work["regions"] = {}, []
    work["explain"] = {"methods": ["saliency"], "most": 1}
    work["evaluate"] = {"metrics": ["gini"], "checks": "cheap", "findings": False}
    work["train"] = {"epochs": 2, "batch_size": 8} | (train or {})
    work.pop("search", None)
    if section is not None:
        work["search"] = section
    return recipe


def small(section: dict[str, Any] | None, **train: Any) -> Recipe:
    """The same, checked."""
    return load_recipe(plain(section, train=train))
