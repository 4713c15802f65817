"""Curves, confusion and the bias table on the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pellucid.core.predictor import Predictor
from pellucid.report.bias import bias_panels
from pellucid.report.confusion import confusion_panels, matrix
from pellucid.report.curve_figure import Curve, curve_pairs
from pellucid.report.model_curves import curve_panels
from pellucid.report.numbers import interval, number
from pellucid.study.stages.measures import classifier_tables
from pellucid.study.store import Run
from pellucid.train import performance
from report import run_folder

TASK, NAMES = "classification", [f"finding {k}" for k in range(7)] + ["rare"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = run_folder.build(tmp_path_factory.mktemp("measures") / "run", TASK)
    rng = np.random.default_rng(0)
    y = (rng.random((90, 8)) < 0.4).astype(int)
    y[:, 7] = np.arange(90) < 2
    view = ["AP" if i % 2 else "PA" for i in range(90)]
    z = rng.normal(size=(90, 8)) + 2 * y - 1
    z[np.array(view) == "AP", 0] += 4  # says it of all
    truth, output = torch.tensor(y), torch.tensor(z)
    p = Predictor(torch.nn.Identity(), inputs=["x"], task=TASK, activation="sigmoid", classes=NAMES, thresholds=[0.5] * 8)
    groups = [f"p{i}" for i in range(90)]
    tables = classifier_tables(p, truth, output, {"view": view, "site": ["a"] * 88 + ["b"] * 2}, groups=groups, min_positives=5, seed=0)
    tables["performance"] = performance(truth, output, task=TASK, activation="sigmoid", classes=NAMES, min_positives=5, n_boot=50)
    for name, table in tables.items():
        found.put_table(name, TASK, table.assign(part="test"))
    return found


def test_curves_of_many_classes_are_several_pictures_and_the_rare_one_is_named(run: Run) -> None:
    first, second = curve_panels(run, TASK)
    assert second["title"].startswith("ROC and precision-recall curves, finding")
    assert "No curve: rare (2 positives, fewer than 5)." in first["notes"]
    row = run.table("performance", TASK).query("metric == 'auroc' and `class` == 'finding 1'").iloc[0]
    said = f"AUROC {number(row['value'])} {interval(row['low'], row['high'])}"
    assert said in first["picture"]["alt"] + second["picture"]["alt"]


def test_the_picture_has_band_answer_and_chance() -> None:
    x = np.linspace(0, 1, 5)
    curve = Curve(x, x, x - 0.1, x + 0.1, "$x_{", (0.2, 0.3), 0.4)
    figure = curve_pairs([("a $b_{", curve, curve)] * 4)
    upper, lower = figure.axes[0], figure.axes[3]
    assert [line.get_xydata().tolist() for line in upper.lines][-1] == [[0.2, 0.3]]
    assert lower.lines[1].get_ydata()[0] == 0.4
    assert len(upper.collections) == 1
    assert sum(a.get_visible() for a in figure.axes) == 8
    assert [len(a.lines) for a in curve_pairs([("a", curve, curve)]).axes] == [4, 3]  # beside each other


def test_confusion_of_labels_is_a_table_and_of_classes_a_matrix(run: Run, tmp_path: Path) -> None:
    (panel,) = confusion_panels(run, TASK)
    cells = run.table("confusion", TASK)
    own = cells[cells["class"] == "finding 2"].set_index(["truth", "said"])
    (row,) = [r for r in panel["table"]["rows"] if r["name"] == "finding 2"]
    assert [c["text"] for c in row["cells"][:4]] == [number(int(own.loc[k, "count"])) for k in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))]
    assert row["cells"][4]["text"] == number(own.loc[("yes", "yes"), "share"])
    (rare,) = [r for r in panel["table"]["rows"] if r["name"] == "rare"]
    assert rare["cells"][0]["text"] in {"0", "1", "2"}
    assert "2 cases of 'yes', fewer than 5" in rare["cells"][4]["why"]
    other = run_folder.build(tmp_path / "run", TASK, bare=True)
    p = Predictor(torch.nn.Identity(), inputs=["x"], task=TASK, classes=["a", "b", "$c_{"])
    y = torch.arange(30) % 3
    z = torch.nn.functional.one_hot(torch.where(torch.arange(30) < 3, (y + 1) % 3, y), 3).double()
    tables = classifier_tables(p, y, z, {}, groups=[str(i) for i in range(30)], min_positives=5, seed=0)
    other.put_table("confusion", TASK, tables["confusion"].assign(part="test"))
    (panel,) = confusion_panels(other, TASK)
    assert panel["line"] == "test: most often a is called b (1 case)."
    assert "a called a 9" in panel["picture"]["alt"]
    assert panel["table"]["rows"][0]["cells"][0]["small"].startswith("0.900 [")
    figure = matrix(["a"], {("a", "a"): {"count": 3.0}})
    assert "3" in [t.get_text() for t in figure.axes[0].texts]


def test_the_bias_panel_says_what_differs_and_what_could_not_be_compared(run: Run) -> None:
    view, site = bias_panels(run, TASK)
    assert "comparisons differ after Holm’s correction." in view["line"]
    assert any(p.startswith("specificity of finding 0 ") and "p < 0.001 after Holm" in p for p in view["points"])
    assert any("rare: AP, PA" in n for n in view["notes"])
    table = run.table("bias", TASK).set_index(["stratum", "level", "class", "metric"])
    assert f"finding 0 {number(table.loc[('view', 'AP', 'finding 0', 'specificity'), 'value'])}" in view["picture"]["alt"]
    assert "rare" not in view["picture"]["alt"]
    assert site["line"].startswith("not compared: fewer than two levels with 5 patients")
    assert site["picture"] is None
