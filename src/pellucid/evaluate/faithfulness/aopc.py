"""AOPC: the mean drop of the model's answer over the steps of the deletion curve.

``1/(L+1) Σ_{k=0..L} (s(x) − s(x without its top k/L of the pixels))``. In [−1, 1] for a classification (the
probability of the explained class); in [0, 1] for others, in units of ``f(x) − f(fill)``. Higher is better. The
original perturbs 100 small regions with random values (see region_perturbation); here the steps are those of the
deletion curve, to its end. Source: samek2017evaluating.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves


def aopc(deletion: Tensor) -> float:
    """The mean drop of a deletion curve ``(L + 1,)`` below its first value."""
    return float((deletion[0] - deletion).mean())


@dataclass(frozen=True, kw_only=True)
class Aopc(CurveMetric):
    """Mean drop of the model's answer while the pixels that the map ranks highest are taken away.

    The options are those of :class:`CurveMetric`.
    """

    name = "aopc"
    low = -1.0
    source = "samek2017evaluating"

    def reduce(self, curves: Curves) -> Score:
        """The mean drop along the deletion curve."""
        return Score(aopc(curves.on(self.on)[0]))
