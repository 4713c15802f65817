"""Infidelity: how far what the map says of a change is from what the change does.

``mean over I of (Iᵀ Φ − (f(x) − f(x − I)))²``, over 100 random changes I of the pictures, the same for every map: boxes
(squares) that are taken away, or noise. At least 0, lower is better, in squared units of the model's answer; 0 for
the exact map of a linear model. Φ is what one unit of the input adds, a gradient; most maps say what each pixel adds,
``A = Φ ∘ (x − x')``, for which ``Iᵀ Φ`` of a box that is taken away is its sum (``of="contributions"``, as the
original has it for integrated gradients, occlusion and Shapley values). Source: yeh2019infidelity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.of_units import check_draws, values
from pellucid.evaluate.shared.draws import random_boxes, random_noise
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

CHANGES, MEANINGS = ("boxes", "noise"), ("contributions", "gradients")


def infidelity(said: Tensor, drops: Tensor, *, scaled: bool = False) -> float:
    """Mean square of ``β · said − drops``, both ``(K,)``; β is 1, or what makes it least.

    Raises:
        Undefined: it is scaled, and the map says nothing of any change.
    """
    beta = 1.0
    if scaled:
        if not float(said.abs().max()) > 0:
            raise Undefined("the map is zero wherever the pictures are changed, so no scale fits")
        top = said.abs().max()
        beta = float((said / top * drops).sum() / (said / top).square().sum() / top)
    return float((beta * said - drops).square().mean())


@dataclass(frozen=True, kw_only=True)
class Infidelity(Metric):
    """Mean squared difference of what the map says of random changes and what they do.

    Attributes:
        by: the changes: ``"boxes"`` are taken away, one at a time; ``"noise"`` is added everywhere.
        of: what the map is: ``"contributions"`` of the pixels, or ``"gradients"`` (needed for noise).
        scaled: whether the map is first multiplied by the number that makes the infidelity least.
        draws: how many changes.
        side: of a box, in pixels; drawn between a sixteenth and a half of each axis if None.
        noise: its standard deviation, as a share of the picture's range.
    """

    name = "infidelity"
    question = "faithfulness"
    direction = "lower"
    low = 0.0
    needs = ("model",)
    scale_free = False
    source = "yeh2019infidelity"
    by: Literal["boxes", "noise"] = "boxes"
    of: Literal["contributions", "gradients"] = "contributions"
    scaled: bool = False
    draws: int = 100
    side: int | None = None
    noise: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        for option, value, known in (("by", self.by, CHANGES), ("of", self.of, MEANINGS)):
            if value not in known:
                raise UsageError(f"{option}={value!r}: {nearest(str(value), known)}")
        check_draws(self.draws, 1)
        if self.by == "noise" and self.of == "contributions":
            raise UsageError("infidelity under noise multiplies it with gradients: set of='gradients', or by='boxes'")
        if self.side is not None and self.side < 1:
            raise UsageError(f"side={self.side}: give 1 pixel or more")
        if not self.noise > 0:
            raise UsageError(f"noise={self.noise}: give a positive share of the picture's range")

    def score(self, view: View) -> Score:
        """The mean over all changes."""
        evidence = view.evidence
        column, whole = evidence.column(view.place), evidence.ends()
        mine = values(view)  # refuses maps that are not finite or on another grid
        if self.by == "noise":
            noisy = random_noise(evidence, self.draws, self.noise)
            said, scores = noisy.products(_by_channel(view)), noisy.scores
        else:
            drawn = random_boxes(evidence, self.draws, self.side)
            if self.of == "gradients":
                change = {n: (x - evidence.filled[n])[0].cpu().double() for n, x in evidence.scorer.images.items()}
                mine = evidence.scorer.join(
                    {n: (m * change[n]).sum(0) for n, m in _by_channel(view).items()}, view.attribution.method
                )[0]
            said, scores = drawn.sums(mine), drawn.scores
        return Score(infidelity(said, whole[0, column] - scores[:, column], scaled=self.scaled))


def _by_channel(view: View) -> dict[str, Tensor]:
    """Image maps ``(C or 1, *spatial)``: one without channels is that of each of them."""
    found = {}
    for name, x in view.evidence.scorer.images.items():
        if name in view.attribution.maps:
            m = view.attribution.maps[name].double()
            found[name] = m if m.ndim == x.ndim - 1 else m[None]
    return found
