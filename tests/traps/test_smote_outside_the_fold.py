"""Trap: cases are oversampled or made up before the split, or in validation and test sets. Here: in the training fold."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.data import folds
from pellucid.errors import InputError, UsageError
from pellucid.train import fit
from pellucid.train.data import Batches
from pellucid.train.embeddings import Embedded
from pellucid.train.loop import Loop
from pellucid.train.module import ROWS
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


# -- SMOTE ---------------------------------------------------------------------------------------------------------

PLAIN = SETTINGS | {"balance": None, "classes": ["no", "yes"], "options": {"classes": 2}}


def patients(n=24):
    """Random pictures, a third of them of the rare class, two of each patient."""
    rng = np.random.default_rng(4)
    return [
        Case(id=f"c{i}", inputs={"x": rng.random((1, 4, 4))}, truth=int(i // 2 % 3 == 0), group=f"p{i // 2}") for i in range(n)
    ]


class Seen(nn.Module):
    """Writes down every picture that it is shown; its head gets 5 numbers."""

    shown: list = []

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__()
        self.body, self.last = nn.Linear(16, 5), nn.Linear(5, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append((self.training, x.detach().flatten(1).clone()))
        return self.last(self.body(x.flatten(1)))


def between(row, rows):
    """Whether a row lies between two of ``rows``, by trying all pairs."""
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            u = (row - a) @ (b - a) / ((b - a) @ (b - a))
            if -1e-4 <= u <= 1 + 1e-4 and torch.allclose(a + u * (b - a), row, atol=1e-4):
                return True
    return False


def test_the_trap_is_real_rows_made_before_the_split_lie_between_patients_of_both_sides():
    from imblearn.over_sampling import SMOTE

    cases = patients()
    x = torch.stack([c.inputs["x"].flatten() for c in cases])
    truth = np.array([c.truth for c in cases])
    made = torch.from_numpy(SMOTE(k_neighbors=5, random_state=0).fit_resample(x.numpy(), truth)[0][len(x) :])
    train, _ = folds(cases, 3, 0)[0]
    inside = torch.stack([c.inputs["x"].flatten() for c in train if c.truth])
    assert sum(not between(row, inside) for row in made) > 0


@pytest.mark.parametrize("on", ["pixels", "embeddings"])
def test_in_every_fold_rows_lie_between_its_own_training_cases_and_validation_stays(monkeypatch, on):
    cases, steps, begun = patients(), [], []
    step, begin = Loop._step, Embedded.begin
    monkeypatch.setattr(Loop, "_step", lambda loop, n, batch: (steps.append(batch), step(loop, n, batch))[1])

    def embedded(self, training, *rest):
        begin(self, training, *rest)
        with torch.no_grad():  # the rows of all the fold's training cases, worked out here
            x = torch.stack([c.inputs["x"].flatten() for c in self.own])
            mean, sd = training.predictor.normalise["x"]
            begun.append((training.network.body((x - mean) / sd), self.rows[ROWS]))

    monkeypatch.setattr(Embedded, "begin", embedded)
    for train, val in folds(cases, 3, 0):
        assert not {c.group for c in train} & {c.group for c in val}
        Seen.shown, Embedded.own = [], train
        steps.clear()
        begun.clear()
        counts = Counter(c.truth for c in train)
        more = 2 * (counts[0] - counts[1])  # in two epochs
        assert more > 0
        with registered(seen=Seen):
            got = fit(train, val, **PLAIN | {"network": "seen", "balance": {"smote": {"on": on, "neighbours": 3}}})
        mean, sd = got.predictor.normalise["x"]
        pictures = {c.id: c.inputs["x"].flatten() for c in cases}
        rare = torch.stack([pictures[c.id] for c in train if c.truth])
        taught = torch.cat([x * sd + mean for training, x in Seen.shown if training])
        own = torch.stack([pictures[c.id] for c in train])
        new = torch.stack([x for x in taught if not torch.isclose(own, x, atol=1e-5).all(1).any()] or [taught[0]])
        if on == "pixels":
            assert len(new) == more
            assert all(between(row, rare) for row in new)
        else:
            assert len(taught) == 2 * len(train)  # no picture is made up
            rows = torch.cat([b[ROWS] for b in steps if ROWS in b])
            assert len(rows) == more
            for embeddings, made in begun:
                theirs = embeddings[torch.tensor([c.truth for c in train]) == 1]
                assert all(between(row, theirs) for row in made)
        # What validation sees is the validation cases, to the bit as they are to this model, and as often as without.
        plain = {tuple(((pictures[c.id] - mean) / sd).tolist()) for c in val}
        judged = [tuple(x.tolist()) for training, part in Seen.shown if not training for x in part]
        of_train = {tuple(((pictures[c.id] - mean) / sd).tolist()) for c in train}
        assert plain <= set(judged) <= plain | (of_train if on == "embeddings" else set())
        assert got.settings["n_val"] == len(val)
