"""Curves, confusion and the bias table: against scikit-learn, and the bootstrap against a literal one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t as student
from sklearn import metrics as sk

from pellucid.errors import UsageError
from pellucid.train import performance
from pellucid.train.asked import asked
from pellucid.train.bias import bias_table
from pellucid.train.confusion import confusion, exclusive_confusion, label_confusion
from pellucid.train.curves import Steps, curves, pr_at, roc_at

NAMES = ("a", "b", "rare")


def labels(n=120, seed=0):
    """Three labels, the last of which few cases have; two cases per patient, a view and an age band of each."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.4, 0.3, 0]).astype(int)
    y[:3, 2] = 1
    z = np.round(rng.normal(size=(n, 3)) + 1.2 * y - 0.5, 1)  # rounded: ties
    groups = [f"p{i // 2}" for i in range(n)]
    view = ["AP" if i % 3 else "PA" for i in range(n)]
    return torch.tensor(y), torch.tensor(z), groups, view


def questions(y, z, thresholds=(0.5, 0.4, 0.5)):
    return asked(y, z, activation="sigmoid", classes=NAMES, thresholds=thresholds)


def test_every_point_of_the_curves_is_one_of_scikit_learns():
    y, z, _, _ = labels()
    truth, rank = y[:, 0].numpy().astype(float), z[:, 0].numpy()
    steps, one = Steps(truth, rank), np.ones((1, len(truth)))
    fpr, tpr, _ = sk.roc_curve(truth, rank, drop_intermediate=False)
    top = pd.Series(tpr).groupby(fpr).max()  # the upper end where it rises
    (got,), _ = roc_at(steps, one, top.index.to_numpy())
    assert got == pytest.approx(top.to_numpy())
    middle = (top.index[1] + top.index[2]) / 2
    assert roc_at(steps, one, np.array([middle]))[0][0] == pytest.approx(np.interp(middle, top.index, top))
    precision, recall, _ = sk.precision_recall_curve(truth, rank)
    first = pd.DataFrame({"p": precision, "r": recall})[::-1].query("r > 0").groupby("r", sort=False)["p"].first()
    (got,), _ = pr_at(steps, one, first.index.to_numpy())
    assert got == pytest.approx(first.to_numpy())
    # Average precision is the sum of these steps.
    assert (np.diff(np.r_[0, first.index]) * got).sum() == pytest.approx(sk.average_precision_score(truth, rank))


def test_the_band_equals_a_literal_bootstrap_with_the_rows_really_repeated():
    y, z, groups, _ = labels(60)
    q = questions(y, z)[:1]
    roc, pr = curves(q, groups=groups, min_positives=5, n_boot=40, seed=3)
    roc, pr = roc[roc["point"] == "curve"], pr[pr["point"] == "curve"]
    truth, rank = q[0].truth, q[0].rank
    counts = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=40)
    place = np.unique(groups, return_inverse=True)[1]
    at, tprs, precisions = 37, [], []
    for row in counts:
        rows = np.repeat(np.arange(60), row[place])
        fpr, tpr, _ = sk.roc_curve(truth[rows], rank[rows], drop_intermediate=False)
        top = pd.Series(tpr).groupby(fpr).max()
        tprs.append(np.interp(at / 100, top.index, top))
        p, r, _ = sk.precision_recall_curve(truth[rows], rank[rows])
        precisions.append(max(zip(r, p), key=lambda v: (v[0] >= at / 100 - 1e-12, -v[0], v[1]))[1])
    for table, draws in ((roc, tprs), (pr, precisions)):
        assert table[["low", "high"]].iloc[at].tolist() == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert (roc["low"] <= roc["tpr"] + 1e-9).mean() > 0.9


def test_the_marked_answer_is_what_performance_says():
    y, z, groups, _ = labels()
    given = {"groups": groups, "min_positives": 5, "n_boot": 50, "seed": 1}
    roc, pr = curves(questions(y, z), **given)
    table = performance(y, z, task="classification", activation="sigmoid", classes=NAMES, thresholds=(0.5, 0.4, 0.5), **given)
    table = table.set_index(["metric", "class"])
    for name in ("a", "b"):
        (mark,) = roc[(roc["class"] == name) & (roc["point"] == "answer")].to_dict("records")
        wanted = table.loc[("sensitivity", name)]
        assert [mark["tpr"], mark["low"], mark["high"]] == pytest.approx(list(wanted[["value", "low", "high"]]))
        assert mark["fpr"] == pytest.approx(1 - table.loc[("specificity", name), "value"])
        (mark,) = pr[(pr["class"] == name) & (pr["point"] == "answer")].to_dict("records")
        wanted = table.loc[("precision", name)]
        assert [mark["precision"], mark["low"], mark["high"]] == pytest.approx(list(wanted[["value", "low", "high"]]))
        assert mark["prevalence"] == pytest.approx(y[:, NAMES.index(name)].double().mean())


def test_a_threshold_of_a_point_gives_that_point():
    y, z, _, _ = labels()
    roc, pr = curves(questions(y, z), n_boot=2)
    p = z.sigmoid().numpy()[:, 0]
    own = pr[(pr["class"] == "a") & (pr["point"] == "curve")].iloc[50]
    assert sk.precision_score(y[:, 0], p >= own["threshold"] - 1e-12) == pytest.approx(own["precision"])
    own = roc[(roc["class"] == "a") & (roc["point"] == "curve")]
    assert own["threshold"].is_monotonic_decreasing


def test_few_positives_leave_no_metric_and_it_is_said():
    y, z, groups, _ = labels()
    given = {"groups": groups, "min_positives": 5, "n_boot": 20}
    said = "3 positives, fewer than 5"
    for table in curves(questions(y, z), **given):
        (row,) = table[table["class"] == "rare"].to_dict("records")
        assert (row["point"], row["reason"], row["positives"]) == ("none", said, 3)
    options = {"task": "classification", "activation": "sigmoid", "classes": NAMES, **given}
    table = performance(y, z, **options)
    rare = table[table["class"] == "rare"]
    assert set(rare["metric"]) >= {"accuracy", "auroc", "auprc", "f1", "precision", "sensitivity", "specificity"}
    assert rare["value"].isna().all()
    assert set(rare["reason"]) == {said}
    macro = table.set_index(["metric", "class"]).loc[("auroc", "macro")]
    assert macro["reason"] == f"mean of 2 of 3: without rare ({said})"
    both = [sk.roc_auc_score(y[:, k], z[:, k]) for k in (0, 1)]
    assert macro["value"] == pytest.approx(np.mean(both))
    cells = label_confusion(questions(y, z), **given)
    cells = cells[(cells["class"] == "rare") & (cells["truth"] == "yes")]
    assert cells["count"].sum() == 3
    assert cells["share"].isna().all()
    assert "3 cases of 'yes', fewer than 5" in cells["reason"].iloc[0]
    # The same for too few negatives; and with 1 everything that can be computed is there.
    almost = performance(1 - y, -z, **options)
    assert set(almost[almost["class"] == "rare"]["reason"]) == {"3 negatives, fewer than 5"}
    plain = performance(y, z, **(options | {"min_positives": 1})).set_index(["metric", "class"])
    assert plain.loc[("auroc", "rare"), "value"] == pytest.approx(sk.roc_auc_score(y[:, 2], z[:, 2]))
    with pytest.raises(UsageError, match="min_positives is 0"):
        performance(y, z, **(options | {"min_positives": 0}))


def test_exclusive_classes_keep_their_accuracy_without_a_rare_class():
    y = torch.tensor([0] * 10 + [1] * 10 + [2] * 2)
    z = torch.randn(22, 3, generator=torch.Generator().manual_seed(0)) + 2 * torch.nn.functional.one_hot(y, 3)
    table = performance(y, z, task="classification", classes=["a", "b", "all"], min_positives=5, n_boot=5)
    table = table.set_index(["metric", "class"])["value"]
    assert table["accuracy", "all"] == pytest.approx(sk.accuracy_score(y, z.argmax(1)))
    assert np.isfinite(table["auroc", "a"])
    assert np.isnan(table["f1", "all"])  # the class that has this name


def test_confusion_is_scikit_learns_with_shares_by_row_and_column():
    y, z, groups, _ = labels()
    q = questions(y, z)
    table = confusion(q, y, z, exclusive=False, groups=groups, n_boot=30)
    for k, name in enumerate(NAMES[:2]):
        hard = z.sigmoid().numpy()[:, k] > q[k].threshold
        want = sk.confusion_matrix(y[:, k], hard)
        own = table[table["class"] == name]
        assert own["count"].to_numpy().reshape(2, 2).tolist() == want.tolist()
        cell = own.set_index(["truth", "said"]).loc[("yes", "yes")]
        assert cell["share"] == pytest.approx(sk.recall_score(y[:, k], hard))
        assert cell["share_said"] == pytest.approx(sk.precision_score(y[:, k], hard))
        assert cell["low"] < cell["share"] < cell["high"]
    three = torch.arange(60) % 3
    z3 = torch.randn(60, 3, generator=torch.Generator().manual_seed(1)) + 1.5 * torch.nn.functional.one_hot(three, 3)
    table = exclusive_confusion(three, z3, classes=NAMES, n_boot=10)
    assert table["count"].to_numpy().reshape(3, 3).tolist() == sk.confusion_matrix(three, z3.argmax(1)).tolist()
    assert table.groupby("truth")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    none = label_confusion(questions(y, z, thresholds=(0.5, float("nan"), 0.5)), n_boot=5)
    assert none[none["class"] == "b"]["reason"].tolist() == ["the class has no threshold"]


def alike(metric, value, positives, negatives):
    """The variance of a metric of independent cases whose true one is ``value``."""
    if metric != "auroc":
        return value * (1 - value) / (positives if metric == "sensitivity" else negatives)
    q = (value / (2 - value) + 2 * value**2 / (1 + value)) / 2
    pairs = positives * negatives
    return (value * (1 - value) + (positives - 1 + negatives - 1) * (q - value**2)) / pairs


def test_the_bias_table_equals_a_literal_one():
    y, z, groups, view = labels()
    q = questions(y, z)
    table = bias_table(q, {"view": view}, groups=groups, min_positives=5, n_boot=20, seed=2)
    own = table.set_index(["level", "class", "metric"])
    view, place = np.array(view), np.unique(groups, return_inverse=True)[1]
    draws = np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60), size=20)

    def measure(metric, rows, k):
        a, s, p = y.numpy()[rows, k], z.numpy()[rows, k], z.sigmoid().numpy()[rows, k]
        hard = p > q[k].threshold
        return {
            "auroc": lambda: sk.roc_auc_score(a, s), "sensitivity": lambda: sk.recall_score(a, hard),
            "specificity": lambda: sk.recall_score(1 - a, ~hard),
            "calibration_in_the_large": lambda: p.mean() - a.mean(),
        }[metric]()  # fmt: skip

    for metric in ("auroc", "sensitivity", "specificity", "calibration_in_the_large"):
        for k, name in enumerate(NAMES[:2]):
            row = own.loc[("AP", name, metric)]
            a, b = (measure(metric, np.flatnonzero(side), k) for side in (view == "AP", view == "PA"))
            assert [row["value"], row["rest"], row["difference"]] == pytest.approx([a, b, a - b])
            gaps, values = [], []
            for row_draw in draws:
                rows = np.repeat(np.arange(120), row_draw[place])
                values.append(measure(metric, rows[view[rows] == "AP"], k))
                gaps.append(values[-1] - measure(metric, rows[view[rows] == "PA"], k))
            assert [row["low"], row["high"]] == pytest.approx(np.quantile(values, [0.025, 0.975]))
            assert [row["difference_low"], row["difference_high"]] == pytest.approx(np.quantile(gaps, [0.025, 0.975]))
            degrees = min(len(set(np.array(groups)[view == v])) for v in ("AP", "PA")) - 1
            spread = np.var(gaps, ddof=1)
            sizes = [(int(y.numpy()[view == v, k].sum()), int((1 - y.numpy()[view == v, k]).sum())) for v in ("AP", "PA")]
            if metric != "calibration_in_the_large":
                one, other = (alike(metric, 0.5, *s) for s in sizes)
                both = (a * other + b * one) / (one + other)
                spread = max(spread, sum(alike(metric, both, *s) for s in sizes))
            assert row["p"] == pytest.approx(2 * student.sf(abs(a - b) / spread**0.5, degrees))
    macro = own.loc[("AP", "macro", "auroc")]
    assert macro["value"] == pytest.approx(own.loc[(["AP"], ["a", "b"], ["auroc"]), "value"].mean())
    assert macro["reason"] == "mean of 2 of 3"
    assert own.loc[("AP", "rare", "auroc"), "reason"].endswith("fewer than 5")


def test_holm_counts_two_levels_once_and_the_macro_apart():
    y, z, groups, view = labels()
    age = [("young", "old", "older")[i % 7 % 3] for i in range(120)]
    table = bias_table(questions(y, z), {"view": view, "age": age}, groups=groups, n_boot=50)
    own = table[(table["metric"] == "auroc") & (table["class"] != "macro")]
    assert set(own["family"]) == {"auroc: 8 comparisons"}  # 2 classes, 1 of the view, 3 of the age
    two = own[(own["stratum"] == "view") & (own["class"] == "a")]
    assert two["p"].iloc[0] == pytest.approx(two["p"].iloc[1])
    assert two["difference"].iloc[0] == pytest.approx(-two["difference"].iloc[1])
    assert two["p_holm"].iloc[0] == two["p_holm"].iloc[1] >= two["p"].iloc[0]
    assert set(table[table["class"] == "macro"]["family"]) >= {"auroc, macro: 4 comparisons"}
    smallest = own["p"].min()
    assert own.loc[own["p"].idxmin(), "p_holm"] == pytest.approx(min(1, 8 * smallest))


def test_a_planted_bias_is_found_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    n = 400
    y = (rng.random(n) < 0.5).astype(int)
    site = np.array(["far" if i % 2 else "near" for i in range(n)])
    z = rng.normal(size=n) + np.where(site == "near", 3.0, 0.3) * (y - 0.5)
    q = asked(torch.tensor(y)[:, None], torch.tensor(z)[:, None], activation="sigmoid", classes=["a"])
    table = bias_table(q, {"site": list(site), "coin": [str(int(v)) for v in rng.integers(0, 2, n)]}, n_boot=200)
    auroc = table[table["metric"] == "auroc"].set_index(["stratum", "level"])
    far = auroc.loc[("site", "far")]
    assert far["difference_high"] < 0
    assert far["p_holm"] < 0.001
    coin = auroc.loc[("coin", "0")]
    assert coin["difference_low"] < 0 < coin["difference_high"]
    assert coin["p_holm"] > 0.05


def test_a_level_of_few_patients_has_no_interval_and_says_so():
    y, z, _, _ = labels()
    level = ["few" if i < 40 else None if i < 50 else "many" for i in range(120)]
    groups = ["one" if i < 20 else "two" if i < 40 else f"p{i}" for i in range(120)]
    table = bias_table(questions(y, z), {"site": level}, groups=groups, n_boot=20).set_index(["level", "class", "metric"])
    few, many = table.loc[("few", "a", "auroc")], table.loc[("many", "a", "auroc")]
    assert few["reason"] == "2 patients: too few for an interval"
    assert np.isfinite(few["value"])
    assert np.isnan(few[["low", "difference_low", "p"]].astype(float)).all()
    assert many["n"] == 70
    assert np.isfinite(many["low"])
    assert many["reason"] == "no comparison: 2 patients in the rest"
    assert np.isnan(many["p"])
    with pytest.raises(UsageError, match="stratum 'site' has 3 entries for 120 cases"):
        bias_table(questions(y, z), {"site": ["a", "b", "c"]})
