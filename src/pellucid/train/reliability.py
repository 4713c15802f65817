"""How far a model's probabilities are from how often it is right, with intervals by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.train.calibration import nll
from pellucid.train.draws import Draws, interval, patient_draws
from pellucid.train.thresholds import one_per_class
from pellucid.types import Activation

BINS = 10
CHANCE = 200  # sets of outcomes drawn from the probabilities themselves
MEASURES = ["metric", "class", "value", "low", "high", "by_chance", "n", "bins", "reason"]
CURVE = ["class", "bin", "count", "confidence", "observed", "low", "high"]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Question:
    """One yes-or-no question with its answers in probabilities: ``seen`` and ``said``, both ``(N,)``."""

    of: str
    seen: Array
    said: Array


def calibration_measures(
    truth: Tensor,
    output: Tensor,
    *,
    activation: Activation,
    classes: Sequence[str] = (),
    temperature: float = 1.0,
    groups: Sequence[str] | None = None,
    bins: int | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibration errors, Brier score and likelihood of a classifier, and its reliability curve.

    What is asked: with several independent labels each label, with two exclusive classes the second, with more
    whether the answer of highest probability is right (class ``"all"``).

    Measures, all lower is better: ``ece_equal_mass`` and ``ece_equal_width``, the mean distance between what is said
    and what is seen over bins that hold as many cases, or are as wide, each weighted by its cases
    (guo2017calibration); ``brier``, the mean squared error of the probabilities, summed over more than two exclusive
    classes (brier1950verification); ``nll``, the mean negative log-likelihood in nats. With several labels the mean
    over them comes first, class ``"macro"``.

    Args:
        truth: ``(N,)`` indices or ``(N, K)`` of 0 and 1.
        output: logits ``(N, K)``.
        activation: ``"softmax"`` or ``"sigmoid"``.
        classes: names of the outputs.
        temperature: by which the logits are divided.
        groups: of each case, normally the patient.
        bins: how many; by default one for ten cases, at least 2 and at most 10.
        n_boot: draws of the 95 % intervals; the bins stay those of all cases.
        seed: of the draws.

    Returns:
        Measures (``metric class value low high by_chance n bins reason``) and the curve in bins of equal mass
        (``class bin count confidence observed low high``: mean probability, share of yes, and its interval). An error
        in bins is above 0 even where every probability is true; ``by_chance`` is what it then is on average with
        these cases, each for itself.

    Raises:
        UsageError: lengths, shapes or an activation that do not fit.
    """
    if activation not in ("softmax", "sigmoid"):
        raise UsageError(f"calibration: activation {activation!r} gives no probabilities; use 'softmax' or 'sigmoid'")
    z = output.detach().cpu().double().reshape(len(output), -1) / temperature
    n, k = z.shape
    if n == 0 or len(truth) != n:
        raise UsageError(f"calibration: {len(truth)} truths and {n} outputs; give one of each per case")
    y = one_per_class(truth.detach().cpu(), k)
    if y.shape != z.shape:
        raise UsageError(f"calibration: truth is {tuple(truth.shape)}, the outputs are {tuple(z.shape)}")
    names = [str(c) for c in classes] or [f"class {c}" for c in range(k)]
    bins = bins or min(BINS, max(2, n // 10))
    draws = patient_draws(groups, n, n_boot=n_boot, seed=seed)
    asked = _questions(z, y, activation, names)
    squared, loss = _squared(z, y, activation), nll(z, y, activation).numpy()
    weights = np.concatenate([np.ones((1, n)), draws.weights])  # row 0: the value itself
    rng = np.random.default_rng(seed)
    chance: dict[str, list[float]] = {}
    columns: dict[str, list[Array]] = {}
    for name, binned in (("ece_equal_mass", equal_mass), ("ece_equal_width", equal_width)):
        places = [binned(q.said, bins) for q in asked]
        columns[name] = [_ece(q, place, weights) for q, place in zip(asked, places)]
        chance[name] = [_by_chance(q, place, rng) for q, place in zip(asked, places)]
    columns |= {
        "brier": [weights @ squared[:, j] / weights.sum(1) for j in range(len(asked))],
        "nll": [weights @ loss[:, j] / weights.sum(1) for j in range(len(asked))],
    }
    rows = []
    for metric, values in columns.items():
        found = list(zip([q.of for q in asked], values))
        if len(found) > 1:
            found.insert(0, ("macro", np.mean(values, axis=0)))
        for of, v in found:
            low, high, reason = interval(v[1:], draws.patients)
            mine = chance.get(metric, [])
            usual = np.mean(mine) if of == "macro" and mine else dict(zip([q.of for q in asked], mine)).get(of, np.nan)
            rows.append((metric, of, float(v[0]), low, high, float(usual), n, bins if mine else 0, reason))
    curves = [row for q in asked for row in _curve(q, bins, draws)]
    return pd.DataFrame(rows, columns=MEASURES), pd.DataFrame(curves, columns=CURVE)


def equal_mass(said: Array, bins: int) -> NDArray[np.intp]:
    """The bin of each case: the edges are quantiles, so that all bins hold about as many cases; ties stay together."""
    edges = np.quantile(said, np.linspace(0, 1, bins + 1))
    return np.searchsorted(edges[1:-1], said)


def equal_width(said: Array, bins: int) -> NDArray[np.intp]:
    """The bin of each case among bins of one width from 0 to 1."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], said)


def _questions(z: Tensor, y: Tensor, activation: Activation, names: Sequence[str]) -> list[Question]:
    if activation == "sigmoid":
        p = z.sigmoid().numpy()
        return [Question(name, y[:, k].numpy(), p[:, k]) for k, name in enumerate(names)]
    p = z.softmax(1).numpy()
    if p.shape[1] == 2:
        return [Question(names[1], y[:, 1].numpy(), p[:, 1])]
    right = (p.argmax(1) == y.argmax(1).numpy()).astype(float)
    return [Question("all", right, p.max(1))]


def _squared(z: Tensor, y: Tensor, activation: Activation) -> Array:
    """``(N, questions)`` squared errors of the probabilities."""
    if activation == "sigmoid":
        return (z.sigmoid() - y).square().numpy()
    error = (z.softmax(1) - y).square()
    return (error[:, 1:] if z.shape[1] == 2 else error.sum(1, keepdim=True)).numpy()


def _ece(q: Question, place: NDArray[np.intp], weights: Array) -> Array:
    """``(B,)`` sums over bins of what is said less what is seen, in absolute terms, over the weight of all cases."""
    gaps = np.zeros((len(q.said), int(place.max()) + 1))
    gaps[np.arange(len(place)), place] = q.said - q.seen
    return np.abs(weights @ gaps).sum(1) / weights.sum(1)


def _by_chance(q: Question, place: NDArray[np.intp], rng: np.random.Generator) -> float:
    """The mean error in bins over sets of outcomes that have exactly the probabilities that were said."""
    drawn = rng.random((CHANCE, len(q.said))) < q.said
    gaps = np.stack([np.abs((q.said - drawn)[:, place == at].sum(1)) for at in np.unique(place)])
    return float(gaps.sum(0).mean() / len(q.said))


def _curve(q: Question, bins: int, draws: Draws) -> list[tuple[object, ...]]:
    place = equal_mass(q.said, bins)
    rows: list[tuple[object, ...]] = []
    for b, at in enumerate(np.unique(place)):
        mine = place == at
        with np.errstate(invalid="ignore"):
            shares = draws.weights[:, mine] @ q.seen[mine] / draws.weights[:, mine].sum(1)
        low, high, _ = interval(shares, draws.patients)
        rows.append((q.of, b, int(mine.sum()), float(q.said[mine].mean()), float(q.seen[mine].mean()), low, high))
    return rows
