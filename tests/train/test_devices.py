"""Two processes train as one does."""

import json
import os
import pickle
import queue
import signal
import threading
import types

import pytest
import torch
from safetensors import safe_open

from pellucid.errors import ModelError, UsageError
from pellucid.train import fit
from pellucid.train.data import Batches
from pellucid.train.devices import _listen, _one_of_several, training_device
from pellucid.train.plan import Plan
from pellucid.train.state import State
from pellucid.train.stop import Interrupted
from tiny_networks import SETTINGS, Noisy, cases, registered

TRAIN, VAL = cases(21, "t"), cases(7, "v", seed=1)
PLAIN = SETTINGS | {"options": {"norm": False, "dropout": 0}, "accumulate": 2, "clip": 0.5, "batch_size": 5}


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


class Stop(Exception):
    pass


@pytest.mark.slow
def test_two_processes_go_on_as_one_would(tmp_path):
    """From the middle of an epoch; the last batch has 6 cases, an uneven share, and validation two unequal batches."""
    one, two = tmp_path / "one", tmp_path / "two"
    fit(TRAIN, VAL, **PLAIN, out=one)
    changed = PLAIN | {"augment": [Press()]}
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **changed, out=two)
    begun = State.load(two, settings_of(two) | {"augment": ["press"]})
    assert begun.step == 2
    begun.settings |= {"devices": 2, "augment": []}
    begun.save(two)
    told = []

    def progress(record):
        told.append((record["epoch"], os.getpid()))
        if record["epoch"] == 3:
            raise Stop("from the caller's own function")

    with pytest.raises(Stop, match="caller's own"):
        fit(TRAIN, VAL, **(PLAIN | {"progress": progress, "save_every": 0}), devices=2, out=two, resume=True)
    assert told == [(1, os.getpid()), (2, os.getpid()), (3, os.getpid())]
    alone, together = State.load(one, settings_of(one)), State.load(two, settings_of(two))
    assert together.done
    assert together.best_epoch == alone.best_epoch
    for ours, theirs in zip(together.history, alone.history, strict=True):
        assert ours | {"seconds": 0} == pytest.approx(theirs | {"seconds": 0}, rel=1e-5)
    for part in ("weights", "best"):
        for key, value in getattr(alone, part).items():
            assert torch.allclose(value, getattr(together, part)[key], atol=1e-5), key
    with pytest.raises(UsageError, match="devices was 2, now 1"):
        fit(TRAIN, VAL, **PLAIN, out=two, resume=True)


class Press:
    """Ctrl-C in the first batch; accumulation makes it stop after the second."""

    pressed = False

    def __call__(self, images, mask, generator):
        if not self.pressed:
            os.kill(os.getpid(), signal.SIGINT)
        self.pressed = True
        return images, mask

    def __str__(self):
        return "press"


def settings_of(folder):
    with safe_open(folder / "last.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["state"])["settings"]


def test_records_and_faults_come_from_the_processes_in_order():
    def heard(messages, tell):
        box, faults, stop = queue.SimpleQueue(), [], threading.Event()
        for message in (*messages, None):
            box.put(message)
        _listen(box, tell, faults, stop)
        return faults, stop.is_set()

    told = []
    assert heard([{"epoch": 1}, {"epoch": 2}], told.append) == ([], False)
    assert told == [{"epoch": 1}, {"epoch": 2}]
    fault = ModelError("diverged")
    assert heard([{"epoch": 1}, fault], None) == ([fault], False)

    def refuse(record):
        told.append(record)
        raise Stop

    faults, stopped = heard([{"epoch": 3}, {"epoch": 4}, Interrupted()], refuse)
    assert [type(f) for f in faults] == [Stop, Interrupted]
    assert stopped
    assert told[2:] == [{"epoch": 3}]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fault", [ModelError("diverged"), Interrupted()])
def test_the_first_process_tells_what_went_wrong(rank, fault, monkeypatch):
    class Failing:
        def run(self, fabric, training):
            raise fault

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    box = queue.SimpleQueue()
    _one_of_several(types.SimpleNamespace(global_rank=rank), Failing(), None, box)
    assert box.empty() == (rank == 1)
    assert rank == 1 or box.get() is fault


def shards(batches, world):
    for rank in range(world):
        batches.rank, batches.world = rank, world
        yield [b["truth"].tolist() for b in batches], [batches.own(i) for i in range(len(batches))]


@pytest.mark.parametrize("n", [4, 9, 10, 11])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_every_case_once_an_epoch_and_every_device_in_every_step(n, world):
    data = {"x": torch.arange(float(n))[:, None], "truth": torch.arange(n)}
    found = list(shards(Batches(data, batch_size=4, seed=3), world))
    assert len({len(batches) for batches, _ in found}) == 1
    counted = [i for batches, own in found for batch, k in zip(batches, own) for i in batch[:k]]
    assert sorted(counted) == list(range(n))
    assert all(batch for batches, _ in found for batch in batches)
    # The same global batches as on one device.
    whole = list(Batches(data, batch_size=4, seed=3))
    for i, batch in enumerate(whole):
        parts = [x for batches, own in found for x in batches[i][: own[i]]]
        assert sorted(parts) == sorted(batch["truth"].tolist())


@pytest.mark.parametrize("world", [2, 3])
def test_validation_counts_every_case_once(world):
    data = {"x": torch.arange(11.0)[:, None], "truth": torch.arange(11)}
    found = [i for batches, _ in shards(Batches(data, batch_size=4), world) for batch in batches for i in batch]
    assert sorted(found) == list(range(11))


def test_devices_draw_their_own_changes():
    def noise(images, mask, generator):
        return {k: torch.rand(v.shape, generator=generator) for k, v in images.items()}, mask

    batches = Batches({"x": torch.zeros(8, 1, 4, 4), "truth": torch.zeros(8)}, batch_size=4, seed=0, augment=[noise])
    drawn = []
    for rank in (0, 1):
        batches.rank, batches.world = rank, 2
        drawn += [b["x"] for b in batches]
        # From any step on they are the same: no state is kept of them.
        assert torch.equal(next(batches.going_on(1))["x"], drawn[-1])
    assert len({round(float(x.sum()), 4) for x in drawn}) == 4


def test_cases_are_sent_as_one_tensor_each():
    batches = Batches({"x": [torch.ones(1, 4)] * 3, "truth": [torch.tensor(1)] * 3}, batch_size=2)
    batches.for_several()
    assert batches.data["x"].shape == (3, 1, 4)
    assert batches.data["x"].is_shared()
    assert [len(b["truth"]) for b in pickle.loads(pickle.dumps(batches))] == [2, 1]


def test_devices_that_cannot_be(monkeypatch):
    with pytest.raises(UsageError, match="devices is 0"):
        fit(TRAIN, VAL, **SETTINGS, devices=0)
    with pytest.raises(UsageError, match="'fp16' wants a GPU, this is 'cpu'; use 'bf16'"):
        fit(TRAIN, VAL, **SETTINGS, precision="fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert training_device("auto", Plan(epochs=1, devices=2, precision="fp16")) == torch.device("cuda")
    with pytest.raises(UsageError, match="devices is 3; this machine has 2 GPUs"):
        training_device("cuda", Plan(epochs=1, devices=3))
    with pytest.raises(UsageError, match="give device 'cuda'"):
        training_device("cuda:1", Plan(epochs=1, devices=2))
