"""Changed copies of one case, all of them through the model in full batches: score and probability in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from pellucid.core.target import Bound, ClassScore, Target
from pellucid.engine.problem import Problem
from pellucid.evaluate.undefined import Undefined

Make = Callable[[Tensor], dict[str, Tensor]]


class Scorer:
    """Scores of the T targets as they are and, for a classification, of their probabilities, in the same passes.

    Pixels of all image inputs are joined into one axis of N, in the order of :attr:`images`; all channels of a pixel
    go together.

    Args:
        problem: one case with its targets, bound.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.count = problem, len(problem.targets)
        targets: list[Target] = list(problem.targets)
        bound: list[Bound] = list(problem.objective.bound[0] or [])
        self.classify = problem.predictor.task == "classification"
        if self.classify:
            targets += [ClassScore(b.index, on="probability") for b in bound]
            bound += bound
        self.both = Problem(problem.engine, problem.cases, targets, seed=problem.seed, frozen=[bound])

    @cached_property
    def images(self) -> dict[str, Tensor]:
        """The image inputs, ``(1, C, *spatial)``."""
        return {k: v for k, v in self.problem.inputs.items() if v.ndim > 2}

    @property
    def pixels(self) -> int:
        """N, the pixels of all images."""
        return sum(v[0, 0].numel() for v in self.images.values())

    def run(self, n: int, make: Make) -> Tensor:
        """``(n, T)`` scores, then ``(n, T)`` probabilities beside them for a classification; float64 on the CPU.

        Args:
            n: how many copies.
            make: ``index (b,) → inputs (b, …)`` of the copies with these numbers.
        """
        stream = self.problem.stream(torch.zeros(n, dtype=torch.long), make)
        return self.problem.engine.scores(stream, self.both.objective).double().cpu()

    def blend(self, keep: Callable[[Tensor], Tensor], filled: dict[str, Tensor]) -> Make:
        """Copies in which the pixels that are not kept are filled; tables stay as they are.

        Args:
            keep: ``index (b,) → (b, N)`` bool on the engine's device.
            filled: stand-in of every input, ``(1, …)``, or ``(K, …)`` with one for each copy.
        """

        def make(index: Tensor) -> dict[str, Tensor]:
            kept = self.split(keep(index))
            out = {}
            for name, x in self.problem.inputs.items():
                if name not in kept:
                    out[name] = x.expand(len(index), *x.shape[1:]).clone()
                    continue
                other = filled[name] if len(filled[name]) == 1 else filled[name][index.to(filled[name].device)]
                out[name] = torch.where(kept[name][:, None], x, other)
            return out

        return make

    def split(self, joined: Tensor) -> dict[str, Tensor]:
        """``(b, N)`` over all pixels to ``(b, *spatial)`` for each image."""
        found, start = {}, 0
        for name, x in self.images.items():
            size = x[0, 0].numel()
            found[name] = joined[:, start : start + size].view(len(joined), *x.shape[2:])
            start += size
        return found

    def join(self, maps: dict[str, Tensor], method: str) -> tuple[Tensor, Tensor]:
        """``(N,)`` values of all pixels of all images, and whether the method gave one (else the value is 0).

        Args:
            maps: image input to ``(*spatial)``.
            method: whose.

        Raises:
            Undefined: no image input, no map of one, or a map and its image on different grids.
        """
        if not self.images:
            raise Undefined("the model sees tables only: there are no pixels to delete")
        if not maps:
            raise Undefined(f"{method} made no map of an image")
        values, known = [], []
        for name, x in self.images.items():
            shape = tuple(x.shape[2:])
            if name in maps and tuple(maps[name].shape) != shape:
                raise Undefined(f"the map of {name!r} is {tuple(maps[name].shape)}, the image is {shape}")
            m = maps.get(name, torch.zeros(shape, dtype=torch.double))
            values.append(m.flatten())
            known.append(torch.full((m.numel(),), name in maps))
        return torch.cat(values), torch.cat(known)

    def pick(self, scores: Tensor, column: int) -> tuple[Tensor, Tensor | None]:
        """One target's scores ``(n,)`` and, for a classification, its probabilities ``(n,)``."""
        return scores[:, column], scores[:, self.count + column] if self.classify else None
