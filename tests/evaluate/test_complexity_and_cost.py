"""Complexity and cost: literal twins, closed forms, Quantus, and the account that a map carries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metric_worlds import attribution, evidence, linear_world, of, world
from peers import peer
from pellucid.api import evidence_of, explain_many
from pellucid.core.cost import Cost
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate.complexity.effective_voxels import effective_number
from pellucid.evaluate.complexity.entropy import entropy
from pellucid.evaluate.complexity.gini import gini
from pellucid.evaluate.run import as_metric
from reference import metric_complexity as literal

RNG = np.random.default_rng(4)
NAMES = ("entropy", "effective_complexity", "active_share", "effective_voxels")


def scores(e, place, *metrics):
    return {k: s.value for k, s in e.view(place).scores([as_metric(m) for m in metrics]).items()}


def made(values) -> dict[str, float]:
    """The metrics of a map with these values on the pictures of a world."""
    w = world("classification 2-D")
    a = attribution(w.case, {"im0": torch.as_tensor(values).view(1, 10, 12)})
    return scores(of(w.predictor, w.case, [a]), 0, *NAMES)


@pytest.mark.parametrize("where", ["classification 2-D + table", "regression 2 pictures", "segmentation 3-D"])
def test_complexity_equals_its_twins_over_all_pictures(where):
    e = evidence(where)
    for i, a in enumerate(e.maps):
        values = torch.cat([a.spatial(n).flatten() for n in a.images]).double().tolist()
        found = scores(e, i, *NAMES)
        assert found["entropy"] == pytest.approx(literal.entropy(values))
        assert found["effective_complexity"] == literal.count_above(values, 1e-5)
        assert found["active_share"] == pytest.approx(literal.count_above(values, 0.1) / len(values))
        assert found["effective_voxels"] == pytest.approx(literal.effective_number(values))


def test_closed_forms_of_a_map_that_is_the_same_on_n_pixels():
    for n in (1, 7, 120):
        values = torch.zeros(120)
        values[:n] = -0.3
        found = made(values)
        assert found["entropy"] == pytest.approx(math.log(n), abs=1e-12)
        assert found["effective_complexity"] == n and found["active_share"] == pytest.approx(n / 120)
        assert found["effective_voxels"] == pytest.approx(n)
        assert entropy(values, normalised=True) == pytest.approx(math.log(n) / math.log(120), abs=1e-12)


def test_a_random_map_has_its_expected_numbers():
    """|A| uniform on [0, 1]: E|A|² / E A² = 3/4 of the pixels count, nine tenths are over a tenth of the maximum."""
    values = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    assert effective_number(values) / len(values) == pytest.approx(0.75, abs=0.005)
    assert entropy(values) - math.log(len(values)) == pytest.approx(0.5 - math.log(2), abs=0.005)  # ln N + E[2u ln 1/2u]


def test_options_are_checked_and_used():
    values = torch.linspace(0.005, 1, 120)
    w = world("classification 2-D")
    e = of(w.predictor, w.case, [attribution(w.case, {"im0": values.view(1, 10, 12)})])
    assert scores(e, 0, {"active_share": {"at": 0.5}})["active_share"] == pytest.approx(60 / 120, abs=1 / 120)
    assert scores(e, 0, {"effective_complexity": {"eps": 0.9}})["effective_complexity"] == 12
    for bad in ({"active_share": {"at": 1.0}}, {"effective_complexity": {"eps": -0.1}}):
        with pytest.raises(UsageError, match="share of the map's largest"):
            as_metric(bad)
    with pytest.raises(Exception, match="one pixel"):
        entropy(torch.ones(1), normalised=True)


def test_equals_quantus():
    quantus = peer("quantus")
    maps = RNG.normal(size=(3, 1, 10, 12)).astype(np.float32)
    maps[1, 0, :6] = 0
    x = RNG.normal(size=maps.shape).astype(np.float32)
    # One map at a time: Quantus divides a batch by the maximum of all of its maps.
    ask = {"model": torch.nn.Flatten(), "y_batch": np.array([0])}

    def theirs(metric, i):
        return float(metric(x_batch=x[i : i + 1], a_batch=maps[i : i + 1].copy(), **ask)[0])

    for i in range(3):
        flat = torch.from_numpy(maps[i]).flatten().double()
        options = {"disable_warnings": True}
        found = made(flat.float())
        assert found["entropy"] == pytest.approx(theirs(quantus.Complexity(**options), i), rel=1e-4)
        assert found["effective_complexity"] == theirs(quantus.EffectiveComplexity(**options), i)
        assert gini(flat) == pytest.approx(theirs(quantus.Sparseness(**options), i), abs=1e-4)


# -- cost -------------------------------------------------------------------------------------------------------------


def test_cost_is_what_the_map_s_account_says_and_a_dear_map_scores_worse():
    w = world("classification 2-D")
    maps = explain_many(w.predictor, [w.case], methods=["saliency", {"integrated_gradients": {"n_steps": 24}}])
    e = evidence_of(Engine(w.predictor), w.case, maps)
    cheap, dear = (scores(e, i, "seconds", "evaluations") for i in (0, 1))
    for i, found in enumerate((cheap, dear)):
        cost = maps[i].cost
        assert found == {"seconds": cost.seconds, "evaluations": cost.forwards + cost.backwards}
    assert cheap["evaluations"] == 2 < dear["evaluations"]
    assert as_metric("evaluations").direction == as_metric("seconds").direction == "lower"


def test_memory_is_that_of_a_gpu_and_on_a_cpu_there_is_a_reason():
    predictor, case, exact = linear_world()
    on_gpu = [exact.replace(cost=Cost(1, 1, 0.1, peak)) for peak in (10**6, 10**8)]
    e = of(predictor, case, [*on_gpu, exact.replace(cost=Cost(1, 1, 0.1, None)), exact])
    small, large = (scores(e, i, "peak_memory")["peak_memory"] for i in (0, 1))
    assert (small, large) == (1e6, 1e8) and as_metric("peak_memory").direction == "lower"
    assert "on a CPU" in e.view(2).scores([as_metric("peak_memory")])["peak_memory"].reason


def test_a_map_without_an_account_has_no_cost_not_none_at_all():
    predictor, case, exact = linear_world()
    e = of(predictor, case, [exact])
    for s in e.view(0).scores([as_metric(n) for n in ("seconds", "evaluations", "peak_memory")]).values():
        assert math.isnan(s.value) and "no account" in s.reason
