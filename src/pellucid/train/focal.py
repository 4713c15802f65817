"""Focal loss: cases that are already right count less."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.core.registry import build
from pellucid.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Focal:
    """The options of the focal loss ``−α_t (1 − p_t)^γ log p_t`` [lin2017focal].

    Attributes:
        gamma: 0 or more; 0 is cross-entropy, larger values look away from what is already right.
        alpha: independent labels: the weight of positives, negatives get ``1 − alpha``; between 0 and 1, neither
            included; one number for all labels, or one for each. Exclusive classes: one positive weight per class. None
            weighs nothing.
    """

    gamma: float = 2.0
    alpha: float | tuple[float, ...] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], *, exclusive: bool, classes: int) -> Focal:
        """Checked options.

        Raises:
            UsageError: an unknown option; a gamma or alpha that this loss cannot use.
        """
        found = build(cls, "loss", "focal", dict(options))
        if not _number(found.gamma) or found.gamma < 0:
            raise UsageError(f"loss 'focal': gamma is {found.gamma!r}; give 0 or a positive number")
        if found.alpha is None:
            return cls(gamma=float(found.gamma))
        values = found.alpha if isinstance(found.alpha, Sequence) else (found.alpha,)
        if not all(_number(a) for a in values):
            raise UsageError(f"loss 'focal': alpha is {found.alpha!r}; give numbers")
        if exclusive:
            if not isinstance(found.alpha, Sequence) or len(values) != classes or min(values) <= 0:
                raise UsageError(
                    f"loss 'focal': alpha is {found.alpha!r}; exclusive classes take one positive weight each, "
                    f"{classes} here (or balance: class_weights)"
                )
            return cls(gamma=float(found.gamma), alpha=tuple(map(float, values)))
        if isinstance(found.alpha, Sequence) and len(values) != classes:
            raise UsageError(
                f"loss 'focal': alpha is {found.alpha!r}, {len(values)} numbers, and there are {classes} labels; give "
                "one for each, or one number for all"
            )
        for value in values:
            if not 0 < value < 1:
                raise UsageError(f"loss 'focal': {why_not(value)}")
        if isinstance(found.alpha, Sequence):
            return cls(gamma=float(found.gamma), alpha=tuple(map(float, values)))
        return cls(gamma=float(found.gamma), alpha=float(found.alpha))


def why_not(alpha: Any) -> str:
    """What is wrong with an alpha for independent labels."""
    idle = {1: "the negatives get the weight 1 − alpha = 0", 0: "the positives get the weight alpha = 0"}
    if isinstance(alpha, (int, float)) and alpha in idle:
        return (
            f"with alpha = {alpha:g}, {idle[int(alpha)]}: they would give no gradient, and the network could not learn "
            "them; give a value between 0 and 1 (0.25 in the paper), or leave alpha out to weigh both alike"
        )
    return f"alpha is {alpha!r}; independent labels take numbers between 0 and 1, or none"


def binary_focal(output: Tensor, truth: Tensor, *, chosen: Focal, weights: Tensor | None) -> Tensor:
    """Independent labels: the mean over cases and labels.

    Args:
        output: logits ``(B, K)`` or ``(B,)``.
        truth: 0 or 1, ``(B, K)``.
        chosen: gamma and alpha.
        weights: of each label's positives ``(K,)``, besides alpha.
    """
    output = like(output, truth)
    # −log p_t and p_t from the logits themselves: the logarithm of a rounded probability would be infinite far out.
    entropy = F.binary_cross_entropy_with_logits(output, truth, reduction="none")
    loss = entropy * _unsure(entropy, chosen.gamma)
    if chosen.alpha is not None:
        alpha = torch.tensor(chosen.alpha, dtype=loss.dtype, device=loss.device)  # one number, or (K,)
        loss = loss * (alpha * truth + (1 - alpha) * (1 - truth))
    if weights is not None:
        loss = loss * (1 + (weights.to(output) - 1) * truth)
    return loss.mean()


def focal(output: Tensor, truth: Tensor, *, chosen: Focal, weights: Tensor | None) -> Tensor:
    """Exclusive classes: the mean over cases, weighted by their classes as in ``torch.nn.functional.cross_entropy``.

    Args:
        output: logits ``(B, K)``.
        truth: class indices ``(B,)``.
        chosen: gamma and alpha.
        weights: of each class ``(K,)``, besides alpha.
    """
    entropy = F.cross_entropy(output, truth, reduction="none")
    loss = entropy * _unsure(entropy, chosen.gamma)
    of_class = torch.ones(output.shape[1], device=output.device, dtype=output.dtype)
    if chosen.alpha is not None:
        of_class = of_class * torch.tensor(chosen.alpha).to(of_class)
    if weights is not None:
        of_class = of_class * weights.to(of_class)
    weight = of_class[truth]
    return (loss * weight).sum() / weight.sum()


def _unsure(entropy: Tensor, gamma: float) -> Tensor:
    # (1 − p_t)^γ; expm1 keeps the digits of 1 − p_t where p_t is nearly 1. At exactly 1 the power's slope is
    # infinite for γ < 1, hence the smallest step above 0.
    if gamma == 0:
        return torch.ones_like(entropy)
    return (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).tiny) ** gamma


def like(output: Tensor, truth: Tensor) -> Tensor:
    """Scores ``(B,)`` in the truth's shape ``(B, 1)``: against each other they would silently become ``(B, B)``."""
    return output.reshape(truth.shape) if output.ndim == 1 else output


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
