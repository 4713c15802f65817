"""The recipes of ChestX-ray14: as they are, and the whole one made small on a miniature in the official layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

import pellucid.data.picture_shards as shards
from make_nih import FINDINGS, make_nih
from pellucid.data import load_dataset, zones
from pellucid.evaluate.cohort.aggregate import aggregated
from pellucid.evaluate.cohort.agreement import agreement
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.detector import detect
from pellucid.evaluate.cohort.ranking import ranking
from pellucid.evaluate.cohort.strata import strata
from pellucid.report.cleaning import cleaning_panel
from pellucid.study.recipe import Recipe, load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.store import Run
from pellucid.train.performance import performance
from pellucid.train.reliability import calibration_measures
from tiny_networks import registered

DRAWN = ("Effusion", "Pneumonia", "Pneumothorax")
RECIPES = Path(__file__).parents[2] / "recipes"


def plain(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def small(root: Path) -> Recipe:
    """The recipe with nothing changed but what makes it small."""
    recipe = plain("nih-chestxray14")
    recipe["device"] = "cpu"
    lungs, findings = recipe["tasks"]
    for task in (lungs, findings):
        task["data"]["root"] = str(root)
        task["data"]["options"]["size"] = 32
        task["train"] |= {"batch_size": 8, "epochs": 2}
    lungs["data"]["options"]["limit"] = 24
    lungs["model"]["options"]["channels"] = [4, 8]
    lungs["train"]["lr"] = 0.03
    model = findings["model"]
    model |= {"network": "small_cnn", "normalise": "data", "classes": list(DRAWN)}
    model["options"] = {"classes": len(DRAWN), "dropout": 0.5}
    findings["data"]["options"]["findings"] = list(DRAWN)
    del model["weights"]
    findings["explain"] |= {"most": 4, "background": {"size": 1000, "thin": 2, "by": "kmeans"}}
    findings["explain"]["methods"][4]["kernel_shap"]["segments"] = 4
    findings["evaluate"] |= {"steps": 4, "findings": False, "min_positives": 2}
    findings["eda"] = {"most": 12, "montage": 1}
    metrics = findings["evaluate"]["metrics"]
    findings["evaluate"]["metrics"] = [m for m in metrics if m != "parameter_randomisation"]
    findings["analysis"] = [
        {name: options | {{"clinical_claims": "draws"}.get(name, "n_boot"): 100}}
        for one in findings["analysis"] for name, options in one.items()
    ]  # fmt: skip
    return load_recipe(recipe)


class SmallCnn(nn.Module):
    """In place of the DenseNet: three convolutions, the mean over the picture, dropout, one linear layer."""

    def __init__(self, *, classes: int, dropout: float) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for before, after in ((1, 8), (8, 16), (16, 16)):
            steps += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*steps)
        self.pool, self.dropout, self.fc = nn.AdaptiveAvgPool2d(1), nn.Dropout(dropout), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(self.pool(self.features(x)).flatten(1)))


def dark(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The drawn lungs; the real zone has tests of its own."""
    return x < x.mean()


@dataclass(frozen=True)
class Done:
    run: Run
    root: Path
    read: list[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("nih")
    root = make_nih(folder / "data", patients=40, most=2, size=32, findings=DRAWN, faults={"corrupt": 1, "absent": 1, "age": 1, "duplicate": 1})
    opened: list[str] = []
    read = shards.read
    with pytest.MonkeyPatch.context() as patch, registered(small_cnn=SmallCnn):
        patch.setattr(shards, "read", lambda path: opened.append(path.stem) or read(path))
        patch.setitem(zones.ZONES, "lungs_classical", dark)
        for table in (compare, ranking, agreement, strata, detect, performance, calibration_measures):
            patch.setitem(table.__kwdefaults__, "n_boot", 40)
        patch.setitem(aggregated.__kwdefaults__, "choices", 10)
        yield Done(run_recipe(small(root), folder / "run", quiet=True, console=Console(quiet=True)), root, opened)


@pytest.mark.parametrize("name", ["nih-chestxray14", "nih-small"])
def test_the_recipe_is_one(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert recipe.name == name
    work = recipe.tasks[-1]
    assert [next(iter(a)) if isinstance(a, dict) else a for a in work.analysis] == ["clinical_claims", "zone_importance", "cooccurrence"]  # fmt: skip
    assert work.train is not None and work.train.patience == 10 and work.model.options["dropout"] == 0.5
    assert work.explain is not None and work.explain.background.size == 1000  # type: ignore[union-attr]
    assert len(work.model.classes) == work.model.options["classes"]


def test_the_classes_are_the_findings_in_the_papers_order() -> None:
    assert tuple(load_recipe(RECIPES / "nih-chestxray14.yaml").tasks[1].model.classes) == FINDINGS


def test_it_runs_to_its_analyses_and_nothing_fails(done: Done) -> None:
    assert failures(done.run) == []
    for table in (
        "cleaning", "eda_labels", "history", "performance", "bias", "roc", "scores", "claims", "zone_importance", "cooccurrence",
    ):  # fmt: skip
        assert len(done.run.table(table, "findings")), table
    (panel,) = cleaning_panel(done.run, "findings")
    assert {"listed, and not there", "no possible age"} <= {row["name"] for row in panel["table"]["rows"]}


def test_the_official_test_list_is_the_test_side_of_both_tasks(done: Done) -> None:
    listed = {name[:-4] for name in (done.root / "test_list.txt").read_text().split()}
    for task in ("lungs", "findings"):
        data = done.run.table("data", task)
        test = set(data[data["part"] == "test"]["case"])
        assert test and test <= listed
        assert not set(data[data["part"] != "test"]["case"]) & listed
        assert data.groupby("group")["part"].nunique().max() == 1


def test_only_boxed_test_cases_are_explained_with_the_lungs_of_the_other_task(done: Done) -> None:
    boxed = {line[:12] for line in (done.root / "BBox_List_2017.csv").read_text().splitlines()[1:]}
    cases = done.run.cases("findings")
    assert cases and set(cases) <= boxed
    assert all("lungs" in done.run.case("findings", c).regions for c in cases)


def test_each_picture_is_read_once_for_both_tasks_and_all_stages(done: Done) -> None:
    """The lungs' task lists the first 24 lines, whose shard is another one than that of all lines."""
    assert max(done.read.count(name) for name in done.read) <= 2
    before = len(done.read)
    options = {"size": 32, "least": 0.95, "cache": "cache-224", "near": 4}
    assert load_dataset("nih_chestxray14", done.root, **options)
    assert len(done.read) == before
