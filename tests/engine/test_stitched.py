"""Volumes in windows: outputs are MONAI's, gradients those of the stitched prediction."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import Objective, RegionScore
from pellucid.core.windows import windows
from pellucid.engine import Engine, Problem
from pellucid.engine.seeds import BoundSeeds
from pellucid.engine.windows import Plan
from pellucid.errors import InputError, ModelError, UsageError
from reference import stitching
from windowed import case, network, predictor

SHAPES = {2: [(15, 9), (4, 13)], 3: [(9, 7, 8), (4, 9, 6)]}
CHOICES = [
    (axes, shape, blend, padding, overlap)
    for axes in (2, 3)
    for shape, blend, padding, overlap in itertools.product(
        SHAPES[axes], ("gaussian", "constant"), ("constant", "reflect", "replicate"), (0.0, 0.25, 0.6)
    )
]
TARGETS = [
    RegionScore(1), RegionScore(1, reduce="mean"), RegionScore(2, reduce="probability_weighted"),
    RegionScore(0, region="image", on="probability"), RegionScore(1, on="probability", reduce="mean"),
    RegionScore(2, refresh=True, reduce="mean"),
]  # fmt: skip


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-12))


@pytest.mark.parametrize(("axes", "shape", "blend", "padding", "overlap"), CHOICES)
def test_outputs_and_gradients_are_those_of_the_whole_stitching(axes, shape, blend, padding, overlap) -> None:
    p = predictor(axes, blend=blend, padding=padding, overlap=overlap, value=0.3)
    c = case(*shape)
    whole = stitching.stitched(p.module, c.inputs["x"][None], p.windows)
    torch.testing.assert_close(Engine(p).predict([c]), whole, rtol=1e-5, atol=1e-6)
    # all kinds of targets where it is cheap, all again for every blend
    targets = TARGETS if axes == 2 else TARGETS[:1] + TARGETS[3:4]
    scores, grads = stitching.gradients(p, c, targets)
    for chosen in ([t for t in targets if t.on == "logit" and not t.refresh], targets):  # linear alone, and all
        found = Problem(Engine(p), [c], chosen).gradient
        places = [targets.index(t) for t in chosen]
        torch.testing.assert_close(found.scores[0], scores[places], rtol=1e-5, atol=1e-5)
        for t, place in enumerate(places):
            assert relative(found.sums["x"][0, t], grads[place]) < 1e-5


def test_the_plan_is_monais() -> None:
    """Σ w of a constant blend counts the windows over each voxel, by MONAI's own places."""
    from monai.inferers import sliding_window_inference

    seen = torch.zeros(1, 1, 9, 7, 8)

    def note(x, where):
        for w in where:
            seen[(0, 0, *w[2:])] += 1
        return x

    sliding_window_inference(torch.zeros(1, 1, 9, 7, 8), (6, 6, 6), 1, note, overlap=0.6, with_coord=True)
    plan = Plan.of(
        windows((6, 6, 6), overlap=0.6, blend="constant"), (9, 7, 8), device=torch.device("cpu"), dtype=torch.float32
    )
    assert torch.equal(plan.total, seen[0, 0])
    assert plan.count == int(seen.sum()) // 6**3 and len(plan.rows) == 3


class Two(nn.Module):
    """Two pictures, and a table that shifts the logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1), nn.Linear(4, 3)

    def forward(self, t1, t2, table):
        return torch.tanh(self.a(t1)) * self.b(t2) + torch.tanh(self.c(table))[:, :, None, None] * self.a(t1)


def test_two_pictures_are_cut_alike_and_a_table_goes_with_every_window() -> None:
    torch.manual_seed(0)
    module, options = Two().eval(), windows((6, 6), overlap=0.4)
    p = Predictor(module, inputs=["t1", "t2", "table"], task="segmentation", classes=["a", "b", "c"], windows=options)
    c = Case(id="1", inputs={"t1": torch.randn(1, 11, 8), "t2": torch.randn(2, 11, 8), "table": torch.randn(4)})
    leaves = {k: v[None].clone().requires_grad_() for k, v in c.inputs.items()}
    pictures = torch.cat([leaves["t1"], leaves["t2"]], 1)
    whole = stitching.stitched(
        lambda x: module(x[:, :1], x[:, 1:], leaves["table"].expand(len(x), -1)), pictures, options
    )
    objective, owner = Objective(p, [c], [RegionScore(1), RegionScore(2, on="probability")]), torch.zeros(1).long()
    objective.bind(whole, owner)
    scores = objective(whole, owner)[0]
    found = Problem(Engine(p), [c], objective.targets).gradient
    torch.testing.assert_close(found.scores[0], scores.detach(), rtol=1e-5, atol=1e-5)
    for t in range(2):
        wanted = dict(zip(leaves, torch.autograd.grad(scores[t], list(leaves.values()), retain_graph=True)))
        for name in leaves:
            assert relative(found.sums[name][0, t], wanted[name][0]) < 1e-5


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_a_batch_of_cases_is_its_cases_one_by_one(chunk: int) -> None:
    p = predictor(2, overlap=0.5)
    p.module[3].bias.data[1] += 0.1
    cases = [case(9, 8, seed=s) for s in (2, 3, 5)]
    targets = [RegionScore(), RegionScore(0)]
    together = Problem(Engine(p, chunk=chunk), cases, targets)
    bound = [b[0].index for b in (together.gradient, together.objective.bound)[1]]
    assert len(set(bound)) > 1  # "predicted" is another class for another case
    for b, c in enumerate(cases):
        _, grads = stitching.gradients(p, c, targets)
        assert relative(together.gradient.sums["x"][b], grads) < 1e-5


def test_passes_are_two_per_window_and_one_vjp_for_each_class_present() -> None:
    p, c = predictor(2, 4, overlap=0.25), case(17, 11)
    targets = [RegionScore(k) for k in range(4)]
    engine = Engine(p)
    with engine.measure() as meter:
        problem = Problem(engine, [c], targets)
        _ = problem.gradient
    plan = engine.plan((("x", (1, 17, 11)),))
    every = [w for r in plan.rows for w in r.windows]
    labels = engine.predict([c]).argmax(1)[0]
    present = [len(labels[w.volume].unique()) for w in every]
    assert meter.of(0).forwards == 2 * len(every) == 2 * plan.count
    assert meter.of(0).backwards == sum(present)

    small = torch.zeros(17, 11, dtype=torch.bool)
    small[:2, :2] = True  # in one window alone: the others are not run again
    one = c.replace(regions={"corner": small})
    engine = Engine(p)
    with engine.measure() as meter:
        _ = Problem(engine, [one], [RegionScore(1, region="corner")]).gradient
    assert (meter.total.forwards, meter.total.backwards) == (plan.count + 1, 1)


def test_weights_squares_and_transforms_act_on_whole_items() -> None:
    p, c = predictor(2), case(9, 8)
    problem = Problem(Engine(p), [c], [RegionScore(1), RegionScore(2)])
    owner, copy = problem.copies(3)
    noisy = problem.noisy(0.2, "test")

    def at(index):
        return noisy(owner[index], copy[index])

    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    literal = [stitching.gradients(p, c, problem.targets, at=at(torch.tensor([i]))["x"])[1] for i in range(3)]
    found = problem.engine.gradients(
        problem.stream(owner, at), problem.objective, weights=weights, square=True,
        transform=lambda index, g: {k: v * (1 + index.view(-1, 1, 1, 1, 1)) for k, v in g.items()},
    )  # fmt: skip
    scaled = [g * (i + 1) for i, g in enumerate(literal)]
    wanted = sum(w * g.double() for w, g in zip(weights, scaled))
    squared = sum(w * g.double() ** 2 for w, g in zip(weights, scaled))
    assert relative(found.sums["x"][0], wanted) < 1e-5 and relative(found.squares["x"][0], squared) < 1e-5
    plainly = problem.engine.gradients(problem.stream(owner, at), problem.objective, weights=weights)
    assert relative(plainly.sums["x"][0], sum(w * g for w, g in zip(weights, literal))) < 1e-5


def test_a_label_map_is_the_arg_max_of_the_stitched_logits() -> None:
    for shape in ((15, 9), (4, 13)):
        p, c = predictor(2, overlap=0.6), case(*shape)
        engine = Engine(p)
        found = engine.label_map(engine.stack([c]))
        assert found.dtype == torch.int16 and torch.equal(found.long(), engine.predict([c]).argmax(1)[0])
    one = predictor(2, 1)
    engine = Engine(one)
    found = engine.label_map(engine.stack([c]))
    assert torch.equal(found.bool(), engine.predict([c])[0, 0] > 0) and 0 < int(found.sum()) < found.numel()


class Noise:
    """Copies with noise, made plane by plane."""

    count = 3

    def __init__(self, problem: Problem, share: float) -> None:
        self.problem, self.share = problem, share

    def make(self, start, stop, copy):
        from pellucid.engine.chance import draw_planes

        x = self.problem.inputs["x"]
        drawn = draw_planes(
            "normal", tuple(x.shape[1:]), seed=self.problem.seed, case=self.problem.cases[0].id,
            purpose="test x", copy=copy, start=start, stop=stop,
        )  # fmt: skip
        return {"x": x[:, :, start:stop] + self.share * self.problem.scale("x") * drawn[None]}

    def weight(self, copy):
        return (0.5, 0.2, 0.3)[copy]


def whole_of(slabs, t: int, like: torch.Tensor) -> torch.Tensor:
    out, at = torch.zeros_like(like), 0
    for s in slabs:
        assert s.start == at
        at = s.stop
        if t in s.gradients:
            g = s.gradients[t]["x"]
            assert g.dtype == torch.float32
            out[:, s.start : s.stop] = g
    assert at == like.shape[1]
    return out


@pytest.mark.parametrize(("shape", "options"), [((15, 9), {"overlap": 0.6}), ((4, 13), {"padding": "reflect"})])
def test_slabs_are_the_gradients_in_pieces_for_copies_too(shape, options) -> None:
    p, c = predictor(2, **options), case(*shape)
    problem = Problem(Engine(p), [c], [RegionScore(1), RegionScore(2)], seed=4)
    clean = problem.gradient.sums["x"][0]
    seeds = BoundSeeds(problem.objective.bound[0])
    own = list(problem.engine.slabs(problem.inputs, seeds))
    assert len(own) == len(problem.engine.plan((("x", (1, *shape)),)).rows)
    for t in range(2):
        assert relative(whole_of(own, t, c.inputs["x"]), clean[t]) < 1e-5
    owner, copy = problem.copies(3)
    noisy = problem.noisy(0.2, "test")
    stored = problem.engine.gradients(
        problem.stream(owner, lambda i: noisy(owner[i], copy[i])), problem.objective,
        weights=torch.tensor([0.5, 0.2, 0.3]),
    ).sums["x"][0]  # fmt: skip
    streamed = list(problem.engine.slabs(problem.inputs, seeds, copies=Noise(problem, 0.2)))
    for t in range(2):
        assert relative(whole_of(streamed, t, c.inputs["x"]), stored[t]) < 1e-5


def test_slabs_and_label_maps_without_windows_are_one_piece() -> None:
    p, c = Predictor(network(2), inputs=["x"], task="segmentation", classes=["a", "b", "c"]), case(9, 8)
    problem = Problem(Engine(p), [c], [RegionScore(1)])
    (slab,) = problem.engine.slabs(problem.inputs, BoundSeeds((problem.bind(), problem.objective.bound[0])[1]))
    assert (slab.start, slab.stop) == (0, 9)
    assert relative(slab.gradients[0]["x"], problem.gradient.sums["x"][0, 0]) < 1e-5
    assert torch.equal(problem.engine.label_map(problem.inputs).long(), problem.engine.predict([c]).argmax(1)[0])


def test_a_target_without_a_voxel_near_by_is_left_out_of_a_slab() -> None:
    mask = torch.zeros(20, 6, dtype=torch.bool)
    mask[0] = True
    p, c = predictor(2, overlap=0.0), case(20, 6).replace(regions={"top": mask})
    problem = Problem(Engine(p), [c], [RegionScore(1, region="top")])
    problem.bind()
    found = list(problem.engine.slabs(problem.inputs, BoundSeeds(problem.objective.bound[0])))
    assert [sorted(s.gradients) for s in found] == [[0], [], [], []]
    assert relative(whole_of(found, 0, c.inputs["x"]), problem.gradient.sums["x"][0, 0]) < 1e-5


@pytest.mark.parametrize("options", [{}, {"overlap": 0.6, "padding": "replicate"}, {"value": 2.0}])
def test_forward_mode_is_the_gradient_times_the_direction(options) -> None:
    for shape in ((15, 9), (4, 13)):
        p, c = predictor(2, **options), case(*shape)
        problem = Problem(Engine(p), [c], TARGETS)
        direction = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(5))
        direction[:, :, :, :3] = 0
        wanted = (problem.gradient.sums["x"][0] * direction).flatten(1).sum(1)
        fresh = Objective(p, [c], TARGETS)  # bound by the pass itself
        engine = Engine(p)
        found = engine.jvp(engine.stack([c]), {"x": direction}, fresh)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
        assert engine.cost.backwards == 0
    with engine.measure() as meter:
        assert not engine.jvp(engine.stack([c]), {"x": torch.zeros_like(direction)}, _linear(p, c)).any()
    assert meter.total.forwards == 0  # a direction of nothing is not run


def _linear(p: Predictor, c: Case) -> Objective:
    objective = Objective(p, [c], TARGETS[:1])
    objective.bind(Engine(p).predict([c]), torch.zeros(1).long())
    return objective


def test_a_model_without_forward_mode_says_so() -> None:
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(2)

        def forward(self, x):
            return Own.apply(self.net(x))

    p, c = predictor(2, module=Net().eval()), case(9, 8)
    engine = Engine(p)
    with pytest.raises(ModelError, match=r"no forward-mode derivative.*use the gradients"):
        engine.jvp(engine.stack([c]), {"x": torch.ones(1, 1, 9, 8)}, Objective(p, [c], TARGETS[:1]))


def test_one_window_of_the_volumes_own_size_is_the_plain_model() -> None:
    p, c = predictor(2, roi=(9, 8)), case(9, 8)
    engine = Engine(p)
    assert not engine.windowed(engine.stack([c]))
    assert torch.equal(engine.predict([c]), p.module(c.inputs["x"][None]).detach())
    assert engine.layers(engine.stack([c]))  # nothing is refused


def test_bad_windows_are_told() -> None:
    with pytest.raises(InputError, match=r"roi=\(6, 6, 6\) has 3 axes, the input has 2 \(9, 8\)"):
        Engine(predictor(3)).predict([case(9, 8)])
    p = Predictor(
        nn.Identity().eval(), inputs=["a", "b"], task="segmentation", classes=["k", "l"], windows=windows((6, 6))
    )
    c = Case(id="1", inputs={"a": torch.zeros(2, 9, 9), "b": torch.zeros(1, 9, 8)})
    with pytest.raises(InputError, match=r"on one grid; here they are 'a' \(9, 9\), 'b' \(9, 8\); resample"):
        Engine(p).predict([c])
    with pytest.raises(InputError, match=r"too small to be mirrored to \(6, 6\).*use padding='replicate'"):
        Engine(predictor(2, padding="reflect")).predict([case(2, 9)])
    half = nn.Sequential(network(2), nn.MaxPool2d(2)).eval()
    with pytest.raises(ModelError, match=r"grid of \(3, 3\) for a window of \(6, 6\); to be stitched"):
        Engine(predictor(2, module=half)).predict([case(9, 8)])
    with pytest.raises(UsageError, match="overlap='twice'"):
        Engine(predictor(2), overlap="twice")
