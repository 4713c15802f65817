"""Boxes that readers drew, as regions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import read_table

COLUMNS = {"image": "image", "x": "x", "y": "y", "w": "w", "h": "h", "source": "source", "label": "label"}


class Boxes:
    """Boxes by picture, read from a table with one box a line, in pixels of the original picture.

    Args:
        path: the table.
        columns: our name to the table's, for ``image x y w h source label``; ``source`` and ``label`` may be absent.
        sources: the table's name of a reader to the name of its region; as it is if absent.
        label: keep only the boxes with this label, or one of these.

    Raises:
        InputError: missing columns, or an unusable table.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Mapping[str, str] | None = None,
        sources: Mapping[str, str] | None = None,
        label: str | list[str] | None = None,
    ) -> None:
        for name in columns or {}:
            if name not in COLUMNS:
                raise UsageError(f"box_columns: no part of a box is called {name!r}; {nearest(name, COLUMNS)}")
        names = COLUMNS | dict(columns or {})
        table = read_table(path)
        for part in ("image", "x", "y", "w", "h", *(("label",) if label is not None else ())):
            if names[part] not in table.columns:
                raise InputError(
                    f"{path}: no column {names[part]!r} for the boxes; {nearest(names[part], table.columns)}"
                )
        has_source = names["source"] in table.columns
        text = [names["image"]] + ([names["source"]] if has_source else [])
        text += [names["label"]] if names["label"] in table.columns else []
        table = read_table(path, text=text)
        if label is not None:
            table = table[table[names["label"]].isin([label] if isinstance(label, str) else label)]
        self.path = path
        self._by_image: dict[str, list[tuple[str | None, tuple[float, ...]]]] = defaultdict(list)
        for row in table.to_dict("records"):
            source = (row[names["source"]] or None) if has_source else None
            source = (sources or {}).get(source, source) if source is not None else None
            try:
                box = tuple(float(row[names[part]]) for part in ("x", "y", "w", "h"))
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}: image {row[names['image']]}: a box holds no numbers ({error})") from error
            self._by_image[Path(row[names["image"]]).name].append((source, box))

    def regions(self, name: str, original: tuple[int, int], size: tuple[int, int]) -> dict[str, Tensor]:
        """One boolean mask ``size`` per reader, and ``"boxes"``, their union; empty if there are no boxes.

        A pixel belongs to a box if its centre lies in it, edges scaled from ``original`` to ``size``.

        Raises:
            InputError: a box without area, not finite, or outside the picture.
        """
        out: dict[str, Tensor] = {}
        for source, (x, y, w, h) in self._by_image.get(Path(name).name, []):
            if not (w > 0 and h > 0 and x + w > 0 and y + h > 0 and x < original[1] and y < original[0]):
                raise InputError(
                    f"{self.path}: the box x={x:g} y={y:g} w={w:g} h={h:g} of {name} does not lie in its picture of "
                    f"{original[0]} × {original[1]} pixels (rows × columns)"
                )
            rows = _inside(y, h, original[0], size[0])
            columns = _inside(x, w, original[1], size[1])
            mask = rows[:, None] & columns[None, :]
            for region in {"boxes", source or "boxes"}:
                out[region] = out[region] | mask if region in out else mask
        return out


def _inside(start: float, length: float, old: int, new: int) -> Tensor:
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new
    inside = (centres >= start) & (centres < start + length)
    if not inside.any():  # thinner than a pixel: the nearest one stands for it
        inside[(centres - (start + length / 2)).abs().argmin()] = True
    return inside
