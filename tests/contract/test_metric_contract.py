"""What every registered metric promises; a new one is picked up without a list."""

from __future__ import annotations

import ast
import inspect
import math
from functools import cache
from pathlib import Path

import pytest
import torch

from metric_worlds import ROWS, SPECS, attribution, evidence, linear_world, of, world
from pellucid.core.metric import METRICS, NEEDS, QUESTIONS, Metric
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.verdicts import full

ELSEWHERE = ("cohort", "shuffled")  # what a lone case does not have: tested where it is


# What a constant map scores in plausibility, by the region's share of the picture: the share itself unless named here.
FLAT = {
    "dice": lambda share: 2 * share / (1 + share), "iou_matched": lambda share: share / (2 - share),
    "auroc": lambda share: 0.5, "attribution_localisation": lambda share: 1.0,
}  # fmt: skip
# Questions about the map alone, in which a constant map has a true value of zero.
ZERO_IF_CONSTANT = (
    "gini", "max_sensitivity", "avg_sensitivity", "local_lipschitz", "continuity", "relative_input_stability",
    "relative_output_stability", "relative_representation_stability",
)  # fmt: skip
# Metrics of the model, the same for any map.
OF_THE_MODEL = ("ablation_share", "shapley_share")
# Metrics whose direction this world cannot show, and the test that does.
TESTED_ELSEWHERE: dict[str, str] = {
    "average_increase": "tests/evaluate/test_soft_metrics.py",  # no map raises this model's answer
    "focus": "tests/evaluate/test_focus.py",  # other cases
    **dict.fromkeys(("smooth_mprt", "label_randomisation"), "tests/evaluate/test_sanity.py"),
    "monotonicity": "tests/evaluate/test_curve_metrics.py",  # all of this model's pixels speak for the class
    **dict.fromkeys(("seconds", "evaluations", "peak_memory"), "tests/evaluate/test_complexity_and_cost.py"),
    **dict.fromkeys(("consistency", "label_sufficiency"), "tests/evaluate/test_cohort_metrics.py"),
    **dict.fromkeys(("msfi", "modality_agreement"), "tests/evaluate/test_modality.py"),  # several inputs
}
# Compares classes, of which a regression has none.
OF_CLASSES = ("random_logit",)
# Read from a clock: never twice the same.
CLOCKS = ("seconds",)
# Of a GPU: undefined on a CPU, which is where this runs.
OF_A_GPU = ("peak_memory",)


def score(e, i: int, name: str) -> dict:
    return e.view(i).scores([as_metric(name)])


@pytest.mark.parametrize("where", SPECS)
@pytest.mark.parametrize("name", METRICS)
def test_runs_everywhere_within_its_range(name, where):
    e, cls = evidence(where), METRICS[name]
    for place in range(len(e.maps)):
        found = score(e, place, name)
        per_input = cls.per_input
        assert set(found) == ({f"{name}[{i}]" for i in e.engine.predictor.inputs} if per_input else {name})
        several = len(e.engine.predictor.inputs) > 1
        for s in found.values():
            if "inputs" in cls.needs and not several:
                assert math.isnan(s.value) and "one input" in s.reason
            elif name in OF_CLASSES and e.engine.predictor.task == "regression":
                assert math.isnan(s.value) and "regression" in s.reason
            elif any(n in cls.needs for n in ELSEWHERE) or name in OF_A_GPU:
                assert math.isnan(s.value) and s.reason
            else:
                assert math.isfinite(s.value), f"{e.maps[place].method}: {s.reason}"
                assert cls.low <= s.value <= cls.high and s.reason == ""
        if per_input and several and name.endswith("_share"):
            assert sum(s.value for s in found.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", METRICS)
def test_says_what_it_is(name):
    cls = METRICS[name]
    assert cls.name == name and cls.question in QUESTIONS and cls.direction in ("higher", "lower", "none")
    assert cls.low < cls.high and cls.source and set(cls.needs) <= set(NEEDS)
    assert (cls.__doc__ or "").strip() and issubclass(cls, Metric)
    assert cls.__module__.split(".")[-2:] == [cls.question, name]


@pytest.mark.parametrize("shape", [(8, 8), (7, 6, 8)])
@pytest.mark.parametrize("name", METRICS)
def test_direction_a_good_map_scores_better(name, shape):
    """Oracle against random; a steady map against one that dances; one that needs the model against one that does not."""
    cls = METRICS[name]
    predictor, case, exact = linear_world(shape)
    draw = lambda s: torch.rand(1, *shape, generator=torch.Generator().manual_seed(s))  # noqa: E731
    random = attribution(case, {"x": draw(0)}, method="random", index=1)
    good, bad = exact, random
    steady = lambda engine, cases, bound, **more: [exact] * len(cases)  # noqa: E731
    dances = lambda engine, cases, bound, **more: [attribution(case, {"x": draw(i + 9)}, index=1) for i in range(len(cases))]  # noqa: E731
    again = [steady, dances]
    if cls.question == "sanity":  # the same map from a model with random weights is the bad one
        again = [dances, lambda engine, cases, bound, **more: [random] * len(cases)]
    if cls.direction == "none" or name in TESTED_ELSEWHERE:
        return
    e = of(predictor, case, [good, bad], again)
    better, worse = score(e, 0, name)[name].value, score(e, 1, name)[name].value
    assert better > worse if cls.direction == "higher" else better < worse


@pytest.mark.parametrize("name", METRICS)
def test_size_of_the_map_does_not_matter(name):
    w = world("classification 2-D + table")
    if not METRICS[name].scale_free:
        pytest.skip(f"{name} is in units of the map: its own tests say how it grows")
    base = evidence("classification 2-D + table")
    grown = [a.replace(maps={k: 37.5 * v for k, v in a.maps.items()}) for a in base.maps]

    def enlarged(i):
        return lambda engine, cases, bound, **more: [
            a.replace(maps={k: 37.5 * v for k, v in a.maps.items()}) for a in base.again[i](engine, cases, bound, **more)
        ]

    e = of(w.predictor, w.case, grown, [enlarged(i) for i in range(len(grown))], steps=6)
    for i in range(len(grown)):
        before, after = score(base, i, name), score(e, i, name)
        assert {k: s.value for k, s in after.items()} == pytest.approx({k: s.value for k, s in before.items()}, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("kind", ["zero", "nan", "constant", "negative"])
@pytest.mark.parametrize("name", METRICS)
def test_a_map_that_says_nothing_is_never_a_silent_zero(name, kind):
    predictor, case, _ = linear_world()
    share = float(case.regions["lesion"].double().mean())
    value = {"zero": 0.0, "nan": math.nan, "constant": 2.0, "negative": -1.0}[kind]
    a = attribution(case, {"x": torch.full((1, 8, 8), value)}, index=1)
    e = of(predictor, case, [a], [lambda engine, cases, bound, **more: [a] * len(cases)])
    found = score(e, 0, name)
    question = METRICS[name].question
    for s in found.values():
        assert (s.reason != "") == math.isnan(s.value)
        if kind == "nan" and name not in OF_THE_MODEL:
            assert math.isnan(s.value)
        if question == "plausibility":
            if kind == "constant" and not set(METRICS[name].needs) & set(ELSEWHERE):
                flat = FLAT.get(name, lambda share: share)(share)
                assert s.value == pytest.approx(flat)
            else:
                assert math.isnan(s.value)
        if question in ("stability", "sanity") and name not in ZERO_IF_CONSTANT:
            assert math.isnan(s.value)
        if name in ZERO_IF_CONSTANT and kind == "zero":
            assert math.isnan(s.value)
        if name in ZERO_IF_CONSTANT and kind in ("constant", "negative"):
            assert s.value == 0  # truly zero: nothing is sparse, nothing changed


@pytest.mark.parametrize(
    ("mask", "word"), [(None, "no region"), (torch.zeros(8, 8), "empty"), (torch.ones(8, 8), "whole picture")]
)
@pytest.mark.parametrize("name", [n for n, c in METRICS.items() if "region" in c.needs])
def test_without_a_usable_mask_plausibility_is_undefined(name, mask, word):
    predictor, case, exact = linear_world()
    case = case.replace(regions={} if mask is None else {"lesion": mask})
    (s,) = score(of(predictor, case, [exact]), 0, name).values()
    assert math.isnan(s.value) and word in s.reason


@cache
def anew(where):
    """Evidence made a second time, for all metrics together, as a run does."""
    return evidence.__wrapped__(where)


@pytest.mark.parametrize("name", METRICS)
def test_is_repeatable(name):
    first, second = evidence("regression 2 pictures"), anew("regression 2 pictures")
    for i in range(len(first.maps)):
        again = {k: s.value for k, s in score(second, i, name).items()}
        # Not to the last bit: the first pass of an engine measures with a batch of one, later ones need not.
        same = pytest.approx(again, rel=1e-5, abs=1e-6, nan_ok=True)
        assert name in CLOCKS or {k: s.value for k, s in score(first, i, name).items()} == same


@pytest.mark.parametrize("name", METRICS)
def test_leaves_the_model_as_it_was(name):
    w = world("classification 2-D + table")
    before = {k: v.clone() for k, v in w.predictor.module.state_dict().items()}
    e = anew("classification 2-D + table")
    for i in range(len(e.maps)):
        score(e, i, name)
    if name == next(iter(METRICS)):
        full(e)
    after = w.predictor.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before) and not w.predictor.module.training
    assert all(p.grad is None and p.requires_grad for p in w.predictor.module.parameters())


def test_what_nobody_reads_costs_nothing():
    e = evidence.__wrapped__("classification 2-D + table")
    ROWS["seen"] = 0
    names = [n for n, c in METRICS.items() if not {"model", "explainer"} & set(c.needs)]
    assert names
    for i in range(len(e.maps)):
        e.view(i).scores([as_metric(n) for n in names])
    assert ROWS["seen"] == 0


def test_no_metric_has_a_batching_loop():
    """No pass through a model stands inside a loop, and no metric asks the engine itself."""
    passes = {"scores", "forward", "gradients", "activations", "outputs", "predict", "captured"}
    loops = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    root = Path(inspect.getfile(as_metric)).parent
    files = sorted(root.rglob("*.py"))
    assert len(files) > len(METRICS)
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [n for n in ast.walk(tree) if _asks_engine(n, passes)]
        assert not calls or path.parent in (root, root / "shared"), f"{path.name} runs the model itself; it should read the evidence"
        inside = [c for n in ast.walk(tree) if isinstance(n, loops) for c in ast.walk(n) if _asks_engine(c, passes)]
        assert not inside, f"{path.name}: a pass inside a loop"


def _asks_engine(node: ast.AST, passes: set[str]) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in passes):
        return False
    return ast.unparse(node.func.value).split(".")[-1] == "engine"
