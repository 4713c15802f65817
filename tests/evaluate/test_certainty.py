"""SegU in its four forms: against its literal twin, its bounds, and what it says about masks that are of no use."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metric_worlds import attribution, linear_world, of
from pellucid.errors import UsageError
from pellucid.evaluate.certainty.salient import salient
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.levels import levels
from pellucid.evaluate.undefined import Undefined
from reference import metric_plausible as literal

FORMS = ("segu", "segu_matched", "hit_rate", "mass_in_mask")


def scores(maps, mask, metrics=FORMS, **regions):
    predictor, case, _ = linear_world(tuple(maps.shape))
    case = case.replace(regions={"lesion": mask, **regions})
    view = of(predictor, case, [attribution(case, {"x": maps[None]}, index=1)]).view(0)
    return view.scores([as_metric(m) for m in metrics])


@pytest.mark.parametrize("shape", [(20, 17), (9, 8, 7)])
@pytest.mark.parametrize("top", [0.05, 0.2])
def test_equals_its_twin(shape, top):
    rng = torch.Generator().manual_seed(3)
    maps = torch.randn(shape, generator=rng)
    mask = torch.rand(shape, generator=rng) < 0.15
    support = maps.double().clamp(min=0)
    expected = literal.certainty(support.numpy(), mask.numpy(), top)
    asked = ["segu_matched", "mass_in_mask", *({m: {"top": top}} for m in ("segu", "hit_rate"))]
    found = scores(maps, mask, asked)
    assert {k: s.value for k, s in found.items()} == pytest.approx(expected)


def test_the_most_salient_are_strictly_above_numpy_s_percentile():
    rng = np.random.default_rng(1)
    for values in (rng.random((13, 11)), rng.integers(0, 4, (13, 11)).astype(float), np.eye(30), np.ones((4, 4))):
        mask = rng.random(values.shape) < 0.4
        found = levels(torch.from_numpy(values), torch.from_numpy(mask))
        for top in (0.01, 0.05, 0.5):
            expected = literal.most_salient(values, top)
            if expected.any():
                assert salient(found, top) == (expected.sum(), (expected & mask).sum())
            else:
                with pytest.raises(Undefined, match="flat at the top"):
                    salient(found, top)


@pytest.mark.parametrize(("pixels", "best"), [(4, 4 / 20), (20, 1.0), (100, 20 / 100), (300, 20 / 300)])
def test_the_maximum_of_segu_depends_on_the_size_of_the_region(pixels, best):
    """400 pixels, so B has 20: a map that ranks all of the region first scores min / max of the two sizes."""
    mask = (torch.arange(400) < pixels).view(20, 20)
    maps = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) + 2 * mask
    found = scores(maps, mask)
    assert found["segu"].value == pytest.approx(best)
    assert found["segu_matched"].value == 1.0  # that is what it is for
    assert found["hit_rate"].value == pytest.approx(min(1.0, pixels / 20))
    wrong = scores(2 * ~mask + torch.rand(20, 20), mask)
    assert {k: wrong[k].value for k in ("segu", "hit_rate")} == {"segu": 0.0, "hit_rate": 0.0}


def test_random_maps_hit_by_the_share_of_the_region():
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[:5, :8] = True
    draws = [scores(torch.rand(20, 20, generator=torch.Generator().manual_seed(i)), mask, ("hit_rate", "mass_in_mask"))
             for i in range(200)]  # fmt: skip
    for name in ("hit_rate", "mass_in_mask"):
        values = np.array([d[name].value for d in draws])
        assert abs(values.mean() - 0.1) < 4 * values.std() / 200**0.5


def test_the_region_is_a_predicted_mask_if_asked():
    lesion, predicted = torch.zeros(20, 20, dtype=torch.bool), torch.zeros(20, 20, dtype=torch.bool)
    lesion[:4, :5], predicted[10:14, 10:15] = True, True
    maps = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) + 2 * predicted
    found = scores(maps, lesion, [{m: {"region": "predicted"}} for m in FORMS], predicted=predicted)
    assert found["segu"].value == found["segu_matched"].value == found["hit_rate"].value == 1.0
    own = scores(maps, lesion)
    assert own["segu"].value == own["hit_rate"].value == 0.0 and own["mass_in_mask"].value < found["mass_in_mask"].value


@pytest.mark.parametrize(("mask", "word"), [(torch.zeros(8, 8), "empty"), (torch.ones(8, 8), "whole picture")])
def test_an_empty_mask_or_one_of_everything_is_no_certainty(mask, word):
    """With a mask of everything any map scores the same: hit rate 1 and SegU 5 % would say nothing about the map."""
    for s in scores(torch.rand(8, 8), mask.bool()).values():
        assert math.isnan(s.value) and word in s.reason


def test_an_empty_or_flat_map_is_no_certainty():
    mask = torch.eye(8).bool()
    for maps in (torch.zeros(8, 8), -torch.rand(8, 8)):
        for s in scores(maps, mask).values():
            assert math.isnan(s.value) and "no positive value" in s.reason
    flat = scores(torch.full((8, 8), 2.0), mask)
    for name in ("segu", "hit_rate"):
        assert math.isnan(flat[name].value) and "flat" in flat[name].reason
    assert flat["mass_in_mask"].value == pytest.approx(1 / 8)
    assert flat["segu_matched"].value == pytest.approx(1 / (16 - 1))  # 1 of 8 by chance, of 15 in the union


@pytest.mark.parametrize("top", [0.0, 1.0, -0.1])
def test_a_share_that_means_nothing_is_refused(top):
    with pytest.raises(UsageError, match="top="):
        as_metric({"segu": {"top": top}})
