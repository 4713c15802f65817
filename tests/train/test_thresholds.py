"""Thresholds against scikit-learn's precision–recall curve; classes that have none."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve
from torch import nn

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train import best_thresholds, performance
from pellucid.train.thresholds import threshold_table


def best_of(y, p):
    """The highest F1 on scikit-learn's curve."""
    precision, recall, _ = precision_recall_curve(y, p)
    return np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_labels_are_at_their_best_on_the_curve(digits):
    """One digit: nearly all cases are tied with others."""
    rng = np.random.default_rng(digits)
    y = (rng.random((60, 3)) < [0.1, 0.4, 0.8]).astype(int)
    p = np.round(np.clip(0.3 * y + 0.7 * rng.random((60, 3)), 0, 1), digits)
    table = threshold_table(torch.tensor(y), torch.tensor(p), classes=["a", "b", "c"])
    for k, row in table.iterrows():
        assert row["f1"] == pytest.approx(best_of(y[:, k], p[:, k]))
        assert f1_score(y[:, k], p[:, k] > row["threshold"]) == pytest.approx(row["f1"])
        assert (row["positives"], row["n"], row["reason"]) == (y[:, k].sum(), 60, "")
    assert table["class"].tolist() == ["a", "b", "c"]


def test_exclusive_classes_have_one_each_against_the_rest():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 80)
    p = torch.tensor(rng.normal(size=(80, 4)) + np.eye(4)[y]).softmax(1)
    table = threshold_table(torch.tensor(y), p)
    for k in range(4):
        assert table["f1"][k] == pytest.approx(best_of(y == k, p[:, k].numpy()))
    two = threshold_table(torch.tensor(y % 2), p[:, :2])
    assert two["f1"].tolist() == pytest.approx([best_of(y % 2 == k, p[:, k].numpy()) for k in (0, 1)])


def test_far_out_probabilities_are_told_apart():
    """Six digits would put the threshold above, or below, all of them."""
    for low in (1e-9, 1 - 4e-9):
        p = torch.tensor([[low], [low + 1e-9], [low + 2e-9]], dtype=torch.float64)
        table = threshold_table(torch.tensor([[0], [0], [1]]), p)
        assert table["f1"][0] == 1
        assert (p > table["threshold"][0]).flatten().tolist() == [False, False, True]


def test_a_probability_of_0_is_above_nothing():
    p = torch.tensor([[0.0], [0.0], [0.5]], dtype=torch.float64)
    table = threshold_table(torch.tensor([[1], [0], [1]]), p)
    assert table["f1"][0] == pytest.approx(f1_score([1, 0, 1], (p > table["threshold"][0]).int().flatten()))
    none = threshold_table(torch.tensor([[1], [0]]), torch.zeros(2, 1))
    assert math.isnan(none["threshold"][0])
    assert none["reason"][0] == "every probability is 0"


def test_class_without_positives():
    """No threshold, with the reason; never above; no number about its labels, and a macro that says so."""
    rng = np.random.default_rng(1)
    y, z = torch.tensor(rng.random((50, 3)) < [0.5, 0.0, 1.0]).int(), torch.tensor(rng.normal(size=(50, 3)))
    table = threshold_table(y, z.sigmoid(), classes=["a", "none", "every"])
    assert table["threshold"].isna().tolist() == [False, True, True]
    assert table["reason"].tolist() == [
        "", "no positive cases in validation", "only positive cases in validation"
    ]  # fmt: skip
    p = Predictor(
        nn.Identity(), inputs=["x"], task="classification", classes=["a", "none", "every"], activation="sigmoid",
        thresholds=best_thresholds(y, z.sigmoid()),
    )  # fmt: skip
    assert p.without_threshold == ("none", "every")
    sure = torch.tensor([[-9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    assert p.above(sure).tolist() == [[False] * 3, [True, False, False]]
    assert p.predicted_class(sure[1]) == 0
    test = torch.tensor(rng.random((50, 3)) < 0.5).int()
    got = performance(
        test, z, task="classification", activation="sigmoid", classes=p.classes, thresholds=p.thresholds, n_boot=20
    )  # fmt: skip
    for metric in ("accuracy", "balanced_accuracy", "f1", "precision", "sensitivity", "specificity"):
        rows = got[got["metric"] == metric].set_index("class")
        assert rows["value"].isna().to_dict() == {"macro": False, "a": False, "none": True, "every": True}
        assert rows["reason"]["none"] == "the class has no threshold"
        assert rows["reason"]["macro"] == "mean of 1 of 3: without none, every (the class has no threshold)"
        assert rows["value"]["macro"] == rows["value"]["a"]
    assert got[got["metric"] == "auroc"]["value"].notna().all()


def test_thresholds_that_make_no_sense():
    with pytest.raises(UsageError, match="truth is"):
        threshold_table(torch.zeros(3, 2), torch.zeros(3, 3))
    with pytest.raises(UsageError, match="from 0 to 1"):
        Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["a"], thresholds=[1.5])
    with pytest.raises(UsageError, match="NaN would label nothing"):
        Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=["a"], thresholds=[float("nan")])
