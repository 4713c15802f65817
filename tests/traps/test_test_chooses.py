"""Trap: hyper-parameters chosen on the test loss. Nothing in the training takes test cases."""

import inspect

import numpy as np
import torch

from pellucid.core.case import Case
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
