"""Stability beside Quantus 0.6, fed with the same perturbed inputs and with maps made by plain autograd."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peers import peer
from pellucid.api import evidence_of, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.maths import vector
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.shifts import shift
from pellucid.evaluate.stability.continuity import continuity

SIDE = 12


class Net(nn.Module):
    """No sub-module that Quantus would skip, and a picture whose every value matters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * SIDE * SIDE, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.conv(x)).flatten(1))


@cache
def made() -> tuple[Evidence, nn.Module, int]:
    """The picture lies in [1, 2] with both ends taken, so that its range is 1 and nothing of it is near zero."""
    torch.manual_seed(1)
    net = Net().eval()
    x = 1 + torch.rand(1, SIDE, SIDE)
    x = 1 + (x - x.min()) / (x.max() - x.min())
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = Case(id="q", inputs={"x": x})
    e = evidence_of(Engine(p), case, [explain(p, case, method="input_x_gradient")])
    return e, net, e.target(0).index


def by_autograd(model, inputs, targets, **_):
    x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    out = model(x)
    score = out[torch.arange(len(x)), torch.as_tensor(np.asarray(targets))].sum()
    return (torch.autograd.grad(score, x)[0] * x).detach().numpy()


def theirs(metric, **options) -> float:
    """Quantus's number on our copies, in their order."""
    e, net, k = made()
    copies = iter([c.inputs["x"].numpy().reshape(1, -1) for c in e.jittered_copies()])
    n = len(e.jittered_copies())
    metric = metric(
        nr_samples=n, perturb_func=lambda arr, **_: next(copies).astype(arr.dtype), normalise=False, abs=False,
        disable_warnings=True, return_nan_when_prediction_changes=False, **options,
    )  # fmt: skip
    x = e.case.inputs["x"][None].numpy()
    found = metric(
        model=net, x_batch=x, y_batch=np.array([k]), a_batch=by_autograd(net, x, [k]), explain_func=by_autograd,
        softmax=False, device="cpu", channel_first=True,
    )  # fmt: skip
    assert next(copies, None) is None  # all of them were used, once
    return float(np.ravel(found)[0])


def ours(name, **options) -> float:
    (s,) = made()[0].view(0).scores([as_metric({name: options})]).values()
    return s.value


def size() -> float:
    return float(vector(made()[0].maps[0]).norm())


def test_the_map_is_the_same_on_both_sides():
    e, net, k = made()
    np.testing.assert_allclose(e.maps[0].maps["x"].numpy(), by_autograd(net, e.case.inputs["x"][None], [k])[0], rtol=1e-4)
    assert all(e.answers().kept)
    smallest = e.maps[0].maps["x"].abs().min() / e.maps[0].maps["x"].abs().max()
    assert smallest > 1e-6  # so that their guard of exact zeros and ours of small values are the same


def test_sensitivities():
    quantus = peer("quantus")
    assert ours("max_sensitivity") == pytest.approx(theirs(quantus.MaxSensitivity), rel=1e-4)
    assert ours("avg_sensitivity") == pytest.approx(theirs(quantus.AvgSensitivity), rel=1e-4)


def test_local_lipschitz_estimate_up_to_the_size_of_the_map():
    """Theirs is absolute; the range of this picture is 1, so that the map's size is all that is between them."""
    quantus = peer("quantus")
    assert ours("local_lipschitz") == pytest.approx(theirs(quantus.LocalLipschitzEstimate) / size(), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "other", "own", "their_options"),
    [
        ("relative_input_stability", "RelativeInputStability", {}, {}),
        ("relative_output_stability", "RelativeOutputStability", {}, {}),
        ("relative_representation_stability", "RelativeRepresentationStability", {"layer": "conv"}, {"layer_names": ["conv"]}),
    ],
)
def test_relative_stabilities(name, other, own, their_options):
    quantus = peer("quantus")
    want = theirs(getattr(quantus, other), **their_options)
    assert ours(name, floor=1e-6, **own) == pytest.approx(want, rel=1e-4)


def test_continuity_on_the_shifts_of_quantus():
    """From nearly a width to the left to nearly one to the right, filled with the darkest value, maps not relative."""
    quantus = peer("quantus")
    e, net, k = made()
    steps = 6  # with others it asks for more than a width, and fails
    x = e.case.inputs["x"]
    found = quantus.Continuity(nr_steps=steps, abs=False, normalise=False, disable_warnings=True)(
        model=net, x_batch=x[None].numpy(), y_batch=np.array([k]), explain_func=by_autograd, softmax=False, device="cpu",
        a_batch=by_autograd(net, x[None].numpy(), [k]), channel_first=True,
    )  # fmt: skip
    by = [-SIDE + (i + 1) * ((2 * SIDE + 1) // steps) for i in range(steps)]
    copies = [e.case.replace(inputs={"x": shift(x, x.min().expand_as(x), n, -1)}) for n in by]
    clean = vector(e.maps[0])
    others = [vector(a) for a in e.again[0](e.engine, copies, e.bound)]
    distances = [float((c.inputs["x"] - x).norm()) for c in copies]
    want = float(np.ravel(found)[0])
    assert continuity(clean, others, distances) * float(clean.abs().sum()) == pytest.approx(want, rel=1e-4)
