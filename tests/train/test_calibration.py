"""Temperature and calibration errors, against scikit-learn, torchmetrics, literal twins and a known temperature."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from torch import nn
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

import pellucid as pc
from pellucid.errors import UsageError
from pellucid.train.answers import choose_answers
from pellucid.train.calibration import BOUND, fit_temperature
from pellucid.train.reliability import calibration_measures, equal_mass
from pellucid.train.thresholds import best_thresholds

_spec = importlib.util.spec_from_file_location("twins", Path(__file__).parents[1] / "reference" / "calibration.py")
twins = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twins)


def sample(n, k=3, *, activation="softmax", seed=0, scale=1.5):
    """Logits that are true: outcomes are drawn from their own probabilities."""
    rng = np.random.default_rng(seed)
    z = scale * rng.normal(size=(n, k))
    if activation == "sigmoid":
        return torch.tensor((rng.random((n, k)) < 1 / (1 + np.exp(-z))).astype(int)), torch.tensor(z)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return torch.tensor((rng.random((n, 1)) > p.cumsum(1)).sum(1)), torch.tensor(z)


def value(table, metric, of, column="value"):
    return table[(table["metric"] == metric) & (table["class"] == of)][column].iloc[0]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_known_temperature_is_found(activation):
    """True logits times three: T = 3 lies in the interval, and is close; so it is in most of several samples."""
    inside = []
    for seed in range(10):
        y, z = sample(300, activation=activation, seed=seed)
        got = fit_temperature(y, 3 * z, activation=activation, n_boot=300, seed=seed)
        inside.append(got.low <= 3 <= got.high)
        assert got.low < got.fitted < got.high
        assert got.temperature == got.fitted == pytest.approx(3, rel=0.35)
        assert got.nll_after < got.nll_before
    assert sum(inside) >= 8


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_it_is_the_lowest_of_all(activation):
    y, z = sample(40, activation=activation, seed=3)
    loss = twins.nll if activation == "softmax" else twins.nll_labels
    got = fit_temperature(y, 2 * z, activation=activation, n_boot=20)
    best = twins.lowest(lambda t: loss((2 * z).tolist(), y.tolist(), t))
    assert got.fitted == pytest.approx(best, abs=2 * 8.8 / 3000)
    k = z.shape[1] if activation == "sigmoid" else 1
    assert got.nll_before * k == pytest.approx(loss((2 * z).tolist(), y.tolist(), 1.0))
    assert got.nll_after * k == pytest.approx(loss((2 * z).tolist(), y.tolist(), got.fitted))


def test_the_interval_is_that_of_patients_drawn_one_by_one():
    y, z = sample(60, seed=5)
    groups = [f"p{i // 2}" for i in range(60)]
    got = fit_temperature(y, 3 * z, activation="softmax", groups=groups, n_boot=40, seed=7)
    names, index = np.unique(groups, return_inverse=True)
    found = []
    for row in np.random.default_rng(7).multinomial(30, np.full(30, 1 / 30), size=40):
        rows = np.repeat(np.arange(60), row[index])
        found.append(fit_temperature(y[rows], 3 * z[rows], activation="softmax", n_boot=2).fitted)
    assert got.patients == len(names)
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(found, [0.025, 0.975])), rel=1e-3)


@pytest.mark.parametrize(
    ("truth", "logits", "reason"),
    [
        ([0, 1] * 20, [[1.0, 0.0], [0.0, 2.0]] * 20, "no validation case is wrong"),
        ([1, 0] * 20, [[1.0, 0.0], [0.0, 2.0]] * 20, f"above {BOUND:g}"),
        ([0, 1, 1] * 4, [[1.0, 0.0], [0.0, 2.0], [0.5, 0.1]] * 4, "12 patients in validation, fewer than 20"),
        ([0] * 300 + [1], [[0.1, 0.0]] * 300 + [[1e-3, 0.0]], "next to no validation case is wrong"),
    ],
)
def test_where_there_is_nothing_to_fit_it_stays_1_and_says_why(truth, logits, reason):
    got = fit_temperature(torch.tensor(truth), torch.tensor(logits), activation="softmax", n_boot=20)
    assert got.temperature == 1
    assert reason in got.reason
    assert got.nll_after == got.nll_before


def test_measures_are_those_of_others():
    y, z = sample(400, k=1, activation="sigmoid", seed=1)
    table, curve = calibration_measures(y, 2 * z, activation="sigmoid", classes=["a"], bins=8, n_boot=50)
    p, seen = (2 * z).sigmoid().numpy().ravel(), y.numpy().ravel()
    assert value(table, "brier", "a") == pytest.approx(brier_score_loss(seen, p))
    assert value(table, "nll", "a") == pytest.approx(log_loss(seen, p))
    other = BinaryCalibrationError(n_bins=8, norm="l1")(torch.tensor(p), torch.tensor(seen))
    assert value(table, "ece_equal_width", "a") == pytest.approx(float(other), abs=1e-6)
    share, mean = calibration_curve(seen, p, n_bins=8, strategy="quantile")
    assert curve["observed"].tolist() == pytest.approx(share.tolist())
    assert curve["confidence"].tolist() == pytest.approx(mean.tolist())
    assert curve["count"].tolist() == [50] * 8
    assert (curve["low"] <= curve["observed"]).all()
    assert (curve["observed"] <= curve["high"]).all()
    assert value(table, "ece_equal_mass", "a") == pytest.approx(twins.ece_equal_mass(p, seen, 8))
    assert value(table, "ece_equal_width", "a") == pytest.approx(twins.ece_equal_width(p, seen, 8))


def test_many_classes_ask_whether_the_answer_is_right():
    y, z = sample(300, k=4, seed=2)
    table, curve = calibration_measures(y, 3 * z, activation="softmax", bins=10, n_boot=50)
    p = (3 * z).softmax(1)
    other = MulticlassCalibrationError(4, n_bins=10, norm="l1")(p, y)
    assert value(table, "ece_equal_width", "all") == pytest.approx(float(other), abs=1e-6)
    assert value(table, "brier", "all") == pytest.approx(brier_score_loss(y, p.numpy(), scale_by_half=False))
    assert value(table, "nll", "all") == pytest.approx(log_loss(y, p.numpy()))
    assert set(curve["class"]) == {"all"}
    mild, _ = calibration_measures(y, 3 * z, activation="softmax", temperature=3.0, n_boot=50)
    for metric in ("ece_equal_mass", "ece_equal_width", "brier", "nll"):
        assert value(mild, metric, "all") < value(table, metric, "all")


def test_two_classes_ask_for_the_second_and_labels_for_each():
    y, z = sample(200, k=2, seed=4)
    table, _ = calibration_measures(y, z, activation="softmax", classes=["no", "yes"], n_boot=20)
    assert set(table["class"]) == {"yes"}
    assert value(table, "brier", "yes") == pytest.approx(brier_score_loss(y, z.softmax(1)[:, 1]))
    y, z = sample(200, k=2, activation="sigmoid", seed=4)
    table, curve = calibration_measures(y, z, activation="sigmoid", classes=["a", "b"], n_boot=20)
    assert set(curve["class"]) == {"a", "b"}
    for metric in set(table["metric"]):
        mean = (value(table, metric, "a") + value(table, metric, "b")) / 2
        assert value(table, metric, "macro") == pytest.approx(mean)
        assert table[table["metric"] == metric]["class"].iloc[0] == "macro"


def test_true_probabilities_err_as_much_as_chance_does():
    errors, chances = [], []
    for seed in range(30):
        y, z = sample(100, k=1, activation="sigmoid", seed=seed)
        table, _ = calibration_measures(y, z, activation="sigmoid", n_boot=2)
        errors.append(value(table, "ece_equal_mass", "class 0"))
        chances.append(value(table, "ece_equal_mass", "class 0", "by_chance"))
    assert np.mean(errors) > 0.03
    assert np.mean(chances) == pytest.approx(np.mean(errors), rel=0.15)


def test_patients_are_drawn_whole():
    y, z = sample(50, k=1, activation="sigmoid", seed=6)
    y10, z10 = y.repeat_interleave(10, 0), z.repeat_interleave(10, 0)
    def width(y, z, **more):
        table, curve = calibration_measures(y, z, activation="sigmoid", bins=5, n_boot=400, **more)
        return value(table, "brier", "class 0", "high") - value(table, "brier", "class 0", "low"), curve

    one, _ = width(y, z)
    whole, curve = width(y10, z10, groups=[f"p{i // 10}" for i in range(500)])
    alone, narrow = width(y10, z10)
    assert whole == pytest.approx(one, rel=0.15)
    assert alone < 0.5 * one
    assert (narrow["high"] - narrow["low"]).mean() < 0.5 * (curve["high"] - curve["low"]).mean()


def test_ties_stay_together():
    said = np.array([0.1] * 7 + [0.5] * 2 + [0.9])
    place = equal_mass(said, 5)
    assert all(len(set(place[said == v])) == 1 for v in set(said))


def test_logits_and_explanations_stay_as_they_are():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    given = {"inputs": ["x"], "task": "classification", "classes": list("abc")}
    plain, warm = pc.Predictor(net, **given), pc.Predictor(net, **given, temperature=3.0)
    case = pc.Case(id="1", inputs={"x": torch.rand(1, 4, 4)})
    for method in ("saliency", "integrated_gradients", "occlusion"):
        a, b = (pc.explain(p, case, method=method, target=1) for p in (plain, warm))
        assert torch.equal(a.maps["x"], b.maps["x"])
        assert a.score == b.score
    output = net(case.inputs["x"][None])
    assert torch.equal(warm.probabilities(output), (output / 3).softmax(1))
    assert torch.equal(plain.probabilities(output), output.softmax(1))
    assert warm.predicted_class(output[0]) == plain.predicted_class(output[0])


def test_thresholds_are_of_calibrated_probabilities():
    y, z = sample(200, k=3, activation="sigmoid", seed=8)
    p = pc.Predictor(nn.Identity(), inputs=["x"], task="classification", classes=list("abc"), activation="sigmoid")
    _, fitted = choose_answers(p, y, 4 * z, calibrate=True)
    assert p.temperature == fitted.temperature > 2
    assert p.thresholds == best_thresholds(y, (4 * z / p.temperature).sigmoid())
    plain = pc.Predictor(nn.Identity(), inputs=["x"], task="classification", classes=list("abc"), activation="sigmoid")
    assert choose_answers(plain, y, 4 * z)[1] is None
    # A temperature keeps the order of the cases, so the same ones are above, but for those between two thresholds.
    assert torch.equal(plain.above(4 * z), p.above(4 * z))
    assert plain.thresholds != p.thresholds


def test_wrong_calls():
    y, z = sample(10)
    for call in (fit_temperature, calibration_measures):
        with pytest.raises(UsageError, match="10 truths and 9 outputs"):
            call(y, z[:9], activation="softmax")
        with pytest.raises(UsageError, match="gives no probabilities"):
            call(y, z, activation="identity")
        with pytest.raises(UsageError, match="of 2 classes"):
            call(y, z[:, :2], activation="softmax")
    given = {"inputs": ["x"], "classes": ["a"]}
    with pytest.raises(UsageError, match="temperature is 0"):
        pc.Predictor(nn.Identity(), **given, task="classification", temperature=0)
    with pytest.raises(UsageError, match="not for a segmentation"):
        pc.Predictor(nn.Identity(), **given, task="segmentation", temperature=2)
