"""What is trained: one network, one loss, one number per epoch that says how good it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError
from pellucid.train.augment_base import MISSING
from pellucid.train.data import TRUTH
from pellucid.train.layout import channels_last
from pellucid.train.losses import Loss
from pellucid.train.sliding import stitched

METRICS = {"classification": "accuracy", "regression": "rmse", "segmentation": "dice"}
ROWS = "rows of the head"
"""The key of synthetic rows in a batch, which join it in front of the network's head."""
HIGHER = {"accuracy", "dice"}
"""The metrics of which more is better."""


class TrainingModule(nn.Module):
    """Runs the network on standardised inputs, in the order of its ``forward``, and keeps an epoch's sums.

    Args:
        predictor: the network, its inputs, and the statistics that standardise them.
        loss: of output and truth.
        held: norms of the network that stay in eval mode in training, since they belong to a part that is not trained.
        at_once: windows of a whole case in one pass, where the predictor has windows.
    """

    def __init__(
        self, predictor: Predictor, loss: Loss, *, held: Sequence[nn.Module] = (), at_once: int = 1
    ) -> None:
        super().__init__()
        self.network = predictor.module
        self.predictor, self.loss = predictor, loss
        self.at_once = at_once
        self.held = list(held)
        self.entry: list[nn.Module] = []  # where synthetic rows join; in a list, for it is a part of the network
        self.sums: dict[str, tuple[Tensor, int]] = {}

    def train(self, mode: bool = True) -> TrainingModule:
        """Training mode, but for what is held."""
        super().train(mode)
        for part in self.held:
            part.eval()
        return self

    def whole(self, batch: dict[str, Tensor]) -> Tensor:
        """The output for whole cases: in the predictor's windows, if it has any."""
        windows = self.predictor.windows
        return self(batch) if windows is None else stitched(self, batch, windows, at_once=self.at_once)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The network's output for a batch in the cases' own units."""
        values = []
        for place, name in enumerate(self.predictor.inputs):
            x = batch[name]
            if name in self.predictor.normalise:
                mean, sd = (s.to(x).reshape(1, -1, *[1] * (x.ndim - 2)) for s in self.predictor.normalise[name])
                x = (x - mean) / sd
            x = self._filled(x, place, batch.get(MISSING + name))
            values.append(channels_last(x))
        if ROWS in batch:
            with joined(self.entry[0], batch[ROWS]):
                output = self.network(*values)
        else:
            output = self.network(*values)
        if self.predictor.output is not None:
            output = output[self.predictor.output]
        return output

    def _filled(self, x: Tensor, place: int, lacks: Tensor | None) -> Tensor:
        """A standardised input, the stand-in in the cases that lack it: zeros, or what the network learns for it."""
        learnt = getattr(self.network, "stand_in", None)
        made = None if learnt is None else learnt(place, x)
        if lacks is None:
            if made is None or not self.training:
                return x
            # Several devices wait for every parameter's gradient, also where no case lacks the input.
            lacks = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if made is None:
            self.predictor.stand_in(self.predictor.inputs[place], x[0])  # refuses where there is no mean
        made = torch.zeros_like(x) if made is None else made.to(x)
        return torch.where(lacks.reshape(-1, *[1] * (x.ndim - 1)), made, x)

    def count(self, loss: Tensor, truth: Tensor, *, n: int, output: Tensor | None = None) -> None:
        """Add a batch to the epoch's sums: to those of the validation if its ``output`` is given."""
        self._add("train_loss" if output is None else "val_loss", loss.detach().double() * n, n)
        if output is not None:
            self._add("metric", *quality(self.predictor, output.detach(), truth))

    def _add(self, name: str, value: Tensor, n: int) -> None:
        # Kept on the device: reading a number off a GPU in every step would make it wait.
        total, count = self.sums.get(name, (torch.zeros((), dtype=torch.float64), 0))
        self.sums[name] = (total.to(value.device) + value, count + n)

    def read(self, epoch: int, lr: float) -> dict[str, float]:
        """The means of an epoch (from 1), and start afresh. A loss that is not finite ends the training.

        Raises:
            ModelError: the training has diverged.
        """
        means = {name: float(total) / n if n else math.nan for name, (total, n) in self.sums.items()}
        self.sums = {}
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(means.get(name, 0.0)):
                raise ModelError(
                    f"training diverged in epoch {epoch}: {name} is {means[name]}; lower lr (it is {lr})"
                )
        if "metric" in means and self.predictor.task == "regression":
            means["metric"] = math.sqrt(means["metric"])
        return means


@contextmanager
def joined(part: nn.Module, rows: Tensor) -> Iterator[None]:
    """Have these rows ``(S, D)`` come after those ``(B, D)`` that a module is given."""
    hook = part.register_forward_pre_hook(lambda _, args: (torch.cat([args[0], rows.to(args[0])]),))
    try:
        yield
    finally:
        hook.remove()


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
