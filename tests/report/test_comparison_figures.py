"""Figures of the comparison: what is drawn is what was given, from one method to thirty-five, with nothing known too."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from pellucid.report.charts import Bar
from pellucid.report.curves import Line, layer_curves, risk_coverage
from pellucid.report.dots import level_dots
from pellucid.report.labels import place_labels, width_of
from pellucid.report.matrix import agreement_matrix, clustered
from pellucid.report.ranks import Place, Rank, _bars, critical_difference, place_ranges
from pellucid.report.style import canvas, png
from pellucid.report.trade import Point, cost_scatter, dominated, front

NAN = float("nan")
MANY = [f"method_with_a_name_{i}" for i in range(33)] + ["random", "edge"]


def words(figure):
    found = [t for axis in figure.axes for t in (*axis.texts, *axis.get_xticklabels(), *axis.get_yticklabels())]
    found += [t for legend in figure.legends for t in legend.get_texts()]
    return [t.get_text() for t in found if t.get_text()]


def inside(figure):
    """No word reaches beyond the figure's edge."""
    renderer = figure.canvas.get_renderer()
    figure.draw_without_rendering()
    for axis in figure.axes:
        ticks = []
        for which in (axis.xaxis, axis.yaxis) if axis.axison else ():
            low, high = sorted(which.get_view_interval())
            ticks += [t.label1 for t in which.get_major_ticks() if low <= t.get_loc() <= high]
        for text in (*axis.texts, *ticks):
            if text.get_text() and text.get_visible():
                box = text.get_window_extent(renderer)
                assert box.x0 >= -0.5, text
                assert box.y0 >= -0.5, text
                assert box.x1 <= figure.bbox.width + 0.5, text
                assert box.y1 <= figure.bbox.height + 0.5, text


def size(figure):
    with Image.open(io.BytesIO(png(figure))) as picture:
        return picture.size


# -- critical difference -------------------------------------------------------------------------------------------


def test_critical_difference_names_every_method_and_joins_what_is_not_told_apart():
    ranks = [Rank("a", 1.5, ("1",)), Rank("b", 1.9, ("1", "2")), Rank("c", 2.7, ("2",)), Rank("random", 3.9, (), True)]
    figure = critical_difference(ranks, cd=1.0)
    said = words(figure)
    assert {"a  1.50", "b  1.90", "2.70  c", "3.90  random", "critical difference 1.00"} <= set(said)
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 3.2]
    assert len(bars) == 2
    dots = {round(float(line.get_xdata()[0]), 6) for line in figure.axes[0].lines if line.get_marker() == "o"}
    left, right = sorted(dots)[0], sorted(dots)[-1]
    unit = (right - left) / (3.9 - 1.5)
    assert [round((x - left) / unit + 1.5, 3) for x in sorted(dots)] == [1.5, 1.9, 2.7, 3.9]
    ruler = next(line for line in figure.axes[0].lines if line.get_linewidth() == 1.2)
    assert float(np.ptp(ruler.get_xdata())) == pytest.approx(unit)
    grey = next(t for t in figure.axes[0].texts if t.get_text() == "3.90  random")
    assert grey.get_color() != next(t for t in figure.axes[0].texts if t.get_text() == "a  1.50").get_color()
    inside(figure)


def test_bars_that_overlap_go_on_lines_of_their_own():
    ranks = [Rank(n, r, g) for n, r, g in (("a", 1, ("1",)), ("b", 2, ("1", "2")), ("c", 3, ("2",)), ("d", 5, ("3",)), ("e", 6, ("3",)))]
    assert _bars(ranks) == [(1, 2, 0), (2, 3, 1), (5, 6, 0)]
    assert _bars([Rank("alone", 1.0, ("1",))]) == []


@pytest.mark.parametrize("ranks", [
    [], [Rank("a", 1.0)], [Rank("a", NAN), Rank("b", NAN)], [Rank("a", 1.0), Rank("b", NAN)],
    [Rank(m, 1 + k * 0.9, (str(k // 5),), m in ("random", "edge")) for k, m in enumerate(MANY)],
    [Rank("a", 1.5, ("1",)), Rank("b", 1.5, ("1",))],
])  # fmt: skip
@pytest.mark.parametrize("cd", [None, 1.3, NAN])
def test_critical_difference_of_odd_tables(ranks, cd):
    figure = critical_difference(ranks, cd=cd)
    inside(figure)
    said = " ".join(words(figure))
    assert all(r.name in said for r in ranks if math.isfinite(r.rank))
    assert ("critical difference" in said) == (cd == 1.3)


# -- places --------------------------------------------------------------------------------------------------------


def test_places_and_their_ranges():
    figure = place_ranges([Place("a", 1, 1, 3, 0.75), Place("b", 2, 1, 2, 0.25), Place("random", 3, 2, 3, 0.0, True)])
    axis = figure.axes[0]
    assert [line.get_xdata().tolist() for line in axis.lines if line.get_linewidth() == 5] == [[1, 3], [1, 2], [2, 3]]
    assert [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"] == [1, 2, 3]
    assert {"75 %", "25 %", "0 %", "first in", "1"} <= set(words(figure))
    inside(figure)


@pytest.mark.parametrize("places", [
    [], [Place("a", 1.0)], [Place("a", NAN), Place("b", NAN, NAN, NAN)],
    [Place(m, k + 1.0, max(1, k - 3), min(35, k + 3), 1 / 35, m in ("random", "edge")) for k, m in enumerate(MANY)],
])  # fmt: skip
def test_places_of_odd_tables(places):
    figure = place_ranges(places)
    inside(figure)
    assert all(p.name in words(figure) for p in places)


# -- cost ----------------------------------------------------------------------------------------------------------


def test_front_is_what_none_beats():
    known = {"cheap": (2.0, 0.3), "dear": (100.0, 0.5), "worse": (100.0, 0.4), "same": (2.0, 0.3), "free": (0.0, 0.1)}
    beaten = {m: dominated(m, known, higher=True) for m in known}
    assert beaten == {"cheap": False, "dear": False, "worse": True, "same": False, "free": False}
    assert dominated("dear", known, higher=False)
    points = [Point(m, c, v, dominated=beaten[m], control=m == "free") for m, (c, v) in known.items()]
    assert [p.name for p in front(points, higher=True)] == ["cheap", "same", "dear"]


def test_cost_scatter_draws_front_hollow_and_interval():
    points = [Point("a", 2, 0.3, 0.2, 0.4), Point("b", 100, 0.2, dominated=True), Point("edge", 0, 0.1, control=True)]
    figure = cost_scatter(points, metric="insertion auc", direction="higher")
    axis = figure.axes[0]
    faces = {float(line.get_xdata()[0]): line.get_markerfacecolor() for line in axis.lines if line.get_marker() in ("o", "s")}
    assert faces[100] == faces[0.5] == "white"
    assert faces[2] != "white"
    assert axis.get_xscale() == "log"
    assert {"a", "b", "edge", "0"} <= set(words(figure))
    assert axis.get_ylabel() == "insertion auc ↑"
    low, high = cost_scatter(points, metric="m", direction="lower").axes[0].get_ylim()
    assert low > high  # better is up
    inside(figure)


@pytest.mark.parametrize("points", [
    [], [Point("a", 1, 0.5)], [Point("a", 0, 0.0)], [Point("a", NAN, 0.5), Point("b", 1, NAN)],
    [Point(m, float(10 ** (k % 4)), 0.1 + 0.01 * (k % 7), dominated=k > 3) for k, m in enumerate(MANY)],
    [Point("$x^", 1e6, 1e6), Point("b", 1, 1e6)],
])  # fmt: skip
def test_cost_scatter_of_odd_tables(points):
    figure = cost_scatter(points, metric="m", direction="higher")
    inside(figure)
    assert min(size(figure)) > 60


def test_names_cover_neither_each_other_nor_a_point():
    figure = canvas(9, 5, layout="none")
    axis = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    rng = np.random.default_rng(0)
    points = [(float(x), float(y), m) for (x, y), m in zip(rng.normal(size=(35, 2)), MANY)]
    axis.set(xlim=(-3, 3), ylim=(-3, 3))
    boxes = place_labels(axis, points, colours=["black"] * 35)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])
        for x, y, _ in points:
            px, py = axis.transData.transform((x, y))
            assert not (a[0] < px < a[2] and a[1] < py < a[3])


def test_names_keep_off_the_front():
    figure = canvas(5, 3, layout="none")
    axis = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axis.set(xlim=(0, 10), ylim=(0, 10))
    ((x0, y0, x1, y1),) = place_labels(axis, [(2.0, 5.0, "on_the_line")], colours=["black"], line=[(2, 5), (9, 5)])
    x, y = axis.transData.transform((2, 5))
    assert y1 <= y or y0 >= y or x1 <= x
    (free,) = place_labels(axis, [(2.0, 5.0, "on_the_line")], colours=["black"])
    assert free[0] > x  # where there is no line, at the right
    assert x0 < x1


def test_width_of_names():
    assert width_of(["a_very_long_name", "a"]) > 5 * width_of(["a"])
    assert width_of([]) > 0
    assert width_of(["$\\frac{"]) > 0


# -- agreement -----------------------------------------------------------------------------------------------------


def test_methods_that_agree_become_neighbours():
    rho = np.array([[1, 0, 0.9, 0], [0, 1, 0, 0.8], [0.9, 0, 1, 0], [0, 0.8, 0, 1.0]])
    order = clustered(rho)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1


def test_agreement_is_drawn_about_zero_with_its_numbers():
    rho = np.array([[1.0, 0.25, NAN], [0.25, 1.0, -0.5], [NAN, -0.5, 1.0]])
    figure = agreement_matrix(["a", "b", "c"], rho, controls=["c"])
    image = figure.axes[0].images[0]
    assert image.get_clim() == (-1, 1)
    said = [t.get_text() for t in figure.axes[0].texts]
    assert said == [".25", "–", ".25", "−.50", "–", "−.50"]
    inside(figure)


@pytest.mark.parametrize("n", [0, 1, 2, 35])
@pytest.mark.parametrize("known", [True, False])
def test_agreement_of_odd_tables(n, known):
    rho = np.corrcoef(np.random.default_rng(0).normal(size=(n, 5))).reshape(n, n) if n and known else np.full((n, n), NAN)
    order = clustered(rho)
    assert sorted(order) == list(range(n))
    figure = agreement_matrix([MANY[i] for i in order], rho[np.ix_(order, order)] if n else rho)
    inside(figure)
    assert len(figure.axes[0].texts) == n * n - n


# -- curves --------------------------------------------------------------------------------------------------------


def test_layer_curves_and_risk_hold_what_they_are_given():
    lines = [Line("a", range(3), [1, 0.5, 0.1], [0.9, 0.4, 0], [1, 0.6, 0.2]), Line("b", range(3), [1, 0.9, 0.8], lit=False),
             Line("edge", range(3), [1, 1, 1], lit=False, control=True)]  # fmt: skip
    figure = layer_curves({"mprt": lines}, {"mprt": ["head", "conv2", "conv1"]})
    axis = figure.axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axis.lines}
    assert drawn["a"] == [1, 0.5, 0.1]
    assert drawn["controls"] == [1, 1, 1]
    assert len(axis.collections) == 1  # one band
    assert [t.get_text() for t in axis.get_xticklabels()] == ["head", "conv2", "conv1"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "controls", "other methods"]
    figure = risk_coverage({"segu": [Line("a", [0.5, 1], [0.1, 0.3]), Line("knows nothing", (0, 1), (0.3, 0.3), chance=True)]})
    assert {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}["knows nothing"] == [0.3, 0.3]


@pytest.mark.parametrize("lines", [
    [], [Line("a", [0], [NAN])], [Line("a", [0], [1.0])], [Line("a", range(3), [NAN] * 3, [NAN] * 3, [NAN] * 3)],
    [Line(m, range(40), np.linspace(1, -0.8, 40), lit=k < 5) for k, m in enumerate(MANY)],
])  # fmt: skip
def test_curves_of_odd_tables(lines):
    names = [f"block.{i}.a_long_name_of_a_layer.conv" for i in range(len(lines[0].x) if lines else 0)]
    figure = layer_curves({"mprt": lines, "smooth mprt": lines}, {"mprt": names, "smooth mprt": names})
    assert min(size(figure)) > 60
    assert all(len(t.get_text()) <= 18 for t in figure.axes[0].get_xticklabels())
    assert min(size(risk_coverage({"segu": lines}))) > 60
    assert min(size(risk_coverage({}))) > 60


# -- levels --------------------------------------------------------------------------------------------------------


def test_level_dots():
    panels = {"iou ↑": {"small": [Bar("a", 0.2, 0.1, 0.3), Bar("b", NAN)], "large": [Bar("a", 0.6, 0.5, 0.7), Bar("b", 0.4)]}}
    figure = level_dots(panels, controls=["b"])
    dots = [float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert dots == [0.2, 0.6, 0.4]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["small", "large"]
    inside(figure)


@pytest.mark.parametrize("panels", [
    {}, {"m": {}}, {"m": {"one": [Bar("a", NAN)]}},
    {m: {f"level {i} (12 to 40 px)": [Bar(k, 0.1 * i, 0.0, 1.0) for k in MANY] for i in range(6)} for m in ("x", "y")},
])  # fmt: skip
def test_level_dots_of_odd_tables(panels):
    figure = level_dots(panels)
    inside(figure)
    assert min(size(figure)) > 60
