"""What the metrics over a cohort have in common: the share of the cases that are alike with one prediction."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.core.metric import Score
from pellucid.evaluate.cohort.signatures import Signatures
from pellucid.evaluate.undefined import Undefined


def share_of_same(found: Signatures, place: int, alike: Sequence[bool], what: str) -> Score:
    """The share of the other cases that are alike which have the predicted class of this one.

    The number of cases behind it is kept as the part ``cases``.

    Raises:
        Undefined: no other case is alike.
    """
    same = [found.predicted[i] == found.predicted[place] for i, yes in enumerate(alike) if yes and i != place]
    if not same:
        raise Undefined(f"none of the {len(found.ids) - 1} other cases has {what}")
    value = sum(same) / len(same)
    return Score(value, parts=(("cases", float(len(same)), value),))
