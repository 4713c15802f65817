"""The gradient family beside Captum and SHAP with the same draws, and beside finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import torch
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import DeepLiftShap as CaptumDeepLiftShap
from captum.attr import GradientShap as CaptumGradientShap
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import NoiseTunnel
from captum.attr import Saliency as CaptumSaliency
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.explain.gradient.deepshap import DeepShap
from pellucid.explain.gradient.expected_gradients import ExpectedGradients
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.gradient.vargrad import VarGrad
from pellucid.explain.shapley.gradient_shap import GradientShap
from reference.gradients import finite_differences

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own
K, S, SHARE = 2, 6, 0.15
F = FAMILIES["picture"]
CASES, USUAL = F.cases(2), F.cases(7)[2:]


def stacked(cases: list[Case]) -> Tensor:
    return torch.stack([c.inputs["x"] for c in cases])


def maps(method: object, module: nn.Module, **options: object) -> Tensor:
    rows = explain(method, F.predictor(module), CASES, [ClassScore(K)], **options)  # type: ignore[arg-type]
    return torch.stack([row[0].maps["x"] for row in rows])


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> None:
    theirs = theirs.detach().to(ours)
    top = float(theirs.abs().max())
    assert top > 1e-6
    assert float((ours - theirs).abs().max()) < tolerance * top


class Deep(nn.Module):
    """What Captum and SHAP can take: every activation a module of its own, none in place, no pooling inside."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(
            nn.Conv2d(2, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(3 * x)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("smoothgrad", SmoothGrad(samples=S, noise=SHARE)),
        ("smoothgrad_sq", SmoothGrad(samples=S, noise=SHARE, reduce="square")),
        ("vargrad", VarGrad(samples=S, noise=SHARE)),
    ],
)
def test_noise_tunnel_with_the_same_noise(kind: str, method: object, monkeypatch: pytest.MonkeyPatch) -> None:
    module = F.module()
    problem = Problem(Engine(F.predictor(module)), CASES, [ClassScore(K)], seed=4)
    owner, copy = problem.copies(S)
    noise = problem.noisy(SHARE, "smoothgrad")(owner, copy)["x"] - stacked(CASES).repeat_interleave(S, 0)
    monkeypatch.setattr(torch, "normal", lambda mean, sd: noise)
    theirs = NoiseTunnel(CaptumSaliency(module)).attribute(
        stacked(CASES), nt_type=kind, nt_samples=S, stdevs=1.0, target=K, abs=False
    )
    monkeypatch.undo()
    close(maps(method, module, seed=4), theirs)


def test_gradient_shap_with_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    module = F.module()
    problem = Problem(Engine(F.predictor(module)), CASES, [ClassScore(K)], seed=4)
    places = ((torch.arange(S) + problem.draw_numbers(S, "alpha")) / S).flatten().numpy()
    which = (problem.draw_numbers(S, "background") * len(USUAL)).long().flatten().numpy()
    monkeypatch.setattr(np.random, "uniform", lambda *a: places)
    monkeypatch.setattr(np.random, "choice", lambda *a: which)
    theirs = CaptumGradientShap(module).attribute(stacked(CASES), stacked(USUAL), n_samples=S, stdevs=0.0, target=K)
    monkeypatch.undo()
    close(maps(GradientShap(samples=S), module, seed=4, background=USUAL), theirs)


@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre"])
def test_integrated_gradients_from_every_kind_of_baseline(rule: str) -> None:
    module, name = F.module(), {"midpoint": "riemann_middle", "gauss_legendre": "gausslegendre"}[rule]
    for kind in ("zero", "mean", "blur", "uniform", "gaussian", "cohort"):
        problem = Problem(Engine(F.predictor(module)), CASES, [ClassScore(K)], background=USUAL)
        method = IntegratedGradients(baseline=kind, n_steps=9, rule=rule)  # type: ignore[arg-type]
        base = problem.fill(method.baseline)["x"]
        theirs = CaptumIntegratedGradients(module).attribute(stacked(CASES), base, target=K, n_steps=9, method=name)
        close(maps(method, module, background=USUAL), theirs)


def test_expected_gradients_of_one_background_case() -> None:
    module = F.module()
    base = stacked(USUAL[:1]).expand(2, -1, -1, -1)
    theirs = CaptumIntegratedGradients(module).attribute(
        stacked(CASES), base, target=K, n_steps=20, method="riemann_middle"
    )
    close(maps(ExpectedGradients(n_steps=20), module, background=USUAL[:1]), theirs)


def test_expected_gradients_are_the_mean_of_integrated_gradients() -> None:
    """The limit is the same whatever the nodes: Captum's with 300 for each of five baselines."""
    module, theirs = F.module(), torch.zeros(2, 2, 16, 16)
    for case in USUAL:
        base = stacked([case]).expand(2, -1, -1, -1)
        theirs += CaptumIntegratedGradients(module).attribute(
            stacked(CASES), base, target=K, n_steps=300, method="riemann_middle"
        ).detach() / len(USUAL)  # fmt: skip
    close(maps(ExpectedGradients(n_steps=300), module, background=USUAL), theirs, 0.01)
    close(maps(ExpectedGradients(), module, background=USUAL), theirs, 0.1)


def test_deepshap_beside_captum_and_shap() -> None:
    net = Deep().eval()
    ours = maps(DeepShap(), net, background=USUAL)
    theirs = CaptumDeepLiftShap(net).attribute(stacked(CASES), stacked(USUAL), target=K)
    close(ours, theirs, 1e-3)
    values = shap.DeepExplainer(net, stacked(USUAL)).shap_values(stacked(CASES), check_additivity=False)
    close(ours, torch.as_tensor(np.asarray(values)[..., K]), 1e-3)
    one = CaptumDeepLift(net).attribute(stacked(CASES), stacked(USUAL[:1]).expand(2, -1, -1, -1), target=K)
    close(maps(DeepShap(), net, background=USUAL[:1]), one, 1e-3)


def test_deepshap_with_max_pooling_beside_shap() -> None:
    """The pooling rule is that of Lundberg's DeepExplainer; Captum misses its own there (test_oracle_captum.py)."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.Sigmoid(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 16, 8), nn.ReLU(), nn.Linear(8, 3),
    ).eval()  # fmt: skip
    values = shap.DeepExplainer(net, stacked(USUAL)).shap_values(stacked(CASES), check_additivity=False)
    close(maps(DeepShap(), net, background=USUAL), torch.as_tensor(np.asarray(values)[..., K]), 1e-3)


@pytest.mark.parametrize("family", ["picture_and_table", "two_pictures", "segmentation"])
def test_a_sum_of_gradients_by_finite_differences(family: str) -> None:
    """Smooth forms have no closed form of their own, but each copy's gradient is a derivative: here one copy, float64."""
    f = FAMILIES[family]
    module, case, target = f.module(), f.cases(1)[0], f.targets[1]
    p = f.predictor(module)
    exact = {"precision": "float64", "seed": 2}
    problem = Problem(Engine(p, precision="float64"), [case], [target], seed=2)
    noisy = {k: v[0] for k, v in problem.noisy(0.1, "smoothgrad")(*problem.copies(1)).items()}
    k = getattr(target, "k", 0)

    def one(method: object) -> Attribution:
        return explain(method, p, [case], [target], **exact)[0][0]  # type: ignore[arg-type]

    mean, square = one(SmoothGrad(samples=1)), one(SmoothGrad(samples=1, reduce="square"))
    module.double()
    for name in f.shapes:

        def scalar(v: Tensor, name: str = name) -> Tensor:
            shown = {n: v if n == name else x for n, x in noisy.items()}
            with torch.no_grad():
                args = [((x - p.reference(n, x)) / p.unit(n, x))[None] if x.ndim == 1 else x[None] for n, x in shown.items()]
                return module(*args)[0, k].sum()

        wanted = finite_differences(scalar, noisy[name])
        if noisy[name].ndim == 1:
            wanted = wanted * p.unit(name, noisy[name])
        close(mean.maps[name].double(), wanted, 1e-5)
        close(square.maps[name].double(), wanted**2, 1e-5)


def test_a_table_beside_captum_in_units_of_its_standard_deviation() -> None:
    """Captum on the standardised table: per sd, and for the square and the variance per sd squared."""
    f = FAMILIES["picture_and_table"]
    module, cases = f.module(), f.cases(2)
    p = f.predictor(module)
    problem = Problem(Engine(p), cases, [ClassScore(K)], seed=4)
    noisy = problem.noisy(SHARE, "smoothgrad")(*problem.copies(S))
    table = (noisy["table"] - p.reference("table", noisy["table"])) / p.unit("table", noisy["table"])
    image = noisy["image"].requires_grad_()
    _, grads = CaptumSaliency(module).attribute((image, table.requires_grad_()), target=K, abs=False)
    each = grads.view(2, S, -1)
    for method, wanted in (
        (SmoothGrad(samples=S, noise=SHARE), each.mean(1)),
        (SmoothGrad(samples=S, noise=SHARE, reduce="square"), (each**2).mean(1)),
        (VarGrad(samples=S, noise=SHARE), each.var(1, correction=0)),
    ):
        rows = explain(method, p, cases, [ClassScore(K)], seed=4)
        close(torch.stack([row[0].maps["table"] for row in rows]), wanted, 1e-3)


