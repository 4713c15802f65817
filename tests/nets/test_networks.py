import pytest
import torch

from pellucid.errors import UsageError
from pellucid.nets import NETWORKS, build_network, count_inputs


def size(name, **options):
    return sum(p.numel() for p in build_network(name, options).parameters())


def test_sizes_of_the_seed():
    assert size("image_tabular") == 45_442
    assert size("two_stream") == 22_337


def test_size_of_the_fusion_transformer():
    assert size("fusion_transformer") == 46_466


def test_standard_sizes_of_the_backbones():
    # torchvision's published counts, less its head of 1000 classes and two of its three input channels.
    assert size("resnet18", classes=2) == 11_689_512 - 1000 * 513 + 2 * 513 - 2 * 64 * 49
    assert size("resnet50", classes=2) == 25_557_032 - 1000 * 2049 + 2 * 2049 - 2 * 64 * 49
    assert size("efficientnet_b0", classes=2) == 5_288_548 - 1000 * 1281 + 2 * 1281 - 2 * 32 * 9
    assert size("densenet121", classes=2) == 7_978_856 - 1000 * 1025 + 2 * 1025 - 2 * 64 * 49


IMAGE, TABLE = {"kind": "image", "in_channels": 1}, {"kind": "table", "features": 5}
SHAPES = [
    ("image_tabular", {"features": 5, "classes": 3, "in_channels": 2}, [(2, 32, 24), (5,)], (3,)),
    ("image_tabular", {"spatial_dims": 3}, [(1, 16, 16, 16), (12,)], (2,)),
    ("fusion_transformer", {"features": 5, "classes": 3, "in_channels": 2}, [(2, 32, 24), (5,)], (3,)),
    ("fusion_transformer", {"second": "image", "depth": 2}, [(1, 32, 24), (1, 16, 16)], (2,)),
    ("fusion_transformer", {"spatial_dims": 3, "features": 3}, [(1, 16, 8, 24), (3,)], (2,)),
    ("two_stream", {}, [(1, 32, 24), (1, 16, 16)], (1,)),
    ("two_stream", {"spatial_dims": 3, "outputs": 2}, [(1, 16, 16, 16)] * 2, (2,)),
    ("two_encoder_unet", {"width": 4}, [(1, 32, 24)] * 2, (1, 32, 24)),
    # Sides that two halvings do not divide.
    ("two_encoder_unet", {"width": 4, "classes": 3}, [(1, 33, 26)] * 2, (3, 33, 26)),
    ("two_encoder_unet", {"width": 4, "spatial_dims": 3}, [(1, 16, 12, 8)] * 2, (1, 16, 12, 8)),
    ("efficientnet_b0", {"classes": 2, "dropout": 0.2}, [(1, 64, 64)], (2,)),
    ("fusion", {"inputs": [IMAGE, TABLE, IMAGE], "classes": 3}, [(1, 16, 8), (5,), (1, 12, 12)], (3,)),
    ("fusion", {"inputs": [IMAGE, TABLE], "fuse": "early", "encoder": "resnet18"}, [(1, 40, 33), (5,)], (2,)),
    ("fusion", {"inputs": [IMAGE] * 3, "fuse": "cross_attention", "spatial_dims": 3}, [(1, 8, 8, 6)] * 3, (2,)),
    ("fusion_unet", {"channels": (4, 8, 8), "classes": 3}, [(1, 33, 26)] * 2, (3, 33, 26)),
    ("fusion_unet", {"channels": (4, 8), "fuse": "early", "spatial_dims": 3}, [(1, 9, 8, 7)] * 2, (1, 9, 8, 7)),
    ("fusion_unet", {"channels": (4, 8), "fuse": "cross_attention"}, [(1, 16, 12)] * 2, (1, 16, 12)),
    ("fusion_unet", {"inputs": [IMAGE] * 2, "encoder": "resnet18"}, [(1, 40, 33)] * 2, (1, 40, 33)),
    ("unet_3d", {"classes": 4}, [(1, 16, 12, 8)], (4, 16, 12, 8)),
    ("swin_unetr", {"classes": 3, "feature_size": 12, "spatial_dims": 2}, [(1, 64, 32)], (3, 64, 32)),
    ("meshnet", {"classes": 3, "channels": 4}, [(1, 12, 10, 8)], (3, 12, 10, 8)),
    ("meshnet", {"classes": 3, "channels": 4, "spatial_dims": 2}, [(1, 12, 10)], (3, 12, 10)),
    ("resnet18", {"classes": 3, "in_channels": 3}, [(3, 64, 64)], (3,)),
    ("resnet18", {"spatial_dims": 3}, [(1, 32, 32, 32)], (1,)),
    ("resnet18", {"classes": 2, "head": 8, "dropout": 0.5, "standardise": "picture"}, [(1, 40, 33)], (2,)),
    ("resnet18", {"classes": 2, "conv": 4}, [(1, 40, 33)], (2,)),
    ("densenet121", {"classes": 2}, [(1, 64, 64)], (2,)),
    ("unet", {"classes": 3, "channels": (4, 8, 16), "dropout": 0.1}, [(1, 30, 37)], (3, 30, 37)),
    ("unet", {"channels": (4, 6, 8), "norm": "instance", "in_channels": 3}, [(3, 3, 2)], (1, 3, 2)),
    ("unet", {"channels": (4, 8, 16), "norm": "instance", "spatial_dims": 3}, [(1, 9, 8, 7)], (1, 9, 8, 7)),
    ("attention_unet", {"channels": (4, 8, 16), "classes": 2}, [(1, 30, 37)], (2, 30, 37)),
    ("attention_unet", {"channels": (4, 8), "spatial_dims": 3}, [(1, 9, 8, 7)], (1, 9, 8, 7)),
]


@pytest.mark.parametrize(("name", "options", "inputs", "output"), SHAPES)
def test_forward_and_backward(name, options, inputs, output):
    torch.manual_seed(0)
    module = build_network(name, options)
    xs = [torch.rand(2, *shape, requires_grad=True) for shape in inputs]
    got = module(*xs)
    assert tuple(got.shape) == (2, *output)
    got.square().sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0 for x in xs)
    assert all(p.grad is not None for p in module.parameters())
    assert count_inputs(module) in (len(inputs), None)


def test_every_network_is_tried_above():
    # The two large ones: tests/nets/test_torchvision_weights.py runs them.
    assert {s[0] for s in SHAPES} | {"resnet50", "resnet101"} == set(NETWORKS)


def test_a_head_and_dropout_leave_the_names_of_the_other_weights():
    """What was saved before there was a head still loads."""
    for name, last in (("resnet18", "fc"), ("densenet121", "class_layers.out")):
        plain = build_network(name, {"classes": 3})
        dropped = build_network(name, {"classes": 3, "dropout": 0.5})
        assert list(plain.state_dict()) == list(dropped.state_dict())
        headed = build_network(name, {"classes": 3, "head": 8})
        rest = [k for k in plain.state_dict() if not k.startswith(last + ".")]
        assert [k for k in headed.state_dict() if not k.startswith(last + ".")] == rest
        assert {k for k in headed.state_dict() if k.startswith(last)} == {
            f"{last}.{layer}.{part}" for layer in ("hidden", "out") for part in ("weight", "bias")
        }


@pytest.mark.parametrize(("name", "options"), [("resnet18", {}), ("densenet121", {}), ("resnet18", {"head": 64})])
def test_dropout_is_before_the_last_linear_layer_and_in_training_alone(name, options):
    torch.manual_seed(0)
    module = build_network(name, options | {"classes": 2, "dropout": 0.5})
    seen = []
    last = module.get_submodule({"resnet18": "fc", "densenet121": "class_layers.out"}[name])
    last = last[-1] if options else last
    last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.rand(2, 1, 32, 32)
    module.train()(x)
    module.eval()(x)
    trained, evaluated = ((s == 0).float().mean() for s in seen)
    assert trained > evaluated + 0.1  # a ReLU's zeros are in both


def test_the_unet_skips_from_the_first_picture_alone():
    """What the second picture changes is smooth: it comes up from the deepest level, a quarter of the grid."""
    torch.manual_seed(0)
    module = build_network("two_encoder_unet", {"width": 4}).eval()
    first, second = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    assert not torch.equal(module(first, second), module(first, second + 1))
    assert module.up1[0].in_channels == 8 + 4


def test_no_activation_is_shared_or_in_place_in_our_own_networks():
    """Methods that follow activations need each to be its own module (trap reused_activation)."""
    effi = {"encoder": "efficientnet_b0"}
    for name, options in (
        ("image_tabular", {}), ("two_stream", {}), ("two_encoder_unet", {}), ("meshnet", {}), ("fusion", {}),
        ("fusion_unet", {}), ("fusion", effi),
    ):  # fmt: skip
        module, seen = build_network(name, options), []
        for _, m in module.named_modules(remove_duplicate=False):
            assert "MemoryEfficient" not in type(m).__name__  # its gradient is its own, out of sight
            if isinstance(m, torch.nn.ReLU | torch.nn.ELU):
                assert not m.inplace
                seen.append(id(m))
        assert len(seen) == len(set(seen)) > 1


def test_meshnet_sees_its_margin_and_no_further():
    module = build_network("meshnet", {"channels": 3, "classes": 2, "dilations": (1, 2, 1, 1)}).double()
    assert module.margin == 4
    x = torch.rand(1, 1, 11, 11, 11, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(module(x)[0, 0, 5, 5, 5], x)
    seen = g[0, 0].nonzero()
    assert seen.min() == 5 - 4
    assert seen.max() == 5 + 4


def test_wrong_names_get_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'resnet18'"):
        build_network("resnet_18")
    with pytest.raises(UsageError, match="'resnet18' has no option 'class'; did you mean 'classes'"):
        build_network("resnet18", {"class": 2})
    with pytest.raises(UsageError, match="spatial_dims is 4"):
        build_network("two_stream", {"spatial_dims": 4})
    with pytest.raises(UsageError, match="second='text': choose 'table' or 'image'"):
        build_network("fusion_transformer", {"second": "text"})
    with pytest.raises(UsageError, match="width=30 cannot be divided between 4 heads"):
        build_network("fusion_transformer", {"width": 30})
    with pytest.raises(UsageError, match=r"\(20, 16\) cannot be cut into patches of 8; pad or resize it"):
        build_network("fusion_transformer")(torch.zeros(1, 1, 20, 16), torch.zeros(1, 12))
    with pytest.raises(UsageError, match="head is 0; give the width"):
        build_network("resnet18", {"head": 0})
    with pytest.raises(UsageError, match="dropout is 1"):
        build_network("densenet121", {"dropout": 1})
    with pytest.raises(UsageError, match="standardise='case': choose 'picture'"):
        build_network("resnet18", {"standardise": "case"})
    with pytest.raises(UsageError, match="norm='layer': choose 'batch' or 'instance'"):
        build_network("unet", {"norm": "layer"})
    with pytest.raises(UsageError, match="at least two levels"):
        build_network("attention_unet", {"channels": [8]})
    with pytest.raises(UsageError, match="at least two"):
        build_network("meshnet", {"dilations": [1]})
