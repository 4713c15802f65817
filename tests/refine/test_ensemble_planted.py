"""Where the answer is known: an ensemble is better than its members if their faults are their own, and not otherwise."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import pellucid as pc
from metric_worlds import linear_world
from pellucid.core.statistics import draws_of, interval

CASES, MEMBERS = 10, 5
METRICS = {"deletion_auc": -1, "pointing_game": 1, "dice": 1}


def gains(combine: str, *, shared: bool) -> dict[str, np.ndarray]:
    """Of every case, how much better the ensemble is than the median of its members."""
    predictor, case, exact = linear_world((16, 16))
    found: dict[str, list[float]] = {m: [] for m in METRICS}
    noise = lambda g: 0.6 * torch.randn(1, 16, 16, generator=g)  # noqa: E731
    for i in range(CASES):
        g = torch.Generator().manual_seed(i)
        fault = noise(g)
        maps = [
            exact.replace(method=f"m{k}", maps={"x": exact.maps["x"] + (fault if shared else noise(g))})
            for k in range(MEMBERS)
        ]
        e = pc.ensemble(maps, combine, block=1, weights=[1] * MEMBERS if combine == "weighted" else None)
        scores = pc.evaluate(predictor, case, [*maps, e], list(METRICS), steps=5)
        for metric, sign in METRICS.items():
            values = [s[metric] for s in scores]
            found[metric].append(sign * (values[-1] - float(np.median(values[:-1]))))
    return {m: np.array(v) for m, v in found.items()}


@pytest.mark.parametrize("combine", ["weighted", "rank"])
def test_it_beats_the_median_of_members_whose_faults_are_their_own(combine: str) -> None:
    for metric, gain in gains(combine, shared=False).items():
        low, _, _ = interval(gain, np.arange(CASES), draws_of(CASES, 500, 0))
        assert low > 0, (metric, gain)


def test_members_with_the_same_fault_gain_nothing() -> None:
    for metric, gain in gains("weighted", shared=True).items():
        # What is below zero in all of them ties in the ensemble, so the end of the deletion curve is another.
        if metric == "deletion_auc":
            assert interval(gain, np.arange(CASES), draws_of(CASES, 500, 0))[0] <= 0
        else:
            np.testing.assert_allclose(gain, 0, atol=1e-6, err_msg=metric)


def test_the_examples_gains_are_in_the_better_direction_and_over_the_median_of_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    example = importlib.import_module("ensemble_planted")
    own = {"a": 0.2, "b": 0.3, "c": 0.7}
    blurred = {f"{m}_{b}": v + 0.1 for m, v in own.items() for b in example.BLOCKS}
    made = {f"{c}_{b}": 0.1 for c in example.COMBINES for b in example.BLOCKS}
    rows = [
        {"metric": metric, "case": f"c{i}", "group": f"g{i}", "method": m, "value": np.nan if m == "rank_2" and i == 3 else v + i}
        for metric in ("deletion_auc", "dice") for i in range(6) for m, v in (own | blurred | made).items()
    ]  # fmt: skip
    found = example.against_members(pd.DataFrame(rows), list(own)).set_index(["metric", "ensemble"])
    for metric, sign in (("deletion_auc", 1), ("dice", -1)):
        row = found.loc[metric, "threshold_7"]
        for what, expected in (("gain", 0.2), ("alike", 0.3)):
            assert [row[k] for k in (what, f"{what}_low", f"{what}_high")] == pytest.approx([sign * expected] * 3)
        assert found.loc[metric, "rank_2"]["n"] == 5
