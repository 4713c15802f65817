"""Each option of a training, against a training that is written out."""

import math

import pytest
import torch
from torch.nn import functional as F

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.train import fit
from pellucid.train.data import columns
from pellucid.train.normalise import statistics
from tiny_networks import SETTINGS, Noisy, cases, registered

TRAIN, VAL = cases(24, "t"), cases(9, "v", seed=1)
STILL = SETTINGS | {"options": {"norm": False, "dropout": 0}, "batch_size": 8}


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


def untrained(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Noisy(norm=False, dropout=0)


def written_out(make, *, lr, epochs=3, size=8, warmup=0, clip=None):
    """Weights after a plain PyTorch loop over the same batches."""
    network = untrained()
    optimizer = make(network.parameters())
    mean, sd = statistics(TRAIN, ["x"])["x"]
    x = (torch.stack([c.inputs["x"] for c in TRAIN]) - mean) / sd
    y = torch.tensor([c.truth for c in TRAIN])
    steps = 0
    for epoch in range(epochs):
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(size):
            rate = lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
            optimizer.param_groups[0]["lr"] = rate * min(1, (steps + 1) / warmup if warmup else 1)
            optimizer.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            steps += 1
    return network.state_dict()


def close(got, want):
    state = got.predictor.module.state_dict()
    return all(torch.allclose(v, state[k], atol=1e-5) for k, v in want.items())



@pytest.mark.parametrize(
    ("options", "make"),
    [
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda p: torch.optim.Adam(p, weight_decay=0.1)),
        ({"optimizer": "adamw", "weight_decay": 0.5}, lambda p: torch.optim.AdamW(p, weight_decay=0.5)),
        ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, momentum=0.9)),
        ({"optimizer": "sgd", "momentum": 0.3}, lambda p: torch.optim.SGD(p, momentum=0.3)),
        ({"optimizer": "sgd", "momentum": 0, "clip": 0.1}, torch.optim.SGD),
        ({"optimizer": "sgd", "warmup": 1.5}, lambda p: torch.optim.SGD(p, momentum=0.9)),
    ],
)
def test_as_written_out(options, make):
    got = fit(TRAIN, VAL, **(STILL | options))
    assert got.best_epoch == 3, "the weights are those after the last step"
    want = written_out(make, lr=1e-2, clip=options.get("clip"), warmup=round(3 * options.get("warmup", 0)))
    assert close(got, want)
    assert not close(got, untrained().state_dict())


def test_two_batches_of_four_are_one_of_eight():
    got = fit(TRAIN, VAL, **(STILL | {"batch_size": 4, "accumulate": 2}))
    assert close(got, fit(TRAIN, VAL, **STILL).predictor.module.state_dict())
    # Also where the last step has fewer cases: 24 in batches of 5 are 5, 5, 5, 5, 4; two of them 10, 10, 4.
    got = fit(TRAIN, VAL, **(STILL | {"batch_size": 5, "accumulate": 2}))
    assert close(got, fit(TRAIN, VAL, **(STILL | {"batch_size": 10})).predictor.module.state_dict())


def test_the_best_epoch_by_loss_or_by_metric():
    wrong = [c.replace(truth=1 - c.truth) if i < 3 else c for i, c in enumerate(VAL)]
    options = STILL | {"epochs": 8, "lr": 3e-3, "schedule": "constant", "seed": 2}
    loss = fit(TRAIN, wrong, **options)
    metric = fit(TRAIN, wrong, **options, monitor="metric")
    assert loss.history.val_metric.equals(metric.history.val_metric)
    assert loss.best_epoch == loss.history.val_loss.argmin() + 1
    assert metric.best_epoch == metric.history.val_metric.argmax() + 1
    assert loss.best_epoch != metric.best_epoch
    stopped = fit(TRAIN, wrong, **options, monitor="metric", patience=2)
    assert stopped.stopped_early
    assert len(stopped.history) == metric.best_epoch + 2


def test_less_rmse_is_better():
    def score(c):
        return c.replace(truth=3.0 * c.truth)

    options = STILL | {"task": "regression", "classes": None, "options": {"norm": False, "dropout": 0, "classes": 1}}
    got = fit([score(c) for c in TRAIN], [score(c) for c in VAL], **options, monitor="metric")
    assert got.best_epoch == got.history.val_metric.argmin() + 1 > 1


class Nothing(torch.nn.Module):
    """Segments nothing."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.scale * x - 9


def test_a_metric_that_is_not_defined_cannot_be_monitored():
    made = [c.replace(truth=torch.zeros(12, 12, dtype=torch.int64)) for c in (*TRAIN[:4], *VAL[:2])]
    options = {"network": "nothing", "inputs": ["x"], "task": "segmentation", "classes": ["lesion"], "epochs": 1}
    with registered(nothing=Nothing):
        got = fit(made[:4], made[4:], **options, progress=False)
        assert math.isnan(got.history.val_metric[0])
        with pytest.raises(ModelError, match=r"the dice of the validation cases is not defined .* monitor the loss"):
            fit(made[:4], made[4:], **options, progress=False, monitor="metric")


def test_bf16_learns_and_keeps_float32_weights():
    got = fit(TRAIN, VAL, **(SETTINGS | {"epochs": 6, "precision": "bf16"}))
    assert got.history.train_loss.iloc[-1] < 0.8 * got.history.train_loss.iloc[0]
    assert {v.dtype for v in got.predictor.module.state_dict().values()} == {torch.float32, torch.int64}
    full = fit(TRAIN, VAL, **(SETTINGS | {"epochs": 6}))
    assert not full.history.train_loss.equals(got.history.train_loss)
    assert full.history.train_loss.tolist() == pytest.approx(got.history.train_loss.tolist(), rel=0.1)


def test_cases_are_not_copied():
    predictor = Predictor(torch.nn.Identity(), inputs=["x"], task="classification", classes=["a", "b"])
    rows = columns(TRAIN, predictor)["x"]
    assert all(row is case.inputs["x"] for row, case in zip(rows, TRAIN))


def test_what_cannot_be():
    for options, words in (
        ({"momentum": 0.9}, "momentum is of the optimizer 'sgd'"), ({"clip": 0}, "clip is 0"),
        ({"optimizer": "sgd", "momentum": 1}, "momentum is 1"), ({"accumulate": 0}, "accumulate is 0"),
        ({"warmup": 4}, "warmup is 4 epochs of 3"), ({"monitor": "auroc"}, "monitor is 'auroc'"),
        ({"weight_decay": -1}, "weight_decay is -1"), ({"schedule": {"step": {"size": 0}}}, "size is 0"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            fit(TRAIN, VAL, **(SETTINGS | options))


def test_a_case_of_another_number_of_channels_in_validation():
    other = [Case(id="o", inputs={"x": torch.rand(3, 12, 12)}, truth=0)]
    with pytest.raises(InputError, match="channels"):
        fit(TRAIN, other, **SETTINGS)
