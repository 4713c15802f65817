"""Masks made worse: ever lower Dice, 2-D and 3-D, millimetres, the seed, and nothing emptied without a word."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from pellucid.errors import InputError, UsageError
from pellucid.refine.degrade import KINDS, degrade, inner_radius, mask_dice


def ball(*shape: int, radius: float = 0.25) -> torch.Tensor:
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return torch.from_numpy(sum(g**2 for g in grid) <= (2 * radius) ** 2)


def probabilities(mask: torch.Tensor) -> torch.Tensor:
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in mask.shape], indexing="ij")
    away = torch.from_numpy(np.sqrt(sum(g**2 for g in grid)))
    return torch.sigmoid(20 * (0.5 - away)).float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 48), (20, 22, 24)])
def test_each_level_is_worse_than_the_one_before(kind, shape):
    mask = ball(*shape)
    found = degrade(mask, kind, steps=4, draws=2, soft=probabilities(mask), seed=3)
    assert [d.level for d in found] == sorted(d.level for d in found)
    assert {d.level for d in found} == {1, 2, 3, 4}
    for draw in {d.draw for d in found}:
        dices = [mask_dice(mask, d.mask) for d in found if d.draw == draw]
        assert len(dices) == 4 and all(a > b for a, b in pairwise(dices)), dices
        assert 0 < dices[-1] < dices[0] < 1
    assert not any(d.note for d in found) and all(d.mask.dtype == torch.bool and d.mask.shape == mask.shape for d in found)


def test_each_kind_does_what_it_says():
    mask = ball(40, 48)
    for d in degrade(mask, "erosion"):
        assert not (d.mask & ~mask).any()
    for d in degrade(mask, "dilation"):
        assert not (mask & ~d.mask).any()
    for d in degrade(mask, "dropout", steps=4):
        assert not (d.mask & ~mask).any() and int(d.mask.sum()) == int(mask.sum()) - round(d.amount * int(mask.sum()))
    for d in degrade(mask, "shift"):
        assert int(d.mask.sum()) == int(mask.sum())  # far from the border: nothing is lost
        ours, theirs = (torch.nonzero(m).double().mean(0) for m in (mask, d.mask))
        diameter = 2 * (int(mask.sum()) / np.pi) ** 0.5
        assert float((ours - theirs).norm()) == pytest.approx(d.amount * diameter, abs=0.75)  # whole pixels
    soft = probabilities(mask)
    for d in degrade(mask, "threshold", soft=soft):
        assert torch.equal(d.mask, soft > d.amount) and (d.amount > 0.5) == (d.draw == 0)


def test_blobs_drop_out_not_single_pixels():
    mask = ball(64, 64, radius=0.4)
    lost = mask & ~degrade(mask, "dropout", steps=4, seed=1)[1].mask
    core = inner_radius(lost, (1.0, 1.0))
    assert core > 3  # single pixels would have 1


def test_the_edge_moves_by_millimetres_where_there_are_any():
    mask = torch.zeros(30, 30, dtype=torch.bool)
    mask[10:20, 10:20] = True
    by_pixel = degrade(mask, "erosion", steps=2, step=2.0)
    assert [int(d.mask.sum()) for d in by_pixel] == [36, 4] and [d.amount for d in by_pixel] == [2.0, 4.0]
    by_mm = degrade(mask, "erosion", steps=2, step=2.0, spacing=(2.0, 1.0))
    assert [int(d.mask.sum()) for d in by_mm] == [48, 12] and by_mm[0].unit == "mm"  # rows 2 mm apart


def test_the_seed_decides_and_more_levels_draw_the_same():
    mask = ball(40, 48)
    for kind in ("shift", "dropout"):
        one, same, other = (degrade(mask, kind, seed=s, draws=2) for s in (0, 0, 1))
        assert all(torch.equal(a.mask, b.mask) for a, b in zip(one, same))
        assert not all(torch.equal(a.mask, b.mask) for a, b in zip(one, other))
        assert not torch.equal(one[0].mask, one[1].mask)  # two draws of a level
        more = degrade(mask, kind, steps=1, draws=1)
        assert more[0].draw == 0


def test_nothing_is_emptied_without_a_word():
    thin = torch.zeros(20, 20, dtype=torch.bool)
    thin[10, 5:15] = True
    found = degrade(thin, "erosion", steps=3)  # it is one pixel wide
    assert all(not d.mask.any() and d.note for d in found)
    far = degrade(thin, "erosion", steps=3, step=5.0)
    assert not far[-1].mask.any() and "nothing is left of the mask by erosion" in far[-1].note
    corner = torch.zeros(20, 20, dtype=torch.bool)
    corner[:2, :2] = True
    assert all(bool(d.mask.any()) != bool(d.note) for d in degrade(corner, "shift", draws=8, steps=6))
    high = degrade(thin, "threshold", soft=torch.full((20, 20), 0.6))
    assert {d.draw for d in high if d.note} == {0}


def test_bad_calls_are_refused():
    mask = ball(20, 20)
    with pytest.raises(UsageError, match="no degradation 'blur'"):
        degrade(mask, "blur")
    with pytest.raises(InputError, match="empty"):
        degrade(torch.zeros(4, 4, dtype=torch.bool), "erosion")
    with pytest.raises(UsageError, match="give soft"):
        degrade(mask, "threshold")
    for wrong in ({"steps": 0}, {"draws": 0}, {"step": 0.0}):
        with pytest.raises(UsageError, match="give 1 or more"):
            degrade(mask, "shift", **wrong)
    assert mask_dice(torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)) == 1.0
