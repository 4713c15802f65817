"""Plausibility beside Quantus 0.6, to 1e-4, where both define the same thing; and where they do not, that it is so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from peers import peer
from pellucid.evaluate.plausibility.auroc import auroc
from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.pointing_game import pointing_game
from pellucid.evaluate.plausibility.rank_accuracy import rank_accuracy
from pellucid.evaluate.plausibility.top_k_intersection import top_k_intersection
from pellucid.evaluate.shared.levels import levels

N, SIDE = 6, 20


@pytest.fixture(scope="module")
def batch():
    """Maps without ties or negative values, and masks; ``(N, 1, 20, 20)``."""
    rng = np.random.default_rng(0)
    a = rng.random((N, 1, SIDE, SIDE))
    s = np.zeros((N, 1, SIDE, SIDE), bool)
    for i in range(N):
        s[i, 0, 2 + i : 9 + i, 3 : 8 + i] = True
        a[i] += 0.4 * s[i]
    return a, s


def quantus_scores(name, batch, **options):
    a, s = batch
    metric = getattr(peer("quantus"), name)(
        abs=False, normalise=False, disable_warnings=True, display_progressbar=False, **options
    )
    x = np.zeros_like(a, dtype=np.float32)
    return np.array(metric(model=None, x_batch=x, y_batch=np.zeros(len(a), int), a_batch=a, s_batch=s), float)


def ours(function, batch, *more):
    a, s = batch
    both = [(torch.from_numpy(a[i, 0]), torch.from_numpy(s[i, 0])) for i in range(len(a))]
    placed = function in (pointing_game, mass_accuracy)
    return np.array([function(*pair, *more) if placed else function(levels(*pair), *more) for pair in both])


@pytest.mark.parametrize(("name", "options", "function", "more"), [
    ("PointingGame", {}, pointing_game, ()),
    ("RelevanceRankAccuracy", {}, rank_accuracy, ()),
    ("RelevanceMassAccuracy", {}, mass_accuracy, ()),
    ("AUC", {}, auroc, ()),
    ("TopKIntersection", {"k": 37}, top_k_intersection, (37,)),
    ("TopKIntersection", {"k": 300}, top_k_intersection, (300,)),
    ("AttributionLocalisation", {}, mass_accuracy, ()),
])  # fmt: skip
def test_equals_quantus(batch, name, options, function, more):
    theirs = quantus_scores(name, batch, **options)
    assert len(theirs) == N
    np.testing.assert_allclose(ours(function, batch, *more), theirs, atol=1e-4)


def test_concept_influence_equals_quantus(batch):
    theirs = quantus_scores("TopKIntersection", batch, k=37, concept_influence=True)
    share = batch[1].reshape(N, -1).mean(1)
    np.testing.assert_allclose(ours(top_k_intersection, batch, 37) / share, theirs, atol=1e-4)


def test_quantus_weighs_localisation_the_other_way_round(batch):
    """The paper divides by the region's share of the picture; Quantus multiplies, and by a share of the batch's rest."""
    share = batch[1].reshape(N, -1).mean(1)
    inside = ours(mass_accuracy, batch)
    theirs = quantus_scores("AttributionLocalisation", batch, weighted=True)
    np.testing.assert_allclose(theirs, inside * share / (N - 2), atol=1e-4)  # x_batch[2:] leaves out two cases
    assert not np.allclose(theirs, inside / share)


def test_quantus_breaks_ties_by_the_order_of_the_pixels():
    """A flat map: half of the picture is the region, so chance is 0.5 in both halves; Quantus gives 1 and 0."""
    a, s = np.full((2, 1, 4, 4), 2.0), np.zeros((2, 1, 4, 4), bool)
    a[1] = 3.0  # Quantus refuses a batch that is flat as a whole, not a flat map
    s[0, 0, :2], s[1, 0, 2:] = True, True
    np.testing.assert_allclose(ours(rank_accuracy, (a, s)), 0.5)
    np.testing.assert_allclose(quantus_scores("RelevanceRankAccuracy", (a, s)), [1.0, 0.0])
    np.testing.assert_allclose(ours(pointing_game, (a, s)), 0.5)
    np.testing.assert_allclose(quantus_scores("PointingGame", (a, s)), 1.0)  # a flat map always hits
