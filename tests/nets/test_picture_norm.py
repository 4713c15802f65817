import pytest
import torch

from pellucid.nets import build_network
from pellucid.nets.picture_norm import PictureNorm, network_of

norm = PictureNorm()


def test_every_picture_and_channel_by_itself():
    torch.manual_seed(0)
    x = torch.rand(3, 2, 8, 5) * torch.tensor([1.0, 1000.0]).view(1, 2, 1, 1) + 7
    y = norm(x)
    for b in range(3):
        for c in range(2):
            values = x[b, c].double()
            wanted = (values - values.mean()) / values.std(correction=0)
            torch.testing.assert_close(y[b, c].double(), wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(norm(x[:1]), y[:1])
    assert norm(torch.rand(1, 1, 4, 5, 6)).shape == (1, 1, 4, 5, 6)


def test_grey_levels_do_not_matter():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    for scale, shift in ((1e-5, 0), (4095, -1024), (3, 10)):
        torch.testing.assert_close(norm(scale * x + shift), norm(x))


@pytest.mark.parametrize("value", [0.0, 0.1, -1024.3, 65535.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_constant_picture_becomes_zeros_and_its_gradient_too(value, dtype):
    x = torch.full((2, 1, 57, 63), value, dtype=dtype)
    x[1, 0, 3:] = value + 10 + abs(value)  # the other one in the batch is not constant
    x.requires_grad_()
    y = norm(x)
    assert y.dtype == dtype
    assert not y[0].any()
    assert y[1].any()
    (g,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x)
    assert not g[0].any()
    assert torch.isfinite(g).all()


def test_what_is_not_a_number_stays_so():
    assert norm(torch.tensor([[[[1.0, torch.nan], [2.0, 3.0]]]])).isnan().any()


def test_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(norm, torch.rand(2, 2, 3, 4, dtype=torch.float64, requires_grad=True))


def test_networks_with_it_take_other_grey_levels():
    for name, options in (("resnet18", {}), ("unet", {"channels": (4, 8)}), ("attention_unet", {"channels": (4, 8)})):
        torch.manual_seed(0)
        module = build_network(name, options | {"standardise": "picture"}).eval()
        x = torch.rand(1, 1, 33, 32)
        torch.testing.assert_close(module(x), module(900 * x - 1000), atol=1e-4, rtol=1e-3)
        bare = network_of(module)
        torch.testing.assert_close(module(x), bare(norm(x)))
        assert network_of(bare) is bare
