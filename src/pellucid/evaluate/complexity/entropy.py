"""Entropy of the map's magnitudes: how many places share the evidence, on a logarithmic scale.

``−Σ p ln p`` with ``p = |A| / Σ|A|``, over all pixels of all images, channels summed. In nats, from 0 (one pixel) to
``ln N`` (a flat map); ``normalised=True`` divides by ``ln N``, so that pictures of different size compare. Lower is
sparser. Source: bhatt2020evaluating, who call it complexity.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.complexity.above import scaled
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def entropy(values: Tensor, *, normalised: bool = False) -> float:
    """Entropy of a vector's magnitudes, in nats, or as a share of that of a flat vector.

    Raises:
        Undefined: all are zero, or one pixel is to be compared with itself.
    """
    a = scaled(values)
    p = a / a.sum()
    found = max(0.0, -float(torch.special.xlogy(p, p).sum()))
    if not normalised:
        return found
    if len(p) < 2:
        raise Undefined("the map has one pixel, so its entropy cannot be compared with that of a flat map")
    return min(1.0, found / log(len(p)))


@dataclass(frozen=True, kw_only=True)
class Entropy(Metric):
    """Entropy of the map's magnitudes: low if few places carry the evidence.

    Attributes:
        normalised: divided by that of a flat map, then from 0 to 1.
    """

    name = "entropy"
    question = "complexity"
    direction = "lower"
    low = 0.0
    unit = "nats"
    source = "bhatt2020evaluating"
    normalised: bool = False

    def score(self, view: View) -> Score:
        """The entropy."""
        return Score(entropy(view.vector, normalised=self.normalised))
