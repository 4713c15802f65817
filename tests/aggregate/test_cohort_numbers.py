"""Numbers of a cohort: known answers, twins in plain loops, SciPy's and Matplotlib's as oracles, bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import boxplot_stats
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform
from scipy.stats import mannwhitneyu, wilcoxon

from pellucid.aggregate.cohort.change import parts_of, what_changes
from pellucid.aggregate.cohort.clusters import clusters
from pellucid.aggregate.cohort.context import context_share
from pellucid.aggregate.cohort.cube import chosen, cube, some
from pellucid.aggregate.cohort.distribution import box_numbers, histograms
from pellucid.aggregate.cohort.graph import importance_graph
from pellucid.aggregate.cohort.matrix import matrix, overlaps, square
from pellucid.aggregate.cohort.patient import one_case
from pellucid.aggregate.systems import SYSTEMS, system_of
from pellucid.core.statistics import holm
from pellucid.errors import InputError, UsageError

CLASSES = ("background", "heart", "liver", "spleen")
COLUMNS = ["case", "target", "region", "measure", "value"]


def table_of(values, *, classes=CLASSES, regions=None, cases=None, measure="mass"):
    """A long table of ``(cases, targets, regions)``."""
    cases = cases or [f"p{k}" for k in range(len(values))]
    rows = [
        (case, t, r, measure, float(values[i, j, k]))
        for i, case in enumerate(cases) for j, t in enumerate(classes) for k, r in enumerate(regions or classes)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def masses(n=12, k=4, seed=0):
    """Rows that sum to 1."""
    return np.random.default_rng(seed).dirichlet(np.ones(k), size=(n, k))


def test_cube_and_matrix_are_means_over_cases():
    values = masses()
    table = table_of(values).sample(frac=1, random_state=0)  # the order of rows has no say
    found = cube(table)
    at = np.ix_([found.cases.index(f"p{k}") for k in range(12)], [found.targets.index(c) for c in CLASSES],
                [found.regions.index(c) for c in CLASSES])  # fmt: skip
    np.testing.assert_array_equal(found.values[at], values)
    for row in matrix(cube(table_of(values)), n_boot=200).to_dict("records"):
        cell = values[:, CLASSES.index(row["target"]), CLASSES.index(row["region"])]
        assert row["mean"] == pytest.approx(cell.mean(), rel=1e-12)
        assert row["low"] < row["mean"] < row["high"]
        assert (row["n"], row["patients"], row["note"]) == (12, 12, "")


def test_unknown_cells_have_no_part_and_are_counted():
    values = masses()
    values[:5, 1, :] = np.nan  # never predicted in five cases
    values[:, 2, 3] = np.nan
    found = matrix(cube(table_of(values)), n_boot=200).set_index(["target", "region"])
    assert found.loc[("heart", "liver"), "mean"] == pytest.approx(values[5:, 1, 2].mean())
    assert found.loc[("heart", "liver"), "n"] == 7
    hole = found.loc[("liver", "spleen")]
    assert math.isnan(hole["mean"]) and math.isnan(hole["low"]) and hole["n"] == 0
    assert hole["note"] == "0 patients: too few for an interval"


def test_patients_are_drawn_with_all_their_cases():
    values = np.repeat(masses(6, seed=3), 4, axis=0)  # four equal cases of each of six patients
    one = matrix(cube(table_of(masses(6, seed=3))), n_boot=4000)
    many = table_of(values)
    grouped = matrix(cube(many.assign(group=many["case"].str[1:].astype(int) // 4)), n_boot=4000)
    np.testing.assert_allclose(grouped[["mean", "low", "high"]], one[["mean", "low", "high"]], rtol=1e-9)
    apart = matrix(cube(many), n_boot=4000)
    assert ((apart["high"] - apart["low"]) < 0.7 * (one["high"] - one["low"])).all()


def test_one_case_has_means_and_no_interval():
    found = matrix(cube(table_of(masses(1))))
    assert found["mean"].notna().all() and found["low"].isna().all()
    assert set(found["note"]) == {"1 patient: too few for an interval"}


def many_cells(draw, n, cells=600):
    """``(n, cells, 1)``: cells that have nothing to do with each other, as many little studies."""
    return draw(size=(n, cells, 1)), [f"c{k}" for k in range(cells)]


def test_intervals_cover():
    """A 95 % percentile interval of 40 patients covers the mean a little less often than in 95 % of the studies."""
    share, names = many_cells(lambda size: np.random.default_rng(5).beta(2, 6, size=size), 40)
    found = matrix(cube(table_of(share, classes=names, regions=["r"])), n_boot=1000)
    assert 0.91 <= ((found["low"] <= 0.25) & (found["high"] >= 0.25)).mean() <= 0.97


def test_foreground_is_the_mean_over_classes_of_each_case():
    dice = np.random.default_rng(0).random((8, 4, 1))
    dice[2, 1] = np.nan
    found = overlaps(table_of(dice, regions=["*"], measure="dice"), n_boot=100).set_index("target")
    plain = [np.mean([v for v in case[1:, 0] if np.isfinite(v)]) for case in dice]
    assert found.loc["foreground", "mean"] == pytest.approx(np.mean(plain), rel=1e-12)
    assert found.loc["heart", "n"] == 7
    assert len(overlaps(table_of(masses()))) == 0


def literal_graph(means, rule, top, cumulative):
    edges = set()
    for j, t in enumerate(CLASSES[1:], start=1):
        order = sorted(range(1, 4), key=lambda k: -means[j, k])
        total = 0.0
        for rank, k in enumerate(order):
            total += means[j, k]
            if (rank < top) if rule == "top" else (total <= cumulative):
                edges.add((CLASSES[k], t))
    return edges


@pytest.mark.parametrize(("rule", "top", "cumulative"), [("top", 2, 0.35), ("top", 9, 0.35), ("mass", 5, 0.5)])
def test_graph_against_its_twin(rule, top, cumulative):
    values = masses(seed=7)
    edges = importance_graph(matrix(cube(table_of(values)), n_boot=10), rule=rule, top=top, cumulative=cumulative)
    expected = literal_graph(values.mean(0), rule, top, cumulative)
    assert set(zip(edges["source"], edges["target"])) == expected
    for row in edges.to_dict("records"):
        mean = values.mean(0)[CLASSES.index(row["target"]), CLASSES.index(row["source"])]
        assert row["weight"] == pytest.approx(mean)


def test_graph_refuses_what_makes_no_graph():
    found = matrix(cube(table_of(masses())), n_boot=10)
    with pytest.raises(UsageError, match=r"top=0, cumulative=0\.35; give 1 or more"):
        importance_graph(found, top=0)
    with pytest.raises(InputError, match="no source of any class has a known mass"):
        importance_graph(found.assign(mean=np.nan))


@pytest.mark.parametrize("scale", ["target", "table"])
@pytest.mark.parametrize("join", ["larger", "mean", "smaller", "alphabetical"])
def test_clusters_against_plain_loops(scale, join):
    names = ("background", "c", "a", "d", "b", "e")
    values = masses(k=6, seed=2)
    root = np.sqrt(values.mean(0))[1:, 1:]
    top = [root[i].max() if scale == "target" else root.max() for i in range(5)]
    plain = np.zeros((5, 5))
    for i, j in itertools.permutations(range(5), 2):
        one, other = top[i] - root[i, j], top[j] - root[j, i]
        later = one if names[1:][i] > names[1:][j] else other
        plain[i, j] = {"larger": max(one, other), "mean": (one + other) / 2, "smaller": min(one, other),
                       "alphabetical": later}[join]  # fmt: skip
    found = clusters(matrix(cube(table_of(values, classes=names)), n_boot=10), scale=scale, join=join)
    np.testing.assert_allclose(found.distances, plain, atol=1e-12)
    condensed = squareform(plain, checks=False)
    assert found.cophenetic == pytest.approx(cophenet(linkage(condensed, "average"), condensed)[0])
    assert sorted(found.order) == list(range(5))
    assert found.names == names[1:]


def test_clusters_find_two_pairs():
    values = np.full((1, 4, 4), 0.05)
    for i, j in itertools.product((0, 1), (0, 1)):
        values[0, i, j] = values[0, 2 + i, 2 + j] = 0.45
    found = clusters(matrix(cube(table_of(values, classes=("a", "b", "c", "d")))))
    merged = {frozenset(map(int, row[:2])) for row in found.tree[:2]}
    assert merged == {frozenset({0, 1}), frozenset({2, 3})}
    assert found.cophenetic == pytest.approx(1.0)
    flat = clusters(matrix(cube(table_of(np.full((1, 4, 4), 0.25), classes=("a", "b", "c", "d")))))
    assert math.isnan(flat.cophenetic)  # all alike: nothing to correlate


def test_clusters_leave_out_what_is_unknown():
    values = masses(k=5)
    values[:, 2, :] = np.nan
    table = matrix(cube(table_of(values, classes=("background", "a", "never", "b", "c"))), n_boot=10)
    found = clusters(table)
    assert (found.names, found.left_out) == (("a", "b", "c"), ("never",))
    with pytest.raises(InputError, match=r"clusters: 1 class both explained and a region.*two are needed"):
        clusters(table[table["target"].isin(["a", "background"])])


def test_box_numbers_are_matplotlibs():
    values = masses(n=25, seed=4)
    values[0, 1, 2] = 3.0  # far out
    found = box_numbers(cube(table_of(values)), "heart")
    assert list(found["median"]) == sorted(found["median"], reverse=True)
    assert "background" not in set(found["region"])
    for row in found.to_dict("records"):
        oracle = boxplot_stats(values[:, 1, CLASSES.index(row["region"])])[0]
        mine = [row[k] for k in ("whisker_low", "q1", "median", "q3", "whisker_high", "mean")]
        np.testing.assert_allclose(mine, [oracle[k] for k in ("whislo", "q1", "med", "q3", "whishi", "mean")])
        assert row["far"] == len(oracle["fliers"])
    assert found.set_index("region").loc["liver", "far"] >= 1


def test_histograms_count_every_known_case_once():
    values = masses(n=25)
    values[:3, 1] = np.nan
    found = histograms(cube(table_of(values)), ["heart", "liver"], bins=7)
    counts = found.groupby(["target", "region"])["count"].sum()
    assert counts.to_dict() == {("heart", "heart"): 22, ("heart", "liver"): 22, ("liver", "heart"): 25,
                                ("liver", "liver"): 25}  # fmt: skip
    assert found.groupby(["low", "high"], sort=False).ngroups == 7
    with pytest.raises(UsageError, match="unknown target 'hart'; did you mean 'heart'"):
        histograms(cube(table_of(values)), ["hart"])
    with pytest.raises(UsageError, match="bins=0; give 1 or more"):
        histograms(cube(table_of(values)), ["heart"], bins=0)


def test_one_case_beside_the_other_patients():
    values = masses(n=9)
    table = table_of(values)
    table["group"] = table["case"].replace({"p1": "p0"})  # p0 and p1 are one patient
    found = one_case(cube(table), "p0", "heart").set_index("region")
    assert list(found["value"]) == sorted(found["value"], reverse=True)
    for region in ("heart", "liver", "spleen"):
        own, others = values[0, 1, CLASSES.index(region)], values[2:, 1, CLASSES.index(region)]
        row = found.loc[region]
        assert row["value"] == own and row["n"] == 7
        np.testing.assert_allclose(row[["low", "median", "high"]].astype(float), np.quantile(others, [0.05, 0.5, 0.95]))
        assert row["place"] == pytest.approx(np.mean([v < own for v in others]))
    with pytest.raises(UsageError, match="unknown case 'q'"):
        one_case(cube(table), "q", "heart")
    values[0, 1] = np.nan
    with pytest.raises(InputError, match="case p0: no mass is known of target 'heart'; it was not predicted there"):
        one_case(cube(table_of(values)), "p0", "heart")


def test_a_single_case_stands_alone():
    found = one_case(cube(table_of(masses(1))), "p0", "heart")
    assert (found["n"] == 0).all() and found[["median", "low", "high", "place"]].isna().all(axis=None)


def test_context_parts_add_up():
    values = masses(n=15)
    found = context_share(cube(table_of(values)), n_boot=100).set_index(["target", "part"])["mean"]
    for j, t in enumerate(CLASSES[1:], start=1):
        assert found[(t, "inside")] == pytest.approx(values[:, j, j].mean())
        assert found[(t, "inside")] + found[(t, "context")] == pytest.approx(1)
        assert found[(t, "background")] + found[(t, "other classes")] == pytest.approx(found[(t, "context")])
        assert found[(t, "background")] == pytest.approx(values[:, j, 0].mean())
    assert math.isnan(found[("background", "background")])
    with pytest.raises(InputError, match=r"no target \(background, heart.*\) is also a region \(x, y\)"):
        context_share(cube(table_of(masses()[:, :, :2], regions=["x", "y"])))


def test_change_between_other_patients():
    x, y = masses(14, seed=1), masses(11, seed=2)
    y[:, 1] = np.stack([y[:, 1, 0] * 0.05, y[:, 1, 1], y[:, 1, 2], y[:, 1, 3] + 0.95 * y[:, 1, 0]], 1)  # moved to spleen
    a, b = cube(table_of(x)), cube(table_of(y, cases=[f"q{k}" for k in range(11)]))
    found = what_changes(a, b, n_boot=500)
    for row in found.to_dict("records"):
        u, v = (z[:, CLASSES.index(row["target"]), CLASSES.index(row["region"])] for z in (x, y))
        assert row["difference"] == pytest.approx(v.mean() - u.mean())
        assert row["p"] == pytest.approx(mannwhitneyu(u, v).pvalue)
        assert row["low"] < row["difference"] < row["high"]
        spread = math.sqrt((13 * u.var(ddof=1) + 10 * v.var(ddof=1)) / 23)
        assert row["effect"] == pytest.approx((v.mean() - u.mean()) / spread * (1 - 3 / (4 * 25 - 9)))
    np.testing.assert_allclose(found["p_holm"], holm(found["p"].to_numpy()))
    planted = found.set_index(["target", "region"]).loc[("heart", "background")]
    assert planted["p_holm"] < 0.05 and planted["high"] < 0


def test_change_turned_round_is_its_negative():
    a, b = cube(table_of(masses(9, seed=1))), cube(table_of(masses(9, seed=2), cases=[f"q{k}" for k in range(9)]))
    one, other = what_changes(a, b, n_boot=4000), what_changes(b, a, n_boot=4000)
    np.testing.assert_allclose(one["difference"], -other["difference"])
    np.testing.assert_allclose(one["p_holm"], other["p_holm"])
    np.testing.assert_allclose(one["low"], -other["high"], atol=0.02)  # other draws


def test_a_cohort_with_itself_does_not_change():
    a = cube(table_of(masses()))
    found = what_changes(a, a, n_boot=100)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)
    assert (found[["p", "p_holm"]] == 1).all(axis=None)
    assert set(found["test"]) == {"Wilcoxon"}


def test_the_same_patients_are_paired():
    x = masses(12, seed=1)
    y = x + np.random.default_rng(0).normal(0.01, 0.004, size=x.shape)
    found = what_changes(cube(table_of(x)), cube(table_of(y)), n_boot=500)
    for row in found.to_dict("records"):
        j, k = CLASSES.index(row["target"]), CLASSES.index(row["region"])
        assert row["p"] == pytest.approx(wilcoxon(y[:, j, k] - x[:, j, k]).pvalue)
        assert row["high"] - row["low"] < 0.01  # that of unpaired cohorts would be as wide as the patients differ
    with pytest.raises(UsageError, match="12 patients are in both cohorts, others in one of them"):
        what_changes(cube(table_of(x)), cube(table_of(masses(13))))


def test_intervals_of_a_difference_cover():
    """Cohorts without a difference: intervals that hold 0, and tests that reject, as often as they say."""
    rng = np.random.default_rng(9)
    (x, names), (y, _) = many_cells(rng.standard_normal, 30, 300), many_cells(rng.standard_normal, 30, 300)
    a = cube(table_of(x, classes=names, regions=["r"]))
    b = cube(table_of(y, classes=names, regions=["r"], cases=[f"q{i}" for i in range(30)]))
    found = what_changes(a, b, n_boot=1000)
    assert 0.90 <= ((found["low"] <= 0) & (found["high"] >= 0)).mean() <= 0.98
    assert 0.02 <= (found["p"] < 0.05).mean() <= 0.09
    assert (found["p_holm"] < 0.05).sum() <= 1


def test_change_needs_patients_and_common_cells():
    few = what_changes(cube(table_of(masses(4))), cube(table_of(masses(9), cases=[f"q{k}" for k in range(9)])))
    assert few["p"].isna().all() and few["low"].isna().all() and few["difference"].notna().all()
    assert set(few["note"]) == {"4 patients in a cohort: too few for an interval or a test"}
    with pytest.raises(InputError, match="no target and region in common; are their classes named alike"):
        what_changes(cube(table_of(masses())), cube(table_of(masses(), classes=("w", "x", "y", "z"))))
    other = cube(table_of(masses(), measure="enrichment"), measure="enrichment")
    with pytest.raises(UsageError, match="differ in measure: mass and enrichment"):
        what_changes(cube(table_of(masses())), other)


def test_two_cohorts_by_a_column():
    table = table_of(masses(6)).assign(sex=lambda t: np.where(t["case"].isin(["p0", "p4"]), "f", "m"))
    (f, first), (m, second) = parts_of(table, "sex")
    assert (f, m) == ("f", "m") and set(first["case"]) == {"p0", "p4"} and set(second["case"]) == {"p1", "p2", "p3", "p5"}
    with pytest.raises(UsageError, match="no column 'age' to split"):
        parts_of(table, "age")
    with pytest.raises(UsageError, match=r"column 'case' has 6 values \(p0, .*two are needed"):
        parts_of(table, "case")


def test_one_method_and_one_label_map_are_chosen():
    table = table_of(masses())
    both = pd.concat([table.assign(method=m, of=of) for m in ("a", "b") for of in ("predicted", "truth")])
    with pytest.raises(UsageError, match="several of 'method': a, b; choose one"):
        chosen(both)
    found = chosen(both, method="b")
    assert set(found["of"]) == {"predicted"} and len(found) == len(table)
    with pytest.raises(UsageError, match="unknown of 'thruth'; did you mean 'truth'"):
        chosen(both, method="b", of="thruth")
    with pytest.raises(UsageError, match="has no column 'method', so 'a' cannot be chosen"):
        chosen(table, method="a")
    mixed = pd.concat([table.assign(of=None), table.assign(of="lungs")])
    with pytest.raises(UsageError, match="several of 'of': lungs, none named; choose one"):
        chosen(mixed)
    with pytest.raises(UsageError, match="has several values; choose one method and one label map"):
        cube(both)
    assert set(some(table, ["heart"])["target"]) == {"heart"}
    with pytest.raises(UsageError, match="unknown class 'hart'"):
        some(table, ["hart"])


def test_a_table_without_mass_or_without_columns():
    table = table_of(masses(), measure="enrichment")
    with pytest.raises(InputError, match="no measure 'mass'; it has enrichment"):
        cube(table)
    with pytest.raises(InputError, match="no column target, value; it has case, region, measure"):
        cube(table.drop(columns=["target", "value"]))


def test_square_keeps_the_tables_order():
    found = square(matrix(cube(table_of(masses())), n_boot=10))
    assert list(found.index) == list(found.columns) == list(CLASSES)


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("lung_lower_lobe_left", "respiratory"), ("Heart", "cardiovascular"), ("pulmonary_vein", "cardiovascular"),
        ("vertebrae_T4", "skeleton"), ("rib_left_1", "skeleton"), ("costal cartilages", "skeleton"),
        ("autochthon_left", "muscles"), ("gluteus_maximus_right", "muscles"), ("spinal_cord", "nervous"), ("spine", "skeleton"),
        ("kidney_cyst_left", "urinary and genital"), ("urinary_bladder", "urinary and genital"),
        ("gallbladder", "digestive"), ("small_bowel", "digestive"), ("esophagus", "digestive"),
        ("adrenal_gland_left", "glands and lymph"), ("iliac_vena_left", "cardiovascular"), ("hip_left", "skeleton"),
        ("background", "background"), ("class 7", "other"), ("heartless", "other"), ("liverpool", "other"),
    ],
)  # fmt: skip
def test_systems(name, system):
    assert system_of(name) == system
    assert system in SYSTEMS
    assert system_of(name, extra={name: "mine"}) == "mine"
