"""A recipe that trains its network on shuffled labels as well, and one that is given such a model."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from pellucid.errors import ModelError, UsageError
from pellucid.nets import load_predictor
from pellucid.study import run as runs
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import load_recipe
from pellucid.study.stages import train as stage

QUIET = Console(quiet=True)


def recipe(task="classification", **evaluate):
    plain = demo_recipe(task, quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["explain"] |= {"methods": ["saliency", "edge"], "most": 2}
    work["train"] |= {"epochs": 1}
    work["evaluate"] |= {"metrics": ["label_randomisation"], "checks": "cheap", "findings": False, **evaluate}
    return plain


def test_a_run_trains_twice_and_compares_with_the_second_model(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stage, "fit", lambda train, val, **k: asked.append((train, val)) or fit(train, val, **k))
    run = runs.run_recipe(load_recipe(recipe(shuffled_labels=True)), tmp_path / "run", quiet=True, console=QUIET)
    real, other = (load_predictor(run.folder / "model" / n) for n in ("classification", "classification-shuffled"))
    assert real.weights_hash() != other.weights_hash()
    described = [json.loads((run.folder / "model" / n / "model.json").read_text()) for n in ("classification", "classification-shuffled")]
    assert described[1]["info"]["labels"] == "shuffled" and "labels" not in described[0]["info"]
    real_settings, other_settings = (d["info"]["settings"] for d in described)
    assert real_settings.pop("cases") != other_settings.pop("cases"), "other labels: another training"
    assert real_settings == other_settings
    for plain, mixed in zip(*asked):  # the training and the validation cases, never those of the test
        assert [c.id for c in plain] == [c.id for c in mixed]
        assert [c.truth for c in plain] != [c.truth for c in mixed]
        assert sorted(c.truth for c in plain) == sorted(c.truth for c in mixed)
    data = run.table("data", "classification").set_index("case")["part"]
    assert {data[c.id] for c in (*asked[1][0], *asked[1][1])} == {"train", "val"}
    scores = run.table("scores", "classification")
    scores = scores[scores["metric"] == "label_randomisation"].set_index("method")["value"]
    assert scores["edge"].tolist() == pytest.approx([1, 1]) and (scores["saliency"] < 0.999).all()
    # It can be resumed: nothing is trained again.
    runs.run_recipe(load_recipe(recipe(shuffled_labels=True)), run.folder, resume=True, quiet=True, console=QUIET)
    assert len(asked) == 2

    given = recipe(shuffled=str(run.folder / "model" / "classification-shuffled"))
    second = runs.run_recipe(load_recipe(given), tmp_path / "second", quiet=True, console=QUIET)
    assert len(asked) == 3 and not (second.folder / "model" / "classification-shuffled").exists()
    again = second.table("scores", "classification").set_index(["metric", "method"])["value"]
    assert again["label_randomisation", "edge"].tolist() == pytest.approx([1, 1])


    wrong = recipe(shuffled=str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        runs.run_recipe(load_recipe(wrong), tmp_path / "third", quiet=True, console=QUIET)


fit = stage.fit


def test_an_interrupted_second_training_goes_on_and_the_first_is_not_repeated(tmp_path, monkeypatch):
    calls = []

    def broken(train, val, **options):
        calls.append(str(options["out"].name))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(train, val, **options)

    monkeypatch.setattr(stage, "fit", broken)
    with pytest.raises(KeyboardInterrupt):
        runs.run_recipe(load_recipe(recipe(shuffled_labels=True)), tmp_path / "r", quiet=True, console=QUIET)
    told = []
    monkeypatch.setattr(stage, "fit", lambda train, val, progress, **k: fit(train, val, progress=told.append, **k))
    run = runs.run_recipe(load_recipe(recipe(shuffled_labels=True)), tmp_path / "r", resume=True, quiet=True, console=QUIET)
    assert calls == ["classification", "classification-shuffled"]
    assert len(told) == 1  # one epoch of the second network; the first one's is kept
    assert (run.folder / "model" / "classification-shuffled" / "weights.safetensors").is_file()


def test_a_recipe_without_training_says_what_to_do_instead():
    plain = recipe(shuffled_labels=True)
    plain["tasks"][0]["train"] = None
    with pytest.raises(UsageError, match=r"no 'train' section.*evaluate: \{shuffled: FOLDER\}"):
        load_recipe(plain)
    with pytest.raises(UsageError, match="not both"):
        load_recipe(recipe(shuffled_labels=True, shuffled="model"))
    plain = recipe(shuffled_labels=True)
    plain["tasks"].append({**plain["tasks"][0], "name": "classification-shuffled"})
    with pytest.raises(UsageError, match="rename it"):
        load_recipe(plain)
