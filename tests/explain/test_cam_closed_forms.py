"""Class activation maps where the answer is known: pooled linear heads, heads that are not, and what all share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.cam.base import names
from pellucid.explain.make import as_explainer, attributions

CAMS = [m for m, c in EXPLAINERS.items() if c.family == "cam"]
SHARING = [m for m in CAMS if EXPLAINERS[m].passes == "1 F, T B"]


class Net(nn.Module):
    """A layer of the picture's own size, so that nothing is resized, and a head that is handed in."""

    def __init__(self, head: nn.Module, *, functional: bool = False, axes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = (nn.Conv2d if axes == 2 else nn.Conv3d)(1, 5, 3, padding=1)
        self.relu = F.relu if functional else nn.ReLU()
        self.tail = head

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.relu(self.layer(x)))


class Pooled(nn.Module):
    """The mean over the grid, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(5, 3)

    def forward(self, h: Tensor) -> Tensor:
        return self.head(h.flatten(2).mean(2))


def predictor(net: nn.Module) -> Predictor:
    return Predictor(net.eval(), inputs=["x"], task="classification", classes=list("abc"))


def case(*shape: int) -> Case:
    return Case(id="1", inputs={"x": torch.randn(1, *(shape or (8, 6)), generator=torch.Generator().manual_seed(2))})


def one(method: str, net: nn.Module, c: Case, target=None, **options):
    ((a,),) = explain(as_explainer(method, options), predictor(net), [c], [target or ClassScore(2)])
    return a


@pytest.mark.parametrize("functional", [False, True], ids=["module", "functional"])
@pytest.mark.parametrize("shape", [(8, 6), (4, 5, 3)])
def test_cam_is_the_head_s_weights_and_its_mean_the_score_less_the_bias(shape: tuple[int, ...], functional: bool) -> None:
    """Whether the ReLU between the layer and the pooling is a module or a function, as in DenseNet."""
    net, c = Net(Pooled(), functional=functional, axes=len(shape)), case(*shape)
    a = one("cam", net, c)
    assert a.notes["layers"]["x"]["layer"] == ("layer" if functional else "relu")
    with torch.no_grad():
        maps = torch.relu(net.layer(c.inputs["x"][None]))[0]
        wanted = torch.tensordot(net.tail.head.weight[2], maps, dims=1)
        bias = float(net.tail.head.bias[2])
    torch.testing.assert_close(a.maps["x"], wanted, rtol=1e-4, atol=1e-6)
    assert float(a.maps["x"].mean()) == pytest.approx(a.score - bias, rel=1e-4)
    assert (a.maps["x"] < 0).any()
    hires = one("hires_cam", net, c, sign="signed").maps["x"]
    torch.testing.assert_close(hires * a.maps["x"].numel(), wanted, rtol=1e-4, atol=1e-5)
    assert float(hires.sum()) == pytest.approx(a.score - bias, rel=1e-4)


def test_grad_cam_s_weights_are_the_head_s_over_the_grid_s_size() -> None:
    net, c = Net(Pooled()), case()
    for method in ("grad_cam", "xgrad_cam"):
        torch.testing.assert_close(one(method, net, c, sign="signed").maps["x"] * 48, one("cam", net, c).maps["x"], rtol=1e-4, atol=1e-5)


def test_xgrad_cam_adds_up_as_hires_cam_does() -> None:
    """Its axiom of conservation: the sum of gradient times activation, whatever the head."""
    torch.manual_seed(4)
    net, c = Net(nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(5 * 48, 3))), case()
    x, h = (one(m, net, c, sign="signed").maps["x"] for m in ("xgrad_cam", "hires_cam"))
    assert float(x.sum()) == pytest.approx(float(h.sum()), rel=1e-4)
    assert float((x - h).abs().max()) > 0.05 * float(h.abs().max())


def test_ablation_cam_of_a_linear_head_is_the_share_of_each_channel() -> None:
    net, c = Net(Pooled()), case()
    with torch.no_grad():
        maps = torch.relu(net.layer(c.inputs["x"][None]))[0]
        weights = net.tail.head.weight[2] * maps.flatten(1).mean(1)
    a = one("ablation_cam", net, c, sign="signed")
    torch.testing.assert_close(a.maps["x"], torch.tensordot(weights, maps, dims=1), rtol=1e-3, atol=1e-5)


torch.manual_seed(5)
HEADS = {
    "a hidden layer": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), "not linear in the pooled maps"),
    "a product": (nn.Sequential(Pooled(), nn.Softplus()), "not linear in the pooled maps"),
    "no pooling": (nn.Sequential(nn.Flatten(), nn.Linear(5 * 48, 3)), "differs over the grid by"),
    "the maximum": (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 3)), "differs over the grid by"),
    "another convolution": (nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), Pooled()), ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_another_head_is_refused_with_what_was_found(kind: str) -> None:
    head, said = HEADS[kind]
    net = Net(head)
    if said:
        with pytest.raises(UsageError, match=rf"cam needs .*{said}.*use hires_cam.*or grad_cam"):
            one("cam", net, case())
        assert one("hires_cam", net, case(), sign="signed").maps["x"].abs().max() > 0
    else:
        a = one("cam", net, case())  # the last convolution is the layer
        assert a.notes["layers"]["x"]["layer"] == "tail.0"
        with pytest.raises(UsageError, match="behind layer 'relu', but the gradient there differs over the grid"):
            one("cam", net, case(), layer="relu")


def test_a_probability_is_no_linear_head() -> None:
    with pytest.raises(UsageError, match=r"not linear in the pooled maps of 'relu'.* a probability is not"):
        one("cam", Net(Pooled()), case(), ClassScore(2, on="probability"))


def test_sums_of_branches_are_linear_and_products_are_not() -> None:
    class Both(nn.Module):
        def __init__(self, product: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.head, self.product = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Linear(4, 2), product

        def forward(self, t1: Tensor, t2: Tensor) -> Tensor:
            a, b = self.a(t1).mean((2, 3)), self.b(t2).mean((2, 3))
            return self.head(a * b if self.product else a + b)

    c = Case(id="1", inputs={k: torch.randn(1, 9, 9, generator=torch.Generator().manual_seed(i)) for i, k in enumerate(("t1", "t2"))})
    for product in (False, True):
        net = Both(product).eval()
        p = Predictor(net, inputs=["t1", "t2"], task="classification", classes=["n", "y"])
        if product:
            with pytest.raises(UsageError, match="not linear in the pooled maps of 'a', 'b'"):
                explain("cam", p, [c], [ClassScore(1)])
            continue
        problem = Problem(Engine(p), [c], [ClassScore(1)])
        method = as_explainer("cam")
        grids = method.grids(problem, {n: problem.layer(n) for n in ("t1", "t2")})
        total = sum(float(m.mean()) for m in grids.values())
        assert total == pytest.approx(float(problem.scores) - float(net.head.bias[1].detach()), rel=1e-4)


def test_gradient_cams_share_one_pass_and_are_charged_for_it_each() -> None:
    """All of them, all targets: one forward of the trunk; so do those without gradients."""
    f = FAMILIES["two_pictures"]
    engine = Engine(f.predictor())
    problem = Problem(engine, f.cases(), f.targets)
    for method in SHARING:
        (row, *_) = attributions(problem, as_explainer(method))
        assert (row[0].cost.forwards, row[0].cost.backwards) == (1, 2), method
    assert (engine.cost.forwards, engine.cost.backwards) == (3, 6)  # three cases, two targets
    attributions(problem, as_explainer("cam"))
    assert (engine.cost.forwards, engine.cost.backwards) == (9, 6)  # its proof alone
    attributions(problem, as_explainer("eigen_cam"))
    assert engine.cost.forwards == 12
    (row, *_) = attributions(problem, as_explainer("ablation_cam"))
    assert engine.cost.forwards == 12 + 3 * 12  # six channels for each of two pictures
    assert row[0].cost.forwards == 1 + 12
    (row, *_) = attributions(problem, as_explainer("score_cam"))
    assert engine.cost.forwards == 12 + 3 * 12 + 3 * (2 + 12)
    assert row[0].cost.forwards == 1 + 2 + 12


def test_the_trunk_is_run_once_and_without_a_graph() -> None:
    """Counted in the module below the layer; and a backward pass never enters it."""

    class Watched(nn.Module):
        seen = 0

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            type(self).seen += len(x)
            out = self.conv(x)
            if type(self).watching:
                assert not out.requires_grad
            return out

    Watched.watching = False
    net = nn.Sequential(Watched(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    problem = Problem(Engine(predictor(net)), [case()], [ClassScore(k) for k in range(3)])
    problem.layer("x")  # found by a pass of its own
    Watched.seen, Watched.watching = 0, True
    for method in SHARING:
        attributions(problem, as_explainer(method))
    assert Watched.seen == 1


@pytest.mark.parametrize("method", ["score_cam", "ablation_cam"])
def test_the_strongest_channels_are_enough_where_the_others_do_nothing(method: str) -> None:
    """Two of five channels respond; two are looked at; the map is the same and says so."""
    net = Net(Pooled())
    with torch.no_grad():
        net.layer.weight[[0, 2, 4]] = 0
        net.layer.bias[[0, 2, 4]] = torch.tensor([-1.0, 0.05, -1.0])
        net.tail.head.weight[:, 2] = 0
    every, few = one(method, net, case()), one(method, net, case(), channels=2)
    assert gap(every, few) < 1e-5
    assert "channels" not in every.notes
    assert few.notes["channels"] == {"x": "2 of 5"}
    assert few.cost.forwards == {"score_cam": 2, "ablation_cam": 1}[method] + 2
    less = one(method, net, case(), channels=1)
    assert gap(every, less) > 0.01
    for bad in (0, "most", True, 1.5):
        with pytest.raises(UsageError, match="give 'all', or how many of a layer's channels"):
            as_explainer(method, {"channels": bad})


def test_a_layer_that_does_not_respond_gives_a_map_of_nothing() -> None:
    net = Net(Pooled())
    with torch.no_grad():
        net.layer.weight.zero_()
        net.layer.bias.fill_(-1)
    for method in CAMS:
        a = one(method, net, case())
        assert float(a.maps["x"].abs().max()) == 0, method
        assert "empty" in a.flags


def test_score_cam_hides_with_the_fill_in_the_picture_s_units() -> None:
    """Where the fill is the picture, nothing is hidden and no channel raises the score."""
    net, flat = Net(Pooled()), Case(id="1", inputs={"x": torch.full((1, 8, 6), 0.4)})
    assert float(one("score_cam", net, flat, fill=0.4).maps["x"].abs().max()) < 1e-6
    assert float(one("score_cam", net, flat, fill="zero").maps["x"].abs().max()) > 1e-4


def test_softmax_gives_a_map_to_a_model_that_does_not_care() -> None:
    """Why it is not the default."""
    net = Net(Pooled())
    net.tail.head.weight.data.zero_()
    assert float(one("score_cam", net, case()).maps["x"].abs().max()) == 0
    assert float(one("score_cam", net, case(), weights="softmax").maps["x"].max()) > 0.01


def test_eigen_cam_has_a_sign_and_shows_what_responds() -> None:
    """One channel lights up in a corner; turned over, the component is the same."""
    net = Net(Pooled())
    with torch.no_grad():
        net.layer.weight.zero_()
        net.layer.weight[3, 0, 1, 1] = 1
        net.layer.bias.zero_()
    x = torch.zeros(1, 8, 6)
    x[0, 1:3, 4] = torch.tensor([2.0, 3.0])
    c = Case(id="1", inputs={"x": x})
    torch.testing.assert_close(one("eigen_cam", net, c).maps["x"], x[0])
    net.layer.weight.data.neg_()
    torch.testing.assert_close(one("eigen_cam", net, c, layer="layer", sign="signed").maps["x"], x[0])


def test_options_are_checked() -> None:
    for method in CAMS:
        with pytest.raises(UsageError, match="choose 'positive' or 'signed'"):
            as_explainer(method, {"sign": "both"})
    with pytest.raises(UsageError, match="choose 'increase' or 'softmax'"):
        as_explainer("score_cam", {"weights": "rise"})
    f = FAMILIES["segmentation"]
    with pytest.raises(UsageError, match="a segmentation has no pooled linear head"):
        explain("cam", f.predictor(), f.cases(1), f.targets)
    assert names({}) == []


@pytest.mark.parametrize("method", CAMS)
def test_tables_only(method: str) -> None:
    p = Predictor(nn.Linear(4, 2).eval(), inputs=["t"], task="classification", classes=["a", "b"])
    with pytest.raises(UsageError, match=f"{method} needs an input with spatial axes; this model has tables only"):
        explain(method, p, [Case(id="1", inputs={"t": torch.zeros(4)})], [ClassScore(0)])
