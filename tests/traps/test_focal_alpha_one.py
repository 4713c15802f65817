"""Trap: focal loss with alpha = 1. Negatives weigh 1 − alpha = 0, so nothing tells the network what is absent."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train import fit
from pellucid.train.losses import make_loss
from reference import focal as twin

LABELS = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["a", "b"], activation="sigmoid")
LOGITS = [[0.4, -1.0], [2.0, 0.3], [-0.7, 0.1]]
TRUTH = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


def slope(loss, i, k, step=1e-5):
    """Central difference in one logit."""
    up, down = ([[z + s * (i == a and k == b) for b, z in enumerate(r)] for a, r in enumerate(LOGITS)] for s in (step, -step))
    return (loss(up) - loss(down)) / (2 * step)


def test_the_trap_negatives_get_no_gradient_and_all_present_is_perfect():
    def loss(logits):
        return twin.binary_focal(logits, TRUTH, gamma=2, alpha=1.0)

    for i, row in enumerate(TRUTH):
        for k, y in enumerate(row):
            assert (slope(loss, i, k) != 0) == (y == 1)
    # A network that calls everything present has next to no loss.
    assert loss([[9.0, 9.0]] * 3) < 1e-6


@pytest.mark.parametrize("alpha", [1, 1.0, 0, 1.5, -0.1, [0.5, 1], [0, 0.5], [0.5], [0.2, 0.3, 0.4], "high", True, float("nan")])
def test_ours_refuses(alpha):
    with pytest.raises(UsageError, match="alpha"):
        make_loss(LABELS, name={"focal": {"alpha": alpha}})


def test_ours_says_why_before_any_training():
    rng = np.random.default_rng(0)
    cases = [Case(id=str(i), inputs={"x": rng.random((1, 16, 16)), "t": rng.random(3)}, truth=[i % 2, 0]) for i in range(4)]
    with pytest.raises(UsageError, match=r"with alpha = 1, the negatives get the weight 1 − alpha = 0"):
        fit(
            cases[:2], cases[2:], network="image_tabular", options={"features": 3}, inputs=["x", "t"], task="classification", classes=["a", "b"],
            activation="sigmoid", epochs=1, loss={"focal": {"alpha": 1}}, progress=False,
        )  # fmt: skip


@pytest.mark.parametrize("alpha", [0.9, [0.9, 0.01]])
def test_with_an_alpha_between_negatives_get_theirs(alpha):
    logits = torch.tensor(LOGITS, requires_grad=True)
    make_loss(LABELS, name={"focal": {"alpha": alpha}})(logits, torch.tensor(TRUTH)).backward()
    assert (logits.grad != 0).all()
    assert ((logits.grad > 0) == (torch.tensor(TRUTH) == 0)).all()
