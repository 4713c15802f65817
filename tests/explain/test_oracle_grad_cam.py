"""pytorch-grad-cam and MONAI as independent references for the class activation maps.

pytorch-grad-cam's map is compared as it stands on the layer's grid, before its ReLU and before it is stretched over
0–1: what ``get_cam_image`` returns is caught on its way.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.visualize import GradCAMpp
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore
from pellucid.explain.make import as_explainer

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own
cam = peer("pytorch_grad_cam")
K = 1
THEIRS = {
    "grad_cam": cam.GradCAM, "grad_cam_pp": cam.GradCAMPlusPlus, "hires_cam": cam.HiResCAM, "xgrad_cam": cam.XGradCAM,
    "layer_cam": cam.LayerCAM,
}  # fmt: skip


class Net(nn.Module):
    """A layer behind a ReLU, and a tail whose gradients differ from place to place; large weights, so that the
    peers' small constants in denominators do not show. ``stride`` 1 keeps the picture's grid.
    """

    def __init__(self, axes: int = 2, stride: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.conv, self.layer = conv(2, 4, 3, padding=1, stride=stride), nn.ReLU()
        self.deep, self.head = conv(4, 5, 3, padding=1), nn.Linear(5, 3)
        with torch.no_grad():
            self.conv.bias.fill_(0.3)
            self.head.weight.mul_(2000)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.deep(self.layer(self.conv(x)))).flatten(2)
        return self.head(h[:, :, ::2].mean(2))


def cases(axes: int = 2) -> list[Case]:
    shape = (2, 12, 10) if axes == 2 else (2, 6, 8, 4)
    return [
        Case(id=str(i), inputs={"x": torch.randn(shape, generator=torch.Generator().manual_seed(i))}) for i in range(3)
    ]


def ours(method: str, net: nn.Module, some: list[Case], **options) -> Tensor:
    p = Predictor(net, inputs=["x"], task="classification", classes=list("abc"))
    explainer = as_explainer(method, {"layer": "layer", "sign": "signed", **options})
    return torch.stack([a.maps["x"] for (a,) in explain(explainer, p, some, [ClassScore(K)])])


def theirs(kind: type, net: nn.Module, some: list[Case], target=None) -> Tensor:
    """The peer's map on the layer's grid, brought to the picture's size as ours is."""
    x = torch.stack([c.inputs["x"] for c in some])
    caught = []
    with kind(model=net, target_layers=[net.layer]) as made:
        inner = made.get_cam_image
        made.get_cam_image = lambda *args, **kw: caught.append(inner(*args, **kw)) or caught[-1]
        if kind is cam.AblationCAM:
            made.batch_size = 4
        target = target or (lambda out: out[K])
        made(input_tensor=x, targets=[target] * len(some))
    (raw,) = caught
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(torch.as_tensor(raw).float()[:, None], size=x.shape[2:], mode=mode)[:, 0]


def same(a: Tensor, b: Tensor, tolerance: float = 1e-3) -> None:
    for x, y in zip(a, b):
        assert float(y.abs().max()) > 1e-3
        assert float((x - y).abs().max()) < tolerance * float(y.abs().max())


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("method", THEIRS)
def test_gradient_cams(method: str, axes: int) -> None:
    net = Net(axes).eval()
    same(ours(method, net, cases(axes)), theirs(THEIRS[method], net, cases(axes)))


@pytest.mark.parametrize("method", THEIRS)
def test_segmentation(method: str) -> None:
    """Seg-Grad-CAM and its kin: the peer is given the sum of the class's logits over the region."""
    net = Net().eval()

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.layer, self.deep = net.conv, net.layer, net.deep
            self.out = nn.Conv2d(5, 3, 1)
            self.out.weight.data = 2000 * torch.randn(3, 5, 1, 1, generator=torch.Generator().manual_seed(5))

        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.deep(self.layer(self.conv(x))))
            return F.interpolate(self.out(h), size=x.shape[2:], mode="nearest")

    torch.manual_seed(0)
    dense = Dense().eval()
    region = torch.zeros(12, 10, dtype=torch.bool)
    region[2:9, 3:8] = True
    some = [c.replace(regions={"lesion": region}) for c in cases()]
    p = Predictor(dense, inputs=["x"], task="segmentation", classes=list("abc"))
    explainer = as_explainer(method, {"layer": "layer", "sign": "signed"})
    maps = torch.stack([a.maps["x"] for (a,) in explain(explainer, p, some, [RegionScore(K, region="lesion")])])
    same(maps, theirs(THEIRS[method], dense, some, lambda out: (out[K] * region).sum()))


@pytest.mark.parametrize("axes", [2, 3])
def test_eigen_cam_centred_and_but_for_the_sign(axes: int) -> None:
    """The peer subtracts each channel's mean, and leaves the sign of the component to chance."""
    net = Net(axes).eval()
    a, b = ours("eigen_cam", net, cases(axes), centre=True), theirs(cam.EigenCAM, net, cases(axes))
    same(a, torch.stack([y if float((x * y).sum()) > 0 else -y for x, y in zip(a, b)]))


def test_score_cam() -> None:
    """The peer hides with zero and takes the softmax of the scores, which the score of the fill does not change.

    On the picture's own grid, for the peer upsamples masks with their corners aligned.
    """
    net = Net(stride=1).eval()
    with torch.no_grad():
        net.head.weight.div_(500)
    same(ours("score_cam", net, cases(), weights="softmax", fill="zero"), theirs(cam.ScoreCAM, net, cases()))


def test_ablation_cam() -> None:
    """The peer divides by the score."""
    net = Net().eval()
    with torch.no_grad():
        net.head.bias.sub_(net(torch.stack([c.inputs["x"] for c in cases()])).mean(0))
        score = net(torch.stack([c.inputs["x"] for c in cases()]))[:, K]
        seen = net.layer(net.conv(torch.stack([c.inputs["x"] for c in cases()])))
    assert float(seen.amin()) == 0, "else the peer does not set channels to zero"
    assert {bool(s > 0) for s in score} == {True, False}, "a negative score turns the peer's map over"
    y = score[:, None, None]
    same(ours("ablation_cam", net, cases()), theirs(cam.AblationCAM, net, cases()) * y)


class Pooled(nn.Module):
    """Global average pooling and a linear head behind the layer: the gradient is the same all over the grid."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.layer = (nn.Conv2d if axes == 2 else nn.Conv3d)(2, 4, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.head.weight.mul_(2000)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.conv(x)).flatten(2).mean(2))


def monai_pp(net: nn.Module, case: Case) -> Tensor:
    """MONAI's Grad-CAM++ on the layer's grid. It keeps the factor ``exp(y)``: the bias is set so that y is 0."""
    x = case.inputs["x"][None]
    with torch.no_grad():
        net.head.bias.sub_(net(x)[0])
    raw = GradCAMpp(net, target_layers="layer", postprocessing=lambda v: v, upsampler=lambda size: lambda v: v)
    return raw(x=x, class_idx=K)[0].detach()


@pytest.mark.parametrize("axes", [2, 3])
def test_grad_cam_pp_of_monai(axes: int) -> None:
    net = Pooled(axes).eval()
    for case, m in zip(cases(axes), ours("grad_cam_pp", net, cases(axes))):
        same(m.clamp(min=0)[None], monai_pp(net, case))


def test_monai_takes_the_third_derivative_at_the_wrong_place() -> None:
    """The paper's denominator has ``g³`` of the place itself times the sum of the activations; MONAI sums the products
    of all places. The same where the gradient is the same everywhere, and only there.
    """
    net, (case, *_) = Net(stride=1).eval(), cases()
    mine = ours("grad_cam_pp", net, [case]).clamp(min=0)
    assert float((monai_pp(net, case) - mine).abs().max()) > 0.1 * float(mine.abs().max())


def test_the_peer_turns_a_map_over_where_the_score_is_negative() -> None:
    """The same evidence with another bias: ours is the same map, the peer's the opposite one."""
    net, (case, *_) = Net().eval(), cases()
    maps, peers = [], []
    for y in (+5.0, -5.0):
        with torch.no_grad():
            net.head.bias.add_(y - net(case.inputs["x"][None])[0])
        maps.append(ours("ablation_cam", net, [case])[0])
        peers.append(theirs(cam.AblationCAM, net, [case])[0])
    assert float((maps[0] - maps[1]).abs().max()) < 1e-3 * float(maps[0].abs().max())
    assert float(np.corrcoef(peers[0].flatten(), peers[1].flatten())[0, 1]) < -0.99
