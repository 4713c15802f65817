from itertools import pairwise

import pytest
import torch

from pellucid.nets import build_network
from pellucid.nets.any_size import AnySize

KINDS = [("unet", {}), ("attention_unet", {}), ("unet", {"norm": "instance"})]


def made(name, options):
    torch.manual_seed(0)
    module = build_network(name, {"channels": (4, 6, 8), "classes": 2} | options)
    for m in module.modules():  # statistics other than 0 and 1, so that padding would show in them
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.uniform_(-0.2, 0.2)
            m.running_var.uniform_(0.5, 2)
    return module.eval()


@pytest.mark.parametrize(("name", "options"), KINDS)
@pytest.mark.parametrize("size", [(16, 24), (17, 24), (18, 23), (19, 21), (1, 1), (4, 4), (3, 9)])
def test_the_output_is_that_of_the_padded_picture_cut_to_size(name, options, size):
    module = made(name, options)
    x = torch.rand(2, 1, *size)
    rows, columns = (-(-s // 4) * 4 for s in size)
    if (rows, columns) == (4, 4):
        columns = 8
    index = [torch.arange(n).clamp(max=s - 1) for n, s in zip((rows, columns), size)]
    padded = x[:, :, index[0]][:, :, :, index[1]]
    got = module(x)
    assert got.shape == (2, 2, *size)
    assert torch.equal(got, module.network(padded)[:, :, : size[0], : size[1]])


def test_sizes_that_fit_go_through_untouched():
    module = made("unet", {})
    x = torch.rand(1, 1, 16, 24)
    assert torch.equal(module(x), module.network(x))


def test_the_interior_does_not_see_the_padding():
    """Far from the cut the output is that of the larger picture, but for rounding."""
    module = made("unet", {}).double()
    x = torch.rand(1, 1, 96, 96, dtype=torch.float64)
    cut = module(x[..., :73, :71])
    far = 31  # beyond what three levels see: convolutions of 4 · (1 + 2 + 4) pixels to each side, and the poolings
    torch.testing.assert_close(cut[..., : 73 - far, : 71 - far], module(x)[..., : 73 - far, : 71 - far])
    assert not torch.allclose(cut[..., -1], module(x)[..., :73, 70])


def test_volumes():
    module = AnySize(torch.nn.Conv3d(1, 1, 3, padding=1), multiple=4)
    x = torch.rand(1, 1, 5, 6, 4)
    padded = torch.nn.functional.pad(x, [0, 0, 0, 2, 0, 3], mode="replicate")
    assert torch.equal(module(x), module.network(padded)[..., :5, :6, :])


def test_it_is_the_published_network():
    """Ronneberger's parameters with 64 to 1024 channels and two outputs, and a scale and a shift for each norm."""
    module = build_network("unet", {"channels": (64, 128, 256, 512, 1024), "classes": 2})
    convolutions = sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Conv2d))
    ups = [m for m in module.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    level = [64, 128, 256, 512, 1024]
    wanted = 9 * 64 * (1 + 64) + sum(9 * b * (a + b) for a, b in pairwise(level)) + 2 * 64
    wanted += sum(9 * a * (b + a) for a, b in pairwise(level))
    assert convolutions == wanted
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in ups] == [
        (b, a, (2, 2)) for a, b in zip(level[::-1][1:], level[::-1])
    ]
