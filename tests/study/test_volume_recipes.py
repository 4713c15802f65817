"""The recipes of Agg²Exp, as they are, made small; the demo's volume is the small one with some maps beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from make_volumes import make_totalsegmentator
from pellucid.data.structures import AGG2EXP
from pellucid.nets import build_network, load_predictor
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import load_recipe
from pellucid.study.run import check_names, failures, run_recipe
from pellucid.study.store import Run

RECIPES = Path(__file__).parents[2] / "recipes"
QUIET = Console(quiet=True)


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def done(recipe: dict[str, Any], folder: Path) -> Run:
    run = run_recipe(load_recipe(recipe), folder, quiet=True, console=QUIET)
    assert not failures(run)
    return run


@pytest.mark.parametrize("name", ["agg2exp-small", "agg2exp-totalsegmentator"])
def test_recipes_are_whole_and_their_classes_are_the_networks(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    check_names(recipe)
    (work,) = recipe.tasks
    assert work.model.options["classes"] == len(work.model.classes)
    if name == "agg2exp-totalsegmentator":
        assert work.model.classes == ["background", *AGG2EXP]


def test_the_published_network_can_be_built() -> None:
    m = load_recipe(RECIPES / "agg2exp-totalsegmentator.yaml").tasks[0].model
    assert m.network is not None
    assert sum(p.numel() for p in build_network(m.network, m.options).parameters()) > 60e6


def test_the_demo_asks_what_the_small_recipe_asks() -> None:
    work, small = demo_recipe("volume").tasks[0], load_recipe(RECIPES / "agg2exp-small.yaml").tasks[0]
    for key in ("network", "options", "inputs", "task", "classes"):
        assert getattr(work.model, key) == getattr(small.model, key)
    assert work.aggregate == small.aggregate
    assert work.analysis == small.analysis
    assert work.train is not None
    assert small.train is not None
    assert (work.train.patch, work.train.patches) == (small.train.patch, small.train.patches)


@pytest.fixture(scope="module")
def organs(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = read("agg2exp-small")
    (work,) = recipe["tasks"]
    work["data"]["options"] |= {"n": 30, "size": 32}
    work["also"]["clinic"]["options"] |= {"n": 4, "size": 32}
    work["model"]["windows"]["roi"] = work["train"]["patch"] = [20, 20, 16]
    work["train"] |= {"epochs": 6, "batch_size": 2}
    work["aggregate"] |= {"methods": ["saliency"], "regions": ["truth"]}
    work["analysis"][0]["outliers"]["trees"] = 50
    return done(recipe, tmp_path_factory.mktemp("organs") / "run")


def test_the_organs_are_learnt_on_patches_and_found_in_windows(organs: Run) -> None:
    table = organs.table("performance", "organs")
    dice = table[(table["metric"] == "dice") & (table["part"] == "test")]
    assert dice.iloc[0]["value"] > 0.7, dice[["class", "value"]]
    predictor = load_predictor(organs.folder / "model" / "organs")
    assert predictor.windows is not None
    assert predictor.windows.roi == (20, 20, 16)


def test_the_tables_are_whole(organs: Run) -> None:
    table = organs.table("regions", "organs")
    assert set(table["of"]) == {"truth"}
    mass = table[(table["measure"] == "mass") & (table["region"] != "*")]
    assert mass["case"].nunique() == 16  # 12 of the test side, 4 of the clinic
    own = mass[mass["target"] == mass["region"]]
    matrix = own.pivot(index="case", columns="target", values="value")
    assert matrix.shape == (16, 9)
    # The spleen of the patient whose lung has no air is not predicted: no number, and the table says why.
    without = table[table["measure"] == "never_predicted"]
    assert np.isfinite(matrix.to_numpy()).sum() == matrix.size - len(without)
    assert all(np.isnan(matrix.loc[row.case, row.target]) for row in without.itertuples())
    sums = mass.dropna(subset="value").groupby(["case", "target"])["value"].sum()
    assert np.allclose(sums, 1, atol=1e-4)


def test_the_planted_outlier_is_the_first(organs: Run) -> None:
    data = organs.table("data", "organs")
    (planted,) = data.loc[data["meta_planted"] == "consolidation", "case"]
    found = organs.table("outliers", "organs")
    row = found.loc[found["score"].idxmin()]
    assert row["case"] == planted
    assert row["outlier"]
    assert row["why"]


def test_the_full_recipe_runs_on_scans_in_the_published_layout(tmp_path: Path) -> None:
    recipe = read("agg2exp-totalsegmentator")
    (work,) = recipe["tasks"]
    root = make_totalsegmentator(tmp_path / "data", n=8, size=24, parts=("train", "train", "val", "test"))
    recipe["device"] = "cpu"
    join = {"lungs": "lung_*", "vertebraes": "vertebrae_*"}
    work["data"] |= {"root": str(root)}
    work["data"]["options"] |= {"classes": ["lungs", "heart", "vertebraes"], "join": join}
    work["model"] |= {
        "network": "unet", "classes": ["background", "lungs", "heart", "vertebraes"],
        "options": {"spatial_dims": 3, "classes": 4, "channels": [4, 8], "norm": "instance"},
    }  # fmt: skip
    # Larger than the scans from bottom to top: 24 × 18 × 12 voxels.
    work["model"]["windows"]["roi"] = work["train"]["patch"] = [16, 16, 16]
    work["train"] |= {"epochs": 2, "patches": 2, "lr": 0.01}
    work["aggregate"]["methods"][0]["smoothgrad"]["samples"] = 2
    run = done(recipe, tmp_path / "run")
    data = run.table("data", "trunk")
    assert dict(data["part"].value_counts()) == {"train": 4, "val": 2, "test": 2}
    table = run.table("regions", "trunk")
    assert set(table["of"]) == {"predicted", "truth"}
    assert set(table["target"]) == set(work["model"]["classes"])
    wide = [pd.read_csv(p) for p in sorted((run.folder / "aggregate" / "trunk").glob("*.csv"))]
    assert wide
    for found in wide:
        assert len(found) == 2
        assert len(found.columns) == 1 + 4 * (2 * 4 + 2) + 2 * 4
    said = run.table("outliers", "trunk")
    assert said["score"].isna().all()  # two cases are no cohort, and the table says so
    assert said["note"].str.contains("fewer than").all()
