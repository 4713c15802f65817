"""Trap: a network that ends in a sigmoid or softmax, given to a loss that squashes again."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pellucid.errors import UsageError
from pellucid.train import fit
from tiny_networks import SETTINGS, Noisy, cases, registered

TRAIN, VAL = cases(8, "t"), cases(4, "v", seed=1)


class Ending(nn.Module):
    """The network, and a last step that is put in below."""

    end = staticmethod(lambda x: x)

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__()
        self.body = Noisy(classes=classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.body(x))


def train(end, *, labels=False, classes=2):
    network = type("Ending", (Ending,), {"end": staticmethod(end)})
    options = SETTINGS | {"network": "ending", "epochs": 1, "options": {"classes": classes}}
    options["classes"] = [str(k) for k in range(classes)]
    cohort = (TRAIN, VAL)
    if labels:
        options["activation"] = "sigmoid"
        cohort = tuple([c.replace(truth=[float(c.truth)] * classes) for c in part] for part in cohort)
    with registered(ending=network):
        return fit(*cohort, **options)


def test_the_trap_a_right_answer_keeps_a_large_loss():
    # However sure: softmax of (1, 0) is (0.73, 0.27), the sigmoid of a probability of 1 is 0.73.
    sure = torch.tensor([[60.0, -60.0]])
    assert float(F.cross_entropy(sure, torch.tensor([0]))) < 1e-6
    assert float(F.cross_entropy(sure.softmax(1), torch.tensor([0]))) > 0.3
    assert float(F.binary_cross_entropy_with_logits(sure.sigmoid(), torch.tensor([[1.0, 0.0]]))) > 0.3


@pytest.mark.parametrize(
    ("end", "labels", "said"),
    [
        (lambda x: x.softmax(1), False, "ends in a softmax"),
        (lambda x: F.softmax(x.reshape(-1, 2), dim=1).reshape(x.shape), False, "ends in a softmax"),
        (torch.sigmoid, True, "ends in a sigmoid"),
        (lambda x: torch.sigmoid(x)[:, None].squeeze(1), True, "ends in a sigmoid"),
        (lambda x: torch.cat([1 - x[:, :1].sigmoid(), x[:, :1].sigmoid()], 1), False, "that sum to 1"),
        (lambda x: x.exp() / x.exp().sum(1, keepdim=True), False, "that sum to 1"),
    ],
)
def test_a_network_that_squashes_is_refused(end, labels, said):
    with pytest.raises(UsageError, match=f"network 'ending' .*{said}.*losses here take logits.*Take the last layer away"):
        train(end, labels=labels)


@pytest.mark.parametrize("end", [lambda x: 0.5 * (1 + torch.tanh(x)), lambda x: (torch.sigmoid(x) + torch.sigmoid(2 * x)) / 2])
def test_what_only_looks_like_probabilities_is_warned_of(end):
    with pytest.warns(UserWarning, match="gives numbers from 0 to 1 only, as if they were probabilities"):
        train(end, labels=True)


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("end", [lambda x: x, lambda x: 0.01 * x + 0.5, F.logsigmoid, lambda x: x * torch.sigmoid(x)])
def test_logits_are_taken_without_a_word(end, classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(end, labels=True, classes=classes)


def test_scores_of_a_regression_may_lie_where_they_like():
    with registered(ending=type("Ending", (Ending,), {"end": staticmethod(torch.sigmoid)})):
        options = SETTINGS | {"network": "ending", "epochs": 1, "options": {"classes": 1}, "task": "regression"}
        fit(TRAIN, VAL, **(options | {"classes": None}))
