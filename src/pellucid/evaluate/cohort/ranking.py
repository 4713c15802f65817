"""Which methods can be told apart: mean ranks over patients, Friedman's test, Nemenyi's critical difference.

Each patient ranks the methods; a question's ranks are those of the mean rank over its metrics, those of "all" of the
mean over the questions, so that a question with many metrics weighs no more than another. Source:
demsar2006statistical.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import factorial, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import rankdata, studentized_range

from pellucid.core.refiner import base_of
from pellucid.core.statistics import draws_of
from pellucid.evaluate.cohort.blocks import JUDGED, Block, about, joined, methods_of, metric_blocks

COLUMNS = [
    "scope", "method", "control", "mean_rank", "low", "high", "place", "n", "cd", "p", "cliques", "mean_rank_without",
    "place_without", "cd_without", "p_without", "cliques_without", "note",
]  # fmt: skip
ALL = "all"
EMPTY = Block(pd.DataFrame(dtype=float), 0)


def ranking(
    scores: pd.DataFrame, *, group: str = "group", alpha: float = 0.05, n_boot: int = 2000, seed: int = 0,
    controls: Sequence[str] = ("random", "edge"),
) -> pd.DataFrame:  # fmt: skip
    """Mean ranks of the methods over patients, by metric, by question and over all.

    Args:
        scores: long table: ``case``, ``group``, ``method``, ``metric``, ``value`` (NaN where undefined).
        group: column of the patient; every case its own if there is no such column.
        alpha: of the critical difference.
        n_boot: draws of the bootstrap over patients.
        seed: of the draws.
        controls: methods that know nothing of the model. They take part; the columns ``…_without`` are the same
            ranking without them.

    Returns:
        One row per scope (a metric, a question, ``"all"``) and method: ``mean_rank`` with a 95 % interval; ``place``, 1
        the best; ``n``, patients in whom all compared methods are defined; ``cd``, the difference of mean ranks from
        which two methods are told apart; ``p`` of Friedman's test (Iman and Davenport's F), not corrected over
        scopes; ``cliques``, the groups of methods not told apart that it belongs to; ``note``.

    Raises:
        UsageError: a column is missing.
    """
    own = scores[~scores["method"].astype(str).map(base_of).isin(list(controls))] if "method" in scores else scores
    whole, less = scopes(scores, group), scopes(own, group)
    rows, methods = [], methods_of(scores)
    for scope, block in whole.items():
        found = _one(block, alpha), _one(less.get(scope, EMPTY), alpha)
        rows += _rows(scope, block, found, methods, _interval(block, n_boot, seed), set(controls))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"control": bool})


def scopes(scores: pd.DataFrame, group: str = "group") -> dict[str, Block]:
    """The blocks of every metric, every question and of all questions together."""
    metrics = metric_blocks(scores, group)
    methods = methods_of(scores)
    found = dict(metrics)
    questions = {q: [m for m in metrics if about(m)[1] == q] for q in dict.fromkeys(about(m)[1] for m in metrics)}
    found |= {q: joined((metrics[m] for m in names), methods) for q, names in questions.items() if q}
    judged = [found[q] for q in questions if q in JUDGED]
    return found | ({ALL: joined(judged, methods, everywhere=True)} if judged else {})


def friedman(ranks: NDArray[np.float64]) -> tuple[float, float, float]:
    """Friedman's χ² (corrected for ties), Iman and Davenport's F of it, and its p.

    p is no smaller than the chance that all of so few patients agree, which the F distribution overlooks.

    Args:
        ranks: patients × methods.

    Returns:
        ``(χ², F, p)``; NaN with fewer than two patients or methods.
    """
    n, k = ranks.shape
    if n < 2 or k < 2:
        return float("nan"), float("nan"), float("nan")
    spread = float((ranks**2).sum()) - n * k * (k + 1) ** 2 / 4
    if not spread > 0:
        return 0.0, 0.0, 1.0
    chi2 = (k - 1) * float(((ranks.sum(0) - n * (k + 1) / 2) ** 2).sum()) / spread
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 * n * k else float("inf")
    p = float(f_distribution.sf(f, k - 1, (k - 1) * (n - 1)))
    return chi2, f, max(p, factorial(k) ** -(n - 1.0))


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's: ``q_α √(k(k + 1) / 6n)``, ``q`` the studentised range over √2; k methods, n patients."""
    return _studentised(k, alpha) * sqrt(k * (k + 1) / (6 * n)) if k > 1 and n > 1 else float("nan")


def cliques(mean_ranks: Sequence[float], cd: float) -> list[list[int]]:
    """Maximal groups (two or more) of methods whose mean ranks differ by less than ``cd``; places in the list."""
    order = sorted(range(len(mean_ranks)), key=lambda i: mean_ranks[i])
    found: list[list[int]] = []
    for i, first in enumerate(order):
        same = [j for j in order[i:] if mean_ranks[j] - mean_ranks[first] < cd]
        if len(same) > 1 and not (found and set(same) <= set(found[-1])):
            found.append(same)
    return found


def _rows(
    scope: str, block: Block, found: tuple[dict[str, Any], dict[str, Any]], methods: list[str],
    interval: dict[str, tuple[float, float]], controls: set[str],
) -> list[dict[str, Any]]:  # fmt: skip
    n = len(block.ranks)
    rows = []
    for m in methods:
        note = block.left_out.get(m, "")
        if m not in block.ranks and not note:
            continue  # not asked for in this scope
        there = m in block.ranks and n > 0
        low, high = interval.get(m, (np.nan, np.nan))
        row: dict[str, Any] = {
            "scope": scope, "method": m, "control": base_of(m) in controls, "n": n if there else 0, "low": low,
            "high": high, "note": note or _note(n, block),
        }  # fmt: skip
        for end, one in zip(("", "_without"), found):
            own = one["of"].get(m) if there else None
            row |= {f"{key}{end}": own[key] if own else np.nan for key in ("mean_rank", "place")}
            row |= {f"{key}{end}": one[key] if own else np.nan for key in ("cd", "p")}
            row[f"cliques{end}"] = own["cliques"] if own else ""
        rows.append(row)
    return sorted(rows, key=lambda r: (np.isnan(r["mean_rank"]), r["mean_rank"]))


def _one(block: Block, alpha: float) -> dict[str, Any]:
    """Test, critical difference, and of every method its mean rank, place and cliques."""
    ranks = block.ranks.to_numpy(float)
    n, k = ranks.shape
    p, cd = friedman(ranks)[2], critical_difference(k, n, alpha)
    mean = ranks.mean(0) if n else np.full(k, np.nan)
    # Pairs are told apart only where the test says that there is any difference at all.
    groups = [] if np.isnan(p) else cliques(list(mean), cd if p < alpha else np.inf)
    place = rankdata(np.round(mean, 9), method="min")
    of = {
        str(m): {
            "mean_rank": float(mean[j]), "place": float(place[j]),
            "cliques": ",".join(str(i + 1) for i, g in enumerate(groups) if j in g),
        }
        for j, m in enumerate(block.ranks.columns)
    }  # fmt: skip
    return {"p": p, "cd": cd, "of": of}


def _interval(block: Block, n_boot: int, seed: int) -> dict[str, tuple[float, float]]:
    """95 % interval of every method's mean rank, patients drawn with replacement; none with one patient."""
    n = len(block.ranks)
    if n < 2:
        return {}
    low, high = np.quantile(draws_of(n, n_boot, seed) @ block.ranks.to_numpy(float) / n, [0.025, 0.975], axis=0)
    return {str(m): (float(a), float(b)) for m, a, b in zip(block.ranks.columns, low, high)}


def _note(n: int, block: Block) -> str:
    if n == 0:
        return "no patient in whom all methods are defined"
    if n == 1:
        return "one patient only: no test"
    if block.ranks.shape[1] < 2:
        return "one method only: nothing to compare"
    lost = block.patients - n
    return f"{lost} of {block.patients} patients left out: not all methods are defined" if lost else ""


@cache
def _studentised(k: int, alpha: float) -> float:
    return float(studentized_range.ppf(1 - alpha, k, np.inf)) / sqrt(2)
