"""Recipes are checked before anything runs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from pellucid.errors import UsageError
from pellucid.study.demo import TASKS, demo_recipe
from pellucid.study.recipe import load_recipe

GOOD = {
    "name": "small",
    "tasks": [
        {
            "name": "one",
            "data": {"dataset": "synthetic_classification"},
            "model": {"network": "image_tabular", "inputs": ["ct", "ehr"], "task": "classification",
                      "classes": ["benign", "malignant"]},
            "train": {"epochs": 1},
            "explain": {"methods": ["saliency", {"occlusion": {"window": 8}}]},
            "evaluate": {"metrics": ["deletion_auc"]},
        }
    ],
}  # fmt: skip


def changed(path: str, value: object) -> dict:
    recipe = copy.deepcopy(GOOD)
    place = recipe
    *way, last = path.split(".")
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    return recipe


def test_good_recipe_loads_and_its_hash_follows_its_content() -> None:
    recipe = load_recipe(GOOD)
    assert recipe.hash() == load_recipe(copy.deepcopy(GOOD)).hash()
    assert recipe.hash() != load_recipe(changed("tasks.0.train.epochs", 2)).hash()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sed", 1, "did you mean 'seed'"),
        ("tasks.0.tran", {}, "did you mean 'train'"),
        ("tasks.0.train.epoch", 3, "did you mean 'epochs'"),
        ("tasks.0.data.optons", {}, "did you mean 'options'"),
        ("tasks.0.evaluate.thresholds", {"stabl": 0.9}, "did you mean 'stable'"),
        ("tasks.0.train.epochs", 0, "tasks.0.train.epochs"),
        ("tasks.0.model.task", "classificaton", "classification"),
        ("tasks.0.model.load", "x:Y", "give either"),
        ("tasks.0.explain.methods", [], "methods"),
        ("tasks.0.name", "a/b", "name"),
    ],
)
def test_wrong_keys_and_values_are_refused_in_one_sentence(path: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(changed(path, value))


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="same name"):
        load_recipe(GOOD | {"tasks": GOOD["tasks"] * 2})


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe"):
        load_recipe(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match="mapping"):
        load_recipe(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(UsageError, match="not YAML"):
        load_recipe(tmp_path / "bad.yaml")
    (tmp_path / "code.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(UsageError, match="not YAML"):
        load_recipe(tmp_path / "code.yaml")


@pytest.mark.parametrize("task", [*TASKS, "all"])
def test_the_demos_are_recipes_that_survive_a_round_trip(task: str, tmp_path: Path) -> None:
    for options in ({}, {"quick": True}, {"full": True}):
        recipe = demo_recipe(task, **options)
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        assert load_recipe(tmp_path / "r.yaml").hash() == recipe.hash()


def test_every_recipe_that_is_shipped_loads() -> None:
    found = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert found
    for path in found:
        load_recipe(path)
