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
    assert size("densenet121", classes=2) == 7_978_856 - 1000 * 1025 + 2 * 1025 - 2 * 64 * 49


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
    ("unet_3d", {"classes": 4}, [(1, 16, 12, 8)], (4, 16, 12, 8)),
    ("meshnet", {"classes": 3, "channels": 4}, [(1, 12, 10, 8)], (3, 12, 10, 8)),
    ("meshnet", {"classes": 3, "channels": 4, "spatial_dims": 2}, [(1, 12, 10)], (3, 12, 10)),
    ("resnet18", {"classes": 3, "in_channels": 3}, [(3, 64, 64)], (3,)),
    ("resnet18", {"spatial_dims": 3}, [(1, 32, 32, 32)], (1,)),
    ("densenet121", {"classes": 2}, [(1, 64, 64)], (2,)),
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
    assert count_inputs(module) == len(inputs)


def test_every_network_is_tried_above():
    assert {s[0] for s in SHAPES} | {"resnet50"} == set(NETWORKS)


def test_the_unet_skips_from_the_first_picture_alone():
    """What the second picture changes is smooth: it comes up from the deepest level, a quarter of the grid."""
    torch.manual_seed(0)
    module = build_network("two_encoder_unet", {"width": 4}).eval()
    first, second = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    assert not torch.equal(module(first, second), module(first, second + 1))
    assert module.up1[0].in_channels == 8 + 4


def test_no_activation_is_shared_or_in_place_in_our_own_networks():
    """Methods that follow activations need each to be its own module (trap reused_activation)."""
    for name in ("image_tabular", "two_stream", "two_encoder_unet", "meshnet"):
        module, seen = build_network(name), []
        for _, m in module.named_modules(remove_duplicate=False):
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
    with pytest.raises(UsageError, match="at least two"):
        build_network("meshnet", {"dilations": [1]})
