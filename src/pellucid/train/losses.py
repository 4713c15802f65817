"""What is minimised, by task. Every loss takes logits: the sigmoid or softmax is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError, nearest
from pellucid.train.focal import Focal, binary_focal, focal, like
from pellucid.types import Activation, Task

Loss = Callable[[Tensor, Tensor], Tensor]
Named = str | Mapping[str, Mapping[str, Any] | None]
BY_TASK = {
    "classification": ("cross_entropy", "focal"),
    "regression": ("mse", "huber"),
    "segmentation": ("dice_ce", "cross_entropy"),
}


def make_loss(predictor: Predictor, *, name: Named | None = None, weights: Tensor | None = None) -> Loss:
    """``(output, truth) → scalar`` for a predictor's task and activation.

    Args:
        predictor: gives the task, and whether classes exclude each other.
        name: ``"cross_entropy"`` (binary where labels are independent), ``"focal"``, or ``{"focal": {"gamma": …,
            "alpha": …}}`` (see Focal); ``"mse"`` or ``"huber"``; ``"dice_ce"`` (Dice loss plus cross-entropy, equal
            parts); the first of its task if None.
        weights: per class: of each class's cases (softmax), or of each label's positives (sigmoid).

    Raises:
        UsageError: a loss of another task, or options that it does not have or refuses.
    """
    exclusive = predictor.activation == "softmax"
    classes = len(predictor.classes)
    name, options = check_loss(name, task=predictor.task, activation=predictor.activation, classes=classes)
    if weights is not None and predictor.task != "classification":
        raise UsageError(f"balance is for classification, this model does {predictor.task}; leave it out")
    if predictor.task == "regression":
        return partial(_score, F.mse_loss if name == "mse" else F.huber_loss)
    if predictor.task == "segmentation":
        return _Segmentation(dice=name == "dice_ce")
    if name == "focal":
        chosen = Focal.of(options, exclusive=exclusive, classes=classes)
        return partial(focal if exclusive else binary_focal, chosen=chosen, weights=weights)
    return partial(_exclusive if exclusive else _independent, weights)


def check_loss(
    name: Named | None, *, task: Task, activation: Activation | None, classes: int
) -> tuple[str, dict[str, Any]]:
    """The name of a loss and its options, if they go with the task.

    Args:
        name: as for ``make_loss``.
        task: of the model.
        activation: of the model; by the number of classes if None.
        classes: how many.

    Raises:
        UsageError: they do not.
    """
    known = BY_TASK[task]
    given: Mapping[str, Mapping[str, Any] | None] = {name or known[0]: None} if not isinstance(name, Mapping) else name
    if len(given) != 1:
        raise UsageError(f"loss is {dict(given)}; give one name, or one name with its options")
    ((found, options),) = given.items()
    if found not in known:
        raise UsageError(f"loss {found!r} for {task}; {nearest(found, known)}")
    if options and found != "focal":
        raise UsageError(f"loss {found!r} has no option {next(iter(options))!r}; only 'focal' has options")
    if found == "focal":
        kind = activation or ("softmax" if classes > 1 else "sigmoid")
        Focal.of(options or {}, exclusive=kind == "softmax", classes=classes)
    return found, dict(options or {})


def class_weights(truth: Tensor, *, activation: str, classes: int, names: Sequence[str] = ()) -> Tensor:
    """Weights that give every class the same say, from the training truths alone.

    Softmax: ``N / (K · n_k)``, as scikit-learn's "balanced". Sigmoid: negatives over positives.

    Raises:
        UsageError: a class without cases.
    """
    count = torch.bincount(truth, minlength=classes).float() if activation == "softmax" else truth.sum(0)
    if (count == 0).any():
        empty = [names[k] if names else str(k) for k in (count == 0).nonzero().flatten().tolist()]
        raise UsageError(
            f"balance: no training case of class {', '.join(empty)}; drop the class, or leave balance out"
        )
    return len(truth) / (classes * count) if activation == "softmax" else (len(truth) - count) / count


# Functions and partials, not closures: several devices means several processes, and these can be sent to them.
def _score(of: Callable[[Tensor, Tensor], Tensor], output: Tensor, truth: Tensor) -> Tensor:
    return of(like(output, truth), truth)


def _exclusive(weights: Tensor | None, output: Tensor, truth: Tensor) -> Tensor:
    return F.cross_entropy(output, truth, weight=None if weights is None else weights.to(output))


def _independent(weights: Tensor | None, output: Tensor, truth: Tensor) -> Tensor:
    weights = None if weights is None else weights.to(output)
    return F.binary_cross_entropy_with_logits(like(output, truth), truth, pos_weight=weights)


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
