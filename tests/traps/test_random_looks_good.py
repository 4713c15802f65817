"""random_looks_good: a metric that a random map or an edge detector passes.

The controls run beside every comparison, and a method is called better only if the interval of the paired difference
says so: on a cohort, the exact map beats both controls on every metric with a right answer, the controls beat nothing.
"""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from metric_worlds import linear_world
from pellucid.api import evidence_of, explain
from pellucid.core.metric import METRICS
from pellucid.engine import Engine
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.run import as_metric, score_table

ASKED = [
    n for n, c in METRICS.items()
    if c.question in ("faithfulness", "plausibility", "sanity") and not {"cohort", "shuffled"} & set(c.needs)
]
# What cannot tell the maps of this world apart: every pixel speaks for the class, so that no map raises the answer and
# in any order it never falls; and of the superpixels both the exact map and the edges put the lesion's first.
BLIND = ("average_increase", "monotonicity", "irof")
METHODS = ("input_x_gradient", "random", "edge")


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    predictor, case, _ = linear_world((16, 16))
    engine, rows = Engine(predictor), []
    lesion = case.regions["lesion"]
    for i in range(10):
        noise = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(i))
        # A second bright thing with sharp edges, which the model does not use: an edge detector falls for it.
        x = torch.where(lesion, 1 - 0.1 * noise, 0.1 * noise)
        x[0, 9:14, 9:14] = 1
        one = case.replace(id=f"c{i}", group=f"p{i}", inputs={"x": x})
        maps = [explain(predictor, one, method=m, target=1) for m in METHODS]
        rows += score_table(evidence_of(engine, one, maps), [as_metric(n) for n in ASKED])[0]
    return compare(pd.DataFrame(rows), n_boot=500)


@pytest.mark.parametrize("metric", [n for n in ASKED if METRICS[n].question != "sanity" and n not in BLIND])
def test_the_exact_map_is_better_and_edges_are_not_mistaken_for_it(found, metric):
    mine = found[found.metric == metric].set_index("method")
    assert mine.loc["input_x_gradient", "rank"] == 1
    assert bool(mine.loc["input_x_gradient", "better_than_random"]) and mine.loc["input_x_gradient", "p"] < 0.05
    low, high = mine.loc["edge", ["low", "high"]]
    assert not low <= mine.loc["input_x_gradient", "mean"] <= high


@pytest.mark.parametrize("metric", BLIND)
def test_where_the_maps_cannot_be_told_apart_no_method_is_said_to_beat_the_edges(found, metric):
    mine = found[found.metric == metric].set_index("method")
    assert mine.loc["input_x_gradient", "rank"] == 1
    assert mine.loc["input_x_gradient", "p"] == 1


def test_both_controls_fail_the_sanity_metric(found):
    mine = found[found.metric == "parameter_randomisation"].set_index("method")
    assert mine.loc["random", "mean"] == pytest.approx(1) == mine.loc["edge", "mean"]
    assert mine.loc["input_x_gradient", "mean"] < 0.9


def test_random_is_at_chance_in_plausibility(found):
    mine = found[found.method == "random"].set_index("metric")
    share = 9 / 256
    assert mine.loc["mass_accuracy", "mean"] == pytest.approx(share, rel=0.25)
    assert mine.loc["average_precision", "mean"] < 3 * share
    assert mine.loc["pointing_game", "mean"] <= 0.2
