"""Expected gradients and DeepSHAP: averages over the background cases, each of which counts as much as the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, Score
from pellucid.engine import Engine, Problem
from pellucid.errors import InputError, UsageError
from pellucid.explain.gradient.deeplift import DeepLift
from pellucid.explain.gradient.deepshap import DeepShap
from pellucid.explain.gradient.expected_gradients import ExpectedGradients
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.paths import Paths, _nodes, _shifts, levels
from pellucid.explain.make import as_explainer, attributions
from pellucid.explain.shapley.gradient_shap import GradientShap
from reference.gradients import expected_gradients

F = FAMILIES["picture"]
BOTH = ["expected_gradients", "deepshap"]
FIVE = ["picture", "picture_and_table", "two_pictures", "segmentation", "volume"]


def maps(method: object, family: str = "picture", count: int = 5, **options: object) -> list[list[Attribution]]:
    f = FAMILIES[family]
    return explain(method, f.predictor(), f.cases(2), f.targets, background=f.cases(2 + count)[2:], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FIVE)
@pytest.mark.parametrize("method", BOTH)
def test_the_map_adds_up_to_the_change_from_the_mean_background_output(method: str, family: str) -> None:
    f = FAMILIES[family]
    for case, row in zip(f.cases(2), maps(method, family)):
        for t, a in enumerate(row):
            total = sum(float(m.double().sum()) for m in a.maps.values())
            assert a.notes["baselines"] == 5
            assert total == pytest.approx(a.notes["expected"], rel=1e-3 if method == "deepshap" else 0.011, abs=5e-4)
            problem = Problem(Engine(f.predictor()), [case], f.targets)
            scores = [float(problem.score_of(problem.engine.stack([c]))[0, t]) for c in f.cases(7)[2:]]
            assert a.notes["expected"] == pytest.approx(a.score - np.mean(scores), rel=1e-4, abs=1e-5)
            missed = abs(total / a.notes["expected"] - 1) > 0.01  # a change of next to nothing is missed by much
            assert ("incomplete" in a.flags) == missed
            assert a.checks["complete"].status == ("fail" if missed else "pass")
            assert not missed or abs(a.notes["expected"]) < 0.01


@pytest.mark.parametrize(("method", "one"), [("expected_gradients", IntegratedGradients), ("deepshap", DeepLift)])
def test_one_background_case_is_the_method_with_that_baseline(method: str, one: type) -> None:
    """The cohort of one is its mean; and where there is none, the fill."""
    for x, y in zip(maps(method, count=1), maps(one(baseline="cohort"), count=1)):
        assert max(gap(a, b) for a, b in zip(x, y)) < 1e-6
    for x, y in zip(maps(as_explainer(method, {"baseline": "mean"}), count=0), maps(one(baseline="mean"), count=0)):
        assert max(gap(a, b) for a, b in zip(x, y)) < 1e-6
        assert x[0].notes["baselines"] == 1


@pytest.mark.parametrize("method", [ExpectedGradients(n_steps=4), "deepshap"])
def test_the_mean_over_the_background_taken_one_by_one(method: object) -> None:
    """DeepSHAP exactly; expected gradients with as many nodes of its own on each path differ by their shift alone."""
    usual = F.cases(7)[2:]
    rows = maps(method)
    for b in range(2):
        for t in range(2):
            alone = [explain(method, F.predictor(), F.cases(2), F.targets, background=[c])[b][t].maps["x"] for c in usual]
            mean = torch.stack(alone).mean(0)
            apart = float((rows[b][t].maps["x"] - mean).abs().sum() / mean.abs().sum())
            assert apart < (1e-5 if method == "deepshap" else 0.2)


@pytest.mark.parametrize("method", BOTH)
def test_the_order_and_the_copies_of_the_background(method: str) -> None:
    """Twice the same cases are the same cohort; DeepSHAP does not know an order."""
    usual = F.cases(7)[2:]
    f = lambda b: explain(method, F.predictor(), F.cases(1), F.targets, background=b)[0]  # noqa: E731
    for a, b, c in zip(f(usual), f(usual[::-1]), f(usual + usual)):
        assert gap(a, b) < (1e-5 if method == "deepshap" else 0.1)
        assert gap(a, c) < (1e-5 if method == "deepshap" else 0.1)


def test_expected_gradients_beside_a_literal_twin() -> None:
    net, usual = F.module().double(), F.cases(5)[2:]
    p, n, r = F.predictor(net), 4, 3
    rows = explain(ExpectedGradients(n_steps=n), p, F.cases(2), [ClassScore(1)], background=usual, precision="float64")
    order = sorted(range(r), key=lambda i: (i + 0.5) * 0.6180339887498949 % 1)
    shift = [(order.index(i) + 0.5) / r for i in range(r)]
    for case, (a,) in zip(F.cases(2), rows):
        places = [[(j + s) / n for j in range(n)] for s in shift]
        bases = [c.inputs["x"].double() for c in usual]
        wanted = expected_gradients(lambda x: net(x[None])[0, 1], case.inputs["x"].double(), bases, places)
        torch.testing.assert_close(a.maps["x"].double(), wanted, rtol=1e-5, atol=1e-8)
        assert a.notes["nodes"] == r * n
        assert (a.cost.forwards, a.cost.backwards) == (1 + r + r * n, r * n)


@pytest.mark.parametrize("paths", [1, 2, 3, 7, 16])
def test_nodes_of_all_paths_are_midpoints_and_nested(paths: int) -> None:
    """Together they are the midpoint rule of R·n nodes; every level holds the one before, on the same path.

    Tripling brings the paths of a multiple of three together; each still has evenly spaced nodes of its own.
    """
    before: np.ndarray | None = None
    shifts = _shifts(paths)
    for count in levels(paths, 27 * 8 * paths)[:4]:
        nodes = _nodes(np.tile(np.arange(count), (paths, 1)), shifts, count).numpy()
        if before is None or paths % 3:
            everything = np.sort(nodes.reshape(-1))
            np.testing.assert_allclose(everything, (np.arange(paths * count) + 0.5) / (paths * count), atol=1e-12)
        np.testing.assert_allclose(np.diff(nodes, axis=1), 1 / count, atol=1e-12)
        assert float(nodes.mean()) == pytest.approx(0.5, abs=1e-9)
        if before is not None:
            for old, new in zip(before, nodes):
                assert all(np.abs(new - x).min() < 1e-12 for x in old)
        before, shifts = nodes, 3 * shifts % (2 * paths)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
def test_refined_nodes_are_those_of_the_last_level(count: int) -> None:
    """Kept nodes and new ones together give the map that the last level gives by itself."""
    f = FAMILIES["picture"]
    usual = f.cases(2 + count)[2:]
    problem = Problem(Engine(f.predictor(), precision="float64"), f.cases(2), f.targets, background=usual)
    paths = Paths.of(problem, IntegratedGradients().baseline, background=True)
    expected = paths.change()
    for most in (24 * count, 72 * count):
        maps, used, restless = paths.refined(expected, tolerance=1e-12, settle=1e-12, most=most)
        assert restless.all()
        last = levels(count, most)[-1]
        assert used.tolist() == [last * count] * 2
        shifts = _shifts(count) * 3 ** (len(levels(count, most)) - 1) % (2 * count)
        nodes = _nodes(np.tile(np.arange(last), (count, 1)), shifts, last)
        alone = paths.integral(torch.arange(2), nodes, torch.full((last,), 1 / last, dtype=torch.float64))
        torch.testing.assert_close(maps["x"], alone["x"], rtol=1e-9, atol=1e-12)


def test_expected_gradients_miss_less_than_gradient_shap_with_as_many_gradients() -> None:
    """What the two differ in: every baseline and every part of the path once, against draws."""
    eg = [a for row in maps(ExpectedGradients(n_steps=6)) for a in row]
    gs = [a for seed in range(8) for row in maps(GradientShap(samples=30), seed=seed) for a in row]
    fine = [a.maps["x"] for row in maps(ExpectedGradients(n_steps=200)) for a in row]
    far = lambda rows: float(np.mean([float((a.maps["x"] - m).abs().sum() / m.abs().sum()) for a, m in zip(rows, fine * 8)]))  # noqa: E731
    assert eg[0].notes["nodes"] == 30
    assert far(eg) < 0.5 * far(gs)


class Curve(nn.Module):
    """``sin a + b²`` of a table: the mean over the background of each column's part is known."""

    def forward(self, t: Tensor) -> Tensor:
        return (torch.sin(t[:, 0]) + t[:, 1] ** 2)[:, None]


@pytest.mark.parametrize("method", [ExpectedGradients(tolerance=1e-4, settle=1e-3), "deepshap"])
def test_an_additive_table(method: object) -> None:
    mean, sd = torch.tensor([50.0, 2.0]), torch.tensor([10.0, 0.5])
    p = Predictor(Curve().eval(), inputs=["t"], task="regression", normalise={"t": (mean, sd)})
    g = torch.Generator().manual_seed(0)
    usual = [Case(id=f"u{i}", inputs={"t": mean + sd * torch.randn(2, generator=g)}) for i in range(9)]
    t = torch.tensor([63.0, 3.0])
    parts = lambda t: torch.stack([torch.sin(z := (t - mean) / sd)[0], z[1] ** 2])  # noqa: E731
    wanted = parts(t) - torch.stack([parts(c.inputs["t"]) for c in usual]).mean(0)
    ((a,),) = explain(method, p, [Case(id="1", inputs={"t": t})], [Score()], background=usual, precision="float64")
    torch.testing.assert_close(a.maps["t"], wanted, rtol=2e-3, atol=1e-4)


class Gate(nn.Module):
    """Two parts of the picture multiplied: the rescale rule cannot divide that."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((fn.relu(self.a(x)) * self.b(x)).flatten(2).mean(2))


def test_what_deepshap_cannot_divide_is_flagged() -> None:
    p = Predictor(Gate().eval(), inputs=["x"], task="classification", classes=list("abc"))
    rows = explain("deepshap", p, F.cases(2), [ClassScore(0), ClassScore(1)], background=F.cases(5)[2:])
    assert any(a.notes["completeness_error"] > 0.01 for row in rows for a in row)
    for a in (a for row in rows for a in row):
        assert ("incomplete" in a.flags) == (a.notes["completeness_error"] > 0.01)


@pytest.mark.parametrize("method", [*BOTH, "gradient_shap"])
def test_a_background_that_does_not_fit(method: str) -> None:
    small = Case(id="tiny", inputs={"x": torch.zeros(2, 8, 8)})
    with pytest.raises(InputError, match=r"background case tiny: input 'x' is \(2, 8, 8\), that of case c0 is \(2, 16, 16\)"):
        explain(method, F.predictor(), F.cases(1), F.targets, background=[F.cases(2)[1], small])


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_and_batches_with_a_background(method: str, chunk: int) -> None:
    for case, x, y in zip(F.cases(2), maps(method), maps(method, chunk=chunk)):
        (alone,) = explain(method, F.predictor(), [case], F.targets, background=F.cases(7)[2:])
        for a, b, c in zip(x, y, alone):
            assert gap(a, b) < 1e-5
            assert gap(a, c) < 1e-5
            assert (a.cost.forwards, a.cost.backwards) == (b.cost.forwards, b.cost.backwards)


def test_deepshap_costs_two_forwards_and_a_backward_for_each_background_case() -> None:
    engine = Engine(F.predictor())
    problem = Problem(engine, F.cases(2), F.targets, background=F.cases(7)[2:])
    attributions(problem, DeepShap())
    assert (engine.cost.forwards, engine.cost.backwards) == (2 * 2 * 5, 2 * 5 * 2)
    assert engine.setup.forwards == 1  # the proof that the output is the same under the rule


def test_too_many_background_cases_for_the_nodes() -> None:
    with pytest.raises(UsageError, match=r"most=30: 11 paths need 33 nodes, so that two levels can be compared; raise most"):
        maps(ExpectedGradients(most=30), count=11)
