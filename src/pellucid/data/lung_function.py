"""Lung function over a patient's visits: the one at the scan, and how fast it is lost afterwards."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.errors import InputError

LEAST_VISITS = 3
"""Visits after the baseline that a slope needs."""


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Visits of one patient in the order of time, one a week.

    Attributes:
        weeks: since the scan; before it they are negative.
        fvc: forced vital capacity in ml.
        percent: the same in per cent of what is predicted for such a patient.
        repeated: weeks with several lines, whose mean is taken.
    """

    weeks: tuple[float, ...]
    fvc: tuple[float, ...]
    percent: tuple[float, ...]
    repeated: tuple[float, ...] = ()

    @property
    def baseline(self) -> int:
        """Place of the visit that is nearest to the scan; of two that are as near, the one after it."""
        return min(range(len(self.weeks)), key=lambda k: (abs(self.weeks[k]), -self.weeks[k]))

    @property
    def slope(self) -> float | None:
        """Change of the FVC in ml a week, by least squares over the visits after the baseline; None if there are few.

        The baseline itself is left out, so that a model that is shown its FVC is not shown a part of the answer.
        """
        weeks, fvc = (np.array(v[self.baseline + 1 :], float) for v in (self.weeks, self.fvc))
        if len(weeks) < LEAST_VISITS:
            return None
        return float(np.polynomial.polynomial.polyfit(weeks - weeks.mean(), fvc, 1)[1])


def visits_of(lines: Sequence[Mapping[Any, Any]], *, case: str) -> Visits:
    """The visits in a patient's lines with the columns ``Weeks``, ``FVC`` and ``Percent``.

    Raises:
        InputError: a cell that is no number, or a lung function that is not above 0; names the case.
    """
    found: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        week, fvc, percent = (_number(line, column, case) for column in ("Weeks", "FVC", "Percent"))
        if min(fvc, percent) <= 0:
            raise InputError(f"case {case}: in week {week:g} FVC is {fvc:g} and Percent {percent:g}; both are above 0")
        found[week].append((fvc, percent))
    weeks = sorted(found)
    means = [np.mean(found[w], axis=0) for w in weeks]
    return Visits(
        weeks=tuple(weeks), fvc=tuple(float(m[0]) for m in means), percent=tuple(float(m[1]) for m in means),
        repeated=tuple(w for w in weeks if len(found[w]) > 1),
    )  # fmt: skip


def _number(line: Mapping[Any, Any], column: str, case: str) -> float:
    try:
        value = float(line[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"case {case}: column {column!r} holds {line[column]!r}, which is no number; correct the line, or take it "
            "out"
        )
    return value
