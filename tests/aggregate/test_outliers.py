"""Outliers of a region table: found where planted, silent where there is nothing, plain where numbers cannot be had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, fisher_exact, mannwhitneyu, spearmanr, ttest_ind
from sklearn.ensemble import IsolationForest

from pellucid.aggregate.outlier_tests import associations
from pellucid.aggregate.outliers import Forest, find_outliers, mass_rows, robust_z
from pellucid.errors import InputError, UsageError

REGIONS = ("background", "heart", "left lung", "right lung", "spine")


FEW_TREES = Forest(trees=10)


def cohort(n: int = 24, *, seed: int = 0, targets: tuple[str, ...] = ("heart",), first: str = "p") -> pd.DataFrame:
    """Cases that are alike but for noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for target in targets:
        shares = rng.dirichlet(200 * np.array([0.5, 0.2, 0.12, 0.1, 0.08]), size=n)
        for i in range(n):
            rows += [(f"{first}{i}", target, r, "mass", v) for r, v in zip(REGIONS, shares[i])]
            rows.append((f"{first}{i}", target, "*", "dice", 0.9 + 0.004 * rng.standard_normal()))
    return pd.DataFrame(rows, columns=["case", "target", "region", "measure", "value"])


def put(table: pd.DataFrame, case: str, values: dict[str, float], target: str = "heart") -> pd.DataFrame:
    table = table.copy()
    for region, value in values.items():
        here = (table["case"] == case) & (table["target"] == target) & (table["region"] == region)
        table.loc[here & (table["measure"] == "mass"), "value"] = value
    return table


PLANTED = {"background": 0.2, "heart": 0.1, "left lung": 0.1, "right lung": 0.1, "spine": 0.5}


def test_a_planted_outlier_is_first_and_its_region_is_named():
    found = find_outliers(put(cohort(targets=("heart", "spine")), "p7", PLANTED))
    heart = found[found["target"] == "heart"].set_index("case")
    assert heart["rank"].idxmin() == "p7" and heart.loc["p7", "rank"] == 1 and heart.loc["p7", "outlier"]
    assert heart.loc["p7", "region"] == "spine" and heart.loc["p7", "value"] == 0.5 and heart.loc["p7", "z"] > 5
    assert heart.loc["p7", "why"].startswith("spine 0.5 (median 0.0") and "z +" in heart.loc["p7", "why"]
    spine = found[found["target"] == "spine"].set_index("case")
    assert spine.loc["p7", "rank"] > 1  # it was planted in one class only


def test_a_planted_outlier_of_another_cohort_is_found_by_the_forest_of_the_first():
    other = put(cohort(6, seed=5, first="q"), "q3", PLANTED)
    found = find_outliers(other, train=cohort(40)).set_index("case")
    assert list(found.index) == [f"q{i}" for i in range(6)] and set(found["trained_on"]) == {40}
    assert found["rank"].idxmin() == "q3" and found.loc["q3", "outlier"]


def test_scores_are_scikit_learns_decision_function_on_the_rows():
    table, other = cohort(30), cohort(8, seed=9, first="q")
    x = np.array([[table[(table["case"] == f"p{i}") & (table["region"] == r)]["value"].item() for r in REGIONS] for i in range(30)])
    y = np.array([[other[(other["case"] == f"q{i}") & (other["region"] == r)]["value"].item() for r in REGIONS] for i in range(8)])
    for share in ("auto", 0.1):
        oracle = IsolationForest(n_estimators=50, contamination=share, random_state=3).fit(x)
        how = Forest(trees=50, contamination=share, seed=3)
        np.testing.assert_array_equal(find_outliers(table, forest=how)["score"], oracle.decision_function(x))
        found = find_outliers(other, train=table, forest=how)
        np.testing.assert_array_equal(found["score"], oracle.decision_function(y))
        np.testing.assert_array_equal(found["outlier"], oracle.predict(y) == -1)


def test_the_same_seed_gives_the_same_scores_and_another_others():
    table = cohort()
    a, b, c = (find_outliers(table, forest=Forest(trees=20, seed=s))["score"].to_numpy() for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_dice_of_the_class_stands_beside_the_score():
    table = cohort(targets=("heart", "spine"))
    found = find_outliers(table, forest=FEW_TREES)
    for r in found.itertuples():
        own = table[(table["case"] == r.case) & (table["target"] == r.target) & (table["measure"] == "dice")]
        assert r.dice == own["value"].item()
    assert find_outliers(table[table["measure"] == "mass"], forest=FEW_TREES)["dice"].isna().all()


def test_a_class_that_was_never_predicted_in_a_case_has_no_score_there_and_the_others_do():
    table = put(cohort(), "p4", dict.fromkeys(REGIONS, np.nan))
    found = find_outliers(table, forest=FEW_TREES).set_index("case")
    assert np.isnan(found.loc["p4", "score"]) and found.loc["p4", "outlier"] is pd.NA
    assert found.loc["p4", "note"] == "the class was never predicted in this case: no score"
    assert found.drop("p4")["score"].notna().all() and set(found["trained_on"]) == {23}


def test_a_region_that_a_case_does_not_have_has_no_part_of_the_map():
    table = put(cohort(), "p4", {"spine": np.nan})
    assert mass_rows(table, "heart").loc["p4", "spine"] == 0
    assert "spine 0 (median" in find_outliers(table, forest=FEW_TREES).set_index("case").loc["p4", "why"]


def test_a_constant_column_is_left_out_and_said_so_and_a_case_that_breaks_it_is_told():
    table = cohort()
    for i in range(24):
        table = put(table, f"p{i}", {"spine": 0.0})
    found = find_outliers(table, forest=FEW_TREES)
    assert set(found["note"]) == {"the same in all training cases, so no part of the forest: spine"}
    without = find_outliers(table[table["region"] != "spine"], forest=FEW_TREES)
    np.testing.assert_array_equal(found["score"], without["score"])
    other = find_outliers(put(cohort(3, first="q"), "q1", {"spine": 0.4}), train=table, forest=FEW_TREES).set_index("case")
    assert np.isinf(other.loc["q1", "z"]) and other.loc["q1", "why"].startswith("spine 0.4 (in all of the cohort 0)")


def test_rows_that_are_all_alike_have_no_forest():
    table = cohort(12)
    table.loc[table["measure"] == "mass", "value"] = 0.2
    found = find_outliers(table, forest=FEW_TREES)
    assert found["score"].isna().all() and found["note"].str.contains("the same in all training cases: there is nothing").all()


def test_too_few_training_cases_are_said_and_no_number_is_given():
    found = find_outliers(cohort(9), forest=FEW_TREES)
    assert found["score"].isna().all() and found["rank"].isna().all() and (found["why"] == "").all()
    assert set(found["note"]) == {"the class is explained in 9 training cases, fewer than 10: no forest was grown"}
    assert not len(associations(found).dropna(subset=["p"]))


def test_another_set_of_regions_in_the_scored_cohort():
    table, other = cohort(), cohort(4, first="q")
    with pytest.raises(InputError, match=r"outliers of 'heart': the scored table has no region 'spine', which the training table has; aggregate both"):
        find_outliers(other[other["region"] != "spine"], train=table, forest=FEW_TREES)
    extra = pd.concat([other, other[other["region"] == "spine"].assign(region="liver")])
    found = find_outliers(extra, train=table, forest=FEW_TREES)
    assert found["note"].str.startswith("not in the training table, so not looked at: liver.").all()
    np.testing.assert_array_equal(found["score"], find_outliers(other, train=table, forest=FEW_TREES)["score"])


def test_bad_tables_and_options_are_refused_with_what_to_do():
    table = cohort()
    with pytest.raises(InputError, match=r"case p0: mass of 'heart' in 'background' is there more than once; keep the rows of one method"):
        find_outliers(pd.concat([table, table]))
    with pytest.raises(InputError, match=r"the table has no mass of 'hart'; did you mean 'heart'\?"):
        find_outliers(table, targets=["hart"])
    with pytest.raises(InputError, match=r"the table has no measure 'mas'; did you mean 'mass'\?"):
        find_outliers(table, measure="mas", targets=["heart"])
    with pytest.raises(UsageError, match=r"contamination=0.7; give 1 tree or more, and 'auto' or a share above 0 and at most 0.5"):
        Forest(contamination=0.7)


def test_robust_z_beside_its_formula():
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=(21, 3))
    x[:, 1] = np.r_[np.zeros(15), np.arange(6)]  # more than half agree
    x[:, 2] = 1.0
    y = np.array([[2.0, 3.0, 1.0], [0.5, 0.0, 1.5]])
    median = sorted(x[:, 0])[10]
    mad = sorted(abs(v - median) for v in x[:, 0])[10]
    z = robust_z(y, x)
    assert z[:, 0] == pytest.approx([(2 - median) / (1.4826 * mad), (0.5 - median) / (1.4826 * mad)])
    assert z[:, 1] == pytest.approx([3 / (1.2533 * 15 / 21), 0]) and z[0, 2] == 0 and np.isinf(z[1, 2])


# -- what goes with it ---------------------------------------------------------------------------------------


def scored(n: int, *, classes: int, seed: int = 0, share: float = 0.25) -> pd.DataFrame:
    """Scores, flags and Dice that have nothing to do with each other or with the people."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "case": np.tile([f"p{i}" for i in range(n)], classes), "target": np.repeat([f"t{k}" for k in range(classes)], n),
        "score": rng.standard_normal(n * classes), "dice": rng.random(n * classes), "outlier": rng.random(n * classes) < share,
    })  # fmt: skip


def people(n: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"case": [f"p{i}" for i in range(n)], "age": rng.integers(20, 90, n).astype(float), "sex": rng.choice(["F", "M"], n)})


def test_where_nothing_is_there_five_in_a_hundred_tests_are_below_five_per_cent():
    found = associations(scored(60, classes=120), people(60), n_boot=2, n_perm=199)
    p = found.pivot(index="target", columns="test", values="p")
    below = (p < 0.05).sum() / p.notna().sum()
    assert p.notna().sum().min() >= 85
    for test in ("spearman", "mann_whitney", "welch", "chi2"):
        assert 0.0 < below[test] <= 0.11, (test, below[test])  # 5 % of 120, three standard errors about it
        assert 0.41 < p[test].mean() < 0.59
    assert below["fisher"] <= 0.07  # exact, so seldom as often


def test_holm_corrects_age_and_sex_together_over_all_classes():
    found = associations(scored(30, classes=4), people(30), n_boot=2, n_perm=19)
    for family in (["spearman"], ["mann_whitney", "fisher"], ["welch", "chi2"]):
        own = found[found["test"].isin(family) & found["p"].notna()].sort_values("p")
        worst = 0.0
        for k, row in enumerate(own.itertuples()):
            worst = max(worst, (len(own) - k) * row.p)
            assert row.p_holm == pytest.approx(min(1.0, worst))


def test_numbers_are_scipys():
    out, who = scored(80, classes=1, seed=3), people(80)
    found = associations(out, who).set_index("test")
    flag = out["outlier"].to_numpy()
    a, b = who["age"][flag], who["age"][~flag]
    assert found.loc["spearman", "effect"] == pytest.approx(spearmanr(out["score"], out["dice"]).statistic)
    assert found.loc["spearman", "p"] == pytest.approx(spearmanr(out["score"], out["dice"]).pvalue, abs=0.03)
    assert found.loc["mann_whitney", "p"] == mannwhitneyu(a, b).pvalue
    wins = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert found.loc["mann_whitney", "effect"] == pytest.approx(wins)
    welch = ttest_ind(a, b, equal_var=False)
    assert found.loc["welch", "p"] == pytest.approx(welch.pvalue)
    assert tuple(found.loc["welch", ["low", "high"]]) == pytest.approx(tuple(welch.confidence_interval()))
    woman = (who["sex"] == "F").to_numpy()
    counts = [[(flag & woman).sum(), (flag & ~woman).sum()], [(~flag & woman).sum(), (~flag & ~woman).sum()]]
    assert found.loc["fisher", "p"] == pytest.approx(fisher_exact(counts).pvalue)
    assert found.loc["chi2", "p"] == pytest.approx(chi2_contingency(counts, correction=False).pvalue)
    assert found.loc["fisher", "low"] < found.loc["fisher", "effect"] < found.loc["fisher", "high"]


def test_planted_associations_are_found_with_their_sign():
    n = 60
    who = people(n)
    out = scored(n, classes=1, seed=2).assign(outlier=(who["age"] > 70).to_numpy())
    out["dice"] = 0.8 + 0.05 * out["score"] + 0.02 * np.random.default_rng(0).standard_normal(n)
    found = associations(out, who.assign(sex=np.where(who["age"] > 65, "female", "male"))).set_index("test")
    assert found.loc["spearman", "low"] > 0.7 and found.loc["spearman", "p_holm"] == pytest.approx(1 / 5000)
    assert found.loc["mann_whitney", "effect"] == 1 and found.loc["mann_whitney", "p_holm"] < 1e-5
    assert found.loc["welch", "low"] > 10 and found.loc["fisher", "low"] > 1


def test_a_patient_with_several_cases_counts_once():
    n = 30
    out, who = scored(n, classes=1, seed=4), people(n)
    twice = pd.concat([out, out.assign(case=out["case"] + "b")])
    both = pd.concat([who.assign(group=who["case"]), who.assign(group=who["case"], case=who["case"] + "b")])
    pd.testing.assert_frame_equal(associations(twice, both), associations(out, who))
    assert associations(twice, both)["outliers"].iloc[0] == out["outlier"].sum()


def test_what_cannot_be_tested_is_said():
    out = scored(12, classes=1).assign(outlier=[True] * 2 + [False] * 10)
    found = associations(out, people(12)).set_index("test")
    assert found["p"].notna().sum() == 1 and found.loc["mann_whitney", "note"].startswith("2 outliers and 10 others whose age is known: too few")
    four = associations(scored(4, classes=1)).iloc[0]
    assert np.isnan(four["p"]) and four["note"] == "4 patients with a Dice, fewer than 5: too few"
    flat = associations(scored(12, classes=1).assign(dice=1.0)).iloc[0]
    assert np.isnan(flat["effect"]) and flat["note"] == "the Dice is the same in all: no correlation"
    women = associations(scored(40, classes=1), people(40).assign(sex="F")).set_index("test")
    assert women.loc["fisher", "note"] == "all are women" and np.isnan(women.loc["fisher", "p"])
    small = associations(scored(14, classes=1).assign(outlier=[True] * 4 + [False] * 10), people(14)).set_index("test")
    assert "below 5: Fisher’s exact test alone" in small.loc["chi2", "note"] and np.isfinite(small.loc["fisher", "p"])
    assert set(associations(out)["variable"]) == {"dice"}  # nobody's age or sex is known
