"""A hierarchy over the inputs of a case: they are parted, then each is halved and halved again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

Sides = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Block:
    """A node of the hierarchy: several inputs, or a box of one picture, or a run of a table's columns.

    Attributes:
        boxes: input name and, along each axis (of a picture the spatial ones), the first index and one past the last.
    """

    boxes: tuple[tuple[str, Sides], ...]

    @property
    def several(self) -> bool:
        """Whether it holds more than one input."""
        return len(self.boxes) > 1

    @property
    def size(self) -> int:
        """Pixels or columns."""
        return sum(prod(stop - start for start, stop in sides) for _, sides in self.boxes)

    def halves(self, spacing: tuple[float, ...] | None = None) -> tuple[Block, Block] | None:
        """Its two children; None for a single pixel or column.

        Pictures are parted from tables, then the inputs halved in their order; a box is halved along its longest axis
        in mm (the first of equal ones), a table in the order of its columns.
        """
        if self.several:
            pictures = sum(len(sides) > 1 for _, sides in self.boxes)
            cut = pictures if 0 < pictures < len(self.boxes) else len(self.boxes) // 2
            return Block(self.boxes[:cut]), Block(self.boxes[cut:])
        ((name, sides),) = self.boxes
        mm = spacing if spacing is not None and len(spacing) == len(sides) else (1.0,) * len(sides)
        lengths = [(stop - start) * d if stop - start > 1 else 0.0 for (start, stop), d in zip(sides, mm)]
        if max(lengths) == 0:
            return None
        axis = lengths.index(max(lengths))
        start, stop = sides[axis]
        middle = start + (stop - start) // 2
        return tuple(  # type: ignore[return-value]
            Block(((name, (*sides[:axis], part, *sides[axis + 1 :])),)) for part in ((start, middle), (middle, stop))
        )


def everything(shapes: Mapping[str, tuple[int, ...]]) -> Block:
    """The root: all inputs, pictures first; ``shapes`` are ``(*spatial)`` or ``(F,)``."""
    names = sorted(shapes, key=lambda k: len(shapes[k]) == 1)
    return Block(tuple((k, tuple((0, n) for n in shapes[k])) for k in names))
