"""What is so against what is said: counts, and shares with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.train.asked import Asked
from pellucid.train.draws import interval, patient_draws
from pellucid.train.scores import NO_THRESHOLD
from pellucid.train.weighted import Array

COLUMNS = [
    "class", "truth", "said", "count", "share", "low", "high", "share_said", "low_said", "high_said", "n", "reason",
]  # fmt: skip
YES_NO = ("no", "yes")


def exclusive_confusion(
    truth: Tensor, output: Tensor, *, classes: Sequence[str] = (), groups: Sequence[str] | None = None,
    min_positives: int = 5, n_boot: int = 1000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """K × K cells of exclusive classes, class ``"all"``: ``truth`` the class that it is, ``said`` the most probable.

    Args:
        truth: ``(N,)`` indices.
        output: logits ``(N, K)``.
        classes: names.
        groups: of each case, normally the patient.
        min_positives: of a class that fewer cases have the shares are NaN, with the reason; the counts stand.
        n_boot: draws of the 95 % intervals.
        seed: of the draws.

    Returns:
        ``share`` is that of the cases that are ``truth`` (the row), ``share_said`` that of those that are called
        ``said`` (the column), each with its interval.
    """
    k = output.shape[1]
    names = [str(c) for c in classes] or [f"class {c}" for c in range(k)]
    y, said = truth.detach().cpu().numpy(), output.detach().cpu().argmax(1).numpy()
    return _cells("all", y, said, names, groups, min_positives, n_boot, seed)


def label_confusion(
    questions: Sequence[Asked], *, groups: Sequence[str] | None = None, min_positives: int = 5, n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """2 × 2 cells of each of several labels at its threshold: ``truth`` and ``said`` are ``no`` or ``yes``.

    Arguments and columns are those of :func:`exclusive_confusion`. A label without a threshold has one row, with the
    reason.
    """
    parts = []
    for q in questions:
        if np.isnan(q.yes).any():
            row = (q.of, "", "", np.nan, *[np.nan] * 6, len(q.truth), NO_THRESHOLD)
            parts.append(pd.DataFrame([row], columns=COLUMNS))
            continue
        y, yes = (a.astype(int) for a in (q.truth, q.yes))
        parts.append(_cells(q.of, y, yes, YES_NO, groups, min_positives, n_boot, seed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def confusion(
    questions: Sequence[Asked], truth: Tensor, output: Tensor, *, exclusive: bool, classes: Sequence[str] = (),
    groups: Sequence[str] | None = None, min_positives: int = 5, n_boot: int = 1000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """:func:`exclusive_confusion`, or :func:`label_confusion` of independent labels."""
    if exclusive:
        return exclusive_confusion(
            truth, torch.as_tensor(output), classes=classes, groups=groups, min_positives=min_positives,
            n_boot=n_boot, seed=seed,
        )  # fmt: skip
    return label_confusion(questions, groups=groups, min_positives=min_positives, n_boot=n_boot, seed=seed)


def _cells(
    of: str, y: Array, said: Array, names: Sequence[str], groups: Sequence[str] | None, least: int, n_boot: int,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    n, k = len(y), len(names)
    draws = patient_draws(groups, n, n_boot=n_boot, seed=seed)
    weights = np.concatenate([np.ones((1, n)), draws.weights])
    cell = np.zeros((n, k * k))
    cell[np.arange(n), y * k + said] = 1
    counts = (weights @ cell).reshape(-1, k, k)  # draws, truth, said
    rows = []
    for i in range(k):
        for j in range(k):
            found: list[object] = []
            reasons: list[str] = []
            for axis, few in ((2, _few(counts[0, i].sum(), names[i], least)), (1, "")):
                whole = counts.sum(axis)[:, i if axis == 2 else j]
                share = np.divide(counts[:, i, j], whole, out=np.full(len(whole), np.nan), where=whole > 0)
                none = "" if np.isfinite(share[0]) else "nothing is called so" if axis == 1 else "no such case"
                if few or none:
                    found += [np.nan] * 3
                    reasons.append(few or none)
                    continue
                low, high, why = interval(share[1:], draws.patients)
                found += [float(share[0]), low, high]
                reasons.append(why)
            said_why = "; ".join(dict.fromkeys(r for r in reasons if r))
            rows.append((of, names[i], names[j], int(counts[0, i, j]), *found, n, said_why))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"count": float})


def _few(count: float, name: str, least: int) -> str:
    return f"{int(count)} cases of {name!r}, fewer than {least}" if count < least else ""
