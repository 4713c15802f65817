"""What the shares of the inputs in the model's answer have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.modality.shares import shares
from pellucid.evaluate.shared.curves import FLOOR, TINY
from pellucid.evaluate.shared.subsets import Subsets
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class ModelShare(Metric):
    """A share of each input that is the model's, the same for every map."""

    question = "modality"
    per_input = True
    direction = "none"
    low, high = 0.0, 1.0
    needs = ("model", "inputs")

    def score(self, view: View) -> dict[str, Score]:
        """One share per input."""
        return model_shares(view.modalities, self.worth(view.modalities))

    @abstractmethod
    def worth(self, subsets: Subsets) -> dict[str, float]:
        """What each input is worth, in units of the explained scalar."""


def model_shares(subsets: Subsets, worth: dict[str, float]) -> dict[str, Score]:
    """Shares of what the inputs are worth.

    Raises:
        Undefined: no input makes a difference beyond rounding.
    """
    return shares(worth, tiny=TINY * float(subsets.values.abs().max().clamp(min=FLOOR)))
