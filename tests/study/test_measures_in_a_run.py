"""Curves, confusion and the bias table in a run: of which cases, with which columns, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

import answer_runs
import pages
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

NAMES = answer_runs.NAMES


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("measures") / "run"
    return answer_runs.run(folder, labels=True, patients=60, epochs=2, strata=["view", "age", "site", "vieww"])


def test_the_columns_are_those_of_the_page(labels: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    kinds = " (`curve`, `answer` or `none`)"
    said = {pages.code(row["table"])[0]: set(pages.code(row["columns"].replace(kinds, ""))) for row in rows}
    for name in ("roc", "pr", "confusion", "bias"):
        table = labels.table(name, "labels")
        assert {"task"} | said[f"{name}.parquet"] == set(table.columns), name
        assert set(table["part"]) == {"val", "test"}, name


def test_they_are_of_the_predictions_that_are_kept(labels: Run) -> None:
    table = labels.table("predictions", "labels").query("part == 'test'")
    of = table[table["class"] == "nodule"].set_index("case")
    truth = of["truth"].str.split("|").str[0].astype(int)
    limit = labels.table("thresholds", "labels").set_index("class").loc["nodule", "threshold"]
    cells = labels.table("confusion", "labels").query("part == 'test' and `class` == 'nodule'")
    wanted = sk.confusion_matrix(truth, of["value"] > limit)
    assert cells["count"].to_numpy().reshape(2, 2).tolist() == wanted.tolist()
    roc = labels.table("roc", "labels").query("part == 'test' and `class` == 'nodule'")
    (mark,) = roc[roc["point"] == "answer"].to_dict("records")
    assert mark["threshold"] == pytest.approx(limit)
    assert mark["tpr"] == pytest.approx(wanted[1, 1] / wanted[1].sum())
    curve = roc[roc["point"] == "curve"]
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(sk.roc_auc_score(truth, of["value"]), abs=0.01)


def test_a_finding_with_too_few_cases_has_no_metric_in_any_table(labels: Run) -> None:
    said = "0 positives, fewer than 5"
    performance = labels.table("performance", "labels").query("part == 'test' and stratum == 'all'")
    rare = performance[performance["class"] == "rare"].set_index("metric")
    assert rare["value"].isna().all()
    assert rare.loc["auroc", "reason"] == said
    assert "mean of 2 of 3: without rare" in performance.query("metric == 'auroc' and `class` == 'macro'")["reason"].iloc[0]
    for name in ("roc", "pr"):
        own = labels.table(name, "labels").query("part == 'test' and `class` == 'rare'")
        assert own[["point", "reason"]].values.tolist() == [["none", said]]
    bias = labels.table("bias", "labels").query("part == 'test' and `class` == 'rare' and metric == 'auroc'")
    assert bias["value"].isna().all()
    assert set(bias["reason"]) == {said}


def test_ages_come_in_bands_and_what_cannot_be_divided_is_said(labels: Run) -> None:
    bias = labels.table("bias", "labels")
    assert set(bias["stratum"]) == {"view", "age"}
    assert set(bias.query("stratum == 'age'")["level"]) == {"under 40", "40 to 59", "60 to 79"}
    strata = set(labels.table("performance", "labels")["stratum"])
    assert strata == {"all", "view=AP", "view=PA", "age=under 40", "age=40 to 59", "age=60 to 79"}
    log = (labels.folder / "run.log").read_text()
    assert "'test' is not divided by 'site': all have the same" in log
    assert "'test' is not divided by 'vieww': no case has it" in log
    assert "view" in log.split("no case has it")[1].split("\n")[0]


def test_a_model_that_comes_trained_has_strata_too(labels: Run, tmp_path) -> None:
    """``train.strata`` needs a training; ``evaluate.strata`` does not."""
    plain = labels.info["recipe"] | {"name": "given"}
    (task,) = plain["tasks"]
    model = task["model"] | {"network": None, "options": {}, "load": str(labels.folder / "model" / "labels")}
    task = task | {"train": None, "model": model, "data": task["data"] | {"split": str(labels.folder / "splits/labels.json")}}
    with answer_runs.registered(tables_to_learn=answer_runs.tables_to_learn):
        run = run_recipe(Recipe.model_validate(plain | {"tasks": [task]}), tmp_path / "run", quiet=True)
    again = run.table("bias", "labels").query("part == 'test'").reset_index(drop=True)
    first = labels.table("bias", "labels").query("part == 'test'").reset_index(drop=True)
    assert again["value"].to_numpy() == pytest.approx(first["value"].to_numpy(), nan_ok=True)
    assert len(again) > 0
