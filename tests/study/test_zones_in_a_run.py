"""Analyses zone_importance and cooccurrence: a model that reads known patches has its evidence there, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from finding_runs import FINDINGS, run
from pellucid.core.case import Case
from pellucid.errors import InputError, UsageError
from pellucid.evaluate.cohort.zones import EVERY
from pellucid.study.analyses.zone_importance import ZoneImportance
from pellucid.study.analysis import as_analysis
from pellucid.study.store import Run
from pellucid.study.zoned import ELSEWHERE, OUTSIDE, Zoning


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(
        tmp_path_factory.mktemp("zones") / "run", targets=list(FINDINGS), n=6, shots=1,
        methods=["saliency", "random", "edge"],
        analysis=[{"zone_importance": {"n_boot": 200}}, {"cooccurrence": {"n_boot": 200}}],
    )  # fmt: skip


def pick(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_the_evidence_lies_in_the_zone_that_the_model_reads(done: Run) -> None:
    table = done.table("zone_importance_summary", "chest")
    found = pick(table, method="saliency", kind="zone", measure="mass", outcome="all")
    means = found.pivot(index="target", columns="zone", values="mean")
    assert means.loc["Mass", "right upper"] == pytest.approx(0.75)  # three rows of four of the patch lie in the upper third
    assert means.loc["Mass", "right upper"] + means.loc["Mass", "right middle"] == pytest.approx(1)
    assert means.loc["Hernia", "left lower"] == pytest.approx(1)
    assert means.loc[EVERY, "left lower"] == pytest.approx(1 / 3)
    assert not means[OUTSIDE].any()
    chance = pick(table, method="random", kind="zone", zone=OUTSIDE, target="Mass", measure="mass", outcome="all").iloc[0]
    assert chance["mean"] == pytest.approx(chance["share"], abs=0.05)
    own = pick(table, method="saliency", zone=OUTSIDE, target="Mass", measure="mass", outcome="all").iloc[0]
    assert own["over_random_high"] < 0
    assert (own["n"], own["groups"]) == (6, 6)
    assert {"TP", "TN"} <= set(table["outcome"])


def test_columns_of_the_table_are_features(done: Run) -> None:
    own = pick(done.table("zone_importance", "chest"), kind="feature", method="saliency", target="Hernia")
    age, weight = (own[own["zone"] == name] for name in ("age", "weight"))
    assert set(age["mass"]) == {1.0}
    assert set(weight["absolute"]) == {0.0}
    assert set(age["share"]) == {0.5}
    assert sorted(age["intensity"]) == pytest.approx(sorted(float(done.case("chest", c).inputs["ehr"][0]) for c in age["case"]))
    summary = pick(done.table("zone_importance_summary", "chest"), kind="feature", method="saliency", target="Hernia",
                   zone="age", measure="absolute", outcome="all").iloc[0]  # fmt: skip
    assert summary["mean"] == pytest.approx(age["absolute"].mean(), abs=1e-6)


def test_the_rows_of_a_case_are_region_tables(done: Run) -> None:
    table = pick(done.table("zone_importance", "chest"), case="s0", method="saliency", kind="zone", target="Mass")
    assert table["mass"].sum() == pytest.approx(1)
    case = done.case("chest", "s0")
    upper = pick(table, zone="right upper").iloc[0]
    mask = case.region("zone right upper")
    assert upper["share"] == pytest.approx(float(mask.float().mean()))
    assert upper["intensity"] == pytest.approx(float(case.inputs["image"][0][mask].mean()))
    assert upper["enrichment"] == pytest.approx(upper["mass"] / upper["share"])
    assert upper["group"] == "p0"


def test_findings_that_are_read_off_one_patch_share_their_evidence(done: Run) -> None:
    table = done.table("cooccurrence", "chest")
    same = pick(table, first="Mass", second="Nodule", method="saliency").set_index("measure")
    assert same.loc["map_overlap", "value"] == pytest.approx(1)
    assert same.loc["map_correlation", "value"] == pytest.approx(1)
    assert same.loc["zone_overlap", ["low", "high"]].tolist() == pytest.approx([1, 1])
    apart = pick(table, first="Mass", second="Hernia", method="saliency").set_index("measure")
    assert apart.loc["map_overlap", "value"] == 0
    assert apart.loc["map_correlation", "value"] < 0
    assert apart.loc["map_overlap", "n"] == 6
    chance = pick(table, first="Mass", second="Nodule", method="random", measure="map_correlation").iloc[0]
    assert abs(chance["value"]) < 0.1
    assert "edge" not in set(table["method"])  # the same map for all findings
    told = pick(table, first="Mass", second="Nodule", measure="probability_correlation").iloc[0]
    assert told["value"] > 0.99
    outcomes = done.table("outcomes", "chest")
    wide = outcomes.pivot(index="case", columns="target", values="truth")
    phi = pick(table, first="Mass", second="Nodule", measure="label_phi").iloc[0]
    assert phi["value"] == pytest.approx(np.corrcoef(wide["Mass"], wide["Nodule"])[0, 1])


# -- where zones come from -------------------------------------------------------------------------------------------


def test_zones_of_a_grid_of_a_mask_and_of_regions() -> None:
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[2:8, 1:4], mask[2:8, 8:11] = True, True
    case = Case(id="c", inputs={"x": torch.zeros(1, 12, 12)}, regions={"lungs": mask, "heart": ~mask})
    cells = Zoning(grid=(3, 2)).of(case)
    assert list(cells)[:2] == ["row 1, column 1", "row 1, column 2"]
    assert [int(z.sum()) for z in cells.values()] == [24] * 6
    six = Zoning(lungs="lungs").of(case)
    assert six["right upper"][2:4, 1:4].all()
    assert int(six[OUTSIDE].sum()) == 144 - 36
    assert Zoning(lungs="lungs").of(case, mirrored=True)["left upper"][2:4, 1:4].all()
    assert set(Zoning(zones=("heart",)).of(case)) == {"heart", ELSEWHERE}
    with pytest.raises(InputError, match="case c: no zones; add lung_zones_classical"):
        Zoning().of(case)
    flat = Case(id="v", inputs={"x": torch.zeros(1, 4, 4, 4)})
    with pytest.raises(InputError, match="zones are cut in 2-D pictures, this case has 3 axes"):
        Zoning(grid=(3, 2)).of(flat)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grid": [3]}, "give rows and columns"), ({"grid": [0, 2]}, "give rows and columns"),
        ({"grid": [3, 2], "lungs": "lungs"}, "give one of zones, lungs, grid; this has lungs and grid"),
        ({"n_boot": 0}, "n_boot=0: give 1 or more"), ({"zone": "a"}, "has no option 'zone'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["zone_importance", "cooccurrence"])
def test_options_that_are_none(name: str, options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_analysis({name: options})


def test_a_method_that_was_not_run_is_refused(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.study.analyses.zone_importance import _check

    class Asked:
        run, task = done, "chest"

    with pytest.raises(UsageError, match="no maps of 'salience'; did you mean 'saliency'"):
        _check(["salience"], Asked())
    assert ZoneImportance(methods=("saliency",)).methods == ("saliency",)
