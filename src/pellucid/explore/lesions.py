"""How large the regions are, of how many pieces, where, and how they stand out from what is around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.core.case import Case
from pellucid.explore.cohort import label_names
from pellucid.explore.pictures import views

RING = 0.03  # of the longest side: how wide the surroundings are, a pixel at least
CELLS = 24  # of the place maps along a side
REST = ", the rest"
Mask = NDArray[np.bool_]


def masks(case: Case, classes: Sequence[str] = ()) -> Iterator[tuple[str, Mask, bool]]:
    """Every mask of a case: its name, where it is, and whether it is the truth's.

    The labels of a true mask come by the names of their classes, those of a label map as ``lungs=1``, absent ones with
    an empty mask as far as they have a name.
    """
    truth = case.truth
    if isinstance(truth, torch.Tensor) and truth.ndim > 1:
        values = {int(v) for v in torch.unique(truth).tolist() if v != 0}
        values |= {1} if len(classes) == 1 else set(range(1, len(classes)))
        for value, name in label_names(sorted(values), classes).items():
            yield name, (truth == value).numpy(), True
    for name, region in case.regions.items():
        values = set() if region.dtype == torch.bool else {int(v) for v in torch.unique(region).tolist() if v != 0}
        if values <= {1}:
            yield name, (region != 0).numpy(), False
            continue
        for value in sorted(values):
            yield f"{name}={value}", (region == value).numpy(), False


def region_rows(case: Case, part: str, classes: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for every region and picture of a case, in the image's own units.

    ``size`` is in mm² or mm³ (NaN without a spacing), ``share`` of the picture; ``pieces`` touch at no side;
    ``centre_0`` … is the centre of mass, 0 to 1 along each axis. ``inside`` and ``sd`` are of the values in the region,
    ``around`` and ``around_sd`` of the ring about it (3 % of the longest side wide), ``contrast`` the difference in
    units of that sd. Where one region holds all the others, what it holds beside them is a region, too (``…, the
    rest``). An empty region has size 0 and no values.
    """
    found = list(masks(case, classes))
    found += _rest(found)
    pictures = [(n, v) for n, v in views(case) if v.shape[1:] == case.spatial]
    voxel = float(np.prod(case.spacing)) if case.spacing is not None else np.nan
    wide = max(1, round(RING * max(case.spatial, default=1)))
    rows = []
    for name, mask, true in found:
        pixels = int(mask.sum())
        base: dict[str, Any] = {
            "case": case.id, "part": part, "group": case.group, "region": name, "truth": true, "pixels": pixels,
            "size": pixels * voxel, "share": pixels / mask.size, "axes": mask.ndim,
        }  # fmt: skip
        if not pixels:
            rows += [base | {"pieces": 0, "input": n} for n, _ in pictures]
            continue
        box = tuple(
            slice(max(0, s.start - wide - 1), s.stop + wide + 1) for s in ndimage.find_objects(mask.astype(np.uint8))[0]
        )
        near = mask[box]
        grown = ndimage.maximum_filter(near.astype(np.uint8), size=2 * wide + 1, mode="constant").astype(bool)
        ring = grown & ~near
        centre = [(float(i.mean()) + b.start + 0.5) / n for i, b, n in zip(np.nonzero(near), box, mask.shape)]
        base |= {"pieces": int(ndimage.label(near)[1]), **{f"centre_{k}": c for k, c in enumerate(centre)}}
        for picture, values in pictures:
            here = values[(slice(None), *box)]
            inside, around = here[:, near].astype(np.float64), here[:, ring].astype(np.float64)
            mean, spread = float(inside.mean()), float(inside.std())
            outer, sd = (float(around.mean()), float(around.std())) if around.size else (np.nan, np.nan)
            rows.append(base | {
                "input": picture, "inside": mean, "sd": spread, "around": outer, "around_sd": sd,
                "contrast": (mean - outer) / sd if sd > 0 else np.nan,
            })  # fmt: skip
    return rows


def _rest(found: Sequence[tuple[str, Mask, bool]]) -> list[tuple[str, Mask, bool]]:
    """What the largest region holds beside the others, if it holds them all."""
    if len(found) < 2:
        return []
    name, largest, _ = max(found, key=lambda f: int(f[1].sum()))
    same = [m for n, m, _ in found if n != name and not np.array_equal(m, largest)]
    if not same:
        return []
    others = np.logical_or.reduce(same)
    left = largest & ~others
    return [(name + REST, left, False)] if others.any() and not (others & ~largest).any() and left.any() else []


def without_doubles(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows without regions that are the true mask once more in every case; and of each, what it is the same as."""
    if not len(rows) or not rows["truth"].any():
        return rows, {}
    centres = [c for c in map(str, rows.columns) if c.startswith("centre_")]
    once = rows.drop_duplicates(["case", "region"])
    looks = {
        str(name): own.set_index("case")[["pixels", *centres]].sort_index().round(9)
        for name, own in once.groupby("region", sort=False)
    }  # fmt: skip
    true = [str(r) for r in dict.fromkeys(once.loc[once["truth"], "region"])]
    same = {n: t for n in looks if n not in true for t in true if looks[n].equals(looks[t])}
    return rows[~rows["region"].isin(list(same))].reset_index(drop=True), same


def cover(case: Case, classes: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """For each region the share of it that covers each cell of a grid of 24 × 24 over the picture.

    Volumes are seen from below: rows from front to back and columns from the patient's right to the left where the
    geometry tells, along the first two axes where not; through all slices.
    """
    found = {}
    for name, mask, _ in masks(case, classes):
        flat = mask
        if mask.ndim == 3:
            if case.geometry is not None:
                flat = case.geometry.reoriented(mask, "LPS")[0].transpose(1, 0, 2)
            flat = flat.mean(2)
        grid = torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(flat, dtype=torch.float32)[None, None], CELLS)
        found[name] = grid[0, 0].numpy().astype(np.float64)
    return found
