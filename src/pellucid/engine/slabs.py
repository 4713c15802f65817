"""Volumes that pass by in slabs: label maps and gradients of which no whole is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from pellucid.engine.rows import Planes, blocks, planes_of, row_gradients
from pellucid.engine.seeds import Seeds
from pellucid.engine.windows import Plan, Row

if TYPE_CHECKING:
    from pellucid.engine.engine import Engine

ONE = torch.zeros(1, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Slab:
    """Planes ``start:stop`` of the first spatial axis, which no later window changes.

    Attributes:
        start, stop: planes.
        gradients: target to input name to ``(C, stop − start, …)`` float32; a target that has no part in any window
            here is left out. Tables are not in it.
    """

    start: int
    stop: int
    gradients: dict[int, dict[str, Tensor]]


class Copies(Protocol):
    """Perturbed copies of a case, made plane by plane."""

    @property
    def count(self) -> int:
        """How many."""
        ...

    def make(self, start: int, stop: int, copy: int) -> dict[str, Tensor]:
        """Planes ``start:stop`` of the first spatial axis: name to ``(1, C, stop − start, …)``; tables ``(1, F)``."""
        ...

    def weight(self, copy: int) -> float:
        """Of the copy's gradient in the sum."""
        ...


@dataclass(frozen=True, eq=False)
class _Itself:
    """The case as its only copy."""

    inputs: dict[str, Tensor]
    count: int = 1

    def make(self, start: int, stop: int, copy: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Its planes."""
        return {k: v[:, :, start:stop] if v.ndim > 2 else v for k, v in self.inputs.items()}

    def weight(self, copy: int) -> float:  # noqa: ARG002
        """One."""
        return 1.0


def slabs(
    engine: Engine, plan: Plan, inputs: dict[str, Tensor], seeds: Seeds, copies: Copies | None = None
) -> Iterator[Slab]:
    """Gradients of ``Σ_v weight(v) · z_k(v)`` of every target, summed over the copies, slab by slab.

    One forward for each copy and window that holds some target, one vjp for each target that it holds. Held at once:
    one chunk's graph, one row's planes of some copies, and the open planes of the targets near by.
    """
    case: Copies = _Itself(inputs) if copies is None else copies
    size = max(1, 64 // max(len(r.windows) for r in plan.rows)) if plan.total.numel() * 64 <= 1 << 24 else 1
    opened: dict[int, dict[str, Tensor]] = {}  # target, input → (C, planes from ``base`` on, …)
    base = 0
    for place, row in enumerate(plan.rows):
        ends = row.high if place + 1 == len(plan.rows) else plan.rows[place + 1].low
        for first in range(0, case.count, size):
            which = range(first, min(first + size, case.count))
            planes = _stacked(engine, case, row, which)
            found, _, _ = row_gradients(
                engine, plan, row, planes, [seeds] * len(which), ONE.expand(len(which)), slot=[0] * len(which),
                scale=[case.weight(c) for c in which],
            )  # fmt: skip
            for t, grads in found.get(0, {}).items():
                mine = opened.setdefault(t, {})
                for name, g in grads.items():
                    if g.ndim > 1:
                        mine[name] = _grown(mine.get(name), g, row.high - base)
                        mine[name][:, row.low - base : row.high - base] += g
        ready = {
            t: {k: _grown(v, v, ends - base)[:, : ends - base].float() for k, v in grads.items()}
            for t, grads in opened.items()
        }
        left = {
            t: {k: v[:, ends - base :].clone() for k, v in grads.items() if v.shape[1] > ends - base}
            for t, grads in opened.items()
        }
        opened = {t: grads for t, grads in left.items() if grads}
        yield Slab(base, ends, ready)
        base = ends


def label_map(engine: Engine, plan: Plan, inputs: dict[str, Tensor]) -> Tensor:
    """The labels ``(*shape)`` int16 of the stitched prediction, on the CPU."""
    parts = [
        engine.predictor.labels(logits)[0].to("cpu", torch.int16)
        for _, _, logits in blocks(engine, plan, lambda row: planes_of(inputs, row), ONE)
    ]
    return torch.cat(parts)


def _stacked(engine: Engine, copies: Copies, row: Row, which: range) -> Planes:
    made = [copies.make(row.low, row.high, c) for c in which]
    return {k: torch.cat([m[k] for m in made]).to(engine.device, engine.dtype) for k in made[0]}


def _grown(held: Tensor | None, like: Tensor, planes: int) -> Tensor:
    """The open planes of a target and input, with zeros up to so many planes."""
    have = 0 if held is None else held.shape[1]
    if held is not None and have >= planes:
        return held
    more = like.new_zeros(like.shape[0], planes - have, *like.shape[2:])
    return more if held is None else torch.cat([held, more], 1)
