"""What happens at the end of an epoch: record, keep the best, stop early, write the state, stop on Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from pellucid.train.data import Batches
from pellucid.train.module import TrainingModule, rate
from pellucid.train.state import State, copy_of

Progress = Callable[[dict[str, float]], None]


class Interrupted(BaseException):
    """Ctrl-C, seen between two batches. The state of the last whole epoch has been written."""


class Keeper(Callback):
    """Keeps the record and the best weights.

    Args:
        state: filled as the training goes.
        batches: of the training, told the number of each epoch.
        seed: with the epoch's number it seeds torch (dropout), so that a resumed training goes on alike.
        patience: epochs without a lower validation loss before the training stops; None never stops it.
        folder: where the state is written after each epoch; None writes nothing.
        progress: told each epoch's record.
    """

    def __init__(
        self,
        state: State,
        batches: Batches,
        *,
        seed: int,
        patience: int | None,
        folder: Path | None,
        progress: Progress | None,
    ) -> None:
        self.state, self.batches, self.seed, self.patience = state, batches, seed, patience
        self.folder, self.progress = folder, progress
        self.began = 0.0
        self.asked_to_stop = False

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Set the epoch's learning rate, order and seed."""
        import torch

        assert isinstance(pl_module, TrainingModule)
        self.began = time.perf_counter()
        epoch = pl_module.epoch
        self.batches.epoch = epoch
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        lr = rate(epoch, lr=pl_module.lr, schedule=pl_module.schedule, epochs=pl_module.epochs)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = lr

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Stop between two batches if Ctrl-C was pressed."""
        if self.asked_to_stop:
            raise Interrupted

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Record the epoch (its validation is done by now), and decide whether to go on."""
        assert isinstance(pl_module, TrainingModule)
        means, state = pl_module.read(), self.state
        record = {
            "epoch": float(pl_module.epoch + 1),
            "train_loss": means["train_loss"],
            "val_loss": means["val_loss"],
            "val_metric": means["metric"],
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - self.began,
        }
        weights = copy_of(pl_module.network.state_dict())
        if not state.history or record["val_loss"] < min(r["val_loss"] for r in state.history):
            state.best_epoch, state.best, state.waited = pl_module.epoch + 1, weights, 0
        else:
            state.waited += 1
        state.history.append(record)
        state.weights = weights
        state.stopped_early = self.patience is not None and state.waited >= self.patience
        state.done = state.stopped_early or len(state.history) >= pl_module.epochs
        if self.folder is not None:
            state.optimizer = trainer.optimizers[0].state_dict()
            state.save(self.folder)
        if self.progress is not None:
            self.progress(record)
        trainer.should_stop = state.done

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C ends the training after the running batch. A second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = signal.getsignal(signal.SIGINT)

        def stop(_: int, __: FrameType | None) -> None:
            self.asked_to_stop = True
            signal.signal(signal.SIGINT, old)

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, old)
