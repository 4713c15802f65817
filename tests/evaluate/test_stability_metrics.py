"""Stability: literal twins, scikit-image, passes, units, neighbours of the same prediction, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import structural_similarity
from torch import nn

from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from pellucid.api import evidence_of, explain, explain_many
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.verdict import Thresholds
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate.maths import vector
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.answers import Answers
from pellucid.evaluate.shared.shifts import amounts, shift
from pellucid.evaluate.similarity import ssim
from reference import metric_stability as literal

WORLDS = ["classification 2-D + table", "regression 2 pictures", "segmentation 3-D", "classification 3-D"]
RELATIVE = ("relative_input_stability", "relative_output_stability", "relative_representation_stability")


def score(e, place, metric):
    (found,) = e.view(place).scores([as_metric(metric)]).values()
    return found


def rows(action) -> int:
    ROWS["seen"] = 0
    action()
    return ROWS["seen"]


def apart(e, copies) -> list[float]:
    """Distances of copies, every value in units of its picture's range; the columns here have no statistics."""
    found = []
    for copy in copies:
        total = 0.0
        for name, x in e.case.inputs.items():
            unit = float(x.max() - x.min()) if x.ndim > 1 else 1.0
            total += sum(((a - b) / unit) ** 2 for a, b in zip(copy.inputs[name].flatten().tolist(), x.flatten().tolist()))
        found.append(total**0.5)
    return found


# -- twins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", WORLDS)
def test_metrics_of_jitter_equal_their_twins(where):
    e = evidence(where)
    copies = e.jittered_copies()
    assert len(copies) == 3 and max(apart(e, copies)) > 0
    for i in range(len(e.maps)):
        clean = vector(e.maps[i]).numpy()
        others = [vector(a).numpy() for a in e.jittered(i)]
        assert score(e, i, "avg_sensitivity").value == pytest.approx(literal.avg_sensitivity(clean, others))
        assert score(e, i, "max_sensitivity").value >= score(e, i, "avg_sensitivity").value
        want = literal.lipschitz(clean, others, apart(e, copies))
        assert score(e, i, "local_lipschitz").value == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("where", WORLDS)
def test_relative_stabilities_equal_their_twins(where):
    e = evidence(where)
    p, copies = e.engine.predictor, e.jittered_copies()
    head: list[torch.Tensor] = []
    handle = e.engine.module.inner.head.register_forward_pre_hook(lambda _m, given: head.append(given[0].detach()))
    with torch.no_grad():
        outputs = [e.engine.module(*[c.inputs[n][None] for n in p.inputs])[0] for c in (e.case, *copies)]
    handle.remove()
    kept = [p.task == "regression" or p.predicted_class(o) == p.predicted_class(outputs[0]) for o in outputs[1:]]
    assert any(kept)
    for i in range(len(e.maps)):
        clean = vector(e.maps[i]).numpy()
        others = [vector(a).numpy() for a in e.jittered(i)]
        inputs = [
            literal.norm([v for n in p.inputs for v in literal.relative(c.inputs[n].double().numpy(), e.case.inputs[n].double().numpy(), 0.01)])
            for c in copies
        ]
        logits = [literal.norm((o - outputs[0]).flatten().tolist()) for o in outputs[1:]]
        inside = [literal.norm(literal.relative(h.double().numpy(), head[0].double().numpy(), 0.01)) for h in head[1:]]
        for name, changes in zip(RELATIVE, (inputs, logits, inside)):
            want = literal.relative_stability(clean, others, changes, kept, 0.01)
            assert score(e, i, name).value == pytest.approx(want, rel=1e-3), name


@pytest.mark.parametrize("where", WORLDS)
def test_metrics_of_slight_noise_equal_scipy_and_scikit_image(where):
    e = evidence(where)
    for i, a in enumerate(e.maps):
        noisy = e.noisy(i)
        clean = vector(a).numpy()
        want = np.mean([spearmanr(clean, vector(b).numpy()).statistic for b in noisy])
        assert score(e, i, "stability_spearman").value == pytest.approx(want)
        span = clean.max() - clean.min()
        side = min(7, *(min(a.spatial(n).shape) for n in a.images))
        side -= 1 - side % 2
        found = []
        for b in noisy:
            for n in a.images:
                pair = [m.spatial(n).double().numpy() for m in (a, b)]
                found.append(structural_similarity(*pair, data_range=span, win_size=side))
                assert found[-1] == pytest.approx(literal.ssim(*pair, side, span))
        assert score(e, i, "stability_ssim").value == pytest.approx(np.mean(found))


@pytest.mark.parametrize(("where", "axis"), [("classification 2-D + table", -1), ("regression 2 pictures", -2), ("segmentation 3-D", -3)])
def test_continuity_equals_its_twin(where, axis):
    e = evidence(where)
    pictures = [n for n, x in e.case.inputs.items() if x.ndim > 1]
    copies = []
    for k in range(4):
        moved = {}
        for n in pictures:
            x = e.case.inputs[n].numpy()
            by = amounts(x.shape[axis], 0.3, 2)[k]
            moved[n] = torch.from_numpy(literal.shift(x, e.filled[n][0].expand(x.shape).numpy(), by, axis))
        copies.append(e.case.replace(inputs={**e.case.inputs, **moved}))
    for i in range(len(e.maps)):
        made = e.again[i](e.engine, copies, e.bound)
        want = literal.continuity(vector(e.maps[i]).numpy(), [vector(a).numpy() for a in made], apart(e, copies))
        got = score(e, i, {"continuity": {"shift": 0.3, "steps": 2, "axis": axis}}).value
        assert got == pytest.approx(want, rel=1e-4)


def test_a_shift_moves_all_of_it_and_brings_in_the_fill():
    x = torch.arange(24.0).view(1, 4, 6)
    for axis in (-1, -2):
        for by in (-9, -2, 0, 1, 9):
            want = literal.shift(x.numpy(), np.full(x.shape, -7.0, dtype=np.float32), max(-9, by), axis)
            np.testing.assert_array_equal(shift(x, torch.full_like(x, -7.0), by, axis), want)
    assert amounts(100, 0.1, 2) == [-10, -5, 5, 10] and amounts(10, 0.01, 2) == [-1, -1, 1, 1]


# -- what the numbers mean --------------------------------------------------------------------------------------------


def test_a_gradient_of_a_linear_model_never_changes():
    """The map is the weights, whatever the input: perfectly stable, by every metric."""
    predictor, case, _ = linear_world((12, 12))
    e = evidence_of(Engine(predictor), case, [explain(predictor, case, method="saliency", target="lesion")])
    for name in ("max_sensitivity", "avg_sensitivity", "local_lipschitz", "continuity", *RELATIVE):
        assert score(e, 0, name).value == pytest.approx(0, abs=1e-5), name
    for name in ("stability_pearson", "stability_spearman", "stability_ssim", "repeatability"):
        assert score(e, 0, name).value == pytest.approx(1, abs=1e-5), name


def test_lipschitz_of_a_map_that_is_the_input_has_a_closed_form():
    """``A = w ∘ x`` with w the same everywhere: ‖A − A'‖ / ‖A‖ / ‖x − x'‖ = 1 / ‖x‖, in units of the range."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    nn.init.ones_(net[1].weight)
    p = Predictor(net.eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="c", inputs={"x": 50 + 300 * torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))})
    e = evidence_of(Engine(p), case, [explain(p, case, method="input_x_gradient", target=0)])
    x = case.inputs["x"]
    want = float((x.max() - x.min()) / x.norm())
    assert score(e, 0, "local_lipschitz").value == pytest.approx(want, rel=1e-4)
    # Relative changes of map and input are the same thing here.
    assert score(e, 0, {"relative_input_stability": {"floor": 1e-6}}).value == pytest.approx(1, rel=1e-3)


def test_units_of_the_picture_do_not_matter():
    """Hounsfield units or [0, 1]: the same model, the same map, the same numbers."""
    w = world("classification 2-D")
    scaled = Predictor(
        w.predictor.module, inputs=["im0"], task="classification", classes=["a", "b", "c"], normalise={"im0": (0.0, 1000.0)}
    )
    big = Case(id="w1", inputs={"im0": 1000 * w.case.inputs["im0"]})
    for name in ("local_lipschitz", "continuity", "relative_input_stability"):
        found = []
        for p, case in ((w.predictor, w.case), (scaled, big)):
            e = evidence_of(Engine(p), case, [explain(p, case, method="input_x_gradient", target=0)])
            found.append(score(e, 0, name).value)
        assert found[0] == pytest.approx(found[1], rel=1e-3), name


def test_repeatability_is_one_without_chance_and_r_with_it():
    w = world("classification 2-D")
    methods = ["saliency", {"smoothgrad": {"samples": 4}}, {"smoothgrad": {"samples": 64}}, "random"]
    maps = [explain_many(w.predictor, [w.case], methods=[m], seed=5)[0] for m in methods]
    e = evidence_of(Engine(w.predictor), w.case, maps)
    plain, few, many, chance = (score(e, i, "repeatability").value for i in range(4))
    assert plain == 1  # to the last bit
    assert few < many < 1 and abs(chance) < 0.3
    runs = [explain(w.predictor, w.case, method="smoothgrad", samples=4, seed=s) for s in (6, 7)]
    want = np.mean([pearsonr(vector(maps[1]).numpy(), vector(a).numpy()).statistic for a in runs])
    assert few == pytest.approx(want, rel=1e-4)


def test_only_neighbours_of_the_same_prediction_count(monkeypatch):
    e = evidence.__wrapped__("classification 2-D", ("saliency",))
    real = e.answers()
    others = [vector(a) for a in e.jittered(0)]

    def with_classes(*classes):
        made = Answers(real.outputs, classes)
        monkeypatch.setattr(e, "answers", lambda *_: made)
        return score(e, 0, "relative_output_stability")

    clean = vector(e.maps[0]).numpy()
    changes = (real.outputs[1:] - real.outputs[0]).norm(dim=1).tolist()
    every = [literal.relative_stability(clean, [o.numpy()], [c], [True], 0.01) for o, c in zip(others, changes)]
    worst = max(range(3), key=lambda i: every[i])
    classes = [0, 0, 0]
    classes[worst] = 1
    assert with_classes(0, 0, 0, 0).value == pytest.approx(max(every), rel=1e-4)
    assert with_classes(0, *classes).value == pytest.approx(sorted(every)[1], rel=1e-4)
    nothing = with_classes(0, 1, 2, 1)
    assert math.isnan(nothing.value) and "all 3 noisy copies" in nothing.reason


# -- passes -----------------------------------------------------------------------------------------------------------


def test_metrics_share_copies_maps_and_answers():
    methods = ("saliency", "input_x_gradient")
    e = evidence.__wrapped__("classification 2-D + table", methods)

    def ask(*names):
        return rows(lambda: [e.view(i).scores([as_metric(n) for n in names]) for i in range(len(methods))])

    assert ask("max_sensitivity", "avg_sensitivity", "local_lipschitz") == 2 * 3
    assert ask("relative_input_stability") == 4  # what the model says of the case and of three copies, for both maps
    assert ask("relative_output_stability") == 0
    assert ask("relative_representation_stability") == 4
    assert ask("stability_pearson", "stability_spearman", "stability_ssim") == 2 * 2
    assert ask("continuity") == 2 * 4
    assert ask("repeatability") == 2 * 2
    assert ask(*RELATIVE, "continuity", "repeatability", "stability_ssim", "avg_sensitivity") == 0


def test_options_equal_to_the_shared_ones_share_and_others_do_not():
    e = evidence.__wrapped__("classification 2-D", ("saliency",))
    e.limits = Thresholds(noise=0.02, draws=3)
    assert rows(lambda: score(e, 0, "stability_pearson")) == 3
    assert rows(lambda: score(e, 0, {"stability_spearman": {"noise": 0.02, "draws": 3}})) == 0
    assert rows(lambda: score(e, 0, {"stability_spearman": {"draws": 5}})) == 5
    assert rows(lambda: score(e, 0, "max_sensitivity")) == 3
    assert rows(lambda: score(e, 0, {"avg_sensitivity": {"noise": 0.1, "draws": 3}})) == 0
    assert rows(lambda: score(e, 0, {"avg_sensitivity": {"noise": 0.2}})) == 3
    # The same draws in another size: hardly any noise, hardly any change.
    far, near = (score(e, 0, {"avg_sensitivity": {"noise": n}}).value for n in (0.1, 1e-6))
    assert far > 2 * near > 0


# -- representations --------------------------------------------------------------------------------------------------


def test_the_representation_is_the_input_of_the_head_or_a_named_layer():
    e = evidence("classification 2-D + table")
    net = e.engine.module.inner
    with torch.no_grad():
        seen = torch.tanh(net.convs[0](e.case.inputs["im0"][None])).flatten(2)
        table = torch.tanh(net.table(e.case.inputs["tab"][None]))
        joint = torch.cat([seen.amax(2) + seen.mean(2), table], 1)
        conv = net.convs[0](e.case.inputs["im0"][None])
    torch.testing.assert_close(e.representations(None)[:1].float(), joint)
    torch.testing.assert_close(e.representations("inner.convs.0")[:1].float(), conv.flatten(1))
    with pytest.raises(UsageError, match=r"did you mean 'inner\.convs\.0'"):
        score(e, 0, {"relative_representation_stability": {"layer": "inner.conv.0"}})


def test_a_model_without_a_layer_has_a_reason():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))

        def forward(self, x):
            return torch.tanh(x.flatten(1) @ self.w)

    p = Predictor(Bare().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    _, case, _ = linear_world()
    e = evidence_of(Engine(p), case, [explain(p, case, method="saliency")])
    found = score(e, 0, "relative_representation_stability")
    assert math.isnan(found.value) and "no linear or convolutional module" in found.reason
    assert math.isfinite(score(e, 0, "relative_output_stability").value)


# -- bad input --------------------------------------------------------------------------------------------------------


def test_tables_only_and_tiny_pictures_have_reasons():
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    p = Predictor(net, inputs=["t"], task="classification", classes=["a", "b"])
    case = Case(id="t", inputs={"t": torch.tensor([0.3, -1.0, 0.0, 2.0, 1.0])})
    e = evidence_of(Engine(p), case, [explain(p, case, method="saliency")])
    assert "nothing to shift" in score(e, 0, "continuity").reason
    assert "no map of an image" in score(e, 0, "stability_ssim").reason
    for name in ("avg_sensitivity", "local_lipschitz", "stability_spearman", *RELATIVE):
        assert math.isfinite(score(e, 0, name).value), name
    with pytest.raises(Exception, match="too small"):
        ssim(np.ones((2, 9)), np.ones((2, 9)), 1.0)
    assert "none is axis -3" in score(evidence("classification 2-D"), 0, {"continuity": {"axis": -3}}).reason


def test_a_constant_picture_has_no_noise_in_proportion_to_its_range():
    w = world("classification 2-D")
    flat = w.case.replace(inputs={"im0": torch.full((1, 10, 12), 3.0)})
    e = evidence_of(Engine(w.predictor), flat, [explain(w.predictor, flat, method="saliency")])
    for name in ("local_lipschitz", "avg_sensitivity", "stability_spearman", *RELATIVE):
        assert "every picture is constant" in score(e, 0, name).reason, name
    assert "however it is shifted" in score(e, 0, "continuity").reason


def test_maps_of_another_method_cannot_be_made_again():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="saliency").replace(method="drawn_by_hand")
    e = evidence_of(Engine(w.predictor), w.case, [a])
    for name in ("repeatability", "continuity", "stability_ssim", "relative_input_stability"):
        found = score(e, 0, name)
        assert math.isnan(found.value) and "drawn_by_hand" in found.reason, name


@pytest.mark.parametrize(
    ("metric", "word"),
    [
        ({"stability_ssim": {"noise": 0.0}}, "positive share"), ({"avg_sensitivity": {"draws": 0}}, "1 or more"),
        ({"relative_input_stability": {"floor": 0.0}}, "above 0"), ({"continuity": {"shift": 1.5}}, "share of the side"),
        ({"continuity": {"steps": 0}}, "each way"), ({"continuity": {"axis": 1}}, "last spatial axis"),
        ({"repeatability": {"runs": 0}}, "1 or more"),
    ],
)  # fmt: skip
def test_options_are_checked(metric, word):
    with pytest.raises(UsageError, match=word):
        as_metric(metric)


def test_a_made_map_that_is_zero_or_nan_has_no_stability():
    predictor, case, exact = linear_world()
    for value, word in ((0.0, "zero|same everywhere"), (math.nan, "NaN")):
        a = attribution(case, {"x": torch.full((1, 8, 8), value)}, index=1)
        e = of(predictor, case, [a], [lambda engine, cases, bound, **more: [exact] * len(cases)])
        for name in ("avg_sensitivity", "local_lipschitz", "continuity", "repeatability", "stability_ssim", *RELATIVE):
            found = score(e, 0, name)
            assert math.isnan(found.value), name
            assert any(w in found.reason for w in word.split("|")), (name, found.reason)
