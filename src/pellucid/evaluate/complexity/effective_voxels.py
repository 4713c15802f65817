"""Effective number of voxels: over how many places the evidence would be spread if each had the same.

``(Σ|A|)² / Σ A²``, over all pixels of all images, channels summed: n for a map that is the same on n pixels and zero
elsewhere. From 1 to N, lower is sparser; no threshold. Source: hurley2009comparing, whose l2/l1 it is, turned round and
squared.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.complexity.above import scaled
from pellucid.evaluate.view import View


def effective_number(values: Tensor) -> float:
    """``(Σ|v|)² / Σ v²``.

    Raises:
        Undefined: all are zero.
    """
    a = scaled(values)
    return max(1.0, float(a.sum().square() / a.square().sum()))


@dataclass(frozen=True, kw_only=True)
class EffectiveVoxels(Metric):
    """Number of equally strong pixels that would be as spread out as the map."""

    name = "effective_voxels"
    question = "complexity"
    direction = "lower"
    low = 1.0
    unit = "pixels"
    source = "hurley2009comparing"

    def score(self, view: View) -> Score:
        """The number of pixels."""
        return Score(effective_number(view.vector))
