"""The Lightning module: one network, one loss, one number per epoch that says how good it is."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, UsageError, nearest
from pellucid.train.data import TRUTH
from pellucid.train.layout import channels_last
from pellucid.train.losses import Loss

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "constant", "step")
METRICS = {"classification": "accuracy", "regression": "rmse", "segmentation": "dice"}


def rate(epoch: int, *, lr: float, schedule: str, epochs: int) -> float:
    """The learning rate of an epoch, counted from 0.

    ``"cosine"`` falls from ``lr`` to nearly 0; ``"step"`` is divided by ten after two thirds of the epochs.
    """
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    return lr * 0.1 if schedule == "step" and epoch >= 2 * epochs / 3 else lr


class TrainingModule(lightning.LightningModule):
    """Runs the network on standardised inputs, in the order of its ``forward``.

    Args:
        predictor: the network, its inputs, and the statistics that standardise them.
        loss: of output and truth.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        lr: learning rate of the first epoch.
        schedule: ``"cosine"``, ``"constant"`` or ``"step"``.
        weight_decay: of all parameters.
        epochs: of the whole training.
        start: epochs that an earlier, interrupted training did.
    """

    def __init__(
        self,
        predictor: Predictor,
        loss: Loss,
        *,
        optimizer: str,
        lr: float,
        schedule: str,
        weight_decay: float,
        epochs: int,
        start: int = 0,
    ) -> None:
        super().__init__()
        if optimizer not in OPTIMIZERS:
            raise UsageError(f"unknown optimizer {optimizer!r}; {nearest(optimizer, OPTIMIZERS)}")
        if schedule not in SCHEDULES:
            raise UsageError(f"unknown schedule {schedule!r}; {nearest(schedule, SCHEDULES)}")
        self.network = predictor.module
        self.predictor, self.loss = predictor, loss
        self.optimizer, self.lr, self.schedule = optimizer, lr, schedule
        self.weight_decay, self.epochs, self.start = weight_decay, epochs, start
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self.optimizer_state: dict[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 0 over all parts of an interrupted training."""
        return self.start + self.current_epoch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser, with its state if a training is resumed."""
        make: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        extra = {"momentum": 0.9} if self.optimizer == "sgd" else {}
        found = make[self.optimizer](
            self.network.parameters(), lr=self.lr, weight_decay=self.weight_decay, **extra
        )
        if self.optimizer_state is not None:
            found.load_state_dict(self.optimizer_state)
        return found

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The network's output for a batch in the cases' own units."""
        values = []
        for name in self.predictor.inputs:
            x = batch[name]
            mean, sd = (
                s.to(x).reshape(1, -1, *[1] * (x.ndim - 2)) for s in self.predictor.normalise[name]
            )
            values.append(channels_last((x - mean) / sd))
        output = self.network(*values)
        if self.predictor.output is not None:
            output = output[self.predictor.output]
        return output

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch."""
        output = self(batch)
        loss = self.loss(output, batch[TRUTH])
        self._count(loss, batch, output=None)
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Add a batch to the sums."""
        output = self(batch)
        self._count(self.loss(output, batch[TRUTH]), batch, output=output)

    def _count(self, loss: Tensor, batch: dict[str, Tensor], output: Tensor | None) -> None:
        n = len(batch[TRUTH])
        part = "train" if output is None else "val"
        self._add(f"{part}_loss", loss.detach().double() * n, n)
        if output is not None:
            self._add("metric", *quality(self.predictor, output.detach(), batch[TRUTH]))

    def _add(self, name: str, value: Tensor, n: int) -> None:
        # Kept on the device: reading a number off a GPU in every step would make it wait.
        total, count = self.sums.get(name, (torch.zeros((), dtype=torch.float64), 0))
        self.sums[name] = (total.to(value.device) + value, count + n)

    def read(self) -> dict[str, float]:
        """The epoch's means, and start afresh. A loss that is not finite ends the training.

        Raises:
            ModelError: the training has diverged.
        """
        means = {name: float(total) / n if n else math.nan for name, (total, n) in self.sums.items()}
        self.sums = {}
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(means.get(name, 0.0)):
                raise ModelError(
                    f"training diverged in epoch {self.epoch + 1}: {name} is {means[name]}; lower lr (it is {self.lr})"
                )
        if "metric" in means and self.predictor.task == "regression":
            means["metric"] = math.sqrt(means["metric"])
        return means


def quality(predictor: Predictor, output: Tensor, truth: Tensor) -> tuple[Tensor, int]:
    """Sum and count of what makes the epoch's number: hits, squared errors, or Dice coefficients."""
    if predictor.task == "regression":
        return (output.reshape(truth.shape) - truth).double().square().sum(), truth.numel()
    if predictor.task == "classification":
        if predictor.activation == "softmax":
            return (output.argmax(1) == truth).sum(), len(truth)
        hits = (output.reshape(truth.shape) > 0) == (truth > 0.5)
        return hits.sum(), truth.numel()
    labels, total, n = predictor.labels(output), torch.zeros((), dtype=torch.float64), 0
    for k in range(1, max(output.shape[1], 2)):
        p, t = (labels == k).flatten(1), (truth == k).flatten(1)
        size = p.sum(1) + t.sum(1)
        dice = 2 * (p & t).sum(1) / size.clamp(min=1)
        total = total + dice[size > 0].sum().double().cpu()
        n += int((size > 0).sum())
    return total, n


def outputs(module: nn.Module, batches: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Outputs and truths of all batches, on the CPU, in eval mode."""
    module.eval()
    found, truths = [], []
    with torch.inference_mode():
        for batch in batches:
            found.append(module({k: v.to(device) for k, v in batch.items()}).float().cpu())
            truths.append(batch[TRUTH])
    return torch.cat(found), torch.cat(truths)
