"""The layer of a class activation map is found by running the model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet, ResNet, UNet
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.explain.cam.grad_cam import GradCam


def engine(net: nn.Module, *inputs: str, task: str = "classification", outputs: int = 2) -> Engine:
    return Engine(
        Predictor(net.eval(), inputs=list(inputs) or ["x"], task=task, classes=[f"k{i}" for i in range(outputs)])  # type: ignore[arg-type]
    )


def resnet(axes: int = 2) -> ResNet:
    torch.manual_seed(0)
    return ResNet("basic", [2, 2, 2, 2], [8, 8, 16, 16], spatial_dims=axes, n_input_channels=1, num_classes=2)


def test_resnet_18() -> None:
    e = engine(resnet())
    layer = e.layer_for("x", {"x": torch.zeros(1, 1, 64, 64)})
    assert (layer.name, layer.grid, layer.channels) == ("layer4", (4, 4), 16)
    assert layer.carries == {"x"}


def test_resnet_18_in_three_dimensions() -> None:
    layer = engine(resnet(3)).layer_for("x", {"x": torch.zeros(1, 1, 32, 48, 32)})
    assert (layer.name, layer.grid) == ("layer4", (2, 3, 2))


def test_densenet() -> None:
    torch.manual_seed(0)
    net = DenseNet(spatial_dims=2, in_channels=1, out_channels=2, init_features=8, growth_rate=4, block_config=(2, 2))
    layer = engine(net).layer_for("x", {"x": torch.zeros(1, 1, 64, 64)})
    assert layer.name == "class_layers.relu"
    assert layer.grid == (8, 8)


class Shortcut(nn.Module):
    """The shortcut's 1×1 convolution is called last, and is no place to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut, self.head = nn.Conv2d(4, 6, 1, 2), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        h = self.b(F.relu(self.a(x)))
        return self.head(F.relu(h + self.shortcut(x)).flatten(2).mean(2))


def test_a_shortcut_is_not_the_last_layer() -> None:
    e = engine(Shortcut())
    inputs = {"x": torch.zeros(1, 1, 16, 16)}
    assert [x.name for x in e.layers(inputs)] == ["stem", "a", "b", "shortcut"]
    layer = e.layer_for("x", inputs)
    assert layer.name == "b"
    assert layer.carries == set(), "some of the evidence goes around it, through the shortcut"
    assert next(x for x in e.layers(inputs) if x.name == "stem").carries == {"x"}
    ((a,),) = explain("grad_cam", e.predictor, [Case(id="1", inputs={"x": torch.randn(1, 16, 16)})], [ClassScore(0)])
    assert a.notes["layers"] == {"x": {"layer": "b", "grid": [8, 8], "bypassed": True}}


class Block(Shortcut):
    """The same as a block of its own: its output is after the addition."""

    def __init__(self) -> None:
        super().__init__()
        self.block = _Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(F.relu(self.stem(x))).flatten(2).mean(2))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut, self.relu = nn.Conv2d(4, 6, 1, 2), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.b(self.relu(self.a(x)))
        out += self.shortcut(x)
        return self.relu(out)


def test_a_block_is_taken_after_its_addition() -> None:
    layer = engine(Block()).layer_for("x", {"x": torch.zeros(1, 1, 16, 16)})
    assert layer.name == "block"
    assert layer.carries == {"x"}


class Gated(nn.Module):
    """Attention weights are deeper than the map they weigh; the map carries the evidence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.squash, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1), nn.Sigmoid(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.head((h * self.squash(self.gate(h))).flatten(2).mean(2))


def test_a_gate_is_not_the_map() -> None:
    assert engine(Gated()).layer_for("x", {"x": torch.zeros(1, 1, 16, 16)}).name == "conv"


@pytest.mark.parametrize(
    ("tail", "wanted"),
    [
        ([nn.Identity()], "0"), ([nn.Dropout(0.5)], "0"), ([nn.Dropout2d(0.5), nn.Identity()], "0"),
        ([nn.MaxPool2d(2)], "0.1"), ([nn.MaxPool2d(2), nn.Dropout(0.1)], "0.1"), ([nn.BatchNorm2d(4)], "0"), ([], "0"),
        ([nn.AdaptiveAvgPool2d(2)], "0.1"),
    ],
)  # fmt: skip
def test_layers_that_only_pass_a_map_on_do_not_hide_it(tail: list[nn.Module], wanted: str) -> None:
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), *tail)
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert engine(net).layer_for("x", {"x": torch.zeros(1, 1, 16, 16)}).name == wanted


class Twice(nn.Module):
    """One encoder for both pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.cat([self.encoder(a).flatten(2).mean(2), self.encoder(b).flatten(2).amax(2)], 1))


def test_a_shared_encoder_is_told_apart_by_its_call() -> None:
    e = engine(Twice(), "a", "b")
    inputs = {"a": torch.zeros(1, 1, 16, 16), "b": torch.zeros(1, 1, 12, 12)}
    assert (e.layer_for("a", inputs).name, e.layer_for("a", inputs).grid) == ("encoder", (16, 16))
    assert (e.layer_for("b", inputs).name, e.layer_for("b", inputs).grid) == ("encoder#1", (12, 12))


def test_each_branch_has_its_own_layer() -> None:
    f = FAMILIES["two_pictures"]
    rows = explain("grad_cam", f.predictor(), f.cases(), f.targets)
    layers = rows[0][0].notes["layers"]
    assert {k: v["layer"].split(".")[1] for k, v in layers.items()} == {"t1": "t1", "t2": "t2"}
    assert {k: v["grid"] for k, v in layers.items()} == {"t1": [8, 8], "t2": [6, 6]}


class Turned(nn.Module):
    """The same model with its inputs the other way round."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, b: Tensor, a: Tensor) -> Tensor:
        return self.inner(a, b)


def test_the_order_of_the_inputs_does_not_swap_the_maps() -> None:
    f = FAMILIES["two_pictures"]
    module = f.module()
    turned = Predictor(Turned(module).eval(), inputs=["t2", "t1"], task="classification", classes=list("abc"))
    for x, y in zip(explain("grad_cam", f.predictor(module), f.cases(), f.targets), explain("grad_cam", turned, f.cases(), f.targets)):
        for a, b in zip(x, y):
            assert set(a.maps) == {"t1", "t2"}
            assert gap(a, b.replace(maps={k: b.maps[k] for k in a.maps})) < 1e-6


def test_unet_takes_the_coarsest_grid() -> None:
    torch.manual_seed(0)
    net = UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)
    e = engine(net, task="segmentation")
    layer = e.layer_for("x", {"x": torch.zeros(1, 1, 16, 16)})
    assert layer.grid == (4, 4)
    assert layer.channels == 24, "the bottom (16) beside what its own skip brings (8)"
    assert layer.carries == set(), "the skips go around the bottom"
    case = Case(id="1", inputs={"x": torch.randn(1, 16, 16)})
    ((a,),) = explain("grad_cam", e.predictor, [case], [RegionScore(1, region="image")])
    assert a.maps["x"].shape == (16, 16)


def test_a_named_layer_of_the_other_branch_is_refused() -> None:
    f = FAMILIES["two_pictures"]
    with pytest.raises(UsageError, match=r"layer 'parts.t2.second' does not depend on input 't1' but on t2"):
        explain(GradCam(layer={"t1": "parts.t2.second"}), f.predictor(), f.cases(1), f.targets)
    with pytest.raises(UsageError, match=r"no such image input; did you mean 't1'"):
        explain(GradCam(layer={"t1w": "parts.t1.second"}), f.predictor(), f.cases(1), f.targets)


def test_a_named_layer_without_a_grid_is_refused_and_near_misses_named() -> None:
    f = FAMILIES["picture"]
    with pytest.raises(UsageError, match=r"layer 'head' has no spatial map .*it returns \(3,\) for a case.*parts.x.second"):
        explain(GradCam(layer="head"), f.predictor(), f.cases(1), f.targets)
    with pytest.raises(UsageError, match=r"no layer 'parts.x.secnd' .*did you mean 'parts.x.second'"):
        explain(GradCam(layer="parts.x.secnd"), f.predictor(), f.cases(1), f.targets)


def test_a_model_without_any_grid_is_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(UsageError, match="no layer with a spatial map depends on input 'x'"):
        explain("grad_cam", engine(net).predictor, [Case(id="1", inputs={"x": torch.randn(1, 4, 4)})], [ClassScore(0)])


def test_a_layer_that_mixes_the_batch_into_its_rows_is_no_layer() -> None:
    """Slices of a volume run through a 2-D layer: its rows are not cases."""

    class Slices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.deep, self.head = nn.Conv2d(1, 4, 3), nn.Conv3d(4, 5, 3), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            b, _, d = x.shape[:3]
            h = self.flat(x.transpose(1, 2).flatten(0, 1))
            return self.head(self.deep(h.unflatten(0, (b, d)).transpose(1, 2)).flatten(2).mean(2))

    assert [x.name for x in engine(Slices()).layers({"x": torch.zeros(1, 1, 6, 10, 8)})] == ["deep"]


def test_in_place_work_on_the_layer_does_not_change_its_map() -> None:
    class InPlace(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head, self.in_place = nn.Conv2d(1, 4, 3), nn.Linear(4, 2), in_place

        def forward(self, x: Tensor) -> Tensor:
            h = self.conv(x)
            return self.head((torch.relu_(h) if self.in_place else torch.relu(h)).flatten(2).mean(2))

    case = Case(id="1", inputs={"x": torch.randn(1, 9, 9)})
    a, b = (explain(GradCam(sign="signed"), engine(InPlace(v)).predictor, [case], [ClassScore(0)])[0][0] for v in (True, False))
    assert a.notes["layers"]["x"]["layer"] == "conv"
    assert gap(a, b) == 0


def test_the_search_is_one_pass_and_made_once() -> None:
    f = FAMILIES["picture"]
    e = Engine(f.predictor())
    x = e.stack(f.cases())
    first = e.layers(x)
    assert e.layers(x) is first
    assert e.setup.forwards == 1
    assert e.cost.forwards == 0
    assert all(not m._forward_hooks for m in e.module.modules())


class ChannelsLast(nn.Module):
    """Blocks whose maps are (B, H, W, C), as in Swin and ConvNeXt; their dense layers come last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(1, 6, 4, 4), nn.LayerNorm(6), nn.GELU()
        self.wide, self.narrow, self.head = nn.Linear(6, 12), nn.Linear(12, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        return self.head((x + self.narrow(self.act(self.wide(self.norm(x))))).mean((1, 2)))


def test_a_map_with_its_channels_last_is_not_read_as_one_with_its_channels_first() -> None:
    e, inputs = engine(ChannelsLast()), {"x": torch.zeros(1, 1, 32, 24)}
    assert [(x.name, x.channels, x.grid) for x in e.layers(inputs)] == [("stem", 6, (8, 6))]
    with pytest.raises(UsageError, match=r"layer 'narrow' has no spatial map .* returns \(8, 6, 6\)"):
        e.layer_for("x", inputs, "narrow")


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), nn.Sigmoid()])
def test_a_norm_or_activation_of_the_output_is_not_where_a_map_is_made(last: nn.Module) -> None:
    """A segmentation on one grid throughout: the last map before the output is not the output without its softmax."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, 1, 1), nn.ReLU(), nn.Conv2d(6, 3, 1), last)
    e = engine(net, task="segmentation", outputs=3)
    assert e.layer_for("x", {"x": torch.rand(1, 1, 8, 8)}).name == "1"
