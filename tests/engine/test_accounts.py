"""What a map has cost, also where methods share passes."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import nn

from contract.families import FAMILIES, METHODS, explain, small, usual
from pellucid.core.cost import Cost
from pellucid.core.explainer import EXPLAINERS, Explainer
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.explain.gradient.expected_gradients import ExpectedGradients
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.sampled_gradients import SampledGradients
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.gradient.vargrad import VarGrad
from pellucid.explain.make import as_explainer, attributions
from pellucid.explain.perturbation.feature_ablation import FeatureAblation
from pellucid.explain.perturbation.hierarchical_occlusion import HierarchicalOcclusion
from pellucid.explain.perturbation.lime import Lime
from pellucid.explain.perturbation.occlusion import Occlusion
from pellucid.explain.perturbation.rise import Rise
from pellucid.explain.shapley.gradient_shap import GradientShap
from pellucid.explain.shapley.kernel_shap import KernelShap
from pellucid.explain.shapley.partition_shap import PartitionShap

T = 2
BUDGETS: dict[str, tuple[str | Explainer, dict[str, int]]] = {
    # a method whose passes are not fixed by T alone: how it is made here, and what the letters of its formula are
    "smoothgrad": (SmoothGrad(samples=7), {"S": 7}),
    "gradient_shap": (GradientShap(samples=9), {"S": 9, "D": 1}),
    "integrated_gradients": (IntegratedGradients(n_steps=11), {"N": 11}),
    "expected_gradients": (ExpectedGradients(n_steps=11), {"N": 11, "R": 1}),
    "vargrad": (VarGrad(samples=7), {"S": 7}),
    "deepshap": ("deepshap", {"R": 1}),
    "occlusion": (Occlusion(window=8, stride=4), {"P": 9}),
    "hierarchical_occlusion": (  # everything is subdivided
        HierarchicalOcclusion(levels=((8, 4), (4, 4)), min_window=4, threshold=0, budget=None), {"P": 9, "Q": 16},
    ),
    "feature_ablation": (FeatureAblation(side=4), {"G": 16}),
    "kernel_shap": (KernelShap(groups="cubes", segments=16, samples=100), {"S": 100}),
    "lime": (Lime(groups="cubes", segments=16, samples=101), {"S": 101}),
    "sampled_gradients": (SampledGradients(samples=7), {"S": 7}),
    "rise": (Rise(samples=11, force=True), {"S": 11}),
    "partition_shap": (PartitionShap(evaluations=42, force=True), {"N": 20}),
    "score_cam": ("score_cam", {"K": 6, "M": 1}),
    "ablation_cam": ("ablation_cam", {"K": 6}),
}


def worth(formula: str, letters: dict[str, int]) -> dict[str, int]:
    """``"1 + S F, S*T B"`` in numbers: sums of products of numbers and letters, by the kind of pass."""
    found = {"F": 0, "B": 0}
    for part in formula.split(","):
        terms, kind = part.strip()[:-1], part.strip()[-1]
        for term in terms.split("+"):
            factors = [f.strip() for f in term.split("*")]
            found[kind] += prod(int(f) if f.isdigit() else letters[f] for f in factors)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_the_budget_of_every_method(name: str) -> None:
    """What a method may cost is part of what it promises: the formula in its class, held to the passes."""
    method, letters = BUDGETS.get(name, (name, {}))
    f = next(f for f in FAMILIES.values() if f.runs(name))
    expected = worth(EXPLAINERS[name].passes, {"T": T, **letters})
    for row in explain(method, f.predictor(), f.cases(), f.targets):
        assert (row[0].cost.forwards, row[0].cost.backwards) == (expected["F"], expected["B"])


def test_adaptive_nodes_are_kept_from_level_to_level() -> None:
    """Refining from 8 to 24 nodes runs 16 new ones; the passes are the nodes, no more."""
    for family in FAMILIES:
        for row in usual(family, "integrated_gradients"):
            nodes = max(a.notes["nodes"] for a in row)
            assert row[0].cost.forwards == 2 + nodes
            assert row[0].cost.backwards == T * nodes


@pytest.mark.parametrize("first", METHODS)
def test_a_method_costs_what_it_would_alone_while_the_model_ran_once(first: str) -> None:
    """At small budgets: what is counted does not depend on how much of it there is."""
    f = FAMILIES["picture_and_table"]
    methods = [m for m in METHODS if f.runs(m)]
    if first not in methods:
        pytest.skip(f"{first} does not run on a picture and a table without attention")
    alone = {m: usual("picture_and_table", m, brief=True)[0][0].cost for m in methods}
    engine = Engine(f.predictor())
    problem = Problem(engine, f.cases(), f.targets)
    claimed = 0
    for m in (first, *methods):
        rows = attributions(problem, small(m))
        claimed += sum(row[0].cost.forwards for row in rows)
        shared = rows[0][0].cost
        assert (shared.forwards, shared.backwards) == (alone[m].forwards, alone[m].backwards), m
    assert engine.cost.forwards < claimed


def test_saliency_after_input_x_gradient_runs_nothing() -> None:
    f = FAMILIES["picture"]
    engine = Engine(f.predictor())
    problem = Problem(engine, f.cases(), f.targets)
    attributions(problem, as_explainer("input_x_gradient"))
    before = (engine.cost.forwards, engine.cost.backwards)
    row = attributions(problem, as_explainer("saliency"))[0]
    assert (engine.cost.forwards, engine.cost.backwards) == before == (3, 6)
    assert (row[0].cost.forwards, row[0].cost.backwards) == (1, 2)
    for a, b in zip(row, usual("picture", "saliency")[0]):
        assert torch.equal(a.maps["x"], b.maps["x"])


def test_costs_add_up() -> None:
    total = Cost(1, 2, 0.5, None) + Cost(3, 4, 0.25, 7)
    assert total.as_dict() == {"forwards": 4, "backwards": 6, "seconds": 0.75, "peak_bytes": 7}
    assert (Cost() + Cost()).peak_bytes is None


def test_the_time_of_a_batch_is_shared() -> None:
    f = FAMILIES["picture"]
    rows = explain("smoothgrad", f.predictor(), f.cases(), f.targets)
    assert len({row[0].cost.seconds for row in rows}) == 1
    assert 0 < rows[0][0].cost.seconds < 60


class Fails(nn.Module):
    """Breaks inside a layer after a while."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise IndexError("list index out of range")


@pytest.mark.parametrize("method", [m for m in METHODS if "classification" in EXPLAINERS[m].tasks])
def test_hooks_are_gone_after_an_error_in_the_middle(method: str) -> None:
    f = FAMILIES["picture"]
    module = f.module()
    module.parts["x"].second = Fails(module.parts["x"].second)
    predictor = f.predictor(module)
    engine = Engine(predictor)
    problem = Problem(engine, f.cases(), f.targets)
    with pytest.raises(ModelError, match=r"Fusion failed on inputs x \(2, 16, 16\): list index out of range") as caught:
        attributions(problem, as_explainer(method))
    assert isinstance(caught.value.__cause__, IndexError)
    for m in (*module.modules(), *engine.module.modules()):
        assert not m._forward_hooks
        assert not m._backward_hooks
    assert not engine._meters


def test_outputs_of_cases_of_several_shapes_come_in_their_order() -> None:
    f = FAMILIES["picture"]
    cases = f.cases(4)
    small = [c.replace(inputs={"x": c.inputs["x"][:, :12, :12]}) for c in cases[:2]]
    mixed = [cases[0], small[1], cases[2], small[0]]
    engine = Engine(f.predictor())
    out = engine.outputs(mixed)
    for case, row in zip(mixed, out):
        torch.testing.assert_close(row, engine.outputs([case])[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match=r"input 'x' has different shapes in one batch"):
        Problem(engine, mixed, [ClassScore(0)])


def test_perturbed_copies_need_bound_targets() -> None:
    f = FAMILIES["picture"]
    problem = Problem(Engine(f.predictor()), f.cases(), f.targets)
    from pellucid.engine import Stream

    with pytest.raises(UsageError, match="run the clean cases first"):
        problem.engine.scores(Stream.of(problem.inputs), problem.objective)


def test_squares_are_summed_beside_the_gradients() -> None:
    f = FAMILIES["picture"]
    problem = Problem(Engine(f.predictor()), f.cases(2), f.targets)
    owner = torch.arange(2).repeat_interleave(3)
    noisy = problem.noisy(0.1, "test")
    copies = torch.arange(3).repeat(2)
    weights = torch.tensor([0.5, 0.25, 0.25] * 2, dtype=torch.float64)
    stream = problem.stream(owner, lambda i: noisy(owner[i], copies[i]))
    got = problem.engine.gradients(stream, problem.objective, weights=weights, square=True)
    each = [
        problem.engine.gradients(
            problem.stream(owner[i : i + 1], lambda _, i=i: noisy(owner[i : i + 1], copies[i : i + 1])), problem.objective
        ).sums["x"][owner[i]]
        for i in range(6)
    ]
    for b in range(2):
        mine = torch.stack(each[3 * b : 3 * b + 3])
        w = weights[:3].float().view(3, 1, 1, 1, 1)
        torch.testing.assert_close(got.sums["x"][b].float(), (w * mine).sum(0), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(got.squares["x"][b].float(), (w * mine**2).sum(0), rtol=1e-4, atol=1e-6)
