"""What a classifier is asked, class by class: what is so, what it says, and whether that counts as yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pellucid.train.scores import classification, too_few
from pellucid.train.weighted import Array
from pellucid.types import Activation


@dataclass(frozen=True, eq=False)
class Asked:
    """One class against the rest, ``(N,)`` each.

    Attributes:
        of: the class.
        truth: 0 or 1.
        rank: what orders the cases: the logit, as probabilities far out round to equal values.
        said: the probability.
        yes: 0 or 1; NaN where the class has no threshold.
        threshold: above which a probability is a yes; NaN without one, and where the highest of several classes is.
    """

    of: str
    truth: Array
    rank: Array
    said: Array
    yes: Array
    threshold: float

    def too_few(self, least: int) -> str:
        """Why nothing is measured: too few positives or negatives; empty if there are enough."""
        return too_few(self.truth, max(1, least))


def asked(
    truth: Tensor,
    output: Tensor,
    *,
    activation: Activation | None,
    classes: Sequence[str] = (),
    thresholds: Sequence[float] | None = None,
    temperature: float = 1.0,
) -> list[Asked]:
    """The classes of a classifier, as :func:`~pellucid.train.performance` measures them.

    Of two exclusive classes the second alone; an answer is then the class of higher probability.

    Raises:
        UsageError: shapes that do not fit.
    """
    truth, output = truth.detach().cpu(), output.detach().cpu()
    found = classification(truth, output, activation, classes, thresholds, temperature)
    z = output.reshape(len(output), -1).double() / temperature
    k = z.shape[1]
    labels = (activation or ("softmax" if k > 1 else "sigmoid")) == "sigmoid"
    p = (z.sigmoid() if labels else z.softmax(1)).numpy()
    ranks = [c for c in found.columns if c.metric == "auroc"]
    answers = [c for c in found.columns if c.metric == "sensitivity"]
    places = range(k) if len(ranks) == k else [1]
    rows = []
    for place, rank, answer in zip(places, ranks, answers):
        limit = (0.5 if thresholds is None else float(thresholds[place])) if labels else 0.5 if k == 2 else np.nan
        rows.append(Asked(rank.of, rank.truth, rank.predicted, p[:, place], answer.predicted, limit))
    return rows
