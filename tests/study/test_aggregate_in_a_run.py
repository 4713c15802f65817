"""The section `aggregate` of a recipe: tables without maps, resumed, wide, with files and kept maps; what it refuses."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import pellucid as pc
from own_sets import registering
from pellucid.core.case import Case
from pellucid.errors import UsageError
from pellucid.nets import load_module
from pellucid.report import build_report
from pellucid.report.score_tables import region_tables
from pellucid.study.recipe import load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.stages import aggregate as stage

CLASSES = ["background", "heart", "lung", "never"]
SHAPE, AFFINE = (10, 8, 8), np.diag([2.0, 2.0, 3.0, 1.0])
NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Conv3d(4, 4, 1)
        with torch.no_grad():
            self.b.bias[:] = torch.tensor([0.0, 0.0, 0.0, -60.0])

    def forward(self, x):
        return self.b(torch.tanh(self.a(4 * x - 2))) * 5
"""


def volumes(n=2, first="p"):
    cases = []
    for i in range(n):
        g = torch.Generator().manual_seed(i)
        x = torch.rand(1, *SHAPE, generator=g)
        truth = torch.randint(0, 3, SHAPE, generator=g)
        cases.append(Case(id=f"{first}{i}", inputs={"ct": x}, truth=truth, affine=AFFINE, regions={"organs": truth}))
    return cases


own_sets = registering(volumes_to_aggregate=volumes)


def recipe(folder, **more):
    (folder / "net.py").write_text(NET)
    work = {
        "name": "organs", "data": {"dataset": "volumes_to_aggregate", "fractions": [0, 0, 1]},
        "model": {"load": str(folder / "net.py:Net"), "inputs": ["ct"], "task": "segmentation", "classes": CLASSES,
                  "windows": {"roi": [8, 8, 8], "overlap": 0.25}},
        "aggregate": {"methods": [{"smoothgrad": {"samples": 2}}]},
    }  # fmt: skip
    return {"name": "tables", "seed": 3, "tasks": [work | more]}


def done(folder, name="run", *, given=None, **more):
    quiet = Console(quiet=True)
    return run_recipe(given or recipe(folder, **more), folder / name, quiet=True, console=quiet)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return done(tmp_path_factory.mktemp("aggregate"))


def test_the_table_of_a_run_is_that_of_the_function_and_no_map_is_stored(run):
    table = run.table("regions", "organs")
    test = volumes()  # of a model that is not trained here all cases are the test part
    assert sorted(table["case"].unique()) == sorted(c.id for c in test)
    assert not run.cases("organs") and not failures(run)
    assert set(table["of"]) == {"predicted"} and set(table["target"]) == set(CLASSES)
    p = pc.Predictor(
        load_module(str(run.folder.parent / "net.py:Net")).eval(), inputs=["ct"], task="segmentation", classes=CLASSES,
        windows=pc.windows((8, 8, 8), overlap=0.25),
    )  # fmt: skip
    for c in test:
        own = pc.aggregate(p, c, samples=2, seed=3)
        mine = table[table["case"] == c.id].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine[list(own.columns)], own, check_dtype=False)
    costs = run.table("aggregate_costs", "organs")
    assert sorted(costs["case"]) == sorted(c.id for c in test) and (costs["forwards"] == 6).all()


def test_rows_of_the_aggregation_are_not_those_of_the_older_table(run):
    assert region_tables(run, "organs", []) is None  # these rows have a section of their own
    assert pc.load_region_table(run.folder)["of"].eq("predicted").all()


def test_a_run_that_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    seen, whole = [], stage.Aggregation.table

    def first_only(self, case):
        if seen:
            raise KeyboardInterrupt
        seen.append(case.id)
        return whole(self, case)

    given = recipe(tmp_path)
    monkeypatch.setattr(stage.Aggregation, "table", first_only)
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path, given=given)
    again = []

    def count(self, case):
        again.append(case.id)
        return whole(self, case)

    monkeypatch.setattr(stage.Aggregation, "table", count)
    run = run_recipe(given, tmp_path / "run", resume=True, quiet=True, console=Console(quiet=True))
    assert len(again) == 1 and set(again).isdisjoint(seen)
    assert set(run.table("regions", "organs")["case"]) == {*again, *seen}


def test_label_maps_from_files_joins_and_the_wide_table(tmp_path):
    for c in (*volumes(), *volumes(first="q")):
        nib.save(nib.Nifti1Image((c.truth.numpy() + 4).astype(np.uint8), AFFINE), tmp_path / f"seg-{c.id}.nii.gz")
    (tmp_path / "names.json").write_text('{"5": "liver", "6": "spleen"}')
    asked = {
        "methods": ["saliency"], "cases": ["test", "others"], "most": 1, "wide": True,
        "regions": ["predicted", {"file": str(tmp_path / "seg-{case}.nii.gz"), "names": str(tmp_path / "names.json"),
                                  "of": "atlas"}],
        "join": {"both": ["liver", "spleen"], "chest": ["heart", "lung"]},
    }  # fmt: skip
    also = {"others": {"dataset": "volumes_to_aggregate", "options": {"first": "q"}}}
    run = done(tmp_path, aggregate=asked, also=also)
    table = run.table("regions", "organs")
    assert sorted(c[0] for c in table["case"].unique()) == ["p", "q"]
    assert set(table[table["of"] == "atlas"]["region"]) == {"*", "liver", "spleen", "both"}
    assert set(table[table["of"] == "predicted"]["region"]) == {"*", *CLASSES, "chest"}
    wide = pd.read_csv(run.folder / "aggregate" / "organs" / "wide-saliency-predicted.csv")
    assert wide.shape == (2, 1 + 4 * (2 * 4 + 2) + 2 * 4)
    one = table[(table["of"] == "predicted") & (table["target"] == "heart") & (table["region"] == "lung")]
    mass = one[one["measure"] == "mass"].set_index("case")["value"]
    np.testing.assert_allclose(wide["heart_explanation_in_lung_mass"], mass[wide["patient"]])


def test_kept_maps_go_into_the_run_and_the_old_section_stays_beside(tmp_path):
    run = done(
        tmp_path, explain={"methods": ["saliency"], "targets": ["lung"]}, regions=["organs"],
        aggregate={"methods": ["input_x_gradient"], "keep": ["heart"], "regions": ["truth"]},
        evaluate={"checks": "cheap", "findings": False},
    )  # fmt: skip
    for case in run.cases("organs"):
        stored = {(a.method, a.target["index"]): a for a in run.attributions("organs", case)}
        assert set(stored) == {("saliency", 2), ("input_x_gradient", 1)}
        assert stored["input_x_gradient", 1].checks["finite"].status == "pass"
    table = run.table("regions", "organs")
    old, new = table[table["of"].isna()], table[table["of"].notna()]
    assert set(old["method"]) == {"saliency"} and set(new["method"]) == {"input_x_gradient"}
    assert set(new["of"]) == {"truth"}
    shown = region_tables(run, "organs", ["saliency", "input_x_gradient"])
    assert [r["method"] for r in shown["rows"]] == ["saliency"]


def test_kept_maps_without_a_section_explain(tmp_path):
    run = done(tmp_path, aggregate={"methods": ["saliency"], "keep": ["heart"], "most": 1})
    [case] = run.cases("organs")
    [a] = run.attributions("organs", case)
    assert a.target["index"] == 1 and a.maps["ct"].shape == (1, *SHAPE)
    assert run.prediction("organs", case).shape == SHAPE
    assert "evidence for each class" in build_report(run.folder).read_text()


def test_a_case_that_fails_is_told_and_the_rest_goes_on(tmp_path):
    far = AFFINE.copy()
    far[0, 3] = 5000
    for c, affine in zip(volumes(), (AFFINE, far)):
        nib.save(nib.Nifti1Image(c.truth.numpy().astype(np.uint8), affine), tmp_path / f"{c.id}.nii")
    asked = {"methods": ["saliency"], "regions": [{"file": str(tmp_path / "{case}.nii"), "of": "organs"}]}
    run = done(tmp_path, aggregate=asked)
    [(_, where, item, error)] = failures(run)
    assert (where, item) == ("aggregate", "p1") and "do not overlap the image" in error
    assert run.table("regions", "organs")["case"].unique().tolist() == ["p0"]


@pytest.mark.parametrize(("more", "words"), [
    ({"aggregate": {"targets": ["hart"]}}, "did you mean 'heart'"),
    ({"aggregate": {"keep": ["hart"]}}, "'aggregate.keep': unknown class 'hart'"),
    ({"aggregate": {"method": ["saliency"]}}, "did you mean 'methods'"),
    ({"aggregate": {"measures": "signed", "wide": True}}, "leave 'keep' and 'wide' out"),
    ({"aggregate": {"regions": [{"file": "{patient}.nii"}]}}, "are what can be filled in"),
    ({"aggregate": {"methods": []}}, "methods"),
    ({"analysis": ["outliers"], "aggregate": None}, "wants maps, and there is no 'explain' section"),
])  # fmt: skip
def test_a_wrong_section_is_refused_before_anything_runs(tmp_path, more, words):
    with pytest.raises(UsageError, match=words):
        load_recipe(recipe(tmp_path, **more))


@pytest.mark.parametrize(("more", "error", "words"), [
    ({"aggregate": {"methods": ["salienc"]}}, UsageError, "did you mean 'saliency'"),
    ({"aggregate": {"methods": ["saliency", {"saliency": {"keep_sign": True}}]}}, UsageError, "'saliency' twice"),
    ({"analysis": ["segmentation_quality"]}, UsageError, "wants maps, and there is no 'explain' section"),
    ({"aggregate": {"cases": "tset"}}, UsageError, "no cases called 'tset'"),
])  # fmt: skip
def test_names_are_looked_up(tmp_path, more, error, words):
    with pytest.raises(error, match=words):
        done(tmp_path, **more)

