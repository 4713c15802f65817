"""Scales, planes, bars: what a figure says is what the numbers are."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError
from pellucid.report import charts
from pellucid.report.charts import Bar, feature_names, learning_curve, score_scatter, shares, table_bars
from pellucid.report.figures import Stage, explained_voxel, input_tile, map_tile, plot
from pellucid.report.gallery import marks_of
from pellucid.report.numbers import interval, mean_interval, number, percent
from pellucid.report.planes import heart, peak, planes
from pellucid.report.shade import grey, scale_of, unit_of, window_of
from pellucid.report.style import png
from report.run_folder import cases, maps


def attribution(values, **changes):
    fields = {"maps": {"x": torch.as_tensor(values, dtype=torch.float32)}, "method": "m", "case_id": "c",
              "target": {"label": "a", "kind": "class", "on": "logit"}, "score": 1.0} | changes  # fmt: skip
    return Attribution(**fields)


def texts(figure):
    found = [t.get_text() for t in figure.texts]
    for axis in figure.axes:
        found += [t.get_text() for t in axis.texts] + [axis.get_xlabel(), axis.get_title(), axis.get_title("left")]
        found += [t.get_text() for t in (*axis.get_yticklabels(), *axis.get_xticklabels())]
    return " ".join(found)


# -- scale ---------------------------------------------------------------------------------------------------------


def test_signed_scale_is_symmetric_and_says_its_limit():
    values = np.concatenate([np.linspace(-1, 0.2, 9_999), [50.0]])
    scale = scale_of([values], signed=True)
    assert scale.low == -scale.limit
    assert scale.limit == pytest.approx(np.percentile(np.abs(values), 99.5))
    assert scale.clipped
    assert scale.extend == "both"
    assert scale.text == f"±{scale.limit:.2g} (99.5 %)"
    zero = scale.colours(np.zeros(1))[0, :3]
    assert np.ptp(zero) < 0.01  # white, wherever the values lie
    assert np.allclose(scale.colours(np.array([-9.0, 9.0])), mpl.colormaps["RdBu_r"]([0.0, 1.0]))


def test_unsigned_scale_starts_at_zero_and_is_not_stretched():
    """map_flat_to_one_percent: a map between 0.99 and 1 is all bright, not dark to bright."""
    scale = scale_of([np.linspace(0.99, 1.0, 100)], signed=False)
    assert (scale.low, scale.limit) == (0.0, pytest.approx(1.0, abs=1e-4))
    colours = scale.colours(np.array([0.99, 1.0]))
    assert np.abs(colours[0] - colours[1]).max() < 0.1


def test_scale_of_zero_and_of_nothing_finite():
    assert scale_of([np.zeros(5)], signed=True).text == "0 everywhere"
    assert scale_of([np.full(5, np.nan)], signed=True).text == "0 everywhere"
    with_nan = scale_of([np.array([np.nan, 1.0, -2.0, np.inf])], signed=True)
    assert with_nan.limit <= 2.0
    assert np.allclose(with_nan.colours(np.array([np.nan]))[0, :3], mpl.colors.to_rgb("#8a9199"))


def test_overlay_shows_the_picture_where_the_map_is_zero():
    picture = np.random.default_rng(0).random((4, 4, 3))
    scale = scale_of([np.array([1.0])], signed=True)
    assert np.allclose(scale.over(picture, np.zeros((4, 4))), picture)
    assert np.abs(scale.over(picture, np.ones((4, 4))) - picture).max() > 0.1


def test_display_window_and_unit():
    case_ = Case(id="c", inputs={"x": torch.tensor([[[-1000.0, 0.0, 1000.0]]])}, meta={"window": (-500.0, 500.0)})
    assert grey(case_.inputs["x"].numpy(), window_of(case_.meta, "x"))[0, :, 0].tolist() == [0.0, 0.5, 1.0]
    assert window_of({"window": {"t1": (0, 4)}}, "t2") is None
    assert unit_of(attribution([1.0], notes={"expected": 1.0})) == "change of logit"
    assert unit_of(attribution([1.0]), "shapley") == "change of logit"
    assert unit_of(attribution([1.0]), "cam") == "weight"
    assert unit_of(attribution([1.0], provenance={"parameters": {"score": "flip"}}), "perturbation") == "flipped decisions"
    assert unit_of(attribution([1.0], target={"label": "s", "kind": "score"}), "perturbation") == "change of score"


# -- planes --------------------------------------------------------------------------------------------------------


def _affine(letters, spacing=(1.0, 2.0, 3.0), tilt=0.0):
    world = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(letters):
        row, sign = world[letter]
        affine[row, axis] = sign * spacing[axis]
    c, s = math.cos(tilt), math.sin(tilt)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]) @ np.array(
        [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]]
    )
    return turn @ affine


@pytest.mark.parametrize("letters", ["RAS", "LPS", "LAS", "PIR", "SRP", "ILA"])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_the_patients_right_is_on_the_left(letters, tilt):
    """Each voxel holds its own place in millimetres, so that a picture tells where its edges lie."""
    shape = (7, 6, 5)
    geometry = Geometry(_affine(letters, tilt=tilt), shape)
    grid = np.moveaxis(np.indices(shape), 0, -1)
    world = grid @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    expected = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
    towards = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    at = (3, 2, 1)
    pictures = [planes(world[..., k], ndim=3, at=at, geometry=geometry) for k in range(3)]
    assert [p.name for p in pictures[0]] == ["axial", "coronal", "sagittal"]
    for which in range(3):
        left, right, top, bottom = pictures[0][which].edges
        assert (left, right, top, bottom) == expected[pictures[0][which].name]
        place = np.stack([p[which].values for p in pictures], -1)
        for a, b, (axis, sign) in ((place[:, 0], place[:, -1], towards[left]), (place[0], place[-1], towards[top])):
            assert np.all((a - b)[..., axis] * sign > 0)  # the edge with the letter lies on that side of the other
        assert any(np.allclose(world[at], row) for row in place.reshape(-1, 3))  # through the voxel asked for
        height, width = pictures[0][which].size
        span = np.linalg.norm(place[1, 0] - place[0, 0]) * place.shape[0], np.linalg.norm(place[0, 1] - place[0, 0]) * place.shape[1]
        assert (height, width) == pytest.approx(span)


def test_without_a_geometry_there_are_no_letters():
    found = planes(np.zeros((4, 5, 6)), ndim=3, spacing=(1.0, 2.0, 3.0))
    assert [p.name for p in found] == ["axis 0", "axis 1", "axis 2"]
    assert all(p.edges == ("", "", "", "") for p in found)
    assert found[0].size == (10.0, 18.0)


def test_peak_and_heart():
    values = np.zeros((4, 4, 4))
    assert peak(values) == (2, 2, 2)
    values[1, 2, 3] = -5
    values[0, 0, 0] = np.nan
    assert peak(values) == (1, 2, 3)
    ring = np.ones((5, 5), bool)
    ring[1:4, 1:4] = False
    assert ring[heart(ring)]  # inside the mask, although its centre of mass is not
    assert heart(np.zeros((3, 3), bool)) is None
    assert explained_voxel(None, [values]) == (1, 2, 3)


# -- figures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classification", "regression", "segmentation", "volume"])
def test_plot_draws_every_kind_of_case(task):
    case_ = cases(task, n=1)[0]
    for a in maps(task, case_):
        for given in (case_, None):
            figure = a.plot(given)
            n = len(a.images) * (3 if task == "volume" else 1)
            assert len(figure.axes) == 2 * n + 1
            assert a.method in texts(figure)
            if task == "volume":
                assert {"R", "L", "A", "P", "S", "I"} <= set(texts(figure).split())
        assert png(figure)[:8] == b"\x89PNG\r\n\x1a\n"


def test_flags_and_limits_stand_on_the_picture():
    a = maps("regression", cases("regression", n=1)[0])[1]
    figure = map_tile(Stage(cases("regression", n=1)[0]), a, unit="change of score")
    said = texts(figure)
    assert "! incomplete: does not add up to the output" in said
    assert "change of score" in said
    top = float(np.percentile(np.abs(np.concatenate([m.numpy().ravel() for m in a.maps.values()])), 99.5))
    assert f"±{top:.2g}" in said
    bar = figure.axes[-1]
    assert bar.get_ylim() == pytest.approx((-top, top), rel=1e-5)


def test_marks_are_in_the_legend_and_on_the_picture():
    case_ = cases("regression", n=1)[0]
    figure = input_tile(Stage(case_, {"lesion": case_.regions["lesion"].numpy()}), case_.images)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["lesion"]
    assert all(axis.collections for axis in figure.axes)


def test_marks_of_a_segmentation_are_truth_and_prediction():
    case_ = cases("segmentation", n=1)[0]
    recipe = {"model": {"task": "segmentation"}, "evaluate": {"region": "lesion"}}
    found = marks_of(recipe, case_, case_.truth.roll(1, 0), {"index": 0, "label": "tumour (predicted region)"})
    assert list(found) == ["true: tumour", "predicted: tumour"]
    assert np.array_equal(found["true: tumour"], case_.truth.numpy() == 1)
    labels = torch.tensor([[0, 1], [2, 2]])
    multi = Case(id="m", inputs={"x": torch.zeros(1, 2, 2)}, truth=labels)
    assert marks_of(recipe, multi, None, {"index": 2, "label": "b"})["true: b"].tolist() == [[False, False], [True, True]]


def test_readers_boxes_take_the_place_of_their_union():
    box = torch.zeros(4, 4, dtype=torch.bool)
    box[:2] = True
    case_ = Case(id="c", inputs={"x": torch.zeros(1, 4, 4)}, regions={"boxes": box, "reader_a": box, "reader_b": ~box})
    recipe = {"model": {"task": "classification"}, "evaluate": {"region": "boxes"}}
    assert list(marks_of(recipe, case_, None, {})) == ["reader_a", "reader_b"]


def test_wrong_cases_are_refused():
    a = attribution(np.ones((1, 4, 4)))
    with pytest.raises(InputError, match="give the one that was explained"):
        plot(a, Case(id="other", inputs={"x": torch.zeros(1, 4, 4)}))
    with pytest.raises(InputError, match=r"\(4, 4\), the picture \(5, 5\)"):
        plot(a, Case(id="c", inputs={"x": torch.zeros(1, 5, 5)}))
    with pytest.raises(InputError, match="input 'x', the case has y"):
        plot(a, Case(id="c", inputs={"y": torch.zeros(1, 4, 4)}))


def test_a_strange_name_is_not_read_as_a_formula():
    figure = plot(attribution(np.ones((1, 4, 4)), method="$\\frac{", case_id="$x^"))
    assert png(figure)


def test_bars_of_a_table_have_names_values_and_signs():
    case_ = cases("classification", n=1)[0]
    a = attribution([1.0, -2.0, 0.5], maps={"ehr": torch.tensor([1.0, -2.0, 0.5])})
    figure = table_bars([a, a.replace(method="other", signed=False)], case_, features={"ehr": ["Age", "SUVmax", "BMI"]})
    said = texts(figure)
    for text in ("Age = 50", "SUVmax = 2.5", "BMI = 24", "m", "other", "unsigned"):
        assert text in said
    assert [round(float(b.get_width()), 6) for b in figure.axes[0].patches] == [1.0, -2.0, 0.5]
    low, high = figure.axes[0].get_xlim()
    assert low == -high
    assert len({b.get_facecolor() for b in figure.axes[0].patches}) == 2
    assert len({b.get_facecolor() for b in figure.axes[1].patches}) == 1
    assert feature_names(case_, "ehr", 3) == ["ehr[0]", "ehr[1]", "ehr[2]"]
    with pytest.raises(InputError, match="no map of a table"):
        table_bars([attribution(np.ones((1, 4, 4)))], None)


def test_charts_show_what_they_are_given():
    history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 1.0, 2.0],
                            "val_metric": [0.1, 0.2, 0.3], "metric": "dice"})  # fmt: skip
    figure = learning_curve(history)
    assert figure.axes[0].lines[1].get_ydata().tolist() == [3.0, 1.0, 2.0]
    assert figure.axes[0].lines[2].get_xdata()[0] == 2  # kept: the lowest validation loss
    assert "Validation dice" in texts(figure)
    assert not figure.axes[0].patches
    history["trained"] = ["fc", "fc, layer4, layer3", "fc, layer4, layer3"]
    assert charts.training_phases(history) == [(1, ["fc"]), (2, ["layer4", "layer3"])]
    banded = learning_curve(history)
    assert "+ 2 parts" in texts(banded)
    assert [axis.patches[0].get_x() for axis in banded.axes] == [1.5, 1.5]
    dots = score_scatter([0.1, 0.2], [0.3, 0.4], name="s").axes[0].collections[0].get_offsets()
    assert np.asarray(dots).tolist() == [[0.1, 0.3], [0.2, 0.4]]
    figure = shares({"t1": [Bar("a", 0.3, 0.2, 0.4), Bar("b", float("nan"))], "t2": [Bar("a", 0.7), Bar("b", 0.5)]})
    assert [p.get_width() for p in figure.axes[0].patches] == [0.3]
    assert "–" in texts(figure)


def test_a_figure_is_the_same_twice_and_leaves_the_settings_alone():
    case_ = cases("segmentation", n=1)[0]
    a = maps("segmentation", case_)[0]
    before = dict(mpl.rcParams)
    assert png(map_tile(Stage(case_), a)) == png(map_tile(Stage(case_), a))
    assert dict(mpl.rcParams) == before


# -- numbers -------------------------------------------------------------------------------------------------------


def test_numbers():
    assert [number(v) for v in (0.12345, 12.345, 999.6, 1234.5, 7, 0.0004, None, float("nan"), float("inf"), pd.NA)] == [
        "0.123", "12.3", "1000", "1,234", "7", "0.0004", "–", "–", "∞", "–",
    ]  # fmt: skip
    assert interval(0.1, float("nan")) == ""
    assert interval(0.1, 0.2) == "[0.100, 0.200]"
    assert percent(1, 3) == "33 %"
    assert percent(1, 0) == "–"


def test_mean_interval_draws_groups():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 1, 400)
    mean, low, high, n = mean_interval(values)
    assert (mean, n) == (pytest.approx(values.mean()), 400)
    assert (high - low) / 2 == pytest.approx(1.96 / 20, rel=0.15)
    few = np.repeat(rng.normal(5, 1, 20), 20)
    _, low_g, high_g, _ = mean_interval(few, np.repeat(np.arange(20), 20).astype(str))
    _, low_c, high_c, _ = mean_interval(few)
    assert high_g - low_g > 3 * (high_c - low_c)
    assert mean_interval([np.nan, 2.0])[0] == 2.0
    assert math.isnan(mean_interval([np.nan, 2.0])[1])
    assert mean_interval([])[3] == 0


# -- what a case lacks ---------------------------------------------------------------------------------------------


def test_an_input_that_the_case_lacks_is_said_to_be_missing_and_not_drawn():
    inputs = {"x": torch.rand(1, 8, 8), "y": torch.zeros(1, 8, 8), "t": torch.zeros(2)}
    case = Case(id="c", inputs=inputs, missing=("y", "t"), regions={"lesion": torch.eye(8).bool()})
    made = {"maps": {"x": torch.eye(8), "y": torch.zeros(8, 8), "t": torch.zeros(2)}, "flags": ("missing_input",)}
    a = attribution([0.0], **made)
    stage = Stage(case, {"lesion": case.region("lesion").numpy()})
    for figure, count in ((map_tile(stage, a), 2), (input_tile(stage, ["x", "y"]), 1)):
        assert [t.get_text() for axis in figure.axes for t in axis.texts].count("missing") == count
    said = texts(map_tile(stage, a))
    assert "the case lacks an input" in said
    bars = texts(table_bars([a], case, features={"t": ["age", "sex"]}))
    assert "missing" in bars
    assert "age" in bars
    assert "=" not in bars
