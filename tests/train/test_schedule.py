import json
import math

import pytest
import torch
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LinearLR, ReduceLROnPlateau, StepLR

from pellucid.errors import UsageError
from pellucid.train.schedule import Constant, Cosine, Plateau, Schedule, Step, as_schedule

VALUES = [3.0, 2.0, 2.5, 2.2, 2.1, 2.6, 1.9, 2.4, 2.3, 2.2]
EPOCHS = len(VALUES)


def rates(kind, values=VALUES, **options):
    schedule = Schedule(as_schedule(kind), lr=0.3, epochs=len(values), **options)
    found = []
    for value in values:
        found.append(schedule.rate)
        schedule.next_epoch(value)
    return found


def torchs(make, values=VALUES):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    scheduler, found = make(optimizer), []
    for value in values:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([value] if isinstance(scheduler, ReduceLROnPlateau) else []))
    return found


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("cosine", lambda o: CosineAnnealingLR(o, EPOCHS)),
        ({"step": {"size": 3, "gamma": 0.5}}, lambda o: StepLR(o, 3, 0.5)),
        ({"plateau": {"factor": 0.2, "patience": 1}}, lambda o: ReduceLROnPlateau(o, factor=0.2, patience=1)),
        ("plateau", ReduceLROnPlateau),
    ],
)
def test_as_pytorchs(kind, make):
    assert rates(kind) == pytest.approx(torchs(make), rel=1e-12)


def test_the_plain_ones():
    assert rates("constant") == [0.3] * EPOCHS
    # One step after two thirds of the epochs.
    assert rates("step") == pytest.approx([0.3] * 7 + [0.03] * 3)
    assert rates("cosine")[0] == 0.3
    assert 0 < rates("cosine")[-1] < 0.01


def test_a_plateau_of_what_should_rise():
    rising = [0.1, 0.5, 0.4, 0.4, 0.4]
    kind = {"plateau": {"factor": 0.5, "patience": 1}}
    assert rates(kind, rising, higher=True) == pytest.approx([0.3, 0.3, 0.3, 0.3, 0.15])
    assert rates(kind, rising) == pytest.approx([0.3, 0.3, 0.3, 0.15, 0.15])


def test_warm_up_rises_by_step_as_pytorchs_linear_one_times_the_schedule():
    steps, ramp = 4, 10  # per epoch, and of the warm-up: two and a half epochs
    schedule = Schedule(as_schedule({"step": {"size": 2, "gamma": 0.1}}), lr=0.3, epochs=5, ramp=ramp)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs = ChainedScheduler(
        [LinearLR(optimizer, 1 / ramp, total_iters=ramp - 1), StepLR(optimizer, 2 * steps, 0.1)], optimizer=optimizer
    )
    for step in range(5 * steps):
        assert schedule.at(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        optimizer.step()
        theirs.step()
        if (step + 1) % steps == 0:
            schedule.next_epoch(math.nan)


@pytest.mark.parametrize("kind", ["cosine", "constant", {"step": {"size": 3}}, {"plateau": {"patience": 1}}])
def test_the_state_goes_through_json_and_on(kind):
    first = Schedule(as_schedule(kind), lr=0.3, epochs=EPOCHS)
    for value in VALUES[:5]:
        first.next_epoch(value)
    second = Schedule(as_schedule(kind), lr=0.3, epochs=EPOCHS)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for value in VALUES[5:]:
        assert second.rate == first.rate
        first.next_epoch(value)
        second.next_epoch(value)


def test_names_and_options():
    assert as_schedule("cosine") == Cosine()
    assert as_schedule({"constant": None}) == Constant()
    assert as_schedule({"step": {"size": 7}}) == Step(size=7, gamma=0.1)
    assert as_schedule({"plateau": {"patience": 0}}) == Plateau(patience=0)
    for spec, words in (
        ("cos", "unknown schedule"), ({"step": {"siz": 7}}, "no option 'siz'; did you mean 'size'"),
        ({"step": {"size": 0}}, "size is 0"), ({"step": {"size": 1.5}}, "not a whole number"),
        ({"step": {"gamma": 0}}, "gamma is 0"), ({"plateau": {"factor": 1}}, "factor is 1"),
        ({"plateau": {"patience": -1}}, "patience is -1"), ({"step": None, "plateau": None}, "give one name"),
        ({"cosine": {"size": 1}}, "no option 'size'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            as_schedule(spec)
