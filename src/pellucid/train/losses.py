"""What is minimised, by task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError, nearest

Loss = Callable[[Tensor, Tensor], Tensor]
BY_TASK = {
    "classification": ("cross_entropy",),
    "regression": ("mse", "huber"),
    "segmentation": ("dice_ce", "cross_entropy"),
}


def make_loss(predictor: Predictor, *, name: str | None = None, weights: Tensor | None = None) -> Loss:
    """``(output, truth) → scalar`` for a predictor's task and activation.

    Args:
        predictor: gives the task, and whether classes exclude each other.
        name: ``"cross_entropy"`` (binary where labels are independent), ``"mse"`` or ``"huber"``, ``"dice_ce"``
            (Dice loss plus cross-entropy, equal parts); the first of its task if None.
        weights: per class: of each class's cases (softmax), or of each label's positives (sigmoid).

    Raises:
        UsageError: a loss of another task.
    """
    known = BY_TASK[predictor.task]
    name = name or known[0]
    if name not in known:
        raise UsageError(f"loss {name!r} for {predictor.task}; {nearest(name, known)}")
    if weights is not None and predictor.task != "classification":
        raise UsageError(f"balance is for classification, this model does {predictor.task}; leave it out")
    if predictor.task == "regression":
        score = F.mse_loss if name == "mse" else F.huber_loss
        return lambda output, truth: score(_like(output, truth), truth)
    if predictor.task == "segmentation":
        return _Segmentation(dice=name == "dice_ce")
    if predictor.activation == "softmax":
        return lambda output, truth: F.cross_entropy(output, truth, weight=_on(weights, output))
    return lambda output, truth: F.binary_cross_entropy_with_logits(
        _like(output, truth), truth, pos_weight=_on(weights, output)
    )


def class_weights(truth: Tensor, *, activation: str, classes: int) -> Tensor:
    """Weights that give every class the same say, from the training truths alone.

    Softmax: ``N / (K · n_k)``, as scikit-learn's "balanced". Sigmoid: negatives over positives.

    Raises:
        UsageError: a class without cases.
    """
    count = torch.bincount(truth, minlength=classes).float() if activation == "softmax" else truth.sum(0)
    if (count == 0).any():
        empty = [int(k) for k in (count == 0).nonzero().flatten()]
        raise UsageError(f"balance: no training case of class {empty}; drop the class, or leave balance out")
    return len(truth) / (classes * count) if activation == "softmax" else (len(truth) - count) / count


def _like(output: Tensor, truth: Tensor) -> Tensor:
    return output.reshape(truth.shape) if output.ndim == 1 else output


def _on(weights: Tensor | None, output: Tensor) -> Tensor | None:
    return None if weights is None else weights.to(output)


class _Segmentation(nn.Module):
    """Cross-entropy, and Dice loss over the foreground."""

    def __init__(self, *, dice: bool) -> None:
        super().__init__()
        self.dice = dice

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        truth = truth.long()
        if output.shape[1] == 1:
            wanted = truth[:, None].to(output.dtype)
            entropy = F.binary_cross_entropy_with_logits(output, wanted)
            return entropy + _dice_loss(output.sigmoid(), wanted) if self.dice else entropy
        entropy = F.cross_entropy(output, truth)
        if not self.dice:
            return entropy
        wanted = F.one_hot(truth, output.shape[1]).movedim(-1, 1).to(output.dtype)
        return entropy + _dice_loss(output.softmax(1)[:, 1:], wanted[:, 1:])


def _dice_loss(p: Tensor, wanted: Tensor) -> Tensor:
    # Over the whole batch, not per case: a class that is absent from one case would otherwise give no gradient.
    dims = (0, *range(2, p.ndim))
    return 1 - ((2 * (p * wanted).sum(dims) + 1) / (p.sum(dims) + wanted.sum(dims) + 1)).mean()
