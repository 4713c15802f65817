"""Means and standard deviations of the inputs: of the training cases alone, those of ImageNet, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.errors import InputError, UsageError

Normalise = Literal["data", "imagenet", "none"]
Statistics = dict[str, tuple[Tensor, Tensor]]
# Of RGB pictures in [0, 1], as torchvision's weights were trained.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def statistics(cases: Sequence[Case], inputs: Sequence[str]) -> Statistics:
    """Name to ``(mean, sd)``, one value per channel of a picture or column of a table, for ``Predictor(normalise=…)``.

    Pixels of all cases that have the input weigh the same. A channel or column that never changes gets sd 1, so that
    it becomes zero. Sums are kept in float64.

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
        rows = [c.inputs[name].reshape(c.inputs[name].shape[0], -1) for c in having(cases, name)]
        count = sum(r.shape[1] for r in rows)
        mean = _summed(r.sum(1, dtype=torch.float64) for r in rows) / count
        # Two passes: the difference of two large sums would lose the digits that matter for HU.
        square = _summed((r.double() - mean[:, None]).square().sum(1) for r in rows) / count
        sd = square.sqrt()
        sd = torch.where(sd > 1e-6 * mean.abs().clamp(min=1e-6), sd, torch.ones_like(sd))
        found[name] = (mean.float(), sd.float())
    return found


def _summed(values: Iterable[Tensor]) -> Tensor:
    """Their sum, each kept as plain numbers: a small tensor of each case would hold the memory of its large ones."""
    return torch.tensor([v.tolist() for v in values], dtype=torch.float64).sum(0)


def having(cases: Sequence[Case], name: str) -> list[Case]:
    """The cases that do not lack an input.

    Raises:
        InputError: all of them do.
    """
    found = [c for c in cases if name not in c.missing]
    if not found:
        raise InputError(
            f"input {name!r} is missing in all {len(cases)} training cases, so there is nothing to learn of it; take "
            "it out of the model's inputs"
        )
    return found


def imagenet_statistics(cases: Sequence[Case], inputs: Sequence[str]) -> Statistics:
    """ImageNet's means and sds for pictures in [0, 1] of three channels or one; tables have those of the cases.

    One channel gets the mean of the three means and of the three sds, 0.449 and 0.226. With filters that are the sum
    of the RGB filters the answer is then exactly that to the grey picture in all three channels, each normalised by
    these two numbers. It is not exactly that to the grey picture normalised by the three different pairs: their
    differences would be a constant before the first layer, which filters that are summed cannot tell apart.

    Raises:
        UsageError: another number of channels.
        InputError: a picture outside [0, 1], of which these numbers say nothing.
    """
    found: Statistics = {}
    for name in inputs:
        values = [(c.id, c.inputs[name]) for c in having(cases, name)]
        if values[0][1].ndim == 1:
            found |= statistics(cases, [name])
            continue
        for case_id, value in values:
            low, high = float(value.min()), float(value.max())
            if not (low >= 0 and high <= 1):
                raise InputError(
                    f"case {case_id}: input {name!r} goes from {low:g} to {high:g}, and normalise: imagenet is for "
                    "pictures in [0, 1]; scale them, or use normalise: data"
                )
        found[name] = imagenet(values[0][1].shape[0], name)
    return found


def imagenet(channels: int, name: str) -> tuple[Tensor, Tensor]:
    """ImageNet's ``(mean, sd)`` for an input of so many channels.

    Raises:
        UsageError: neither 3 nor 1.
    """
    if channels not in (1, 3):
        raise UsageError(
            f"input {name!r} has {channels} channels, and normalise: imagenet is for 3 or 1; use normalise: data"
        )
    mean, sd = (torch.tensor(row) for row in IMAGENET)
    return (mean, sd) if channels == 3 else (mean.mean()[None], sd.mean()[None])


def table_statistics(cases: Sequence[Case], inputs: Sequence[str]) -> Statistics:
    """Those of the cases for tables; none for pictures, which the network is then shown as they are.

    Raises:
        InputError: a case lacks a picture, for which no mean could stand in.
    """
    found: Statistics = {}
    for name in inputs:
        if cases[0].inputs[name].ndim == 1:
            found |= statistics(cases, [name])
        elif lacking := [c.id for c in cases if name in c.missing]:
            raise InputError(
                f"case {lacking[0]}: input {name!r} is missing, and with normalise: none there is no mean to stand in "
                "for it; use normalise: data"
            )
    return found


STATISTICS: Mapping[str, Callable[[Sequence[Case], Sequence[str]], Statistics]] = {
    "data": statistics, "imagenet": imagenet_statistics, "none": table_statistics,
}  # fmt: skip
