"""A run gives the metrics that look over a cohort the maps of all of its cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import pellucid as pc
from pellucid.core.predictor import Predictor
from pellucid.evaluate.cohort.signatures import signatures
from pellucid.nets import load_predictor
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.stages.peers import predicted_class


def test_a_run_compares_its_cases_with_each_other(tmp_path: Path) -> None:
    task = "classification"
    plain = demo_recipe(task, quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["explain"] |= {"methods": ["saliency", "random"], "most": 8}
    work["train"]["epochs"] = 1
    work["evaluate"] |= {"metrics": ["consistency", "label_sufficiency", "seconds"], "checks": "cheap"}
    run = run_recipe(Recipe.model_validate(plain), tmp_path / "run", quiet=True, console=Console(quiet=True), final={})
    cases = run.cases(task)
    table = run.table("scores", task)
    assert len(table) == 8 * 2 * 3 and (table.loc[table["metric"] == "seconds", "value"] > 0).all()
    predictor = load_predictor(run.folder / "model" / task)
    maps = {c: run.attributions(task, c) for c in cases}
    made = signatures([a for c in cases for a in maps[c]])  # all of them explain the predicted class
    known = 0
    for c in cases:
        for a in maps[c]:
            found = pc.evaluate(predictor, run.case(task, c), a, metrics=["consistency", "label_sufficiency"], cohort=made)
            for name, value in found.items():
                rows = table[(table["case"] == c) & (table["method"] == a.method) & (table["metric"] == name)]
                np.testing.assert_allclose(rows["value"].item(), value)
                assert np.isfinite(value) or rows["reason"].item()
                known += np.isfinite(value)
    assert known >= 8
    details = run.table("details", task)
    assert (details["part"] == "cases").sum() == known


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_class_of_stored_probabilities_is_that_of_the_logits(activation: str) -> None:
    p = Predictor(
        nn.Identity(), inputs=["x"], task="classification", classes=list("abcd"), activation=activation,
        thresholds=[0.2, 0.9, 0.5, 0.7],
    )  # fmt: skip
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * 3
    stored = p.probabilities(logits)
    assert [predicted_class(p, s) for s in stored] == [p.predicted_class(x) for x in logits]


def test_the_class_of_a_stored_label_map_is_its_largest_but_the_background() -> None:
    p = Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=["none", "liver", "spleen"])
    logits = torch.randn(20, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    logits[:, 0] += 2
    logits[0, 0] += 100  # nothing but background
    assert [predicted_class(p, s) for s in p.labels(logits)] == [p.predicted_class(x) for x in logits]
    one = Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=["lesion"])
    assert predicted_class(one, torch.zeros(6, 6)) == one.predicted_class(logits[0, :1]) == 0
