"""Evidence outside the patient: found where it is, by cohorts and models whose answer is known; else silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from metric_worlds import ROWS
from pellucid.core.case import Case
from pellucid.evaluate.cohort.shortcut import COLUMNS, shortcuts
from shortcut_worlds import World, world


def run(w: World, cases: list[Case] | None = None) -> pd.DataFrame:
    return shortcuts(w.engine, w.cases if cases is None else cases, w.maps_of, n_boot=300)


def box(row: pd.Series) -> tuple[slice, ...]:
    return tuple(slice(*map(int, part.split(":"))) for part in row["box"].split(","))


def only(found: pd.DataFrame) -> pd.Series:
    assert len(found) == 1 and tuple(found.columns) == COLUMNS
    return found.iloc[0]


WORLDS = {
    "2-D": {},
    "3-D": {"shape": (14, 16, 12)},
    "two pictures": {"pictures": 2},
    "regression": {"task": "regression"},
    "regression 3-D": {"task": "regression", "shape": (14, 16, 12)},
    "segmentation": {"task": "segmentation", "corner": 3.0},
    "segmentation 3-D": {"task": "segmentation", "corner": 3.0, "shape": (14, 16, 12), "pictures": 2},
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_model_that_reads_the_corner_is_found_out(name):
    w = world(**WORLDS[name])
    row = only(run(w))
    assert row["kind"] == "shortcut"
    inside = torch.zeros(w.mark.shape, dtype=torch.bool)
    inside[box(row)] = True
    assert bool((inside & w.mark).sum() == w.mark.sum()), row["box"]
    assert int(inside.sum()) <= 5 ** w.mark.ndim + 1  # the mark is 3 wide; a pixel on each side
    assert set(row["cases"].split(",")) == w.shows and row["n"] == len(w.shows) and row["of"] == len(w.cases)
    assert row["value"] > 0.1 > abs(row["control_value"]) and row["difference_low"] > 0 and row["p"] < 0.05
    assert row["low"] <= row["value"] <= row["high"]
    assert {"saliency", "input_x_gradient"} >= set(row["methods"].split(", ")) != set()
    assert "random" not in row["methods"] and "edge" not in row["methods"]
    assert f"In {len(w.shows)} of {len(w.cases)} cases" in row["sentence"]


@pytest.mark.parametrize("name", WORLDS)
def test_a_model_that_reads_the_lesion_is_left_alone(name):
    """The mark is there all the same; it adds to the picture's mean, which the model reads a little."""
    w = world(**{**WORLDS[name], "corner": 0.0, "inside": 6.0, "spread": 0.2})
    row = only(run(w))
    assert row["kind"] == "none" and row["cases"] == "" and row["n"] == 0
    assert "none was found" in row["sentence"] and "would have been reported" in row["sentence"]
    assert abs(row["difference"]) < 0.01


def test_maps_that_hold_nothing_outside_cost_no_pass():
    w = world(corner=0.0, inside=6.0)
    row = only(run(w))
    assert row["kind"] == "none" and row["forwards"] == 0 and "no map holds anything there" in row["sentence"]


def test_a_model_that_reads_both_is_found_out_with_the_size_that_the_mark_has():
    """The change at the place is the linear model's own: sigmoid(s) − sigmoid(s − what the mark gives)."""
    w = world(corner=3.0, inside=5.0)
    row = only(run(w))
    assert row["kind"] == "shortcut" and set(row["cases"].split(",")) <= w.shows
    score = lambda c, fill: 3.0 * ((0.03 if fill else float(c.inputs["im0"][0][w.mark].mean())) - 0.4) + 5.0 * (  # noqa: E731
        float(c.inputs["im0"][0, 11:14, 12:15].mean()) - 0.8
    )
    sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
    truth = [abs(sigmoid(score(c, False)) - sigmoid(score(c, True))) if c.id in w.shows else 0 for c in w.cases]
    assert row["value"] == pytest.approx(np.mean(truth), abs=0.01)  # the gradient points there in every case


@pytest.mark.parametrize("name", ["2-D", "3-D", "segmentation", "two pictures"])
def test_passes_are_counted_and_few(name):
    w = world(**WORLDS[name])
    engine = w.engine
    ROWS["seen"] = 0
    row = only(shortcuts(engine, w.cases, w.maps_of, n_boot=50))
    assert ROWS["seen"] == row["forwards"] == engine.cost.forwards
    assert 0 < row["forwards"] <= 19 * len(w.cases)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_cases_are_said_and_nothing_is_run(n):
    w = world(n=n)
    ROWS["seen"] = 0
    row = only(run(w))
    assert row["kind"] == "none" and ROWS["seen"] == 0 and np.isnan(row["value"]) and np.isnan(row["p"])
    assert f"{n} case" in row["sentence"] and "5 patients or more" in row["sentence"]


def test_many_cases_of_few_patients_are_few():
    w = world(n=12)
    row = only(run(w, [c.replace(group=f"p{i % 3}") for i, c in enumerate(w.cases)]))
    assert row["kind"] == "none" and "12 cases of 3 patients" in row["sentence"]


def test_a_mark_in_too_few_patients_is_pointed_out_but_no_finding():
    w = world(n=20, share=0.2)
    row = only(run(w))
    assert len(w.shows) == 4 and row["kind"] == "none"
    assert "too few to tell" in row["sentence"] and all(c in row["sentence"] for c in w.shows)


def test_a_mark_that_one_patient_in_ten_shows_is_found():
    w = world(n=70, share=0.1)
    row = only(run(w))
    assert len(w.shows) == 7 and row["kind"] == "shortcut" and set(row["cases"].split(",")) == w.shows


def test_the_answer_is_not_read_from_the_case():
    """A region called after the shortcut changes nothing, wherever it lies."""
    w = world()
    told = torch.zeros(w.mark.shape, dtype=torch.bool)
    told[-4:, -4:] = True
    for region in (w.mark, told):
        cases = [c.replace(regions={"confounder": region, "lesion": region}) for c in w.cases]
        pd.testing.assert_frame_equal(run(w), run(w, cases))


def test_the_outline_of_the_case_is_used_where_there_is_one_and_said():
    w = world()
    assert "found in the picture" in only(run(w))["note"]
    body = torch.zeros(w.mark.shape, dtype=torch.bool)
    body[5:-2, 5:-2] = True
    row = only(run(w, [c.replace(regions={"anatomy": body}) for c in w.cases]))
    assert "is a region of the case ('anatomy')" in row["note"] and row["kind"] == "shortcut"
    # Where the outline says that the mark is on the patient, it is no evidence outside.
    body[:] = True
    body[-6:] = False
    row = only(run(w, [c.replace(regions={"body": body}) for c in w.cases]))
    assert row["kind"] == "none"


def test_maps_alone_are_no_finding():
    """Maps that point at a mark which the model does not use."""
    w = world(corner=0.0, inside=6.0)
    maps = {
        i: [a.replace(maps={k: v * 0 + 5 * w.mark + 0.1 for k, v in a.maps.items()}) for a in found]
        for i, found in w.maps.items()
    }
    row = only(shortcuts(w.engine, w.cases, maps.__getitem__))
    assert row["kind"] == "none" and abs(row["difference"]) < 1e-6 and row["forwards"] > 0
    assert "upper left corner" in row["sentence"]


def test_controls_alone_are_no_finding():
    """The edge detector points at the mark, and the model uses it: but no method of the model says so."""
    w = world(methods=("random", "edge"))
    row = only(run(w))
    assert row["kind"] == "none"


def test_a_control_that_points_there_does_not_hide_the_finding_nor_is_it_named():
    w = world(methods=("saliency", "edge"))  # without the control random, chance is the share itself
    row = only(run(w))
    assert row["kind"] == "shortcut" and row["methods"] == "saliency"


def test_maps_that_say_nothing_are_left_out():
    w = world()
    for i, bad in (("c0", 0.0), ("c1", float("nan"))):
        w.maps[i] = [a.replace(maps={k: torch.full_like(v, bad) for k, v in a.maps.items()}) for a in w.maps[i]]
    row = only(run(w))
    assert row["kind"] == "shortcut" and set(row["cases"].split(",")) == w.shows - {"c0", "c1"}


def test_no_map_at_all():
    w = world()
    row = only(shortcuts(w.engine, w.cases, lambda _: []))
    assert row["kind"] == "none" and "none of the 16 cases has a map" in row["sentence"] and row["forwards"] == 0


def test_tables_only_are_said():
    w = world(n=2)
    cases = [Case(id=f"t{i}", inputs={"t": torch.zeros(3)}) for i in range(8)]
    row = only(shortcuts(w.engine, cases, lambda _: []))
    assert row["kind"] == "none" and "without a picture" in row["sentence"]


def test_pictures_of_several_sizes():
    a, b = world(), world(shape=(36, 39), n=6)
    # The larger pictures are of the same scene; only maps are read and places filled, so a model per size is not needed.
    cases, maps = list(a.cases), dict(a.maps)
    net = torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d((24, 26)), a.predictor.module)
    predictor = a.predictor.with_module(lambda _: net.eval())
    for c in b.cases:
        cases.append(c.replace(id=f"big{c.id}", group=f"big{c.id}"))
        maps[f"big{c.id}"] = [m.replace(case_id=f"big{c.id}") for m in b.maps[c.id]]
    from pellucid.engine import Engine

    row = only(shortcuts(Engine(predictor), cases, maps.__getitem__))
    assert row["kind"] == "shortcut" and row["of"] == 22
    assert a.shows <= set(row["cases"].split(","))


def test_volumes_are_named_by_the_patients_directions():
    w = world(shape=(14, 16, 12), affine=np.diag([-2.0, -2.0, 3.0, 1.0]))  # axes run to the left, back and head
    row = only(run(w))
    assert row["zone"] == "right anterior inferior part" and "of the volume" in row["sentence"]


def test_a_change_in_the_other_direction_counts_too():
    """A mark that speaks against the explained score."""
    w = world(task="regression", corner=-8.0)
    row = only(run(w))
    assert row["kind"] == "shortcut" and f"it rises in {len(w.shows)}" in row["sentence"] and "sd" in row["sentence"]


def test_an_unsure_model_whose_answer_flips_with_the_mark_is_found_out():
    """Its probabilities all lie near one half: no change reaches 0.1, but the answer hangs on the mark."""
    w = world(corner=0.3)
    row = only(run(w))
    assert row["value"] < 0.1 and row["kind"] == "shortcut" and set(row["cases"].split(",")) == w.shows
    assert row["flips"] == len(w.shows) and "flips in 8" in row["sentence"]


def test_seeded():
    w = world()
    pd.testing.assert_frame_equal(run(w), run(w))
