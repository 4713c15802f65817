"""Metrics that take random sets, single parts and regions away: twins, closed forms, expectations, passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from pellucid.api import evaluate, evidence_of, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.alone import alone, alone_in_noise
from pellucid.evaluate.shared.draws import Sets, random_boxes, random_noise, random_subsets, usual_size
from pellucid.evaluate.shared.plan import Plan
from reference import metric_parts as literal

WORLDS = ["classification 2-D + table", "regression 2 pictures", "regression 3-D", "segmentation 2 pictures"]
OF_DRAWS = ("faithfulness_correlation", "sensitivity_n", "infidelity")
OF_PARTS = ("faithfulness_estimate", "monotonicity_correlation", "region_faithfulness", "non_sensitivity")


def value(e: Evidence, place: int, name: str, **options) -> float:
    (s,) = e.view(place).scores([as_metric({name: options})]).values()
    assert s.reason == "", s.reason
    return s.value


class Plain:
    """The same world as arrays, and the explained scalar of changed pictures, by the module itself."""

    def __init__(self, e: Evidence, place: int) -> None:
        self.e, self.place = e, place
        self.names = list(e.scorer.images)
        self.pictures = [e.case.inputs[n].numpy().astype(float) for n in self.names]
        self.fills = [np.broadcast_to(p.mean(tuple(range(1, p.ndim)), keepdims=True), p.shape) for p in self.pictures]
        self.maps = [e.maps[place].spatial(n).numpy().astype(float) for n in self.names]
        self.pixels = literal.pixels(self.pictures)

    def answer(self, shown) -> float:
        values = dict(zip(self.names, shown))
        inputs = [torch.as_tensor(values.get(n, self.e.case.inputs[n])).float() for n in self.e.engine.predictor.inputs]
        with torch.no_grad():
            out = self.e.engine.predictor.module(*[v[None] for v in inputs])[0]
        b = self.e.target(self.place)
        return float(out[b.index]) if b.weight is None else float((out[b.index] * b.weight).sum())

    def members(self, sums) -> list[list[literal.Pixel]]:
        """Which pixels each copy lacks, asked of the sums of one pixel at a time."""
        inside = torch.stack([sums(row) for row in torch.eye(len(self.pixels), dtype=torch.double)])
        assert set(inside.unique().tolist()) <= {0.0, 1.0}
        return [[self.pixels[i] for i in column.nonzero()[:, 0].tolist()] for column in inside.T]

    def parts(self, units) -> list[list[literal.Pixel]]:
        return [[self.pixels[i] for i in (units == u).nonzero()[:, 0].tolist()] for u in range(int(units.max()) + 1)]

    def drops(self, parts) -> list[float]:
        return literal.drops(self.answer, self.pictures, self.fills, parts)


# -- twins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", WORLDS)
def test_random_sets_equal_their_twin(where):
    e = evidence(where)
    for by in ("pixels", "blocks"):
        drawn = random_subsets(e, Plan(by=by), 30)
        sets = Plain(e, 0).members(drawn.sums)
        sizes = {len(s) for s in sets}
        if by == "pixels":
            assert sizes == {usual_size(len(Plain(e, 0).pixels), len(e.case.spatial))}
        assert len({tuple(s) for s in sets}) > 20  # they differ
        for place in range(len(e.maps)):
            plain = Plain(e, place)
            wanted = literal.pearson(literal.sums(plain.maps, sets), plain.drops(sets))
            assert value(e, place, "faithfulness_correlation", draws=30, by=by) == pytest.approx(wanted, abs=2e-4)


def test_sensitivity_n_is_the_mean_over_sizes_and_keeps_them():
    e = evidence("regression 2 pictures")
    plain, shares = Plain(e, 1), [0.05, 0.5]
    (s,) = e.view(1).scores([as_metric({"sensitivity_n": {"shares": shares, "draws": 20}})]).values()
    wanted = []
    for share in shares:
        sets = plain.members(random_subsets(e, Plan(), 20, share).sums)
        assert {len(x) for x in sets} == {round(share * len(plain.pixels))}
        wanted.append(literal.pearson(literal.sums(plain.maps, sets), plain.drops(sets)))
    assert [(name, at) for name, at, _ in s.parts] == [("correlation", 0.05), ("correlation", 0.5)]
    assert [v for *_, v in s.parts] == pytest.approx(wanted, abs=2e-4)
    assert s.value == pytest.approx(sum(wanted) / 2, abs=2e-4)


@pytest.mark.parametrize("where", WORLDS)
def test_infidelity_equals_its_twin(where):
    e = evidence(where)
    boxes = Plain(e, 0).members(random_boxes(e, 15).sums)
    for place in range(len(e.maps)):
        plain = Plain(e, place)
        happened, said = plain.drops(boxes), literal.sums(plain.maps, boxes)
        assert value(e, place, "infidelity", draws=15) == pytest.approx(literal.infidelity(said, happened), rel=1e-3)
        scaled = value(e, place, "infidelity", draws=15, scaled=True)
        assert scaled == pytest.approx(literal.least_infidelity(said, happened), rel=1e-3)
        change = [(p - f).sum(0) for p, f in zip(plain.pictures, plain.fills)]  # one channel
        local = literal.sums([m * c for m, c in zip(plain.maps, change)], boxes)
        found = value(e, place, "infidelity", draws=15, of="gradients")
        assert found == pytest.approx(literal.infidelity(local, happened), rel=1e-3)


def test_infidelity_under_noise_equals_its_twin():
    e = evidence("classification 2-D + table")
    plain = Plain(e, 0)
    drawn = random_noise(e, 9, 0.1)
    rows = torch.eye(len(plain.pixels), dtype=torch.double).view(-1, 1, *e.case.spatial)
    noise = np.stack([drawn.products({"im0": row}).numpy() for row in rows]).T.reshape(9, 1, *e.case.spatial)
    extent = np.ptp(plain.pictures[0])
    assert noise.std() == pytest.approx(0.1 * extent, rel=0.1) and abs(noise.mean()) < 0.02 * extent
    happened = [plain.answer(plain.pictures) - plain.answer([plain.pictures[0] - i]) for i in noise]
    said = [float((plain.maps[0] * i[0]).sum()) for i in noise]
    found = value(e, 0, "infidelity", by="noise", of="gradients", draws=9)
    assert found == pytest.approx(literal.infidelity(said, happened), rel=1e-3)


@pytest.mark.parametrize("by", ["cubes", "superpixels"])
@pytest.mark.parametrize("where", WORLDS)
def test_single_parts_equal_their_twin(where, by):
    e = evidence(where)
    units, _ = alone(e, Plan(by=by, segments=12))
    for place in (0, 2):
        plain = Plain(e, place)
        parts = plain.parts(units)
        assert len(parts) > 5
        mine, happened = literal.sums(plain.maps, parts), plain.drops(parts)
        found = value(e, place, "faithfulness_estimate", by=by, segments=12)
        assert found == pytest.approx(literal.pearson(mine, happened), abs=2e-4)
        sizes = literal.sums([np.abs(m) for m in plain.maps], parts)
        found = value(e, place, "non_sensitivity", by=by, segments=12, eps=0.2)
        assert found == pytest.approx(literal.disagreement(sizes, happened, 0.2))


@pytest.mark.parametrize("where", WORLDS)
def test_monotonicity_correlation_equals_its_twin(where):
    e = evidence(where)
    units, scores = alone_in_noise(e, Plan(by="cubes", segments=12), 3)
    plain = Plain(e, 0)
    copy = torch.arange(3)
    fills = []
    for k in range(3):
        drawn = [e.problem.draw("uniform", n, torch.zeros_like(copy), copy, "alone")[k].numpy() for n in plain.names]
        fills.append([p.min() + np.ptp(p) * d for p, d in zip(plain.pictures, drawn)])
        assert all(p.min() <= f.min() and f.max() <= p.max() for p, f in zip(plain.pictures, fills[k]))
    parts, whole = plain.parts(units), plain.answer(plain.pictures)
    after = [[plain.answer(literal.without(plain.pictures, f, part)) for f in fills] for part in parts]
    assert scores[:, :, e.column(0)].numpy() == pytest.approx(np.array(after), rel=1e-3, abs=1e-4)
    change = [sum((whole - y) ** 2 for y in row) / 3 for row in after]
    size = [abs(s) for s in literal.sums(plain.maps, parts)]
    found = value(e, 0, "monotonicity_correlation", segments=12, draws=3)
    assert found == pytest.approx(literal.spearman(size, change), abs=1e-3)


def organs(shape):
    labels = torch.zeros(shape, dtype=torch.int64)
    labels[:3], labels[3:6, :4], labels[3:6, 4:] = 1, 2, 5
    return labels


@pytest.mark.parametrize("where", WORLDS)
def test_region_faithfulness_equals_its_twin(where):
    w = world(where)
    case = w.case.replace(regions={**w.case.regions, "organs": organs(w.case.spatial)})
    maps = [explain(w.predictor, case, method=m, seed=1) for m in ("input_x_gradient", "random")]
    e = evidence_of(Engine(w.predictor), case, maps, steps=6)
    inside = [case.regions["lesion"], *(case.regions["organs"] == v for v in (1, 2, 5))]
    for place in range(2):
        plain = Plain(e, place)
        parts = [[(i, v) for i, v in plain.pixels if bool(mask[v])] for mask in inside]
        mass, signed = literal.sums([np.abs(m) for m in plain.maps], parts), literal.sums(plain.maps, parts)
        total, happened = sum(np.abs(m).sum() for m in plain.maps), plain.drops(parts)
        (s,) = e.view(place).scores([as_metric("region_faithfulness")]).values()
        assert s.value == pytest.approx(literal.pearson(mass, [abs(d) for d in happened]), abs=1e-3)
        assert [p[0] for p in s.parts] == ["lesion", "organs=1", "organs=2", "organs=5"]
        assert [p[1] for p in s.parts] == pytest.approx([m / total for m in mass], rel=1e-5)
        assert [p[2] for p in s.parts] == pytest.approx([abs(d) for d in happened], rel=1e-2, abs=1e-4)
        found = value(e, place, "region_faithfulness", measure="signed")
        assert found == pytest.approx(literal.pearson(signed, happened), abs=1e-3)
        alone_ = value(e, place, "region_faithfulness", regions=["organs"], by="regions")
        assert alone_ == pytest.approx(literal.pearson(mass[1:], [abs(d) for d in happened[1:]]), abs=1e-3)


# -- closed forms and expectations -------------------------------------------------------------------------------------


def linear(shape=(8, 8), seed=0, channels=1):
    """f(x) = w · x + 3 with weights of both signs, and its exact maps: contributions and the gradient."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(channels, *shape, generator=generator)
    net = nn.Sequential(nn.Flatten(), nn.Linear(x.numel(), 1))
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(net[1].weight.shape, generator=generator))
        net[1].bias.fill_(3.0)
    w = net[1].weight[0].detach().view(channels, *shape)
    case = Case(id="l", inputs={"x": x})
    make = lambda m: attribution(case, {"x": m}, kind="score")  # noqa: E731
    return Predictor(net.eval(), inputs=["x"], task="regression"), case, make(w * (x - x.mean(tuple(range(1, x.ndim)), keepdim=True))), make(w)


@pytest.mark.parametrize("shape", [(8, 8), (5, 6, 4)])
def test_the_exact_map_of_a_linear_model_scores_the_bound(shape):
    predictor, case, exact, slope = linear(shape)
    e = of(predictor, case, [exact, slope, exact.replace(maps={"x": -exact.maps["x"]})])
    for name in ("faithfulness_correlation", "sensitivity_n", "faithfulness_estimate"):
        assert value(e, 0, name) == pytest.approx(1, abs=1e-6)
        assert value(e, 2, name) == pytest.approx(-1, abs=1e-6)
        for by in ("pixels", "blocks", "superpixels"):
            assert value(e, 0, name, by=by) == pytest.approx(1, abs=1e-6)
    assert value(e, 0, "region_faithfulness", measure="signed") == pytest.approx(1, abs=1e-6)
    assert value(e, 0, "infidelity") == pytest.approx(0, abs=1e-9)
    assert value(e, 1, "infidelity", of="gradients") == pytest.approx(0, abs=1e-9)
    assert value(e, 1, "infidelity", of="gradients", by="noise") == pytest.approx(0, abs=1e-9)
    assert value(e, 0, "non_sensitivity") == 0
    assert value(e, 0, "completeness") == pytest.approx(0, abs=2e-4)
    assert value(e, 2, "completeness") == pytest.approx(2, abs=2e-4)


def test_monotonicity_correlation_of_a_linear_model_is_one_where_pixels_have_one_value():
    """On a grey picture every pixel's expected squared change is proportional to its squared weight."""
    predictor, case, _, slope = linear((6, 6))
    x = torch.full((1, 6, 6), 0.5)
    x[0, 0, 0], x[0, 0, 1] = 0.0, 1.0  # the range that the noise is drawn in
    case = case.replace(inputs={"x": x})
    e = of(predictor, case, [slope])
    # Spearman, so it takes the noise of 60 draws for neighbouring weights to change places.
    assert value(e, 0, "monotonicity_correlation", by="pixels", draws=60) > 0.97


def test_channels_go_together_and_gradients_keep_theirs():
    predictor, case, exact, slope = linear((6, 7), channels=3)
    summed = exact.replace(maps={"x": exact.maps["x"].sum(0)})
    e = of(predictor, case, [exact, summed, slope])
    for i in (0, 1):
        assert value(e, i, "faithfulness_correlation") == pytest.approx(1, abs=1e-6)
        assert value(e, i, "faithfulness_estimate") == pytest.approx(1, abs=1e-6)
        assert value(e, i, "infidelity") == pytest.approx(0, abs=1e-9)
    for by in ("boxes", "noise"):
        assert value(e, 2, "infidelity", of="gradients", by=by) == pytest.approx(0, abs=1e-8)
    assert value(e, 2, "infidelity") > 0.1  # a gradient is no contribution


class TwoGrids(nn.Module):
    """w · (the sum of a picture) − (the mean square of a smaller one)."""

    def forward(self, a, b):
        return a.flatten(1).sum(1, keepdim=True) - b.flatten(1).square().mean(1, keepdim=True)


def test_pictures_on_two_grids():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(1, 8, 9, generator=generator), torch.rand(1, 4, 5, generator=generator)
    labels = torch.arange(8)[:, None].expand(8, 9) // 2  # 0 is no region, then three
    case = Case(id="g", inputs={"a": a, "b": b}, regions={"zones": labels})
    exact = attribution(case, {"a": a - a.mean(), "b": torch.zeros(1, 4, 5)}, kind="score")
    e = of(Predictor(TwoGrids().eval(), inputs=["a", "b"], task="regression"), case, [exact])
    for name in (*OF_DRAWS, *OF_PARTS):
        assert math.isfinite(value(e, 0, name))
    # Regions are on the grid of the first picture, and the second keeps its pixels: the map is exact there.
    assert value(e, 0, "region_faithfulness", measure="signed", by="regions") == pytest.approx(1, abs=1e-5)


def test_scaling_the_map_changes_infidelity_and_the_best_scale_undoes_it():
    predictor, case, exact, _ = linear()
    grown = exact.replace(maps={"x": 5 * exact.maps["x"]})
    e = of(predictor, case, [exact, grown])
    drops = Plain(e, 0).drops(Plain(e, 0).members(random_boxes(e, 100).sums))
    assert value(e, 1, "infidelity") == pytest.approx(16 * np.mean(np.square(drops)), rel=1e-3)  # (5 − 1)²
    assert value(e, 1, "infidelity", scaled=True) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["faithfulness_correlation", "sensitivity_n", "faithfulness_estimate", "monotonicity_correlation"])
def test_random_maps_have_no_correlation_on_average(name):
    """Normal maps of no direction: expectation 0. 150 of them, at most 0.3 apart: 4 standard errors are 0.1."""
    predictor, case, _, _ = linear()
    draws = [torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(s)) for s in range(150)]
    e = of(predictor, case, [attribution(case, {"x": m}, kind="score") for m in draws])
    found = [value(e, i, name) for i in range(150)]
    assert np.std(found) < 0.3 and abs(np.mean(found)) < 4 * 0.3 / 150**0.5


@pytest.mark.parametrize("size", [1, 3, 60, 199])
def test_sets_are_the_same_as_indices_and_as_bits(size):
    sets = Sets(np.random.default_rng(0), 200, size, 50)
    assert sets.packed == (32 * size > 200)
    inside = torch.stack([sets.inside(k) for k in range(50)])
    assert inside.sum(1).tolist() == [size] * 50
    values = torch.rand(200, dtype=torch.double)
    assert torch.allclose(sets.sums(values), (inside * values).sum(1))
    # Every unit is as likely as any other: 50 · size / 200 times each, give or take.
    assert abs(float(inside.double().mean(0).std()) - (size / 200 * (1 - size / 200) / 50) ** 0.5) < 0.02


def test_usual_sizes():
    assert usual_size(224**2, 2) == 224 and usual_size(224**3, 3) == 224**2
    assert usual_size(64, 2) == 8 and usual_size(2, 3) == 1


# -- passes -----------------------------------------------------------------------------------------------------------


def rows(e: Evidence, *metrics) -> int:
    ROWS["seen"] = 0
    for i in range(len(e.maps)):
        e.view(i).scores([as_metric(m) for m in metrics])
    return ROWS["seen"]


@pytest.mark.parametrize("methods", [("saliency",), ("saliency", "input_x_gradient", "random", "edge")])
@pytest.mark.parametrize("where", WORLDS)
def test_passes_do_not_grow_with_the_number_of_maps(where, methods):
    e = evidence.__wrapped__(where, methods)
    parts = len(e.units(Plan(by="cubes")).unique())
    segments = len(e.units(Plan(by="superpixels")).unique())
    assert rows(e, "faithfulness_correlation") == 100
    assert rows(e, "sensitivity_n") == 500
    assert rows(e, "infidelity") == 100 + 2  # and both ends, f(x) and f(fill), once
    assert rows(e, "faithfulness_estimate") == parts
    assert rows(e, "non_sensitivity") == 0
    assert rows(e, "monotonicity_correlation") == 8 * parts
    assert rows(e, "region_faithfulness") == segments
    assert rows(e, *OF_DRAWS, *OF_PARTS) == 0


def test_passes_do_not_grow_with_the_number_of_targets_either():
    w = world("classification 2-D")
    maps = [explain(w.predictor, w.case, method="saliency", target=k) for k in range(3)]
    e = evidence_of(Engine(w.predictor), w.case, maps, steps=6)
    assert rows(e, "faithfulness_correlation", "infidelity") == 100 + 100 + 2
    again = evidence_of(Engine(w.predictor), w.case, [maps[1]], steps=6)
    assert value(e, 1, "faithfulness_correlation") == pytest.approx(value(again, 0, "faithfulness_correlation"), abs=1e-5)


def test_regions_cost_one_pass_each():
    w = world("regression 2 pictures")
    case = w.case.replace(regions={"organs": organs(w.case.spatial)})
    e = evidence_of(Engine(w.predictor), case, [explain(w.predictor, case, method=m) for m in ("saliency", "random")])
    assert rows(e, "region_faithfulness") == 3 + 2


def test_the_seed_of_the_evidence_draws_the_sets():
    predictor, case, exact, _ = linear()
    first, same, other = (random_subsets(of(predictor, case, [exact], seed=s), Plan(), 20) for s in (0, 0, 1))
    ramp = torch.arange(64.0)
    assert torch.equal(first.sums(ramp), same.sums(ramp)) and not torch.equal(first.sums(ramp), other.sums(ramp))
    more = random_subsets(of(predictor, case, [exact]), Plan(), 40)
    assert torch.equal(more.sums(ramp)[:20], first.sums(ramp))  # more draws keep those that were there


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in (*OF_DRAWS, *OF_PARTS) if n not in ("infidelity", "non_sensitivity")])
def test_a_model_that_ignores_its_picture_has_no_correlation(name):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.fill_(0.3)
    case = Case(id="c", inputs={"x": torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))})
    a = attribution(case, {"x": torch.rand(1, 8, 8)}, kind="score")
    e = of(Predictor(net.eval(), inputs=["x"], task="regression"), case, [a])
    (s,) = e.view(0).scores([as_metric(name)]).values()
    assert math.isnan(s.value) and "the same whichever part" in s.reason


@pytest.mark.parametrize("name", [*OF_DRAWS, *OF_PARTS, "completeness"])
def test_a_map_on_another_grid_has_no_score(name):
    predictor, case, _, _ = linear()
    e = of(predictor, case, [attribution(case, {"x": torch.rand(1, 4, 4)}, kind="score")])
    (s,) = e.view(0).scores([as_metric(name)]).values()
    assert math.isnan(s.value) and "the image is (8, 8)" in s.reason


@pytest.mark.parametrize("name", [*OF_DRAWS, *OF_PARTS, "input_invariance"])
def test_a_model_of_tables_has_no_pixels(name):
    net = nn.Linear(3, 1)
    case = Case(id="c", inputs={"tab": torch.tensor([1.0, 2.0, 3.0])})
    a = attribution(case, {"tab": torch.tensor([1.0, 2.0, 3.0])}, kind="score")
    e = of(Predictor(net.eval(), inputs=["tab"], task="regression"), case, [a])
    (s,) = e.view(0).scores([as_metric(name)]).values()
    assert math.isnan(s.value) and "tables only" in s.reason


def test_two_regions_are_too_few_and_superpixels_take_their_place():
    predictor, case, exact = linear_world()
    two = {"lesion": case.regions["lesion"], "rest": ~case.regions["lesion"], "none": torch.zeros(8, 8)}
    e = of(predictor, case.replace(regions=two), [exact])
    (s,) = e.view(0).scores([as_metric({"region_faithfulness": {"by": "regions"}})]).values()
    assert math.isnan(s.value) and "needs 3 regions, the case has 2" in s.reason
    assert value(e, 0, "region_faithfulness") == pytest.approx(1, abs=1e-6)
    (s,) = e.view(0).scores([as_metric({"region_faithfulness": {"regions": ["liver"]}})]).values()
    assert math.isnan(s.value) and "no region 'liver'" in s.reason


def test_an_image_without_a_map_counts_as_zero():
    e = evidence("regression 2 pictures")
    half = e.maps[1].replace(maps={"im0": e.maps[1].maps["im0"]})
    zero = e.maps[1].replace(maps={**half.maps, "im1": torch.zeros_like(e.maps[1].maps["im1"])})
    both = of(e.engine.predictor, e.case, [half, zero])
    for name in (*OF_DRAWS, *OF_PARTS):
        assert value(both, 0, name) == pytest.approx(value(both, 1, name))


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("faithfulness_correlation", {"draws": 2}, "draws=2"),
        ("faithfulness_correlation", {"size": 0}, "size=0"),
        ("faithfulness_correlation", {"side": 0}, "side=0"),
        ("sensitivity_n", {"shares": [0.1, 1.0]}, "between 0 and 1"),
        ("sensitivity_n", {"shares": []}, "between 0 and 1"),
        ("infidelity", {"by": "noise"}, "of='gradients'"),
        ("infidelity", {"by": "boxen"}, "boxes"),
        ("infidelity", {"of": "gradient"}, "gradients"),
        ("infidelity", {"noise": 0.0}, "positive"),
        ("monotonicity_correlation", {"draws": 0}, "draws=0"),
        ("faithfulness_estimate", {"segments": 0}, "segments=0"),
        ("region_faithfulness", {"measure": "mean"}, "measure='mean'"),
        ("region_faithfulness", {"regions": "liver"}, "list"),
        ("non_sensitivity", {"eps": 1.0}, "eps=1.0"),
        ("completeness", {"baseline": "black"}, "baseline='black'"),
        ("input_invariance", {"shift": 0.0}, "shift=0.0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(name, options, word):
    with pytest.raises(UsageError, match=word.replace("(", r"\(")):
        as_metric({name: options})


def test_a_set_of_everything_is_refused():
    predictor, case, exact = linear_world()
    with pytest.raises(UsageError, match="has to leave some"):
        of(predictor, case, [exact]).view(0).scores([as_metric({"faithfulness_correlation": {"size": 64}})])


def test_through_the_public_face():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="integrated_gradients")
    found = evaluate(w.predictor, w.case, a, metrics=["faithfulness_correlation", {"infidelity": {"scaled": True}}, "completeness"])
    assert set(found) == {"faithfulness_correlation", "infidelity", "completeness"}
    assert all(math.isfinite(v) for v in found.values()) and found["completeness"] < 0.02
