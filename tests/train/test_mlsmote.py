"""Synthetic rows for rare labels among several."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train import fit
from pellucid.train.balance import MlSmote, as_balance
from pellucid.train.loop import Loop
from pellucid.train.mlsmote import checked_labels, multilabel_rows, rare_labels
from pellucid.train.module import ROWS
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

RNG = np.random.default_rng(0)
# The first label in every other case, the second in every fourth, the third in three.
TRUTH = torch.tensor([[i % 2, i % 4 == 0, i in (3, 4, 9)] for i in range(24)], dtype=torch.float32)
TRAIN = [c.replace(truth=t.tolist()) for c, t in zip(cases(24, "t"), TRUTH)]
VAL = [c.replace(truth=[c.truth, 1 - c.truth, int(i == 0)]) for i, c in enumerate(cases(6, "v", seed=1))]
GIVEN = SETTINGS | {"classes": ["a", "b", "c"], "activation": "sigmoid", "options": {"classes": 3},
                    "balance": {"mlsmote": {"neighbours": 2}}}  # fmt: skip
PIXELS = GIVEN | {"balance": {"mlsmote": {"neighbours": 2, "on": "pixels"}}}


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


def test_which_labels_are_rare():
    # Ratios 1, 2, 4 have the mean 7/3; a label without a case has no ratio.
    assert rare_labels(TRUTH) == [2]
    assert rare_labels(torch.cat([TRUTH, torch.zeros(24, 1)], 1)) == [2]
    assert rare_labels(torch.ones(4, 2)) == []


def literal(rows, truth, k, near):
    """For each case with label k: its nearest with it, one after the other, and the labels that most of them have."""
    own = [i for i in range(len(truth)) if truth[i][k]]
    for i in own:
        nearest = sorted((j for j in own if j != i), key=lambda j: float((rows[i] - rows[j]).norm()))[:near]
        votes = [sum(float(truth[j][label]) for j in [i, *nearest]) for label in range(truth.shape[1])]
        yield i, nearest, [float(v > (near + 1) / 2) for v in votes]


@pytest.mark.parametrize("near", [1, 2, 3])
def test_every_row_lies_between_a_case_and_a_neighbour_and_has_the_labels_of_most(near):
    rows = torch.tensor(RNG.normal(size=(24, 5)), dtype=torch.float32)
    made, of = multilabel_rows(lambda i: rows[i], TRUTH, neighbours={1: near}, seed=7)
    assert made.shape == (6, 5)
    for row, labels, (i, nearest, wanted) in zip(made, of, literal(rows, TRUTH, 1, near)):
        assert labels.tolist() == wanted
        assert labels[1] == 1
        shares = [(row - rows[i]) @ (rows[j] - rows[i]) / (rows[j] - rows[i]).square().sum() for j in nearest]
        assert any(
            0 <= u <= 1 and torch.allclose(rows[i] + u * (rows[j] - rows[i]), row, atol=1e-5) for u, j in zip(shares, nearest)
        )
    again = multilabel_rows(lambda i: rows[i], TRUTH, neighbours={1: near}, seed=7)[0]
    assert torch.equal(made, again)
    assert not torch.equal(made, multilabel_rows(lambda i: rows[i], TRUTH, neighbours={1: near}, seed=8)[0])


@pytest.mark.parametrize("options", [GIVEN, PIXELS], ids=["embeddings", "pixels"])
def test_rows_reach_the_training_and_it_is_resumed_to_the_bit(monkeypatch, tmp_path, options):
    seen, step = [], Loop._step
    monkeypatch.setattr(Loop, "_step", lambda loop, n, batch: (seen.append(batch), step(loop, n, batch))[1])
    whole = fit(TRAIN, VAL, **options | {"augment": [Press()]})
    assert whole.settings["smote"] == {"rows": {"c": 3}, "neighbours": {"c": 2}}
    if options is GIVEN:
        assert sum(len(b[ROWS]) for b in seen if ROWS in b) == 3 * 3
        assert all(len(b["truth"]) == len(b["x"]) + len(b.get(ROWS, ())) for b in seen)
    else:
        assert sum(len(b["x"]) for b in seen) == 3 * (24 + 3)
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **options | {"augment": [Press(9)]}, out=tmp_path)
    again = fit(TRAIN, VAL, **options | {"augment": [Press()]}, out=tmp_path, resume=True)
    theirs = whole.predictor.module.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in again.predictor.module.state_dict().items())


def test_too_few_and_what_it_is_not_for():
    p = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["a", "b", "c"], activation="sigmoid")
    one = TRUTH.clone()
    one[[4, 9], 2] = 0
    with pytest.warns(UserWarning, match="mlsmote: 'c' has 1 training cases: none is made up"):
        assert checked_labels(one, p, MlSmote(neighbours=2)) == {}
    with pytest.warns(UserWarning, match="'c' has 3 training cases: 2 neighbours are taken in the place of 5"):
        assert checked_labels(TRUTH, p, MlSmote()) == {2: 2}
    with pytest.raises(UsageError, match="mlsmote is for several independent labels; use smote"):
        fit(cases(8, "t"), cases(4, "v"), **SETTINGS | {"balance": "mlsmote"})
    with pytest.raises(UsageError, match=r"smote is for exclusive classes.*use class_weights or mlsmote"):
        fit(TRAIN, VAL, **GIVEN | {"balance": "smote"})
    for balance, words in (
        ({"mlsmote": {"ratio": 1}}, "has no option 'ratio'"), ({"mlsmote": {"neighbours": 0}}, "neighbours is 0"),
        ({"mlsmote": {"on": "pixel"}}, "mlsmote: on is 'pixel'; did you mean 'pixels'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            as_balance(balance)
