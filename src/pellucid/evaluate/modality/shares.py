"""From one number per input to shares that add up to 1."""

from __future__ import annotations

from pellucid.core.metric import Score
from pellucid.evaluate.undefined import Undefined


def shares(values: dict[str, float], *, tiny: float = 0.0) -> dict[str, Score]:
    """``|v_i| / Σ_j |v_j|``.

    Raises:
        Undefined: the sum is not above ``tiny``.
    """
    total = sum(abs(v) for v in values.values())
    if not total > tiny:
        raise Undefined("no input makes a difference, so there is nothing to share")
    return {name: Score(abs(v) / total) for name, v in values.items()}
