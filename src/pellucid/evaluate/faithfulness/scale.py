"""The option that all curve metrics share."""

from __future__ import annotations

from pellucid.errors import UsageError, nearest
from pellucid.evaluate.shared.curves import SCALES


def check(scale: str) -> None:
    """Raise UsageError unless ``scale`` is one of ours."""
    if scale not in SCALES:
        raise UsageError(f"on={scale!r}: {nearest(str(scale), SCALES)}")
