"""How a network is trained: the numbers, checked."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter

from pellucid.errors import ModelError, UsageError, nearest
from pellucid.train.schedule import Named, as_schedule

OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
MONITORS = ("loss", "metric")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the training goes by, besides the network, the cases and the loss.

    Attributes:
        epochs: at most.
        lr: learning rate of the first epoch.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: of ``"sgd"``; 0.9 if None.
        weight_decay: of all parameters.
        schedule: see ``as_schedule``.
        warmup: epochs over which the rate rises from step to step.
        clip: largest norm of all gradients together; None does not clip.
        accumulate: batches per step of the optimiser.
        monitor: ``"loss"`` or ``"metric"`` on the validation cases: what the best epoch is the best of.
        patience: epochs without a better monitored number before the training stops; None never stops it.
        delta: the least improvement that counts for ``patience``, in the monitored number's own units.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``; the weights are float32 in all three.
        devices: how many.
        seed: of the order, the augmentation and dropout.
        save_every: seconds between two states within an epoch.

    Raises:
        UsageError: a value that cannot be.
    """

    epochs: int
    lr: float = 1e-3
    optimizer: str = "adam"
    momentum: float | None = None
    weight_decay: float = 0.0
    schedule: Named = "cosine"
    warmup: float = 0
    clip: float | None = None
    accumulate: int = 1
    monitor: str = "loss"
    patience: int | None = None
    delta: float = 0.0
    precision: str = "float32"
    devices: int = 1
    seed: int = 0
    save_every: float = 60.0

    def __post_init__(self) -> None:
        """Check."""
        for name, value in (("epochs", self.epochs), ("accumulate", self.accumulate), ("devices", self.devices)):
            if value < 1:
                raise UsageError(f"{name} is {value}; give at least 1")
        if not self.lr > 0:
            raise UsageError(f"lr is {self.lr}; give a positive number")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"unknown optimizer {self.optimizer!r}; {nearest(self.optimizer, OPTIMIZERS)}")
        if self.momentum is not None and self.optimizer != "sgd":
            raise UsageError(f"momentum is of the optimizer 'sgd', this is {self.optimizer!r}; leave it out")
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is {self.momentum}; give 0 or more, below 1")
        if not self.weight_decay >= 0:
            raise UsageError(f"weight_decay is {self.weight_decay}; give 0 or more")
        if not 0 <= self.warmup <= self.epochs:
            raise UsageError(f"warmup is {self.warmup} epochs of {self.epochs}; give 0 up to all of them")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"clip is {self.clip}; give a positive norm, or None not to clip")
        if self.monitor not in MONITORS:
            raise UsageError(f"monitor is {self.monitor!r}; {nearest(str(self.monitor), MONITORS)}")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"patience is {self.patience}; give at least 1, or None to never stop early")
        if not self.delta >= 0:
            raise UsageError(f"delta is {self.delta}; give 0 or more, the least improvement that counts")
        if self.delta and self.patience is None:
            raise UsageError(f"delta is {self.delta}, and there is no patience that it is for; give patience too")
        if self.precision not in PRECISIONS:
            raise UsageError(f"training precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if not self.save_every >= 0:
            raise UsageError(f"save_every is {self.save_every}; give 0 seconds or more")
        as_schedule(self.schedule)

    def optimise(self, parameters: list[Parameter] | list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimiser of some parameters, or of groups of them."""
        extra = {"momentum": 0.9 if self.momentum is None else self.momentum} if self.optimizer == "sgd" else {}
        made: torch.optim.Optimizer = OPTIMIZERS[self.optimizer](
            parameters, lr=self.lr, weight_decay=self.weight_decay, **extra
        )
        return made


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state.

    Raises:
        ModelError: it is that of other parameters.
    """
    own = [p for group in optimizer.param_groups for p in group["params"]]
    faults = [
        f"{name} of parameter {index} is {tuple(value.shape)}, the parameter {tuple(own[index].shape)}"
        for index, slots in state["state"].items()
        for name, value in slots.items()
        if index < len(own) and isinstance(value, torch.Tensor) and value.ndim and value.shape != own[index].shape
    ]
    theirs = sum(len(group["params"]) for group in state["param_groups"])
    if theirs != len(own):
        faults.insert(0, f"it is of {theirs} parameters, the network has {len(own)}")
    if faults:
        raise ModelError(
            f"resume: the optimiser's state does not fit the network: {faults[0]}; delete the state to train anew"
        )
    # A copy: the optimiser would go on with the very tensors, which several processes may share.
    optimizer.load_state_dict(copy.deepcopy(state))
