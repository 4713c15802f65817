"""Non-sensitivity: is the map zero where the model does not look, and there alone?

The share of parts of which exactly one is zero, the map or the effect: ``|Z_A Δ Z_f| / U`` with ``Z_A`` the parts u
with ``Σ_u |A| ≤ eps · max_u Σ_u |A|`` and ``Z_f`` those with ``|f(x) − f(x without u)| ≤ eps · max_u |…|`` (or within
rounding of f(x)), each taken away alone: about 64 boxes of each picture. In [0, 1], lower is better. Source:
nguyen2020quantitative, which counts the features, and replaces them by random values. Quantus 0.6 counts too, and
compares both with an absolute ``eps``, so that negative values are zero for it unless it takes magnitudes.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.of_units import OfUnits, rounding, values
from pellucid.evaluate.shared.alone import alone
from pellucid.evaluate.shared.plan import unit_sums
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class NonSensitivity(OfUnits):
    """Share of the parts that the map calls irrelevant and the model does not, or the other way round.

    Attributes:
        eps: what counts as zero, as a share of the largest.
    """

    name = "non_sensitivity"
    question = "axiom"
    direction = "lower"
    low, high = 0.0, 1.0
    needs = ("model",)
    source = "nguyen2020quantitative"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 0 <= self.eps < 1:
            raise UsageError(f"eps={self.eps}: give a share of the largest value, such as 0.00001")

    def score(self, view: View) -> Score:
        """The share of the parts on which map and model disagree."""
        mine = values(view).abs()
        if not float(mine.max()) > 0:
            raise Undefined("the map is zero everywhere, so nothing is zero compared with the rest")
        whole = float(view.evidence.ends()[0, view.evidence.column(view.place)])
        units, scores = alone(view.evidence, self.plan)
        drops = (whole - scores[:, view.evidence.column(view.place)]).abs()
        size = unit_sums(mine, units)
        silent = size <= self.eps * size.max()
        idle = drops <= max(self.eps * float(drops.max()), rounding(whole))
        return Score(float((silent ^ idle).double().mean()))
