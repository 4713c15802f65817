"""Rare classes are drawn more often, from the training cases alone."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.losses import class_weights


def classes_to_draw(truth: Tensor, predictor: Predictor, *, balance: str = "oversample") -> Tensor:
    """The class of each training case ``(N,)``, from truths as the loss wants them.

    Args:
        truth: of all training cases.
        predictor: with the task and the classes.
        balance: that they are for, ``"oversample"`` or ``"smote"``.

    Raises:
        UsageError: the truths are no exclusive classes, or a class has no case.
    """
    if predictor.task != "classification":
        raise UsageError(
            f"balance: {balance} is for classification, this model does {predictor.task}; leave balance out"
        )
    names = predictor.classes
    if predictor.activation == "softmax":
        class_weights(truth, activation="softmax", classes=len(names), names=names)  # for its refusal of empty classes
        return truth
    if len(names) > 1:
        raise UsageError(
            f"balance: {balance} is for exclusive classes, and the {len(names)} labels here are independent: a case "
            f"that is {'made' if balance == 'smote' else 'drawn more often'} for one label is so for all its others; "
            f"use class_weights{' or mlsmote' if balance == 'smote' else ''}"
        )
    drawn = truth.reshape(-1).long()
    if drawn.unique().numel() < 2:
        raise UsageError(f"balance: all training cases have {names[0]!r} = {int(drawn[0])}; leave balance out")
    return drawn


def drawn_rows(classes: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of the cases such that every class is as frequent as the largest, class by class.

    Every case is in it. Those of a rarer class are repeated as a whole as often as they fit, and so many of them as are
    then missing are drawn without replacement: two cases of a class differ by one repeat at most.

    Args:
        classes: of each case, ``(N,)``, int64.
        generator: of what is drawn.

    Returns:
        ``(K · largest,)``, K being the classes that occur.
    """
    rows = [(classes == k).nonzero().flatten() for k in classes.unique()]
    largest = max(len(own) for own in rows)
    parts = []
    for own in rows:
        whole, rest = divmod(largest, len(own))
        parts += [own.repeat(whole), own[torch.randperm(len(own), generator=generator)[:rest]]]
    return torch.cat(parts)
