"""Trap: "the last Conv2d" can be a shortcut, a layer after pooling, or one of the other branch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.engine import Engine
from pellucid.explain.cam.grad_cam import GradCam


class Awkward(nn.Module):
    """Declared in an order that misleads: the last ``Conv2d`` is a squeeze after pooling, the one before a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.other = nn.Conv2d(1, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(4, 6, 1)
        self.squeeze = nn.Conv2d(10, 3, 1)

    def forward(self, t1: Tensor, t2: Tensor) -> Tensor:
        h = torch.relu(self.stem(t1))
        h = torch.relu(self.main(h) + self.shortcut(h))
        both = torch.cat([h.mean((2, 3), keepdim=True), self.other(t2).amax((2, 3), keepdim=True)], 1)
        return self.squeeze(both).flatten(1)


def test_the_layer_is_found_by_running_the_model() -> None:
    torch.manual_seed(0)
    net = Awkward().eval()
    convolutions = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[-2:] == ["shortcut", "squeeze"], "what a guess by name would take"
    p = Predictor(net, inputs=["t1", "t2"], task="classification", classes=list("abc"))
    case = Case(id="1", inputs={"t1": torch.randn(1, 10, 10), "t2": torch.randn(1, 14, 14)})
    engine = Engine(p)
    inputs = engine.stack([case])
    assert engine.layer_for("t1", inputs).name == "stem", "all of the evidence, on the same grid"
    assert engine.layer_for("t2", inputs).name == "other"
    assert [(x.name, x.grid) for x in engine.layers(inputs) if "t1" in x.inputs] == [
        ("stem", (10, 10)), ("main.0", (10, 10)), ("main.1", (10, 10)), ("main", (10, 10)), ("shortcut", (10, 10)),
    ]  # fmt: skip
    ((a,),) = explain("grad_cam", p, [case], [ClassScore(1)])
    assert a.notes["layers"]["t1"] == {"layer": "stem", "grid": [10, 10], "bypassed": False}
    assert a.notes["layers"]["t2"]["layer"] == "other"


class Reused(nn.Module):
    """One ReLU module, called behind each of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1, stride=2)
        self.relu, self.head = nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.second(self.relu(self.first(x))))
        return self.head(h.mean((2, 3)))


@pytest.mark.filterwarnings("ignore")
def test_each_call_of_a_reused_module_is_a_layer_of_its_own() -> None:
    """pytorch-grad-cam, given the module, silently looks at its first call: the early layer, not the last."""
    net, x = Reused().eval(), torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(0))
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="1", inputs={"x": x})
    grids = {}
    for layer in (None, "relu", "relu#1"):
        ((a,),) = explain(GradCam(layer=layer), p, [case], [ClassScore(1)])
        grids[layer] = a.notes["layers"]["x"]["layer"], a.notes["layers"]["x"]["grid"]
    assert grids == {None: ("relu#1", [6, 6]), "relu": ("relu", [12, 12]), "relu#1": ("relu#1", [6, 6])}
    made = peer("pytorch_grad_cam").GradCAM(model=net, target_layers=[net.relu])
    inner, caught = made.get_cam_image, []
    made.get_cam_image = lambda *args, **kw: caught.append(inner(*args, **kw)) or caught[-1]
    made(input_tensor=x[None], targets=[lambda out: out[1]])
    assert caught[0].shape == (1, 12, 12)
