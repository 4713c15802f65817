"""Boxes in words, on other grids, and their matches; the outline of the patient; hot spots; the filled place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metric_worlds import ROWS, attribution
from pellucid.core.case import Case
from pellucid.core.target import ClassScore, RegionScore, Score
from pellucid.data.synthetic.make import make
from pellucid.errors import InputError
from pellucid.evaluate.cohort.anatomy import body_classical, marks, outside
from pellucid.evaluate.cohort.hotspots import Means, density, resized, spots
from pellucid.evaluate.cohort.places import Place, matched
from pellucid.evaluate.shared.refill import refilled
from shortcut_worlds import world


@pytest.mark.parametrize(
    ("box", "shape", "orientation", "zone"),
    [
        (((2, 8), (3, 9)), (60, 60), None, "upper left corner"),
        (((50, 58), (25, 35)), (60, 60), None, "lower edge"),
        (((25, 35), (50, 60)), (60, 60), None, "right edge"),
        (((25, 35), (25, 35)), (60, 60), None, "middle"),
        (((0, 4), (0, 4), (0, 4)), (30, 30, 30), "RAS", "left posterior inferior part"),
        (((0, 4), (12, 18), (26, 30)), (30, 30, 30), "LPS", "right superior part"),
        (((0, 4), (12, 18), (26, 30)), (30, 30, 30), None, "low end of axis 0, high end of axis 2"),
    ],
)
def test_where_a_place_is_in_words(box, shape, orientation, zone):
    assert Place(box, shape).zone(orientation) == zone


def test_a_place_in_full():
    place = Place(((2, 15), (3, 13)), (120, 120))
    assert str(place) == "2:15,3:13" and place.share == pytest.approx(130 / 14400)
    assert place.words() == "upper left corner (rows 2–14, columns 3–12; 0.9 % of the picture)"
    assert place.on((60, 240)) == (slice(1, 8), slice(6, 26))
    assert Place(((0, 1), (0, 1)), (100, 100)).on((10, 10)) == (slice(0, 1), slice(0, 1))
    assert Place(((99, 100), (99, 100)), (100, 100)).on((10, 10)) == (slice(9, 10), slice(9, 10))


def test_the_mirrored_place_comes_first_and_no_match_touches_another():
    place, away = Place(((1, 5), (1, 4)), (20, 30)), np.ones((20, 30))
    first, second = matched(place, away, [])
    assert first.box == ((1, 5), (26, 29)) and second.box == ((15, 19), (1, 4))
    away[:, 20:] = 0  # the right is the patient
    assert matched(place, away, [])[0].box == ((15, 19), (1, 4))
    (other,) = matched(place, away, [Place(((10, 20), (0, 30)), (20, 30))], most=1)
    assert not other.overlaps(place) and other.box[0][1] <= 10 and other.box[1][1] <= 20
    assert matched(place, np.pad(np.ones((5, 4)), ((0, 15), (0, 26))), []) == []  # nothing else is outside


@pytest.mark.parametrize(("task", "size"), [("classification", 64), ("regression", 96), ("segmentation", 64), ("volume", 32)])
def test_the_outline_agrees_with_the_anatomy_that_was_drawn(task, size):
    for case in make(task, n=3, size=size, seed=5, **({"confounder": True} if task in ("classification", "regression") else {})):
        found = outside(case.replace(regions={}))
        body = case.region("anatomy").numpy()
        assert found.how == "found"
        assert (~found.mask)[body].mean() > 0.99  # nothing of the patient is outside
        assert found.mask[~body].mean() > 0.55  # the skull, the skin and a margin are not in the drawn anatomy
        if "confounder" in case.regions:
            assert found.mask[case.region("confounder").numpy()].all()
        assert outside(case).how == "given"


def test_pictures_that_the_patient_fills_have_a_frame():
    rng = np.random.default_rng(0)
    x = rng.random((50, 40)) * 0.5 + 0.2
    x[10:13, 4:8] = 1.2  # a letter, and a bright thing in the middle
    x[20:30, 15:25] = 1.2
    found = outside(Case(id="a", inputs={"x": torch.tensor(x[None]).float()}))
    assert found.how == "frame" and "may hold anatomy" in found.says
    assert found.mask[:5].all() and found.mask[:, -4:].all() and not found.mask[15:35, 12:30].any()
    assert found.mask[10:13, 4:8].all() and marks(x)[10:13, 4:8].all() and not marks(x)[20:30, 15:25].any()


def test_no_outline_in_a_constant_picture_or_a_small_thing_in_the_dark():
    assert body_classical(np.ones((20, 20))) is None and not marks(np.ones((20, 20))).any()
    x = np.zeros((40, 40))
    x[2:6, 2:6] = 1
    assert body_classical(x) is None


def test_the_body_may_be_darker_than_what_is_around_it():
    yy, xx = np.mgrid[-1:1:40j, -1:1:40j]
    body = yy**2 + xx**2 < 0.5
    found = body_classical(np.where(body, 0.2, 0.9))
    assert found is not None and found[body].all() and found.mean() < 0.5


def test_a_region_that_is_empty_or_everything_is_no_outline():
    case = make("classification", n=1, size=48, seed=1)[0]
    for mask in (torch.zeros(48, 48, dtype=torch.bool), torch.ones(48, 48, dtype=torch.bool)):
        assert outside(case.replace(regions={"anatomy": mask})).how == "found"
    with pytest.raises(InputError, match="tables only"):
        outside(Case(id="t", inputs={"t": torch.zeros(3)}))


def test_density_adds_pictures_leaves_tables_out_and_has_mean_one():
    case = Case(id="a", inputs={"u": torch.zeros(2, 4, 4), "v": torch.zeros(1, 4, 4), "t": torch.zeros(3)})
    u, v = torch.randn(2, 4, 4), torch.randn(1, 4, 4)
    d = density(attribution(case, {"u": u, "v": v, "t": torch.ones(3)}), (4, 4))
    by_hand = (u.sum(0).abs() + v.sum(0).abs()).double().numpy()
    assert np.allclose(d, by_hand / by_hand.mean()) and d.mean() == pytest.approx(1)
    assert density(attribution(case, {"u": u * 0}), (4, 4)) is None
    assert density(attribution(case, {"u": u * float("nan")}), (4, 4)) is None
    assert density(attribution(case, {"t": torch.ones(3)}), (4, 4)) is None


def test_means_over_cases_and_by_label():
    means = Means((4, 5))
    a, b = np.random.default_rng(0).random((2, 4, 5))
    means.add(np.ones((4, 5), bool), [("m", "x", a)])
    means.add(np.zeros((4, 5), bool), [("m", "y", b)])
    assert np.allclose(means.mean("m"), (a + b) / 2) and np.allclose(means.mean("m", "y"), b)
    assert np.allclose(means.away, 0.5) and means.strata("m", 1) == ["", "x", "y"] and means.strata("m", 2) == [""]
    assert resized(np.full((9, 9), 3.0), (4, 5)) == pytest.approx(np.full((4, 5), 3.0))


def test_spots_are_where_the_maps_are_dense_outside_and_none_twice():
    means = Means((40, 40))
    away = np.ones((40, 40), bool)
    away[10:30, 10:30] = False
    coarse, fine = np.full((2, 40, 40), 0.2)
    coarse[1:8, 1:8] = 12.0
    fine[3:6, 3:6] = 60.0
    fine[34:37, 34:37] = 20.0
    fine[20:24, 20:24] = 90.0  # inside: not looked at
    means.add(away, [("coarse", "x", coarse), ("fine", "x", fine), ("random", "x", np.ones((40, 40)))])
    found = spots(means, ["coarse", "fine"], most=3, least=3)
    assert [(s.place.zone(), s.method) for s in found] == [("upper left corner", "fine"), ("lower right corner", "fine")]
    assert all(b - a <= 7 and a <= 3 and b >= 6 for a, b in found[0].place.box)
    assert len(spots(means, ["fine"], most=1, least=3)) == 1
    flat = Means((40, 40))
    flat.add(away, [("m", "x", np.ones((40, 40)))])
    (only,) = spots(flat, ["m"], most=3, least=3)  # nothing is dense: the densest place, for a look
    assert only.peak < 3 and only.place.share < 0.08
    nothing = Means((40, 40))
    nothing.add(~away & False, [("m", "x", np.ones((40, 40)))])
    assert spots(nothing, ["m"], most=3, least=3) == []


def test_a_filled_place_is_what_was_meant_and_the_answers_are_the_models():
    w = world(inside=4.0, corner=3.0)
    case = w.cases[0]
    x = case.inputs["im0"]
    other = torch.zeros_like(w.mark)
    other[1:4, -4:-1] = True
    free = torch.tensor(outside(case).mask)
    ROWS["seen"] = 0
    got = refilled(w.engine, case, [ClassScore(1), ClassScore(0)], torch.stack([w.mark, other]), free)
    assert ROWS["seen"] == 1 + 2 * 2
    ring = torch.zeros_like(w.mark)
    ring[0:7, 0:7] = True
    values = {"around": x[0][ring & ~w.mark & free].median(), "mean": x.mean()}
    for k, value in enumerate(values.values()):
        by_hand = torch.where(w.mark, value, x)
        p = w.predictor.module(by_hand[None]).softmax(1)[0]
        assert got.filled[k, 0].tolist() == pytest.approx([float(p[1]), float(p[0])], abs=1e-5)
    clean = w.predictor.module(x[None]).softmax(1)[0]
    assert got.clean.tolist() == pytest.approx([float(clean[1]), float(clean[0])], abs=1e-6)
    assert got.flips.dtype == torch.bool and not got.flips[:, 1].any()
    without = w.predictor.module(torch.where(w.mark, values["around"], x)[None])[0]
    assert bool(got.flips[0, 0, 0]) == bool(clean.argmax() != without.argmax())


@pytest.mark.parametrize(("task", "target"), [("regression", Score(0)), ("segmentation", RegionScore(0, region="image"))])
def test_other_tasks_answer_in_their_own_units(task, target):
    w = world(task=task)
    got = refilled(w.engine, w.cases[0], [target], w.mark[None], torch.ones_like(w.mark))
    out = w.predictor.module(w.cases[0].inputs["im0"][None])
    by_hand = out[0, 0] if task == "regression" else out.sigmoid().mean()
    assert float(got.clean[0]) == pytest.approx(float(by_hand), abs=1e-5)
    assert not got.flips.any() and got.filled.shape == (2, 1, 1)


def test_no_place_costs_one_pass():
    w = world()
    got = refilled(w.engine, w.cases[0], [ClassScore(1)], torch.zeros((0, *w.mark.shape), dtype=torch.bool), w.mark)
    assert got.filled.shape == (2, 0, 1)
