"""Sanity: which layers in which order, how many explanations, and the numbers against literal twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, Counted, attribution, evidence, linear_world, of, world
from pellucid.api import evaluate, evidence_of, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.sanity.random_logit import others
from pellucid.evaluate.shared.cascade import thinned
from pellucid.evaluate.shared.randomise import drawn, randomise, randomised, run_order, scratch
from pellucid.evaluate.similarity import alike, ssim
from reference import metric_sanity as literal

METHODS = ("saliency", "input_x_gradient", "edge")


def one(e, place, name, **options):
    (found,) = e.view(place).scores([as_metric({name: options})]).values()
    return found


def rows(action) -> int:
    ROWS["seen"] = 0
    action()
    return ROWS["seen"]


class Backwards(nn.Module):
    """Registered in another order than it runs; one weight is taken without a call, one is shared, one is idle."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.idle = nn.Linear(4, 4)
        self.middle = nn.Linear(4, 4)
        self.twin = nn.Linear(4, 4)
        self.twin.weight = self.middle.weight
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x):
        x = torch.tanh(self.first(x)).amax((2, 3)) + self.shift
        x = torch.nn.functional.linear(x, self.middle.weight)
        return self.head(torch.tanh(self.twin(x)))


def backwards():
    torch.manual_seed(4)
    p = Predictor(Counted(Backwards()).eval(), inputs=["x"], task="classification", classes=["a", "b", "c"])
    return p, Case(id="b", inputs={"x": torch.randn(1, 10, 9)})


# -- models -----------------------------------------------------------------------------------------------------------


def test_layers_come_in_the_order_in_which_the_model_uses_them():
    p, case = backwards()
    engine = Engine(p)
    found = run_order(engine, case)
    assert [layer.name for layer in found] == ["inner.first", "inner.shift", "inner.middle", "inner.twin", "inner.head"]
    # The shared weight belongs to the layer that uses it first; the idle layer is none.
    assert [layer.parameters for layer in found][2:4] == [("inner.middle.weight",), ("inner.twin.bias",)]
    assert rows(lambda: run_order(engine, case)) == 0


def test_layers_under_a_parametrisation_and_inside_attention_are_found():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
            self.embed = nn.utils.parametrizations.weight_norm(nn.Linear(1, 4))

        def forward(self, x):
            x = self.embed(x.flatten(1)[..., None])
            return self.attend(x, x, x)[0].mean(1)

    p = Predictor(Net().eval(), inputs=["x"], task="classification", classes=list("abcd"))
    found = run_order(Engine(p), Case(id="1", inputs={"x": torch.randn(1, 3, 3)}))
    assert [layer.name for layer in found] == ["embed", "attend", "attend.out_proj"]
    assert len(found[0].parameters) == 3


@pytest.mark.parametrize(
    ("count", "most", "want"),
    [(5, None, [0, 1, 2, 3, 4]), (3, 10, [0, 1, 2]), (41, 5, [0, 10, 20, 30, 40]), (6, 2, [0, 5]), (6, 1, [5]), (1, 1, [0])],
)
def test_thinning_keeps_the_first_and_the_last(count, most, want):
    assert thinned(count, most) == want
    for n in range(2, 30):
        for m in range(2, n):
            places = thinned(n, m)
            gaps = np.diff(places)
            assert len(places) == m and places[0] == 0 and places[-1] == n - 1 and gaps.max() - gaps.min() <= 1


def test_random_weights_of_shared_embedded_and_complex_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(6, 4, padding_idx=2)
            self.out = nn.Linear(4, 6, bias=False)
            self.out.weight = self.words.weight
            self.phase = nn.Parameter(torch.randn(5, 3, dtype=torch.cfloat))
            self.register_buffer("kept", torch.randn(3))

        def forward(self, x):
            return self.out(x)

    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    other = randomise(Predictor(net, inputs=["x"], task="regression"), 0).module
    assert other.out.weight is other.words.weight
    assert torch.equal(other.words.weight[2], before["words.weight"][2]) and not before["words.weight"][2].any()
    assert not torch.equal(other.words.weight[1], before["words.weight"][1])
    assert torch.equal(other.kept, before["kept"])
    assert other.phase.is_complex() and not torch.isclose(other.phase, before["phase"]).any()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_scratch_model_has_random_weights_where_it_should_and_learned_ones_elsewhere():
    p, case = backwards()
    engine = Engine(p)
    new = drawn(p.module, 0)
    for names in (("inner.head.weight",), ("inner.middle.weight", "inner.first.bias"), ()):
        module = scratch(engine).with_random(names, 0).module
        for name, value in module.named_parameters():
            assert torch.equal(value, new[name] if name in names else p.module.get_parameter(name)), name
    assert not torch.equal(scratch(engine).with_random(("inner.head.weight",), 1).module.inner.head.weight, new["inner.head.weight"])
    assert torch.equal(engine.module.inner.head.weight, p.module.inner.head.weight)
    every = scratch(engine).with_random(tuple(new), 0).outputs([case])[0]
    assert torch.allclose(every, randomised(engine, 0).outputs([case])[0])


# -- layer by layer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
@pytest.mark.parametrize("similarity", ["spearman", "pearson", "ssim"])
def test_mprt_equals_its_literal_twin(order, similarity):
    p, case = backwards()
    a = explain(p, case, method="saliency")
    e = evidence_of(Engine(p), case, [a])
    found = one(e, 0, "mprt", order=order, similarity=similarity)
    k, x, module = a.target["index"], case.inputs["x"], p.module
    layers = [
        ["inner.first.weight", "inner.first.bias"], ["inner.shift"], ["inner.middle.weight"], ["inner.twin.bias"],
        ["inner.head.weight", "inner.head.bias"],
    ]  # fmt: skip
    layers = layers[::-1] if order == "top_down" else layers
    clean = literal.magnitude_gradient(module, x, k)
    want = []
    for n in range(len(layers)):
        chosen = layers[n] if order == "independent" else [p for layer in layers[: n + 1] for p in layer]
        made = literal.magnitude_gradient(literal.with_values(module, drawn(module, 0), chosen), x, k)
        if similarity == "ssim":
            want.append(literal.ssim(clean / clean.max(), made / made.max(), 7, 1.0))
        else:
            want.append((literal.rho if similarity == "spearman" else literal.r)(clean, made))
    assert [v for _, _, v in found.parts] == pytest.approx(want, abs=1e-4)
    assert found.value == pytest.approx(np.mean(want), abs=1e-4)
    assert [at for _, at, _ in found.parts] == [1, 2, 3, 4, 5]
    assert found.parts[0][0] == ("inner.head" if order == "top_down" else "inner.first")
    assert one(e, 0, "mprt", order=order, similarity=similarity, over="last").value == pytest.approx(want[-1], abs=1e-4)


@pytest.mark.parametrize("order", ["top_down", "bottom_up"])
def test_a_cascade_ends_in_parameter_randomisation(order):
    e = evidence("classification 3-D", METHODS)
    for place in range(3):
        last = one(e, place, "mprt", order=order, over="last")
        assert last.value == pytest.approx(one(e, place, "parameter_randomisation").value, abs=1e-6)
    assert one(e, 2, "mprt", order=order).value == pytest.approx(1.0)  # edges do not depend on the model


def test_mprt_costs_one_explanation_of_each_map_for_each_layer():
    """The trap of Quantus' MPRT, 22 s for 8 maps: no more explanations than layers, no model drawn twice."""
    p, case = backwards()
    engine = Engine(p)
    made = []
    like, engine.like = engine.like, lambda other: made.append(other) or like(other)
    again = case.replace(id="c", inputs={"x": torch.randn(1, 10, 9)})
    for n, c in enumerate((case, again)):
        maps = [explain(p, c, method=m) for m in ("saliency", "input_x_gradient")]
        e = evidence_of(engine, c, maps)
        # 2 maps × 5 layers, one forward each; the order of the layers is found by one more, once for all cases.
        assert rows(lambda e=e: one(e, 0, "mprt")) == 2 * 5 + (n == 0)
        assert rows(lambda e=e: one(e, 1, "mprt")) == 0
        assert rows(lambda e=e: one(e, 0, "mprt", over="last")) == 0
        assert rows(lambda e=e: one(e, 0, "parameter_randomisation")) == 0
        assert rows(lambda e=e: one(e, 0, "efficient_mprt")) == 0
        assert rows(lambda e=e: one(e, 0, "mprt", order="bottom_up", layers=2)) == 2 * 1
        assert rows(lambda e=e: one(e, 0, "smooth_mprt", samples=3, layers=2)) == 2 * 3 * (1 + 2)
    assert len(made) == 2  # one copy for every partly random model, one for the wholly random one


def test_thinned_layers_are_points_of_the_whole_curve():
    p, case = backwards()
    e = evidence_of(Engine(p), case, [explain(p, case, method="saliency")])
    whole = {at: (name, v) for name, at, v in one(e, 0, "mprt", layers=None).parts}
    few = one(e, 0, "mprt", layers=3).parts
    assert [at for _, at, _ in few] == [1, 3, 5]
    assert all(whole[at] == (name, pytest.approx(v)) for name, at, v in few)


def test_a_layer_whose_map_is_empty_is_left_out_and_shown():
    p, case = backwards()
    good = explain(p, case, method="saliency")
    zero = good.replace(maps={"x": torch.zeros(1, 10, 9)})
    calls = []

    def again(engine, cases, bound, **more):
        calls.append(1)
        return [zero if len(calls) == 2 else good]

    s = one(of(p, case, [good], [again]), 0, "mprt")
    assert s.value == pytest.approx(1.0) and s.reason == ""
    assert [math.isnan(v) for _, _, v in s.parts] == [False, True, False, False, False]
    s = one(of(p, case, [good], [lambda *_, **more: [zero]]), 0, "mprt")
    assert math.isnan(s.value) and "after inner.first" in s.reason and "zero" in s.reason
    never = one(of(p, case, [zero]), 0, "mprt")  # a map of nothing is not made again
    assert math.isnan(never.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [("mprt", {"order": "topdown"}), ("mprt", {"layers": 0}), ("mprt", {"over": "first"}), ("mprt", {"similarity": "rho"}),
     ("smooth_mprt", {"samples": 0}), ("smooth_mprt", {"noise": 0.0}), ("efficient_mprt", {"bins": 1}),
     ("random_logit", {"other": "none"}), ("random_logit", {"of": "signs"}), ("parameter_randomisation", {"draws": 0}),
     ("label_randomisation", {"similarity": "ssmi"})],
)  # fmt: skip
def test_wrong_options_are_refused(name, options):
    with pytest.raises(UsageError):
        as_metric({name: options})


# -- the variants -----------------------------------------------------------------------------------------------------


def test_smooth_mprt_equals_its_literal_twin():
    p, case = backwards()
    a = explain(p, case, method="saliency")
    e = evidence_of(Engine(p), case, [a])
    found = one(e, 0, "smooth_mprt", samples=4, noise=0.2, layers=1)
    copies = [c.inputs["x"] for c in e.copies_of("normal", 0.2, 4, "smooth")]
    spread = torch.stack(copies).sub(case.inputs["x"]).std() / (case.inputs["x"].max() - case.inputs["x"].min())
    assert float(spread) == pytest.approx(0.2, rel=0.2)
    k, module = a.target["index"], p.module
    other = literal.with_values(module, drawn(module, 0), [n for n, _ in module.named_parameters()])
    clean = np.mean([literal.magnitude_gradient(module, x, k) for x in copies], axis=0)
    made = np.mean([literal.magnitude_gradient(other, x, k) for x in copies], axis=0)
    assert found.value == pytest.approx(literal.rho(clean, made), abs=1e-4)


@pytest.mark.parametrize("shape", [(12, 12), (7, 6, 8)])
def test_smooth_mprt_tells_a_map_of_the_model_from_one_of_the_picture(shape):
    predictor, case, _ = linear_world(shape)
    maps = [explain(predictor, case, method=m, target=1) for m in ("input_x_gradient", "edge")]
    e = evidence_of(Engine(predictor), case, maps)
    model, picture = (one(e, i, "smooth_mprt", samples=4).value for i in (0, 1))
    assert model < 0.6 < 0.99 < picture


@pytest.mark.parametrize("where", ["classification 2-D", "regression 3-D"])
def test_efficient_mprt_equals_its_literal_twin(where):
    e = evidence(where)
    found = one(e, 1, "efficient_mprt", bins=23)
    before = literal.entropy_of_histogram(e.view(1).vector.numpy(), 23)
    after = literal.entropy_of_histogram(torch.cat([m.flatten() for m in e.randomised(1).maps.values()]).double().numpy(), 23)
    assert found.value == pytest.approx((after - before) / before, abs=1e-6)
    assert [v for _, _, v in found.parts] == pytest.approx([before, after])


def test_several_draws_are_a_mean_and_begin_with_the_one_of_the_verdict():
    p, case = backwards()
    a = explain(p, case, method="saliency")
    e = evidence_of(Engine(p), case, [a])
    found = one(e, 0, "parameter_randomisation", draws=3)
    values = [v for _, _, v in found.parts]
    assert values[0] == pytest.approx(one(e, 0, "parameter_randomisation").value)
    assert found.value == pytest.approx(np.mean(values)) and len(set(values)) == 3
    module, k = p.module, a.target["index"]
    other = literal.with_values(module, drawn(module, 1_000_003), [n for n, _ in module.named_parameters()])
    want = literal.rho(literal.magnitude_gradient(module, case.inputs["x"], k), literal.magnitude_gradient(other, case.inputs["x"], k))
    assert values[1] == pytest.approx(want, abs=1e-4)


# -- another class ----------------------------------------------------------------------------------------------------


def test_random_logit_equals_its_literal_twin():
    p, case = backwards()
    maps = [explain(p, case, method=m) for m in ("input_x_gradient", "saliency", "edge")]
    e = evidence_of(Engine(p), case, maps)
    k, x = maps[0].target["index"], case.inputs["x"]
    clean = literal.gradient(p.module, x, k) * x[0].numpy()
    by_class = {j: literal.rho(clean, literal.gradient(p.module, x, j) * x[0].numpy(), signed=True) for j in range(3) if j != k}
    (other, *_) = others(e, 0)
    assert other != k and others(e, 0) == others(e, 1)  # one class for all methods of a case
    assert one(e, 0, "random_logit").value == pytest.approx(by_class[other], abs=1e-4)
    every = one(e, 0, "random_logit", other="all")
    assert every.value == pytest.approx(np.mean(list(by_class.values())), abs=1e-4)
    assert {int(at): v for _, at, v in every.parts} == pytest.approx(by_class, abs=1e-4)
    assert one(e, 2, "random_logit").value == pytest.approx(1.0)  # edges are of no class
    chosen = {others(evidence_of(Engine(p), case, maps, seed=s), 0)[0] for s in range(12)}
    assert len(chosen) == 2


def test_of_two_classes_the_sign_tells_and_magnitudes_do_not():
    predictor, case, _ = linear_world()
    with torch.no_grad():
        predictor.module.inner[1].weight[0] = -predictor.module.inner[1].weight[1]
    a = explain(predictor, case, method="input_x_gradient", target=1)
    e = evidence_of(Engine(predictor), case, [a])
    assert one(e, 0, "random_logit").value == pytest.approx(-1.0)
    assert one(e, 0, "random_logit", of="magnitudes").value == pytest.approx(1.0)


def test_random_logit_keeps_the_region_of_a_segmentation():
    e = evidence("segmentation 2 pictures", METHODS)
    assert math.isfinite(one(e, 0, "random_logit").value)
    k = others(e, 0)[0]
    made = e.remade(("logit", k), 0, e.engine, [e.case])[0]
    with torch.no_grad():
        out = e.engine.module(*[e.case.inputs[n][None] for n in e.engine.predictor.inputs])[0]
    assert made.target["index"] == k != e.target(0).index
    assert made.score == pytest.approx(float((out[k] * e.target(0).weight).sum()), rel=1e-3)


def test_without_another_class_random_logit_is_undefined():
    assert "regression" in one(evidence("regression 3-D"), 0, "random_logit").reason
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).eval()
    _, case, _ = linear_world()
    a = attribution(case, {"x": torch.rand(1, 8, 8)})
    single = Predictor(net, inputs=["x"], task="classification", classes=["lesion"])
    assert "one class only" in one(of(single, case, [a]), 0, "random_logit").reason


# -- shuffled labels --------------------------------------------------------------------------------------------------


def test_label_randomisation_compares_with_the_model_that_is_given():
    p, case = backwards()
    maps = [explain(p, case, method=m) for m in ("saliency", "edge")]
    nothing = one(evidence_of(Engine(p), case, maps), 0, "label_randomisation")
    assert math.isnan(nothing.value) and "shuffled=predictor" in nothing.reason and "shuffled_labels: true" in nothing.reason
    torch.manual_seed(9)
    other = Predictor(Backwards().eval(), inputs=["x"], task="classification", classes=["a", "b", "c"])
    found = evaluate(p, case, maps, metrics=["label_randomisation"], shuffled=other)
    k, x = maps[0].target["index"], case.inputs["x"]
    want = literal.rho(literal.magnitude_gradient(p.module, x, k), literal.magnitude_gradient(other.module, x, k))
    assert found[0]["label_randomisation"] == pytest.approx(want, abs=1e-4)
    assert found[0]["label_randomisation"] < 0.9 < found[1]["label_randomisation"] == pytest.approx(1.0)


@pytest.mark.parametrize("what", ["inputs", "task", "classes"])
def test_a_shuffled_model_of_another_kind_is_refused(what):
    p, case = backwards()
    change = {"inputs": {"inputs": ["y"]}, "task": {"task": "segmentation"}, "classes": {"classes": ["a", "b"]}}[what]
    other = Predictor(Backwards().eval(), **{"inputs": ["x"], "task": "classification", "classes": ["a", "b", "c"], **change})
    with pytest.raises(UsageError, match=f"shuffled: its {what}"):
        evaluate(p, case, explain(p, case, method="saliency"), metrics=["gini"], shuffled=other)


# -- how alike --------------------------------------------------------------------------------------------------------


def test_ssim_equals_its_literal_twin_in_two_and_three_dimensions():
    rng = np.random.default_rng(0)
    for shape, side in (((9, 11), 7), ((8, 4, 9), 3), ((6, 6, 7), 5)):
        a, b = rng.random((2, *shape))
        assert ssim(a, b, 1.0) == pytest.approx(literal.ssim(a, b, side, 1.0), abs=1e-6)
        assert ssim(a, a, 1.0) == pytest.approx(1)


def test_similarities_of_equal_scaled_and_hopeless_maps():
    w = world("regression 2 pictures")
    rng = torch.Generator().manual_seed(0)
    maps = {n: torch.randn(1, 9, 9, generator=rng) for n in ("im0", "im1")}
    a = attribution(w.case, maps, kind="score")
    b = attribution(w.case, {k: 31.0 * v for k, v in maps.items()}, kind="score")
    minus = attribution(w.case, {k: -v for k, v in maps.items()}, kind="score")
    nothing = attribution(w.case, {k: 0 * v for k, v in maps.items()}, kind="score")
    table = attribution(w.case, {"tab": torch.randn(5)}, kind="score")
    for kind in ("spearman", "pearson", "ssim"):
        assert alike(a, b, kind) == pytest.approx(1)
        assert alike(a, minus, kind) == pytest.approx(1)
        assert alike(a, minus, kind, "values") < (0.5 if kind == "ssim" else -0.99)
        with pytest.raises(Exception, match="zero everywhere"):
            alike(a, nothing, kind)
    assert alike(table, table, "spearman") == pytest.approx(1)
    with pytest.raises(Exception, match="map of an image"):
        alike(table, table, "ssim")
