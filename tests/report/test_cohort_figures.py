"""Figures of a cohort: what is written, the same from the same table, names readable, no case named unasked."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from pellucid.aggregate.cohort.change import what_changes
from pellucid.aggregate.cohort.clusters import clusters
from pellucid.aggregate.cohort.context import context_share
from pellucid.aggregate.cohort.cube import cube
from pellucid.aggregate.cohort.distribution import box_numbers, histograms
from pellucid.aggregate.cohort.graph import importance_graph
from pellucid.aggregate.cohort.matrix import matrix, square
from pellucid.aggregate.cohort.patient import one_case
from pellucid.aggregate.systems import SYSTEMS
from pellucid.errors import InputError, UsageError
from pellucid.report.cohort import write_change, write_cohort
from pellucid.report.cohort_boxes import box_plots, case_bars, pair_histograms
from pellucid.report.cohort_change import change_figure, context_figure
from pellucid.report.cohort_graph import importance_figure
from pellucid.report.cohort_matrix import mass_matrix, tree_figure
from pellucid.report.cohort_style import COLOURS, by_system

CLASSES = ("background", "heart", "lung_lower_lobe_left", "left kidney", "sternum")
MANY = ("background", *(f"{a}_{b}_{c}" for a in ("lung", "muscle", "vertebrae") for b in ("upper", "lower")
                        for c in ("left_front", "middle_of_all")))  # fmt: skip


def cohort(classes=CLASSES, n=7, seed=0, prefix="PAT"):
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        for t in classes:
            for r, v in zip(classes, rng.dirichlet(np.ones(len(classes)))):
                rows += [(f"{prefix}{k:03d}", t, r, "mass", v), (f"{prefix}{k:03d}", t, r, "mean", v)]
            rows.append((f"{prefix}{k:03d}", t, "*", "dice", rng.random()))
    return pd.DataFrame(rows, columns=["case", "target", "region", "measure", "value"])


def figures(classes):
    a, b = cube(cohort(classes)), cube(cohort(classes, seed=1, prefix="Q"))
    means = matrix(a, n_boot=50)
    masses, change = square(means), what_changes(a, b, n_boot=50)
    own = {t: float(masses.loc[t, t]) for t in classes[1:]}
    some = {
        "graph": importance_figure(importance_graph(means), own=own, rule="the 5 largest sources of each class"),
        "matrix": mass_matrix(masses),
        "tree": tree_figure(clusters(means)),
        "change": change_figure(change, names=("a", "b")),
    }
    return some if len(classes) > 5 else some | {
        "boxes": box_plots(box_numbers(a, classes[1]), left_out="background, in the mean 0.2, is not drawn"),
        "case": case_bars(one_case(a, "PAT000", classes[1])),
        "histograms": pair_histograms(histograms(a, classes[1:4])),
        "signed": mass_matrix(square(change, column="difference"), signed=True, title="a less b"),
        "context": context_figure(context_share(a, n_boot=50)),
    }


@pytest.fixture(scope="module", params=[CLASSES, MANY], ids=["5 classes", "13 classes"])
def drawn(request):
    return {name: (f, boxes_of(f)) for name, f in figures(request.param).items()}


def boxes_of(figure):
    """Pixels of every text that is drawn: ``(text, box)``."""
    surface, drawn, draw = FigureCanvasAgg(figure), [], Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), draw(text, renderer)))
        surface.draw()
    return [(t.get_text(), t.get_window_extent(surface.get_renderer())) for t in drawn if t.get_text().strip()]


def test_no_text_is_cut_off(drawn):
    for name, (figure, boxes) in drawn.items():
        width, height = figure.get_size_inches() * figure.dpi
        for text, box in boxes:
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert inside, f"{name}: {text!r} at {box} of {width:.0f} × {height:.0f}"


def test_no_two_texts_overlap(drawn):
    for name, (_, boxes) in drawn.items():
        if name not in ("matrix", "signed"):  # whose turned names have boxes larger than their letters
            for (one, a), (other, b) in itertools.combinations(boxes, 2):
                apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
                assert apart, f"{name}: {one!r} on {other!r}"


def test_the_matrix_says_its_numbers_and_hides_no_value():
    values = pd.DataFrame([[0.9, 0.02, 0.08], [0.5, 0.4, np.nan], [0.7, 0.001, 0.299]], index=["background", "a", "b"],
                          columns=["background", "a", "b"])  # fmt: skip
    figure = mass_matrix(values)
    said = [t.get_text() for t in figure.axes[0].texts]
    assert said == ["40", "–", "50", "0.1", "30", "70", "background"]  # background's own row is not drawn
    picture = figure.axes[0].images[0]
    assert (picture.norm.vmin, picture.norm.vmax) == (0, pytest.approx(40.0))


def test_a_signed_matrix_is_even_around_zero():
    gaps = pd.DataFrame([[0.01, -0.03], [0.0, 0.02]], index=["a", "b"], columns=["a", "b"])
    figure = mass_matrix(gaps, signed=True, marked=gaps.abs() > 0.015)
    norm = figure.axes[0].images[0].norm
    assert (norm.vmin, norm.vmax) == (pytest.approx(-3), pytest.approx(3))
    assert [t.get_text() for t in figure.axes[0].texts] == ["+1.0", "−3.0", "0", "+2.0"]
    assert len(figure.axes[0].patches) == 2


def test_arrows_are_as_wide_as_their_mass():
    edges = pd.DataFrame([("a", "b", 0.4, 1, 0.4), ("b", "a", 0.1, 1, 0.1), ("a", "a", 0.2, 2, 0.3)],
                         columns=["source", "target", "weight", "rank", "cumulative"])  # fmt: skip
    figure = importance_figure(edges, own={"a": 0.2, "b": float("nan")})
    widths = sorted(p.get_linewidth() for p in figure.axes[0].patches)
    assert widths == pytest.approx([0.35 + 3.65 * 0.25, 4.0])  # the class's own region is the node, no arrow


def test_many_names_are_turned_and_none_is_cut_off():
    names = [f"a rather long name {k}" for k in range(30)]
    edges = pd.DataFrame({"source": np.roll(names, 1), "target": names, "weight": 0.1, "rank": 1, "cumulative": 0.1})
    figure = importance_figure(edges, own={})
    width, height = figure.get_size_inches() * figure.dpi
    boxes = dict(boxes_of(figure))
    assert set(names) <= set(boxes)
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes.values())
    turns = {round(t.get_rotation() % 180) for t in figure.axes[0].texts}
    assert len(turns) == 15  # each lies along its radius: 30 directions, opposite ones alike


def test_systems_have_a_colour_and_an_order():
    assert set(COLOURS) == set(SYSTEMS) and len(set(COLOURS.values())) == len(SYSTEMS)
    assert by_system(["ribs", "thing", "heart", "aorta"], {"thing": "nervous"}) == ["heart", "aorta", "thing", "ribs"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    done = write_cohort(cohort(), folder, classes=["heart", "left kidney"])
    return folder, done


def test_files(written):
    folder, done = written
    parts = ["mass", "clusters", "graph", "context", "histograms",
             *(f"boxes/{c}" for c in ("heart", "left_kidney"))]  # fmt: skip
    expected = {f"{p}.{e}" for p in parts for e in ("png", "svg", "csv")} | {"overlap.csv"}
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == expected
    assert {str(p.relative_to(folder)) for p in done.files} == expected
    assert done.notes == []
    assert done.facts["cases"] == 7 and -1 <= done.facts["cophenetic_correlation"] <= 1
    dice = cohort().query("measure == 'dice' and target != 'background'")["value"].mean()
    assert done.facts["foreground_dice"] == pytest.approx(dice)


def test_no_case_is_named(written):
    for path in written[1].files:
        if path.suffix != ".png":
            assert "PAT00" not in path.read_text(encoding="utf-8"), path.name


def test_the_same_table_gives_the_same_files(written, tmp_path):
    folder, _ = written
    for path in write_cohort(cohort(), tmp_path, classes=["heart", "left kidney"]).files:
        name = path.relative_to(tmp_path)
        assert path.read_bytes() == (folder / name).read_bytes(), name


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but neither drawn nor written, which is what takes the time."""
    monkeypatch.setattr("pellucid.report.cohort.write_figure", lambda figure, base, **_: [base.with_suffix(".figure")])


def test_all_classes_by_default(tmp_path, undrawn):
    done = write_cohort(cohort(), tmp_path)
    boxes = [p.name for p in done.files if p.parent.name == "boxes" and p.suffix == ".csv"]
    assert boxes == [f"{c}.csv" for c in ("heart", "lung_lower_lobe_left", "left_kidney", "sternum")]
    assert set(pd.read_csv(tmp_path / "histograms.csv")["target"]) == set(CLASSES[1:])


def test_a_patient_that_is_asked_for(tmp_path, undrawn):
    table = cohort(n=6)
    table["group"] = table["case"].replace({"PAT001": "PAT000"})
    done = write_cohort(table, tmp_path, classes=["heart"], patient="PAT000", wide=True)
    names = {p.name for p in done.files if p.parent.name == "patient"}
    assert names == {f"PAT00{k}-heart.{e}" for k in (0, 1) for e in ("figure", "csv")}
    assert set(pd.read_csv(tmp_path / "patient" / "PAT001-heart.csv")["case"]) == {"PAT001"}
    assert (tmp_path / "wide.csv").read_text().startswith("patient,background_explanation_in_background_mass,")
    with pytest.raises(UsageError, match="no case or patient 'nobody' in the region table"):
        write_cohort(table, tmp_path, classes=["heart"], patient="nobody")


def test_what_changes_is_written(tmp_path, undrawn):
    done = write_cohort(cohort(seed=1, prefix="Q"), tmp_path, classes=["heart"])
    write_change(done, cohort(seed=1, prefix="Q"), cohort(), ("first", "second"))
    found = pd.read_csv(tmp_path / "change.csv")
    assert len(found) == 25 and set(found["cohort_a"]) == {"first"}
    assert done.facts["change"]["cells"] == 25
    assert {p.name for p in done.files} >= {"change.csv", "change.figure", "change-matrix.figure", "change-matrix.csv"}


def test_too_few_patients_to_compare_are_drawn_without_intervals():
    found = what_changes(cube(cohort(n=3)), cube(cohort(n=8, seed=1, prefix="Q")), n_boot=10)
    axis = change_figure(found, names=("few", "many")).axes[0]
    assert "too few patients for intervals or tests" in axis.get_xlabel()
    largest = found["difference"].abs().max()
    points = [abs(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"]
    assert len(points) == 24 and points[0] == pytest.approx(largest)


def test_regions_that_are_no_classes_leave_reasons(tmp_path, undrawn):
    table = cohort(classes=("benign", "malignant"), n=6)
    done = write_cohort(table.assign(region=table["region"].replace({"benign": "lung", "malignant": "nodule"})), tmp_path)
    assert [n.split(":")[0] for n in done.notes] == ["clusters", "context share"]
    assert (tmp_path / "graph.csv").is_file() and (tmp_path / "boxes" / "malignant.csv").is_file()
    assert not (tmp_path / "clusters.csv").exists()


def test_one_case_one_class_and_holes(tmp_path, undrawn):
    done = write_cohort(cohort(classes=("background", "heart"), n=1), tmp_path / "one")
    assert [n.split(":")[0] for n in done.notes] == ["clusters"]
    table = cohort()
    table.loc[table["target"] == "sternum", "value"] = np.nan
    done = write_cohort(table, tmp_path / "holes", classes=["heart", "sternum"])
    assert "clusters: sternum is left out, not all its masses are known" in done.notes
    assert any("target 'sternum': no mass is known of it in any case; was it ever predicted?" in n for n in done.notes)
    assert done.facts["cases_without"] == {"sternum": 7}


def test_a_table_without_mass(tmp_path):
    table = cohort()
    with pytest.raises(InputError, match="no measure 'mass'; it has dice, mean"):
        write_cohort(table[table["measure"] != "mass"], tmp_path)
    with pytest.raises(UsageError, match="unknown class 'hart'; did you mean 'heart'"):
        write_cohort(table, tmp_path, classes=["hart"])
