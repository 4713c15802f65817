"""Metrics over a cohort: literal twins, Quantus, known answers, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, attribution, of, world
from peers import peer
from pellucid.api import evaluate, explain_many
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.evaluate.cohort.signatures import signatures
from pellucid.evaluate.run import as_metric
from reference import metric_cohort as literal

NAMES = ("consistency", "label_sufficiency")
SHAPES = [(10, 12), (6, 7, 5)]


def net(shape) -> Predictor:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3)).eval()
    return Predictor(module, inputs=["x"], task="classification", classes=["a", "b", "c"])


def cohort(shape, n=30, seed=0):
    """A model, n random cases with random maps, and their predicted classes."""
    draw = torch.Generator().manual_seed(seed)
    p = net(shape)
    cases = [Case(id=f"c{i}", inputs={"x": torch.randn(1, *shape, generator=draw)}) for i in range(n)]
    with torch.no_grad():
        predicted = {c.id: int(p.module(c.inputs["x"][None])[0].argmax()) for c in cases}
    # Lumpy, so that some cases share their strongest block.
    lumps = torch.randn(n, 1, *(3 for _ in shape), generator=draw)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    maps = nn.functional.interpolate(lumps, size=shape, mode=mode)
    return p, cases, [attribution(c, {"x": m}) for c, m in zip(cases, maps)], predicted


def scores(p, case, a, made, *metrics) -> dict:
    return of(p, case, [a], cohort=made).view(0).scores([as_metric(m) for m in metrics])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grid", [3, 4, None])
def test_equal_their_twins(shape, grid):
    n = 12 if grid is None else 30  # the twin is slow
    p, cases, maps, predicted = cohort(shape, n=n)
    made = signatures(maps, predicted, grid=grid)
    numbers = [m.maps["x"][0].double().numpy() for m in maps]
    rows = [m.ravel().tolist() if grid is None else literal.block_means(m, grid) for m in numbers]
    classes = list(predicted.values())
    defined = 0
    for i, (case, a) in enumerate(zip(cases, maps)):
        found = scores(p, case, a, made, *NAMES)
        for name, want in zip(NAMES, (literal.consistency(rows, classes, i), literal.label_sufficiency(rows, classes, i, 0.6))):
            if want is None:
                assert math.isnan(found[name].value) and f"none of the {n - 1} other cases" in found[name].reason
            else:
                assert found[name].value == pytest.approx(want)
                assert found[name].parts[0][0] == "cases" and found[name].parts[0][1] >= 1
                defined += 1
    assert defined >= 5


def test_equal_quantus_where_another_case_is_alike():
    """Theirs: exact maps of one size, our idea of the same map as their way to discretise; 0 where there is no other."""
    quantus = peer("quantus")
    p, cases, maps, predicted = cohort((10, 12))
    top = max(float(m.maps["x"].abs().max()) for m in maps)
    x = torch.stack([c.inputs["x"] for c in cases]).numpy()
    # Each map scaled to 1, as ours are; Quantus scales a whole batch by one number.
    exact = np.stack([(m.maps["x"] / m.maps["x"].abs().max()).numpy() for m in maps])
    made = signatures(maps, predicted, grid=None)
    ask = {"model": p.module, "x_batch": x, "y_batch": np.array(list(predicted.values())), "softmax": False, "device": "cpu"}
    options = {"abs": False, "disable_warnings": True}

    def strongest(a, **_):
        at = int(np.abs(a).argmax())
        return 2 * at + int(a[at] > 0)

    theirs = {
        "consistency": quantus.Consistency(discretise_func=strongest, **options)(a_batch=exact.copy(), **ask),
        "label_sufficiency": quantus.Sufficiency(threshold=0.6, **options)(a_batch=exact.copy(), **ask),
    }
    assert top > 0
    seen = dict.fromkeys(NAMES, 0)
    for i, (case, a) in enumerate(zip(cases, maps)):
        for name, s in scores(p, case, a, made, *NAMES).items():
            want = float(np.ravel(theirs[name])[i])
            if math.isnan(s.value):
                assert want == 0
            else:
                assert s.value == pytest.approx(want, abs=1e-4)
                seen[name] += 1
    assert min(seen.values()) > 5


def test_maps_that_tell_the_classes_apart_score_1_and_random_ones_at_chance():
    """The direction of both: a map that shows the predicted class against one that knows nothing."""
    p, cases, _, predicted = cohort((12, 12), n=90, seed=3)
    classes = list(predicted.values())
    good, chance = [], []
    for i, (case, k) in enumerate(zip(cases, classes)):
        m = torch.zeros(1, 12, 12)
        m[0, 4 * k : 4 * k + 3, 1:3] = 1 + i
        good.append(attribution(case, {"x": m}, method="tells"))
        noise = torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(1000 + i))
        chance.append(attribution(case, {"x": noise}, method="random"))
    made = signatures([*good, *chance], predicted)
    share = sum(sum(c == k for c in classes) - 1 for k in classes) / (90 * 89)
    for name in NAMES:
        best = [scores(p, c, a, made, name)[name].value for c, a in zip(cases, good)]
        random = [scores(p, c, a, made, name)[name].value for c, a in zip(cases, chance)]
        assert best == pytest.approx([1.0] * 90)
        assert np.nanmean(random) == pytest.approx(share, abs=0.12)
        assert as_metric(name).direction == "higher"


def test_pictures_of_different_size_compare_by_blocks():
    p, q = net((8, 8)), net((16, 12))
    small = Case(id="small", inputs={"x": torch.rand(1, 8, 8)})
    large = Case(id="large", inputs={"x": torch.rand(1, 16, 12)})
    m = torch.zeros(1, 8, 8)
    m[0, 0:2, 2:4] = 1
    n = torch.zeros(1, 16, 12)
    n[0, 0:4, 3:6] = 7
    maps = [attribution(small, {"x": m}), attribution(large, {"x": n})]
    made = signatures(maps, {"small": 1, "large": 1})
    (found,) = made.by.values()
    assert found.values.shape == (2, 16) and torch.equal(found.values[0], found.values[1])
    assert scores(p, small, maps[0], made, "consistency")["consistency"].value == 1
    assert scores(q, large, maps[1], made, "consistency")["consistency"].value == 1
    with pytest.raises(InputError, match=r"case large: its map has 192 values, that of case small has 64"):
        signatures(maps, {"small": 1, "large": 1}, grid=None)


def test_size_of_the_maps_does_not_matter():
    p, cases, maps, predicted = cohort((10, 12))
    grown = [a.replace(maps={"x": (i + 1) * 37.5 * a.maps["x"]}) for i, a in enumerate(maps)]
    for case, a, b in list(zip(cases, maps, grown))[:8]:
        before = scores(p, case, a, signatures(maps, predicted), *NAMES)
        after = scores(p, case, b, signatures(grown, predicted), *NAMES)
        assert {k: s.value for k, s in before.items()} == pytest.approx({k: s.value for k, s in after.items()}, nan_ok=True)


def test_several_inputs_tasks_and_methods_through_the_public_face():
    """Every method and target has a cohort of its own; two maps of one method stay apart; no pass is made."""
    w = world("segmentation 2 pictures")
    cases = [w.case.replace(id=f"s{i}", inputs={k: v + 0.3 * i for k, v in w.case.inputs.items()}) for i in range(4)]
    methods = ["saliency", {"smoothgrad": {"samples": 2}}, {"smoothgrad": {"samples": 3}}]
    maps = explain_many(w.predictor, cases, methods=methods, targets=["predicted", 1])
    predicted = {a.case_id: int(a.target["index"]) for a in maps if a.target["k"] == "predicted"}
    made = signatures(maps, predicted)
    assert len(made.by) == 6 and all(s.ids == tuple(c.id for c in cases) for s in made.by.values())
    assert all(s.values.shape == (4, 2 * 16) for s in made.by.values())
    mine = [a for a in maps if a.case_id == "s1"]
    found = evaluate(w.predictor, cases[1], mine, metrics=[*NAMES, "gini"], cohort=made)
    assert len(found) == 6 and all(0 <= v <= 1 or math.isnan(v) for row in found for v in row.values())
    e = of(w.predictor, cases[1], [mine[0]], cohort=made)
    ROWS["seen"] = 0
    e.view(0).scores([as_metric(n) for n in NAMES])
    assert ROWS["seen"] == 0


def test_the_predicted_class_comes_from_maps_of_the_predicted_class_or_is_asked_for():
    w = world("classification 2-D")
    cases = [w.case.replace(id=f"p{i}", inputs={"im0": w.case.inputs["im0"] * (1 + i)}) for i in range(3)]
    maps = explain_many(w.predictor, cases, methods=["saliency"], targets=["predicted", "a"])
    (first, *_) = signatures(maps).by.values()
    assert list(first.predicted) == [a.target["index"] for a in maps if a.target["k"] == "predicted"]
    with pytest.raises(UsageError, match="case p0: its predicted class is not known"):
        signatures([a for a in maps if a.target["k"] == "a"])
    with pytest.raises(UsageError, match="1 or more blocks"):
        signatures(maps, grid=0)


# -- bad input --------------------------------------------------------------------------------------------------------


def test_what_has_no_answer_has_a_reason():
    p, cases, maps, predicted = cohort((10, 12), n=5)
    values = {1: 0.0, 2: math.nan, 3: 2.0}
    for i, v in values.items():
        maps[i] = attribution(cases[i], {"x": torch.full((1, 10, 12), v)})
    made = signatures(maps, predicted)

    def reason(i, name="consistency", within=made, case=None, a=None):
        s = scores(p, case or cases[i], a or maps[i], within, name)[name]
        assert math.isnan(s.value)
        return s.reason

    for name in NAMES:
        assert "zero everywhere" in reason(1, name) and "NaN" in reason(2, name)
        assert "no other cases" in reason(0, name, within=None)
        assert "no other case with a map" in reason(0, name, within=signatures(maps[:3], predicted))
        other = cases[0].replace(id="new")
        assert "not in the cohort" in reason(0, name, case=other, a=maps[0].replace(case_id="new"))
        assert "no map of another" in reason(0, name, a=maps[0].replace(method="another"))
    assert "no strongest block" in reason(3)


def test_a_regression_predicts_no_class():
    w = world("regression 3-D")
    a = attribution(w.case, {"im0": torch.rand(1, 6, 7, 5)}, kind="score")
    for name in NAMES:
        s = of(w.predictor, w.case, [a]).view(0).scores([as_metric(name)])[name]
        assert math.isnan(s.value) and "predicts no class" in s.reason


def test_cohort_of_equal_maps_is_all_alike():
    p, cases, maps, predicted = cohort((10, 12), n=6)
    same = [a.replace(maps=maps[0].maps) for a in maps]
    made = signatures(same, predicted)
    for i, case in enumerate(cases):
        others = [predicted[c.id] == predicted[case.id] for c in cases if c.id != case.id]
        for name in NAMES:
            assert scores(p, case, same[i], made, name)[name].value == pytest.approx(sum(others) / 5)


@pytest.mark.parametrize(("metric", "word"), [({"consistency": {"top": 0}}, "1 or more"), ({"label_sufficiency": {"threshold": 1.0}}, "under 1")])
def test_options_are_checked(metric, word):
    with pytest.raises(UsageError, match=word):
        as_metric(metric)


def test_more_blocks_are_harder_to_share():
    p, cases, maps, predicted = cohort((10, 12))
    made = signatures(maps, predicted)
    (found,) = made.by.values()
    one, two = (sum(int(found.same(i, top).sum()) - 1 for i in range(30)) for top in (1, 2))
    assert 0 < two < one
    s = scores(p, cases[0], maps[0], made, {"consistency": {"top": 16}})["consistency"]
    assert math.isnan(s.value)
