"""Trap: cases are oversampled before the split, or in the validation and test sets. Here: in the training fold only."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.errors import InputError, UsageError
from pellucid.train import fit
from pellucid.train.data import Batches
from tiny_networks import registered

N_TRAIN, N_VAL = {"no": 13, "yes": 4, "maybe": 3}, {"no": 5, "yes": 2, "maybe": 1}


def fold(counts, first):
    """Cases whose picture is their number; patients of two slices."""
    made = []
    for truth, n in counts.items():
        for _ in range(n):
            number = first + len(made)
            x = np.full((1, 4, 4), number, np.float32)
            made.append(Case(id=str(number), inputs={"x": x}, truth=truth, group=f"p{number // 2}"))
    return made


class Witness(nn.Module):
    """Writes down what it is shown, in training and in validation."""

    shown: list = []

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.last = nn.Linear(1, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append((self.training, x[:, 0, 0, 0].detach().clone()))
        return self.last(x[:, 0, 0, :1])


SETTINGS = {
    "network": "witness", "inputs": ["x"], "task": "classification", "classes": list(N_TRAIN), "batch_size": 7,
    "epochs": 2, "progress": False, "device": "cpu", "balance": "oversample",
}  # fmt: skip
TRAIN, VAL = fold(N_TRAIN, 0), fold(N_VAL, 100)


def test_the_trap_is_real_and_a_repeated_case_cannot_be_on_both_sides():
    """Repeated before a split, copies of a case are on both sides; the split by patient and the ids refuse them."""
    copies = [c.replace(id=f"{c.id}-{k}") for c in TRAIN if c.truth == "maybe" for k in range(4)]
    with registered(witness=Witness), pytest.raises(InputError, match="patients are in the training and in the valid"):
        fit([*TRAIN, *copies[::2]], [*VAL, *copies[1::2]], **SETTINGS)
    with registered(witness=Witness), pytest.raises(InputError, match="the id occurs twice"):
        fit([*TRAIN, *TRAIN[-3:]], VAL, **SETTINGS)


def test_oversampling_reaches_the_training_fold_and_nothing_else():
    Witness.shown = []
    with registered(witness=Witness):
        trained = fit(TRAIN, VAL, **SETTINGS)
    mean, sd = trained.predictor.normalise["x"]
    # The statistics are those of the cases as they are, not of the drawn ones.
    assert float(mean) == pytest.approx(np.mean(range(20)))
    seen = {True: Counter(), False: Counter()}
    for training, values in Witness.shown:
        seen[training].update((values * sd + mean).round().long().tolist())
    truth = {int(c.id): c.truth for c in (*TRAIN, *VAL)}
    assert set(seen[True]) == {int(c.id) for c in TRAIN}
    by_class = Counter()
    for number, times in seen[True].items():
        by_class[truth[number]] += times
    assert by_class == dict.fromkeys(N_TRAIN, 2 * 13)
    assert all(seen[True][int(c.id)] == 2 for c in TRAIN if c.truth == "no")
    # Validation: two epochs and the outputs for the thresholds, each case once in each; one more for the first look.
    assert set(seen[False]) == {int(c.id) for c in VAL}
    first = int(VAL[0].id)
    assert seen[False][first] >= 3
    assert all(times == 3 for number, times in seen[False].items() if number != first)
    assert trained.settings["n_val"] == len(VAL)


def test_batches_in_order_refuse_to_be_oversampled():
    classes = torch.tensor([0, 0, 1])
    with pytest.raises(UsageError, match="validation and test cases are never oversampled"):
        Batches({"x": torch.zeros(3, 1), "truth": classes}, batch_size=2, oversample=classes)
