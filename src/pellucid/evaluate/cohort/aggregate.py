"""One ranking from many metrics, and how much of it is the choice of the metrics.

As in LATEC, each metric ranks the methods, the ranks are averaged over the metrics of a question and then over the
questions (each question weighs the same). The same is done for other choices of metrics: leave-one-out and random
subsets. A place that moves with the choice is no finding. Source: klein2024navigating.
"""

from __future__ import annotations

from itertools import combinations
from math import ceil, comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from pellucid.evaluate.cohort.blocks import JUDGED, about, levels, methods_of, metric_blocks, spread

COLUMNS = [
    "question", "method", "mean_rank", "place", "place_low", "place_high", "first", "metrics", "tau", "median_rank",
    "median_place", "borda", "choices", "note",
]  # fmt: skip
ALL = "all"


def aggregated(scores: pd.DataFrame, *, group: str = "group", choices: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Ranks of the methods aggregated over metrics, by question and over all questions.

    Args:
        scores: long table: ``case``, ``group``, ``method``, ``metric``, ``value``.
        group: column of the patient.
        choices: of metrics that are tried: all that leave out at most half of the metrics if they are no more than
            this, else every leave-one-out and so many random ones.
        seed: of the random ones.

    Returns:
        One row per question and method, and for ``"all"`` per method that every question ranks: ``mean_rank`` over the
        metrics, ``place``; ``place_low`` and ``place_high``, 5th and 95th percentile of the place over the choices;
        ``first``, the share of choices in which it is first (ties shared); ``metrics``, how many; ``tau``, the mean
        Kendall τ-b of the choices' ranking with the full one; ``median_rank`` and ``median_place``, the same by the
        median over the metrics; ``borda``, the mean number of methods that it beats (a tie counts half); ``choices``,
        how many were tried; ``note``.
    """
    blocks = metric_blocks(scores, group)
    methods = methods_of(scores)
    table = {m: b.mean for m, b in blocks.items() if len(b.ranks) and _tells(b.ranks)}
    names = [m for m in table if about(m)[1]]
    parts = []
    for question in [*dict.fromkeys(about(m)[1] for m in names), ALL]:
        own = [m for m in names if about(m)[1] == question or (question == ALL and about(m)[1] in JUDGED)]
        if own:
            ranks = np.array([table[m].reindex(methods).to_numpy(float) for m in own])
            weights = _weights([about(m)[1] for m in own])
            parts.append(_one(question, methods, ranks, weights, choices, seed))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def choices_of(n: int, most: int, seed: int) -> NDArray[np.bool_]:
    """Choices among n metrics, ``(S, n)``; the first is all of them.

    All that keep at least half, if there are no more than ``most``; else every leave-one-out and ``most`` random ones
    that keep at least half.
    """
    least = ceil(n / 2)
    if sum(comb(n, r) for r in range(least, n + 1)) <= most:
        sets = [c for r in range(n, least - 1, -1) for c in combinations(range(n), r)]
        found = np.zeros((len(sets), n), dtype=bool)
        for row, c in zip(found, sets):
            row[list(c)] = True
        return found
    rng = np.random.default_rng(seed)
    size = rng.integers(least, n, size=(most, 1))
    random = rankdata(rng.random((most, n)), axis=1) <= size
    return np.concatenate([np.ones((1, n), dtype=bool), ~np.eye(n, dtype=bool), random])


def tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's τ-b of every row of ``a`` ``(S, k)`` with ``b`` ``(k,)``; NaN where one is constant."""
    i, j = np.triu_indices(len(b), 1)
    da, db = np.sign(a[:, i] - a[:, j]), np.sign(b[i] - b[j])
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (da * db).sum(1) / np.sqrt((da**2).sum(1) * (db**2).sum())
    return found


def mean_ranks(
    ranks: NDArray[np.float64], questions: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> NDArray[np.float64]:  # fmt: skip
    """Mean over the metrics of each question, then over the questions, for every choice: ``(S, k)``."""
    known, filled = np.isfinite(ranks).astype(float), np.nan_to_num(ranks)
    total = np.zeros((len(chosen), ranks.shape[1]))
    count = np.zeros_like(total)
    for q in np.unique(questions):
        own = chosen[:, questions == q].astype(float)
        n = own @ known[questions == q]
        total += np.divide(own @ filled[questions == q], n, out=np.zeros_like(total), where=n > 0)
        count += n > 0
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _one(
    question: str, methods: list[str], ranks: NDArray[np.float64], questions: NDArray[np.int64], most: int, seed: int
) -> pd.DataFrame:  # fmt: skip
    # A method that a whole question does not rank would be judged by the others alone: it has no place over all.
    there = np.all([np.isfinite(ranks[questions == q]).any(axis=0) for q in np.unique(questions)], axis=0)
    if not there.any():
        return pd.DataFrame(columns=COLUMNS)
    methods, ranks = [m for m, t in zip(methods, there) if t], np.array([_places(r) for r in ranks[:, there]])
    chosen = choices_of(len(ranks), most, seed)
    scored = np.round(mean_ranks(ranks, questions, chosen), 9)
    places = np.array([rankdata(row, method="min", nan_policy="omit") for row in scored])
    best = places == np.nanmin(places, axis=1, keepdims=True)
    middle = np.round(_median(ranks, questions), 9)
    rows = {
        "question": question, "method": methods, "mean_rank": scored[0], "place": places[0],
        "place_low": np.nanquantile(places, 0.05, axis=0, method="inverted_cdf"),
        "place_high": np.nanquantile(places, 0.95, axis=0, method="inverted_cdf"),
        "first": (best / best.sum(1, keepdims=True)).mean(0), "metrics": len(ranks),
        "tau": _mean(tau_b(scored[1:], scored[0])) if len(chosen) > 1 else np.nan,
        "median_rank": middle, "median_place": rankdata(middle, method="min"), "borda": len(methods) - scored[0],
        "choices": len(chosen),
        "note": [_note(int(n), len(ranks)) for n in np.isfinite(ranks).sum(0)],
    }  # fmt: skip
    return pd.DataFrame(rows).sort_values(["mean_rank", "method"], kind="stable")


def _median(ranks: NDArray[np.float64], questions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median over the metrics of each question, then the mean over the questions."""
    parts = [ranks[questions == q] for q in np.unique(questions)]
    medians = np.array([np.nanmedian(p[:, :], axis=0) if len(p) > 1 else p[0] for p in parts])
    found: NDArray[np.float64] = np.nanmean(medians, axis=0)
    return found


def _places(mean_rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places that a metric gives the methods, ties shared, spread over all that are compared."""
    found, known = np.full(len(mean_rank), np.nan), np.isfinite(mean_rank)
    found[known] = spread(rankdata(levels(mean_rank[known])), len(mean_rank))
    return found


def _note(known: int, metrics: int) -> str:
    if metrics == 1:
        return "one metric only: no other choice"
    return f"defined in {known} of {metrics} metrics" if known < metrics else ""


def _weights(questions: list[str]) -> NDArray[np.int64]:
    order = list(dict.fromkeys(questions))
    return np.array([order.index(q) for q in questions])


def _tells(ranks: pd.DataFrame) -> bool:
    """Whether a metric tells any two methods apart: one that is the model's, the same for every map, does not."""
    return ranks.shape[1] < 2 or bool((ranks.nunique(axis=1) > 1).any())


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
