"""Means and standard deviations of the inputs, from the training cases alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.case import Case


def statistics(cases: Sequence[Case], inputs: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Name to ``(mean, sd)``, one value per channel of a picture or column of a table, for ``Predictor(normalise=…)``.

    Pixels of all cases weigh the same. A channel or column that never changes gets sd 1, so that it becomes zero.
    Sums are kept in float64.

    Args:
        cases: the training split; the statistics must see no other.
        inputs: names to look at.

    Example:
        >>> cases = [Case(id=str(i), inputs={"t": torch.tensor([float(i), 7.0])}) for i in range(3)]
        >>> mean, sd = statistics(cases, ["t"])["t"]
        >>> mean.tolist(), round(float(sd[0]), 4), float(sd[1])
        ([1.0, 7.0], 0.8165, 1.0)
    """
    found = {}
    for name in inputs:
        rows = [c.inputs[name].reshape(c.inputs[name].shape[0], -1) for c in cases]
        count = sum(r.shape[1] for r in rows)
        mean = torch.stack([r.sum(1, dtype=torch.float64) for r in rows]).sum(0) / count
        # Two passes: the difference of two large sums would lose the digits that matter for HU.
        square = torch.stack([(r.double() - mean[:, None]).square().sum(1) for r in rows]).sum(0) / count
        sd = square.sqrt()
        sd = torch.where(sd > 1e-6 * mean.abs().clamp(min=1e-6), sd, torch.ones_like(sd))
        found[name] = (mean.float(), sd.float())
    return found
