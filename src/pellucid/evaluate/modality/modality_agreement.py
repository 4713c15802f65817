"""Does the map give each input the part that the model gives it?

``1 − ½ Σ_i |a_i − m_i|``: one minus the total variation distance between the shares of the inputs in the map
(``attribution_share``) and those in the model's answer (``shapley_share``, or ``ablation_share``). In [0, 1], higher is
better; 1 where the shares are the same, 0 where the map lies on inputs that make no difference. The idea, with a
rank correlation in place of the distance: jin2023guidelines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.modality.attribution_share import FORMS, AttributionShare
from pellucid.evaluate.modality.of_model import model_shares
from pellucid.evaluate.view import View

OF = ("shapley", "ablation")


@dataclass(frozen=True, kw_only=True)
class ModalityAgreement(Metric):
    """Agreement of the inputs' shares in the map with those in the model's answer.

    Attributes:
        form: of the map's shares, ``"mean"`` or ``"sum"`` over the elements of an input.
        of: the model's shares: ``"shapley"`` or ``"ablation"``.
    """

    name = "modality_agreement"
    question = "modality"
    low, high = 0.0, 1.0
    needs = ("model", "inputs")
    source = "jin2023guidelines"
    form: Literal["mean", "sum"] = "mean"
    of: Literal["shapley", "ablation"] = "shapley"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.form not in FORMS:
            raise UsageError(f"form={self.form!r}: {nearest(str(self.form), FORMS)}")
        if self.of not in OF:
            raise UsageError(f"of={self.of!r}: {nearest(str(self.of), OF)}")

    def score(self, view: View) -> Score:
        """One minus half the sum of the differences."""
        of_map = AttributionShare(form=self.form).score(view)
        subsets = view.modalities
        of_model = model_shares(subsets, subsets.shapley() if self.of == "shapley" else subsets.ablation())
        apart = sum(abs(of_map[name].value - of_model[name].value) for name in of_model)
        return Score(min(max(1 - apart / 2, 0.0), 1.0))
