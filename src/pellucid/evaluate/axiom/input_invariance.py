"""Input invariance: does the map stay when pictures and model are shifted together, so that nothing changes?

``‖A(x + c; f(· − c)) − A(x; f)‖ / ‖A(x; f)‖``, Euclidean norm over all pixels of all images: a constant, one range of
each picture, is added to it (and to the background cases) and taken away by the model before its first layer, so that
the output is the same. At least 0, lower is better; 0 for a map that is the model's alone. What multiplies with the
picture itself, or compares with a fixed black, is not invariant. Source: kindermans2019unreliability. Quantus 0.6
answers yes or no, at an absolute 1e-4; its shift forgets the first pixel, and the bias of the first layer, which it
changes, makes up for a shift only if that layer has no padding. A change of up to 1e-5 is what shifting does to
floating-point numbers, and counts as none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.maths import vector
from pellucid.evaluate.shared.curves import TINY
from pellucid.evaluate.shared.shift import shifted
from pellucid.evaluate.stability.max_sensitivity import max_sensitivity
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class InputInvariance(Metric):
    """Relative change of the map where pictures and model are shifted together.

    Attributes:
        shift: what is added to every pixel, as a share of the picture's range.
    """

    name = "input_invariance"
    question = "axiom"
    direction = "lower"
    low = 0.0
    needs = ("explainer",)
    source = "kindermans2019unreliability"
    shift: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.shift == 0 or not math.isfinite(self.shift):
            raise UsageError(f"shift={self.shift}: give a share of the picture's range other than 0")

    def score(self, view: View) -> Score:
        """The relative distance of the two maps."""
        clean, evidence = view.vector, view.evidence
        engine, case, background = shifted(evidence, self.shift)
        again = evidence.remade(
            ("shifted", self.shift), view.place, engine, [case], background=background or None
        )[0]  # fmt: skip
        change = max_sensitivity(clean, [vector(again)])
        return Score(change if change > TINY else 0.0)
