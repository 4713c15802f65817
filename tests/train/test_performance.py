"""Against scikit-learn, an independent implementation."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk

from pellucid.errors import UsageError
from pellucid.train import performance


def value(table, metric, of=None, stratum="all", column="value"):
    rows = table[(table.metric == metric) & (table.stratum == stratum)]
    if of is not None:
        rows = rows[rows["class"] == of]
    return rows[column].iloc[0]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_two_classes(rng):
    y = rng.integers(0, 2, 80)
    # Rounded, so that there are ties.
    out = np.round(rng.normal(size=(80, 2)) + 0.8 * np.stack([1 - y, y], 1), 1)
    got = performance(torch.tensor(y), torch.tensor(out), task="classification", classes=["no", "yes"], n_boot=50)
    score, hard = out[:, 1] - out[:, 0], out.argmax(1)
    assert set(got["class"]) == {"all", "yes"}
    assert value(got, "accuracy") == pytest.approx(sk.accuracy_score(y, hard))
    assert value(got, "auroc") == pytest.approx(sk.roc_auc_score(y, score))
    assert value(got, "auprc") == pytest.approx(sk.average_precision_score(y, score))
    assert value(got, "f1") == pytest.approx(sk.f1_score(y, hard))
    assert value(got, "sensitivity") == pytest.approx(sk.recall_score(y, hard))
    assert value(got, "specificity") == pytest.approx(sk.recall_score(1 - y, 1 - hard))
    assert (got.reason == "").all()
    assert (got.low <= got.value).all()
    assert (got.value <= got.high).all()
    assert (got.low < got.high).all()


def test_many_exclusive_classes(rng):
    y = rng.integers(0, 4, 200)
    out = torch.tensor(rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[y])
    got = performance(torch.tensor(y), out, task="classification", n_boot=20)
    p = out.softmax(1).numpy()
    assert value(got, "auroc") == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert value(got, "f1", "macro") == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro"))
    for k in range(4):
        assert value(got, "auprc", f"class {k}") == pytest.approx(sk.average_precision_score(y == k, p[:, k]))


def test_labels_with_thresholds(rng):
    y = (rng.random((90, 3)) < 0.3).astype(int)
    out = torch.tensor(rng.normal(size=(90, 3)) + y)
    limits = (0.3, 0.5, 0.7)
    got = performance(
        torch.tensor(y), out, task="classification", activation="sigmoid", classes=["a", "b", "c"],
        thresholds=limits, n_boot=20,
    )  # fmt: skip
    hard = out.sigmoid().numpy() > np.array(limits)
    for k, name in enumerate("abc"):
        assert value(got, "f1", name) == pytest.approx(sk.f1_score(y[:, k], hard[:, k]))
        assert value(got, "auroc", name) == pytest.approx(sk.roc_auc_score(y[:, k], out[:, k]))
    assert value(got, "auroc", "macro") == pytest.approx(sk.roc_auc_score(y, out.numpy(), average="macro"))


def test_far_out_logits_keep_their_rank():
    out = torch.tensor([[60.0], [70.0], [80.0], [90.0]])
    got = performance(torch.tensor([0, 0, 1, 1]), out, task="classification", activation="sigmoid", n_boot=5)
    assert value(got, "auroc") == 1.0


def test_regression(rng):
    y = rng.normal(size=60) + 1000
    p = y + 0.5 * rng.normal(size=60)
    got = performance(torch.tensor(y), torch.tensor(p)[:, None], task="regression", n_boot=50)
    assert value(got, "mae") == pytest.approx(sk.mean_absolute_error(y, p))
    assert value(got, "rmse") == pytest.approx(sk.root_mean_squared_error(y, p))
    assert value(got, "r2") == pytest.approx(sk.r2_score(y, p))
    assert value(got, "pearson") == pytest.approx(np.corrcoef(y, p)[0, 1])


def test_segmentation(rng):
    y = rng.integers(0, 3, (7, 9, 8))
    out = torch.tensor(rng.normal(size=(7, 3, 9, 8)))
    got = performance(torch.tensor(y), out, task="segmentation", classes=["bg", "a", "b"], n_boot=20)
    hard = out.argmax(1).numpy()
    for k, name in ((1, "a"), (2, "b")):
        want = [sk.f1_score((y[i] == k).ravel(), (hard[i] == k).ravel()) for i in range(7)]
        assert value(got, "dice", name) == pytest.approx(np.mean(want))
        want = [sk.jaccard_score((y[i] == k).ravel(), (hard[i] == k).ravel()) for i in range(7)]
        assert value(got, "iou", name) == pytest.approx(np.mean(want))
    assert value(got, "dice") == pytest.approx(np.mean([value(got, "dice", c) for c in "ab"]))


def test_absent_and_not_predicted_says_nothing():
    y = torch.zeros(3, 4, 4, dtype=torch.long)
    y[0, :2] = 1
    out = torch.full((3, 1, 4, 4), -5.0)
    out[0, 0, :2] = 5.0
    got = performance(y, out, task="segmentation", classes=["lesion"], n_boot=10)
    assert value(got, "dice") == 1.0
    assert value(got, "dice", column="n") == 1


def test_bootstrap_equals_a_literal_one(rng):
    """The same counts drawn, the rows really repeated, scikit-learn on each."""
    y, score = rng.integers(0, 2, 30), np.round(rng.normal(size=30), 1)
    groups = [f"p{i // 2}" for i in range(30)]
    got = performance(
        torch.tensor(y), torch.tensor(score)[:, None], task="classification", activation="sigmoid",
        groups=groups, n_boot=200, seed=5,
    )  # fmt: skip
    _, index = np.unique(groups, return_inverse=True)
    counts = np.random.default_rng(5).multinomial(15, np.full(15, 1 / 15), size=200)
    draws = {"auroc": [], "auprc": []}
    for row in counts:
        rows = np.repeat(np.arange(30), row[index])
        if len(set(y[rows])) == 2:
            draws["auroc"].append(sk.roc_auc_score(y[rows], score[rows]))
            draws["auprc"].append(sk.average_precision_score(y[rows], score[rows]))
    for metric, values in draws.items():
        assert value(got, metric, column="low") == pytest.approx(np.quantile(values, 0.025))
        assert value(got, metric, column="high") == pytest.approx(np.quantile(values, 0.975))


def test_patients_are_drawn_whole(rng):
    """Ten copies of each case under one patient's name do not narrow the interval; as cases of their own they do."""
    y = rng.integers(0, 2, 25)
    out = torch.tensor(rng.normal(size=25) + y)[:, None]
    many = {"task": "classification", "activation": "sigmoid", "n_boot": 400}
    y10, out10 = torch.tensor(y).repeat_interleave(10), out.repeat_interleave(10, 0)
    names = [f"p{i // 10}" for i in range(250)]
    width = lambda t: value(t, "auroc", column="high") - value(t, "auroc", column="low")  # noqa: E731
    single = width(performance(torch.tensor(y), out, **many))
    assert width(performance(y10, out10, groups=names, **many)) == pytest.approx(single, rel=0.15)
    assert width(performance(y10, out10, **many)) < 0.5 * single


def test_one_class_only_is_nan_with_a_reason():
    y, out = torch.zeros(6, dtype=torch.long), torch.randn(6, 2)
    got = performance(y, out, task="classification", n_boot=10)
    assert np.isnan(value(got, "auroc"))
    assert value(got, "auroc", column="reason") == "one class only"
    assert value(got, "sensitivity", column="reason") == "no positive case"
    assert np.isfinite(value(got, "accuracy"))


def test_a_class_without_cases_is_left_out_of_the_mean_by_name():
    y = torch.tensor([0, 0, 1, 1])
    out = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 2, 0], [0, 1, 3]])
    got = performance(y, out, task="classification", classes=["a", "b", "c"], n_boot=10)
    assert value(got, "auroc") == pytest.approx((value(got, "auroc", "a") + value(got, "auroc", "b")) / 2)
    assert value(got, "auroc", column="reason") == "mean of 2 of 3: without c (one class only)"


def test_strata(rng):
    y = rng.integers(0, 2, 60)
    out = torch.tensor(rng.normal(size=(60, 2)) + np.eye(2)[y])
    view = np.where(np.arange(60) % 3 == 0, "AP", "PA")
    got = performance(torch.tensor(y), out, task="classification", by=list(view), n_boot=20)
    keep = view == "AP"
    want = sk.roc_auc_score(y[keep], (out[:, 1] - out[:, 0]).numpy()[keep])
    assert value(got, "auroc", stratum="AP") == pytest.approx(want)
    assert value(got, "auroc", stratum="AP", column="n") == 20
    assert list(got.stratum.unique()) == ["all", "AP", "PA"]


def test_one_group_has_no_interval():
    got = performance(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 2, 4]), task="regression", groups=["p"] * 3)
    assert np.isnan(got.low).all()
    assert set(got.reason) == {"one group only: no interval"}


def test_bad_calls():
    y, out = torch.zeros(4, dtype=torch.long), torch.zeros(4, 2)
    with pytest.raises(UsageError, match="4 truths and 3 outputs"):
        performance(y, out[:3], task="classification")
    with pytest.raises(UsageError, match="groups has 2 entries for 4 cases"):
        performance(y, out, task="classification", groups=["a", "b"])
    with pytest.raises(UsageError, match="NaN"):
        performance(y, out / 0, task="classification")
    with pytest.raises(UsageError, match="3 class names for 2 outputs"):
        performance(y, out, task="classification", classes=["a", "b", "c"])
    with pytest.raises(UsageError, match="of 2 classes"):
        performance(y + 2, out, task="classification")
    with pytest.raises(UsageError, match="one grid"):
        performance(torch.zeros(2, 4, 4), torch.zeros(2, 1, 8, 8), task="segmentation")


def test_the_same_seed_gives_the_same_table(rng):
    y, out = torch.tensor(rng.integers(0, 2, 40)), torch.tensor(rng.normal(size=(40, 2)))
    tables = [performance(y, out, task="classification", n_boot=100, seed=s) for s in (1, 1, 2)]
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_many_masks_are_measured_some_at_a_time(rng):
    y, out = rng.integers(0, 2, (130, 4, 5)), torch.tensor(rng.normal(size=(130, 1, 4, 5)))
    got = performance(torch.tensor(y), out, task="segmentation", classes=["a"], thresholds=[0.4], n_boot=5)
    hard = (out[:, 0].sigmoid() > 0.4).numpy()
    want = [sk.f1_score(y[i].ravel(), hard[i].ravel()) for i in range(130)]
    assert value(got, "dice") == pytest.approx(np.mean(want)) and value(got, "dice", column="n") == 130


def test_label_maps_of_several_sizes_are_measured_as_their_logits_are(rng):
    y, out = rng.integers(0, 3, (5, 6, 7)), torch.tensor(rng.normal(size=(5, 3, 6, 7)))
    given = {"task": "segmentation", "classes": ["bg", "a", "b"], "n_boot": 30, "groups": list("vwxyy")}
    wanted = performance(torch.tensor(y), out, **given)
    maps = list(out.argmax(1).to(torch.int16))
    pd.testing.assert_frame_equal(performance(list(torch.tensor(y)), maps, **given), wanted)
    # One of them on a finer grid: the same shares.
    fine = [torch.tensor(y[0]).repeat_interleave(2, 0), *torch.tensor(y[1:])]
    pd.testing.assert_frame_equal(performance(fine, [maps[0].repeat_interleave(2, 0), *maps[1:]], **given), wanted)
    with pytest.raises(UsageError, match=r"a mask is \(6, 7\), its label map \(12, 7\)"):
        performance(list(torch.tensor(y)), [maps[0].repeat_interleave(2, 0), *maps[1:]], **given)
    with pytest.raises(UsageError, match="lists are for a segmentation"):
        performance([0, 1], [0.0, 1.0], task="regression")
    one = {"task": "segmentation", "classes": ["lesion"], "n_boot": 5}
    logits = torch.tensor(rng.normal(size=(5, 1, 6, 7)))
    labels = list((logits[:, 0] > 0).to(torch.int16))
    found = performance(list(torch.tensor(y > 0).long()), labels, **one)
    pd.testing.assert_frame_equal(found, performance(torch.tensor(y > 0).long(), logits, **one))
