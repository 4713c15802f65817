"""Perturbed copies in windows: those that a perturbation touches are run, and the scores are those of the full pass."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from pellucid.core.target import RegionScore
from pellucid.engine import Engine, Problem
from pellucid.engine.stream import Stream
from pellucid.explain.make import as_explainer, attributions
from pellucid.explain.perturbation.decision import Decision
from windowed import case, network, predictor

LINEAR = [RegionScore(1), RegionScore(2, reduce="probability_weighted")]
CURVED = [RegionScore(1, on="probability"), RegionScore(2, refresh=True)]


class Attention(nn.Module):
    """Every voxel of a window attends to every other one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed, self.head = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 3, 1)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = self.embed(x)
        flat = tokens.flatten(2).transpose(1, 2)
        out = self.attention(flat, flat, flat, need_weights=False)[0]
        return self.head((flat + out).transpose(1, 2).reshape(tokens.shape))


def copies(problem: Problem, *, base: bool = True) -> Stream:
    """Four copies: a corner, a voxel in the middle, nothing, and everything changed."""
    x = problem.inputs["x"]
    changed = [x.clone() for _ in range(4)]
    changed[0][..., :2, :2] = 0
    changed[1][..., 7, 5] = 3
    changed[3] += 1
    every = {"x": torch.cat(changed)}
    stream = problem.stream(torch.zeros(4).long(), Stream.of(every).make)
    return stream if base else Stream(stream.owner, stream.make, shape=stream.shape)


@pytest.mark.parametrize("targets", [LINEAR, CURVED])
@pytest.mark.parametrize("module", [network(2), Attention().eval()], ids=["instance_norm", "attention"])
@pytest.mark.parametrize("memory", [None, 1], ids=["kept", "nothing_kept"])
def test_scores_are_those_of_the_full_pass(targets, module, memory) -> None:
    p, c = predictor(2, module=module, overlap=0.5), case(15, 12)
    engine = Engine(p, memory=memory, chunk=5)
    problem = Problem(engine, [c], targets)
    whole = engine.scores(copies(problem, base=False), problem.objective)
    before = engine.cost.forwards
    found = engine.scores(copies(problem), problem.objective)
    torch.testing.assert_close(found, whole, rtol=2e-6, atol=2e-6 * float(whole.abs().max()))
    torch.testing.assert_close(found[2], problem.scores[0], rtol=2e-6, atol=1e-5)
    windows = [w for r in engine.plan(problem.clean.shape).rows for w in r.windows]
    kept = memory is None
    touched = sum(w.volume[0].start < 2 and w.volume[1].start < 2 for w in windows)
    touched += sum(w.volume[0].start <= 7 < w.volume[0].stop and w.volume[1].start <= 5 < w.volume[1].stop for w in windows)
    held = all(problem.objective.bound[0][t].weight[w.volume].any() for t in range(1) for w in windows)
    assert held  # every window has something of class 1
    if kept:
        assert engine.cost.forwards - before == touched + len(windows)
    elif targets is LINEAR:  # each clean window once more, for its own part
        assert engine.cost.forwards - before == touched + 2 * len(windows)
    else:
        assert engine.cost.forwards - before == 4 * len(windows)


def test_windows_without_any_of_the_region_are_not_run() -> None:
    mask = torch.zeros(15, 12, dtype=torch.bool)
    mask[14, 11] = True
    p, c = predictor(2, overlap=0.0), case(15, 12).replace(regions={"corner": mask})
    engine = Engine(p)
    problem = Problem(engine, [c], [RegionScore(1, region="corner")])
    whole = engine.scores(copies(problem, base=False), problem.objective)
    before = engine.cost.forwards
    torch.testing.assert_close(engine.scores(copies(problem), problem.objective), whole)
    assert engine.cost.forwards - before == 1  # the last window of the copy that is changed everywhere


def test_two_cases_do_not_answer_for_each_other() -> None:
    p, pair = predictor(2, overlap=0.5), [case(15, 12, seed=s) for s in (0, 1)]
    for targets in (LINEAR, CURVED):
        together = attributions(Problem(Engine(p), pair, targets), as_explainer({"occlusion": {"window": 4}}))
        for c, row in zip(pair, together):
            (alone,) = attributions(Problem(Engine(p), [c], targets), as_explainer({"occlusion": {"window": 4}}))
            for a, b in zip(row, alone):
                torch.testing.assert_close(a.maps["x"], b.maps["x"], rtol=1e-4, atol=1e-4)


class Mixing(nn.Module):
    """Subtracts the mean of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(2)

    def forward(self, x):
        return self.net(x - x.mean())


class Dropping(Mixing):
    def forward(self, x):
        return self.net(nn.functional.dropout(x, 0.5))


@pytest.mark.parametrize(("module", "flag"), [(Mixing(), "mixed_batch"), (Dropping(), "random_model")])
@pytest.mark.filterwarnings("ignore:.*mixes the inputs|.*draws random numbers")
def test_a_model_whose_windows_are_not_alone_runs_them_all(module, flag) -> None:
    p, c = predictor(2, module=module.eval(), overlap=0.0), case(12, 12)
    engine = Engine(p)
    problem = Problem(engine, [c], [RegionScore(1, region="image")])
    engine.scores(copies(problem), problem.objective)
    assert engine.cost.forwards == 4 + 4 * 4  # the clean pass, and every window of every copy
    ((a,),) = attributions(problem, as_explainer({"occlusion": {"window": 6, "stride": 6}}))
    assert flag in a.flags
    assert "mixed_batch" not in _plain_flags()


def _plain_flags() -> tuple[str, ...]:
    problem = Problem(Engine(predictor(2, overlap=0.0)), [case(12, 12)], [RegionScore(1)])
    return attributions(problem, as_explainer({"occlusion": {"window": 6, "stride": 6}}))[0][0].flags


def test_an_objective_that_is_no_sum_over_voxels_is_given_the_stitched_logits() -> None:
    """Whether the decision stays is asked of the whole prediction, window by window it would be another question."""
    p, c = predictor(2), case(9, 8)
    problem = Problem(Engine(p), [c], [RegionScore(1)])
    decision = Decision(problem.objective)
    assert problem.engine.scores(problem.clean, decision).tolist()[0][1] == 1


def test_what_is_kept_goes_with_its_objective() -> None:
    engine = Engine(predictor(2))
    problem = Problem(engine, [case(9, 8)], CURVED)
    problem.bind()
    assert len(engine._clean) == 1
    del problem
    gc.collect()
    assert len(engine._clean) == 0


def test_a_method_that_takes_over_the_clean_pass_is_charged_its_windows() -> None:
    problem = Problem(Engine(predictor(2, overlap=0.0)), [case(12, 12)], [RegionScore(1)])
    problem.bind()
    problem.next_method()
    _ = problem.scores
    assert problem.borrowed(0).forwards == 4
