"""A run in half precision compares one case with float32, and the report's limits say what came out."""

from __future__ import annotations

import pytest
import torch

from own_sets import registering
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.windows import windows
from pellucid.report.limits import limits
from pellucid.study.recipe import load_recipe
from pellucid.study.run import run_recipe
from reference.stitching import stitched

NET = """
import torch

class Segment(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = torch.nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x):
        return self.a(x)

class Classify(Segment):
    def forward(self, x):
        return self.a(x).mean((2, 3))
"""


def pictures():
    g = torch.Generator().manual_seed(0)
    return [Case(id=f"p{i}", inputs={"x": torch.rand(1, 12, 10, generator=g)}, truth=0) for i in range(2)]


own_sets = registering(pictures_in_half=pictures)


def run(folder, precision, net="Segment", task="segmentation", **section):
    (folder / "net.py").write_text(NET)
    windows = {"windows": {"roi": [8, 8]}} if task == "segmentation" else {}
    work = {
        "name": "t", "data": {"dataset": "pictures_in_half", "fractions": [0, 0, 1]},
        "model": {
            "load": str(folder / f"net.py:{net}"), "inputs": ["x"], "task": task, "classes": ["a", "b", "c"], **windows,
        },
        **section,
    }  # fmt: skip
    recipe = load_recipe({"name": "half", "precision": precision, "device": "cpu", "tasks": [work]})
    return run_recipe(recipe, folder / precision, quiet=True, only=["data", "explain"])


EXPLAIN = {"explain": {"methods": ["saliency"]}}


def test_one_case_is_compared_with_float32(tmp_path) -> None:
    made = run(tmp_path, "bf16", **EXPLAIN)
    table = made.table("precision", "t")
    assert table[["case", "precision"]].to_numpy().tolist() == [["p0", "bf16"]]
    (case, _), net = pictures(), {}
    exec(NET, net)
    model, x = net["Segment"](), case.inputs["x"][None]




    full = stitched(model, x, windows((8, 8))).detach()
    with torch.autocast("cpu", torch.bfloat16):
        half = stitched(lambda w: model(w).float(), x, windows((8, 8))).detach()
    assert table["relative_error"].item() == pytest.approx(float((half - full).norm() / full.norm()), rel=1e-3)
    p = Predictor(model, inputs=["x"], task="segmentation", classes=["a", "b", "c"])
    same = (p.labels(half) == p.labels(full)).double().mean()
    assert table["agreement"].item() == pytest.approx(float(same), abs=0.01)
    assert 1e-4 < table["relative_error"].item() < 0.02
    (said,) = [s for s in limits(made) if "float32" in s]
    assert said.startswith("t: the model ran in bf16. On one case, p0, its output was 0.00")
    assert f"{100 * float(table['agreement'].item()):.4g} % of the voxels had the same label; other cases" in said


def test_a_run_in_float32_says_nothing_of_it(tmp_path) -> None:
    made = run(tmp_path, "float32", **EXPLAIN)
    assert made.table("precision", "t").empty
    assert not [s for s in limits(made) if "float32" in s]


def test_of_a_classification_it_is_the_predicted_class(tmp_path) -> None:
    made = run(tmp_path, "bf16", "Classify", "classification", **EXPLAIN)
    assert made.table("precision", "t")["agreement"].item() == 1
    (said,) = [s for s in limits(made) if "float32" in s]
    assert "and the predicted class was the same; other cases were not compared" in said
