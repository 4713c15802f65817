"""Temperature scaling: are seven of ten cases that the model calls 70 % likely what it says?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.train.draws import patient_draws
from pellucid.train.thresholds import one_per_class
from pellucid.types import Activation

FEWEST = 20  # patients in validation; with fewer, one number is not worth the fit
BOUND = 20.0  # a temperature beyond 1/20 or 20 is an accident of the sample
GRID = 241  # inverse temperatures, evenly spaced in their logarithm, on which the draws are solved


@dataclass(frozen=True)
class Calibration:
    """A temperature that was fitted on validation cases.

    Attributes:
        temperature: to be used: ``fitted``, or 1 where there is a ``reason`` against it.
        fitted: the one of the lowest negative log-likelihood; NaN where there is none between the bounds.
        low: of its 95 % bootstrap interval over patients.
        high: of the same.
        nll_before: mean negative log-likelihood of the validation cases without it, in nats.
        nll_after: the same with ``temperature``.
        n: cases.
        patients: whose they are.
        reason: why it was kept at 1, or empty.
    """

    temperature: float
    fitted: float
    low: float
    high: float
    nll_before: float
    nll_after: float
    n: int
    patients: int
    reason: str

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def fit_temperature(
    truth: Tensor,
    output: Tensor,
    *,
    activation: Activation,
    groups: Sequence[str] | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> Calibration:
    """The temperature T of ``softmax(z / T)`` or ``sigmoid(z / T)`` with the lowest negative log-likelihood.

    The likelihood is concave in 1/T, so its derivative has one root, which is bracketed. Independent labels share
    one T: a rare label has too few positive cases for one of its own, and the order among labels stays.

    Args:
        truth: of validation cases, ``(N,)`` indices or ``(N, K)`` of 0 and 1.
        output: their logits ``(N, K)``.
        activation: ``"softmax"`` or ``"sigmoid"``.
        groups: of each case, normally the patient; each case its own if None.
        n_boot: draws of the interval.
        seed: of the draws.

    Raises:
        UsageError: lengths, shapes or an activation that do not fit.

    Source: guo2017calibration
    """
    if activation not in ("softmax", "sigmoid"):
        raise UsageError(f"calibration: activation {activation!r} gives no probabilities; use 'softmax' or 'sigmoid'")
    z = output.detach().cpu().double().reshape(len(output), -1)
    if not len(z) or len(truth) != len(z):
        raise UsageError(f"calibration: {len(truth)} truths and {len(z)} outputs; give one of each per case")
    y = one_per_class(truth.detach().cpu(), z.shape[1])
    if y.shape != z.shape:
        raise UsageError(f"calibration: truth is {tuple(truth.shape)}, the outputs are {tuple(z.shape)}")
    draws = patient_draws(groups, len(z), n_boot=n_boot, seed=seed)
    before = _nll(z, y, 1.0, activation)
    fitted, reason = _root(z, y, activation)
    low, high = (math.nan, math.nan) if reason or draws.patients < 2 else _interval(z, y, activation, draws.weights)
    if not reason and draws.patients < FEWEST:
        reason = f"{draws.patients} patients in validation, fewer than {FEWEST}"
    used = 1.0 if reason else fitted
    return Calibration(
        used, fitted, low, high, before, _nll(z, y, used, activation), len(z), draws.patients, reason
    )


def _nll(z: Tensor, y: Tensor, temperature: float, activation: Activation) -> float:
    return float(nll(z / temperature, y, activation).mean())


def nll(z: Tensor, y: Tensor, activation: Activation) -> Tensor:
    """Negative log-likelihood in nats: ``(N, 1)`` of exclusive classes, ``(N, K)`` of independent labels."""
    if activation == "softmax":
        return -(z.log_softmax(1) * y).sum(1, keepdim=True)
    return torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")


def _slopes(z: Tensor, y: Tensor, inverse: float, activation: Activation) -> Tensor:
    """``(N,)`` derivative of each case's likelihood loss with respect to 1/T: what is expected less what was seen."""
    p = (z * inverse).softmax(1) if activation == "softmax" else (z * inverse).sigmoid()
    return ((p - y) * z).sum(1)


def _root(z: Tensor, y: Tensor, activation: Activation) -> tuple[float, str]:
    low, high = 1 / BOUND, BOUND
    if float(_slopes(z, y, high, activation).sum()) <= 0:
        right = bool((z.argmax(1) == y.argmax(1)).all() if activation == "softmax" else ((z > 0) == (y > 0.5)).all())
        return math.nan, (
            "no validation case is wrong, so that any lower temperature is better" if right
            else f"the fit runs below {1 / BOUND:g}: next to no validation case is wrong"
        )  # fmt: skip
    if float(_slopes(z, y, low, activation).sum()) >= 0:
        return math.nan, f"the fit runs above {BOUND:g}: the outputs say next to nothing about validation cases"
    for _ in range(60):
        middle = math.sqrt(low * high)
        if float(_slopes(z, y, middle, activation).sum()) > 0:
            high = middle
        else:
            low = middle
    return 1 / math.sqrt(low * high), ""


def _interval(z: Tensor, y: Tensor, activation: Activation, weights: NDArray[np.float64]) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the draws' temperatures; a draw without a root counts as its bound."""
    grid = np.geomspace(1 / BOUND, BOUND, GRID)
    slopes = np.stack([_slopes(z, y, float(b), activation).numpy() for b in grid])  # (G, N)
    total = weights @ slopes.T  # (B, G), rising along the grid
    after = (total > 0).argmax(1)
    after[~(total > 0).any(1)] = GRID - 1
    at = np.clip(after, 1, GRID - 1)
    rows = np.arange(len(total))
    a, b = total[rows, at - 1], total[rows, at]
    share = np.clip(np.divide(-a, b - a, out=np.ones_like(a), where=b > a), 0, 1)
    logs = np.log(grid)
    temperatures = np.exp(-(logs[at - 1] + share * (logs[at] - logs[at - 1])))
    return float(np.quantile(temperatures, 0.025)), float(np.quantile(temperatures, 0.975))
