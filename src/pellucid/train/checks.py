"""What a network gives, looked at before it is trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.train.augment_base import MISSING
from pellucid.train.balance import MlSmote, Smote
from pellucid.train.data import TRUTH, Batches
from pellucid.train.module import TrainingModule
from pellucid.train.plan import Plan

SQUASHING = {"SigmoidBackward0": "a sigmoid", "SoftmaxBackward0": "a softmax"}
# What only rearranges values, as autograd calls it.
SHAPING = ("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose", "Permute", "Alias",
           "Clone", "ToCopy", "T")  # fmt: skip


def check_final(plan: Plan, *, calibrate: bool) -> None:
    """Refuse what is chosen on validation cases where there are none.

    Raises:
        UsageError: the plan wants validation cases.
    """
    kind = plan.schedule if isinstance(plan.schedule, str) else next(iter(plan.schedule))
    wants = {
        "patience": plan.patience is not None, "monitor: metric": plan.monitor == "metric",
        "schedule: plateau": kind == "plateau", "calibrate": calibrate,
    }  # fmt: skip
    asked = [name for name, given in wants.items() if given]
    if asked:
        raise UsageError(
            f"no validation cases for {', '.join(asked)}; give some, or leave that out: the training then takes all "
            f"{plan.epochs} epochs and keeps the last"
        )


def check_patch(patch: Sequence[int] | None, patches: int, *, task: str, balance: str | None) -> None:
    """Refuse patches where there is nothing to cut.

    Raises:
        UsageError: the task is no segmentation, or an option that goes without patches.
    """
    if patch is None:
        if patches != 1:
            raise UsageError(f"patches is {patches}, and there is no patch that they are of; give its size as patch")
        return
    if task != "segmentation":
        raise UsageError(f"patch is for a segmentation, this model does {task}: its truth is that of the whole picture")
    if balance is not None:
        raise UsageError("balance is for classification; patches are balanced by themselves: see train.patch")


def check_missing(module: nn.Module, data: Mapping[str, Any], *, smote: Smote | MlSmote | None, in_parts: bool) -> None:
    """Refuse what does not go with cases that lack an input.

    Raises:
        UsageError: a picture that is learnt whole, where the network sees patches or windows; synthetic cases between
            inputs of which some are not there.
    """
    if in_parts and getattr(module, "stand_ins", None) is not None:
        raise UsageError(
            "missing: learnt is a picture of the whole input, and this network sees patches or windows of it; use "
            "missing: mean"
        )
    lacked = [k.removeprefix(MISSING) for k in data if k.startswith(MISSING)]
    if lacked and smote is not None and smote.on == "pixels":
        raise UsageError(
            f"balance: smote on pixels makes cases between two others, and some of them lack {', '.join(lacked)}; use "
            "smote: {on: embeddings}"
        )


def check_output(training: TrainingModule, batches: Batches) -> None:
    """Run one case, and see that the output fits the task and is no probability.

    Raises:
        UsageError: the network cannot take the inputs, gives another shape, or squashes its outputs itself.
    """
    predictor = training.predictor
    batch = batches.first(1)
    training.eval()
    try:
        output = training(batch)
    except (RuntimeError, ValueError, TypeError) as error:
        shapes = ", ".join(f"{n} {tuple(batch[n].shape[1:])}" for n in predictor.inputs)
        raise UsageError(
            f"network {predictor.name!r} cannot take these inputs ({shapes}): {error}; set its options to fit"
        ) from error
    finally:
        training.train()
    shape, truth = tuple(output.shape), tuple(batch[TRUTH].shape)
    k = len(predictor.classes) or (truth[1] if predictor.task == "regression" else 1)
    wanted = (1, k, *truth[1:]) if predictor.task == "segmentation" else (1, k)
    if shape != wanted and not (len(shape) == 1 and wanted == (1, 1)):
        raise UsageError(
            f"network {predictor.name!r} gives {shape} for one case, {wanted} is wanted; set its options (classes, …) "
            "to fit the task"
        )
    if predictor.task != "regression":
        _check_logits(training, batches, output)


def _check_logits(training: TrainingModule, batches: Batches, output: Tensor) -> None:
    """Refuse a network whose answers are probabilities: the loss would squash them a second time."""
    name = training.predictor.name
    mend = (
        "losses here take logits and squash them themselves; twice squashed, a network can never be sure and learns "
        "slowly. Take the last layer away"
    )
    found = _ends_in(output)
    if found is not None:
        raise UsageError(f"network {name!r} ends in {found}: {mend}")
    if not _within(output):
        return
    training.eval()
    with torch.inference_mode():
        output = training(batches.first(8))
        large = TrainingModule(training.predictor.with_module(_hundredfold), training.loss).eval()(batches.first(8))
    training.train()
    if output.shape[1:2].numel() > 1 and _within(output) and bool(((output.sum(1) - 1).abs() < 1e-3).all()):
        raise UsageError(f"network {name!r} gives numbers from 0 to 1 that sum to 1: {mend}")
    # Logits that happen to lie between 0 and 1 leave it with weights a hundred times as large.
    if _within(output) and _within(large):
        warnings.warn(
            f"network {name!r} gives numbers from 0 to 1 only, as if they were probabilities already: {mend}, if there "
            "is one that squashes",
            UserWarning,
            stacklevel=4,
        )


def _ends_in(output: Tensor) -> str | None:
    """What autograd says the output was made by, behind mere changes of shape."""
    node: Any = output.grad_fn
    while node is not None:
        name = type(node).__name__
        if name in SQUASHING:
            return SQUASHING[name]
        if name.partition("Backward")[0] not in SHAPING:
            return None
        node = node.next_functions[0][0]
    return None


def _within(x: Tensor) -> bool:
    return bool(((x >= 0) & (x <= 1)).all())


def _hundredfold(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(100)
    return module
