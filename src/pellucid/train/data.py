"""Cases in memory, as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pellucid.core.case import Case, check_unique
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.train.augment import Augmentation

TRUTH = "truth"
"""The key of the truth in a batch."""


def stack(cases: Sequence[Case], predictor: Predictor) -> dict[str, Tensor]:
    """All cases as one tensor per input ``(N, …)``, and their truth under ``"truth"``.

    The truth is int64 ``(N,)`` for exclusive classes, float32 ``(N, K)`` for independent labels and scores, and an
    integer mask ``(N, *spatial)`` for a segmentation.

    Raises:
        InputError: an input or the truth is missing, of another shape than in the first case, or outside the
            classes.
    """
    if not cases:
        raise InputError("no cases: the training and the validation set need at least one each")
    if TRUTH in predictor.inputs:
        raise UsageError(f"an input cannot be called {TRUTH!r}; rename it")
    check_unique(cases)
    rows: dict[str, list[Tensor]] = {name: [] for name in (*predictor.inputs, TRUTH)}
    for case in cases:
        predictor.check(case)
        for name in predictor.inputs:
            rows[name].append(_same(case, f"input {name!r}", case.inputs[name], rows[name]))
        rows[TRUTH].append(_same(case, "truth", truth_of(case, predictor), rows[TRUTH]))
    return {name: torch.stack(values) for name, values in rows.items()}


def _same(case: Case, what: str, value: Tensor, others: list[Tensor]) -> Tensor:
    if others and value.shape != others[0].shape:
        raise InputError(
            f"case {case.id}: {what} is {tuple(value.shape)}, that of the first case {tuple(others[0].shape)}; "
            "training needs one size, resample the cases"
        )
    return value


def truth_of(case: Case, predictor: Predictor) -> Tensor:
    """The truth of one case in the form that the loss wants.

    Raises:
        InputError: unknown, of the wrong kind, or outside the classes.
    """
    truth = case.truth
    if isinstance(truth, str) and truth in predictor.classes:
        truth = predictor.classes.index(truth)
    if truth is None or isinstance(truth, str):
        raise InputError(f"case {case.id}: truth is {truth!r}; training needs a truth for every case")
    value = torch.as_tensor(truth)
    k = len(predictor.classes)
    if predictor.task == "regression":
        return value.to(torch.float32).reshape(-1)
    if predictor.task == "segmentation":
        return _mask_of(case, value, k)
    if predictor.activation == "softmax":
        if value.ndim or value.is_floating_point():
            raise InputError(f"case {case.id}: truth {tuple(value.shape)} is no class index (0 to {k - 1})")
        if not 0 <= int(value) < k:
            raise InputError(f"case {case.id}: truth is {int(value)}, the classes go from 0 to {k - 1}")
        return value.to(torch.int64)
    if value.ndim == 0 and k > 1:
        raise InputError(f"case {case.id}: truth is one number; independent labels need {k} values of 0 or 1")
    value = value.to(torch.float32).reshape(-1)
    if value.shape != (k,) or not ((value == 0) | (value == 1)).all():
        raise InputError(f"case {case.id}: truth is {value.tolist()}; {k} values of 0 or 1 are wanted")
    return value


def _mask_of(case: Case, value: Tensor, k: int) -> Tensor:
    if value.ndim < 2:
        raise InputError(f"case {case.id}: truth is no mask; a segmentation needs one (*spatial) per case")
    top = max(k - 1, 1)
    if int(value.min()) < 0 or int(value.max()) > top:
        raise InputError(
            f"case {case.id}: the true mask has values {int(value.min())} to {int(value.max())}, "
            f"the classes go from 0 to {top}"
        )
    return value.to(torch.uint8 if top < 256 else torch.int64)


class Batches:
    """Batches of stacked cases: shuffled and augmented by ``(seed, epoch)`` for training, in order for validation.

    An epoch's order and its augmentation depend on nothing but the seed and the epoch's number, so that a training
    that is resumed goes on as if it had not stopped.

    Args:
        data: name to tensor ``(N, …)``.
        batch_size: cases per batch.
        seed: of the order and the augmentation; None for validation, in order.
        augment: applied to all inputs with spatial axes and to a mask; to tables too where it says so.
        pin: whether batches lie in pinned memory, from which they are copied to a GPU in the background.
    """

    def __init__(
        self,
        data: dict[str, Tensor],
        *,
        batch_size: int,
        seed: int | None = None,
        augment: Sequence[Augmentation] = (),
        pin: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; give at least 1")
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.augment, self.pin = tuple(augment), pin
        self.epoch = 0
        self.n = len(data[TRUTH])

    def __len__(self) -> int:
        return len(self._bounds())

    def _bounds(self) -> list[tuple[int, int]]:
        bounds = [(i, min(i + self.batch_size, self.n)) for i in range(0, self.n, self.batch_size)]
        # Batch norm has no variance of a single case: it joins the batch before it.
        if self.seed is not None and len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
            bounds[-2:] = [(bounds[-2][0], self.n)]
        return bounds

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order, generator = torch.arange(self.n), torch.Generator()
        if self.seed is not None:
            generator.manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.n, generator=generator)
        for first, last in self._bounds():
            batch = {name: value[order[first:last]] for name, value in self.data.items()}
            batch = self._augmented(batch, generator)
            yield {k: v.pin_memory() for k, v in batch.items()} if self.pin else batch

    def _augmented(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        mask = batch[TRUTH] if batch[TRUTH].ndim > 2 else None
        inputs = {k: v for k, v in batch.items() if k != TRUTH}
        for change in self.augment:
            seen = inputs if getattr(change, "tables", False) else {k: v for k, v in inputs.items() if v.ndim > 2}
            if seen:
                seen, mask = change(seen, mask, generator)
                inputs |= seen
        return inputs | {TRUTH: batch[TRUTH] if mask is None else mask}
