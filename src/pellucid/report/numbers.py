"""How numbers are written: alike everywhere, with their interval, and a dash with a reason where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

DASH = "–"


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def number(value: Any, *, digits: int = 3) -> str:
    """Three significant digits without an exponent where that is short, ``–`` for what is not there.

    Example:
        >>> number(0.12345), number(1234567.0), number(0.0000123), number(float("nan")), number(0)
        ('0.123', '1,234,567', '1.2e-05', '–', '0')
    """
    if not isinstance(value, int | float | np.number):
        return DASH if value is None or value is pd.NA else str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{int(value):,}"
    v = float(value)
    if not math.isfinite(v):
        return DASH if math.isnan(v) else ("∞" if v > 0 else "−∞")
    if v == 0:
        return "0"
    size = abs(v)
    if size < 1e-3:
        return f"{v:.2g}"
    if size >= 1000:
        return f"{v:,.0f}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size >= 1 else digits
    return f"{v:.{decimals}f}"


def interval(low: Any, high: Any) -> str:
    """``[low, high]``, or nothing where there is no interval."""
    return f"[{number(low)}, {number(high)}]" if is_number(low) and is_number(high) else ""


def p_value(p: float) -> str:
    """``p 0.012``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p {number(float(p))}"


def percent(part: float, whole: float) -> str:
    """A share in whole per cent."""
    return f"{100 * part / whole:.0f} %" if whole else DASH


def mean_interval(
    values: Sequence[float], groups: Sequence[str] | None = None, *, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float, int]:
    """Mean over cases, its 95 % bootstrap interval over groups, and the number of cases with a value.

    The interval is NaN where fewer than two groups have a value.
    """
    known = np.asarray(values, float)
    owner = np.arange(len(known)).astype(str) if groups is None else np.asarray(groups, str)
    good = np.isfinite(known)
    known, owner = known[good], owner[good]
    if not len(known):
        return math.nan, math.nan, math.nan, 0
    names, index = np.unique(owner, return_inverse=True)
    if len(names) < 2:
        return float(known.mean()), math.nan, math.nan, len(known)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    total, size = np.bincount(index, known), np.bincount(index)
    low, high = np.quantile((counts @ total) / (counts @ size), [0.025, 0.975])
    return float(known.mean()), float(low), float(high), len(known)
