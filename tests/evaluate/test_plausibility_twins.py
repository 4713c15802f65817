"""Plausibility against its literal twins, scikit-learn, bounds and what chance gives; 2-D and 3-D."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from metric_worlds import attribution, linear_world, never, of
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.auroc import auroc
from pellucid.evaluate.plausibility.average_precision import average_precision
from pellucid.evaluate.plausibility.dice_matched import dice_matched
from pellucid.evaluate.plausibility.effective_heat_ratio import effective_heat_ratio
from pellucid.evaluate.plausibility.iou_best import best_overlap
from pellucid.evaluate.plausibility.iou_matched import iou_matched
from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.pointing_game import pointing_game
from pellucid.evaluate.plausibility.rank_accuracy import rank_accuracy
from pellucid.evaluate.plausibility.top_k_intersection import top_k_intersection
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.levels import levels
from reference import metric_plausible as literal

RNG = np.random.default_rng(4)


def worlds():
    """Supports with many ties or hardly any, many zeros among them, and masks."""
    for shape in [(7, 9), (4, 5, 6), (3, 3)]:
        for steps in (3, 1000):
            support = RNG.integers(0, steps, shape).astype(float) / steps
            mask = RNG.random(shape) < 0.3
            mask.flat[0], mask.flat[1], support.flat[2] = True, False, 1.0
            yield torch.from_numpy(support), torch.from_numpy(mask)


@pytest.mark.parametrize(("support", "mask"), list(worlds()))
def test_equals_its_twins(support, mask):
    s, m = support.numpy(), mask.numpy()
    iou, dice = literal.best_overlap(s, m)
    by_rank = levels(support, mask)
    found, at = best_overlap(by_rank)
    assert found == pytest.approx(iou)
    assert ((s >= at) & m).sum() / ((s >= at) | m).sum() == pytest.approx(iou)
    assert best_overlap(by_rank, "dice")[0] == pytest.approx(dice)
    assert auroc(by_rank) == pytest.approx(literal.pairs(s, m))
    assert auroc(by_rank) == pytest.approx(roc_auc_score(m.ravel(), s.ravel()))
    for floor in (0.0, 0.1, 0.5):
        assert effective_heat_ratio(by_rank, floor) == pytest.approx(literal.heat_ratio(s, m, floor))
    spacing = (0.7, 2.5, 1.1)[: s.ndim]
    for tolerance in (0.5, 1.0, 2.6):
        expected = literal.hit_within_mm(s, m, spacing, tolerance)
        assert pointing_game(support, mask, tolerance, spacing) == pytest.approx(expected)


def test_ties_count_by_the_mean_over_all_their_orders():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        s, m = rng.integers(0, 3, 7).astype(float), rng.random(7) < 0.4
        m[0], m[1] = True, False
        found = levels(torch.from_numpy(s), torch.from_numpy(m))
        for k in range(1, 8):
            expected = np.mean(literal.hits_over_orders(s, m, k))
            assert found.expected_hits(k) == pytest.approx(expected)
            assert top_k_intersection(found, k) == pytest.approx(expected / k)
        size = int(m.sum())
        hits = np.mean(literal.hits_over_orders(s, m, size))
        assert rank_accuracy(found) == dice_matched(found) == pytest.approx(hits / size)
        assert iou_matched(found) == pytest.approx(hits / (2 * size - hits))


def test_levels_never_order_what_ties():
    found = levels(torch.tensor([1.0, 3, 1, 3, 0]), torch.tensor([True, False, False, True, False]))
    assert (found.values.tolist(), found.size.tolist(), found.hits.tolist()) == ([3, 1, 0], [2, 4, 5], [1, 2, 2])
    assert (found.pixels, found.region) == (5, 2)
    at = torch.tensor([4.0, 3, 2, 1, 0.5, 0, -1])
    assert [n.tolist() for n in found.at_least(at)] == [[0, 2, 2, 4, 4, 5, 5], [0, 1, 1, 2, 2, 2, 2]]
    assert [n.tolist() for n in found.above(at)] == [[0, 0, 2, 2, 4, 4, 5], [0, 0, 1, 1, 2, 2, 2]]
    assert [float(found.largest(k)) for k in range(1, 6)] == [3, 3, 1, 1, 0]


BOUND = {"auroc": 1.0, "average_precision": 1.0, "rank_accuracy": 1.0, "dice_matched": 1.0, "iou_matched": 1.0,
         "iou_best": 1.0, "effective_heat_ratio": 1.0, "top_k_intersection": 1.0, "mass_accuracy": 1.0,
         "pointing_game": 1.0}  # fmt: skip


@pytest.mark.parametrize("shape", [(12, 14), (6, 7, 8)])
def test_a_perfect_map_scores_the_bound_and_its_opposite_the_other(shape):
    predictor, case, _ = linear_world(shape)
    mask = case.regions["lesion"]
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    perfect, wrong = (0.5 + noise / 2) * mask, (0.5 + noise / 2) * ~mask
    e = of(predictor, case, [attribution(case, {"x": m[None]}, index=1) for m in (perfect, wrong)])
    asked = [as_metric(n) for n in (*BOUND, "attribution_localisation")]
    right, off = e.view(0).scores(asked), e.view(1).scores(asked)
    for name, bound in BOUND.items():
        assert right[name].value == pytest.approx(bound), name
    assert right["attribution_localisation"].value == pytest.approx(mask.numel() / int(mask.sum()))
    for name in set(BOUND) - {"average_precision", "auroc"}:
        assert off[name].value == pytest.approx(0.0, abs=1e-9), name
    assert off["auroc"].value == pytest.approx(0.0)
    assert off["average_precision"].value == pytest.approx(int(mask.sum()) / mask.numel())  # found last, as a tie


def test_random_maps_score_their_expectation():
    mask = torch.zeros(12, 10, dtype=torch.bool)
    mask[2:6, 3:8] = True
    share, n = 20 / 120, 1500
    maps = [torch.rand(12, 10, generator=torch.Generator().manual_seed(i), dtype=torch.double) for i in range(n)]
    ranked = [levels(s, mask) for s in maps]
    expected = {rank_accuracy: share, dice_matched: share, auroc: 0.5, effective_heat_ratio: share,
                lambda found: top_k_intersection(found, 5): share}  # fmt: skip
    every = {metric: ([metric(found) for found in ranked], mean) for metric, mean in expected.items()}
    every |= {metric: ([metric(s, mask) for s in maps], share) for metric in (mass_accuracy, pointing_game)}
    for metric, (values, mean) in every.items():
        assert abs(np.mean(values) - mean) < 4 * np.std(values) / n**0.5, metric
    best = np.mean([best_overlap(found)[0] for found in ranked[:300]])
    assert best > share + 0.01  # the threshold was chosen with the region in view: said in its docstring


@pytest.mark.parametrize("metric", [
    rank_accuracy, dice_matched, iou_matched, auroc, average_precision, effective_heat_ratio,
])  # fmt: skip
def test_order_is_all_that_counts_where_it_should(metric):
    rng = torch.Generator().manual_seed(2)
    s, m = torch.rand(9, 9, generator=rng, dtype=torch.double), torch.rand(9, 9, generator=rng) < 0.3
    once, larger, cubed = (metric(levels(x, m)) for x in (s, 3.7 * s, s**3))
    assert once == pytest.approx(larger)
    assert (abs(once - cubed) < 1e-9) == (metric is not effective_heat_ratio)  # its floor is a share of the maximum


def test_several_boxes_are_one_region():
    one, two = torch.zeros(9, 9, dtype=torch.bool), torch.zeros(9, 9, dtype=torch.bool)
    one[1:3, 1:3], two[5:8, 6:8] = True, True
    s = one * 1.0 + two * 0.5
    for metric in (rank_accuracy, auroc, iou_matched, effective_heat_ratio):
        assert metric(levels(s, one | two)) == pytest.approx(1.0)
        assert metric(levels(s, two)) < 1.0


def test_one_sort_serves_all_that_read_the_ranking(monkeypatch):
    predictor, case, exact = linear_world()
    view, sorts = of(predictor, case, [exact]).view(0), []
    real = torch.Tensor.sort
    monkeypatch.setattr(torch.Tensor, "sort", lambda self, *a, **k: sorts.append(1) or real(self, *a, **k))
    names = ["auroc", "average_precision", "rank_accuracy", "dice_matched", "iou_matched", "iou_best", "segu", "hit_rate",
             "effective_heat_ratio", "top_k_intersection", "iou_over_thresholds", "segu_matched"]  # fmt: skip
    assert all(math.isfinite(s.value) for s in view.scores([as_metric(n) for n in names]).values())
    assert len(sorts) == 1


# -- options ---------------------------------------------------------------------------------------------------------


def views(**changes):
    predictor, case, _ = linear_world()
    case = case.replace(**changes)
    maps = torch.zeros(1, 8, 8)
    maps[0, 0, 3], maps[0, 7, 7] = 5.0, -9.0  # the maximum is two rows above the lesion (2:5, 2:5)
    a = attribution(case, {"x": maps}, index=1)
    return of(predictor, case, [a], [never]).view(0)


def test_pointing_game_in_millimetres_uses_the_spacing():
    view = views(spacing=(3.0, 1.0))
    asked = [{"pointing_game": {"tolerance": 2.0}}, {"pointing_game": {"tolerance_mm": 5.9}},
             {"pointing_game": {"tolerance_mm": 6.0}}]  # fmt: skip
    found = [s.value for s in view.scores([as_metric(m) for m in asked]).values()]
    assert found == [1.0, 0.0, 1.0]
    (s,) = views().scores([as_metric({"pointing_game": {"tolerance_mm": 5.0}})]).values()
    assert math.isnan(s.value) and "no spacing" in s.reason


def test_attribution_localisation_in_its_forms():
    view = views()
    score = lambda **o: view.scores([as_metric({"attribution_localisation": o})])["attribution_localisation"]  # noqa: E731
    assert score().value == 0.0
    view = views(regions={"lesion": torch.eye(8)[7].expand(8, 8)})
    share = 1 / 8  # the last column, with the negative value only
    assert score(values="absolute").value == pytest.approx(9 / 14 / share)
    assert score(values="absolute", weighted=False).value == pytest.approx(9 / 14)
    s = score(max_size=0.1)
    assert math.isnan(s.value) and "max_size" in s.reason


def test_top_k_by_share_by_number_and_by_influence():
    predictor, case, exact = linear_world()
    view = of(predictor, case, [exact]).view(0)
    score = lambda **o: view.scores([as_metric({"top_k_intersection": o})])["top_k_intersection"].value  # noqa: E731
    assert score(k=9) == 1.0 and score(k=18) == pytest.approx(0.5)
    assert score(k=1000) == pytest.approx(9 / 64) == score(top=1.0)
    assert score(k=9, concept_influence=True) == pytest.approx(64 / 9)
    assert as_metric({"top_k_intersection": {"concept_influence": True}}).high == math.inf
    assert as_metric("top_k_intersection").high == 1.0


def test_iou_best_says_where():
    predictor, case, exact = linear_world()
    score = of(predictor, case, [exact]).view(0).scores([as_metric("iou_best")])["iou_best"]
    ((name, at, value),) = score.parts
    assert name == "threshold" and 0 < at <= 1 and value == score.value == 1.0


@pytest.mark.parametrize("bad", [
    {"pointing_game": {"tolerance_mm": -1.0}}, {"pointing_game": {"tolerance": 2.0, "tolerance_mm": 2.0}},
    {"iou_best": {"overlap": "both"}}, {"effective_heat_ratio": {"floor": 1.0}}, {"top_k_intersection": {"k": 0}},
    {"top_k_intersection": {"top": 0.0}}, {"attribution_localisation": {"values": "negative"}},
    {"attribution_localisation": {"max_size": 0.0}}, {"dice": {"at": 0.0}},
])  # fmt: skip
def test_options_that_mean_nothing_are_refused(bad):
    with pytest.raises(UsageError):
        as_metric(bad)
