"""Global importance by zone and shared evidence: planted cohorts whose numbers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pellucid.errors import UsageError
from pellucid.evaluate.cohort.shared_evidence import MAPS, map_pairs, shared_evidence
from pellucid.evaluate.cohort.zones import EVERY, zone_importance

ZONES = {"right": 0.2, "left": 0.3, "outside": 0.5}


def rows(mass: dict[str, list[float]], *, method: str = "grad_cam", shots: int = 1, target: int = 0, outcome: object = None) -> pd.DataFrame:
    """A map per case, whose mass lies in the zones as given."""
    found = []
    for i in range(len(next(iter(mass.values())))):
        for zone, share in ZONES.items():
            m = mass[zone][i]
            found.append({
                "case": f"c{i}", "group": f"p{i // shots}", "method": method, "target_index": target, "target": f"finding {target}",
                "kind": "zone", "zone": zone, "share": share, "mass": m, "enrichment": m / share, "absolute": 2 * m,
                "signed_sum": -m, "outcome": outcome[i] if outcome else None,
            })  # fmt: skip
    return pd.DataFrame(found)


def planted(n: int = 12) -> pd.DataFrame:
    """All of the map in the right zone; the random map's mass goes by the size of the zones."""
    one = rows({"right": [1.0] * n, "left": [0.0] * n, "outside": [0.0] * n})
    return pd.concat([one, rows({z: [s] * n for z, s in ZONES.items()}, method="random")])


def of(table: pd.DataFrame, zone: str, measure: str, method: str = "grad_cam", outcome: str = "all", target: str = "finding 0") -> pd.Series:
    found = table[(table["zone"] == zone) & (table["measure"] == measure) & (table["method"] == method)
                  & (table["outcome"] == outcome) & (table["target"] == target)]  # fmt: skip
    assert len(found) == 1
    return found.iloc[0]


def test_maps_in_one_zone_have_all_their_mass_there() -> None:
    table = zone_importance(planted())
    right = of(table, "right", "mass")
    assert (right["mean"], right["low"], right["high"], right["n"], right["groups"]) == (1, 1, 1, 12, 12)
    assert (right["random"], right["over_random"], right["share"]) == pytest.approx((0.2, 0.8, 0.2))
    assert of(table, "right", "enrichment")["mean"] == pytest.approx(5)
    assert of(table, "outside", "mass")["over_random"] == pytest.approx(-0.5)
    assert of(table, "right", "absolute")["mean"] == 2
    assert of(table, "right", "signed_sum")["mean"] == -1
    assert np.isnan(of(table, "right", "absolute")["over_random"])  # maps have scales of their own
    assert np.isnan(of(table, "right", "mass", "random")["over_random"])
    assert set(table["target"]) == {"finding 0"}  # of one finding there is no mean of all


def test_intervals_go_by_patient_and_few_patients_have_none() -> None:
    """Ten patients of five pictures each that are all alike: as wide as with one picture of each."""
    drawn = np.random.default_rng(0).uniform(size=10)
    one = rows({"right": list(drawn), "left": list(1 - drawn), "outside": [0.0] * 10})
    many = rows({z: list(np.repeat(one[one["zone"] == z]["mass"], 5)) for z in ZONES}, shots=5)
    a, b = (of(zone_importance(t), "right", "mass") for t in (one, many))
    assert (a["mean"], a["low"], a["high"]) == pytest.approx((b["mean"], b["low"], b["high"]))
    assert (a["n"], b["n"], b["groups"]) == (10, 50, 10)
    assert a["low"] < drawn.mean() < a["high"]
    few = of(zone_importance(one[one["case"].isin(["c0", "c1", "c2"])]), "right", "mass")
    assert np.isnan([few["low"], few["high"]]).all()
    assert few["note"] == "3 patients: too few for an interval"


def test_by_outcome_and_over_all_findings() -> None:
    n = 12
    first = rows({"right": [1.0] * n, "left": [0.0] * n, "outside": [0.0] * n}, outcome=["TP"] * 6 + ["FP"] * 6)
    first.loc[(first["zone"] == "outside") & (first["outcome"] == "FP"), "mass"] = 0.4
    second = rows({"right": [0.0] * n, "left": [1.0] * n, "outside": [0.0] * n}, target=1)
    table = zone_importance(pd.concat([first, second]))
    assert of(table, "outside", "mass", outcome="FP")["mean"] == pytest.approx(0.4)
    assert of(table, "outside", "mass", outcome="TP")["mean"] == 0
    assert of(table, "outside", "mass")["mean"] == pytest.approx(0.2)
    pooled = of(table, "right", "mass", target=EVERY)
    assert (pooled["mean"], pooled["n"], pooled["groups"], pooled["target_index"]) == (0.5, 24, 12, -1)
    assert not ((table["outcome"] == "FN").any())


def test_empty_zones_and_tables_without_columns() -> None:
    table = planted()
    table.loc[table["zone"] == "left", ["mass", "enrichment", "absolute", "signed_sum"]] = np.nan
    left = of(zone_importance(table), "left", "mass")
    assert (left["n"], left["note"]) == (0, "undefined in every map")
    assert len(zone_importance(table.head(0))) == 0
    with pytest.raises(UsageError, match="the table has no column 'zone', 'mass'"):
        zone_importance(table.drop(columns=["mass", "zone"]))


# -- shared evidence -------------------------------------------------------------------------------------------------

SIX = {f"z{i}": np.repeat(np.arange(8) // 2 == i, 8).reshape(8, 8) for i in range(3)}


def value(found: list[dict], measure: str) -> float:
    return next(r["value"] for r in found if r["measure"] == measure)


def test_the_same_map_is_shared_evidence_and_maps_apart_are_not() -> None:
    g = np.random.default_rng(0)
    a = g.standard_normal((8, 8))
    same = map_pairs({"Mass": a, "Nodule": 3 * a}, SIX)
    assert {r["measure"]: round(r["value"], 6) for r in same} == dict.fromkeys(MAPS, 1.0)
    against = map_pairs({"Mass": a, "Nodule": -a}, SIX)
    assert value(against, "map_correlation") == pytest.approx(-1)
    assert value(against, "map_overlap") == pytest.approx(1)  # the same places, whatever the sign
    up, down = np.zeros((8, 8)), np.zeros((8, 8))
    up[:2], down[6:] = 1, 1
    apart = map_pairs({"Mass": up, "Nodule": down}, SIX)
    assert value(apart, "map_overlap") == value(apart, "zone_overlap") == 0
    assert value(apart, "zone_correlation") == pytest.approx(-1 / 3)  # four zones of one size, the rest among them
    small = {f"z{i}": np.arange(64).reshape(8, 8) == i for i in range(3)}
    one, other = 1.0 + small["z0"], 1.0 + small["z1"]
    unequal = map_pairs({"Mass": one, "Nodule": other}, small)
    assert value(unequal, "zone_correlation") == pytest.approx(-1 / 3)  # the large rest does not make them alike
    (corr, *_) = [r["value"] for r in map_pairs({"Mass": a, "Nodule": g.standard_normal((8, 8))}, None)]
    assert abs(corr) < 0.3
    assert map_pairs({"Mass": a}, SIX) == []


def test_maps_that_say_nothing_share_nothing() -> None:
    found = map_pairs({"Mass": np.zeros((8, 8)), "Nodule": np.ones((8, 8)), "Hernia": np.eye(8)})
    by = {(r["first"], r["second"], r["measure"]): r["value"] for r in found}
    assert np.isnan(by["Mass", "Nodule", "map_correlation"])
    assert np.isnan(by["Mass", "Hernia", "map_overlap"])
    assert by["Nodule", "Hernia", "map_overlap"] == pytest.approx(1 / 8)
    two = map_pairs({"Mass": np.eye(8), "Nodule": np.ones((8, 8))}, {"all": np.ones((8, 8), bool)})
    assert np.isnan(value(two, "zone_correlation"))  # of one zone there is no correlation


def answers(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Nodule comes with Mass, Hernia by itself; the probabilities are right."""
    rng = np.random.default_rng(seed)
    mass, hernia = rng.random(n) < 0.4, rng.random(n) < 0.4
    truth = {"Mass": mass, "Nodule": mass, "Hernia": hernia}
    return pd.DataFrame([
        {"case": f"c{i}", "group": f"p{i // 2}", "target": t, "truth": float(v[i]), "probability": 0.1 + 0.8 * v[i]}
        for i in range(n) for t, v in truth.items()
    ])  # fmt: skip


def row(table: pd.DataFrame, first: str, second: str, measure: str) -> pd.Series:
    (found,) = [r for _, r in table.iterrows() if (r["first"], r["second"], r["measure"]) == (first, second, measure)]
    return found


def test_labels_and_predictions_that_come_together() -> None:
    outcomes = answers()
    share = outcomes[outcomes["target"] == "Mass"]["truth"].mean()
    table = shared_evidence(outcomes, pd.DataFrame(), findings=["Mass", "Nodule", "Hernia"])
    assert row(table, "Mass", "Nodule", "label_phi")["value"] == pytest.approx(1)
    assert row(table, "Mass", "Nodule", "label_lift")["value"] == pytest.approx(1 / share)
    assert row(table, "Mass", "Nodule", "probability_correlation")["value"] == pytest.approx(1)
    apart = row(table, "Mass", "Hernia", "label_phi")
    wide = outcomes.pivot(index="case", columns="target", values="truth")
    assert apart["value"] == pytest.approx(np.corrcoef(wide["Mass"], wide["Hernia"])[0, 1])
    assert apart["low"] < 0 < apart["high"]
    assert (apart["n"], apart["groups"]) == (200, 100)


def test_means_over_pictures_with_intervals_over_patients() -> None:
    rng = np.random.default_rng(1)
    pairs = pd.DataFrame([
        {"case": f"c{i}", "group": f"p{i // 2}", "method": "grad_cam", "first": a, "second": b, "measure": "map_correlation", "value": v}
        for i in range(40) for a, b, v in (("Nodule", "Mass", 1.0), ("Mass", "Hernia", rng.standard_normal() / 3))
    ])  # fmt: skip
    table = shared_evidence(answers(40), pairs, findings=["Mass", "Nodule", "Hernia"])
    same = row(table, "Mass", "Nodule", "map_correlation")  # in the order of the findings
    assert (same["value"], same["low"], same["high"], same["n"], same["groups"], same["method"]) == (1, 1, 1, 40, 20, "grad_cam")
    apart = row(table, "Mass", "Hernia", "map_correlation")
    assert apart["low"] < 0 < apart["high"]
    few = row(shared_evidence(answers(40), pairs[pairs["case"].isin(["c0", "c2"])], findings=["Mass", "Nodule", "Hernia"]),
              "Mass", "Nodule", "map_correlation")  # fmt: skip
    assert (few["note"], np.isnan(few["low"])) == ("2 patients: too few for an interval", True)


def test_a_finding_that_every_picture_has_correlates_with_nothing() -> None:
    outcomes = answers(20)
    outcomes.loc[outcomes["target"] == "Hernia", "truth"] = 1.0
    found = row(shared_evidence(outcomes, pd.DataFrame(), findings=["Mass", "Nodule", "Hernia"]), "Mass", "Hernia", "label_phi")
    assert np.isnan(found["value"])
    assert found["note"] == "one of the two is the same in every picture"
