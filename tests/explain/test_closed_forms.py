"""Models whose right map is known on paper."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.explain.control.edge import Edge
from pellucid.explain.gradient.deeplift import DeepLift
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients, quadrature
from pellucid.explain.gradient.saliency import Saliency
from pellucid.explain.perturbation.feature_ablation import FeatureAblation
from pellucid.explain.perturbation.occlusion import Occlusion
from pellucid.explain.shapley.gradient_shap import GradientShap
from reference.gradients import finite_differences

SHAPE = (2, 6, 6)


def linear() -> tuple[Predictor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).eval()
    return Predictor(net, inputs=["x"], task="classification", classes=list("abc")), net[1].weight[1].detach().view(SHAPE)


CASE = Case(id="1", inputs={"x": torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))})
X = CASE.inputs["x"]


def one(method, predictor: Predictor, case: Case, target, **options):
    return explain(method, predictor, [case], [target], precision="float64", **options)[0][0]


@pytest.mark.parametrize(
    "method",
    ["input_x_gradient", "integrated_gradients", "deeplift", "gradient_shap", IntegratedGradients(n_steps=1)]
    + [IntegratedGradients(n_steps=3, rule=rule) for rule in ("midpoint", "gauss_legendre", "trapezoid")],
    ids=str,
)
def test_linear_model_gives_w_times_x(method) -> None:
    predictor, w = linear()
    torch.testing.assert_close(one(method, predictor, CASE, ClassScore(1)).maps["x"], w * X)


def test_linear_model_and_a_baseline_gives_w_times_the_difference() -> None:
    predictor, w = linear()
    for method in (IntegratedGradients(baseline=0.3), DeepLift(baseline=0.3), GradientShap(baseline=0.3)):
        torch.testing.assert_close(one(method, predictor, CASE, ClassScore(1)).maps["x"], w * (X - 0.3))


def test_linear_model_saliency_is_w() -> None:
    predictor, w = linear()
    torch.testing.assert_close(one("saliency", predictor, CASE, ClassScore(1)).maps["x"], w.abs())
    torch.testing.assert_close(one(Saliency(keep_sign=True), predictor, CASE, ClassScore(1)).maps["x"], w)
    torch.testing.assert_close(one("smoothgrad", predictor, CASE, ClassScore(1)).maps["x"], w)


def test_linear_model_windows_of_one_pixel() -> None:
    predictor, w = linear()
    pixel = (w * X).sum(0)
    a = one(Occlusion(window=1, stride=1, fill="zero"), predictor, CASE, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], pixel)
    a = one(FeatureAblation(side=1, fill="zero"), predictor, CASE, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], pixel)


def test_linear_model_larger_windows_are_sums() -> None:
    predictor, w = linear()
    pixel = (w * X).sum(0)
    sums = pixel.view(3, 2, 2, 3).sum((1, 3)).repeat_interleave(2, 0).repeat_interleave(3, 1)
    a = one(Occlusion(window=(2, 3), stride=(2, 3), fill="zero"), predictor, CASE, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], sums)
    blocks = pixel.view(3, 2, 3, 2).sum((1, 3)).repeat_interleave(2, 0).repeat_interleave(2, 1)
    a = one(FeatureAblation(side=2, fill="zero"), predictor, CASE, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], blocks)
    a = one(FeatureAblation(groups="modality", fill="zero"), predictor, CASE, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], pixel.sum().expand(6, 6))


def test_overlapping_windows_are_averaged_and_the_border_is_reached() -> None:
    """Window 4, stride 3 on 6 pixels: windows at 0 and 3 (clipped to 3 pixels), both cover pixel 3."""
    predictor, w = linear()
    rows = (w * X).sum((0, 2))
    first, second = rows[:4].sum(), rows[3:].sum()
    a = one(Occlusion(window=(4, 6), stride=(3, 6), fill="zero"), predictor, CASE, ClassScore(1))
    wanted = torch.stack([first, first, first, (first + second) / 2, second, second])
    torch.testing.assert_close(a.maps["x"], wanted[:, None].expand(6, 6))


class Additive(nn.Module):
    """``Σ_i g_i(t_i)`` with g = sin, square, ReLU, and a linear part: what each column does is known."""

    def forward(self, t: Tensor) -> Tensor:
        a, b, c, d = t.unbind(1)
        return (torch.sin(a) + b**2 + F.relu(c) + 2 * d)[:, None]


def test_additive_table() -> None:
    mean, sd = torch.tensor([50.0, 2.0, 1.0, 0.0]), torch.tensor([10.0, 0.5, 2.0, 1.0])
    p = Predictor(Additive().eval(), inputs=["t"], task="regression", normalise={"t": (mean, sd)})
    t = torch.tensor([63.0, 3.0, 4.0, -1.0])
    z = ((t - mean) / sd).double()
    wanted = torch.stack([torch.sin(z[0]), z[1] ** 2, z[2], 2 * z[3]]).float()
    case = Case(id="1", inputs={"t": t})
    for method in (IntegratedGradients(tolerance=1e-5, settle=1e-4), "deeplift", "occlusion", "feature_ablation"):
        torch.testing.assert_close(one(method, p, case, Score(0)).maps["t"], wanted, rtol=2e-4, atol=1e-5)


def test_the_unit_of_a_column_does_not_matter() -> None:
    """The same model on years and on months: the same map."""
    f = FAMILIES["picture_and_table"]
    module, cases = f.module(), f.cases(2)
    mean, sd = f.predictor(module).normalise["table"]
    scale = torch.tensor([12.0, 1.0, 1000.0, 0.01, 1.0])
    years = f.predictor(module)
    months = Predictor(
        module, inputs=list(f.shapes), task="classification", classes=list("abc"),
        normalise={"table": (mean * scale, sd * scale)},
    )  # fmt: skip
    other = [c.replace(inputs={**c.inputs, "table": c.inputs["table"] * scale}) for c in cases]
    for method in filter(f.runs, EXPLAINERS):
        for a, b in zip(explain(method, years, cases, [ClassScore(0)]), explain(method, months, other, [ClassScore(0)])):
            if EXPLAINERS[method].tables:
                torch.testing.assert_close(a[0].maps["table"], b[0].maps["table"], rtol=1e-3, atol=1e-5)


def test_grad_cam_of_global_pooling_is_cam() -> None:
    """Zhou et al.'s class activation map, over the grid's size: the gradient of a mean is 1/n everywhere."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=list("abc"))
    x = torch.randn(1, 8, 8)
    with torch.no_grad():
        cam = torch.einsum("k,khw->hw", net[3].weight[2], net[0](x[None])[0]) / 64
    from pellucid.explain.cam.grad_cam import GradCam

    a = one("grad_cam", p, Case(id="1", inputs={"x": x}), ClassScore(2))
    torch.testing.assert_close(a.maps["x"], cam.clamp(min=0))
    a = one(GradCam(sign="signed"), p, Case(id="1", inputs={"x": x}), ClassScore(2))
    torch.testing.assert_close(a.maps["x"], cam)
    assert (a.maps["x"] < 0).any()
    assert a.provenance["parameters"]["sign"] == "signed"


@pytest.mark.parametrize("family", ["picture_and_table", "regression", "segmentation", "volume"])
def test_saliency_equals_finite_differences(family: str) -> None:
    f = FAMILIES[family]
    module, case, target = f.module(), f.cases(1)[0], f.targets[1]
    p = f.predictor(module)
    sal = one(Saliency(keep_sign=True), p, case, target)
    product = one("input_x_gradient", p, case, target)
    exact = module.double()
    x = {k: v.double() for k, v in case.inputs.items()}

    def shown(name: str, v: Tensor) -> Tensor:
        return (v - p.reference(name, v)) / p.unit(name, v)

    for name in f.shapes:
        def scalar(v: Tensor, name: str = name) -> Tensor:
            with torch.no_grad():
                out = exact(*(shown(k, (v if k == name else x[k]))[None] for k in f.shapes))
            index = getattr(target, "k", getattr(target, "i", 0))
            return out[0, index].sum()  # the whole image is the region of this family's targets

        wanted = finite_differences(scalar, x[name])
        per_sd = wanted * (p.unit(name, x[name]) if x[name].ndim == 1 else 1)
        assert float((sal.maps[name] - per_sd).abs().max()) < 1e-6 * max(1.0, float(wanted.abs().max()))
        wanted = wanted * (x[name] - (p.reference(name, x[name]) if x[name].ndim == 1 else 0))
        assert float((product.maps[name] - wanted).abs().max()) < 1e-6 * max(1.0, float(wanted.abs().max()))


def test_quadrature_is_exact_where_it_should_be() -> None:
    """Weights sum to 1; midpoint and trapezoid integrate lines, Gauss–Legendre of n nodes degree 2n − 1."""
    for count in (2, 5, 20):
        for rule, degree in (("midpoint", 1), ("trapezoid", 1), ("gauss_legendre", 2 * count - 1)):
            nodes, weights = quadrature(rule, count)
            assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
            assert float(nodes.min()) >= 0 <= 1 - float(nodes.max())
            for d in range(min(degree, 9) + 1):
                assert float((weights * nodes**d).sum()) == pytest.approx(1 / (d + 1), abs=1e-9)


def test_edge_of_a_step_is_the_step() -> None:
    x = torch.zeros(1, 6, 6)
    x[:, :, 3:] = 2.0
    p, _ = linear()
    p = Predictor(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), inputs=["x"], task="classification", classes=["a", "b"])
    p.module.eval()
    a = one(Edge(), p, Case(id="1", inputs={"x": x}), ClassScore(0))
    wanted = torch.zeros(6, 6)
    wanted[:, 2:4] = 1.0  # central difference of a step of 2
    torch.testing.assert_close(a.maps["x"], wanted)


def test_region_mean_is_sum_over_size() -> None:
    f = FAMILIES["segmentation"]
    p, case = f.predictor(), f.cases(1)[0]
    total = one("saliency", p, case, RegionScore(1, region="image")).maps["x"]
    mean = one("saliency", p, case, RegionScore(1, region="image", reduce="mean")).maps["x"]
    torch.testing.assert_close(total, mean * 256)


def test_fill_says_what_absent_is() -> None:
    """Occluding with the value that is there already changes nothing; with another it does."""
    predictor, w = linear()
    flat = Case(id="1", inputs={"x": torch.full(SHAPE, 0.4)})
    assert float(one(Occlusion(window=2, fill="mean"), predictor, flat, ClassScore(1)).maps["x"].abs().max()) < 1e-6
    assert float(one(Occlusion(window=2, fill=0.4), predictor, flat, ClassScore(1)).maps["x"].abs().max()) < 1e-6
    a = one(Occlusion(window=1, stride=1, fill=Fill(kind="air")), predictor, flat, ClassScore(1))
    torch.testing.assert_close(a.maps["x"], w.sum(0) * 1000.4)
