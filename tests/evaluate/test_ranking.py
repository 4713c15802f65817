"""Ranks over patients: against SciPy and Demšar's tables, on scores whose ranking is known, and on nothing but noise."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, kendalltau, rankdata, spearmanr, wilcoxon

from pellucid.errors import UsageError
from pellucid.evaluate.cohort.aggregate import aggregated, choices_of, tau_b
from pellucid.evaluate.cohort.pareto import pareto
from pellucid.evaluate.cohort.ranking import cliques, critical_difference, friedman, ranking

METRICS = ("deletion_auc", "insertion_auc", "dice", "pointing_game", "gini", "stability_pearson")
DOWN = ("deletion_auc",)


def table(values: dict[str, dict[str, np.ndarray]], groups=None) -> pd.DataFrame:
    """``values``: metric to method to one number per case."""
    return pd.DataFrame(
        [
            {"case": f"c{i:03}", "group": f"g{(i if groups is None else groups[i]):03}", "method": method,
             "metric": metric, "value": v}
            for metric, by in values.items() for method, numbers in by.items() for i, v in enumerate(numbers)
        ]
    )  # fmt: skip


def made(gains: dict[str, float], n: int = 20, noise: float = 0.1, seed: int = 0, metrics=METRICS) -> pd.DataFrame:
    """Cases that differ a lot, methods that differ by ``gains`` in every metric (turned where lower is better)."""
    rng = np.random.default_rng(seed)
    values = {}
    for metric in metrics:
        case = rng.normal(0, 1, n)
        sign = -1 if metric in DOWN else 1
        values[metric] = {m: sign * (case + g + rng.normal(0, noise, n)) for m, g in gains.items()}
    return table(values)


GAINS = {"good": 0.5, "same": 0.49, "fair": 0.2, "random": 0.0, "edge": -0.1}


def test_friedman_equals_scipy_with_and_without_ties():
    rng = np.random.default_rng(0)
    for levels in (1000, 4):
        values = rng.integers(0, levels, (15, 5)).astype(float)
        ranks = rankdata(values, axis=1)
        chi2, f, _ = friedman(ranks)
        assert chi2 == pytest.approx(friedmanchisquare(*values.T).statistic)
        assert f == pytest.approx(14 * chi2 / (15 * 4 - chi2))
    # Demšar's own example (2006, section 3.2.2): 14 data sets, 4 classifiers, mean ranks 3.143, 2.000, 2.893, 1.964.
    n, k, mean = 14, 4, np.array([3.143, 2.000, 2.893, 1.964])
    chi2 = 12 * n / (k * (k + 1)) * ((mean**2).sum() - k * (k + 1) ** 2 / 4)
    assert chi2 == pytest.approx(9.28, abs=0.02) and (n - 1) * chi2 / (n * (k - 1) - chi2) == pytest.approx(3.69, abs=0.02)


def test_friedman_of_few_patients_promises_no_more_than_they_can():
    agreed = np.tile([1.0, 2.0, 3.0], (2, 1))
    assert friedman(agreed)[1] == math.inf and friedman(agreed)[2] == pytest.approx(1 / 6)  # 3! orders
    assert friedman(np.full((9, 3), 2.0))[2] == 1
    assert math.isnan(friedman(agreed[:1])[2]) and math.isnan(friedman(np.ones((5, 1)))[2])


def test_critical_differences_are_those_of_the_table():
    """Demšar 2006, table 5(a): q at 0.05 and 0.10 for 2 to 10 methods."""
    for alpha, row in (
        (0.05, (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)),
        (0.10, (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920)),
    ):
        for k, q in enumerate(row, start=2):
            assert critical_difference(k, 14, alpha) == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * 14)), abs=2e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)  # his section 3.2.2
    assert math.isnan(critical_difference(1, 14)) and math.isnan(critical_difference(4, 1))


def test_cliques_are_maximal_groups():
    rng = np.random.default_rng(1)
    assert cliques([1.0, 1.5, 2.4, 4.0], 1.0) == [[0, 1], [1, 2]]
    assert cliques([3.0, 1.0, 2.0], 5.0) == [[1, 2, 0]] and cliques([1.0, 3.0], 1.0) == []
    for _ in range(50):
        mean, cd = rng.uniform(1, 6, 6), rng.uniform(0.2, 3)
        groups = [set(g) for g in cliques(list(mean), cd)]
        alike = {frozenset(p) for p in combinations(range(6), 2) if abs(mean[p[0]] - mean[p[1]]) < cd}
        assert {frozenset(p) for g in groups for p in combinations(g, 2)} == alike
        assert not any(a < b for a in groups for b in groups)


def test_a_known_ranking_is_found():
    found = ranking(made(GAINS))
    for scope in (*METRICS, "faithfulness", "plausibility", "complexity", "stability", "all"):
        rows = found[found["scope"] == scope].set_index("method")
        assert list(rows.index[2:]) == ["fair", "random", "edge"] and set(rows.index[:2]) == {"good", "same"}, scope
        assert list(rows.loc[rows["control"]].index) == ["random", "edge"]
        assert (rows["n"] == 20).all() and (rows["p"] < 1e-6).all() and (rows["note"] == "").all()
        assert (rows["low"] <= rows["mean_rank"]).all() and (rows["mean_rank"] <= rows["high"]).all()
        of = {m: set(filter(None, c.split(","))) for m, c in rows["cliques"].items()}
        assert of["good"] & of["same"] and not of["good"] & of["edge"]
        assert rows.loc["fair", "place_without"] == 3 and math.isnan(rows.loc["edge", "place_without"])
    one = found[(found["scope"] == "deletion_auc") & (found["method"] == "edge")].iloc[0]
    assert one["mean_rank"] > 4  # lower is better there, and edge has the highest


def test_mean_ranks_equal_their_literal_twin():
    scores = made(GAINS, n=9, noise=0.5, seed=3)
    found = ranking(scores).set_index(["scope", "method"])
    of = {}
    for metric in METRICS:
        wide = scores[scores["metric"] == metric].pivot(index="group", columns="method", values="value")
        of[metric] = {g: rankdata(row if metric in DOWN else -row) for g, row in wide.iterrows()}
        names = list(wide.columns)
        for j, m in enumerate(names):
            assert found.loc[(metric, m), "mean_rank"] == pytest.approx(np.mean([r[j] for r in of[metric].values()]))
    for scope, metrics in (("faithfulness", METRICS[:2]), ("plausibility", METRICS[2:4])):
        again = [rankdata(np.round(np.mean([of[m][g] for m in metrics], axis=0), 9)) for g in wide.index]
        for j, m in enumerate(names):
            assert found.loc[(scope, m), "mean_rank"] == pytest.approx(np.mean([r[j] for r in again]))
        assert found.loc[(scope, "good"), "p"] == pytest.approx(friedman(np.array(again))[2])


def test_on_noise_false_findings_are_as_rare_as_promised():
    """300 metrics of nothing but noise: the test rejects in about 5 % of them, and in no more are methods told apart."""
    names = dict.fromkeys("abcd", 0.0)
    metrics = tuple(f"dice(at={i})" for i in range(30))
    rejected = split = total = 0
    for seed in range(10):
        found = ranking(made(names, n=15, noise=1.0, seed=seed, metrics=metrics), n_boot=10)
        own = found[found["scope"].isin(metrics)].drop_duplicates("scope")
        rejected += int((own["p"] < 0.05).sum())
        split += sum(r["cliques"].nunique() > 1 for _, r in found[found["scope"].isin(metrics)].groupby("scope"))
        total += len(own)
    assert total == 300 and 5 <= rejected <= 27  # 15 expected, sd 3.8
    assert split <= rejected


def test_patients_are_what_is_ranked_not_pictures():
    """Ten pictures of each of four patients: four ranks, not forty."""
    groups = np.repeat(np.arange(4), 10)
    rng = np.random.default_rng(5)
    patient = np.array([1.0, 1.0, 1.0, -1.0])[groups]
    values = {"dice": {"a": patient + rng.normal(0, 0.1, 40), "b": rng.normal(0, 0.1, 40)}}
    found = ranking(table(values, groups)).set_index(["scope", "method"])
    row = found.loc[("dice", "a")]
    assert row["n"] == 4 and row["mean_rank"] == pytest.approx(1.25) and row["p"] > 0.05
    alone = ranking(table(values)).set_index(["scope", "method"]).loc[("dice", "a")]
    assert alone["n"] == 40 and alone["p"] < 0.01  # what it would claim if pictures were taken for patients
    # A target more counts no more: a case is the mean over its targets.
    double = pd.concat([table(values, groups), table(values, groups)])
    assert ranking(double).set_index(["scope", "method"]).loc[("dice", "a"), "n"] == 4


def test_undefined_values_leave_patients_or_methods_out_and_say_so():
    scores = made(GAINS, metrics=("dice", "gini"))
    few = (scores["method"] == "fair") & scores["group"].isin(["g000", "g001"]) & (scores["metric"] == "dice")
    never = (scores["method"] == "same") & (scores["metric"] == "dice")
    scores.loc[few | never, "value"] = np.nan
    dice = ranking(scores).query("scope == 'dice'").set_index("method")
    assert dice.loc["same", "note"] == "undefined in every case" and math.isnan(dice.loc["same", "mean_rank"])
    assert set(dice["n"].drop("same")) == {18}
    assert dice.loc["good", "note"] == "2 of 20 patients left out: not all methods are defined"
    scores.loc[(scores["method"] == "good") & (scores["case"] > "c005") & (scores["metric"] == "dice"), "value"] = np.nan
    dice = ranking(scores).query("scope == 'dice'").set_index("method")
    assert dice.loc["good", "note"] == "undefined in 14 of 20 patients, so it is not compared"
    whole = ranking(scores).query("scope == 'all'").set_index("method")
    assert whole.loc["fair", "n"] > 0 and math.isnan(whole.loc["good", "place"])  # one question does not rank it


def test_one_patient_one_method_and_no_direction():
    one = ranking(made(GAINS, n=1)).query("scope == 'dice'")
    assert one["mean_rank"].notna().all() and one["p"].isna().all() and one["low"].isna().all() and (one["cliques"] == "").all()
    assert set(one["note"]) == {"one patient only: no test"}
    alone = ranking(made({"good": 1.0}))
    assert set(alone["note"]) == {"one method only: nothing to compare"} and alone["p"].isna().all()
    none = table({"attribution_share[ct]": {"a": np.arange(4.0), "b": np.ones(4)}})
    assert not len(ranking(none)) and not len(aggregated(none))
    assert not len(ranking(none.iloc[:0])) and not len(aggregated(none.iloc[:0]))
    with pytest.raises(UsageError, match="no column 'method'"):
        ranking(none.drop(columns="method"))


def test_rounding_is_a_tie():
    values = np.linspace(1, 2, 10)
    found = ranking(table({"gini": {"a": values, "b": values * (1 + 1e-9), "c": values / 2}})).set_index(["scope", "method"])
    assert found.loc[("gini", "a"), "mean_rank"] == found.loc[("gini", "b"), "mean_rank"] == 1.5


# -- aggregation -------------------------------------------------------------------------------------------------


def test_an_agreed_ranking_does_not_depend_on_the_metrics():
    found = aggregated(made(GAINS | {"same": 0.35}, noise=0.01)).set_index(["question", "method"])
    for question in ("all", "faithfulness", "plausibility"):
        rows = found.loc[question]
        assert list(rows.index) == ["good", "same", "fair", "random", "edge"]
        assert list(rows["place"]) == list(rows["place_low"]) == list(rows["place_high"]) == [1, 2, 3, 4, 5]
        assert list(rows["first"]) == [1, 0, 0, 0, 0] and set(rows["tau"]) == {1.0}
        assert list(rows["mean_rank"]) == list(rows["median_rank"]) and list(rows["borda"]) == [4, 3, 2, 1, 0]
    assert found.loc[("all", "good"), "metrics"] == 6 and found.loc[("complexity", "good"), "metrics"] == 1
    assert found.loc[("complexity", "good"), "note"] == "one metric only: no other choice"


def test_a_ranking_that_hangs_on_the_metrics_is_shown_as_such():
    """Half of the metrics say the opposite of the other half."""
    rng = np.random.default_rng(6)
    gain = {"a": 1.0, "b": 0.5, "c": 0.0}
    values = {
        metric: {m: s * g + rng.normal(0, 0.01, 8) for m, g in gain.items()}
        for metric, s in (("dice", 1), ("iou", 1), ("pointing_game", -1), ("mass_accuracy", -1))
    }  # fmt: skip
    rows = aggregated(table(values)).query("question == 'all'").set_index("method")
    assert set(rows["mean_rank"]) == {2.0} and set(rows["place"]) == {1}
    assert rows.loc["a", "place_low"] == 1 and rows.loc["a", "place_high"] == 3
    assert rows["first"].sum() == pytest.approx(1) and rows.loc["a", "first"] == pytest.approx(rows.loc["c", "first"])


def test_aggregated_ranks_equal_their_literal_twin():
    scores = made(GAINS, n=7, noise=0.6, seed=8)
    found = aggregated(scores).set_index(["question", "method"])
    mean = ranking(scores).set_index(["scope", "method"])["mean_rank"]
    names = list(GAINS)
    places = {m: dict(zip(names, rankdata([mean[m, name] for name in names]))) for m in METRICS}
    questions = (METRICS[:2], METRICS[2:4], METRICS[4:5], METRICS[5:])

    def full(chosen):
        parts = [[m for m in q if m in chosen] for q in questions]
        return {n: np.mean([np.mean([places[m][n] for m in p]) for p in parts if p]) for n in names}

    whole = full(METRICS)
    tried = [full(c) for r in (6, 5, 4, 3) for c in combinations(METRICS, r)]
    place = {n: [rankdata(np.round([t[m] for m in names], 9), method="min")[names.index(n)] for t in tried] for n in names}
    taus = [kendalltau(list(np.round(list(t.values()), 9)), list(np.round(list(whole.values()), 9))).statistic for t in tried[1:]]
    for n in names:
        row = found.loc[("all", n)]
        assert row["mean_rank"] == pytest.approx(whole[n]) and row["choices"] == len(tried) == 42
        assert row["place_low"] == sorted(place[n])[math.ceil(0.05 * 42) - 1]
        assert row["place_high"] == sorted(place[n])[math.ceil(0.95 * 42) - 1]
        assert row["tau"] == pytest.approx(np.mean(taus))
        ties = [1 / sum(place[m][i] == 1 for m in names) if place[n][i] == 1 else 0 for i in range(42)]
        assert row["first"] == pytest.approx(np.mean(ties))


def test_choices():
    small = choices_of(5, 1000, 0)
    assert len(small) == len({tuple(c) for c in small}) == 10 + 5 + 1 and small[0].all() and small.sum(1).min() == 3
    large = choices_of(40, 200, 0)
    assert large.shape == (241, 40) and large[0].all() and (large[1:41].sum(1) == 39).all()
    assert large[41:].sum(1).min() >= 20 and large[41:].sum(1).max() < 40
    assert np.array_equal(large, choices_of(40, 200, 0)) and not np.array_equal(large, choices_of(40, 200, 1))
    assert choices_of(1, 10, 0).tolist() == [[True]]


def test_tau_equals_scipy():
    rng = np.random.default_rng(9)
    a, b = rng.integers(0, 4, (20, 7)).astype(float), rng.integers(0, 4, 7).astype(float)
    np.testing.assert_allclose(tau_b(a, b), [kendalltau(row, b).statistic for row in a])
    assert np.isnan(tau_b(np.ones((1, 3)), np.arange(3.0))).all()


def test_a_metric_that_is_the_same_for_every_map_has_no_say():
    scores = made({"a": 1.0, "b": 0.0}, metrics=("dice",))
    same = table({"iou": {"a": np.linspace(0, 1, 20), "b": np.linspace(0, 1, 20)}})
    rows = aggregated(pd.concat([scores, same])).query("question == 'plausibility'")
    assert set(rows["metrics"]) == {1}


def test_a_method_that_some_metrics_miss_is_ranked_by_the_others():
    scores = made(GAINS)
    scores.loc[(scores["method"] == "good") & scores["metric"].isin(["dice"]), "value"] = np.nan
    row = aggregated(scores).query("question == 'all' and method == 'good'").iloc[0]
    assert row["note"] == "defined in 5 of 6 metrics" and row["place"] <= 2
    # Without a value in a whole question it would be judged by the others alone: no place over all.
    scores.loc[(scores["method"] == "good") & (scores["metric"] == "gini"), "value"] = np.nan
    found = aggregated(scores)
    assert "good" not in set(found.query("question == 'all'")["method"])
    assert "good" in set(found.query("question == 'plausibility'")["method"])
    never = made(GAINS)
    never.loc[never["method"] == "good", "value"] = np.nan
    assert "good" not in set(aggregated(never)["method"])


# -- Pareto ------------------------------------------------------------------------------------------------------


def comparison_of(means: dict[str, float], metric: str) -> pd.DataFrame:
    return pd.DataFrame({"metric": metric, "method": list(means), "mean": list(means.values())})


def costs_of(passes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame([{"method": m, "forwards": f, "backwards": b} for m, (f, b) in passes.items() for _ in range(3)])


def test_pareto_by_hand():
    costs = costs_of({"a": (1, 1), "b": (10, 0), "c": (50, 50), "d": (10, 0), "random": (1, 0)})
    up = pareto(comparison_of({"a": 0.5, "b": 0.9, "c": 0.8, "d": 0.9, "random": 0.1}, "insertion_auc"), costs)
    rows = up.set_index("method")
    assert dict(rows["dominated"]) == {"a": False, "b": False, "c": True, "d": False, "random": False}
    assert rows.loc["c", "by"] in ("b", "d") and rows.loc["a", "cost"] == 2 and rows.loc["random", "control"]
    down = pareto(comparison_of({"a": 0.5, "b": 0.9, "c": 0.8, "random": 0.45}, "deletion_auc"), costs).set_index("method")
    assert dict(down["by"]) == {"a": "random", "b": "random", "c": "random", "random": ""}


def test_pareto_equals_its_literal_twin():
    rng = np.random.default_rng(10)
    names = [f"m{i}" for i in range(12)]
    value, cost = {n: float(rng.integers(0, 6)) for n in names}, {n: (int(rng.integers(0, 6)), 0) for n in names}
    rows = pareto(comparison_of(value, "insertion_auc"), costs_of(cost)).set_index("method")
    for n in names:
        rivals = [
            m for m in names
            if value[m] >= value[n] and cost[m] <= cost[n] and (value[m], -cost[m][0]) != (value[n], -cost[n][0])
        ]  # fmt: skip
        assert bool(rows.loc[n, "dominated"]) == bool(rivals) and (rows.loc[n, "by"] in rivals or not rivals)


def test_pareto_with_ranks_and_with_nothing():
    scores, costs = made(GAINS), costs_of({m: (i + 1, 0) for i, m in enumerate(GAINS)})
    rows = pareto(comparison_of({"good": 1.0}, "dice"), costs, aggregated(scores))
    assert set(rows["metric"]) == {"faithfulness"} and len(rows) == 5 and rows.set_index("method").loc["edge", "by"]
    assert not len(pareto(comparison_of({"good": 1.0}, "insertion_auc"), pd.DataFrame({"task": []})))
    assert not len(pareto(comparison_of({"good": 1.0}, "dice"), costs))
    gaps = pareto(comparison_of({"good": math.nan, "fair": 1.0}, "insertion_auc"), costs)
    assert list(gaps["method"]) == ["fair"]


def test_spearman_of_mean_ranks_and_wilcoxon_agree_with_the_order():
    """A sanity check with other tools: the ranking's order is that of the means, its first pair that of a paired test."""
    scores = made(GAINS, noise=0.05)
    wide = scores[scores["metric"] == "dice"].pivot(index="case", columns="method", values="value")
    rows = ranking(scores).query("scope == 'dice'").set_index("method")
    assert spearmanr(rows["mean_rank"], -wide.mean()[rows.index]).statistic == pytest.approx(1)
    assert wilcoxon(wide["good"] - wide["fair"]).pvalue < 0.001
    assert rows.loc["fair", "mean_rank"] - rows.loc["good", "mean_rank"] > 0
