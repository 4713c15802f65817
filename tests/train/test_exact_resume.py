"""A training that is killed in the middle of an epoch and resumed equals one that was not, to the bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pellucid.errors import ModelError, UsageError
from pellucid.train import fit
from pellucid.train.state import State
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

TRAIN, VAL = cases(21, "t"), cases(7, "v", seed=1)
FULL = SETTINGS | {
    "augment": ["flip", "affine", "intensity"], "schedule": "cosine", "warmup": 1.5, "clip": 1.0, "weight_decay": 1e-3,
    "save_every": 0,
}  # fmt: skip
COLUMNS = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


def equal(a, b):
    assert a.history[COLUMNS].equals(b.history[COLUMNS])
    assert a.best_epoch == b.best_epoch
    assert a.predictor.thresholds == b.predictor.thresholds
    theirs = b.predictor.module.state_dict()
    return all(torch.equal(v, theirs[k]) for k, v in a.predictor.module.state_dict().items())


def written(folder):
    with safe_open(folder / "last.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["state"])


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.5, "schedule": {"plateau": {"patience": 0, "factor": 0.5}}},
        {"optimizer": "adamw", "accumulate": 2, "schedule": {"step": {"size": 1, "gamma": 0.5}}, "monitor": "metric"},
    ],
)
@pytest.mark.parametrize("at", [3, 8])
def test_ctrl_c_within_an_epoch(tmp_path, options, at):
    options = FULL | options
    whole = fit(TRAIN, VAL, **(options | {"augment": [*FULL["augment"], Press()]}))
    press = Press(at)
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **(options | {"augment": [*FULL["augment"], press], "save_every": 60}), out=tmp_path)
    # Five batches an epoch (the last single case joins the fourth of four). With accumulation, a step is two of them.
    state, steps = written(tmp_path), options.get("accumulate", 1)
    done = min(-(-at // steps) * steps, 5) if at < 5 else 5 + -(-(at - 5) // steps) * steps
    assert len(state["history"]) * 5 + state["step"] == done
    press = Press()
    again = fit(TRAIN, VAL, **(options | {"augment": [*FULL["augment"], press]}), out=tmp_path, resume=True)
    assert press.seen == 15 - done
    assert equal(whole, again)


SCRIPT = """
import os, signal, sys
from pellucid.train import fit
from pellucid.train.state import State
from tiny_networks import Noisy, registered
from train.test_exact_resume import FULL, TRAIN, VAL

save, seen = State.save, []

def then_die(self, folder):
    save(self, folder)
    seen.append(1)
    if len(seen) == 9:  # five steps and an end of the first epoch, and three steps of the second
        (folder / ".last.safetensors.1.tmp").write_bytes(b"half a sta")
        os.kill(os.getpid(), signal.SIGKILL)

State.save = then_die
with registered(noisy=Noisy):
    fit(TRAIN, VAL, **FULL, out=sys.argv[1])
"""


@pytest.mark.slow
def test_killed_by_sigkill_within_an_epoch(tmp_path):
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    state = written(tmp_path)
    assert len(state["history"]) == 1
    assert state["step"] == 3
    again = fit(TRAIN, VAL, **FULL, out=tmp_path, resume=True)
    assert equal(fit(TRAIN, VAL, **FULL), again)


def test_the_state_is_written_by_time(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(State, "save", lambda self, folder: saved.append(self.step))
    fit(TRAIN, VAL, **(FULL | {"save_every": 60, "epochs": 1, "warmup": 0}), out=tmp_path)
    assert saved == [0]
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    fit(TRAIN, VAL, **(FULL | {"save_every": 60, "epochs": 1, "warmup": 0}), out=tmp_path)
    assert saved[1:] == [3, 0]
    with pytest.raises(UsageError, match="save_every"):
        fit(TRAIN, VAL, **(FULL | {"save_every": -1}))


def test_a_state_of_another_architecture(tmp_path):
    fit(TRAIN, VAL, **FULL, out=tmp_path)

    def wider():
        return Noisy(width=6)

    def deeper():
        made = Noisy()
        made.body.append(torch.nn.Linear(2, 2))
        return made

    for other, words in ((wider, "size mismatch|built otherwise"), (deeper, r"Missing key.*body\.7")):
        with registered_as_noisy(other), pytest.raises(ModelError, match=words):
            fit(TRAIN, VAL, **FULL, out=tmp_path, resume=True)
    with pytest.raises(UsageError, match="network was 'noisy', now 'other'"), registered(other=Noisy):
        fit(TRAIN, VAL, **(FULL | {"network": "other"}), out=tmp_path, resume=True)


def test_other_labels_or_sizes_under_the_same_names_are_not_gone_on_with(tmp_path):
    fit(TRAIN, VAL, **FULL, out=tmp_path)
    assert fit(TRAIN, VAL, **FULL, out=tmp_path, resume=True).best_epoch
    relabelled = [TRAIN[0].replace(truth=1 - TRAIN[0].truth), *TRAIN[1:]]
    smaller = [[c.replace(inputs={k: v[..., :-2, :] for k, v in c.inputs.items()}) for c in side] for side in (TRAIN, VAL)]
    for sides in ((relabelled, VAL), smaller):
        with pytest.raises(UsageError, match=r"started otherwise .*cases was"):
            fit(*sides, **FULL, out=tmp_path, resume=True)


class registered_as_noisy:
    """The name 'noisy' for something else, as when somebody changed the class."""

    def __init__(self, other):
        self.other = other

    def __enter__(self):
        from pellucid.nets.registry import NETWORKS

        self.old, NETWORKS._entries["noisy"] = NETWORKS._entries["noisy"], self.other

    def __exit__(self, *_):
        from pellucid.nets.registry import NETWORKS

        NETWORKS._entries["noisy"] = self.old


def test_an_optimiser_state_that_does_not_fit(tmp_path):
    def broken(change):
        with pytest.raises(KeyboardInterrupt):
            fit(TRAIN, VAL, **(FULL | {"augment": [Press(2)]}), out=tmp_path)
        state = State.load(tmp_path, written(tmp_path)["settings"])
        change(state.optimizer)
        state.save(tmp_path)
        fit(TRAIN, VAL, **(FULL | {"augment": [Press()]}), out=tmp_path, resume=True)

    with pytest.raises(ModelError, match=r"does not fit the network: exp_avg of parameter 0 is \(3, 3\), the parameter"):
        broken(lambda o: o["state"][0].update(exp_avg=torch.zeros(3, 3)))
    with pytest.raises(ModelError, match="it is of 5 parameters, the network has 6"):
        broken(lambda o: o["param_groups"][0]["params"].pop())


def test_a_state_of_another_version_is_told_so(tmp_path):
    fit(TRAIN, VAL, **FULL, out=tmp_path)
    text = written(tmp_path)
    del text["steps"]
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / "last.safetensors")
    save_file(tensors, tmp_path / "last.safetensors", metadata={"state": json.dumps(text)})
    with pytest.raises(ModelError, match=r"of another version .*'steps'.*delete it"):
        fit(TRAIN, VAL, **FULL, out=tmp_path, resume=True)


class Pruned(Exception):
    pass


def test_what_progress_raises_ends_the_training_and_comes_through(tmp_path):
    told = []

    def progress(record):
        told.append(record)
        if record["epoch"] == 2:
            raise Pruned("no better than the others")

    with pytest.raises(Pruned, match="no better"):
        fit(TRAIN, VAL, **(FULL | {"progress": progress}), out=tmp_path)
    assert [r["epoch"] for r in told] == [1, 2]
    assert set(told[0]) == {"epoch", "train_loss", "val_loss", "val_metric", "lr", "seconds"}
    assert len(written(tmp_path)["history"]) == 2
    # The state is whole: the training can go on.
    assert equal(fit(TRAIN, VAL, **FULL), fit(TRAIN, VAL, **FULL, out=tmp_path, resume=True))
