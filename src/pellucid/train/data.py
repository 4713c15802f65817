"""Cases in memory, as batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.case import Case, check_unique
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.train.augment import Augmentation
from pellucid.train.augment_base import MISSING
from pellucid.train.oversample import drawn_rows
from pellucid.train.ragged import Ragged

if TYPE_CHECKING:
    from pellucid.train.patches import Patches

TRUTH = "truth"
"""The key of the truth in a batch."""


def columns(cases: Sequence[Case], predictor: Predictor, *, axes: int | None = None) -> dict[str, list[Tensor]]:
    """Each input of all cases, and their truth under ``"truth"``: the cases' own tensors, none of them copied.

    The truth of a case is int64 ``()`` for exclusive classes, float32 ``(K,)`` for independent labels and scores, and
    an integer mask ``(*spatial)`` for a segmentation. Where cases lack an input, ``"missing:NAME"`` says which.

    Args:
        cases: of one shape, unless there are ``axes``.
        predictor: whose inputs and classes they are to have.
        axes: spatial axes of the patches or windows that the cases will be cut into: cases may then be of several
            sizes, but all pictures of one case, and its mask, are on one grid.

    Raises:
        InputError: an input or the truth is missing, of another shape than in the first case, or outside the
            classes.
    """
    if not cases:
        raise InputError("no cases; give at least one")
    if TRUTH in predictor.inputs:
        raise UsageError(f"an input cannot be called {TRUTH!r}; rename it")
    check_unique(cases)
    rows: dict[str, list[Tensor]] = {name: [] for name in (*predictor.inputs, TRUTH)}
    for case in cases:
        predictor.check(case)
        for name in predictor.inputs:
            rows[name].append(_same(case, f"input {name!r}", case.inputs[name], rows[name], axes))
        rows[TRUTH].append(_same(case, "truth", truth_of(case, predictor), rows[TRUTH], axes))
    lacked = [n for n in predictor.inputs if any(n in c.missing for c in cases)]
    for case in cases if lacked else ():
        if all(n in case.missing for n in predictor.inputs):
            raise InputError(f"case {case.id}: it has none of the inputs {', '.join(predictor.inputs)}; leave it out")
    return rows | {MISSING + n: [torch.tensor(n in c.missing) for c in cases] for n in lacked}


def _same(case: Case, what: str, value: Tensor, others: list[Tensor], axes: int | None) -> Tensor:
    if axes is not None and value.ndim > 1:
        if len(case.spatial) != axes:
            raise InputError(
                f"case {case.id}: its pictures are {case.spatial}, patches and windows have {axes} axes; give them "
                "one length per spatial axis"
            )
        grid = value.shape if what == "truth" else value.shape[1:]
        if grid != case.spatial:
            raise InputError(
                f"case {case.id}: {what} is {tuple(grid)}, the first picture {case.spatial}; patches and windows are "
                "cut from all pictures alike: resample them to one grid"
            )
        if what == "truth" or not others or value.shape[0] == others[0].shape[0]:
            return value
    if others and value.shape != others[0].shape:
        mend = (
            "give all cases as many channels" if axes is not None
            else "training needs one size, resample the cases, or train a segmentation on patches (train.patch)"
        )  # fmt: skip
        raise InputError(
            f"case {case.id}: {what} is {tuple(value.shape)}, that of the first case {tuple(others[0].shape)}; {mend}"
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
    """Batches of cases: shuffled and augmented by ``(seed, epoch)`` for training, in order for validation.

    An epoch's order and its augmentation depend on nothing but the seed and the epoch's number, so that a training
    that is resumed goes on as if it had not stopped.

    Several devices (``world``) share each batch of a training, and take turns with those of a validation.

    Args:
        data: name to tensors of all cases: a list, or one tensor ``(N, …)``.
        batch_size: cases per batch, of all devices together.
        seed: of the order and the augmentation; None for validation, in order.
        augment: applied to all inputs with spatial axes and to a mask; to tables too where it says so.
        pin: whether batches lie in pinned memory, from which they are copied to a GPU in the background.
        oversample: the class of each case ``(N,)``, each of which is to be drawn as often as the largest, anew in every
            epoch (:func:`~pellucid.train.oversample.drawn_rows`); for training alone.
        patches: what is cut out of the cases, several times an epoch, in the place of whole cases; for training alone.

    Raises:
        UsageError: a batch size below 1, or batches for validation that are to be oversampled.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Tensor] | Tensor],
        *,
        batch_size: int,
        seed: int | None = None,
        augment: Sequence[Augmentation] = (),
        pin: bool = False,
        oversample: Tensor | None = None,
        patches: Patches | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; give at least 1")
        if oversample is not None and seed is None:
            raise UsageError("validation and test cases are never oversampled; oversample the training batches alone")
        self.data, self.batch_size, self.seed = dict(data), batch_size, seed
        self.augment, self.pin = tuple(augment), pin
        self.epoch, self.rank, self.world = 0, 0, 1
        self.n = len(data[TRUTH])
        self.oversample, self.patches = oversample, patches
        self.drawn = self.n if oversample is None else len(drawn_rows(oversample, torch.Generator()))
        if patches is not None:
            self.drawn = self.n * patches.number
        self.bounds = self._bounds()
        self.rng = torch.Generator().get_state()

    def __len__(self) -> int:
        return len(self.bounds)

    def _bounds(self) -> list[tuple[int, int]]:
        bounds = [(i, min(i + self.batch_size, self.drawn)) for i in range(0, self.drawn, self.batch_size)]
        # Batch norm has no variance of a single case: it joins the batch before it.
        if self.seed is not None and len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
            bounds[-2:] = [(bounds[-2][0], self.drawn)]
        return bounds

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self.going_on(0)

    def going_on(self, first: int, rng: Tensor | None = None) -> Iterator[dict[str, Tensor]]:
        """The epoch's batches from number ``first`` on.

        Args:
            first: batches that are done.
            rng: what ``self.rng`` was after the last of them, if any was drawn.
        """
        order, generator = torch.arange(self.n), torch.Generator()
        if self.seed is not None:
            generator.manual_seed(self.seed * 1_000_003 + self.epoch)
            if self.oversample is not None:
                order = drawn_rows(self.oversample, generator)
            if self.patches is not None:
                order = order.repeat(self.patches.number)
            order = order[torch.randperm(self.drawn, generator=generator)]
        if rng is not None:
            generator.set_state(rng)
        for number, (start, end) in enumerate(self.bounds[first:], first):
            chosen = order[start:end]
            if self.world > 1:
                if self.seed is None and number % self.world != self.rank:
                    continue
                if self.seed is not None:
                    # Each device draws its own changes; by number, so that no state of theirs has to be kept.
                    generator.manual_seed(mixed(self.seed, self.epoch, number, self.rank))
                    # A device that is left without a case still has to take part in the step: see ``own``.
                    chosen = chosen[self.rank :: self.world] if len(chosen) > self.rank else chosen[:1]
            batch = self._augmented(self._taken(chosen, generator), generator)
            self.rng = generator.get_state()
            yield {k: v.pin_memory() for k, v in batch.items()} if self.pin else batch

    def in_order(self) -> Iterator[dict[str, Tensor]]:
        """All cases once, as they are, whatever the order and the changes of the epochs."""
        for start in range(0, self.n, self.batch_size):
            chosen = torch.arange(start, min(start + self.batch_size, self.n))
            yield {k: _rows(v, chosen) for k, v in self.data.items()}

    def first(self, n: int) -> dict[str, Tensor]:
        """The first cases, as they are, or the patches in their middle."""
        if self.patches is not None:
            return _stacked([self.patches.middle(self._case(i)) for i in range(min(n, self.n))])
        return {k: _rows(v, torch.arange(min(n, self.n))) for k, v in self.data.items()}

    def _taken(self, chosen: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        if self.patches is None:
            return {k: _rows(v, chosen) for k, v in self.data.items()}
        return _stacked([self.patches.drawn(self._case(i), i, generator) for i in chosen.tolist()])

    def _case(self, i: int) -> dict[str, Tensor]:
        return {k: v[i] for k, v in self.data.items()}

    def size(self, number: int) -> int:
        """Cases of a batch, of all devices together."""
        start, end = self.bounds[number]
        return end - start

    def own(self, number: int) -> int:
        """Cases of a training batch that count for this device; 0 where it stands in for nobody."""
        return len(range(self.rank, self.size(number), self.world))

    def for_several(self) -> None:
        """Stack the cases once, in memory that all processes share: one by one they would take too many files."""
        for k, v in self.data.items():
            if isinstance(v, Tensor) or len({x.shape for x in v}) == 1:
                self.data[k] = (v if isinstance(v, Tensor) else torch.stack(list(v))).share_memory_()
            else:
                self.data[k] = Ragged(v)

    def _augmented(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        mask = batch[TRUTH] if batch[TRUTH].ndim > 2 else None
        inputs = {k: v for k, v in batch.items() if k != TRUTH}
        for change in self.augment:
            seen = inputs if getattr(change, "tables", False) else {k: v for k, v in inputs.items() if v.ndim > 2}
            if not getattr(change, "drops", False):
                seen = {k: v for k, v in seen.items() if not k.startswith(MISSING)}
            if seen:
                seen, mask = change(seen, mask, generator)
                inputs |= seen
        return inputs | {TRUTH: batch[TRUTH] if mask is None else mask}


def mixed(*numbers: int) -> int:
    """A seed made of several numbers, so that neighbours have nothing in common."""
    text = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


def _stacked(cases: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {k: torch.stack([c[k] for c in cases]) for k in cases[0]}


def _rows(values: Sequence[Tensor] | Tensor, chosen: Tensor) -> Tensor:
    return values[chosen] if isinstance(values, Tensor) else torch.stack([values[i] for i in chosen.tolist()])
