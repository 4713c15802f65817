"""A training without validation cases: so many epochs, the last one kept, nothing chosen."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from pellucid.errors import InputError, UsageError
from pellucid.study.stages.train import parts_of
from pellucid.train import fit
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

TRAIN, VAL = cases(13, "t"), cases(6, "v", seed=1)
FULL = SETTINGS | {"augment": ["flip", "affine"], "balance": "class_weights", "warmup": 1, "weight_decay": 1e-3}


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


def weights(trained):
    return trained.predictor.module.state_dict()


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


def test_it_is_the_training_that_validation_cases_would_have_watched(tmp_path):
    # Validation truths turned round make an early epoch the best; the last epoch's weights are in the state.
    watched = fit(TRAIN, [c.replace(truth=1 - c.truth) for c in VAL], **FULL, out=tmp_path)
    final = fit(TRAIN, [], **FULL)
    assert watched.best_epoch < 3
    assert same(weights(final), last(tmp_path))
    assert not same(weights(final), weights(watched))
    assert final.history.epoch.tolist() == [1, 2, 3]
    assert final.history.columns.tolist() == watched.history.columns.tolist()
    assert final.history.train_loss.tolist() == watched.history.train_loss.tolist()
    assert final.history[["val_loss", "val_metric"]].isna().all(axis=None)
    assert final.best_epoch == 3
    assert not final.stopped_early
    assert final.settings["n_val"] == 0
    assert not final.predictor.module.training


def last(folder):
    return {k.removeprefix("weights/"): v for k, v in load_file(folder / "last.safetensors").items() if "weights/" in k}


def test_no_threshold_and_no_temperature_are_chosen():
    final = fit(TRAIN, [], **SETTINGS | {"epochs": 1})
    assert final.thresholds is None
    assert final.calibration is None
    assert final.predictor.thresholds == (0.5, 0.5)
    assert final.predictor.temperature == fit(TRAIN, VAL, **SETTINGS | {"epochs": 1}).predictor.temperature


def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(tmp_path):
    whole = fit(TRAIN, [], **FULL | {"augment": ["flip", Press()]})
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, [], **FULL | {"augment": ["flip", Press(5)]}, out=tmp_path)
    with pytest.raises(UsageError, match="n_val was 0, now 6"):
        fit(TRAIN, VAL, **FULL | {"augment": ["flip", Press()]}, out=tmp_path, resume=True)
    again = fit(TRAIN, [], **FULL | {"augment": ["flip", Press()]}, out=tmp_path, resume=True)
    assert same(weights(whole), weights(again))
    columns = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]
    assert whole.history[columns].equals(again.history[columns])


def test_the_bar_says_nothing_of_validation(capfd):
    fit(TRAIN, [], **SETTINGS | {"epochs": 1, "progress": True})
    said = capfd.readouterr().err
    assert "loss" in said
    assert "validation" not in said
    assert "nan" not in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patience": 2}, "no validation cases for patience; give some"),
        ({"monitor": "metric"}, "for monitor: metric;"),
        ({"schedule": {"plateau": {"patience": 1}}}, "for schedule: plateau;"),
        ({"schedule": "plateau", "calibrate": True}, "for schedule: plateau, calibrate;"),
    ],
)
def test_what_goes_by_validation_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        fit(TRAIN, [], **SETTINGS | changes)


def test_a_run_wants_validation_cases():
    context = SimpleNamespace(task="feet", part={"train": TRAIN, "val": []}.get)
    with pytest.raises(InputError, match="task feet: no validation cases"):
        parts_of(context)
    assert parts_of(SimpleNamespace(task="feet", part={"train": TRAIN, "val": VAL}.get)) == (TRAIN, VAL)
