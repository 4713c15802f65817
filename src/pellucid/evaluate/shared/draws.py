"""Random changes of the pictures, drawn once per case and shared by all its maps: K of them cost K forwards.

Nothing here depends on a map, so that every method is asked about the same changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluate.shared.plan import PIXELS, Plan, unit_sums
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence

LEAST, MOST = 1 / 16, 1 / 2  # of an axis: the sides of random boxes


@dataclass(frozen=True, eq=False)
class Drawn:
    """K changed copies of the case.

    Attributes:
        scores: ``(K, columns)`` of the scorer.
        sums: values ``(N,)`` of all pixels to ``(K,)``, their sums over what each copy lacks.
    """

    scores: Tensor
    sums: Callable[[Tensor], Tensor]


class Sets:
    """K sets of ``size`` out of ``total`` units: as indices, or as bits where these are smaller."""

    def __init__(self, rng: np.random.Generator, total: int, size: int, count: int) -> None:
        self.total, self.packed = total, 32 * size > total
        self.rows: list[NDArray[Any]] = []
        for _ in range(count):
            chosen = rng.choice(total, size, replace=False, shuffle=False)
            if self.packed:
                inside = np.zeros(total, dtype=bool)
                inside[chosen] = True
                self.rows.append(np.packbits(inside))
            else:
                self.rows.append(chosen.astype(np.int32))

    def inside(self, k: int) -> Tensor:
        """``(total,)`` whether each unit is in the set ``k``."""
        if self.packed:
            return torch.from_numpy(np.unpackbits(self.rows[k], count=self.total)).bool()
        found = torch.zeros(self.total, dtype=torch.bool)
        found[torch.from_numpy(self.rows[k]).long()] = True
        return found

    def sums(self, values: Tensor) -> Tensor:
        """``(K,)`` sums of ``values (total,)`` over each set."""
        if self.packed:
            return torch.stack([values[self.inside(k)].sum() for k in range(len(self.rows))])
        return torch.stack([values[torch.from_numpy(row).long()].sum() for row in self.rows])


def usual_size(units: int, axes: int) -> int:
    """``U^((d−1)/d)``: 224 of 224² pixels, 224² of 224³ voxels; as many as there are in one row or slice."""
    return max(1, min(units - 1, round(units ** ((axes - 1) / axes))))


def random_subsets(evidence: Evidence, plan: Plan, count: int, size: int | float | None = None) -> Drawn:
    """``count`` random sets of units, each taken away together: ``count`` forwards.

    Args:
        evidence: of the case.
        plan: in which units, with what in their place.
        count: K.
        size: units in a set; a share of all of them if it is a float; :func:`usual_size` if None.

    Raises:
        Undefined: no picture, or fewer than two units.
        UsageError: as many units in a set as there are, or more.
    """
    units = _units(evidence, plan)
    total = int(units.max()) + 1
    if total < 2:
        raise Undefined(f"the pictures are one part by {plan.by!r}, so there are no subsets")
    if size is None:
        size = usual_size(total, max(x.ndim for x in evidence.scorer.images.values()) - 2)
    elif isinstance(size, float):
        size = max(1, min(total - 1, round(size * total)))
    if size >= total:
        raise UsageError(f"case {evidence.case.id}: size={size} of {total} {plan.by}: a subset has to leave some")
    wanted: int = size

    def make() -> Drawn:
        sets = Sets(_rng(evidence, f"subsets {plan.by} {wanted}"), total, wanted, count)
        device = evidence.engine.device
        of = None if plan.by == PIXELS else units.to(device)

        def keep(index: Tensor) -> Tensor:
            kept = ~torch.stack([sets.inside(k) for k in index.tolist()]).to(device)
            return kept if of is None else kept[:, of]

        filled = evidence.stand_in(plan.fill or evidence.fill)
        scores = evidence.scorer.run(count, evidence.scorer.blend(keep, filled))
        return Drawn(scores, lambda values: sets.sums(values if of is None else unit_sums(values, units)))

    return evidence.once(("subsets of units", plan, count, wanted), make)


def random_boxes(evidence: Evidence, count: int, side: int | None = None) -> Drawn:
    """``count`` random boxes, each in one of the pictures, taken away one at a time: ``count`` forwards.

    Args:
        evidence: of the case.
        count: K.
        side: in pixels along every axis; drawn between a sixteenth and a half of each axis if None.

    Raises:
        Undefined: no picture.
    """
    _units(evidence, Plan())
    scorer = evidence.scorer
    _ = evidence.stand_in(evidence.fill)

    def make() -> Drawn:
        rng = _rng(evidence, f"boxes {side}")
        names = list(scorer.images)
        boxes: list[tuple[str, tuple[slice, ...]]] = []
        for _ in range(count):
            name = names[int(rng.integers(len(names)))]
            share = rng.uniform(LEAST, MOST)
            shape = scorer.images[name].shape[2:]
            sides = [min(n, max(1, round(share * n)) if side is None else side) for n in shape]
            starts = [int(rng.integers(n - s + 1)) for n, s in zip(shape, sides)]
            boxes.append((name, tuple(slice(a, a + s) for a, s in zip(starts, sides))))

        def keep(index: Tensor) -> Tensor:
            kept = torch.ones(len(index), scorer.pixels, dtype=torch.bool, device=evidence.engine.device)
            parts = scorer.split(kept)
            for row, k in enumerate(index.tolist()):
                parts[boxes[k][0]][row][boxes[k][1]] = False
            return kept

        def sums(values: Tensor) -> Tensor:
            parts = scorer.split(values[None])
            return torch.stack([parts[name][0][box].sum() for name, box in boxes])

        return Drawn(scorer.run(count, scorer.blend(keep, evidence.filled)), sums)

    return evidence.once(("boxes", count, side), make)


@dataclass(frozen=True, eq=False)
class Noisy:
    """K copies ``x − I`` of the case.

    Attributes:
        scores: ``(K, columns)`` of the scorer.
        products: maps, image input to ``(C or 1, *spatial)``, to ``(K,)``: ``Iᵀ A`` of each copy.
    """

    scores: Tensor
    products: Callable[[dict[str, Tensor]], Tensor]


def random_noise(evidence: Evidence, count: int, share: float) -> Noisy:
    """``count`` copies with ``I ~ N(0, (share · range)²)`` taken from the pictures: ``count`` forwards.

    Raises:
        Undefined: no picture, or constant ones.
    """
    _units(evidence, Plan())
    problem, images = evidence.problem, evidence.scorer.images
    if not any(float(problem.scale(name).max()) > 0 for name in images):
        raise Undefined("every picture is constant, so noise in proportion to its range is nothing")

    def noise(name: str, index: Tensor) -> Tensor:
        drawn = problem.draw("normal", name, torch.zeros_like(index), index, "infidelity")
        return share * problem.scale(name) * drawn

    def copies(index: Tensor) -> dict[str, Tensor]:
        index = index.cpu()
        return {
            name: x - noise(name, index) if name in images else x.expand(len(index), *x.shape[1:]).clone()
            for name, x in problem.inputs.items()
        }

    def products(maps: dict[str, Tensor]) -> Tensor:
        found = torch.zeros(count, dtype=torch.double)
        for name, m in maps.items():
            for k in range(count):  # drawn again, one at a time: K noisy volumes would not fit
                found[k] += (noise(name, torch.tensor([k]))[0].cpu().double() * m).sum()
        return found

    return evidence.once(
        ("noise", count, share), lambda: Noisy(evidence.scorer.run(count, copies), products)
    )  # fmt: skip


def _units(evidence: Evidence, plan: Plan) -> Tensor:
    if not evidence.scorer.images:
        raise Undefined("the model sees tables only: there are no pixels to take away")
    return evidence.units(plan)


def _rng(evidence: Evidence, purpose: str) -> np.random.Generator:
    seed = torch.randint(2**62, (1,), generator=evidence.problem.generator(0, purpose))
    return np.random.default_rng(int(seed))
