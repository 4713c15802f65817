"""The stopping rule against its literal twin, and in a training."""

import numpy as np
import pytest
from pydantic import ValidationError

from pellucid.errors import UsageError
from pellucid.study.recipe import Train
from pellucid.train import fit
from pellucid.train.early import best_and_waited
from reference.early_stopping import EarlyStopping
from tiny_networks import SETTINGS, Noisy, cases, registered

TRAIN, VAL = cases(13, "t"), cases(6, "v", seed=1)


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("delta", [0.0, 0.125, 0.5])
def test_it_is_the_rule_of_the_twin(delta, higher):
    # Eighths, so that ties and improvements of exactly delta occur and no sum is rounded.
    stopped = 0
    for seed in range(40):
        numbers = np.random.default_rng(seed).integers(0, 12, size=15) / 8 + np.linspace(1, 0, 15).round()
        for patience in (1, 3):
            twin = EarlyStopping(patience, delta, higher)
            for epoch, number in enumerate(numbers, 1):
                twin.tell(number)
                best, waited = best_and_waited(numbers[:epoch], delta=delta, higher=higher)
                assert (best, waited) == (twin.best_epoch, twin.counter)
                assert (waited >= patience) == twin.stop
                if twin.stop:
                    stopped += epoch < 15
                    break
    assert stopped > 20


def test_small_steps_add_up():
    slowly = [1 - 0.0625 * i for i in range(9)]
    assert best_and_waited(slowly) == (9, 0)
    assert best_and_waited(slowly, delta=0.125) == (9, 0)
    assert best_and_waited(slowly[:-1], delta=0.125) == (8, 1)
    assert best_and_waited(slowly, delta=1) == (9, 8)


def test_a_training_waits_for_improvements_that_count_and_keeps_the_best_epoch(tmp_path):
    with registered(noisy=Noisy):
        options = SETTINGS | {"epochs": 9, "schedule": "constant", "lr": 3e-3}
        all_of_it = fit(TRAIN, VAL, **options)
        got = fit(TRAIN, VAL, **options, patience=3, delta=10, out=tmp_path)
        with pytest.raises(UsageError, match="delta was 10, now 1"):
            fit(TRAIN, VAL, **options, patience=3, delta=1, out=tmp_path, resume=True)
    assert got.stopped_early
    # No improvement is as large as 10: it stops after the first epoch and three more, of which it keeps the best.
    assert len(got.history) == 4
    assert got.best_epoch == got.history.val_loss.argmin() + 1 > 1
    assert got.history.val_loss.tolist() == all_of_it.history.val_loss[:4].tolist()


def test_a_delta_that_cannot_be():
    with registered(noisy=Noisy), pytest.raises(UsageError, match=r"delta is 0\.1, and there is no patience"):
        fit(TRAIN, VAL, **SETTINGS, delta=0.1)
    with registered(noisy=Noisy), pytest.raises(UsageError, match="delta is -1; give 0 or more"):
        fit(TRAIN, VAL, **SETTINGS, patience=2, delta=-1)
    with pytest.raises(ValidationError, match="there is no patience"):
        Train(delta=0.1)
    assert Train(delta=0.1, patience=2).delta == 0.1
