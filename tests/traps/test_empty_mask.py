"""The published SegX gives an empty map without a word, and loses the ranking in masks under 5 % of the picture."""

from __future__ import annotations

import math

import pytest
import torch

import pellucid as pc
from metric_worlds import attribution
from pellucid.core.case import Case
from reference import segx as published

SHAPE = (20, 20)
CASE = Case(id="c", inputs={"x": torch.zeros(1, *SHAPE)})
MAP = attribution(CASE, {"x": torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) + 0.1})


def test_an_empty_mask_gives_the_unmasked_map_and_says_so():
    nothing = torch.zeros(SHAPE, dtype=torch.bool)
    raw, top = published.published(MAP.maps["x"].numpy(), nothing.numpy())
    assert not raw.any() and not top.any()  # what the reader of the published figure would see
    s = pc.segx(MAP, nothing)
    assert torch.equal(s.maps["x"], MAP.maps["x"])
    assert "empty_mask" in s.flags and "empty_mask" in s.refinement["flags"]
    assert int(s.refinement["top"]["x"].sum()) == 20  # 5 % of the picture
    assert math.isnan(s.refinement["discarded_mass"])  # nothing was masked: no number that could be averaged
    assert s.checks["inside"].status == "not tested" and "unmasked map" in s.checks["inside"].sentence
    assert s.checks["not_empty"].status == "pass"


def test_a_margin_that_eats_the_mask_is_an_empty_mask():
    small = torch.zeros(SHAPE, dtype=torch.bool)
    small[4:6, 4:6] = True
    s = pc.segx(MAP, small, margin=-3)
    assert "empty_mask" in s.flags and torch.equal(s.maps["x"], MAP.maps["x"])


def test_a_soft_mask_without_a_pixel_above_one_half_is_empty():
    s = pc.segx(MAP, torch.full(SHAPE, 0.2), soft=True)
    assert "empty_mask" in s.flags and torch.equal(s.maps["x"], MAP.maps["x"])


@pytest.mark.parametrize("side", [2, 4])
def test_in_a_small_mask_the_published_ranking_is_lost_and_ours_is_not(side):
    small = torch.zeros(SHAPE, dtype=torch.bool)
    small[:side, :side] = True
    _, top = published.published(MAP.maps["x"].numpy(), small.numpy())
    assert top.sum() == side * side  # every pixel of the mask, whatever its rank
    ours, said = pc.segx(MAP, small, top=0.25), pc.segx(MAP, small, within="image")
    assert int(ours.refinement["top"]["x"].sum()) == side * side // 4
    values = MAP.maps["x"][small]
    assert MAP.maps["x"][ours.refinement["top"]["x"]].min() > values.sort().values[: -(side * side // 4)].max()
    assert "ranking_lost" in said.flags and "ranking_lost" not in ours.flags
