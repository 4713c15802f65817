"""The metrics against their literal twins, against scikit-learn and SciPy, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score

from metric_worlds import attribution, evidence, linear_world, of, world
from pellucid.evaluate.complexity.gini import gini
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.faithfulness.aopc import aopc
from pellucid.evaluate.maths import likeness, pearson, spearman, vector
from pellucid.evaluate.plausibility.average_precision import average_precision
from pellucid.evaluate.plausibility.dice import dice
from pellucid.evaluate.plausibility.iou import iou
from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.pointing_game import pointing_game
from pellucid.evaluate.plausibility.threshold import above
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.levels import levels
from pellucid.evaluate.stability.max_sensitivity import max_sensitivity
from reference import metric_literal as literal

RNG = np.random.default_rng(2)


def pairs():
    """Supports with many ties, and masks, in 2-D and 3-D."""
    for shape in [(7, 9), (4, 5, 6), (3, 3)]:
        for steps in (3, 50):
            support = RNG.integers(0, steps, shape).astype(float) / steps
            mask = RNG.random(shape) < 0.3
            mask.flat[0], mask.flat[1] = True, False
            support.flat[2] = 1.0
            yield torch.from_numpy(support), torch.from_numpy(mask)


@pytest.mark.parametrize(("support", "mask"), list(pairs()))
def test_plausibility_equals_its_twins(support, mask):
    s, m = support.numpy(), mask.numpy()
    assert (dice(above(support, 0.5), mask), iou(above(support, 0.5), mask)) == pytest.approx(literal.overlap(s, m, 0.5))
    for tolerance in (0, 1, 1.5):
        assert pointing_game(support, mask, tolerance) == pytest.approx(literal.pointing(s, m, tolerance))
    assert mass_accuracy(support, mask) == pytest.approx(literal.mass(s, m))
    assert average_precision(levels(support, mask)) == pytest.approx(literal.average_precision(s, m))
    assert average_precision(levels(support, mask)) == pytest.approx(average_precision_score(m.ravel(), s.ravel()))


def test_correlations_equal_scipy():
    a, b = RNG.integers(0, 5, 60).astype(float), RNG.normal(size=60)
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    assert pearson(ta, tb) == pytest.approx(pearsonr(a, b).statistic)
    assert spearman(ta, tb) == pytest.approx(spearmanr(a, b).statistic)
    assert pearson(ta * 1e-200, tb * 1e200) == pytest.approx(pearson(ta, tb))  # squares would vanish or overflow


def test_gini_equals_pairs_and_closed_forms():
    values = RNG.normal(size=40)
    assert gini(torch.from_numpy(values)) == pytest.approx(literal.gini(values))
    for n in (2, 10, 1000):
        one_hot = torch.zeros(n)
        one_hot[n // 2] = -3.0
        assert gini(one_hot) == pytest.approx(1 - 1 / n)
        assert gini(torch.full((n,), 0.2)) == pytest.approx(0, abs=1e-12)


def test_max_sensitivity_equals_its_twin():
    clean, others = RNG.normal(size=20), [RNG.normal(size=20) for _ in range(3)]
    got = max_sensitivity(torch.from_numpy(clean), [torch.from_numpy(o) for o in others])
    assert got == pytest.approx(literal.max_sensitivity(clean, others))


def test_pointing_game_of_random_maps_is_the_region_s_share():
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[2:6, 3:8] = True
    draws = [torch.rand(10, 10, generator=torch.Generator().manual_seed(i)) for i in range(2000)]
    rate = np.mean([pointing_game(d, mask) for d in draws])
    assert rate == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2000) ** 0.5)
    assert pointing_game(torch.ones(10, 10), mask) == pytest.approx(0.2)  # a flat map: the same by its ties


def _call(w, case, shown):
    """The model on pictures given as arrays, tables as the case has them."""
    values = iter(shown)
    inputs = [torch.tensor(next(values)).float() if case.inputs[n].ndim > 1 else case.inputs[n] for n in w.inputs]
    with torch.no_grad():
        return w.module(*[v[None] for v in inputs])[0]


@pytest.mark.parametrize(
    "where", ["classification 2-D + table", "regression 2 pictures", "regression 3-D", "segmentation 2 pictures"]
)
def test_curves_equal_their_twin(where):
    e = evidence(where)
    p, case = e.engine.predictor, e.case
    pictures = [case.inputs[n].numpy().astype(float) for n in p.inputs if case.inputs[n].ndim > 1]
    names = [n for n in p.inputs if case.inputs[n].ndim > 1]
    fills = [np.broadcast_to(x.mean(axis=tuple(range(1, x.ndim)), keepdims=True), x.shape) for x in pictures]
    total = sum(x[0].size for x in pictures)
    ties = torch.randperm(total, generator=torch.Generator().manual_seed(0)).numpy()

    def f(index, weight, probability, shown):
        out = _call(p, case, shown)
        if weight is not None:
            return float((out[index] * weight).sum())
        return float(out.softmax(0)[index]) if probability else float(out[index])

    for i, a in enumerate(e.maps):
        bound = e.target(i)
        maps = [a.spatial(n).numpy().astype(float) for n in names]
        probability = p.task == "classification"
        score = lambda shown, b=bound, q=probability: f(b.index, b.weight, q, shown)  # noqa: E731
        if a.signed and not probability and score(pictures) < score(fills):
            maps = [-m for m in maps]
        got = e.view(i).curves
        both = {}
        for insertion in (False, True):
            x, y = literal.curve(score, pictures, fills, maps, e.steps, ties, insertion=insertion)
            both[insertion] = y
            np.testing.assert_allclose(got.fraction, x)
            raw = got.probability[int(insertion)] if probability else (got.insertion if insertion else got.deletion)
            np.testing.assert_allclose(raw, y, rtol=2e-4, atol=2e-5)
        whole, empty = both[False][0], both[True][0]
        found = e.view(i).scores([as_metric(n) for n in ("deletion_auc", "insertion_auc", "aopc")])
        if not probability:
            both = {k: [min(max((v - empty) / (whole - empty), 0.0), 1.0) for v in values] for k, values in both.items()}
        deletion, insertion = both[False], both[True]
        assert found["deletion_auc"].value == pytest.approx(literal.trapezoid(x, deletion), rel=1e-3, abs=1e-4)
        assert found["insertion_auc"].value == pytest.approx(literal.trapezoid(x, insertion), rel=1e-3, abs=1e-4)
        assert found["aopc"].value == pytest.approx(literal.aopc(deletion), rel=1e-3, abs=1e-4)


def test_curve_of_a_linear_model_has_a_closed_form():
    """With a model that adds up the lesion, normalised deletion falls on a straight line per pixel of equal weight."""
    predictor, case, _ = linear_world()
    lesion = case.regions["lesion"]
    case = case.replace(inputs={"x": lesion[None].float()})  # all lesion pixels weigh the same
    a = attribution(case, {"x": lesion[None].float()}, index=1)
    n = lesion.numel()
    e = of(predictor, case, [a], steps=n)
    deletion, insertion = e.view(0).curves.on("normalised")
    q = torch.arange(n + 1) / int(lesion.sum())
    np.testing.assert_allclose(deletion, (1 - q).clamp(min=0), atol=1e-5)
    np.testing.assert_allclose(insertion, q.clamp(max=1), atol=1e-5)
    assert aopc(deletion) == pytest.approx(1 - float((1 - q).clamp(min=0).mean()), abs=1e-5)


def test_shares_equal_brute_force_over_all_orders():
    e = evidence("classification 2-D + table")
    p, case = e.engine.predictor, e.case
    k = e.target(0).index
    picture = case.inputs["im0"]
    absent = {"im0": picture.mean((1, 2), keepdim=True).expand_as(picture), "tab": torch.zeros(5)}

    def value(present: frozenset[int]) -> float:
        shown = [(case.inputs if i in present else absent)[n][None] for i, n in enumerate(p.inputs)]
        with torch.no_grad():
            return float(p.module(*shown)[0, k])

    phi = literal.shapley(value, 2)
    assert list(e.modalities(0).shapley().values()) == pytest.approx(phi, rel=1e-4)
    everything = frozenset({0, 1})
    drops = [value(everything) - value(everything - {i}) for i in range(2)]
    assert list(e.modalities(0).ablation().values()) == pytest.approx(drops, rel=1e-4)
    found = e.view(0).scores([as_metric("shapley_share"), as_metric("ablation_share")])
    for name, numbers in (("shapley_share", phi), ("ablation_share", drops)):
        sizes = np.abs(numbers)
        got = [found[f"{name}[{n}]"].value for n in p.inputs]
        assert got == pytest.approx(list(sizes / sizes.sum()), rel=1e-4)


def test_shapley_of_four_inputs_adds_up_and_equals_the_orders():
    from pellucid.evaluate.shared.subsets import Subsets

    values = torch.from_numpy(RNG.normal(size=16))
    s = Subsets(("a", "b", "c", "d"), values)
    phi = literal.shapley(lambda present: float(values[sum(1 << i for i in present)]), 4)
    assert list(s.shapley().values()) == pytest.approx(phi)
    assert sum(s.shapley().values()) == pytest.approx(float(values[15] - values[0]))


def test_attribution_share_in_both_forms():
    w = world("classification 2-D + table")
    maps = {"im0": torch.full((1, 10, 12), -0.5), "tab": torch.tensor([1.0, -1, 1, -1, 1])}
    e = of(w.predictor, w.case, [attribution(w.case, maps)])
    found = e.view(0).scores([as_metric("attribution_share"), as_metric({"attribution_share": {"form": "sum"}})])
    assert found["attribution_share[tab]"].value == pytest.approx(1 / 1.5)
    assert found["attribution_share(form=sum)[tab]"].value == pytest.approx(5 / 65)


def test_stability_and_sanity_equal_their_formulas_on_the_remade_maps():
    e: Evidence = evidence("classification 2-D")
    found = e.view(0).scores([as_metric(n) for n in ("stability_pearson", "max_sensitivity", "parameter_randomisation")])
    clean = e.maps[0].maps["im0"].sum(0).flatten().double().numpy()
    noisy = [a.maps["im0"].sum(0).flatten().numpy() for a in e.noisy(0)]
    jittered = [a.maps["im0"].sum(0).flatten().double().numpy() for a in e.jittered(0)]
    random = vector(e.randomised(0)).numpy()
    assert len(noisy) == 2 and len(jittered) == 3
    assert found["stability_pearson"].value == pytest.approx(np.mean([pearsonr(clean, n).statistic for n in noisy]))
    assert found["max_sensitivity"].value == pytest.approx(literal.max_sensitivity(clean, jittered))
    kept = [i for i in range(len(clean)) if abs(clean[i]) > 0.01 * max(abs(clean)) or abs(random[i]) > 0.01 * max(abs(random))]
    rho = spearmanr([abs(clean[i]) for i in kept], [abs(random[i]) for i in kept]).statistic
    assert found["parameter_randomisation"].value == pytest.approx(rho)


def test_an_empty_background_is_no_similarity():
    """Two unrelated maps of a patient before a black background: alike over all pixels, not where they say something."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.zeros(2, 40, 40, dtype=torch.double)
    a[10:30, 10:30] = torch.rand(20, 20, generator=rng, dtype=torch.double) + 0.1
    b[10:30, 10:30] = torch.rand(20, 20, generator=rng, dtype=torch.double) + 0.1
    assert spearman(a.flatten(), b.flatten()) > 0.8
    assert abs(likeness(a.flatten(), b.flatten())) < 0.15
    assert likeness(a.flatten(), -3 * a.flatten()) == pytest.approx(1.0)


def test_the_order_of_the_maps_in_an_attribution_does_not_matter():
    e = evidence("regression 2 pictures")
    a = e.maps[0]
    turned = a.replace(maps=dict(reversed(list(a.maps.items()))))
    assert list(turned.maps) != list(a.maps)
    assert torch.equal(vector(a), vector(turned))
