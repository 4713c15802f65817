"""KernelSHAP: exact where it can be, honest about chance where it cannot."""

from __future__ import annotations

from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.families import FAMILIES, explain
from game_models import ORGANS, Sum, Twists, predictor, study
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score
from pellucid.engine import Engine, Game, Problem
from pellucid.errors import UsageError
from pellucid.explain.shapley.coalitions import leverage_pairs
from pellucid.explain.shapley.kernel_shap import KernelShap, shapley_fit
from reference.shapley import shapley

T = [Score(0), Score(1)]


def values(a, case):
    """The value of each organ and column of a map that spreads them over their pixels."""
    organs = [a.maps["image"][organ == ORGANS].double().sum() for organ in (0, 3, 7, 9)]
    return torch.stack([*organs, *a.maps["table"].double()])


def estimate(net, players, evaluations, seed):
    """On a function of ``(n, M)`` itself: the estimate and its standard error, ``(M,)``, of the first output."""
    pairs = leverage_pairs(players, evaluations // 2, torch.Generator().manual_seed(seed))
    ends = net(torch.stack([torch.ones(players), torch.zeros(players)]).double())[:, :1]
    z = torch.cat([pairs.sets, ~pairs.sets]).double()
    phi, error = shapley_fit(pairs, net(z)[:, :1], ends[0] - ends[1])
    return phi[:, 0], error[:, 0]


@pytest.mark.parametrize("seed", [0, 1])
def test_shapley_values_of_organs_and_columns_by_enumeration(seed: int) -> None:
    """Four organs and three columns, any interactions, two targets: the formula over all 128 coalitions."""
    case, p = study(seed=seed), predictor(Twists(7, seed=seed))
    ((first, second),) = explain(KernelShap(groups="organs", samples=126), p, [case], T, precision="float64")
    assert first.cost.forwards == 128
    game = Game.of(Problem(Engine(p, precision="float64"), [case], T), by="organs", fill=Fill(kind="mean"))
    for t, a in enumerate((first, second)):
        literal = shapley(lambda s, t=t: float(game.value([torch.tensor([[i in s for i in range(7)]])])[0][0, t]), 7)
        torch.testing.assert_close(values(a, case), torch.tensor(literal, dtype=torch.float64), rtol=1e-5, atol=1e-5)
        assert a.notes["standard_error_max"] == a.notes["relative_error"] == 0
        assert a.notes["features"] == 7
        assert a.checks["complete"].status == "pass"
        assert not a.flags


@pytest.mark.parametrize("players", [1, 2, 3, 4, 6])
def test_few_players_are_enumerated_by_default(players: int) -> None:
    case = study(columns=players)
    p = predictor(Twists(players + 4), columns=players)
    picture = torch.zeros_like(ORGANS)
    case = case.replace(regions={"whole": picture})
    ((a, _),) = explain(KernelShap(groups="whole"), p, [case], T, precision="float64")
    everybody = 2 ** (players + 1) - 2
    least = min(6 * (players + 1), everybody)
    assert a.notes["evaluations"] == least - least % 2
    assert (a.notes["standard_error"] == 0) == (least == everybody)


def test_one_player_gets_everything() -> None:
    f = FAMILIES["picture"]
    ((a, b),) = explain(KernelShap(groups="modality", fill="zero"), f.predictor(), f.cases(1), f.targets)
    assert a.cost.forwards == 2
    assert a.notes["evaluations"] == 0
    for m in (a, b):
        assert float(m.maps["x"].double().sum()) == pytest.approx(m.notes["expected"], rel=1e-5)
        assert len(m.maps["x"].unique()) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_additive_model_is_solved_exactly_from_any_sample(seed: int) -> None:
    net = Sum(50).double()
    phi, error = estimate(net, 50, 4 * 50, seed)
    torch.testing.assert_close(phi, net.w * (torch.e - 1))
    assert float(error.max()) < 1e-9


def test_players_alike_get_the_same_and_those_without_effect_nothing() -> None:
    class Alike(torch.nn.Module):
        def forward(self, z):
            return (z[:, :1] * z[:, 1:2] * z[:, 2:3] + z[:, 3:4] * z[:, 4:5]).repeat(1, 2)

    phi, _ = estimate(Alike(), 7, 126, 0)
    torch.testing.assert_close(phi, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize(("players", "each"), [(12, 4), (12, 20), (60, 6)])
def test_the_standard_error_is_the_error(players: int, each: int) -> None:
    """Over 60 seeds the root mean square of the errors is that of what was announced."""
    net = Twists(players, seed=1).double()
    exact, _ = estimate(net, players, min(2**players - 2, 600 * players), 99)
    runs = [estimate(net, players, each * players, seed) for seed in range(60)]
    found = torch.stack([phi - exact for phi, _ in runs])
    said = torch.stack([error for _, error in runs])
    assert float(found.square().mean().sqrt() / said.square().mean().sqrt()) == pytest.approx(1, abs=0.15)
    assert 0.88 < float((found.abs() <= 2 * said).double().mean()) < 0.985
    assert float(found.mean(0).abs().max()) < 4 * float(said.square().mean().sqrt()) / 60**0.5


def test_more_evaluations_come_nearer() -> None:
    net = Twists(12, seed=0).double()
    exact, _ = estimate(net, 12, 4094, 0)
    far = [torch.stack([estimate(net, 12, k * 12, s)[0] - exact for s in range(12)]).square().mean().sqrt() for k in (4, 16, 64, 256)]
    assert far[0] > 2 * far[1] > 4 * far[2] > 20 * far[3]


@pytest.mark.parametrize("players", [5, 6, 8])
def test_the_regression_over_all_coalitions_is_the_definition(players: int) -> None:
    net = Twists(players, seed=4).double()
    literal = shapley(lambda s: float(net(torch.tensor([[float(i in s) for i in range(players)]]).double())[0, 0]), players)
    phi, error = estimate(net, players, 2**players - 2, 0)
    torch.testing.assert_close(phi, torch.tensor(literal, dtype=torch.float64))
    assert float(error.max()) == 0


@settings(deadline=None, max_examples=60)
@given(players=st.integers(2, 40), pairs=st.integers(1, 300), seed=st.integers(0, 9))
def test_pairs_are_different_and_as_many_as_asked(players: int, pairs: int, seed: int) -> None:
    got = leverage_pairs(players, pairs, torch.Generator().manual_seed(seed))
    assert len(got.sets) == min(pairs, 2 ** (players - 1) - 1)
    both = torch.cat([got.sets, ~got.sets]).tolist()
    assert len({tuple(s) for s in both}) == len(both), "a coalition is asked once, its complement beside it"
    assert all(0 < sum(s) < players for s in both)
    assert len(got.weight) == len(got.seen) == len(got.sets)
    assert float(got.weight.min()) > 0 and 0 < float(got.seen.min()) <= float(got.seen.max()) <= 1


def test_every_size_gets_its_share_and_small_sizes_are_taken_whole() -> None:
    sets = leverage_pairs(20, 400, torch.Generator().manual_seed(0)).sets
    counts = torch.bincount(sets.sum(1), minlength=11).tolist()
    assert counts[1] == 20
    rest = counts[2:10]
    assert max(rest) - min(rest) <= 1, "the other sizes alike"
    assert counts[10] == pytest.approx(rest[0] / 2, abs=1), "the middle one is one size, not two"


def test_within_a_size_all_coalitions_are_drawn_alike() -> None:
    seen: dict[tuple, int] = {}
    for seed in range(600):
        for s in leverage_pairs(6, 12, torch.Generator().manual_seed(seed)).sets.tolist():
            if sum(s) == 2:
                seen[tuple(s)] = seen.get(tuple(s), 0) + 1
    assert len(seen) == comb(6, 2)
    mean = sum(seen.values()) / 15
    assert all(abs(n - mean) < 5 * mean**0.5 for n in seen.values())


def test_the_weights_do_not_depend_on_the_sample_in_the_mean() -> None:
    """Horvitz–Thompson: the sum of the weights of a size is the kernel's, over seeds."""
    totals = torch.zeros(5, dtype=torch.float64)
    for seed in range(300):
        got = leverage_pairs(9, 37, torch.Generator().manual_seed(seed))
        totals.index_add_(0, got.sets.sum(1), got.weight)
    kernel = torch.tensor([0, *(2 * 8 / (h * (9 - h)) for h in range(1, 5))], dtype=torch.float64)
    torch.testing.assert_close(totals / 300, kernel, rtol=0.02, atol=0)


def test_each_case_has_its_own_players_and_budget() -> None:
    f = FAMILIES["picture_and_table"]
    rows = explain(KernelShap(segments=20), f.predictor(), f.cases(), f.targets)
    counts = [row[0].notes["features"] for row in rows]
    assert len(set(counts)) > 1
    for row, m in zip(rows, counts):
        assert row[0].notes["evaluations"] == 6 * m
        assert row[0].cost.forwards == 6 * m + 2
        assert len(row[0].maps["image"].unique()) <= m - 5


def test_too_few_evaluations_are_refused_in_a_sentence_and_flagged_when_forced() -> None:
    f = FAMILIES["picture"]
    few = {"groups": "cubes", "segments": 16, "samples": 40}
    with pytest.raises(UsageError, match=r"case c0: samples=40 is too few for kernel_shap over 16 features: it needs 64 or more \(96 by default\).*segments.*force=True"):
        explain(KernelShap(**few), f.predictor(), f.cases(1), f.targets)
    ((a, _),) = explain(KernelShap(**few, force=True), f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" in a.flags
    assert a.checks["complete"].status == "pass"
    ((b, _),) = explain(KernelShap(**(few | {"samples": 64})), f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" not in b.flags


def test_a_map_that_is_mostly_chance_is_flagged() -> None:
    """A product of many parts has no additive part to find with so few evaluations."""

    class Parity(torch.nn.Module):
        def forward(self, x):
            z = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
            return torch.stack([(1 - 2 * z[:, :15]).prod(1), z.sum(1)], 1)

    case = Case(id="1", inputs={"x": torch.ones(1, 8, 8)})
    p = Predictor(Parity().eval(), inputs=["x"], task="regression")
    ((parity, total),) = explain(KernelShap(groups="cubes", segments=16, fill="zero"), p, [case], T)
    assert parity.notes["relative_error"] > 0.5 and "uncertain" in parity.flags
    assert total.notes["relative_error"] < 1e-5 and "uncertain" not in total.flags


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segments": 0}, "segments=0: give 1 or more"),
        ({"compactness": 0.0}, "compactness=0.0: give a positive share"),
        ({"side": 0}, "side=0: a block of 0 pixels has no inside"),
        ({"samples": 1}, "samples=1: give 2 or more"),
        ({"fill": "men"}, "unknown fill 'men'; did you mean 'mean'"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KernelShap(**options)


def test_features_that_do_not_fit() -> None:
    f, two = FAMILIES["picture"], FAMILIES["two_pictures"]
    with pytest.raises(UsageError, match=r"groups 'superpixel' is neither .*; did you mean 'superpixels'"):
        explain(KernelShap(groups="superpixel"), f.predictor(), f.cases(1), f.targets)
    case = two.cases(1)[0].replace(regions={"organs": torch.ones(16, 16, dtype=torch.int64)})
    with pytest.raises(UsageError, match=r"case c0: region 'organs' is \(16, 16\), input 't2' is \(12, 12\)"):
        explain(KernelShap(groups="organs"), two.predictor(), [case], two.targets)
    wide = study().replace(inputs={"image": torch.zeros(1, 72, 72)}, regions={})
    p = Predictor(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72 * 72, 2)).eval(), inputs=["image"], task="regression")
    with pytest.raises(UsageError, match=r"kernel_shap over 5184 features; a regression takes 4096 at most.*segments"):
        explain(KernelShap(groups="blocks", side=1), p, [wide], T)


def test_literal_twin_knows_a_game_by_heart() -> None:
    """Glove game: one left glove, two right ones; 2/3, 1/6, 1/6."""
    assert shapley(lambda s: float(0 in s and len(s) > 1), 3) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_a_fit_through_all_rows_does_not_claim_to_be_sure() -> None:
    """Fewer pairs than features leave no residual: an error of zero would be the boldest claim of the worst map."""
    f = FAMILIES["picture"]
    ((a, _),) = explain(KernelShap(groups="cubes", segments=16, samples=20, force=True), f.predictor(), f.cases(1), f.targets)
    assert a.notes["standard_error"] == a.notes["relative_error"] == float("inf")
    assert {"uncertain", "too_few_samples"} <= set(a.flags)
    assert a.checks["complete"].status == "pass"
    case, p = study(), predictor(Sum(7))
    ((b, _),) = explain(KernelShap(groups="organs", samples=8, force=True), p, [case], T)
    assert "uncertain" in b.flags
