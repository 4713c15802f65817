"""Captum as an independent reference, where its algorithm is the same."""

from __future__ import annotations

import pytest
import torch
from captum.attr import (
    DeepLift as CaptumDeepLift,
)
from captum.attr import (
    FeatureAblation as CaptumFeatureAblation,
)
from captum.attr import GradientShap as CaptumGradientShap
from captum.attr import InputXGradient, LayerAttribution, LayerGradCam
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import Occlusion as CaptumOcclusion
from captum.attr import Saliency as CaptumSaliency
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.fill import Fill, blur
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.cam.grad_cam import GradCam
from pellucid.explain.gradient.deeplift import DeepLift
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.perturbation.feature_ablation import FeatureAblation
from pellucid.explain.perturbation.occlusion import Occlusion
from pellucid.explain.shapley.gradient_shap import GradientShap

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own
K = 2
NAMES = ["picture", "two_pictures", "volume"]


class Plain(nn.Module):
    """What Captum can take: every activation a module of its own, none in place, pooling next to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, padding=1), nn.Sigmoid(),
            nn.Flatten(), nn.Linear(6 * 64, 8), nn.ELU(), nn.Linear(8, 3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def setup(family: str, count: int = 2) -> tuple[nn.Module, Predictor, list[Case], tuple[Tensor, ...]]:
    f = FAMILIES[family]
    module, cases = f.module(), f.cases(count)
    stacked = tuple(torch.stack([c.inputs[k] for c in cases]) for k in f.shapes)
    return module, f.predictor(module), cases, stacked


def same(rows, captum: tuple[Tensor, ...] | Tensor, *, summed: bool = False, tolerance: float = 1e-5) -> None:
    captum = captum if isinstance(captum, tuple) else (captum,)
    for b, row in enumerate(rows):
        assert len(row[0].maps) == len(captum)
        for m, other in zip(row[0].maps.values(), captum):
            wanted = other[b].detach().sum(0) if summed else other[b].detach()
            top = float(wanted.abs().max())
            assert top > 1e-4
            assert float((m - wanted).abs().max()) < tolerance * top


@pytest.mark.parametrize("family", NAMES)
def test_saliency_and_input_x_gradient(family: str) -> None:
    module, p, cases, x = setup(family)
    x = tuple(v.requires_grad_() for v in x)
    same(explain("saliency", p, cases, [ClassScore(K)]), CaptumSaliency(module).attribute(x, target=K))
    same(explain("input_x_gradient", p, cases, [ClassScore(K)]), InputXGradient(module).attribute(x, target=K))


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize(("rule", "name"), [("midpoint", "riemann_middle"), ("gauss_legendre", "gausslegendre")])
def test_integrated_gradients(family: str, rule, name: str) -> None:
    module, p, cases, x = setup(family)
    theirs = CaptumIntegratedGradients(module).attribute(x, target=K, n_steps=12, method=name)
    same(explain(IntegratedGradients(n_steps=12, rule=rule), p, cases, [ClassScore(K)]), theirs, tolerance=1e-4)


def test_smoothgrad_with_hardly_any_noise_is_the_gradient() -> None:
    module, p, cases, (x,) = setup("picture")
    theirs = CaptumSaliency(module).attribute(x.requires_grad_(), target=K, abs=False)
    same(explain(SmoothGrad(samples=3, noise=1e-6), p, cases, [ClassScore(K)]), theirs, tolerance=1e-3)


def test_smoothgrad_in_the_mean() -> None:
    """Captum's NoiseTunnel with the same absolute noise, many samples of both."""
    from captum.attr import NoiseTunnel

    torch.manual_seed(0)
    module, p, cases, (x,) = setup("picture", 1)
    sd = 0.1 * float(x.max() - x.min())
    theirs = NoiseTunnel(CaptumSaliency(module)).attribute(
        x, nt_type="smoothgrad", nt_samples=600, nt_samples_batch_size=100, stdevs=sd, target=K, abs=False
    )
    same(explain(SmoothGrad(samples=600, noise=0.1), p, cases, [ClassScore(K)]), theirs, tolerance=0.08)


def test_deeplift_where_captum_can() -> None:
    torch.manual_seed(1)
    net = Plain().eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=list("abc"))
    cases = FAMILIES["picture"].cases(2)
    x = torch.stack([c.inputs["x"] for c in cases])
    base = blur(x, 2.0)
    theirs = CaptumDeepLift(net).attribute(x, base, target=K)
    fill = Fill(kind="blur", sigma=2.0)
    same(explain(DeepLift(baseline=fill), p, cases, [ClassScore(K)]), theirs, tolerance=1e-3)


def test_max_pooling_inside_a_net_where_captum_misses_its_own_rule() -> None:
    """Found by this oracle (Captum 0.9): with a layer before it, what comes back through the pooling does not add up."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)).eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=list("abc"))
    case = Case(id="1", inputs={"x": torch.rand(2, 4, 4)})
    x = case.inputs["x"][None]
    base = blur(x, 2.0)
    change = float((net(x) - net(base))[0, K])
    theirs = CaptumDeepLift(net).attribute(x, base, target=K)
    ((ours,),) = explain(DeepLift(baseline=Fill(kind="blur", sigma=2.0)), p, [case], [ClassScore(K)])
    assert float(ours.maps["x"].sum()) == pytest.approx(change, rel=1e-4)
    assert abs(float(theirs.sum()) - change) > 0.01 * abs(change)


def test_gradient_shap_in_the_mean() -> None:
    torch.manual_seed(0)
    module, p, cases, (x,) = setup("picture", 1)
    theirs = CaptumGradientShap(module).attribute(x, torch.zeros_like(x), n_samples=800, stdevs=0.0, target=K)
    same(explain(GradientShap(samples=100), p, cases, [ClassScore(K)]), theirs, tolerance=0.08)


@pytest.mark.parametrize(
    ("family", "window", "stride"),
    [("picture", 5, 3), ("picture", 4, 4), ("picture", 7, 1), ("volume", (2, 4, 3), (2, 3, 2)), ("volume", (3, 3, 8), (1, 3, 8))],
)
def test_occlusion_of_the_same_windows(family: str, window, stride) -> None:
    module, p, cases, (x,) = setup(family)
    axes = x.ndim - 2
    sides, steps = (v if isinstance(v, tuple) else (v,) * axes for v in (window, stride))
    theirs = CaptumOcclusion(module).attribute(
        x, sliding_window_shapes=(x.shape[1], *sides), strides=(x.shape[1], *steps), baselines=0, target=K
    )
    ours = explain(Occlusion(window=window, stride=stride, fill="zero"), p, cases, [ClassScore(K)])
    same(ours, theirs[:, :1], summed=True, tolerance=2e-3)  # differences of float32 scores


def test_feature_ablation_with_masks() -> None:
    module, p, cases, (x,) = setup("picture")
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    labels = torch.where(row < 5, 0, torch.where(column < 6, 1, 2))
    cases = [c.replace(regions={"parts": labels}) for c in cases]
    theirs = CaptumFeatureAblation(module).attribute(x, baselines=0, feature_mask=labels.expand(1, 2, 16, 16), target=K)
    ours = explain(FeatureAblation(groups="parts", fill="zero"), p, cases, [ClassScore(K)])
    same(ours, theirs[:, :1], summed=True, tolerance=1e-4)


@pytest.mark.parametrize("family", ["picture", "volume"])
def test_grad_cam(family: str) -> None:
    f = FAMILIES[family]
    module, p, cases, (x,) = setup(family)
    layer = module.parts[next(iter(f.shapes))].second
    cam = LayerGradCam(module, layer).attribute(x, target=K)
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    theirs = LayerAttribution.interpolate(cam, tuple(x.shape[2:]), interpolate_mode=mode)
    name = next(iter(f.shapes))
    ours = explain(GradCam(layer=f"parts.{name}.second", sign="signed"), p, cases, [ClassScore(K)])
    same(ours, theirs, summed=True)
