"""Cards of the report: where the evidence for each finding lies, and which findings share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.evaluate.cohort.shared_evidence import map_pairs, shared_evidence
from pellucid.evaluate.cohort.zones import zone_importance
from pellucid.report.shared import shared_panels
from pellucid.report.swarm import beeswarm
from pellucid.report.zones import zone_panels
from pellucid.study.store import Run
from report.run_folder import build

ZONES = {"right upper": 0.1, "left lower": 0.1, "outside the lungs": 0.8}
CASES = 8


def rows() -> pd.DataFrame:
    """Mass is found in the right upper zone, Nodule in the left lower one; the random map goes by size."""
    g = np.random.default_rng(0)
    found = []
    for i in range(CASES):
        for k, (finding, own) in enumerate((("Mass", "right upper"), ("Nodule", "left lower"))):
            for method in ("grad_cam", "random"):
                for zone, share in ZONES.items():
                    mass = share if method == "random" else 0.9 if zone == own else 0.05
                    found.append({
                        "case": f"c{i}", "group": f"secret-{i}", "method": method, "target_index": k, "target": finding,
                        "outcome": "TP" if i < 5 else "FP", "kind": "zone", "zone": zone, "share": share, "mass": mass,
                        "enrichment": mass / share, "absolute": mass, "signed_sum": mass * (-1) ** i, "signed_mean": 0.0,
                        "intensity": g.random(),
                    })  # fmt: skip
            for column, size in (("age", 0.5), ("weight", 0.1)):
                found.append({
                    "case": f"c{i}", "group": f"secret-{i}", "method": "grad_cam", "target_index": k, "target": finding,
                    "outcome": None, "kind": "feature", "zone": column, "share": 0.5, "mass": size / 0.6,
                    "enrichment": size / 0.3, "absolute": size, "signed_sum": -size, "signed_mean": -size, "intensity": g.random(),
                })  # fmt: skip
    return pd.DataFrame(found)


def pairs() -> pd.DataFrame:
    a, zones = np.eye(6), {"one": np.tri(6) > 0}
    found = []
    for i in range(CASES):
        for method, maps in (("grad_cam", {"Mass": a, "Nodule": a}), ("random", {"Mass": a, "Nodule": a[::-1]})):
            found += [{"case": f"c{i}", "group": f"secret-{i}", "method": method, **r} for r in map_pairs(maps, zones)]
    return pd.DataFrame(found)


def answers() -> pd.DataFrame:
    truth = np.arange(CASES) % 2
    return pd.DataFrame([
        {"case": f"c{i}", "group": f"secret-{i}", "target": t, "truth": truth[i], "probability": 0.2 + 0.5 * truth[i] * p}
        for i in range(CASES) for t, p in (("Mass", 1), ("Nodule", -1))
    ])  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = build(tmp_path / "run", "classification", bare=True)
    made.put_table("zone_importance", "classification", rows())
    made.put_table("zone_importance_summary", "classification", zone_importance(rows(), n_boot=50))
    found = shared_evidence(answers(), pairs(), findings=["Mass", "Nodule"], n_boot=50)
    made.put_table("cooccurrence", "classification", found)
    return made


def test_zones_and_columns(run: Run) -> None:
    zones, columns = zone_panels(run, "classification", ["grad_cam", "random"])
    assert zones["line"] == "16 maps of 8 cases by grad_cam, the first in the order of trust that has such maps; 3 zones."
    assert zones["points"][0] == "Mass: densest in right upper, 9.00 [9.00, 9.00] times the zone’s part of the picture."
    assert zones["points"][-1] == "Outside the lungs lies 0.050 [0.050, 0.050] of the maps’ magnitude; of a random map 0.800."
    table = {r["name"]: [c["text"] for c in r["cells"]] for r in zones["table"]["rows"]}
    assert table["outside the lungs"] == ["0.800", "0.050", "0.062", "-0.750"]
    outcomes = dict(zones["more"])["By outcome, grad_cam: outside the lungs"]
    assert outcomes["head"][1:] == ["TP: said and true", "FP: said, not true"]
    assert outcomes["rows"][0]["cells"][1]["why"] == "3 patients: too few for an interval"
    assert [f["title"] for f in zones["folds"]] == ["Case by case: Mass", "Case by case: Nodule"]
    assert [r["name"] for r in columns["table"]["rows"]] == ["age", "weight"]
    assert columns["table"]["rows"][0]["cells"][0] == {"text": "0.500", "small": "[0.500, 0.500]", "why": ""}
    assert "Mass: most by age" in columns["picture"]["alt"]
    assert "secret" not in str([zones, columns])


def test_shared_evidence(run: Run) -> None:
    (card,) = shared_panels(run, "classification", ["grad_cam", "random"])
    assert card["line"].startswith("2 findings in 8 pictures; maps of 1 pair by grad_cam")
    assert card["points"] == [
        "Mass and Nodule: 1.00 [1.00, 1.00] of the maps’ magnitude lies in common, in 8 pictures; two random maps 0."
    ]
    titles = [p["title"] for p in card["parts"]]
    assert titles[0] == "Of the labels (φ)"
    assert card["parts"][1]["line"] == "most alike: Mass and Nodule, -1.00 [-1.00, -1.00], 8 pictures."
    ((name, table),) = card["more"]
    assert name == "Pairs, grad_cam"
    assert table["rows"][0]["name"] == "Mass and Nodule"
    assert "random 0" in table["rows"][0]["cells"][table["head"].index("map overlap") - 1]["small"]
    assert "secret" not in str(card)


def test_without_these_analyses_there_are_no_cards(tmp_path: Path) -> None:
    bare = build(tmp_path / "run", "classification", bare=True)
    assert zone_panels(bare, "classification", []) == shared_panels(bare, "classification", []) == []


def test_one_finding_and_controls_alone(tmp_path: Path) -> None:
    bare = build(tmp_path / "run", "classification", bare=True)
    few = rows()
    few = few[(few["method"] == "random") & (few["target_index"] == 0)].drop(columns="outcome")
    bare.put_table("zone_importance", "classification", few)
    bare.put_table("zone_importance_summary", "classification", zone_importance(few, n_boot=20))
    (card,) = zone_panels(bare, "classification", ["random"])
    assert "8 maps of 8 cases by random" in card["line"]
    assert len(card["more"]) == 1
    answers_alone = shared_evidence(answers(), pd.DataFrame(), findings=["Mass", "Nodule"], n_boot=20)
    bare.put_table("cooccurrence", "classification", answers_alone)
    (other,) = shared_panels(bare, "classification", ["random"])
    assert "no picture has maps of two findings" in other["line"]
    assert len(other["parts"]) == 2


def test_a_dot_for_every_case_at_its_value() -> None:
    rows = {"a": ([1.0, 1.0, -2.0], [5.0, 1.0, 3.0]), "b": ([0.5, np.nan, 0.0], [1.0, 1.0, 1.0])}
    figure = beeswarm(rows, axis_name="x", colour_name="c", means={"a": 4 / 3, "b": 0.25})
    first, second = figure.axes[0].collections
    assert sorted(first.get_offsets()[:, 0].tolist()) == [-2, 1, 1]
    assert len(second.get_offsets()) == 2
    places = first.get_offsets()[:, 1]
    assert abs(places).max() < 0.5  # within its row
    assert len(set(map(tuple, np.round(np.asarray(first.get_offsets()), 6)))) == 3  # none covers another
    assert not np.allclose(first.get_facecolors()[0], first.get_facecolors()[1])
