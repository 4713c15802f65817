"""The search of one case and one target: which windows to ask for next, and the map of what was found."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.explain.perturbation.pyramid import Layer, Pyramid

_GRAIN = 1e4  # effects are compared in steps of a ten-thousandth of the largest: rounding decides nothing


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to search, and what to make of it: see the options of hierarchical occlusion.

    Attributes:
        threshold: share of the largest effect from which on a window is subdivided.
        top_k: how many windows of a level are at most.
        both: whether what raises the score counts as what lowers it.
        combine: how the levels make a map.
    """

    threshold: float
    top_k: int | None
    both: bool
    combine: str


@dataclass(eq=False)
class Found:
    """What the windows of one input at one level have shown of each pixel; first axis: for and against the target."""

    best: Tensor
    total: Tensor
    count: Tensor

    @staticmethod
    def nothing(shape: tuple[int, ...]) -> Found:
        """Before the first window."""
        zeros = torch.zeros(2, *shape, dtype=torch.float64)
        return Found(zeros, zeros.clone(), zeros[0].clone())

    def add(self, one: Layer, index: list[int], effect: Tensor) -> None:
        """Spread effects over their windows."""
        both = torch.stack([effect.clamp(min=0), (-effect).clamp(min=0)], 1).view(-1, 2, *[1] * self.count.ndim)
        for i, value in zip(index, both):
            box = one.box(i)
            here = (slice(None), *box)
            self.best[here] = torch.maximum(self.best[here], value)
            self.total[here] += value
            self.count[box] += 1

    @property
    def mean(self) -> Tensor:
        """Over the windows that cover a pixel."""
        return self.total / self.count.clamp(min=1)


@dataclass(eq=False)
class Descent:
    """From the coarsest windows down into those that matter.

    Where the budget does not reach, a level is asked in rounds: first windows side by side, then those half a step
    between them, and so on, each time around what has shown most so far.

    Attributes:
        pyramid: the windows.
        rules: how to search.
        allowed: of each level, which windows ``(n,)`` may be asked for.
        most: how many windows may be asked for in all; the first level runs whole whatever it says. None: no limit.
        asked: how many were.
        left_out: how many windows inside subdivided ones the budget left out.
        largest: effect that was found.
    """

    pyramid: Pyramid
    rules: Rules
    allowed: list[Tensor]
    most: int | None
    asked: int = 0
    left_out: int = 0
    largest: float = 0.0
    _level: int = -1
    _steps: list[int] = field(default_factory=list)
    _room: int = 0
    _wanted: Tensor = field(default_factory=lambda: torch.zeros(0))
    _effect: Tensor = field(default_factory=lambda: torch.zeros(0))  # of the level's windows, NaN where not asked
    _now: Tensor = field(default_factory=lambda: torch.zeros(0))
    _found: dict[str, list[Found]] = field(default_factory=dict)

    def ask(self) -> Tensor:
        """The windows ``(k,)`` that come next, counted over all levels; none when the search is over."""
        while self._level < len(self.pyramid.levels):
            while self._steps:
                self._now = self._pick(self._steps.pop(0))
                if len(self._now):
                    self.asked += len(self._now)
                    return self._now + self.pyramid.offsets[self._level]
            self._go_down()
        return torch.zeros(0, dtype=torch.int64)

    def learn(self, drops: Tensor) -> None:
        """Take in how far the score fell, ``(k,)``, with each of the windows filled that were asked for."""
        effect = drops if self.rules.both else drops.clamp(min=0)
        self.largest = max(self.largest, float(effect.abs().max()))
        self._effect[self._now] = effect
        first = 0
        for one in self.pyramid.levels[self._level]:
            mine = (self._now >= first) & (self._now < first + len(one))
            self._found[one.name][self._level].add(one, (self._now[mine] - first).tolist(), effect[mine])
            first += len(one)

    def _go_down(self) -> None:
        """End a level and begin the next: the windows whose corner lies inside a subdivided one."""
        below = self._level + 1
        layers = self.pyramid.levels[below] if below < len(self.pyramid.levels) else []
        if self._level >= 0:
            self.left_out += int(self._wanted.sum()) - int(self._effect.isfinite().sum())
            start = self._starts()
            inside = [start[one.name][tuple(one.corners.T)] for one in layers]
            self._wanted = self.allowed[below] & torch.cat(inside) if layers else self._wanted[:0]
        else:
            self._wanted = self.allowed[0]
        self._level = below
        count = int(self._wanted.sum())
        for one in layers:
            self._found.setdefault(one.name, []).append(Found.nothing(one.shape))
        self._effect = torch.full(self._wanted.shape, torch.nan, dtype=torch.float64)
        self._steps, self._room = ([1], count) if count else ([], 0)
        if below and count and self.most is not None:
            self._room = max(0, self.most - self.asked) // (len(self.pyramid.levels) - below)
            if self._room < count:
                self._steps = self.pyramid.steps(below)

    def _starts(self) -> dict[str, Tensor]:
        """Of each input, where a window of the next level may start: inside those that are subdivided."""
        strength = self._effect.abs().nan_to_num()
        share = (strength / (self.largest or 1.0) * _GRAIN).round()
        split = (strength > 0) & (share >= self.rules.threshold * _GRAIN)
        if self.rules.top_k is not None:
            best = share.sort(descending=True, stable=True).indices[: self.rules.top_k]
            split &= torch.zeros_like(split).index_fill(0, best, True)
        layers = self.pyramid.levels[self._level]
        found = {}
        for one, mine in zip(layers, split.split([len(one) for one in layers])):
            found[one.name] = torch.zeros(one.shape, dtype=torch.bool)
            for i in mine.nonzero()[:, 0].tolist():
                found[one.name][one.box(i)] = True
        return found

    def _pick(self, step: int) -> Tensor:
        """The most promising windows at every so many steps, as far as the budget goes; ties by their place."""
        layers = self.pyramid.levels[self._level]
        on = torch.cat([(one.places % step == 0).all(1) for one in layers])
        index = (self._wanted & on & self._effect.isnan()).nonzero()[:, 0]
        room = self._room // (len(self._steps) + 1)
        if len(index) > room:
            maps = {one.name: self._known(one.name).sum(0) for one in layers}
            promise = torch.cat([maps[one.name][tuple(((one.corners + one.ends) // 2).T)] for one in layers])
            ranks = (promise[index] / self.largest * _GRAIN).round()
            index = index[ranks.sort(descending=True, stable=True).indices[:room]].sort().values
        self._room -= len(index)
        return index

    def _known(self, name: str) -> Tensor:
        """Of each pixel, the mean effect of the finest windows that reached it, shared out over their size."""
        tower, known = self.pyramid.towers[name], torch.zeros_like(self._found[name][0].best)
        for one, found in zip(tower, self._found[name]):
            known = torch.where(found.count > 0, found.mean * (tower[-1].volume / one.volume), known)
        return known

    def maps(self) -> dict[str, Tensor]:
        """The map of each input."""
        out = {}
        for name, levels in self._found.items():
            if self.rules.combine == "density":
                tower = self.pyramid.towers[name]
                parts = [f.mean * (tower[-1].volume / one.volume) for one, f in zip(tower, levels)]
                known = torch.stack(parts).sum(0) / len(tower)
            else:
                known = torch.stack([f.best for f in levels]).sum(0)
                if self.rules.combine == "mean":
                    known = known / torch.stack([f.count > 0 for f in levels]).sum(0).clamp(min=1)
            out[name] = known[0] - known[1]
        return out
