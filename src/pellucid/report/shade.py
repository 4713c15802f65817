"""From numbers to colours: the scale of a map, what it is called, and how it lies over a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.refiner import is_ensemble
from pellucid.report.style import BAD, SIGNED, UNSIGNED

TOP = 99.5  # per cent of the magnitudes that the colours cover
WORDS = {
    "flat": "flat: nearly the same everywhere",
    "empty": "empty: zero everywhere",
    "missing_input": "the case lacks an input",
    "incomplete": "incomplete: does not add up to the output",
    "unsettled": "unsettled: more nodes may still change it",
    "not_finite": "not finite: holds NaN or infinite values",
    "empty_target": "empty target: nothing to explain",
    "unstable": "unstable: changes under small noise",
    "not_sane": "not sane: similar on a scrambled model",
    "not_better": "not better: a random map is as faithful here",
    "random_model": "random: the model draws in eval mode",
    "mixed_batch": "mixed batch: cases of a batch change each other",
    "overlap_counted_twice": "overlap counted twice: not the prediction's gradient",
    "hides_evidence": "hides evidence: much of it lies outside the mask",
    "empty_mask": "empty mask: the unmasked map is shown",
    "mask_everywhere": "mask everywhere: it hides nothing",
    "ranking_lost": "ranking lost: all of the mask is salient",
    "members_left_out": "members left out: they say nothing",
    "members_missing": "members missing: they failed here",
    "one_member": "one member: nothing to agree with",
}


@dataclass(frozen=True)
class Scale:
    """The colours of one map, the same for all its inputs.

    Attributes:
        limit: the value of the last colour; 1 for a map that is zero.
        signed: blue to red about zero, else dark to bright from zero.
        clipped: whether larger values share the last colour.
        negative: whether an unsigned map has values under zero, which share the first colour.
        zero: whether the map has no value other than zero.
    """

    limit: float
    signed: bool
    clipped: bool
    negative: bool = False
    zero: bool = False

    @property
    def low(self) -> float:
        """The value of the first colour."""
        return -self.limit if self.signed else 0.0

    @property
    def ends(self) -> str:
        """What the last colours stand for, such as ``±0.031``."""
        return "0 everywhere" if self.zero else ("±" if self.signed else "0 to ") + f"{self.limit:.2g}"

    @property
    def covers(self) -> str:
        """How many of the values lie within, such as ``(99.5 %)``."""
        return "" if self.zero else f"({TOP} %)" if self.clipped else "(all)"

    @property
    def text(self) -> str:
        """What stands beside the bar, such as ``±0.031 (99.5 %)``."""
        return f"{self.ends} {self.covers}".strip()

    @property
    def extend(self) -> Any:
        """Which ends of the bar are arrows."""
        if self.signed:
            return "both" if self.clipped else "neither"
        return {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}[(self.negative, self.clipped)]

    def colours(self, values: NDArray) -> NDArray:
        """``(…, 4)`` colours; values that are not finite in grey."""
        scaled = (np.asarray(values, dtype=float) - self.low) / (self.limit - self.low)
        cmap = mpl.colormaps[SIGNED if self.signed else UNSIGNED].with_extremes(bad=BAD)
        return np.asarray(cmap(np.ma.masked_invalid(np.clip(scaled, 0, 1))))

    def over(self, picture: NDArray, values: NDArray) -> NDArray:
        """``(…, 3)``: the map over a picture ``(…, 3)``; the less a pixel says, the more of the picture is seen."""
        strength = np.clip(np.abs(np.nan_to_num(values, nan=self.limit, posinf=self.limit, neginf=self.limit)), 0, None)
        alpha = 0.85 * np.clip(strength / self.limit, 0, 1) ** 0.6
        return picture * (1 - alpha[..., None]) + self.colours(values)[..., :3] * alpha[..., None]


def scale_of(maps: Iterable[NDArray], *, signed: bool) -> Scale:
    """The scale of a map: symmetrical about zero if signed, up to the 99.5th percentile of the magnitudes."""
    values = np.concatenate([np.abs(m[np.isfinite(m)]).ravel() for m in maps] or [np.zeros(0)]).astype(float)
    most = float(values.max()) if len(values) else 0.0
    if most == 0:
        return Scale(1.0, signed, clipped=False, zero=True)
    limit = float(np.percentile(values, TOP))
    return Scale(limit, signed, clipped=True) if 0 < limit < most else Scale(most, signed, clipped=False)


def scale_for(a: Attribution, *, names: Iterable[str] | None = None) -> Scale:
    """The scale of an attribution's pictures (or of the inputs named)."""
    maps = [a.spatial(n).numpy() for n in (a.images if names is None else names)]
    scale = scale_of(maps, signed=a.signed)
    under = not a.signed and any(bool((m < 0).any()) for m in maps)
    return Scale(scale.limit, scale.signed, scale.clipped, under, scale.zero)


def unit_of(a: Attribution, family: str = "") -> str:
    """What a map's numbers are: ``"change of logit"`` where it adds up to or ablates the output, else ``"weight"``.

    Of windows that change the decision or not, ``"flipped decisions"``.
    """
    if is_ensemble(a):
        return "of its maximum"
    if a.provenance.get("parameters", {}).get("score") == "flip":
        return "flipped decisions"
    if "expected" in a.notes or family in ("perturbation", "shapley"):
        scalar = "score" if a.target.get("kind") == "score" else str(a.target.get("on", "logit"))
        return f"change of {scalar}"
    return "weight"


def warnings_of(flags: Iterable[str]) -> list[str]:
    """The flags in words; a flag without words as it is."""
    return [WORDS.get(f, f.replace("_", " ")) for f in flags]


def grey(values: NDArray, window: tuple[float, float] | None) -> NDArray:
    """A picture ``(C, *spatial)`` in its display window, ``(*spatial, 3)`` in [0, 1].

    Three channels are red, green and blue; any other number is averaged. Without a window the 0.5th to 99.5th
    percentiles are shown.
    """
    low, high = window if window is not None else np.percentile(values, (0.5, 99.5)).tolist()
    span = high - low if high > low else 1.0
    shown = np.clip((values - low) / span, 0, 1)
    if values.shape[0] == 3:
        return np.moveaxis(shown, 0, -1)
    return np.repeat(shown.mean(0)[..., None], 3, axis=-1)


def window_of(meta: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """The display window of an input: ``meta["window"]`` is ``(low, high)``, or such a pair by input name."""
    window = meta.get("window")
    if isinstance(window, Mapping):
        window = window.get(name)
    if window is None:
        return None
    low, high = (float(v) for v in window)
    return (low, high) if high > low else None
