"""The epochs and steps of a training, on one device or several, and what is kept of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.train.data import TRUTH, Batches, mixed
from pellucid.train.early import best_and_waited
from pellucid.train.embeddings import Embedded
from pellucid.train.freeze import hold
from pellucid.train.module import HIGHER, METRICS, TrainingModule
from pellucid.train.plan import Plan, restore
from pellucid.train.schedule import Schedule, as_schedule
from pellucid.train.state import State, copy_of
from pellucid.train.stop import Interrupted
from pellucid.train.unfreeze import Unfreezing

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Tell = Callable[[dict[str, float]], None]
SUMS = ("train_loss", "val_loss", "metric")
AGREE = 10  # steps between two times that several devices agree on stopping or saving: each makes them wait


class Flag(Protocol):
    """An event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether someone has asked."""
        ...

    def set(self) -> None:
        """Ask."""
        ...


class Loop:
    """Trains from a state to the end.

    Args:
        plan: what it goes by.
        batches: of the training cases.
        val_batches: of the validation cases; without them the last epoch is the one that is kept.
        state: where it begins; filled as it goes.
        folder: where the state is written, after each epoch and every ``plan.save_every`` seconds; None writes nothing.
        stop: whoever sets it ends the training after the running step.
        tell: told each epoch's record, after it is written.
        thaw: which parts are trained from which epoch on; None where that does not change. For one device.
        smote: synthetic rows that join the batches in front of the head; None where there are none. For one device.
    """

    def __init__(
        self,
        plan: Plan,
        batches: Batches,
        val_batches: Batches | None,
        state: State,
        *,
        folder: Path | None,
        stop: Flag,
        tell: Tell | None,
        thaw: Unfreezing | None = None,
        smote: Embedded | None = None,
    ) -> None:
        self.plan, self.batches, self.val_batches, self.state = plan, batches, val_batches, state
        self.folder, self.stop, self.tell = folder, stop, tell
        self.thaw, self.smote = thaw, smote
        self.began = self.saved = 0.0

    def run(self, fabric: Fabric, training: TrainingModule) -> None:
        """Train.

        Raises:
            Interrupted: ``stop`` was set; the state of this very step is written.
            ModelError: the training diverged, or the state's optimiser does not fit.
        """
        plan, state = self.plan, self.state
        self.fabric, self.training = fabric, training
        for batches in filter(None, (self.batches, self.val_batches)):
            batches.rank, batches.world = fabric.global_rank, fabric.world_size
        self.higher = plan.monitor == "metric" and METRICS[training.predictor.task] in HIGHER
        # All that is ever trained: what is still held has no gradient, and an optimiser passes over it, decay and all.
        trained: list[Any] = [p for p in training.network.parameters() if p.requires_grad]
        if self.thaw is not None:
            trained = self.thaw.groups(training.network)
        self.model, self.optimizer = fabric.setup(training, plan.optimise(trained))
        if state.optimizer:
            restore(self.optimizer.optimizer, state.optimizer)
        if state.scaler:
            fabric.strategy.precision.load_state_dict(state.scaler)
        steps = -(-len(self.batches) // plan.accumulate)
        self.schedule = Schedule(
            as_schedule(plan.schedule), lr=plan.lr, epochs=plan.epochs, ramp=round(plan.warmup * steps),
            higher=self.higher,
        )  # fmt: skip
        if state.schedule:
            self.schedule.load_state_dict(state.schedule)
        while not state.done:
            self._learn()
            self._validate()
            self._close()

    def _learn(self) -> None:
        state, plan, epoch = self.state, self.plan, len(self.state.history)
        self.saved = time.perf_counter()
        self.began = self.saved - state.seconds
        self.batches.epoch = epoch
        if self.thaw is not None:
            self.training.held = hold(self.training.network, self.thaw.held(self.training.network, epoch))
        if self.smote is not None:
            with self.fabric.autocast():
                self.smote.begin(self.training, epoch, self.fabric.device, state.rows)
            state.rows = self.smote.rows
        self.training.train()
        self.training.sums = {}
        if state.step == 0:
            torch.manual_seed(plan.seed * 1_000_003 + epoch)
        elif self.fabric.global_rank == 0:
            self.training.sums = {k: (v.to(self.fabric.device), n) for k, (v, n) in state.sums.items()}
        self._set_rng()
        for number, batch in enumerate(self.batches.going_on(state.step, state.rng.get("batches")), state.step):
            if self.fabric.world_size > 1:
                torch.manual_seed(mixed(plan.seed, epoch, number, self.fabric.global_rank, 1))
            given = batch if self.smote is None else self.smote.with_share(batch, number)
            if self._step(number, self._moved(given)):
                state.step, state.steps = number + 1, state.steps + 1
                self._between()

    def _step(self, number: int, batch: dict[str, Tensor]) -> bool:
        """One batch; whether the optimiser made a step with it."""
        plan, world = self.plan, self.fabric.world_size
        first = number - number % plan.accumulate
        last = min(first + plan.accumulate, len(self.batches))
        own = self.batches.own(number) + self._synthetic(number)
        with self.fabric.no_backward_sync(self.model, enabled=number + 1 < last):
            loss = self.training.loss(self.model(batch), batch[TRUTH])
            # Every case of the step weighs the same, however they are spread over batches and devices, whose
            # gradients are averaged.
            share = own * world / sum(self.batches.size(i) + self._synthetic(i) for i in range(first, last))
            self.fabric.backward(loss if share == 1 else loss * share)
        self.training.count(loss, batch[TRUTH], n=own)
        if number + 1 < last:
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(self.state.steps) * group.get("share", 1.0)
        if plan.clip is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=plan.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return True

    def _synthetic(self, number: int) -> int:
        return 0 if self.smote is None else self.smote.size(number)

    def _between(self) -> None:
        """Write the state if it is time, or if the training is to stop."""
        if self.fabric.world_size > 1 and self.plan.save_every > 0 and self.state.steps % AGREE:
            return
        due = self.folder is not None and time.perf_counter() - self.saved >= self.plan.save_every
        stop, due = self._agreed(self.stop.is_set(), due)
        if stop or due:
            self.state.sums = self._all_sums()
            self.state.seconds = time.perf_counter() - self.began
            self.state.rng = self._rng()
            self._write(self.training.network.state_dict())
        if stop:
            raise Interrupted

    def _validate(self) -> None:
        if self.fabric.world_size > 1:  # batch norm's statistics: those of the first device count
            for buffer in self.training.buffers():
                torch.distributed.broadcast(buffer, 0)
        self.training.eval()
        with torch.inference_mode():
            for batch in map(self._moved, self.val_batches or ()):
                with self.fabric.autocast():
                    output = self.training.whole({k: v for k, v in batch.items() if k != TRUTH})
                output, truth = output.float(), batch[TRUTH]
                self.training.count(self.training.loss(output, truth), truth, n=len(truth), output=output)

    def _close(self) -> None:
        """Record the epoch, keep the best weights, and decide whether to go on."""
        state, plan = self.state, self.plan
        self.training.sums = self._all_sums()
        epoch = len(state.history) + 1
        means = self.training.read(epoch, plan.lr)
        record = {
            "epoch": float(epoch), "train_loss": means["train_loss"],
            "val_loss": means.get("val_loss", math.nan), "val_metric": means.get("metric", math.nan),
            "lr": float(self.optimizer.param_groups[0]["lr"]), "seconds": time.perf_counter() - self.began,
        }  # fmt: skip
        monitored = record[f"val_{plan.monitor}"]
        if math.isnan(monitored) and self.val_batches is not None:
            raise ModelError(
                f"monitor: the {METRICS[self.training.predictor.task]} of the validation cases is not defined (no case "
                "has what it is of); monitor the loss, or give other validation cases"
            )
        weights = copy_of(self.training.network.state_dict()) if self.fabric.global_rank == 0 else {}
        state.history.append(record)
        state.best_epoch, state.waited = epoch, 0
        if self.val_batches is not None:
            watched = [r[f"val_{plan.monitor}"] for r in state.history]
            state.best_epoch, state.waited = best_and_waited(watched, delta=plan.delta, higher=self.higher)
        if state.best_epoch == epoch:
            state.best = weights
        state.stopped_early = plan.patience is not None and state.waited >= plan.patience
        state.done = state.stopped_early or epoch >= plan.epochs
        self.schedule.next_epoch(monitored)
        state.step, state.seconds, state.sums, state.rng, state.rows = 0, 0.0, {}, {}, {}
        self._write(weights)
        if self.tell is not None and self.fabric.global_rank == 0:
            self.tell(record)
        if not state.done and self._agreed(self.stop.is_set(), False)[0]:
            raise Interrupted

    def _write(self, weights: dict[str, Any]) -> None:
        if self.fabric.global_rank:
            return
        state = self.state
        state.weights, state.schedule = weights, self.schedule.state_dict()
        state.scaler = self.fabric.strategy.precision.state_dict()
        if self.folder is not None:
            state.optimizer = self.optimizer.optimizer.state_dict()
            state.save(self.folder)
        self.saved = time.perf_counter()

    def _moved(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v.to(self.fabric.device, non_blocking=True) for k, v in batch.items()}

    def _rng(self) -> dict[str, Tensor]:
        found = {"torch": torch.get_rng_state(), "batches": self.batches.rng}
        if self.fabric.device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self.fabric.device)
        return found

    def _set_rng(self) -> None:
        if "torch" in self.state.rng:
            torch.set_rng_state(self.state.rng["torch"])
        if "cuda" in self.state.rng and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(self.state.rng["cuda"], self.fabric.device)

    def _all_sums(self) -> dict[str, tuple[Tensor, int]]:
        """The sums over all devices."""
        if self.fabric.world_size == 1:
            return dict(self.training.sums)
        table = torch.zeros(len(SUMS), 2, dtype=torch.float64, device=self.fabric.device)
        for row, name in zip(table, SUMS):
            if name in self.training.sums:
                total, n = self.training.sums[name]
                row[0], row[1] = total, n
        torch.distributed.all_reduce(table)
        return {name: (row[0], int(row[1])) for name, row in zip(SUMS, table) if row[1] > 0}

    def _agreed(self, *flags: bool) -> list[bool]:
        """What the first device thinks, so that all do the same."""
        if self.fabric.world_size == 1:
            return list(flags)
        table = torch.tensor(flags, dtype=torch.int32, device=self.fabric.device)
        torch.distributed.broadcast(table, 0)
        return [bool(flag) for flag in table.tolist()]
