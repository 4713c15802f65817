"""What ``pellucid evaluate`` prints and gives as JSON; what is known of each explained case."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.cohort.aggregate import aggregated
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.ranking import ranking
from pellucid.study.comparison import comparison, notes, print_comparison
from pellucid.study.stages.compare import detectors, with_meta
from pellucid.study.stages.facts import answer, region_size
from pellucid.study.store import Run


def scores(n: int = 12, gains=(("good", 0.3), ("poor", -0.3), ("random", 0.0), ("edge", 0.0))) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for metric, sign in (("deletion_auc", -1), ("insertion_auc", 1), ("pointing_game", 1), ("gini", 1)):
        case = rng.normal(0.5, 0.2, n)
        for method, gain in gains:
            values = case + sign * gain * (metric != "gini") + (metric == "gini") * (method == "edge") + rng.normal(0, 0.01, n)
            rows += [
                {"case": f"c{i}", "group": f"g{i}", "method": method, "metric": metric, "value": v}
                for i, v in enumerate(values)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def run_with(folder: Path, table: pd.DataFrame) -> Run:
    run = Run.create(folder, {"recipe": {"tasks": [{"name": "t"}]}, "recipe_hash": "0"})
    if len(table):
        run.put_table("comparison", "t", compare(table))
        run.put_table("ranking", "t", ranking(table))
        run.put_table("aggregated", "t", aggregated(table))
    return run


def printed(run: Run) -> str:
    text = io.StringIO()
    print_comparison(run, Console(file=text))
    return text.getvalue()


def test_prints_scores_with_intervals_places_and_what_beats_chance(tmp_path: Path) -> None:
    table = scores()
    text = printed(run_with(tmp_path / "r", table))
    lines = text.splitlines()
    means = compare(table).set_index(["metric", "method"])
    good = next(line for line in lines if line.startswith("good"))
    row = means.loc[("insertion_auc", "good")]
    assert f"{row['mean']:.3f}+ [{row['low']:.3f}, {row['high']:.3f}]" in good
    assert next(line for line in lines if line.startswith("poor")).count("−") == 2
    assert "deletion_auc ↓" in text and "insertion_auc ↑" in text
    assert "insertion_auc: better than random: good; worse: poor" in lines
    assert any(line.startswith("good") and "1" in line.split() for line in lines[lines.index("") + 1 :])
    assert "faithfulness (2)" in text and "all (4)" in text
    assert "Friedman" in text and max(map(len, lines)) < 400


def test_a_control_that_leads_is_remarked_upon(tmp_path: Path) -> None:
    only = scores()
    only = only[only["metric"].isin(["gini", "pointing_game"])]
    only.loc[only["metric"] == "pointing_game", "value"] = 0.0
    assert "first over all questions: edge; stability and complexity can be won" in printed(run_with(tmp_path / "r", only))


def test_narrow_terminals_get_fewer_columns_not_cut_ones(tmp_path: Path) -> None:
    run, text = run_with(tmp_path / "r", scores()), io.StringIO()
    print_comparison(run, Console(file=text, width=60, force_terminal=True, color_system=None))
    assert "…" not in text.getvalue() and "insertion_auc ↑" in text.getvalue()


def test_one_patient_and_nothing_at_all(tmp_path: Path) -> None:
    text = printed(run_with(tmp_path / "one", scores(1)))
    assert "one patient only: no interval" in text and "Friedman" not in text and "[" not in text.split("\n")[3]
    assert "nothing was compared" in printed(run_with(tmp_path / "none", scores().iloc[:0]))
    alone = printed(run_with(tmp_path / "alone", scores(gains=(("good", 0.0),))))
    assert "good" in alone and "better than random" not in alone


def test_json_has_every_table_and_no_nan(tmp_path: Path) -> None:
    run = run_with(tmp_path / "r", scores(1))
    found = json.loads(json.dumps(comparison(run), allow_nan=False))["t"]
    assert set(found) >= {"comparison", "ranking", "aggregated", "pareto", "agreement", "strata", "detector", "explained"}
    assert found["ranking"][0]["p"] is None and found["ranking"][0]["control"] in (True, False) and found["pareto"] == []
    assert len(found["comparison"]) == 16 and "task" not in found["comparison"][0]


# -- facts -------------------------------------------------------------------------------------------------------


def predictor(task: str, classes: int = 3, activation: str | None = None) -> Predictor:
    more = {} if activation is None else {"activation": activation}
    return Predictor(torch.nn.Identity().eval(), inputs=["x"], task=task, classes=[f"k{i}" for i in range(classes)], **more)


def test_answer_of_a_classification() -> None:
    p, output = predictor("classification"), torch.tensor([0.2, 0.7, 0.1])
    found = answer(p, output, 1)
    assert (found["predicted"], found["truth"], found["correct"]) == ("1", "1", True) and found["confidence"] == pytest.approx(0.7)
    assert answer(p, output, 0)["correct"] is False
    unknown = answer(p, output, None)
    assert unknown["correct"] is None and unknown["truth"] is None and unknown["confidence"] == pytest.approx(0.7)
    assert answer(p, None, 1)["confidence"] != answer(p, None, 1)["confidence"]


def test_answer_with_several_labels_is_about_the_surest_that_is_said_to_be_there() -> None:
    p = predictor("classification", 3, "sigmoid")
    found = answer(p, torch.tensor([0.6, 0.9, 0.3]), torch.tensor([0, 1, 1]))
    assert (found["predicted"], found["truth"], found["correct"]) == ("1|1|0", "0|1|1", True)
    assert found["confidence"] == pytest.approx(0.9)
    assert answer(p, torch.tensor([0.6, 0.9, 0.3]), torch.tensor([1, 0, 0]))["correct"] is False
    none = answer(p, torch.tensor([0.1, 0.4, 0.3]), torch.tensor([0, 0, 1]))
    assert none["correct"] is True and none["confidence"] == pytest.approx(0.6)  # 1 is said to be absent, and is
    one = answer(predictor("classification", 1, "sigmoid"), torch.tensor([0.2]), 0)
    assert one["correct"] is True and one["confidence"] == pytest.approx(0.8) and one["predicted"] == "0"


def test_answer_of_a_regression_and_a_segmentation_is_an_error_not_right_or_wrong() -> None:
    found = answer(predictor("regression", 0), torch.tensor([2.5]), 2.0)
    assert found["error"] == pytest.approx(0.5) and found["correct"] is None and found["predicted"] == "2.5"
    label, truth = torch.zeros(4, 4, dtype=torch.int64), torch.zeros(4, 4, dtype=torch.int64)
    label[0], truth[:2] = 1, 1
    found = answer(predictor("segmentation", 1), label, truth)
    assert found["error"] == pytest.approx(1 - 2 * 4 / (4 + 8)) and found["correct"] is None and found["truth"] is None
    label[3], truth[3] = 2, 2
    assert answer(predictor("segmentation"), label, truth)["error"] == pytest.approx(1 - (2 / 3 + 1) / 2)
    assert answer(predictor("segmentation"), label * 0, truth * 0)["error"] == 0


def test_region_size_in_millimetres_or_pixels() -> None:
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:2, :3] = True
    case = Case(id="a", inputs={"x": torch.zeros(1, 8, 8)}, regions={"lesion": mask}, spacing=(0.5, 2.0))
    assert region_size(case, "lesion", physical=True) == (6.0, "mm²") and region_size(case, "lesion", physical=False) == (6.0, "pixels")
    half = case.replace(spacing=(0.5, 0.5))
    assert region_size(half, "lesion", physical=True) == (1.5, "mm²")
    volume = Case(id="b", inputs={"x": torch.zeros(1, 4, 4, 4)}, truth=torch.ones(4, 4, 4, dtype=torch.int64), spacing=(1.0, 1.0, 2.0))
    assert region_size(volume, "truth", physical=True) == (128.0, "mm³")
    size, unit = region_size(volume, "lesion", physical=True)
    assert np.isnan(size) and unit == ""


def test_detectors_only_where_there_is_right_and_wrong() -> None:
    table = scores()
    facts = pd.DataFrame({"case": [f"c{i}" for i in range(12)], "correct": pd.array([True] * 8 + [False] * 3 + [None], dtype="boolean"), "confidence": 0.9})
    found = detectors(table, facts, 0)
    assert set(found.detector["metric"]) == {"pointing_game"} and set(found.detector["n"]) == {11} and set(found.detector["wrong"]) == {3}
    unknown = facts.assign(correct=pd.array([None] * 12, dtype="boolean"))
    assert not len(detectors(table, unknown, 0).detector) and "auroc" in detectors(table, unknown, 0).detector


def test_findings_above_their_thresholds_are_predictions_of_their_own_and_certainty_is_of_the_unmasked_map() -> None:
    rows = [
        {"case": f"c{i}", "group": f"g{i}", "target_index": t, "method": m, "metric": "segu", "value": i * (1 if t else -1)}
        for i in range(6) for t in (0, 1) for m in ("cam", "segx(cam)")
    ]  # fmt: skip
    said = pd.DataFrame(
        [("c0", 0, 0.9, "TP"), ("c1", 0, 0.6, "FP"), ("c1", 1, 0.7, "TP"), ("c2", 0, 0.1, "TN"), ("c3", 1, 0.2, "FN"), ("c4", 1, 0.8, None)],
        columns=["case", "target_index", "probability", "outcome"],
    ).assign(rule="threshold", threshold=0.5)  # fmt: skip
    facts = pd.DataFrame({"case": ["c0"], "correct": pd.array([True], dtype="boolean"), "confidence": 0.9})
    found = detectors(pd.DataFrame(rows), facts, 0, said, ["segx(cam)"]).detector
    assert found["method"].tolist() == ["cam"] and found["n"].tolist() == [3] and found["wrong"].tolist() == [1]
    assert found["auroc"].tolist() == [1.0] and found["confidence"].tolist() == [1.0]  # of c0's, c1's two: 0, −1, 1


def test_facts_take_the_columns_of_the_cases() -> None:
    facts = pd.DataFrame({"case": ["a", "b"], "confidence": [0.5, 0.6]})
    data = pd.DataFrame({"case": ["b", "a", "c"], "part": "test", "meta_sex": ["f", "m", "f"]})
    assert with_meta(facts, data)["meta_sex"].tolist() == ["m", "f"]
    assert with_meta(facts, data[["case", "part"]]) is facts


def test_a_note_names_the_metrics_and_the_methods_that_it_is_about():
    nothing = "undefined in every case"
    rows = [
        ("dice", "a", nothing), ("dice", "b", ""), ("msfi", "a", nothing), ("msfi", "b", nothing), ("iou", "a", nothing),
        ("iou", "b", None),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["metric", "method", "note"])
    assert list(notes(table)) == [f"{nothing} (a): dice, iou", f"{nothing} (all methods): msfi"]


def test_few_patients_tell_nothing_from_chance(tmp_path: Path) -> None:
    text = printed(run_with(tmp_path, scores(n=4)))
    assert "better than random:" not in text
    assert "worse:" not in text
    assert "+ [" not in text
    assert "− [" not in text
    assert "4 patients: too few to tell from chance" in text
