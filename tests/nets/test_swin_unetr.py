from functools import partial

import pytest
import torch

from pellucid.errors import UsageError
from pellucid.nets import build_network

TINY = {"spatial_dims": 2, "feature_size": 12, "classes": 2}


def _noted(kept, t):
    kept.append(t.numel())
    return t


@pytest.mark.parametrize("size", [(64, 40), (32, 32), (96, 63)])
def test_sides_that_cannot_be_halved_are_refused_with_what_to_do(size):
    module = build_network("swin_unetr", TINY)
    with pytest.raises(UsageError, match=rf"the picture is \({size[0]}, {size[1]}\); .*multiple of 32.*train.patch"):
        module(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("feature_size", [0, 6, 30])
def test_feature_size(feature_size):
    with pytest.raises(UsageError, match=f"feature_size is {feature_size}; give a multiple of 12"):
        build_network("swin_unetr", {"feature_size": feature_size})


def test_checkpointing_gives_the_same_gradients():
    torch.manual_seed(0)
    plain = build_network("swin_unetr", TINY)
    spare = build_network("swin_unetr", TINY | {"use_checkpoint": True})
    spare.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 64, 32)
    totals = []
    for module in (plain, spare):
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(partial(_noted, kept), lambda t: t):
            score = module(x).square().sum()
        totals.append(sum(kept))
        score.backward()
    assert totals[1] < 0.8 * totals[0]
    for a, b in zip(plain.parameters(), spare.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
