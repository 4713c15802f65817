"""The recipe's search section: what it reads, and what it refuses before anything trains."""

from __future__ import annotations

import pytest
import torch

from pellucid.errors import UsageError
from pellucid.study.recipe import Recipe, load_recipe
from pellucid.study.search_objective import DIRECTIONS
from pellucid.study.search_space import Choices, Range, applied, points, space_of
from pellucid.train import performance
from search_recipes import plain, small

MIXED = {
    "sampler": "tpe",
    "space": {
        "lr": {"low": "1e-5", "high": 1e-2, "log": True}, "batch_size": {"low": 8, "high": 16},
        "weight_decay": {"low": 0, "high": 1}, "augment": [[], ["flip"]], "model.options.dropout": [0.1, "3e-1"],
    },
}  # fmt: skip


def test_values_are_read_as_the_training_reads_them() -> None:
    space = space_of(small(MIXED).tasks[0])
    assert space["lr"] == Range(low=1e-5, high=1e-2, log=True)  # YAML reads 1e-5 as a text
    assert space["batch_size"] == Range(low=8, high=16)
    assert isinstance(space["batch_size"].low, int)
    assert isinstance(space["weight_decay"].low, float), "a weight decay has no whole numbers of its own"
    assert space["augment"] == Choices(([], ["flip"]))
    assert space["augment"].value('["flip"]') == ["flip"]
    assert space["model.options.dropout"] == Choices((0.1, 0.3))


def test_the_default_is_the_grid_of_segx() -> None:
    found = points(space_of(small({}).tasks[0]))
    assert found == [{"lr": lr, "batch_size": b} for lr in (1e-5, 1e-4, 1e-3) for b in (16, 32, 64)]


def test_settings_take_their_place() -> None:
    work = applied(small(MIXED).tasks[0], {"lr": 0.5, "train.epochs": 7, "model.options.dropout": 0.2})
    assert (work.train.lr, work.train.epochs, work.model.options["dropout"]) == (0.5, 7, 0.2)
    assert work.search is None


def test_a_run_is_not_another_one_because_of_its_search() -> None:
    assert small(None).hash() == small({}).hash() == small(MIXED).hash() != small(None, lr=0.1).hash()
    again = Recipe.model_validate(small(MIXED).model_dump(mode="json"))
    assert again == small(MIXED)


WRONG = [
    ({"space": {"lrr": [1]}}, "no setting 'lrr'; did you mean 'lr'"),
    ({"space": {"model.optoins.width": [1]}}, "did you mean 'model.options"),
    ({"space": {"data.seed": [1]}}, "no setting 'data.seed'"),
    ({"space": {"train.strata": [1]}}, "no setting"),
    ({"spcae": {}}, "unknown key 'tasks.0.search.spcae'; did you mean 'space'"),
    ({"sampler": "tpe", "space": {"lr": {"low": 1e-3, "hihg": 1}}}, "did you mean 'high'"),
    ({"space": {"lr": {"low": 1e-5, "high": 1e-3}}}, "a grid needs lists, and 'lr' is a range"),
    ({"sampler": "tpe", "space": {"lr": {"low": 1e-3, "high": 1e-3}}}, "is not below high"),
    ({"sampler": "tpe", "space": {"weight_decay": {"low": 0, "high": 1, "log": True}}}, "begins above 0"),
    ({"sampler": "tpe", "space": {"lr": {"low": -1, "high": 1}}}, "lr = -1.* is refused: Input should be greater than 0"),
    ({"space": {"lr": [1e-3, 0]}}, "lr = 0.* is refused"),
    ({"space": {"batch_size": [8, 8.5]}}, "batch_size = 8.5 is refused"),
    ({"space": {"optimizer": ["adam", "sdg"]}}, "optimizer = 'sdg' is refused: Input should be 'adam'"),
    ({"space": {"lr": [1e-3, 0.001]}}, "each once"),
    ({"space": {"lr": []}}, "at least one value"),
    ({"space": {}}, "at least 1 item"),
    ({"space": {"epochs": [1, 2]}, "epochs": 1}, "give one of the two"),
    ({"space": {"lr": [i + 1 for i in range(101)], "batch_size": [i + 1 for i in range(100)]}}, "10100 points"),
    ({"objective": "test_auroc"}, "never on the test cases"),
    ({"objective": "auorc"}, "did you mean 'auroc'"),
    ({"objective": "dice"}, "no objective 'dice' for a classification"),
    ({"space": {"loss": ["cross_entropy", "focal"]}}, "trials of another 'loss' have another val_loss; set objective"),
    ({"space": {"train.balance": [None, "class_weights"]}}, "trials of another 'train.balance' have another val_loss"),
    ({"space": {"loss": ["cross_entropy", "focal"]}, "objective": "auroc", "prune": "median"}, "or prune: none"),
    ({"trials": 0}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("section", "said"), WRONG, ids=[w for _, w in WRONG])
def test_what_is_wrong_is_said(section: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(plain(section))


@pytest.mark.parametrize("more", [{"objective": "val_metric", "prune": "median"}, {"objective": "auroc"}])
def test_losses_are_compared_by_what_they_have_in_common(more: dict) -> None:
    work = small({"space": {"loss": ["cross_entropy", {"focal": {"gamma": 1}}]}, **more}).tasks[0]
    assert len(points(space_of(work))) == 2


def test_only_a_training_of_ours_is_searched() -> None:
    recipe = plain({})
    del recipe["tasks"][0]["train"]
    with pytest.raises(UsageError, match="wants a 'train' section"):
        load_recipe(recipe)


@pytest.mark.parametrize("task", DIRECTIONS)
def test_objectives_are_measures_of_the_task(task: str) -> None:
    """All that performance measures, but for those that a model wins that says one thing only."""
    k = 1 if task == "regression" else 2
    shape = (8, k, 4, 4) if task == "segmentation" else (8, k)
    truth = torch.arange(8) % 2 if task != "segmentation" else torch.arange(128).reshape(8, 4, 4) % 2
    table = performance(truth.float() if k == 1 else truth, torch.randn(shape), task=task, n_boot=1)  # type: ignore[arg-type]
    assert set(table["metric"]) - {"sensitivity", "specificity", "precision"} == set(DIRECTIONS[task])
