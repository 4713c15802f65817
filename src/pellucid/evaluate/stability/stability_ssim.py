"""Stability of the structure: structural similarity of the map with those of noisy copies of the input.

``mean over draws and pictures of SSIM(A_i(x), A_i(x + ε))``, in 2-D and in 3-D, channels summed; the copies and maps of
``stability_pearson``. A uniform window of 7 pixels a side, fewer (odd, 3 or more) where a map is smaller. The range of
the data is that of the clean map over all pictures. In [−1, 1], higher is better. Source: wang2004image;
adebayo2018sanity use it to compare maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Score
from pellucid.evaluate.maths import heat
from pellucid.evaluate.similarity import ssim
from pellucid.evaluate.stability.noise import UnderNoise
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def likeness_of(clean: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Mean structural similarity of the maps of several pictures, name to ``(*spatial)``.

    Raises:
        Undefined: no picture, the clean map is the same everywhere, or a picture has a side under 3 pixels.
    """
    if not clean:
        raise Undefined("there is no map of an image, so it has no structure")
    spread = float(max(m.max() for m in clean.values()) - min(m.min() for m in clean.values()))
    if not spread > 0:
        raise Undefined("the map is the same everywhere, so it has no structure")
    # Scaled, so that the squares of tiny maps do not vanish.
    found = [ssim((m / spread).numpy(), (other[name] / spread).numpy(), 1.0) for name, m in clean.items()]
    return sum(found) / len(found)


@dataclass(frozen=True, kw_only=True)
class StabilitySsim(UnderNoise):
    """Mean structural similarity of the map with the maps of noisy copies of the input."""

    name = "stability_ssim"
    question = "stability"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "wang2004image"

    def score(self, view: View) -> Score:
        """Mean over draws and pictures."""
        found = [likeness_of(view.heat, heat(a)) for a in self.noisy(view)]
        return Score(sum(found) / len(found))
