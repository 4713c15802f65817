"""The splitting of one case into blocks with Owen values, best first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.explain.shapley.halving import Block

Vector = NDArray[np.float64]
AT_ONCE = 16  # splits of a case between two looks at what is most worth splitting


@dataclass(eq=False)
class State:
    """A block among what else is present, the outputs without it and with it, and the share of all orders."""

    block: Block
    present: tuple[Block, ...]
    low: Vector
    high: Vector
    weight: float
    children: tuple[Block, Block] | None

    @property
    def coalitions(self) -> list[list[Block]]:
        """What has to be run to split it: the first half alone, the second half alone."""
        assert self.children is not None
        return [[*self.present, half] for half in self.children]


@dataclass(eq=False)
class OwenGame:
    """The splitting of one case.

    Attributes:
        targets: the first so many numbers of an output are credited; the others say what to split.
        spacing: of the case's pictures.
        budget: splits that may be made.
        splits: those that were made.
        scale: of the outputs.
        values: of the blocks that are not split further.
        heap: the states that may be split, the most urgent one first.
        ticket: numbers the states, so that of equal ones the oldest comes first.
    """

    targets: int
    spacing: tuple[float, ...] | None
    budget: int
    splits: int = 0
    scale: float = 1.0
    values: dict[Block, Vector] = field(default_factory=dict)
    heap: list[tuple[float, int, State]] = field(default_factory=list)
    ticket: Iterator[int] = field(default_factory=count)

    def start(self, root: Block, low: Vector, high: Vector) -> OwenGame:
        """With everything in one block."""
        self.scale = max(float(np.abs(high[self.targets :]).max()), float(np.abs(low[self.targets :]).max())) or 1.0
        self.push(root, (), low, high, 1.0)
        return self

    def push(self, block: Block, present: tuple[Block, ...], low: Vector, high: Vector, weight: float) -> None:
        """Queue a state by its effect on the model's outputs; one that cannot be split has its value."""
        state = State(block, present, low, high, weight, block.halves(self.spacing))
        if state.children is None:
            self.credit(state)
            return
        effect = weight * float(np.abs(high - low)[self.targets :].max())
        # In steps of a float32's rounding, so that states of equal effect keep their order whatever the chunks are.
        urgency = np.inf if block.several else round(effect / self.scale * 1e6)
        heapq.heappush(self.heap, (-urgency, next(self.ticket), state))

    def next(self) -> list[State]:
        """The states to split now."""
        room = min(AT_ONCE, self.budget - self.splits, len(self.heap))
        self.splits += room
        return [heapq.heappop(self.heap)[2] for _ in range(room)]

    def split(self, s: State, first: Vector, second: Vector) -> None:
        """Four states in place of one: each half, with and without the other."""
        assert s.children is not None
        a, b = s.children
        half = s.weight / 2
        self.push(a, s.present, s.low, first, half)
        self.push(b, s.present, s.low, second, half)
        self.push(a, (*s.present, b), second, s.high, half)
        self.push(b, (*s.present, a), first, s.high, half)

    def credit(self, s: State) -> None:
        """Give a block the value of one state."""
        value = (s.high - s.low)[: self.targets] * s.weight
        self.values[s.block] = self.values[s.block] + value if s.block in self.values else value

    def spread(self, maps: dict[str, Tensor]) -> None:
        """Write the values, and what was left unsplit, evenly over the blocks of ``(T, *shape)`` maps."""
        for _, _, state in self.heap:
            self.credit(state)
        total = {k: np.zeros(m.shape) for k, m in maps.items()}
        for block, value in self.values.items():
            for name, sides in block.boxes:
                where = (slice(None), *(slice(*s) for s in sides))
                total[name][where] += (value / block.size).reshape(-1, *[1] * len(sides))
        for name, m in maps.items():
            m.copy_(torch.from_numpy(total[name]))
