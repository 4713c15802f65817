"""One split for all tasks of a recipe, and for every run that names its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from make_skin_and_chest import make_chestxdet10, make_ham10000
from pellucid.errors import InputError, UsageError
from pellucid.study.context import Context
from pellucid.study.recipe import load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.stages.data import load_cases
from pellucid.study.store import Run

QUIET = Console(quiet=True)
LESIONS = {"dataset": "ham10000", "root": "ham", "fractions": [0.7, 0.1, 0.2]}

MAPS: dict[str, Any] = {"explain": {"methods": ["saliency"]}, "evaluate": {"metrics": []}}


def task(name: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task that is never trained here; its data stage is what is looked at."""
    model = {"network": "resnet18", "inputs": ["image"], "task": "classification", "classes": ["a", "b"]}
    return {"name": name, "data": data, "model": model, "train": {"epochs": 1}, **more}


def split_up(folder: Path, tasks: list[dict[str, Any]], name: str = "run", **options: Any) -> Run:
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "r", "tasks": tasks}))
    return run_recipe(recipe, folder / name, only=["data"], quiet=True, console=QUIET, **options)


def sides(run: Run, name: str) -> dict[str, set[str]]:
    """Group names by side."""
    content = json.loads((run.folder / "splits" / f"{name}.json").read_text())
    return {side: set(content["groups"][side]) for side in ("train", "val", "test", "left_out")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_ham10000(tmp_path / "ham", n=60, size=(12, 16))
    return tmp_path


def small(**options: Any) -> dict[str, Any]:
    return LESIONS | {"options": {"size": 8, **options}}


def test_a_segmenter_is_not_trained_on_the_test_patients_of_the_task_that_it_serves(folder: Path) -> None:
    (folder / "ham" / "HAM10000_segmentations_lesion_tschandl" / "ISIC_0024306_segmentation.png").unlink()
    lesions = task("lesions", small(task="segmentation"))
    other = small(masks="optional") | {"seed": 1}
    classes = task("classes", other, segment={"predicted": {"task": "lesions"}}, **MAPS)
    with pytest.raises(UsageError, match=r"test groups trained the model of the task 'lesions'.*data: \{split: lesions\}"):
        split_up(folder, [lesions, classes])
    classes["data"]["split"] = "lesions"
    run = split_up(folder, [lesions, classes], "obeyed")
    a, b = sides(run, "lesions"), sides(run, "classes")
    assert a["test"]
    assert not b["test"] & (a["train"] | a["val"])
    assert set().union(*b.values()) - set().union(*a.values()) == {"HAM_0000000"}, "whose only mask is gone"
    note = "1 cases of 1 groups are not in lesions.json; each group was dealt by its name"
    assert note in (run.folder / "run.log").read_text()
    assert split_up(folder, [lesions, classes], "obeyed").folder == run.folder, "and it can be done again"


def test_the_segmenter_is_asked_about_whoever_looked_first_and_whatever_is_explained(folder: Path) -> None:
    lesions = task("lesions", small(task="segmentation"))
    served = {"segment": {"predicted": {"task": "lesions"}}, **MAPS}
    classes = task("classes", small() | {"seed": 1}, **served)
    # A search of the classifier alone deals its cases before there is a segmenter.
    context = Context(
        Run.create(folder / "run", {"recipe": {}}), load_recipe({"name": "r", "tasks": [lesions, classes]}),
        load_recipe({"name": "r", "tasks": [lesions, classes]}).tasks[1], folder, QUIET, resume=True,
    )  # fmt: skip
    load_cases(context)
    load_cases(replace(context, work=context.recipe.tasks[0], split=None))
    with pytest.raises(UsageError, match="test groups trained the model of the task 'lesions'"):
        load_cases(replace(context, split=None))
    # Cases of a further source are explained as well.
    classes = task("classes", small() | {"split": "lesions"}, also={"shown": small(limit=6)}, **served)
    with pytest.raises(UsageError, match=r"shown groups trained the model.*under 'also' of the task 'lesions'"):
        split_up(folder, [lesions, classes], "further")
    weaker = {"segmentation_quality": {"mask": "lesion", "weaker": {"task": "lesions"}}}
    classes = task("classes", small() | {"seed": 1}, analysis=[weaker], **MAPS)
    with pytest.raises(UsageError, match="test groups trained the model of the task 'lesions'"):
        split_up(folder, [lesions, classes], "weaker")
    with pytest.raises(UsageError, match="'lesions' is no earlier task"):
        split_up(folder, [classes, lesions], "later")


def test_a_split_file_is_made_once_and_obeyed_by_other_runs(folder: Path) -> None:
    first = split_up(folder, [task("a", small() | {"split": "splits/ham.json"})], "one")
    made = (folder / "splits" / "ham.json").read_text()
    other = task("b", small(channels=1) | {"split": "splits/ham.json", "seed": 9, "fractions": [0.2, 0.2, 0.6]})
    second = split_up(folder, [other], "two")
    assert sides(first, "a") == sides(second, "b")
    assert (folder / "splits" / "ham.json").read_text() == made
    assert json.loads(made)["fractions"] == [0.7, 0.1, 0.2]


def test_a_model_that_comes_trained_is_explained_on_the_test_side_of_the_file(folder: Path) -> None:
    first = split_up(folder, [task("a", small() | {"split": "ham.json"})], "one")
    trained = task("b", small() | {"split": "ham.json"}, **MAPS)
    del trained["train"]
    assert sides(split_up(folder, [trained], "two"), "b") == sides(first, "a")


def test_the_published_test_list_of_a_data_set(tmp_path: Path) -> None:
    root = make_chestxdet10(tmp_path / "chest", n=40, size=16, leaky=True)
    data = {"dataset": "chestxdet10", "root": "chest", "options": {"size": 8}, "official": True}
    run = split_up(tmp_path, [task("chest", data)])
    published = {e["file_name"][:8] for e in json.loads((root / "test.json").read_text())}
    found = sides(run, "chest")
    assert found["test"] == published
    assert found["left_out"] < published
    assert not found["train"] & published
    assert "their patients are in the published test list" in (run.folder / "run.log").read_text()


def test_patients_of_further_sources_are_left_out_by_who_follows(folder: Path) -> None:
    shown = small(limit=6)
    tasks = [task("a", small(), also={"shown": shown}), task("b", small(channels=1) | {"split": "a"})]
    run = split_up(folder, tasks)
    a, b = sides(run, "a"), sides(run, "b")
    assert len(a["left_out"]) == 4
    assert a == b


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task("a", LESIONS | {"split": "b"}), task("b", LESIONS)], "'b' is no file name ending in .json and no earlier"),
        ([task("abc", LESIONS), task("b", LESIONS | {"split": "abd"})], "did you mean 'abc'"),
        ([task("a", LESIONS, also={"x": LESIONS | {"official": True}})], "sources in 'also' are not split"),
    ],
)
def test_splits_that_there_cannot_be(tasks: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe({"name": "r", "tasks": tasks})


def test_a_file_of_other_data_is_refused(folder: Path) -> None:
    make_chestxdet10(folder / "chest", n=12, size=16)
    split_up(folder, [task("a", small() | {"split": "s.json"})], "one")
    chest = {"dataset": "chestxdet10", "root": "chest", "options": {"size": 8}, "split": "s.json"}
    with pytest.raises(InputError, match="it is of other data"):
        split_up(folder, [task("b", chest)], "two")


def test_a_corrupt_picture_is_listed_and_is_on_no_side(tmp_path: Path) -> None:
    make_ham10000(tmp_path / "ham", n=40, size=(12, 16), corrupt=2)
    run = split_up(tmp_path, [task("a", small())])
    gone = {item for _, stage, item, _ in failures(run) if stage == "data"}
    assert gone == {"ISIC_0024344", "ISIC_0024345"}
    assert len(run.table("data")) == 38
    assert not gone & set(run.table("data")["case"])
