"""compare(): means, intervals over patients, paired tests, ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, wilcoxon

from pellucid.core.statistics import holm
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.compare import compare


def table(values: dict[str, np.ndarray], metric: str = "dice", groups=None, target="t") -> pd.DataFrame:
    """``values``: method to one number per case."""
    rows = []
    for method, numbers in values.items():
        for i, v in enumerate(numbers):
            rows.append({"case": f"c{i}", "group": f"g{i if groups is None else groups[i]}", "method": method,
                         "metric": metric, "target": target, "value": v})  # fmt: skip
    return pd.DataFrame(rows)


def row(found: pd.DataFrame, method: str, metric: str = "dice") -> pd.Series:
    return found[(found.metric == metric) & (found.method == method)].iloc[0]


def test_a_known_difference_is_found_and_a_null_difference_is_not():
    rng = np.random.default_rng(0)
    case = rng.normal(0.4, 0.2, 40)  # cases differ a lot, methods by 0.05: only the paired view sees it
    found = compare(table({
        "good": case + 0.05 + rng.normal(0, 0.03, 40), "null": case + rng.normal(0, 0.03, 40), "random": case,
        "edge": case - 0.02,
    }))  # fmt: skip
    good, null = row(found, "good"), row(found, "null")
    assert bool(good.better_than_random) and good.p < 0.001 and good["rank"] == 1
    assert good.difference == pytest.approx(0.05, abs=0.015) and good.difference_low < 0.05 < good.difference_high
    assert not bool(null.better_than_random) and null.p > 0.05
    assert good.control == "random" and row(found, "random").control == ""
    assert pd.isna(row(found, "random").better_than_random) and pd.isna(row(found, "edge").p)
    # Unpaired intervals overlap: without pairing the difference would be lost.
    assert good.low < row(found, "random").high


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    alarms = hits = 0
    for i in range(100):
        base = rng.normal(0, 1, 25)
        found = compare(table({"m": base + rng.normal(0, 1, 25), "random": base}), n_boot=400, seed=i)
        alarms += bool(row(found, "m").better_than_random)
        hits += row(found, "m").p < 0.05
    assert alarms <= 9 and hits <= 12  # 2.5 % and 5 % of 100, with room for chance (three sd and small samples)


def test_interval_and_p_equal_scipy():
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(0.5, 0.2, 30), rng.normal(0.4, 0.2, 30), rng.normal(0.45, 0.2, 30)
    found = compare(table({"a": a, "c": c, "random": b}), n_boot=20000)
    ci = bootstrap((a,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(9)).confidence_interval
    assert (row(found, "a").low, row(found, "a").high) == pytest.approx((ci.low, ci.high), abs=0.004)
    raw = np.array([wilcoxon(a - b).pvalue, wilcoxon(c - b).pvalue])
    assert [row(found, "a").p, row(found, "c").p] == pytest.approx(holm(raw))


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, np.nan])), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])


def test_direction_turns_ranks_and_signs():
    rng = np.random.default_rng(3)
    base = rng.normal(0.5, 0.05, 20)
    values = {"low": base - 0.2, "high": base + 0.2, "random": base}
    down = compare(table(values, "deletion_auc"))
    assert [row(down, m, "deletion_auc")["rank"] for m in ("low", "random", "high")] == [1, 2, 3]
    assert bool(row(down, "low", "deletion_auc").better_than_random)
    assert not bool(row(down, "high", "deletion_auc").better_than_random)
    up = compare(table(values, "pointing_game(tolerance=5)"))
    assert row(up, "high", "pointing_game(tolerance=5)")["rank"] == 1
    neither = compare(table(values, "attribution_share[ct]"))
    assert neither.direction.eq("none").all() and neither["rank"].isna().all() and neither.p.isna().all()
    assert neither.better_than_random.isna().all() and neither.low.notna().all()


def test_patients_are_drawn_not_pictures():
    """Ten pictures of each of four patients that differ: the interval is as wide as four numbers allow."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(4), 10)
    values = np.array([0.1, 0.3, 0.6, 0.9])[groups] + rng.normal(0, 0.01, 40)
    scores = table({"m": values}, groups=groups)
    by_patient, by_case = row(compare(scores), "m"), row(compare(scores, group="case"), "m")
    assert by_patient.high - by_patient.low > 2 * (by_case.high - by_case.low)
    assert (by_patient.n, by_patient.groups, by_case.groups) == (40, 4, 40)


def test_targets_of_a_case_count_once():
    values = {"m": np.array([0.2, 0.4])}
    both = pd.concat([table(values, target="a"), table({"m": np.array([0.4, 0.8])}, target="b")])
    assert row(compare(both), "m")["mean"] == pytest.approx((0.3 + 0.6) / 2) and row(compare(both), "m").n == 2


def test_undefined_is_counted_and_left_out():
    found = compare(table({"m": np.array([0.5, np.nan, 0.7, 0.6]), "random": np.array([0.1, 0.2, 0.3, np.nan])}))
    m = row(found, "m")
    assert m["mean"] == pytest.approx(0.6) and (m.n, m.undefined) == (3, 1)
    assert m.difference == pytest.approx((0.4 + 0.4) / 2)
    nothing = compare(table({"m": np.full(3, np.nan), "random": np.full(3, np.nan)}))
    assert nothing["mean"].isna().all() and set(nothing.note) == {"undefined in every case"}


def test_a_method_that_is_never_defined_is_still_listed():
    found = compare(table({"m": np.full(3, np.nan), "random": np.array([0.1, 0.2, 0.3])}))
    m = row(found, "m")
    assert np.isnan(m["mean"]) and m.undefined == 3 and m.note == "undefined in every case"


def test_one_patient_gets_no_interval_and_is_told_so():
    for groups in (None, [0, 0, 0]):
        values = {"m": np.array([0.5] if groups is None else [0.5, 0.6, 0.7]), "random": np.array([0.1] if groups is None else [0.1, 0.2, 0.3])}
        m = row(compare(table(values, groups=groups)), "m")
        assert np.isnan(m.low) and np.isnan(m.p) and pd.isna(m.better_than_random)
        assert m.note == "one patient only: no interval" and np.isfinite(m["mean"])


def test_without_controls_there_is_no_verdict():
    m = row(compare(table({"m": np.arange(5.0), "n": np.arange(5.0) + 1})), "m")
    assert pd.isna(m.better_than_random) and np.isnan(m.p) and m.control == "" and m["rank"] == 2
    other = row(compare(table({"m": np.arange(5.0) + 1, "coin": np.arange(5.0)}), controls=("coin",)), "m")
    assert bool(other.better_than_random) and other.control == "coin"


def test_identical_methods_do_not_differ():
    values = np.linspace(0, 1, 12)
    m = row(compare(table({"m": values, "random": values})), "m")
    assert m.p == 1 and m.difference == 0 and not bool(m.better_than_random) and m["rank"] == 1


def test_the_table_survives_parquet_and_a_seed_repeats_it(tmp_path):
    rng = np.random.default_rng(5)
    scores = pd.concat([table({"m": rng.random(8), "random": rng.random(8)}), table({"m": rng.random(8)}, "gini")])
    found = compare(scores, seed=3)
    found.to_parquet(tmp_path / "c.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "c.parquet"), found)
    pd.testing.assert_frame_equal(compare(scores, seed=3), found)
    assert not compare(scores, seed=4).low.equals(found.low)


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match="no column 'method'"):
        compare(table({"m": np.arange(3.0)}).drop(columns="method"))
    with pytest.raises(UsageError, match="at least 1"):
        compare(table({"m": np.arange(3.0)}), n_boot=0)
    assert len(compare(table({"m": np.arange(3.0)}).iloc[:0])) == 0


def test_the_same_but_for_rounding_is_a_tie():
    """Two ways to the same maps: ten patients in whom one of them is larger in the ninth digit."""
    base = np.linspace(0.2, 0.8, 10)
    found = compare(table({"m": base * (1 + 1e-9), "random": base}))
    m = row(found, "m")
    assert (m.difference, m.difference_low, m.difference_high, m.p) == (0, 0, 0, 1)
    assert not m.better_than_random and m["rank"] == row(found, "random")["rank"] == 1


@pytest.mark.parametrize("patients", [2, 4, 5])
def test_few_patients_are_not_told_from_chance(patients):
    """All on the better side, as four patients of two equal methods are once in eight times."""
    base = np.linspace(0.2, 0.4, patients)
    m = row(compare(table({"m": base + 0.3, "random": base})), "m")
    assert np.isfinite(m.difference_low) and np.isfinite(m.low)
    if patients < 5:
        assert pd.isna(m.better_than_random) and m.note == f"{patients} patients: too few to tell from chance"
    else:
        assert m.better_than_random and m.note == ""
    assert m.p >= 2 / 2**patients


def test_all_equal():
    found = compare(table({"m": np.full(6, 0.5), "n": np.full(6, 0.5), "random": np.full(6, 0.5), "edge": np.full(6, 0.5)}))
    assert (found["rank"] == 1).all() and found.p.dropna().eq(1).all() and not found.better_than_random.fillna(False).any()
    assert (found.low == 0.5).all() and (found.high == 0.5).all()


def test_refined_maps_are_compared_with_controls_that_were_refined_alike():
    rng = np.random.default_rng(0)
    noise = lambda: 0.02 * rng.standard_normal(20)  # noqa: E731
    plain = {"a": 0.3 + noise(), "random": 0.1 + noise(), "edge": 0.2 + noise()}
    masked = {"segx(a)": 0.6 + noise(), "segx(random)": 0.6 + noise(), "segx(edge)": 0.4 + noise()}
    whole, alone = compare(table(plain)), compare(table({**plain, **masked}))
    for name in plain:  # what is not refined is compared as it was
        for column in ("difference", "difference_low", "control", "better_than_random"):
            assert (pd.isna(row(alone, name)[column]) and pd.isna(row(whole, name)[column])) or (
                row(alone, name)[column] == row(whole, name)[column]
            )
    found = row(alone, "segx(a)")
    assert found["difference"] == pytest.approx((masked["segx(a)"] - masked["segx(random)"]).mean())
    assert found["control"] == "segx(random)" and not found["better_than_random"]  # though far above the unmasked one
    assert pd.isna(row(alone, "segx(random)")["better_than_random"]) and row(alone, "segx(edge)")["control"] == ""
    lonely = row(compare(table({**plain, "segx(a)": masked["segx(a)"]})), "segx(a)")
    assert pd.isna(lonely["better_than_random"]) and np.isnan(lonely["p"]) and np.isnan(lonely["difference"])
    assert lonely["note"] == "there is no segx(random) to compare it with"
