"""How often the intervals of a readers' study hold what they should: simulated ratings whose truth is known.

The numbers of docs/howto-readers-study.md. Takes about a minute: ``python examples/readers_intervals.py``.
"""

from __future__ import annotations

import numpy as np

from pellucid.core.statistics import draws_of
from pellucid.readers.alpha import alpha, coincidences
from pellucid.readers.draws import crossed, ends
from pellucid.readers.metrics import _one

LEVELS = (1, 2, 3, 4, 5)


def of_alpha(patients: int, *, studies: int = 300) -> float:
    """Share of studies with three random readers, three maps a patient, in which the interval of alpha holds 0."""
    generator = np.random.default_rng(1)
    draws = draws_of(patients, 500, 0)[:, np.repeat(np.arange(patients), 3)]
    held = 0
    for _ in range(studies):
        each = coincidences(generator.integers(1, 6, (3, 3 * patients)).astype(float), LEVELS)
        low, high = ends(alpha((draws @ each.reshape(len(each), -1)).reshape(-1, 5, 5)))
        held += low < 0 < high
    return held / studies


def of_mean(patients: int, readers: int, *, studies: int = 400) -> float:
    """Share of studies in which the interval of a mean holds it; one map a patient, readers of different strictness."""
    generator = np.random.default_rng(2)
    patient, reader = np.repeat(np.arange(patients), readers), np.tile(np.arange(readers), patients)
    held = 0
    for _ in range(studies):
        of_patient, of_reader = generator.normal(0, 0.6, patients), generator.normal(0, 0.5, readers)
        values = 3 + of_patient[patient] + of_reader[reader] + generator.normal(0, 0.7, len(patient))
        low, high, _, _ = crossed(values, list(patient), list(reader), n_boot=400, seed=0)
        held += low < 3 < high
    return held / studies


def of_metric(patients: int, spread: float, *, studies: int = 400) -> tuple[float, float]:
    """Share of studies in which the interval of ρ holds 0, and with p under 0.05, of a metric that knows nothing.

    ``spread``: how far patients differ, in ratings and in the metric, beside a spread of 1 between their three maps.
    """
    generator = np.random.default_rng(3)
    groups, held, alarms = list(np.repeat(np.arange(patients), 3)), 0, 0
    for _ in range(studies):
        x, y = (np.repeat(generator.normal(0, spread, patients), 3) + generator.normal(size=3 * patients) for _ in "xy")
        row = _one(np.clip(np.rint(3 + x), 1, 5), y, groups, 400, 0)
        held += row["low"] <= 0 <= row["high"]
        alarms += row["p"] < 0.05
    return held / studies, alarms / studies


if __name__ == "__main__":
    for n in (8, 20):
        print(f"alpha, {n} patients: {of_alpha(n):.2f}")
    for n, m in ((8, 2), (8, 4), (20, 4), (20, 8)):
        print(f"mean, {n} patients, {m} readers: {of_mean(n, m):.2f}")
    for n in (5, 8, 20):
        for tau in (0.0, 1.0):
            print("rho, {} patients, spread {}: {:.2f}, p under 0.05: {:.3f}".format(n, tau, *of_metric(n, tau)))
