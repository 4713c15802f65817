"""Thresholds, the reliability diagram and the table of many classes on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import answer_runs
from pellucid.report.answers import _drawn, answer_panels
from pellucid.report.html import render
from pellucid.report.numbers import number
from pellucid.report.reliability import Bins, reliability_diagram
from pellucid.report.tables import performance_tables
from pellucid.study.store import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return answer_runs.run(tmp_path_factory.mktemp("answers") / "run", labels=True)


def test_the_page_says_which_class_has_no_threshold_and_why(run: Run) -> None:
    page = render(run)
    assert "none for rare: no positive cases in validation." in page
    panel = answer_panels(run, "labels")[0]
    table = run.table("thresholds", "labels")
    assert [r["cells"][0]["text"] for r in panel["table"]["rows"]] == [number(v) for v in table["threshold"]]
    assert panel["table"]["rows"][2]["cells"][2]["text"] == f"0 of {int(table['n'][2])}"
    assert page.count("Reliability diagram.") == 1


def test_the_diagram_and_its_numbers_are_those_of_the_tables(run: Run) -> None:
    panel = answer_panels(run, "labels")[1]
    found = run.table("calibration", "labels")
    used = found["temperature"].max()
    assert found[found["metric"] == "temperature"]["value"].iloc[0] == used
    assert f"with temperature {number(used)}" in panel["line"]
    curve = run.table("reliability", "labels").query("part == 'test' and temperature > 1 and `class` == 'nodule'")
    said = ", ".join(f"{number(c)} is so in {number(o)}" for c, o in zip(curve["confidence"], curve["observed"]))
    assert f"nodule (test): {said}" in panel["picture"]["alt"]
    head, rows = panel["table"]["head"], panel["table"]["rows"]
    assert head[1:3] == ["test, as trained", f"test, with temperature {number(used)}"]
    mine = found.query("part == 'test' and temperature == 1 and metric == 'brier' and `class` == 'effusion'")
    (row,) = [r for r in rows if r["name"] == "Brier score, effusion"]
    assert row["cells"][0]["text"] == number(mine["value"].iloc[0])


def test_of_many_labels_those_with_most_positive_cases_are_drawn(run: Run) -> None:
    few = run.table("reliability", "labels").query("part == 'test'")
    many = pd.concat([few] + [few[few["class"] == "nodule"].assign(**{"class": f"extra {k}"}) for k in range(5)])
    drawn, left = _drawn(many)
    assert left == ["effusion", "rare"]
    assert drawn == ["nodule", *(f"extra {k}" for k in range(5))]
    assert _drawn(few) == (["nodule", "effusion", "rare"], [])


def test_a_temperature_that_was_not_taken_is_told_with_its_reason(run: Run, tmp_path) -> None:
    folder = tmp_path / "run"
    kept = Run.create(folder, {k: v for k, v in run.info.items() if k != "format"})
    table = run.table("calibration", "labels").query("temperature == 1 or metric == 'temperature'")
    told = table["metric"] == "temperature"
    table = table.assign(temperature=1.0, reason=np.where(told, "kept at 1: no validation case is wrong", ""))
    kept.put_table("calibration", "labels", table)
    kept.put_table("reliability", "labels", run.table("reliability", "labels").query("temperature == 1"))
    kept.put_table("predictions", "labels", run.table("predictions", "labels"))
    (panel,) = answer_panels(kept, "labels")
    assert panel["notes"][0] == "Temperature kept at 1: no validation case is wrong."
    assert "with temperature" not in panel["line"]


def test_many_classes_go_down_the_page_and_measures_across(run: Run) -> None:
    test, val = performance_tables(run, "labels")
    assert (test["part"], val["part"], test["corner"]) == ("test", "val", "class")
    table = run.table("performance", "labels").query("part == 'test'").set_index(["metric", "class"])
    assert [r["name"] for r in test["rows"]] == ["over all", "nodule", "effusion", "rare"]
    column = test["strata"].index("balanced accuracy")
    assert test["rows"][0]["cells"][column]["text"] == number(table.loc[("balanced_accuracy", "macro"), "value"])
    assert test["rows"][2]["cells"][column]["text"] == number(table.loc[("balanced_accuracy", "effusion"), "value"])
    assert "the class has no threshold" in (test["rows"][3]["note"], test["rows"][3]["cells"][column]["why"])


def test_strata_of_many_classes_keep_a_table_of_their_means(run: Run, tmp_path) -> None:
    kept = Run.create(tmp_path / "run", {k: v for k, v in run.info.items() if k != "format"})
    table = run.table("performance", "labels")
    kept.put_table("performance", "labels", pd.concat([table, table.assign(stratum="view=AP")]))
    found = performance_tables(kept, "labels")
    assert [(t["part"], t["corner"]) for t in found] == [(p, c) for p in ("test", "val") for c in ("class", "level")]
    assert [r["name"] for r in found[1]["rows"]] == ["all cases", "view: AP"]
    mean = table.query("part == 'test' and metric == 'f1' and `class` == 'macro'").iloc[0]
    for row in found[1]["rows"]:
        cell = row["cells"][found[1]["strata"].index("f1")]
        assert cell["text"] == number(mean["value"])
        assert mean["reason"]
        assert sorted([row["note"], cell["why"]]) in (sorted(["", mean["reason"]]), sorted([row["note"], mean["reason"]]))


def test_the_diagram_has_its_points_and_counts_and_takes_any_name() -> None:
    x, y = np.array([0.2, 0.8]), np.array([0.1, 0.9])
    nothing = np.full(2, np.nan)
    curves = [Bins("as trained", x, y, nothing, nothing, last=False), Bins("$x^{", x, y, y - 0.1, y + 0.05)]
    figure = reliability_diagram({"a $b_{": (curves, [0.1, 0.2, 0.9])} | {str(k): (curves, [0.5]) for k in range(3)})
    upper, lower = figure.axes[0], next(a for a in figure.axes if a.get_ylabel() == "cases")
    assert [line.get_label() for line in upper.lines] == ["true probabilities", "as trained", "$x^{"]
    assert upper.lines[2].get_ydata().tolist() == [0.1, 0.9]
    assert sum(p.get_height() for p in lower.patches) == 3
    figure.canvas.draw()
