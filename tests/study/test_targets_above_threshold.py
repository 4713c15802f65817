"""Classes above their threshold are explained, and told apart by whether the model is right about them."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch

import pellucid as pc
from pellucid.errors import UsageError
from pellucid.study.recipe import load_recipe
from pellucid.study.run import run_recipe
from pellucid.study.stages.targets import asked

RECIPE = {
    "name": "above",
    "tasks": [
        {
            "name": "one",
            "data": {"dataset": "synthetic_classification", "options": {"n": 20, "size": 16}},
            "model": {"network": "image_tabular", "inputs": ["ct", "ehr"], "task": "classification",
                      "classes": ["benign", "malignant"]},
            "train": {"epochs": 1},
            "explain": {"methods": ["saliency"], "targets": ["above_threshold"], "cases": "test"},
            "evaluate": {"metrics": ["gini"], "checks": "cheap", "findings": False},
        }
    ],
}  # fmt: skip


def linear(thresholds: list[float]) -> pc.Predictor:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 3, bias=False))
    net[1].weight.data = torch.eye(3)
    return pc.Predictor(
        net.eval(), inputs=["t"], task="classification", classes=["a", "b", "c"], activation="sigmoid",
        thresholds=thresholds,
    )  # fmt: skip


def batch(*logits: list[float]) -> tuple[list[pc.Case], list[torch.Tensor]]:
    rows = [torch.tensor(v) for v in logits]
    return [pc.Case(id=str(i), inputs={"t": v}) for i, v in enumerate(rows)], rows


def test_every_class_above_its_own_threshold_the_most_probable_first() -> None:
    cases, outputs = batch([2.0, -1.0, 3.0], [-1.0, -1.0, -1.0], [2.0, -1.0, 3.0], [-1.0, 0.1, -9.0])
    found = asked(linear([0.5, 0.5, 0.5]), ["above_threshold"], cases, outputs)
    assert found == [([2, 0], [0, 2]), ([1], [3])]
    strict = asked(linear([0.9, 0.2, 0.5]), ["above_threshold"], cases, outputs)
    assert strict == [([2, 1], [0, 2]), ([1], [1, 3])]


def test_a_class_that_another_target_names_is_explained_once() -> None:
    cases, outputs = batch([2.0, -1.0, 3.0], [-1.0, -1.0, -1.0])
    found = asked(linear([0.5, 0.5, 0.5]), ["predicted", "above_threshold"], cases, outputs)
    assert found == [(["predicted", 0], [0]), (["predicted"], [1])]
    assert asked(linear([0.5] * 3), ["a"], cases, outputs) == [(["a"], [0, 1])]


def test_only_for_a_classification() -> None:
    wrong = copy.deepcopy(RECIPE)
    wrong["tasks"][0]["model"] |= {"task": "regression", "classes": []}
    with pytest.raises(UsageError, match=r"above_threshold.*is for a classification"):
        load_recipe(wrong)


def test_a_run_says_which_maps_are_of_true_and_of_false_positives(tmp_path) -> None:
    run = run_recipe(RECIPE, tmp_path / "run", quiet=True)
    table = run.table("outcomes", "one")
    truths = {i: run.case("one", i).truth for i in run.cases("one")}
    assert len(table) == 2 * len(truths)
    for row in table.itertuples():
        stored = run.prediction("one", row.case)
        assert row.probability == pytest.approx(float(stored[row.target_index]))
        assert row.outcome == ("T" if (row.probability > row.threshold) == (truths[row.case] == row.target_index) else "F") + (
            "P" if row.probability > row.threshold else "N"
        )
        mapped = {a.target["index"] for a in run.attributions("one", row.case)}
        assert row.explained == (row.target_index in mapped) == (row.probability > row.threshold)
    assert table["rule"].unique().tolist() == ["threshold"]
    scores = run.table("scores", "one")
    shown = table[table["explained"]]
    assert set(zip(scores["case"], scores["target_index"])) == set(zip(shown["case"], shown["target_index"]))
    assert isinstance(scores, pd.DataFrame)
    assert len(scores) == len(shown)
