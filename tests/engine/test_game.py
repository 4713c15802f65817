"""The game over the features of all inputs: who is present, what stands in for the others, where a value goes."""

from __future__ import annotations

import pytest
import torch

from contract.families import FAMILIES
from game_models import ORGANS, Twists, predictor, study
from pellucid.core import region
from pellucid.core.fill import Fill
from pellucid.core.target import Score
from pellucid.engine import Engine, Game, Problem
from pellucid.explain.make import as_explainer, attributions


def problem(cases=1, **engine) -> Problem:
    return Problem(
        Engine(predictor(Twists(7)), precision="float64", **engine), [study(seed=i) for i in range(cases)], [Score(0), Score(1)]
    )


def test_a_coalition_shows_its_players_and_fills_in_the_others() -> None:
    p = problem()
    game = Game.of(p, by="organs", fill=Fill(kind="constant", value=0.5))
    assert game.groups[0].names == ("image organs=0", "image organs=3", "image organs=7", "image organs=9", "table[0]", "table[1]", "table[2]")
    present = torch.tensor([[True, False, True, False, False, True, False]])
    case, module = p.cases[0], p.engine.module
    image = torch.where((ORGANS == 0) | (ORGANS == 7), case.inputs["image"], torch.tensor(0.5)).double()
    table = case.inputs["table"].double().clone()
    table[[0, 2]] = 0.25  # the training mean
    torch.testing.assert_close(game.value([present])[0], module(image[None], (table - 0.25)[None]))


def test_everybody_and_nobody() -> None:
    p = problem(2)
    game = Game.of(p, by="organs", fill=Fill(kind="mean"))
    ends = game.value([torch.tensor([[True] * 7, [False] * 7])] * 2)
    torch.testing.assert_close(torch.stack(ends)[:, 0], game.full)
    torch.testing.assert_close(torch.stack(ends)[:, 1], game.empty)


def test_cases_may_have_different_players_and_coalitions() -> None:
    f = FAMILIES["picture_and_table"]
    p = Problem(Engine(f.predictor(), chunk=3), f.cases(), f.targets)
    game = Game.of(p, by="superpixels", fill=Fill(kind="mean"), segments=10)
    counts = [game.players(b) for b in range(3)]
    assert len(set(counts)) > 1
    g = torch.Generator().manual_seed(0)
    coalitions = [torch.rand(n, m, generator=g) < 0.5 for n, m in zip((4, 0, 5), counts)]
    got = game.value(coalitions)
    assert [tuple(v.shape) for v in got] == [(4, 2), (0, 2), (5, 2)]
    for b in (0, 2):
        alone = Problem(Engine(f.predictor()), [p.cases[b]], f.targets)
        torch.testing.assert_close(
            Game.of(alone, by="superpixels", fill=Fill(kind="mean"), segments=10).value([coalitions[b]])[0], got[b],
            rtol=1e-5, atol=1e-6,
        )  # fmt: skip
    assert [v.shape for v in game.value([torch.zeros(0, m, dtype=torch.bool) for m in counts])] == [(0, 2)] * 3


def test_inputs_are_made_in_chunks() -> None:
    """A thousand coalitions never lie in memory as pictures."""
    p = problem(chunk=8)
    game = Game.of(p, by="organs", fill=Fill(kind="mean"))
    seen = []
    scores = p.engine.scores

    def spy(stream, objective):
        make = stream.make
        object.__setattr__(stream, "make", lambda index: seen.append(len(index)) or make(index))
        return scores(stream, objective)

    p.engine.scores = spy  # type: ignore[method-assign]
    game.value([torch.rand(1000, 7) < 0.5])
    assert sum(seen) == 1000
    assert max(seen) == 8


def test_values_add_up_over_their_pixels() -> None:
    p = problem()
    game = Game.of(p, by="organs", fill=Fill(kind="mean"))
    values = torch.tensor([[1.0, -2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0, 1]], dtype=torch.float64)
    shared, painted = game.spread([values]), game.paint([values])
    assert shared["image"].shape == (1, 2, 8, 8)
    assert shared["table"].tolist() == painted["table"].tolist() == [[[5, 6, 7], [0, 0, 1]]]
    for organ, value in zip((0, 3, 7, 9), values[0]):
        assert shared["image"][0, 0][organ == ORGANS].sum() == pytest.approx(float(value))
        assert painted["image"][0, 0][organ == ORGANS].unique().tolist() == [float(value)]


def test_methods_that_split_alike_split_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    made = region.superpixels
    monkeypatch.setattr(region, "superpixels", lambda *a, **k: calls.append(1) or made(*a, **k))
    p = problem(2)
    for method in ("kernel_shap", "lime", ("feature_ablation", {"groups": "superpixels"})):
        attributions(p, as_explainer(method))
    assert len(calls) == 2
    attributions(p, as_explainer(("lime", {"segments": 9})))
    assert len(calls) == 4


def test_the_empty_game_is_asked_once_and_charged_to_each() -> None:
    p = problem()
    first = attributions(p, as_explainer(("kernel_shap", {"groups": "organs"})))
    before = p.engine.cost.forwards
    second = attributions(p, as_explainer(("kernel_shap", {"groups": "organs"})))
    assert first[0][0].cost.forwards == second[0][0].cost.forwards == 2 + 42
    assert p.engine.cost.forwards - before == 42
    assert torch.equal(first[0][0].maps["image"], second[0][0].maps["image"])
