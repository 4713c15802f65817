"""Trap: hyper-parameters chosen on the test loss. Nothing in the training takes test cases."""

import inspect
import types

import numpy as np
import pytest
import torch
from rich.console import Console

from pellucid.core.case import Case
from pellucid.data.splits import Split
from pellucid.study.context import Context
from pellucid.study.recipe import load_recipe
from pellucid.study.stages import train as stage
from pellucid.train import best_thresholds, fit
from pellucid.train.normalise import statistics

SETTINGS = {
    "network": "image_tabular", "options": {"features": 1, "classes": 1}, "inputs": ["x", "t"],
    "task": "classification", "classes": ["yes"], "epochs": 3, "batch_size": 4, "progress": False,
}  # fmt: skip


def cases(prefix, n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return [
        Case(
            id=f"{prefix}{i}", truth=i % 2,
            inputs={"x": rng.random((1, 16, 16)) + shift + i % 2, "t": rng.normal(size=1) + shift},
        )
        for i in range(n)
    ]  # fmt: skip


def test_fit_takes_two_splits_and_no_third():
    names = list(inspect.signature(fit).parameters)
    assert names[:2] == ["cases_train", "cases_val"]
    assert not [n for n in names if "test" in n]


def test_statistics_come_from_the_training_cases_alone():
    train = cases("t", 8, 0)
    got = fit(train, cases("v", 6, 1, shift=50.0), **SETTINGS)
    for name, (mean, sd) in statistics(train, ["x", "t"]).items():
        assert torch.equal(got.predictor.normalise[name][0], mean)
        assert torch.equal(got.predictor.normalise[name][1], sd)


def test_thresholds_come_from_the_validation_cases_alone():
    train, val = cases("t", 8, 0), cases("v", 6, 1)
    got = fit(train, val, **SETTINGS)
    p = got.predictor
    values = [
        (torch.stack([c.inputs[k] for c in val]) - p.normalise[k][0].reshape(1, -1, *[1] * (2 * (k == "x"))))
        / p.normalise[k][1].reshape(1, -1, *[1] * (2 * (k == "x")))
        for k in p.inputs
    ]
    with torch.no_grad():
        probability = p.module(*values).sigmoid()
    assert p.thresholds == best_thresholds(torch.tensor([[c.truth] for c in val]), probability)
    assert p.thresholds != (0.5,)


class Sealed(list):
    """Test cases that nobody may look at until they are opened."""

    opened = False

    def _look(self):
        assert self.opened, "the test cases were read before the training had ended"

    def __iter__(self):
        self._look()
        return super().__iter__()

    def __getitem__(self, index):
        self._look()
        return super().__getitem__(index)

    def __len__(self):
        self._look()
        return super().__len__()


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """The train stage of a recipe with every choice that there is; the test cases are opened when its fit returns."""
    recipe = load_recipe({"name": "r", "tasks": [{
        "name": "one", "data": {"dataset": "synthetic_classification"},
        "model": {k: SETTINGS[k] for k in ("network", "options", "inputs", "task", "classes")},
        "train": {"epochs": 3, "batch_size": 4, "schedule": {"plateau": {"patience": 0}}, "monitor": "metric",
                  "patience": 2, "balance": "class_weights", "calibrate": True},
        "explain": {"methods": ["saliency"]}, "evaluate": {"metrics": ["deletion_auc"], "min_positives": 1},
    }]})  # fmt: skip

    def run(test, folder):
        sealed, tables = Sealed(test), {}
        store = types.SimpleNamespace(
            folder=tmp_path / folder, put_table=lambda name, task, table: tables.update({name: table}), warn=print
        )
        (tmp_path / folder).mkdir()

        def then_open(*cases, **options):
            trained = fit(*cases, **options)
            sealed.opened = True
            return trained

        monkeypatch.setattr(stage, "fit", then_open)
        context = Context(
            run=store, recipe=recipe, work=recipe.tasks[0], base=tmp_path, console=Console(quiet=True), quiet=True,
            split=Split(cases("t", 12, 0), cases("v", 8, 1), sealed),
        )  # fmt: skip
        stage.run(context)
        return context.predictor, tables

    return run


def test_a_recipe_reads_the_test_cases_after_the_training_alone(staged):
    test = cases("x", 6, 2)
    one, tables = staged(test, "one")
    other, others = staged([c.replace(truth=1 - c.truth) for c in test], "other")
    # What the test cases say changes what is reported of them, and nothing of the model.
    assert one.weights_hash() == other.weights_hash()
    assert one.thresholds == other.thresholds
    assert one.temperature == other.temperature
    assert tables["history"].drop(columns="seconds").equals(others["history"].drop(columns="seconds"))

    def value(table, part):
        rows = table["performance"]
        return rows[(rows["part"] == part) & (rows["metric"] == "accuracy")]["value"].iloc[0]

    assert value(tables, "val") == value(others, "val")
    assert value(tables, "test") == pytest.approx(1 - value(others, "test"))


def test_the_seal_holds():
    with pytest.raises(AssertionError, match="before the training had ended"):
        len(Sealed([1]))
