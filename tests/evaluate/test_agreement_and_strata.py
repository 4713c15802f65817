"""Agreement of the maps of one case; the scores within parts of the cohort."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from metric_worlds import attribution
from pellucid.core.case import Case
from pellucid.evaluate.cohort.agreement import agreement, agreement_rows
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.strata import levels, strata

CASE = Case(id="c", inputs={"x": torch.zeros(2, 6, 7), "y": torch.zeros(1, 4, 4), "tab": torch.zeros(3)})


def drawn(seed: int, names=("x", "y", "tab")):
    g = torch.Generator().manual_seed(seed)
    return {n: torch.randn(CASE.inputs[n].shape, generator=g) for n in names}


def maps(*parts, methods="abcdef"):
    return [attribution(CASE, p, method=m) for m, p in zip(methods, parts)]


def rho(*parts):
    return [r["rho"] for r in agreement_rows(maps(*parts), "g")]


def test_agreement_equals_scipy_on_the_positive_parts():
    parts = [drawn(i) for i in range(4)]
    rows = agreement_rows(maps(*parts), "g")
    flat = [torch.cat([p["x"].sum(0).flatten(), p["y"].flatten()]).clamp(min=0).numpy() for p in parts]
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    assert [(r["a"], r["b"]) for r in rows] == [("abcd"[i], "abcd"[j]) for i, j in pairs]
    for r, (i, j) in zip(rows, pairs):
        assert r["rho"] == pytest.approx(spearmanr(flat[i], flat[j]).statistic, abs=1e-9)
        assert (r["case"], r["group"], r["target_index"]) == ("c", "g", 0)


def test_agreement_of_what_is_the_same_and_what_is_the_opposite():
    a = {"x": torch.rand(2, 6, 7)}
    assert rho(a, a, {"x": 5 * a["x"]}, {"x": a["x"] ** 3}) [:2] == pytest.approx([1, 1])  # fmt: skip
    up = {"x": torch.arange(84.0).view(2, 6, 7) / 2}
    assert rho(up, {"x": 100 - up["x"]}) == pytest.approx([-1])
    # Evidence for the target is what is compared: a map with negatives and the same map without agree.
    signed = drawn(0)
    assert rho(signed, {k: v.clamp(min=0) for k, v in {"x": signed["x"].sum(0, keepdim=True) / 1.0}.items()}) == pytest.approx([1])


def test_agreement_only_over_what_both_cover():
    a, b = drawn(1), drawn(2, ("x",))
    expected = spearmanr(*(p["x"].sum(0).flatten().clamp(min=0) for p in (a, b))).statistic
    assert rho(a, b) == pytest.approx([expected])
    assert math.isnan(rho(drawn(1, ("x",)), drawn(2, ("y",)))[0])
    tables = rho({"tab": torch.tensor([1.0, 2, 3])}, {"tab": torch.tensor([2.0, 4, 9])})
    assert tables == pytest.approx([1])


def test_agreement_of_a_constant_map_or_one_with_nan_is_no_number():
    a = {"x": torch.rand(2, 6, 7)}
    for bad in (torch.zeros(2, 6, 7), torch.full((2, 6, 7), 2.0), -torch.ones(2, 6, 7), torch.full((2, 6, 7), math.nan)):
        assert math.isnan(rho(a, {"x": bad})[0])
    assert rho(a) == [] and not len(agreement(pd.DataFrame(rho(a))))


def test_maps_of_different_targets_are_not_compared():
    two = [attribution(CASE, drawn(i), method=m, index=k) for i, (m, k) in enumerate([("a", 0), ("a", 1), ("b", 0), ("b", 1)])]
    rows = agreement_rows(two, "g")
    assert [(r["a"], r["b"], r["target_index"]) for r in rows] == [("a", "b", 0), ("a", "b", 1)]


def test_agreement_over_patients():
    rows = pd.DataFrame(
        [
            {"case": f"c{i}", "group": f"g{i // 2}", "target_index": 0, "a": "a", "b": b, "rho": r}
            for b, values in (("b", [0.1, 0.3, 0.8, 0.8]), ("d", [0.5, np.nan, np.nan, np.nan])) for i, r in enumerate(values)
        ]
    )  # fmt: skip
    found = agreement(rows).set_index("b")
    assert found.loc["b", "rho"] == pytest.approx((0.2 + 0.8) / 2) and (found.loc["b", "n"], found.loc["b", "groups"]) == (4, 2)
    assert found.loc["b", "low"] == pytest.approx(0.2) and found.loc["b", "high"] == pytest.approx(0.8)
    assert found.loc["d", "undefined"] == 3 and math.isnan(found.loc["d", "low"])
    assert found.loc["d", "note"] == "one patient only: no interval"
    nothing = agreement(rows.assign(rho=np.nan))
    assert set(nothing["note"]) == {"undefined in every case"} and nothing["rho"].isna().all()


# -- strata ------------------------------------------------------------------------------------------------------


def cohort(n: int = 30, groups=None, **facts):
    scores = pd.DataFrame(
        [
            {"case": f"c{i:02}", "group": f"g{(i if groups is None else groups[i]):02}", "method": m, "metric": metric,
             "value": i / n + offset}
            for metric in ("dice", "gini") for m, offset in (("a", 0.0), ("b", 1.0)) for i in range(n)
        ]
    )  # fmt: skip
    return scores, pd.DataFrame({"case": [f"c{i:02}" for i in range(n)], **facts})


def test_means_and_intervals_are_those_of_the_part_alone():
    scores, facts = cohort(meta_sex=["f", "m"] * 15, region_size=np.arange(30.0) * 10, region_unit="mm²")
    found = strata(scores, facts, n_boot=2000, seed=3)
    for sex, odd in (("f", 0), ("m", 1)):
        own = scores[scores["case"].isin([f"c{i:02}" for i in range(odd, 30, 2)])]
        alone = compare(own, n_boot=2000, seed=3).set_index(["metric", "method"])
        rows = found[(found["stratum"] == "sex") & (found["level"] == sex)].set_index(["metric", "method"])
        assert len(rows) == 4
        for key, row in rows.iterrows():
            expected = alone.loc[key, ["mean", "low", "high", "n", "groups"]].astype(float)
            pd.testing.assert_series_equal(row[expected.index].astype(float), expected, check_names=False)
    sizes = found[found["stratum"] == "lesion size"]
    assert list(dict.fromkeys(sizes["level"])) == ["small (0 to 90 mm²)", "middle (100 to 190 mm²)", "large (200 to 290 mm²)"]
    assert list(sizes[(sizes["metric"] == "dice") & (sizes["method"] == "a")]["mean"]) == pytest.approx([0.15, 0.4833, 0.8167], abs=1e-3)


def test_too_few_patients_are_said_not_guessed():
    scores, facts = cohort(meta_site=["north"] * 26 + ["south"] * 4)
    found = strata(scores, facts)
    south = found[found["level"] == "south"]
    assert south["mean"].notna().all() and south["low"].isna().all() and set(south["note"]) == {"4 patients: too few for an interval"}
    assert found[found["level"] == "north"]["low"].notna().all()
    # Twenty pictures of two patients are two patients.
    scores, facts = cohort(groups=[0, 1] * 10 + list(range(2, 12)), meta_site=["north"] * 20 + ["south"] * 10)
    north = strata(scores, facts).query("level == 'north'")
    assert set(north["groups"]) == {2} and set(north["n"]) == {20} and north["low"].isna().all()


def test_levels_of_every_kind():
    n = 24
    _, facts = cohort(
        n, confidence=np.linspace(0.5, 0.99, n), correct=pd.array([True] * 18 + [False] * 4 + [None] * 2, dtype="boolean"),
        meta_age=[25.0, 40.0, 59.0, 60.0, 85.0, np.nan] * 4, meta_view=["PA", "AP"] * 12, meta_dose=np.arange(n) * 1.5,
        meta_name=[f"n{i}" for i in range(n)], meta_same=["x"] * n, meta_follow=[0, 1] * 12, error=[np.nan] * n,
    )  # fmt: skip
    found = levels(facts)
    assert set(found) == {"confidence", "prediction", "age", "view", "dose", "follow"}
    assert sorted(found["age"].dropna().unique()) == ["40 to 59", "60 to 79", "80 and over", "under 40"]
    assert dict(zip(facts["meta_age"], found["age"]))[59.0] == "40 to 59" and dict(zip(facts["meta_age"], found["age"]))[60.0] == "60 to 79"
    assert found["prediction"].value_counts(dropna=False).tolist() == [18, 4, 2]
    assert found["confidence"].iloc[0].startswith("low (0.5 to ") and found["confidence"].nunique() == 3
    assert found["dose"].value_counts().tolist() == [8, 8, 8] and found["view"].iloc[0] == "PA"


def test_age_bands_come_in_order():
    scores, facts = cohort(24, meta_age=[85.0, 25.0, 60.0, 40.0] * 6)
    found = strata(scores, facts)
    assert list(dict.fromkeys(found["level"])) == ["under 40", "40 to 59", "60 to 79", "80 and over"]


def test_what_is_the_same_for_all_or_unknown_makes_no_stratum():
    scores, facts = cohort(6, region_size=[np.nan] * 6, confidence=[0.9] * 6, correct=pd.array([True] * 6, dtype="boolean"))
    assert levels(facts) == {} and not len(strata(scores, facts)) and "stratum" in strata(scores, facts)
    assert not len(strata(scores.iloc[:0], facts))


def test_undefined_values_are_left_out_of_a_level():
    scores, facts = cohort(20, meta_sex=["f", "m"] * 10)
    scores.loc[(scores["method"] == "a") & scores["case"].isin([f"c{i:02}" for i in range(0, 20, 2)]), "value"] = np.nan
    found = strata(scores, facts)
    assert set(found[found["level"] == "f"]["method"]) == {"b"} and set(found[found["level"] == "m"]["method"]) == {"a", "b"}
