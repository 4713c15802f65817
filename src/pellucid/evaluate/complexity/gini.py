"""Gini index of the map's magnitudes: 0 for a flat map, near 1 for one that points at a single place.

``1 − 2 Σ_k (a_(k) / Σ a) · (N − k + 1/2) / N`` with ``a = |A|`` sorted upwards, ``k`` from 1. In [0, 1 − 1/N]: sparser
is higher. Over all pixels of all images, channels summed. Source: chalasani2020concise, hurley2009comparing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def gini(values: Tensor) -> float:
    """Gini index of a vector's magnitudes.

    Raises:
        Undefined: all are zero.
    """
    a = values.abs().double().sort().values
    if a[-1] == 0:
        raise Undefined("the map is zero everywhere")
    a = a / a[-1]
    n = len(a)
    weight = (n - torch.arange(1, n + 1, dtype=torch.double) + 0.5) / n
    return float((1 - 2 * (a / a.sum() * weight).sum()).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class Gini(Metric):
    """Sparseness of the map: 0 if flat, near 1 if it points at one place."""

    name = "gini"
    question = "complexity"
    low, high = 0.0, 1.0
    source = "chalasani2020concise"

    def score(self, view: View) -> Score:
        """The Gini index."""
        return Score(gini(view.vector))
