"""Boxes and outlines that readers drew, as regions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from skimage.draw import polygon2mask
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
        regions: the table's label to a region that its boxes make as well, such as ``{"Infiltrate": "Infiltration"}``.

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
        regions: Mapping[str, str] | None = None,
    ) -> None:
        for name in columns or {}:
            if name not in COLUMNS:
                raise UsageError(f"box_columns: no part of a box is called {name!r}; {nearest(name, COLUMNS)}")
        names = COLUMNS | dict(columns or {})
        table = read_table(path)
        for part in ("image", "x", "y", "w", "h", *(("label",) if label is not None or regions else ())):
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
        self._by_image: dict[str, list[tuple[set[str], tuple[float, ...]]]] = defaultdict(list)
        for row in table.to_dict("records"):
            source = (row[names["source"]] or None) if has_source else None
            source = (sources or {}).get(source, source) if source is not None else None
            kind = regions.get(str(row[names["label"]])) if regions else None
            try:
                box = tuple(float(row[names[part]]) for part in ("x", "y", "w", "h"))
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}: image {row[names['image']]}: a box holds no numbers ({error})") from error
            self._by_image[Path(row[names["image"]]).name].append(({"boxes", source or "boxes", kind or "boxes"}, box))

    def regions(self, name: str, original: tuple[int, int], size: tuple[int, int]) -> dict[str, Tensor]:
        """One boolean mask ``size`` per reader and region, and ``"boxes"``, their union; empty if there are no boxes.

        A pixel belongs to a box if its centre lies in it, edges scaled from ``original`` to ``size``.

        Raises:
            InputError: a box without area, not finite, or outside the picture.
        """
        out: dict[str, Tensor] = {}
        for called, (x, y, w, h) in self._by_image.get(Path(name).name, []):
            mask = box_mask((x, y, w, h), original, size, where=f"{self.path}: {name}")
            for region in sorted(called):
                out[region] = out[region] | mask if region in out else mask
        return out


def box_mask(
    box: tuple[float, float, float, float], original: tuple[int, int], size: tuple[int, int], *, where: str
) -> Tensor:
    """The boolean mask ``size`` of the box (left, top, width, height), drawn on a picture of the size ``original``.

    Raises:
        InputError: a box without area, not finite, or outside the picture; ``where`` opens the message.
    """
    x, y, w, h = box
    if not (w > 0 and h > 0 and x + w > 0 and y + h > 0 and x < original[1] and y < original[0]):
        raise InputError(
            f"{where}: the box x={x:g} y={y:g} w={w:g} h={h:g} does not lie in its picture of "
            f"{original[0]} × {original[1]} pixels (rows × columns)"
        )
    return _inside(y, h, original[0], size[0])[:, None] & _inside(x, w, original[1], size[1])[None, :]


def polygon_mask(
    points: Sequence[Sequence[float]], original: tuple[int, int], size: tuple[int, int], *, where: str
) -> Tensor:
    """The boolean mask ``size`` of the polygon of ``(x, y)``, drawn on a picture of the size ``original``.

    Raises:
        InputError: fewer than three points, not numbers, or all of them outside the picture.
    """
    try:
        corners = np.asarray(points, float)[:, ::-1]
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{where}: a polygon is no list of points (x, y)") from error
    known = corners.shape[1:] == (2,) and bool(np.isfinite(corners).all())
    inside = (corners >= 0).all(1) & (corners <= original).all(1) if known else np.zeros(0, bool)
    if len(corners) < 3 or not inside.any():
        raise InputError(
            f"{where}: a polygon of {len(corners)} points does not lie in its picture of {original[0]} × {original[1]} "
            "pixels (rows × columns)"
        )
    scaled = corners * np.array(size) / np.array(original) - 0.5  # to the centres of pixels
    mask = polygon2mask(size, scaled)
    if not mask.any():  # thinner than a pixel: the nearest one stands for it
        mask[tuple(np.clip(np.round(scaled.mean(0)), 0, np.array(size) - 1).astype(int))] = True
    return torch.from_numpy(np.ascontiguousarray(mask))


def _inside(start: float, length: float, old: int, new: int) -> Tensor:
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new
    inside = (centres >= start) & (centres < start + length)
    if not inside.any():  # thinner than a pixel: the nearest one stands for it
        inside[(centres - (start + length / 2)).abs().argmin()] = True
    return inside
