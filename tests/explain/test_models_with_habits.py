"""Models with habits that hinder a look inside: checkpoints, kept tensors, weights made anew, draws in eval mode."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint as checkpoints
from torch import Tensor, nn

from contract.families import explain, gap
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.errors import ModelError

METHODS = ("saliency", "integrated_gradients", "deeplift", "guided_backprop", "lrp", "grad_cam", "occlusion")


class Net(nn.Module):
    """A small convolutional net with a habit."""

    def __init__(self, habit: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 6, 3, 1, 1), nn.Linear(6, 2)
        self.habit, self.use_checkpoint, self.kept = habit, habit == "switched checkpoint", None
        if habit == "old weight norm":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                nn.utils.weight_norm(self.first)

    def part(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))))

    def forward(self, x: Tensor) -> Tensor:
        if self.use_checkpoint or "hard-wired" in self.habit:
            h = checkpoints.checkpoint(self.part, x, use_reentrant="reentrant" in self.habit)
        else:
            h = self.part(x)
        if self.habit == "keeps features":
            self.kept = {"last": [h]}
        if self.habit == "dropout":
            h = F.dropout(h, 0.5)
        return self.head(h.mean((2, 3)))


def maps(method: str, net: nn.Module) -> Attribution:
    x = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(3))
    predictor = Predictor(net.eval(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain(method, predictor, [Case(id="1", inputs={"x": x})], [ClassScore(1)])
    return a


@pytest.mark.parametrize("habit", ["switched checkpoint", "old weight norm", "keeps features"])
@pytest.mark.parametrize("method", METHODS)
def test_a_habit_does_not_change_the_map(method: str, habit: str) -> None:
    net = Net(habit)
    net.load_state_dict({**net.state_dict(), **{k: v for k, v in Net().state_dict().items() if k in net.state_dict()}})
    net(torch.rand(1, 1, 12, 12))  # with a graph: tensors that PyTorch refuses to copy
    before, switch, kept = set(vars(net)), net.use_checkpoint, net.kept
    a = maps(method, net)
    assert gap(a, maps(method, Net())) < 1e-5
    assert (set(vars(net)), net.use_checkpoint) == (before, switch)
    assert net.kept is kept
    assert "random_model" not in a.flags


@pytest.mark.parametrize("method", ["deeplift", "guided_backprop", "lrp"])
def test_a_checkpoint_that_cannot_be_switched_off_is_refused_where_it_matters(method: str) -> None:
    with pytest.raises(ModelError, match="switch checkpointing off in the model"):
        maps(method, Net("hard-wired"))
    assert gap(maps("saliency", Net("hard-wired")), maps("saliency", Net())) < 1e-6


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_reentrant_checkpoint_is_refused_in_a_sentence() -> None:
    with pytest.raises(ModelError, match="switch checkpointing off in the model"):
        maps("saliency", Net("hard-wired, reentrant"))
    assert gap(maps("occlusion", Net("hard-wired, reentrant")), maps("occlusion", Net())) < 1e-5


@pytest.mark.parametrize("method", ["saliency", "occlusion", "grad_cam", "rise"])
def test_a_model_that_draws_at_random_is_warned_of_and_its_maps_are_flagged(method: str) -> None:
    with pytest.warns(UserWarning, match="draws random numbers in eval mode"):
        a = maps(method, Net("dropout"))
    assert "random_model" in a.flags


class NoGradient(torch.autograd.Function):
    """A function whose author forgot the backward pass."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2


def test_a_backward_pass_that_fails_is_a_sentence() -> None:
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(NoGradient.apply(x))

    with pytest.raises(ModelError, match=r"Broken cannot be differentiated .*use a method without gradients"):
        maps("saliency", Broken())
    assert "empty" not in maps("occlusion", Broken()).flags
