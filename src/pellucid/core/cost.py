"""What a map has cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Cost:
    """Passes through the model, and what they took.

    Attributes:
        forwards: forward passes, counted per input (a batch of 8 counts 8).
        backwards: backward passes, per input and per target.
        seconds: wall-clock time.
        peak_bytes: highest device memory in use; None on a CPU, where it cannot be told from other work.
    """

    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    peak_bytes: int | None = None

    def __add__(self, other: Cost) -> Cost:
        peaks = [p for p in (self.peak_bytes, other.peak_bytes) if p is not None]
        return Cost(
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            self.seconds + other.seconds,
            max(peaks) if peaks else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "forwards": self.forwards, "backwards": self.backwards,
            "seconds": self.seconds, "peak_bytes": self.peak_bytes,
        }  # fmt: skip
