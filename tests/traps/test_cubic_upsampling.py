"""Trap: class activation maps upsampled by a cubic spline run from −0.34 to 1.20; they were made between 0 and 1."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import zoom

from peers import peer
from pellucid.explain.cam.base import upsample


@pytest.mark.parametrize(("grid", "shape"), [((3, 4), (21, 30)), ((2, 4, 3), (14, 20, 18)), ((5,), (32,))])
def test_linear_never_leaves_the_range_of_the_grid(grid: tuple[int, ...], shape: tuple[int, ...]) -> None:
    m = torch.randint(0, 2, (2, 3, *grid), generator=torch.Generator().manual_seed(1)).float()
    out = upsample(m, shape)
    assert out.shape == (2, 3, *shape)
    assert (out.flatten(2).amin(2) >= m.flatten(2).amin(2) - 1e-6).all()
    assert (out.flatten(2).amax(2) <= m.flatten(2).amax(2) + 1e-6).all()
    torch.testing.assert_close(upsample(torch.full((1, 1, *grid), 0.7), shape), torch.full((1, 1, *shape), 0.7))


def test_a_spike_stays_where_it_is() -> None:
    m = torch.zeros(1, 1, 5, 5)
    m[0, 0, 1, 3] = 1
    out = upsample(m, (25, 25))[0, 0]
    weights = out / out.sum()
    rows = torch.arange(25.0) + 0.5
    assert float((weights.sum(1) * rows).sum()) == pytest.approx(7.5, abs=1e-4)
    assert float((weights.sum(0) * rows).sum()) == pytest.approx(17.5, abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_pytorch_grad_cam_still_leaves_it() -> None:
    """A grid of 0 and 1, brought to the picture's size: the peer's map has values that it never had."""
    m = torch.randint(0, 2, (3, 4, 3), generator=torch.Generator().manual_seed(1)).float()
    theirs = peer("pytorch_grad_cam.utils.image").scale_cam_image([m.numpy()], (18, 24, 18))[0]
    assert theirs.shape == (18, 24, 18)
    assert theirs.min() < -0.05
    assert theirs.max() > 1.05
    ours = upsample(m[None, None], (18, 24, 18))
    assert float(ours.min()) == 0
    assert float(ours.max()) == 1


def test_a_cubic_spline_does_leave_it() -> None:
    """The peer's rule (``scipy.ndimage.zoom``, order 3), on the same kind of grid."""
    m = torch.randint(0, 2, (3, 4, 3), generator=torch.Generator().manual_seed(1)).float().numpy()
    out = zoom(m, 6)
    assert out.min() < -0.05
    assert out.max() > 1.05
