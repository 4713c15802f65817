"""Thresholds and temperature in a run: chosen on validation, kept with the model and in tables, read by what follows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import answer_runs
import pages
from pellucid.core.predictor import Predictor
from pellucid.nets import load_predictor
from pellucid.study.stages.facts import answer
from pellucid.study.store import Run


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return answer_runs.run(tmp_path_factory.mktemp("labels") / "run", labels=True)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return answer_runs.run(tmp_path_factory.mktemp("classes") / "run")


def test_the_columns_are_those_of_the_page(labels: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(row["table"])[0]: set(pages.code(row["columns"])) for row in rows}
    for name in ("thresholds", "calibration", "reliability"):
        assert {"task"} | said[f"{name}.parquet"] == set(labels.table(name, "labels").columns), name


def test_a_label_without_positives_has_no_threshold_anywhere(labels: Run) -> None:
    table = labels.table("thresholds", "labels").set_index("class")
    assert table["threshold"].isna().to_dict() == {"nodule": False, "effusion": False, "rare": True}
    assert table.loc["rare", "reason"] == "no positive cases in validation"
    assert table.loc["rare", "positives"] == 0
    written = json.loads((labels.folder / "model/labels/model.json").read_text())
    assert written["predictor"]["thresholds"][2] is None
    assert written["info"]["thresholds"][2]["reason"] == "no positive cases in validation"
    predictor = load_predictor(labels.folder / "model/labels")
    assert predictor.without_threshold == ("rare",)
    predicted = labels.table("predictions", "labels")["predicted"].str.split("|", expand=True)
    assert set(predicted[2]) == {"0"}
    assert set(predicted[0]) == {"0", "1"}
    performance = labels.table("performance", "labels").set_index(["part", "metric", "class"])
    assert performance.loc[("test", "f1", "rare"), "reason"] == "the class has no threshold"
    assert performance.loc[("test", "f1", "macro"), "value"] > 0


def test_the_tables_are_of_the_probabilities_that_are_kept(classes: Run) -> None:
    predictor = load_predictor(classes.folder / "model/classes")
    found = classes.table("calibration", "classes")
    (fit,) = found[found["metric"] == "temperature"].to_dict("records")
    assert predictor.temperature == fit["value"] == fit["temperature"] > 1
    assert fit["low"] < fit["value"] < fit["high"]
    assert fit["part"] == "val"
    assert set(zip(found["part"], found["temperature"])) == {
        (p, t) for p in ("val", "test") for t in (1.0, predictor.temperature)
    }  # fmt: skip
    nll = found[found["metric"] == "nll"].set_index(["part", "temperature"])["value"]
    assert nll["val", predictor.temperature] < nll["val", 1.0]
    # From the table of predictions, which is of calibrated probabilities, once more.
    p = classes.table("predictions", "classes").query("part == 'test'")
    names = list(answer_runs.NAMES)
    values = p.pivot(index="case", columns="class", values="value")[names]
    truth = p.groupby("case")["truth"].first().loc[values.index].astype(int)
    again = -np.log(values.to_numpy()[np.arange(len(values)), truth]).mean()
    assert nll["test", predictor.temperature] == pytest.approx(again, rel=1e-5)
    curve = classes.table("reliability", "classes").query("part == 'test' and temperature > 1")
    assert curve["count"].sum() == len(values)
    assert (curve["confidence"] * curve["count"]).sum() / len(values) == pytest.approx(values.max(axis=1).mean())


def test_without_it_the_weights_are_the_same_and_nothing_is_divided(classes: Run, tmp_path) -> None:
    plain = answer_runs.run(tmp_path / "run", calibrate=False)
    a, b = (load_file(r.folder / "model/classes/weights.safetensors") for r in (plain, classes))
    assert all(torch.equal(a[k], b[k]) for k in b)
    assert load_predictor(plain.folder / "model/classes").temperature == 1
    found = plain.table("calibration", "classes")
    assert set(found["temperature"]) == {1.0}
    assert "temperature" not in set(found["metric"])
    same = classes.table("calibration", "classes").query("temperature == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(found[same.columns], same)
    one, other = (r.table("predictions", "classes") for r in (plain, classes))
    assert one["predicted"].tolist() == other["predicted"].tolist()
    assert not np.allclose(one["value"], other["value"])


def test_with_few_patients_it_stays_1_and_the_table_says_why(tmp_path) -> None:
    run = answer_runs.run(tmp_path / "run", patients=40, epochs=2)
    (fit,) = run.table("calibration", "classes").query("metric == 'temperature'").to_dict("records")
    assert fit["temperature"] == 1
    assert fit["reason"] == "kept at 1: 14 patients in validation, fewer than 20"
    assert load_predictor(run.folder / "model/classes").temperature == 1


def test_right_and_wrong_are_not_told_of_a_class_without_a_threshold() -> None:
    given = {"inputs": ["x"], "task": "classification", "activation": "sigmoid"}
    p = Predictor(torch.nn.Identity(), classes=["a", "b"], thresholds=[0.5, None], **given)
    # The label with a threshold speaks, though the other has the higher probability.
    found = answer(p, torch.tensor([0.2, 0.9]), torch.tensor([0, 1]))
    assert (found["predicted"], found["confidence"], found["correct"]) == ("0|0", pytest.approx(0.8), True)
    none = Predictor(torch.nn.Identity(), classes=["a", "b"], thresholds=[None, None], **given)
    found = answer(none, torch.tensor([0.2, 0.9]), torch.tensor([0, 1]))
    assert (found["predicted"], found["correct"]) == ("0|0", None)
