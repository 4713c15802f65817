"""The twelve clinical features of the classification: names, units, and how they differ between the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Feature:
    """One column: its law in the classes ``(benign, malignant)``.

    Attributes:
        name: of the column.
        unit: in words.
        mean: of each class; for a binary feature the probability of 1.
        sd: of each class; unused for a binary feature.
        low: smallest possible value.
        high: largest possible value.
        law: ``"normal"`` (clipped), ``"gamma"`` or ``"beta"`` with this mean and sd, or ``"binary"``.
    """

    name: str
    unit: str
    mean: tuple[float, float]
    sd: tuple[float, float] = (0.0, 0.0)
    low: float = 0.0
    high: float = 1.0
    law: Literal["normal", "gamma", "beta", "binary"] = "normal"

    def draw(self, rng: np.random.Generator, label: int) -> float:
        """One value for a patient of class ``label``."""
        m, s = self.mean[label], self.sd[label]
        if self.law == "binary":
            return float(rng.random() < m)
        if self.law == "gamma":
            value = rng.gamma((m / s) ** 2, s * s / m)
        elif self.law == "beta":
            nu = m * (1 - m) / (s * s) - 1
            value = rng.beta(m * nu, (1 - m) * nu)
        else:
            value = rng.normal(m, s)
        return float(np.clip(value, self.low, self.high))


# The workshop gives no class values for the last three: they are drawn alike in both classes and carry nothing,
# which a good attribution has to show. CRP has a mean equal to its sd, an index lies in [0, 1]: hence gamma and beta.
TABLE = (
    Feature("Age", "years", (54.9, 65.0), (8.0, 8.1), 18, 95),
    Feature("PackYears", "packs a day × years", (20.4, 39.8), (10.0, 12.3), 0, 120),
    Feature("SUVmax", "standardised uptake value", (2.50, 6.42), (0.82, 1.47), 0.1, 25),
    Feature("NoduleDiam_mm", "mm", (7.1, 14.8), (2.3, 4.9), 2, 30),
    Feature("SpiculationIdx", "index 0 to 1", (0.18, 0.72), (0.13, 0.16), 0, 1, "beta"),
    Feature("PleuraTether", "0 no, 1 yes", (0.09, 0.40), law="binary"),
    Feature("FEV1_pct", "% of predicted", (82.2, 67.1), (12.2, 13.7), 20, 130),
    Feature("BMI", "kg/m²", (26.4, 24.0), (4.1, 4.0), 14, 50),
    Feature("CRP_mgL", "mg/l", (2.9, 7.6), (2.9, 7.7), 0, 200, "gamma"),
    Feature("FamilyHx", "0 no, 1 yes", (0.2, 0.2), law="binary"),
    Feature("SmokingStatus", "0 not now, 1 current", (0.5, 0.5), law="binary"),
    Feature("Gender", "0 female, 1 male", (0.5, 0.5), law="binary"),
)
FEATURES: tuple[str, ...] = tuple(f.name for f in TABLE)


def draw(rng: np.random.Generator, label: int) -> NDArray[np.float32]:
    """The features of one patient, raw units, ``(12,)`` in the order of ``FEATURES``."""
    return np.array([f.draw(rng, label) for f in TABLE], dtype=np.float32)


def weaken(values: NDArray[np.float32], label: int, share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The same patient with only ``share`` of the difference between the classes left in the table.

    A value moves by the missing part of the difference towards the other class; a binary one is drawn again.
    """
    found = values.copy()
    for i, f in enumerate(TABLE):
        middle = sum(f.mean) / 2
        missing = (1 - share) * (f.mean[label] - middle)
        if f.law == "binary":
            found[i] = float(rng.random() < f.mean[label] - missing)
        else:
            found[i] = np.clip(values[i] - missing, f.low, f.high)
    return found
