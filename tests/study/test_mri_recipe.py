"""The recipe of the MRI study, as it is, on drawn slices in the layout that it names: smaller, with fewer folds and epochs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console

from pellucid.data.synthetic.slices import write_slices
from pellucid.report import build_report
from pellucid.study.recipe import load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.store import Run
from reference.torchvision_nets import twin

RECIPE = Path(__file__).parents[2] / "recipes" / "myopathy-mri.yaml"
MISSING = "slices-0-0003-1"
OF = ["grad_cam", "gradient_shap", "hierarchical_occlusion"]


@dataclass(frozen=True)
class Done:
    """A run, and its folder of slices."""

    run: Run
    root: Path
    page: str


DEAR = ("stability_pearson", "parameter_randomisation")  # they make each map again, and have tests of their own


def small(root: Path, weights: Path) -> dict[str, Any]:
    """The recipe with nothing changed but root, size, folds, epochs, weights, and how much is asked of how many slices."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    (task,) = recipe["tasks"]
    task["data"]["root"] = str(root)
    task["data"]["options"]["size"] = task["model"]["options"]["size"] = 32
    task["model"]["weights"] = str(weights)
    task["cross_validation"]["folds"] = 2
    task["train"]["epochs"] = 1
    task["explain"]["most"] = 2
    task["explain"]["methods"][1]["gradient_shap"]["samples"] = 8
    asked = [m for m in task["evaluate"]["metrics"] if m not in DEAR]
    task["evaluate"] |= {"metrics": asked, "steps": 6, "checks": "cheap", "findings": False}
    return recipe


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("mri")
    root = write_slices(folder / "data", patients=10, slices=2, size=32, extent=2, seed=0)
    (root / "images" / f"{MISSING}.png").unlink()
    torch.manual_seed(0)
    torch.save(twin("resnet18").state_dict(), folder / "resnet18.pth")  # random: what it says does not matter here
    run = run_recipe(
        load_recipe(small(root, folder / "resnet18.pth")), folder / "run", quiet=True, console=Console(quiet=True),
        final={"report": lambda r: build_report(r.folder)},
    )  # fmt: skip
    return Done(run, root, (run.folder / "report.html").read_text(encoding="utf-8"))


def test_the_missing_slice_is_told_and_the_rest_went_on(done: Done) -> None:
    assert [(stage, item) for _, stage, item, _ in failures(done.run)] == [("data", MISSING)]
    assert MISSING in done.page
    data = done.run.table("data", "myopathy")
    assert len(data) == 19
    assert MISSING not in set(data["case"])


def test_no_patient_is_on_two_sides_of_the_split_or_of_a_fold(done: Done) -> None:
    data = done.run.table("data", "myopathy")
    assert data.groupby("group")["part"].nunique().max() == 1
    folds = done.run.table("fold_predictions", "myopathy")
    group = dict(zip(data["case"], data["group"]))
    assert folds.assign(group=folds["case"].map(group)).groupby("group")["fold"].nunique().max() == 1
    assert set(folds["case"]) == set(data.loc[data["part"] != "test", "case"])


def test_results_json_has_the_keys_of_the_study(done: Done) -> None:
    (path,) = done.run.folder.rglob("results.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert {"title", "learning rate", "momentum", "patience", "delta", "final", "variance"} <= set(results)
    assert (results["learning rate"], results["momentum"]) == (0.001, 0.9)
    assert {"accuracy", "precision", "recall", "F1"} <= set(results["final"])


def test_maps_their_ensemble_and_its_votes(done: Done) -> None:
    run = done.run
    cases = run.cases("myopathy")
    assert cases
    for case in cases:
        maps = {a.method: a for a in run.attributions("myopathy", case)}
        assert set(maps) == {*OF, "random", "edge", "ensemble_threshold"}
        whole = maps["ensemble_threshold"]
        assert set(whole.refinement["of"]) <= set(OF)
        assert int(whole.refinement["votes"]["image"].max()) <= 3


def test_scores_with_and_without_a_lesion(done: Done) -> None:
    scores = done.run.table("scores", "myopathy")
    assert {"deletion_auc", "insertion_auc", "pointing_game", "mass_accuracy", "dice"} <= set(scores["metric"])
    truth = pd.read_csv(done.root / "data.csv", sep=";").set_index("img_name")["label"]
    lesion = scores[scores["metric"] == "mass_accuracy"]
    for row in lesion.itertuples():
        assert bool(row.value == row.value) <= bool(truth[f"{row.case}.png"]), "a healthy slice has no lesion to hit"
    assert lesion["value"].notna().any()


def test_the_report_has_what_the_study_asks(done: Done) -> None:
    for word in ("hierarchical_occlusion", "ensemble_threshold", "AUROC", "out of fold"):
        assert word.lower() in done.page.lower(), word
