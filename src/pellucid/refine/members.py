"""What goes into an ensemble: maps of one case and target, each brought to blocks in [0, 1], and those left out.

All pictures of a map share one scale, so that the share between modalities stays as the map has it. The columns of its
tables share another: a column stands for a finding, a block is a mean over its pixels, and on one scale with columns no
block would ever be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pellucid.core.attribution import Attribution
from pellucid.errors import InputError
from pellucid.refine.blocks import Array, block_means
from pellucid.refine.combine import is_constant, unit_range

SAID = {"no_effect": "no region had an effect", "empty_target": "there was nothing to explain"}  # flags of empty maps


@dataclass(frozen=True, eq=False)
class Member:
    """One map's part in an ensemble: its pictures, or its tables.

    Attributes:
        place: among the maps that were given.
        values: input to blocks in [0, 1].
    """

    place: int
    values: dict[str, Array]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A map that takes no part, in which inputs, and why."""

    place: int
    inputs: tuple[str, ...]
    why: str


def check_together(maps: Sequence[Attribution]) -> None:
    """Raise unless these are maps of one case, one target and one grid.

    Maps of one model say the same target; those of several have to call it alike.

    Raises:
        InputError: they are not.
    """
    first = maps[0]
    for a in maps[1:]:
        if a.case_id != first.case_id:
            raise InputError(
                f"case {first.case_id}: the map of {a.method} is of case {a.case_id}; combine maps of one case"
            )
        if target_of(a) != target_of(first):
            raise InputError(
                f"case {a.case_id}: the map of {first.method} explains {first.target.get('label')!r}, that of "
                f"{a.method} {a.target.get('label')!r}; combine maps of one target"
            )
    grids: dict[str, tuple[str, tuple[int, ...]]] = {}
    for a in maps:
        for name in a.maps:
            shape = tuple(a.spatial(name).shape)
            whose, other = grids.setdefault(name, (a.method, shape))
            if shape != other:
                raise InputError(
                    f"case {a.case_id}: the map of {whose} for {name!r} is {other}, that of {a.method} {shape}; bring "
                    "them to one grid"
                )


def target_of(a: Attribution) -> tuple[str, str]:
    """What maps have to share to be combined: the kind of target, and the class or score by name."""
    return str(a.target.get("kind")), str(a.target.get("label"))


def check_block(maps: Sequence[Attribution], block: int) -> None:
    """Raise if a block is larger than every picture.

    Raises:
        InputError: it is.
    """
    shapes = {n: tuple(a.spatial(n).shape) for a in maps for n in a.images}
    if shapes and all(block > max(s) for s in shapes.values()):
        said = ", ".join(f"{n!r} {s}" for n, s in shapes.items())
        raise InputError(f"case {maps[0].case_id}: block={block} is larger than the picture {said}; take a smaller one")


def members(maps: Sequence[Attribution], *, tables: bool, block: int) -> tuple[list[Member], list[LeftOut]]:
    """The maps' pictures, or tables, in [0, 1]; and those that say nothing there.

    Args:
        maps: of one case and target.
        tables: whether the tables are wanted, which have no blocks.
        block: side of a block of the pictures.
    """
    found, left = [], []
    for place, a in enumerate(maps):
        names = a.tables if tables else a.images
        if not names:
            continue
        m = {n: a.spatial(n) for n in sorted(names)}
        if not all(bool(torch.isfinite(v).all()) for v in m.values()):
            left.append(LeftOut(place, names, "it holds values that are not finite"))
            continue
        positive = {n: v.detach().double().clamp(min=0).numpy() for n, v in m.items()}
        blocks = positive if tables else {n: block_means(v, block) for n, v in positive.items()}
        values = np.concatenate([v.ravel() for v in blocks.values()])
        if not values.any():
            why = next((said for flag, said in SAID.items() if flag in a.flags), "it has no positive value")
            left.append(LeftOut(place, names, f"it is empty: {why}"))
        elif is_constant(values):
            of = "column" if tables else f"block of {block}"
            left.append(LeftOut(place, names, f"it is constant: the same in every {of}"))
        else:
            found.append(Member(place, split(unit_range(values), blocks)))
    return found, left


def split(values: Array, like: dict[str, Array]) -> dict[str, Array]:
    """A vector cut into pieces of the shapes of ``like``, in its order."""
    ends = np.cumsum([v.size for v in like.values()])[:-1]
    return {n: part.reshape(v.shape) for (n, v), part in zip(like.items(), np.split(values, ends))}
