"""What a recipe says of a training is checked before anything runs, and reaches the training."""

import inspect

import pytest

from pellucid.errors import UsageError
from pellucid.study.context import Context
from pellucid.study.recipe import Train, load_recipe
from pellucid.study.stages import train as stage
from pellucid.train import fit

MODEL = {"network": "image_tabular", "inputs": ["ct", "ehr"], "task": "classification", "classes": ["a", "b"]}


def recipe(train, **model):
    work = {
        "name": "one", "data": {"dataset": "synthetic_classification"}, "model": MODEL | model, "train": train,
        "explain": {"methods": ["saliency"]}, "evaluate": {"metrics": ["deletion_auc"]},
    }  # fmt: skip
    return load_recipe({"name": "small", "tasks": [work]})


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"schedule": {"step": {"step_size": 7}}}, "schedule 'step' has no option 'step_size'"),
        ({"schedule": {"plateau": {"factor": 2}}}, "factor is 2"),
        ({"momentum": 0.9}, "momentum is of the optimizer 'sgd', this is 'adam'"),
        ({"warmup": 5, "epochs": 3}, "warmup is 5"),
        ({"clip": 0}, "clip"),
        ({"accumulate": 0}, "accumulate"),
        ({"devices": 0}, "devices"),
        ({"balance": "smot"}, "balance is 'smot'; did you mean 'smote'"),
        ({"balance": {"smote": {"on": "picture"}}}, "balance: smote: on is 'picture'"),
        ({"delta": 0.1}, "there is no patience that it is for"),
        ({"delta": -1, "patience": 2}, "delta"),
        ({"freeze": 3}, "freeze"),
        ({"unfreeze": {0: "head", 40: "all"}}, "after 40 epochs, and there are 30"),
        ({"unfreeze": "all"}, "unfreeze"),
        ({"monitor": "accuracy"}, "monitor"),
        ({"precision": "float16"}, "precision"),
        ({"loss": "mse"}, "loss 'mse' for classification"),
        ({"loss": {"focal": {"alpha": 0.25}}}, "exclusive classes take one positive weight each, 2 here"),
        ({"patch": [8, 8]}, "patch is for a segmentation, this model does classification"),
        ({"patches": 3}, "patches is 3, and there is no patch that they are of"),
        ({"acumulate": 2}, "did you mean 'accumulate'"),
    ],
)
def test_what_cannot_be_is_refused(train, said):
    with pytest.raises(UsageError, match=said):
        recipe(train)


def test_focal_alpha_of_one_is_refused_before_anything_runs():
    with pytest.raises(UsageError, match=r"tasks\.0: loss 'focal': with alpha = 1, the negatives get the weight"):
        recipe({"loss": {"focal": {"alpha": 1}}}, activation="sigmoid")
    recipe({"loss": {"focal": {"alpha": 0.25}}}, activation="sigmoid")


def test_every_key_reaches_the_training(monkeypatch, tmp_path):
    given = {
        "epochs": 4, "batch_size": 3, "lr": 0.2, "optimizer": "sgd", "momentum": 0.5, "schedule": {"step": {"size": 2}},
        "warmup": 1, "weight_decay": 0.1, "clip": 2.0, "accumulate": 2, "monitor": "metric", "patience": 3,
        "delta": 0.01, "freeze": ["image"], "unfreeze": {0: "head", 2: "all"}, "augment": ["flip"], "balance": "oversample", "loss": {"focal": {"gamma": 1}}, "precision": "bf16",
        "devices": 2, "calibrate": True,
    }  # fmt: skip
    whole = recipe(given)
    patched = recipe({"patch": [4, 4, 4], "patches": 2}, task="segmentation", windows={"roi": [6, 6, 6]})
    asked: dict = {}
    monkeypatch.setattr(stage, "fit", lambda train, val, **options: asked.update(options))
    context = Context(run=None, recipe=patched, work=patched.tasks[0], base=tmp_path, console=None)
    stage.fit_task(context, [], [], out=tmp_path, progress=lambda _: None)
    assert (asked["patch"], asked["patches"], asked["windows"]) == ([4, 4, 4], 2, {"roi": [6, 6, 6]})
    assert set(given) == set(Train.model_fields) - {"strata", "patch", "patches"}
    asked.clear()
    context = Context(run=None, recipe=whole, work=whole.tasks[0], base=tmp_path, console=None)
    stage.fit_task(context, [], [], out=tmp_path, progress=lambda _: None)
    assert {k: asked[k] for k in given} == given
    assert set(asked) <= set(inspect.signature(fit).parameters)


@pytest.mark.parametrize(
    ("train", "windows", "said"),
    [
        ({"patch": [8, 8, 0]}, None, r"roi=\(8, 8, 0\); give two or three positive whole numbers"),
        ({"patch": [8, 8, 8]}, {"roi": [8, 8]}, "has 3 axes, the windows .* have 2"),
        ({}, {"roi": [8, 8], "overlap": 1}, "overlap=1"),
        ({}, {"size": [8, 8]}, "size"),
    ],
)
def test_patches_and_windows_that_cannot_be(train, windows, said):
    with pytest.raises(UsageError, match=said):
        recipe(train, task="segmentation", windows=windows)
    with pytest.raises(UsageError, match=r"'model\.windows' are stitched to a segmentation, this model does classif"):
        recipe({}, windows={"roi": [8, 8]})


@pytest.mark.parametrize(("of_train", "of_recipe", "wanted"), [
    (None, "float32", "float32"), (None, "bf16", "bf16"), (None, "float64", "float32"), ("float32", "bf16", "float32"),
])  # fmt: skip
def test_precision_of_the_training(monkeypatch, tmp_path, of_train, of_recipe, wanted):
    whole = recipe({"precision": of_train} if of_train else {}).model_copy(update={"precision": of_recipe})
    asked = {}
    monkeypatch.setattr(stage, "fit", lambda train, val, **options: asked.update(options))
    context = Context(run=None, recipe=whole, work=whole.tasks[0], base=tmp_path, console=None)
    stage.fit_task(context, [], [], out=tmp_path, progress=lambda _: None)
    assert asked["precision"] == wanted
