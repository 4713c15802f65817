"""Synthetic rows of rare classes: where they lie, how many there are, and what is trained on them."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.nets import build_network
from pellucid.train import fit
from pellucid.train.balance import Smote, as_balance
from pellucid.train.data import Batches, columns
from pellucid.train.embeddings import Embedded, entry_of
from pellucid.train.loop import Loop
from pellucid.train.module import ROWS, TrainingModule
from pellucid.train.normalise import statistics
from pellucid.train.smote import prepare, synthetic_rows, wanted_rows
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

ALL = cases(26, "t")
TRAIN, VAL = [c for i, c in enumerate(ALL) if c.truth == 0 or i < 8], cases(6, "v", seed=1)  # 13 and 4
SMOTE = SETTINGS | {"balance": {"smote": {"neighbours": 3}}}
PIXELS = SETTINGS | {"balance": {"smote": {"neighbours": 3, "on": "pixels"}}}
COLUMNS = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


def between(row, rows, k):
    """Whether a row lies between one of ``rows`` and one of its k nearest: by trying all pairs."""
    for i, a in enumerate(rows):
        distances = (rows - a).norm(dim=1)
        distances[i] = float("inf")
        for j in distances.argsort()[:k]:
            step = rows[j] - a
            u = float((row - a) @ step / (step @ step))
            if -1e-4 <= u <= 1 + 1e-4 and torch.allclose(a + u * step, row, atol=1e-4):
                return True
    return False


@pytest.mark.parametrize(("k", "ratio"), [(2, 1.0), (3, 0.5)])
def test_every_row_lies_between_a_row_and_one_of_its_nearest_of_the_class(k, ratio):
    classes = torch.tensor([0] * 12 + [1] * 5 + [2] * 9)[torch.randperm(26, generator=torch.Generator().manual_seed(0))]
    rows = torch.randn(26, 7, generator=torch.Generator().manual_seed(1))
    neighbours = {k_: k for k_, n in wanted_rows(classes, ratio=ratio).items() if n}
    made, of = synthetic_rows(lambda i: rows[i], classes, neighbours=neighbours, ratio=ratio, seed=3)
    assert torch.bincount(of, minlength=3).tolist() == ([0, 7, 3] if ratio == 1 else [0, 1, 0])
    assert made.dtype == torch.float32
    assert all(between(row, rows[classes == c], k) for row, c in zip(made, of))
    again = synthetic_rows(lambda i: rows[i], classes, neighbours=neighbours, ratio=ratio, seed=3)
    assert torch.equal(made, again[0])
    other = synthetic_rows(lambda i: rows[i], classes, neighbours=neighbours, ratio=ratio, seed=4)
    assert not torch.equal(made, other[0])


def test_pixels_and_a_table_make_one_row_in_the_units_of_the_cases():
    rng = np.random.default_rng(0)
    made = [
        Case(id=str(i), inputs={"x": 100 + 20 * rng.random((1, 4, 5)), "t": 1e-3 * rng.random(3)}, truth=int(i > 7))
        for i in range(12)
    ]
    predictor = Predictor(
        nn.Identity(), inputs=["x", "t"], task="classification", classes=["no", "yes"],
        normalise=statistics(made, ["x", "t"]),
    )  # fmt: skip
    data = columns(made, predictor)
    found = prepare(data, predictor, options=Smote(on="pixels", neighbours=2), seed=0)
    assert found.facts == {"rows": {"yes": 4}, "neighbours": {"yes": 2}}
    assert [len(v) for v in found.columns.values()] == [16, 16, 16]
    for i in range(12):  # the cases themselves are not touched
        assert all(found.columns[k][i] is data[k][i] for k in data)
    # Standardised, each input's squared distance is divided by its number of values.
    flat = torch.stack([
        torch.cat([((data[k][i] - m.reshape(-1, *[1] * (data[k][i].ndim - 1))) / s.reshape(-1, *[1] * (data[k][i].ndim - 1))).flatten()
                   / data[k][i].numel() ** 0.5 for k, (m, s) in predictor.normalise.items()])
        for i in range(12)
    ])  # fmt: skip
    for n in range(12, 16):
        row = torch.cat([
            ((found.columns[k][n] - m.reshape(-1, *[1] * (found.columns[k][n].ndim - 1))) / s.reshape(-1, *[1] * (found.columns[k][n].ndim - 1))).flatten()
            / found.columns[k][n].numel() ** 0.5 for k, (m, s) in predictor.normalise.items()
        ])  # fmt: skip
        assert between(row, flat[8:], 2)
        assert int(found.columns["truth"][n]) == 1


def watched(monkeypatch):
    """Every batch that a step is made with, with the network's embeddings of all cases at the start of its epoch."""
    seen, step, begin = [], Loop._step, Embedded.begin

    def stepped(loop, number, batch):
        seen.append(batch)
        return step(loop, number, batch)

    def begun(self, *args):
        begin(self, *args)
        seen.append(self._kept if self._kept is not None else self._embeddings(args[0], torch.device("cpu")))

    monkeypatch.setattr(Loop, "_step", stepped)
    monkeypatch.setattr(Embedded, "begin", begun)
    return seen


def test_rows_of_the_head_join_the_batches(monkeypatch):
    seen = watched(monkeypatch)
    got = fit(TRAIN, VAL, **SMOTE)
    assert got.settings["smote"] == {"rows": {"yes": 9}, "neighbours": {"yes": 3}}
    classes = torch.tensor([c.truth for c in TRAIN])
    assert len(seen) == 3 * (1 + 4)  # 17 cases in batches of four, the last one joins
    drawn = []
    for first in range(0, 15, 5):
        embeddings, *batches = seen[first : first + 5]
        assert embeddings.shape == (17, 64)  # what Noisy's last layer gets
        shares = [len(b[ROWS]) for b in batches]
        assert sum(shares) == 9
        assert max(shares) - min(shares) <= 1
        for b in batches:
            assert len(b["truth"]) == len(b["x"]) + len(b[ROWS])
            assert b["truth"][len(b["x"]) :].tolist() == [1] * len(b[ROWS])
            assert all(between(row, embeddings[classes == 1], 3) for row in b[ROWS])
        drawn.append(torch.cat([b[ROWS] for b in batches]))
    assert not torch.allclose(drawn[0], drawn[1])


def test_the_loss_is_over_all_rows_as_written_out():
    """One batch, plain gradient descent: the weights after a step are those of a loss over cases and rows."""
    options = SMOTE | {"options": {"norm": False, "dropout": 0}, "epochs": 1, "batch_size": 17, "optimizer": "sgd",
                       "momentum": 0, "lr": 0.1}  # fmt: skip
    taken = {}

    class Kept(Noisy):
        def __init__(self, *, norm=True, dropout=0.3):
            super().__init__(norm=norm, dropout=dropout)
            taken["module"] = self
            taken["start"] = {k: v.clone() for k, v in self.state_dict().items()}

    rows: list = []
    begin = Embedded.begin

    def kept(self, *args):
        begin(self, *args)
        rows.append(self.rows)

    with registered(kept=Kept), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Embedded, "begin", kept)
        got = fit(TRAIN, VAL, **options | {"network": "kept"})
    plain = Noisy(norm=False, dropout=0)
    plain.load_state_dict(taken["start"])
    mean, sd = statistics(TRAIN, ["x"])["x"]
    x = (torch.stack([c.inputs["x"] for c in TRAIN]) - mean) / sd
    y = torch.cat([torch.tensor([c.truth for c in TRAIN]), rows[0]["truth"]])
    deep = plain.body[:6](x)
    loss = nn.functional.cross_entropy(plain.body[6](torch.cat([deep, rows[0][ROWS]])), y)
    loss.backward()
    assert got.history["train_loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    state = got.predictor.module.state_dict()
    for key, parameter in plain.named_parameters():
        assert torch.allclose(state[key], parameter - 0.1 * parameter.grad, atol=1e-6), key


def test_what_does_not_change_before_the_head_is_looked_at_once(monkeypatch):
    looked, embeddings = [], Embedded._embeddings

    def counted(self, *args):
        looked.append(1)
        return embeddings(self, *args)

    monkeypatch.setattr(Embedded, "_embeddings", counted)
    for options, times in (
        ({"freeze": "backbone"}, 1), ({}, 3), ({"freeze": ["body.0"]}, 3), ({"unfreeze": {0: "head", 2: "all"}}, 2),
    ):  # fmt: skip
        looked.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            fit(TRAIN, VAL, **SMOTE | options)
        assert len(looked) == times, options


@pytest.mark.parametrize("options", [SMOTE, PIXELS], ids=["embeddings", "pixels"])
@pytest.mark.parametrize("at", [2, 7])
def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(tmp_path, options, at):
    press, n = Press(), 4 if options is SMOTE else 7  # batches of 17 cases, or of 26
    whole = fit(TRAIN, VAL, **options | {"augment": ["flip", press], "accumulate": 2})
    assert press.seen == 3 * n
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **options | {"augment": ["flip", Press(at)], "accumulate": 2}, out=tmp_path)
    again = fit(TRAIN, VAL, **options | {"augment": ["flip", Press()], "accumulate": 2}, out=tmp_path, resume=True)
    theirs = whole.predictor.module.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in again.predictor.module.state_dict().items())
    assert whole.history[COLUMNS].equals(again.history[COLUMNS])
    plain = fit(TRAIN, VAL, **SETTINGS | {"augment": ["flip"], "accumulate": 2}).predictor.module.state_dict()
    assert not all(torch.equal(plain[k], v) for k, v in theirs.items())


def module_of(name, inputs, **options):
    module = build_network(name, options)
    return TrainingModule(
        Predictor(module, inputs=list(inputs), task="classification", classes=["a", "b"],
                  normalise={k: (torch.zeros(1), torch.ones(1)) for k in inputs}), nn.functional.cross_entropy,
    )  # fmt: skip


PICTURE = torch.rand(2, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "options", "inputs", "entry"),
    [
        ("resnet18", {}, {"x": PICTURE}, "fc"), ("resnet18", {"head": 4, "dropout": 0.5}, {"x": PICTURE}, "fc"),
        ("resnet18", {"conv": 4, "standardise": "picture"}, {"x": PICTURE}, "network.fc.out"),
        ("image_tabular", {"features": 3}, {"x": PICTURE, "t": torch.rand(2, 3)}, "head"),
        ("fusion_transformer", {}, {"x": PICTURE, "t": torch.rand(2, 12)}, "head"),
        ("fusion", {"fuse": "cross_attention"}, {"x": PICTURE, "t": torch.rand(2, 12)}, "head"),
        ("densenet121", {"dropout": 0.5, "head": 4}, {"x": PICTURE}, "class_layers.out"),
        ("noisy", {}, {"x": PICTURE}, "body.6"),
    ],
)
def test_where_rows_join_in_our_networks(name, options, inputs, entry):
    training = module_of(name, inputs, **options)
    found = entry_of(training, {**inputs, "truth": torch.zeros(2)})
    assert training.network.get_submodule(entry) is found
    assert training.training


class Pooled(nn.Module):
    """Its last part gives a map, which is pooled behind it."""

    def __init__(self, *, twice: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.twice = nn.Conv2d(1, 3, 3), nn.Linear(1, 2) if twice else nn.Conv2d(3, 2, 1), twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        if self.twice:
            return self.head(y.mean((1, 2, 3))[:, None]) + y.mean((2, 3))[:, :2]
        return self.head(y).mean((2, 3))


def test_a_head_before_which_no_row_can_be_put():
    for options in ({}, {"twice": True}):
        with registered(pooled=Pooled), pytest.raises(UsageError, match="the head 'head' of network 'pooled' gets no row"):
            fit(TRAIN, VAL, **SMOTE | {"network": "pooled", "options": options})
    with registered(pooled=Pooled):
        assert len(fit(TRAIN, VAL, **PIXELS | {"network": "pooled", "epochs": 1}).history) == 1


def test_too_few_cases():
    two = [*TRAIN[:1], *[c for c in TRAIN if c.truth == 0][1:], *[c for c in TRAIN if c.truth == 1][:2]]
    with pytest.warns(UserWarning, match="'yes' has 2 training cases: 1 neighbours are taken in the place of 5"):
        got = fit(two, VAL, **SETTINGS | {"epochs": 1, "balance": "smote"})
    assert got.settings["smote"] == {"rows": {"yes": 11}, "neighbours": {"yes": 1}}
    with pytest.raises(UsageError, match="'yes' has one training case, and a synthetic one lies between two; use over"):
        fit(two[:-1], VAL, **SMOTE)
    with pytest.raises(UsageError, match="no training case of class yes"):
        fit(two[:-2], VAL, **SMOTE)


def test_balanced_classes_get_no_rows():
    same = [*ALL[:8]]
    plain = fit(same, VAL, **SETTINGS).predictor.module.state_dict()
    for options in (SMOTE, PIXELS):
        got = fit(same, VAL, **options)
        assert got.settings["smote"]["rows"] == {}
        assert all(torch.equal(v, plain[k]) for k, v in got.predictor.module.state_dict().items())


def test_one_label_is_two_classes_and_several_are_refused():
    one = {"classes": ["yes"], "options": {"classes": 1}, "epochs": 1}
    for options in (SMOTE, PIXELS):
        assert fit(TRAIN, VAL, **options | one).settings["smote"]["rows"] == {"yes = 1": 9}
    many = [[c.replace(truth=[c.truth, 1 - c.truth]) for c in part] for part in (TRAIN, VAL)]
    with pytest.raises(UsageError, match=r"smote is for exclusive classes, and the 2 labels here.*use class_weights"):
        fit(*many, **SMOTE | {"activation": "sigmoid"})
    scores = [[c.replace(truth=float(c.truth)) for c in part] for part in (TRAIN, VAL)]
    with pytest.raises(UsageError, match="smote is for classification, this model does regression"):
        fit(*scores, **SMOTE | {"task": "regression", "classes": None, "options": {"classes": 1}})


def test_what_cannot_be():
    for balance, words in (
        ("smot", "balance is 'smot'; did you mean 'smote'"), ({"smote": {"on": "pixel"}}, "did you mean 'pixels'"),
        ({"smote": {"neighbours": 0}}, "neighbours is 0"), ({"smote": {"ratio": 2}}, "ratio is 2"),
        ({"smote": {"k": 3}}, "has no option 'k'"), ({"oversample": {"ratio": 1}}, "oversample has no option 'ratio'"),
        ({"smote": None, "oversample": None}, "give one name"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            as_balance(balance)
    with pytest.raises(UsageError, match="smote on embeddings is for one device, devices is 2"):
        fit(TRAIN, VAL, **SMOTE, devices=2)
    assert as_balance(None).name is None
    assert as_balance({"class_weights": None}).name == "class_weights"


def test_a_batch_keeps_all_cases_in_order():
    batches = Batches({"truth": torch.arange(7)}, batch_size=3, seed=5)
    assert [b["truth"].tolist() for b in batches.in_order()] == [[0, 1, 2], [3, 4, 5], [6]]
