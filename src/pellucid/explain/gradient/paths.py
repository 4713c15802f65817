"""Integrals of the gradient along straight paths, refined until they add up and stand still."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from pellucid.core.background import weights_of
from pellucid.core.fill import Fill
from pellucid.engine.problem import Problem, mean_over
from pellucid.errors import UsageError

FIRST = 8  # nodes of the coarsest level, over all paths


@dataclass(frozen=True, eq=False)
class Paths:
    """Straight paths to every case of a problem, R each.

    Nodes are evenly spaced. With several paths the nodes of each are shifted against those of the others, so that
    all together stand where the midpoint rule of R times as many would; one path has the midpoint rule itself. (When
    levels are refined and R is a multiple of three, paths come to share places: a third as many different ones.) Paths
    that do not count alike have the midpoint rule each.

    Attributes:
        problem: whose cases the paths end at.
        starts: input name to ``(M, …)``, where paths begin.
        which: ``(B, R)``, the start of each path.
        share: ``(R,)`` float64, what each path counts for, adding up to one; all alike if None.
    """

    problem: Problem
    starts: dict[str, Tensor]
    which: Tensor
    share: Tensor | None = None

    @staticmethod
    def of(problem: Problem, fill: Fill, *, background: bool) -> Paths:
        """From every background case, where there are any and they are wanted; else from the fill."""
        b, r = len(problem), len(problem.background)
        if background and r:
            share = weights_of(problem.background)
            return Paths(problem, problem.usual, torch.arange(r).expand(b, r), share)
        return Paths(problem, problem.fill(fill), torch.arange(b)[:, None])

    @property
    def count(self) -> int:
        """Paths of one case."""
        return self.which.shape[1]

    @property
    def shares(self) -> Tensor:
        """``(R,)`` float64, what each path counts for."""
        return torch.full((self.count,), 1 / self.count, dtype=torch.float64) if self.share is None else self.share

    @property
    def shifts(self) -> np.ndarray:
        """Of the nodes of each path; shifts balance each other only where all paths count alike."""
        return _shifts(self.count) if self.share is None else np.full(self.count, self.count)

    def change(self) -> Tensor:
        """``f(x) − mean f(x')`` ``(B, T)``: one forward for the case, one for each path."""
        problem, (b, r) = self.problem, self.which.shape
        scores, row = problem.scores, self.which.reshape(-1)
        owner = torch.arange(b).repeat_interleave(r)
        stream = problem.stream(owner, lambda i: {k: v[row[i].to(v.device)] for k, v in self.starts.items()})
        return scores - mean_over(problem.engine.scores(stream, problem.objective).view(b, r, -1), self.shares)

    def integral(self, active: Tensor, nodes: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """``Σ w (x − x') ∘ ∂y/∂x (x' + α(x − x'))`` over paths and nodes, ``(B, T, *shape)``.

        Args:
            active: the cases to run; the others' maps are zero.
            nodes: ``(R, n)``, the α of each path.
            weights: ``(n,)``, of the nodes of each path.
        """
        problem, device = self.problem, self.problem.engine.device
        owner = active.repeat_interleave(nodes.numel())
        path = torch.arange(self.count).repeat_interleave(nodes.shape[1]).repeat(len(active))
        row = self.which[owner, path]
        alpha = nodes.reshape(-1).repeat(len(active)).to(device, problem.engine.dtype)

        def ends(index: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
            start, end = row[index].to(device), owner[index].to(device)
            return {k: (self.starts[k][start], v[end]) for k, v in problem.inputs.items()}

        def make(index: Tensor) -> dict[str, Tensor]:
            a = alpha[index.to(device)]
            return {k: s + a.view(-1, *[1] * (s.ndim - 1)) * (x - s) for k, (s, x) in ends(index).items()}

        def times_path(index: Tensor, grads: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: grads[k] * (x - s)[:, None] for k, (s, x) in ends(index).items()}

        return problem.engine.gradients(
            problem.stream(owner, make), problem.objective, transform=times_path,
            weights=torch.outer(self.shares, weights).flatten().repeat(len(active)),
        ).sums  # fmt: skip

    def fixed(self, count: int) -> dict[str, Tensor]:
        """The maps with ``count`` nodes on each path."""
        everyone = torch.arange(len(self.problem))
        nodes = _nodes(np.tile(np.arange(count), (self.count, 1)), self.shifts, count)
        return self.integral(everyone, nodes, torch.full((count,), 1 / count, dtype=torch.float64))

    def refined(
        self, expected: Tensor, *, tolerance: float, settle: float, most: int
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The maps with nodes added until both conditions hold, the nodes ``(B,)`` that each case took, and which maps
        ``(B, T)`` have not settled even so.

        Every level triples the nodes and keeps those of the one before.

        Args:
            expected: ``(B, T)``, what the maps should add up to.
            tolerance: of the relative completeness error.
            settle: of the relative change of the map from one level to the next.
            most: nodes over all paths.

        Raises:
            UsageError: so many paths that no two levels are within ``most``.
        """
        problem, shifts = self.problem, self.shifts
        steps = levels(self.count, most)
        active = torch.arange(len(problem))
        used = torch.zeros(len(problem), dtype=torch.int64)
        total: dict[str, Tensor] = {}
        maps: dict[str, Tensor] = {}
        restless = torch.ones_like(expected, dtype=torch.bool)
        for level, count in enumerate(steps):
            if level == 0:
                fresh = np.tile(np.arange(count), (self.count, 1))
            else:  # every third node is one of the level before; which third depends on the shift
                old, shifts = np.divmod(3 * shifts, 2 * self.count)
                fresh = np.stack([np.flatnonzero(np.arange(count) % 3 != o) for o in old])
            nodes = _nodes(fresh, shifts, count)
            sums = self.integral(active, nodes, torch.ones(nodes.shape[1], dtype=torch.float64))
            at = active.to(problem.engine.device)
            new = {}
            for name, s in sums.items():
                total[name] = total[name] + s if level else s
                new[name] = total[name] / count
            used[active] = count * self.count
            if level == 0:
                maps = new
                continue
            here = {k: v[at] for k, v in new.items()}
            change = _change(here, {k: v[at] for k, v in maps.items()})
            error = relative_gap(here, expected[at])
            maps = {k: v.index_copy(0, at, here[k]) for k, v in maps.items()}  # a case that settled keeps its map
            restless = restless.index_copy(0, at, change > settle)
            active = active[~((error <= tolerance) & (change <= settle)).all(1).cpu()]
            if not len(active):
                break
        return maps, used, restless


def levels(paths: int, most: int) -> list[int]:
    """Numbers of nodes on each path: 8 over all paths, or one on each, tripled as long as they stay within ``most``.

    Raises:
        UsageError: there is no room for two levels.
    """
    found = [ceil(FIRST / paths)]
    while found[-1] * 3 * paths <= most:
        found.append(found[-1] * 3)
    if len(found) < 2:
        raise UsageError(
            f"most={most}: {paths} paths need {3 * paths * found[0]} nodes, so that two levels can be compared; raise "
            "most, fix n_steps, or give fewer background cases"
        )
    return found


def relative_gap(maps: dict[str, Tensor], expected: Tensor) -> Tensor:
    """``|ΣA − expected| / |expected|``, ``(B, T)``; no smaller denominator than 1e-6."""
    total = sum(m.flatten(2).sum(2) for m in maps.values())
    return (total - expected).abs() / expected.abs().clamp(min=1e-6)


def _change(new: dict[str, Tensor], old: dict[str, Tensor]) -> Tensor:
    """Relative L1 change of the maps, ``(B, T)``."""
    moved = sum((new[k] - old[k]).flatten(2).abs().sum(2) for k in new)
    size = sum(new[k].flatten(2).abs().sum(2) for k in new)
    return torch.as_tensor(moved) / torch.as_tensor(size).clamp(min=1e-12)


def _shifts(paths: int) -> np.ndarray:
    """``s`` of each path, whose nodes lie at ``(j + s / 2R) / n``: 1, 3, … 2R − 1, neighbours far apart.

    The order is that of multiples of the golden ratio, so that a background sorted by anything is spread evenly.
    """
    order = np.argsort(np.argsort((np.arange(paths) + 0.5) * (np.sqrt(5) - 1) / 2 % 1))
    shifts: np.ndarray = 2 * order + 1
    return shifts


def _nodes(index: np.ndarray, shifts: np.ndarray, count: int) -> Tensor:
    """``(R, n)`` places on the paths."""
    return torch.as_tensor((2 * len(shifts) * index + shifts[:, None]) / (2 * len(shifts) * count))
