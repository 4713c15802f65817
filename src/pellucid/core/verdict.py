"""Verdicts: what a map has shown about itself. The cheap ones need the map alone."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pellucid.types import Status


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict turns. A recipe may set them; they are stored with the run.

    Attributes:
        flat: a map is flat if its standard deviation is under this share of its largest magnitude.
        complete: largest relative completeness error, ``|ΣA − (f(x) − f(x'))| / |f(x) − f(x')|``.
        stable: least Pearson r between the map and the maps of noisy copies of the input.
        sane: largest similarity (Spearman ρ of the magnitudes) to the map of a model with random weights.
        better: least margin by which a map beats the controls in the area between its insertion and deletion curves.
        inside: largest share of the evidence that a mask may hide.
        noise: sd of the noise, as a share of the input's range.
        draws: noisy copies per verdict.
    """

    flat: float = 0.01
    complete: float = 0.01
    stable: float = 0.95
    sane: float = 0.5
    better: float = 0.0
    inside: float = 0.5
    noise: float = 0.01
    draws: int = 2


@dataclass(frozen=True)
class Verdict:
    """One check of one map, with its value, its threshold, and a sentence a person can read."""

    name: str
    status: Status
    sentence: str
    value: float | None = None
    threshold: float | None = None

    def as_sampled(self) -> Verdict:
        """The same as a warning, for a method that promises it on average only."""
        return replace(
            self, status="warn", sentence=self.sentence.split(":")[0] + ": the method samples; more samples help."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def not_tested(name: str, why: str) -> Verdict:
    """A check that was not made, and why."""
    return Verdict(name, "not tested", why)


def cheap_checks(
    maps: dict[str, Tensor],
    *,
    complete: bool,
    total: float | None,
    expected: float | None,
    flags: tuple[str, ...],
    limits: Thresholds,
) -> dict[str, Verdict]:
    """``finite``, ``not_empty``, ``not_flat`` and ``complete`` of one case's maps, without a pass through the model.

    Args:
        maps: name to map, any shape.
        complete: whether the method promises that the map adds up to ``expected``.
        total: the sum of all the maps, where promised.
        expected: ``f(x) − f(x')``, where promised.
        flags: of the map; ``empty_target`` explains an empty map.
        limits: the thresholds.
    """
    checks: dict[str, Verdict] = {}
    flat_values = torch.cat([m.reshape(-1).double() for m in maps.values()])
    finite = torch.isfinite(flat_values)
    share = float(finite.double().mean())
    checks["finite"] = (
        Verdict("finite", "pass", "Every value of the map is finite.", 1.0, 1.0)
        if share == 1.0
        else Verdict("finite", "fail", f"{(1 - share):.2%} of the values are NaN or infinite.", share, 1.0)
    )
    values = flat_values[finite]
    top = float(values.abs().max()) if len(values) else 0.0
    if top > 0:
        checks["not_empty"] = Verdict("not_empty", "pass", "The map has values other than zero.", top, 0.0)
    elif "empty_target" in flags:
        checks["not_empty"] = Verdict(
            "not_empty", "warn", "The map is zero because the explained region is empty.", top, 0.0
        )
    else:
        checks["not_empty"] = Verdict(
            "not_empty", "fail", "The map is zero everywhere: the method found no effect.", top, 0.0
        )
    spread = max(_spread(m) for m in maps.values()) if top > 0 else 0.0
    if top == 0:
        checks["not_flat"] = not_tested("not_flat", "The map is empty.")
    elif spread >= limits.flat:
        checks["not_flat"] = Verdict(
            "not_flat", "pass", "The map tells some places from others.", spread, limits.flat
        )
    else:
        checks["not_flat"] = Verdict(
            "not_flat",
            "warn",
            f"The map is nearly the same everywhere (spread {spread:.1%} of its maximum): it points nowhere.",
            spread,
            limits.flat,
        )
    checks["complete"] = _completeness(complete, total, expected, flags, limits.complete)
    return checks


def inside_check(discarded: float, share: float, limit: float) -> Verdict:
    """``inside``, of a masked map: does what the mask leaves over hold the evidence?

    Passes up to the limit, warns to half of the way from there to all of it, fails above.

    Args:
        discarded: share of the map's positive sum that the mask hides; NaN where that has no value.
        share: of the picture that the mask covers.
        limit: the threshold.
    """
    if not math.isfinite(discarded):
        return not_tested("inside", "The map has no finite positive sum, so there is no evidence to hide.")
    beside = f"it covers {100 * share:.0f} % of the picture"
    if discarded <= limit:
        return Verdict(
            "inside", "pass", f"The mask hides {100 * discarded:.0f} % of the evidence; {beside}.", discarded, limit
        )
    warn = discarded <= (1 + limit) / 2
    return Verdict(
        "inside",
        "warn" if warn else "fail",
        f"The mask hides {100 * discarded:.0f} % of the evidence ({beside}): "
        + ("look at the unmasked map as well." if warn else "the masked picture is not what the model used."),
        discarded,
        limit,
    )


def _spread(m: Tensor) -> float:
    finite = m[torch.isfinite(m)].double()
    if finite.numel() < 2 or float(finite.abs().max()) == 0:
        return 0.0
    return float(finite.std(correction=0) / finite.abs().max())


def completeness_error(total: float, expected: float) -> float:
    """``|ΣA − expected| / |expected|``; infinite if ``expected`` is zero and the sum is not."""
    gap = abs(total - expected)
    if abs(expected) > 0:
        return gap / abs(expected)
    return math.inf if gap > 0 else 0.0


def _completeness(
    promised: bool, total: float | None, expected: float | None, flags: tuple[str, ...], limit: float
) -> Verdict:
    if not promised or total is None or expected is None:
        return not_tested("complete", "This method does not promise that its map adds up to the output.")
    if "empty_target" in flags:
        return not_tested("complete", "The explained region is empty.")
    if abs(expected) < 1e-6:
        return not_tested(
            "complete", "The output hardly differs from that of the baseline, so there is nothing to add up to."
        )
    error = completeness_error(total, expected)
    if math.isfinite(error) and error <= limit:
        return Verdict(
            "complete", "pass", f"The map adds up to the change in output within {error:.2%}.", error, limit
        )
    return Verdict(
        "complete",
        "fail",
        f"The map misses the change in output by {error:.1%}: parts of the model are not accounted for.",
        error,
        limit,
    )
