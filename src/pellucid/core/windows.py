"""How a volume that is larger than the network's window goes through it: in overlapping windows, blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from pellucid.errors import UsageError, nearest

BLENDS = ("gaussian", "constant")
PADDINGS = ("constant", "reflect", "replicate")


@dataclass(frozen=True, kw_only=True)
class Windows:
    """MONAI's sliding windows over a picture or volume, of a segmentation.

    Every window of ``roi`` voxels goes through the network by itself; where windows overlap their logits are the mean
    weighted by the window's importance: ``L = Σ w · f(x_window) / Σ w``.

    Attributes:
        roi: of a window, one length per spatial axis.
        overlap: share of a window that the next one covers again, from 0 to below 1.
        blend: the importance ``w``: ``"gaussian"``, or ``"constant"``, the plain mean.
        sigma: of the Gaussian, as a share of the window's length.
        padding: what is put around a volume that is smaller than the window along an axis: ``"constant"``
            (``value``), ``"reflect"`` or ``"replicate"``.
        value: of ``"constant"``, in the image's own units.
    """

    roi: tuple[int, ...]
    overlap: float = 0.25
    blend: Literal["gaussian", "constant"] = "gaussian"
    sigma: float = 0.125
    padding: Literal["constant", "reflect", "replicate"] = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        roi = (self.roi,) if isinstance(self.roi, int) else tuple(self.roi)
        if len(roi) not in (2, 3) or any(isinstance(n, bool) or not hasattr(n, "__index__") or n < 1 for n in roi):
            raise UsageError(f"windows: roi={self.roi!r}; give two or three positive whole numbers, one per axis")
        object.__setattr__(self, "roi", tuple(int(n) for n in roi))
        if not (isinstance(self.overlap, Real) and 0 <= self.overlap < 1):
            raise UsageError(f"windows: overlap={self.overlap!r}; give a share from 0 to below 1")
        if self.blend not in BLENDS:
            raise UsageError(f"windows: blend={self.blend!r}; {nearest(str(self.blend), BLENDS)}")
        if not self.sigma > 0:
            raise UsageError(f"windows: sigma={self.sigma!r}; give a positive share of the window's length")
        if self.padding not in PADDINGS:
            raise UsageError(f"windows: padding={self.padding!r}; {nearest(str(self.padding), PADDINGS)}")

    def describe(self) -> dict[str, Any]:
        """Plain values, for provenance, recipes and saved models."""
        return {
            "roi": list(self.roi), "overlap": float(self.overlap), "blend": self.blend, "sigma": float(self.sigma),
            "padding": self.padding, "value": float(self.value),
        }  # fmt: skip


def windows(
    roi: Sequence[int],
    *,
    overlap: float = 0.25,
    blend: Literal["gaussian", "constant"] = "gaussian",
    sigma: float = 0.125,
    padding: Literal["constant", "reflect", "replicate"] = "constant",
    value: float = 0.0,
) -> Windows:
    """Windows for ``Predictor(…, windows=…)``; the options are those of :class:`Windows`.

    Raises:
        UsageError: an option out of range.

    Example:
        >>> windows((96, 96, 96), overlap=0.25, blend="gaussian").roi
        (96, 96, 96)
    """
    return Windows(roi=tuple(roi), overlap=overlap, blend=blend, sigma=sigma, padding=padding, value=value)


def as_windows(value: Any) -> Windows | None:
    """Windows from Windows, a mapping of their options, or None.

    Raises:
        UsageError: nothing of that kind, or an option out of range.
    """
    if value is None or isinstance(value, Windows):
        return value
    if isinstance(value, dict):
        try:
            return windows(**value)
        except TypeError as error:
            raise UsageError(f"windows {value}: {error}") from error
    raise UsageError(f"windows {value!r}: give pc.windows(roi=…) or its options")
