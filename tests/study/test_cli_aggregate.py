"""``pellucid aggregate``: a run, a table, another run, a column; exit statuses, and no case named unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cohort_runs import aggregate, long_table
from pellucid.aggregate.wide import to_wide
from pellucid.cli import app
from pellucid.study.recipe import Recipe
from pellucid.study.store import Run

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Figures are made, but neither drawn nor written, which is what takes the time."""
    monkeypatch.setattr("pellucid.report.cohort.write_figure", lambda figure, base, **_: [base.with_suffix(".png")])


@pytest.fixture
def run(tmp_path) -> Path:
    work = {"name": "volume", "data": {"dataset": "synthetic_volume"},
            "model": {"network": "unet", "inputs": ["ct"], "task": "segmentation", "classes": ["heart", "spine"]}}  # fmt: skip
    recipe = Recipe.model_validate({"name": "small", "tasks": [work]})
    made = Run.create(tmp_path / "run", {"name": "small", "recipe": recipe.model_dump(mode="json"),
                                         "recipe_hash": recipe.hash(), "seed": 0})  # fmt: skip
    return aggregate(made).folder


def call(*words: object) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, ["aggregate", *(str(w) for w in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_a_run_with_a_table(run):
    status, printed, said = call(run, "--json", "--by", "sex", "--wide")
    assert status == 0
    found = json.loads(printed)["cohorts"]["volume"]
    folder = run / "figures" / "cohort" / "volume"
    assert found["folder"] == str(folder) and f"cohort: {folder}" in said
    assert found["cases"] == found["patients"] == 24
    assert found["cases_without"] == {"left lung": 1}
    change = pd.read_csv(folder / "change.csv")
    assert set(change["cohort_a"]) == {"sex F"} and set(change["cohort_b"]) == {"sex M"}
    people = Run(run).table("data")["meta_sex"].value_counts()
    assert (int(change["patients_a"].max()), int(change["patients_b"].max())) == (people["F"], people["M"])
    assert len(pd.read_csv(folder / "wide.csv")) == 24
    for path in folder.rglob("*.csv"):
        if path.name != "wide.csv":
            text = path.read_text(encoding="utf-8")
            assert "secret-patient" not in text and "p05" not in text, path.name


def test_a_table_against_another(tmp_path):
    first, second = long_table(8, odd=None), long_table(9, seed=3, odd=None, first="q")
    first.to_parquet(tmp_path / "before.parquet")
    to_wide(second).to_csv(tmp_path / "after.csv", index=False)
    status, printed, _ = call(tmp_path / "after.csv", "--against", tmp_path / "before.parquet", "--out",
                              tmp_path / "out", "--classes", "heart,spine", "--json")  # fmt: skip
    assert status == 0
    found = json.loads(printed)["cohorts"]["after"]
    assert found["change"]["from"] == "before" and found["change"]["to"] == "after"
    assert {p.name for p in (tmp_path / "out" / "boxes").iterdir()} == {"heart.csv", "spine.csv"}
    change = pd.read_csv(tmp_path / "out" / "change.csv").set_index(["target", "region"])
    means = [t[(t["target"] == "heart") & (t["region"] == "spine") & (t["measure"] == "mass")]["value"].mean()
             for t in (first, second)]  # fmt: skip
    assert change.loc[("heart", "spine"), "difference"] == pytest.approx(means[1] - means[0])


def test_a_patient_by_name_of_the_patient(run):
    status, _, _ = call(run, "--patient", "secret-patient-3", "--classes", "heart")
    assert status == 0
    folder = run / "figures" / "cohort" / "volume" / "patient"
    assert [p.name for p in folder.iterdir()] == ["p03-heart.csv"]


def test_each_method_has_its_folder(run):
    kept = Run(run)
    other = long_table(24, seed=2).assign(method="saliency")
    kept.put_table("regions", "volume", pd.concat([kept.table("regions", "volume"), other]))
    status, printed, _ = call(run, "--json", "--classes", "heart")
    assert status == 0 and set(json.loads(printed)["cohorts"]) == {"volume/smoothgrad", "volume/saliency"}
    assert (run / "figures" / "cohort" / "volume" / "saliency" / "mass.csv").is_file()
    status, printed, _ = call(run, "--json", "--method", "saliency", "--classes", "heart")
    assert set(json.loads(printed)["cohorts"]) == {"volume"}


def test_rows_of_the_stage_of_maps_stand_beside_the_aggregated_ones(run):
    kept = Run(run)
    old = long_table(24).assign(of=None, value=np.nan)
    kept.put_table("regions", "volume", pd.concat([old, kept.table("regions", "volume")]))
    status, printed, _ = call(run, "--json", "--classes", "heart")
    assert status == 0 and json.loads(printed)["cohorts"]["volume"]["own_mass"]["heart"] > 0.1  # the predicted ones


def test_a_task_that_cannot_be_drawn_is_told(run):
    kept = Run(run)
    kept.put_table("regions", "second", long_table(6).assign(measure="enrichment").drop_duplicates(
        ["case", "target", "region"]))  # fmt: skip
    status, printed, said = call(run, "--json", "--classes", "heart")
    assert status == 1
    found = json.loads(printed)
    assert set(found["cohorts"]) == {"volume"}
    assert "no measure 'mass'; it has enrichment" in found["failed"]["second"]
    assert "failed: second: region table: no measure 'mass'" in said


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--graph", "all"], 2, "--graph all: there are top and mass"),
        (["--system", "heart"], 2, "--system takes CLASS=SYSTEM"),
        (["--classes", "hart"], 2, "unknown class 'hart'; did you mean 'heart'?"),
        (["--patient", "nobody"], 2, "no case or patient 'nobody' in the region table"),
        (["--by", "sex", "--against", "."], 2, "or by a column: not both at once"),
        (["--by", "case"], 2, "column 'case' has 24 values"),
        (["--method", "lime"], 2, "no method 'lime' in the region table; it has smoothgrad"),
        (["--task", "x"], 2, "no task 'x' in the region table; it has volume"),
        (["--regions", "truth"], 2, "unknown of 'truth'"),
    ],
)  # fmt: skip
def test_wrong_calls(run, words, status, said):
    found = call(run, *words)
    assert found[0] == status and said in found[2]
    assert found[1] == ""


def test_what_is_no_table(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    status, _, said = call(tmp_path / "t.csv")
    assert status == 3 and "is no region table" in said
    assert call(tmp_path / "none.parquet")[0] == 3
    status, _, said = call(tmp_path)
    assert status == 2 and "is no run folder: it has no run.json" in said


def test_a_run_without_a_table_makes_it_first(run, monkeypatch):
    """The stage itself is tested with the recipes; here: that it is asked for, and that its exit status is kept."""
    import typer

    asked = []
    table = (run / "regions.parquet").read_bytes()
    (run / "regions.parquet").unlink()

    def stage(recipe, folder, resume, fresh, only, quiet, as_json, **_):
        asked.append((folder, only))
        (run / "regions.parquet").write_bytes(table)
        raise typer.Exit(1)  # one case failed

    monkeypatch.setattr("pellucid.cli._run", stage)
    status, _, said = call(run, "--classes", "heart")
    assert asked == [(run, ("aggregate",))] and status == 1 and "cohort: " in said
    assert call(run, "--classes", "heart")[0] == 0 and len(asked) == 1  # the table is there
    assert call(run, "--again", "--classes", "heart")[0] == 1 and len(asked) == 2


def test_a_recipe_that_asks_for_no_regions(run):
    (run / "regions.parquet").unlink()
    status, printed, said = call(run, "--json")
    assert status == 0, said
    assert "no region table: the recipe asks for no regions" in said
    assert set(json.loads(printed)["tasks"]) == {"volume"}
