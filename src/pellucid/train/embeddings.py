"""SMOTE between what the network's head gets: synthetic rows that join a batch in front of the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pellucid.errors import UsageError
from pellucid.nets.picture_norm import network_of
from pellucid.train.data import TRUTH, Batches, mixed
from pellucid.train.freeze import stages
from pellucid.train.module import ROWS, TrainingModule, joined
from pellucid.train.smote import Prepared


@contextmanager
def _heard(part: nn.Module) -> Iterator[list[tuple[Any, ...]]]:
    """What a module is given."""
    given: list[tuple[Any, ...]] = []
    hook = part.register_forward_pre_hook(lambda _, args: given.append(args))
    try:
        yield given
    finally:
        hook.remove()


def entry_of(training: TrainingModule, batch: dict[str, Tensor]) -> nn.Module:
    """The first module of the head that gets a row ``(B, D)`` for each case, and before which rows can be added.

    Of a ResNet it is ``fc``, of a DenseNet what comes after the pooling.

    Args:
        training: the network.
        batch: of two cases or more.

    Raises:
        UsageError: there is none.
    """
    head = stages(training.network)[0]
    training.eval()
    with torch.no_grad():
        for part in network_of(training.network).get_submodule(head).modules():
            with _heard(part) as given:
                plain = training(batch)
            if len(given) != 1 or len(given[0]) != 1 or not isinstance(given[0][0], Tensor) or given[0][0].ndim != 2:
                continue
            (row,) = given[0]
            # Given its own rows a second time it has to give its own answers a second time, and nothing else.
            if len(row) == len(plain) and _repeats(training, part, batch, row, plain):
                training.train()
                return part
    training.train()
    raise UsageError(
        f"balance: smote on embeddings: the head {head!r} of network {training.predictor.name!r} gets no row of "
        "numbers for each case that could stand for it alone; use smote: {on: pixels}, oversample or class_weights"
    )


def _repeats(training: TrainingModule, part: nn.Module, batch: dict[str, Tensor], row: Tensor, plain: Tensor) -> bool:
    try:
        with joined(part, row):
            twice = training(batch)
    except RuntimeError:  # what comes after it does not take more rows than there are cases
        return False
    return twice.shape[0] == 2 * len(plain) and torch.allclose(twice, torch.cat([plain, plain]), rtol=1e-4, atol=1e-5)


class Embedded:
    """The synthetic rows of an epoch, and each batch's share of them.

    They are drawn anew in every epoch, by its number, between the embeddings that the training cases, as they are, have
    at its start with the network in eval mode; these are kept for as long as what comes before the head is not trained.

    Args:
        batches: of the training cases.
        prepared: what draws rows, and what is asked for.
        seed: of what is drawn.
    """

    def __init__(self, batches: Batches, prepared: Prepared, *, seed: int) -> None:
        self.batches, self.prepared, self.seed = batches, prepared, seed
        self.rows: dict[str, Tensor] = {}
        self._kept: Tensor | None = None
        self._trained: tuple[Any, ...] = ()

    def begin(self, training: TrainingModule, epoch: int, device: torch.device, before: Mapping[str, Tensor]) -> None:
        """Make the epoch's rows, or take those that it had before it was stopped; leaves the network in eval mode."""
        self.rows = dict(before)
        if self.rows or not self.prepared.facts["rows"]:
            return
        trained = tuple(p.requires_grad for p in training.network.parameters()), tuple(map(id, training.held))
        if trained != self._trained:  # an unfreezing
            self._kept, self._trained = None, trained
        embeddings = self._kept if self._kept is not None else self._embeddings(training, device)
        made, truth = self.prepared.draw(lambda index: embeddings[index], mixed(self.seed, epoch, 2))
        order = torch.randperm(len(made), generator=torch.Generator().manual_seed(mixed(self.seed, epoch, 3)))
        self.rows = {ROWS: made[order], TRUTH: truth[order]} if len(made) else {}

    def _embeddings(self, training: TrainingModule, device: torch.device) -> Tensor:
        assert training.entry
        (entry,) = training.entry
        inside = set(entry.modules())
        still = not any(m.training for m in training.train().modules() if isinstance(m, _NormBase) and m not in inside)
        training.eval()
        found: list[Tensor] = []
        with _heard(entry) as given:
            for batch in self.batches.in_order():
                with torch.set_grad_enabled(not found):
                    training({k: v.to(device) for k, v in batch.items()})
                ((row,),) = given
                still = still and not row.requires_grad  # of the first: autograd knows what before it is trained
                found.append(row.detach().float().cpu())
                given.clear()
        embeddings = torch.cat(found)
        self._kept = embeddings if still else None
        return embeddings

    def size(self, number: int) -> int:
        """Rows that a batch gets."""
        first, last = self._place(number)
        return last - first

    def _place(self, number: int) -> tuple[int, int]:
        total, n = len(self.rows.get(ROWS, ())), len(self.batches)
        return number * total // n, (number + 1) * total // n

    def with_share(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor]:
        """The batch with its rows, whose truths come after its own."""
        first, last = self._place(number)
        if first == last:
            return batch
        truth = torch.cat([batch[TRUTH], self.rows[TRUTH][first:last]])
        return batch | {TRUTH: truth, ROWS: self.rows[ROWS][first:last]}
