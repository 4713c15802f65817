"""Networks for any number of pictures and tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pellucid as pc
from fusion_nets import fusion_network
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.nets import build_network
from pellucid.nets.encoders import ENCODERS, encoder
from pellucid.train.freeze import frozen_names, stages

SHAPES = {"t1": (1, 16, 16), "t2": (2, 16, 16), "table": (3,)}


def batch(shapes: dict[str, tuple[int, ...]] = SHAPES, n: int = 2) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(n, *s, generator=g) for s in shapes.values()]


@pytest.mark.parametrize("fuse", ["early", "late", "cross_attention"])
def test_every_input_and_every_parameter_counts(fuse: str) -> None:
    torch.manual_seed(0)
    net = fusion_network(SHAPES, fuse=fuse, dropout=0.1).train()
    inputs = [x.requires_grad_() for x in batch(n=4)]
    out = net(*inputs)
    assert out.shape == (4, 3)
    out.square().sum().backward()
    assert all(bool(x.grad.any()) for x in inputs)
    assert not [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_late_fusion_of_linear_parts_is_a_sum() -> None:
    torch.manual_seed(1)
    net = fusion_network(SHAPES, fuse="late")
    net.hidden = nn.Identity()
    net.head = nn.Linear(3 * 12, 3)
    a, b, c = batch()
    parts = [joint(run(x)) for joint, run, x in zip(net.joints, net.encoders, (a, b, c))]
    by_hand = sum(z @ w.T for z, w in zip(parts, net.head.weight.split(12, dim=1))) + net.head.bias
    torch.testing.assert_close(net(a, b, c), by_hand)


def test_early_fusion_sees_all_pictures_as_channels_of_one() -> None:
    torch.manual_seed(1)
    net = fusion_network(SHAPES, fuse="early")
    one = fusion_network({"both": (3, 16, 16), "table": (3,)}, fuse="late")
    one.load_state_dict(net.state_dict())
    a, b, c = batch()
    torch.testing.assert_close(net(a, b, c), one(torch.cat([a, b], 1), c))
    with pytest.raises(UsageError, match=r"joins the pictures as channels, and they have 2 grids: \(12, 16\), \(16, 16\)"):
        net(a, b[:, :, :12], c)


def test_a_class_activation_map_is_of_each_branch_but_one_for_pictures_fused_early() -> None:
    torch.manual_seed(0)
    case = pc.Case(id="1", inputs={k: x[0] for k, x in zip(SHAPES, batch())})
    found = {}
    for fuse in ("late", "early"):
        p = pc.Predictor(fusion_network(SHAPES, fuse=fuse), inputs=list(SHAPES), task="classification", classes="abc")
        engine = Engine(p)
        inputs = engine.stack([case])
        found[fuse] = [engine.layer_for(n, inputs).name for n in ("t1", "t2")]
        a = pc.explain(p, case, method="grad_cam", target=0)
        assert torch.equal(a.maps["t1"], a.maps["t2"]) == (fuse == "early")
    assert found["late"] == ["encoders.0", "encoders.1"]
    assert len(set(found["early"])) == 1


def test_attention_between_encoders_is_found_and_its_places_are_those_of_their_maps() -> None:
    torch.manual_seed(0)
    shapes = {"t1": (1, 16, 16), "t2": (1, 16, 16)}
    net = fusion_network(shapes, fuse="cross_attention")
    p = pc.Predictor(net, inputs=list(shapes), task="classification", classes="abc")
    case = pc.Case(id="1", inputs={k: x[0] for k, x in zip(shapes, batch(shapes))})
    a = pc.explain(p, case, method="cross_attention", target=0)
    assert a.notes["grid"] == {"t1": [8, 8], "t2": [8, 8]}
    with torch.no_grad():
        tokens = [j(e(case.inputs[n][None])) for n, j, e in zip(shapes, net.joints, net.encoders)]
        block = net.crossing[0]  # the tokens of t1 ask those of t2
        q = block.query(block.norm(tokens[0])).unflatten(-1, (4, -1)).transpose(1, 2)
        k = block.key_value(block.other_norm(tokens[1])).chunk(2, -1)[0].unflatten(-1, (4, -1)).transpose(1, 2)
        asked = (q @ k.transpose(-1, -2) / 3**0.5).softmax(-1).mean((0, 1, 2)).view(8, 8)
    coarse = nn.functional.interpolate(asked[None, None], (16, 16), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(a.maps["t2"] / a.maps["t2"].sum(), coarse / coarse.sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_gives_the_channels_that_it_says(name: str, dims: int) -> None:
    made = encoder(name, in_channels=2, spatial_dims=dims, width=8).eval()
    with torch.no_grad():
        found = made.pyramid(torch.rand(1, 2, *[32] * dims))
    assert [m.shape[1] for m in found] == list(made.channels)
    assert found[-1].shape[2] == (16 if name == "small" else 1)


def test_encoders_are_held_by_name_and_the_head_is_the_head() -> None:
    net = fusion_network(SHAPES, missing="learnt")
    assert stages(net)[0] == "head"
    held = frozen_names(net, ["encoders.0", "encoders.1"])
    assert held == ["encoders.0", "encoders.1"]
    assert "encoders" in frozen_names(net, "backbone")


def test_a_learnt_stand_in_is_coarse_and_of_the_size_asked_for() -> None:
    net = fusion_network(SHAPES, missing="learnt")
    a, b, c = batch()
    assert net.stand_in(1, b).shape == b.shape
    assert net.stand_in(2, c).shape == c.shape
    assert torch.equal(net.stand_in(2, c)[0], net.stand_ins.values[2][0])
    torch.testing.assert_close(net.stand_in(0, a).mean(), net.stand_ins.values[0].mean())
    assert fusion_network(SHAPES).stand_in(0, a) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fuse": "middle"}, "fuse='middle': choose 'early', 'late' or 'cross_attention'"),
        ({"missing": "zero"}, "missing='zero': choose 'mean' or 'learnt'"),
        ({"encoder": "resnet19"}, "encoder 'resnet19'; did you mean 'resnet18'"),
        ({"encoder": ["small", "small"]}, "encoder: 2 are named, and there are 1 for the pictures"),
        ({"inputs": []}, "inputs: there is none"),
        ({"inputs": [{"kind": "text"}]}, "inputs: number 1 has kind 'text'; choose 'image' or 'table'"),
        ({"inputs": [{"kind": "table"}]}, r"number 1 is \{'kind': 'table'\}; give \{kind: table, features: a number\}"),
        ({"inputs": [{"kind": "image", "features": 3}]}, "number 1 is .*give {kind: image, in_channels: a number}"),
        ({"fuse": "cross_attention", "inputs": [{"kind": "image"}]}, "is between inputs, this network has 1"),
        ({"fuse": "cross_attention", "width": 10}, "width=10 cannot be divided between 4 heads"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_network("fusion", options)


def test_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(UsageError, match="built for 3 inputs, 2 are given"):
        fusion_network(SHAPES)(*batch()[:2])
