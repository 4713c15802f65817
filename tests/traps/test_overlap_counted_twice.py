"""Trap: window gradients added without weights: cosine 0.87 with the true gradient (Agg²Exp)."""

from __future__ import annotations

import pytest
import torch

import pellucid as pc
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from reference import stitching
from windowed import case, predictor

P, C = predictor(3, overlap=0.5), case(10, 9, 8)
TARGET = pc.RegionScore(1)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def literally() -> torch.Tensor:
    """The seed's rule: in each window the sum of its own logits over its part of the region; gradients added."""
    x = C.inputs["x"][None]
    mask = stitching.stitched(P.module, x, P.windows).argmax(1)[0] == 1
    total = torch.zeros_like(x)
    for row in Engine(P).plan((("x", (1, 10, 9, 8)),)).rows:
        for w in row.windows:
            where = (slice(None), slice(None), *w.volume)
            leaf = x[where].clone().requires_grad_()
            score = (P.module(leaf)[0, 1] * mask[w.volume]).sum()
            total[where] += torch.autograd.grad(score, leaf)[0]
    return total[0]


def test_overlap_counted_twice() -> None:
    _, (exact,) = stitching.gradients(P, C, [TARGET])
    gradient = {
        how: Problem(Engine(P, overlap=how), [C], [TARGET]).gradient.sums["x"][0, 0] for how in ("exact", "sum")
    }
    torch.testing.assert_close(gradient["sum"], literally(), rtol=1e-4, atol=1e-5)
    assert cosine(gradient["exact"], exact) > 1 - 1e-6
    assert cosine(gradient["sum"], exact) < 0.95


def test_the_map_says_so() -> None:
    ours = pc.explain(P, C, "input_x_gradient", TARGET)
    seed = pc.explain(P, C, "input_x_gradient", TARGET, overlap="sum")
    assert "overlap_counted_twice" in seed.flags
    assert "overlap_counted_twice" not in ours.flags
    assert seed.score == pytest.approx(ours.score)  # what is explained is the stitched prediction either way
    assert seed.provenance["windows"]["gradients"] == "sum"
    assert ours.provenance["windows"] == {**P.windows.describe(), "gradients": "exact"}


def test_windows_that_do_not_overlap_are_counted_once() -> None:
    apart, c = predictor(2, overlap=0.0), case(12, 12)
    one, two = (pc.explain(apart, c, "input_x_gradient", TARGET, overlap=o).maps["x"] for o in ("exact", "sum"))
    torch.testing.assert_close(one, two)


def test_probabilities_of_the_stitching_are_not_added_up_by_window() -> None:
    with pytest.raises(UsageError, match="overlap='sum' adds up windows of their own logits"):
        _ = Problem(Engine(P, overlap="sum"), [C], [pc.RegionScore(1, on="probability")]).gradient


def test_a_region_table_is_that_of_the_exact_map_and_one_of_added_windows_says_so() -> None:
    exact, twice = (pc.aggregate(P, C, method="input_x_gradient", overlap=o) for o in ("exact", "sum"))
    assert all("overlap_counted_twice" in words for words in twice.attrs["flags"].values())
    assert not any("overlap_counted_twice" in words for words in exact.attrs["flags"].values())
    for table, how in ((exact, "exact"), (twice, "sum")):
        m = pc.explain(P, C, "input_x_gradient", pc.RegionScore(1), overlap=how).spatial("x")
        rows = table[(table["target_index"] == 1) & (table["region"] == "*")].set_index("measure")["value"]
        assert rows["map_mean"] == pytest.approx(float(m.double().mean()), rel=1e-4)
    masses = [t[(t["target_index"] == 1) & (t["measure"] == "mass")]["value"].to_numpy() for t in (exact, twice)]
    assert abs(masses[0] - masses[1]).max() > 0.01
