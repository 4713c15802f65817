"""What was computed for a case goes with it: no cycle keeps its volumes until the garbage collector comes."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch

from metric_worlds import attribution, linear_world, of
from pellucid.api import evidence_of, explain
from pellucid.core.metric import METRICS
from pellucid.engine import Engine
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.randomise import run_order
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.verdicts import full


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_after_every_metric_and_verdict(no_collector):
    predictor, case, _ = linear_world()
    engine = Engine(predictor)
    # Once per engine its layers are watched while they run, and torch's dispatcher keeps the frames of that.
    run_order(engine, case)
    e = evidence_of(engine, case, [explain(predictor, case, method=m) for m in ("saliency", "random")])
    there = weakref.ref(e)
    for i in range(2):
        e.view(i).scores([as_metric(n) for n in METRICS])
    full(e)
    del e
    assert there() is None


@pytest.mark.parametrize("value", [math.nan, 0.0, 1.0])
def test_after_metrics_that_are_undefined(no_collector, value):
    predictor, case, _ = linear_world()
    a = attribution(case, {"x": torch.full((1, 8, 8), value)}, index=1)
    e = of(predictor, case, [a, a], [lambda engine, cases, bound, **more: [a] * len(cases)] * 2)
    there = weakref.ref(e)
    for i in range(2):
        e.view(i).scores([as_metric(n) for n in METRICS])
    full(e)
    del e
    assert there() is None


def test_a_reason_that_is_kept_has_no_traceback():
    predictor, case, exact = linear_world()
    e = of(predictor, case, [exact])

    def fail() -> None:
        raise Undefined("there is none")

    for _ in range(3):
        with pytest.raises(Undefined, match="there is none"):
            e.once("what", fail)
    assert e._kept["what"].__traceback__ is None
