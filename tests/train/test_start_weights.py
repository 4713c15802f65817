"""Training that starts from weights, and the statistics that ImageNet's weights want."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.nets import build_network, save_weights, start_from
from pellucid.nets.weights import sha256
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import load_recipe
from pellucid.study.run import run_recipe
from pellucid.study.stages import train as stage
from pellucid.train import fit
from pellucid.train.normalise import IMAGENET, imagenet_statistics
from reference.torchvision_nets import twin


def cases(n, prefix, channels=1, side=16, scale=1.0):
    rng = np.random.default_rng(0)
    return [
        Case(
            id=f"{prefix}{i}", truth=i % 2,
            inputs={"a": (scale * rng.random((channels, side, side))).astype(np.float32), "t": rng.random(2)},
        )
        for i in range(n)
    ]  # fmt: skip


TRAIN, VAL = cases(4, "t"), cases(4, "v")
GIVEN = {
    "network": "resnet18", "options": {"classes": 2}, "inputs": ["a"], "task": "classification",
    "classes": ["no", "yes"], "batch_size": 4, "epochs": 1, "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(twin("resnet18").state_dict(), path)
    return path


def test_training_starts_where_the_file_says_and_keeps_that_with_the_model(file):
    trained = fit(TRAIN, VAL, **GIVEN, lr=1e-9, weights=file, normalise="imagenet")
    reached, start = trained.predictor.module.state_dict(), torch.load(file, weights_only=True)
    torch.testing.assert_close(reached["layer1.0.conv1.weight"], start["layer1.0.conv1.weight"], atol=1e-6, rtol=0)
    torch.testing.assert_close(reached["conv1.weight"], start["conv1.weight"].sum(1, keepdim=True), atol=1e-6, rtol=0)
    assert trained.settings["weights"] == {
        "file": "resnet18.pth", "sha256": sha256(file), "loaded": 120, "new": ["fc.weight", "fc.bias"],
        "channels": "sum of RGB",
    }  # fmt: skip
    assert trained.settings["normalise"] == "imagenet"
    assert fit(TRAIN, VAL, **GIVEN).settings.items() >= {"weights": None, "normalise": None}.items()
    mean, sd = trained.predictor.normalise["a"]
    assert (float(mean), float(sd)) == (pytest.approx(0.449), pytest.approx(0.226))
    json.dumps(trained.settings)


def test_resume_notices_other_weights(file, tmp_path):
    fit(TRAIN, VAL, **GIVEN, weights=file, out=tmp_path / "out")
    other = tmp_path / "resnet18.pth"
    torch.save(build_network("resnet18", {"classes": 2}).state_dict(), other)
    for weights in (other, None):
        with pytest.raises(UsageError, match="weights was"):
            fit(TRAIN, VAL, **GIVEN, weights=weights, out=tmp_path / "out", resume=True)
    with pytest.raises(UsageError, match="normalise was"):
        fit(TRAIN, VAL, **GIVEN, weights=file, normalise="imagenet", out=tmp_path / "out", resume=True)
    fit(TRAIN, VAL, **GIVEN, weights=file, out=tmp_path / "out", resume=True)


def test_wrong_weights_and_words_are_refused(file):
    with pytest.raises(ModelError, match="look like those of resnet18"):
        fit(TRAIN, VAL, **GIVEN | {"network": "densenet121"}, weights=file)
    with pytest.raises(UsageError, match="normalise is 'imagnet'; give 'data', 'imagenet', 'none'"):
        fit(TRAIN, VAL, **GIVEN, normalise="imagnet")


def test_imagenet_statistics():
    found = imagenet_statistics(cases(2, "c", channels=3), ["a", "t"])
    assert [v.tolist() for v in found["a"]] == [pytest.approx(row) for row in IMAGENET]
    assert found["t"][0].shape == (2,)  # a table has its own
    with pytest.raises(UsageError, match="'a' has 2 channels, and normalise: imagenet is for 3 or 1"):
        imagenet_statistics(cases(2, "c", channels=2), ["a"])
    with pytest.raises(InputError, match=r"case c0: input 'a' goes from .* pictures in \[0, 1\]; scale them"):
        imagenet_statistics(cases(2, "c", scale=255), ["a"])


def test_what_is_equal_for_grey_pictures(file):
    """Summed filters see what RGB filters see of the grey picture in all channels, normalised alike; else not quite."""
    grey = cases(2, "g", side=64)
    colour = [Case(id=c.id, inputs={"a": c.inputs["a"].expand(3, -1, -1)}) for c in grey]
    one = build_network("resnet18", {"classes": 1000})
    start_from(one, file, network="resnet18")
    three = twin("resnet18")
    three.load_state_dict(torch.load(file, weights_only=True))
    given = {"inputs": ["a"], "task": "classification", "classes": [str(k) for k in range(1000)]}

    def answer(module, normalise, seen):
        return Engine(Predictor(module.eval(), **given, normalise=normalise), device="cpu").predict(seen)

    statistics = imagenet_statistics(grey, ["a"])
    got = answer(one, statistics, grey)
    torch.testing.assert_close(got, answer(three, statistics, colour), atol=1e-5, rtol=1e-5)
    own = answer(three, imagenet_statistics(colour, ["a"]), colour)
    assert 1e-3 < (got - own).abs().max() / own.std() < 1  # near, and not the same


def recipe(**model):
    plain = demo_recipe("classification", quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["model"] |= {"network": "resnet18", "options": {"classes": 2}, "inputs": ["ct"], "features": {}, **model}
    work["train"] |= {"epochs": 1}
    return plain | {"tasks": [{k: work[k] for k in ("name", "data", "model", "train")}]}


@pytest.mark.parametrize("weights", ["imagenet", "resnet18.pth"])
def test_a_recipe_hands_its_start_to_the_training(weights, tmp_path, monkeypatch):
    asked = []

    def enough(train, val, **given):
        asked.append(given)
        raise ModelError("enough")

    monkeypatch.setattr(stage, "fit", enough)
    (tmp_path / "resnet18.pth").touch()
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(weights=weights, normalise="imagenet")))
    with pytest.raises(ModelError, match="enough"):
        run_recipe(tmp_path / "recipe.yaml", tmp_path / "run", quiet=True, console=Console(quiet=True))
    assert asked[0]["weights"] == (weights if weights == "imagenet" else tmp_path / weights)
    assert asked[0]["normalise"] == "imagenet"


def test_a_recipe_without_training_normalises_as_it_says(tmp_path, monkeypatch):
    save_weights(build_network("resnet18", {"classes": 2}), tmp_path / "w.safetensors")
    for word, wanted in (("imagenet", {"ct": pytest.approx(0.449)}), ("data", {})):
        plain = recipe(weights="w.safetensors", normalise=word)
        del plain["tasks"][0]["train"]
        (work,) = load_recipe(plain).tasks
        context = SimpleNamespace(work=work, task="x", path=lambda name: tmp_path / name)
        found = stage.given_model(context)
        assert {k: float(v[0]) for k, v in found.normalise.items()} == wanted


def test_recipes_that_make_no_sense():
    without = recipe(weights="imagenet")
    del without["tasks"][0]["train"]
    with pytest.raises(UsageError, match=r"'model\.weights: imagenet' is where a training starts"):
        load_recipe(without)
    with pytest.raises(UsageError, match="normalise"):
        load_recipe(recipe(normalise="imagnet"))
    with pytest.raises(UsageError, match="'normalise' goes with 'network'"):
        load_recipe(recipe(network=None, load="x:Y", normalise="imagenet"))
