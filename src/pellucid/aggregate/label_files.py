"""Label maps from files, brought to a case's grid by the affines of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.aggregate.labels import LabelMap, of_labels, of_masks
from pellucid.core.case import Case
from pellucid.core.resample import resampled
from pellucid.errors import InputError, UsageError
from pellucid.io import read
from pellucid.io.files import PathLike, stem
from pellucid.io.image import Image

SAME = 0.01  # grids whose corners lie closer than this share of a voxel's edge are one grid
OUTSIDE = -1


def read_labels(
    path: PathLike, case: Case, *, names: Mapping[Any, str] | PathLike | None = None, of: str | None = None
) -> LabelMap:
    """The regions of a NIfTI label map, a DICOM segmentation or another file of labels, on the case's grid.

    A file on another grid is resampled by nearest neighbour, affine to affine; voxels of the case that lie outside of
    it are in no region. A file on the case's grid is taken as it is, and so is one where it or the case has no place
    in the patient, if the shapes are equal.

    Args:
        path: the file, or a folder that holds one DICOM segmentation.
        case: whose grid it is brought to.
        names: value to name, or a JSON file of them (``{"1": "spleen"}``, also under the key ``"labels"``). Without
            them a value is called ``stem=value``; a DICOM segmentation has names of its own.
        of: what the regions are said to be of; the file's name by default.

    Raises:
        InputError: no such file, values that are no whole numbers, a file without a place in the patient and another
            shape, or one that does not overlap the case.
        UsageError: names that are none.
    """
    image = read(path)
    called = of or Path(path).name
    segments = image.meta.get("segments")
    if segments is None and len(image.array) != 1:
        raise InputError(f"{path}: {len(image.array)} channels; a label map has one")
    given = _whole(image.array, path) if segments is None else (image.array >= 0.5).astype(np.int16)
    array = _on_grid(given, image, case, path)
    if segments is not None:
        own = [str(s) or f"segment {i + 1}" for i, s in enumerate(segments)]
        twice = [n for n in own if own.count(n) > 1]
        if twice:
            raise InputError(f"{path}: two segments are called {twice[0]!r}; rename one")
        return of_masks(called, {n: torch.from_numpy(m == 1) for n, m in zip(own, array)})
    labels = torch.from_numpy(array[0].astype(np.int64))
    if names is None:
        values = [v for v in labels.unique().tolist() if v > 0]
        return of_labels(called, labels, {v: f"{stem(path)}={v}" for v in values})
    return of_labels(called, labels, label_names(names))


def label_names(names: Mapping[Any, str] | PathLike) -> dict[int, str]:
    """Value to name, from a mapping or a JSON file; names of values, the other way round, will do as well.

    Raises:
        InputError: the file is no JSON.
        UsageError: neither keys nor values are whole numbers.
    """
    given: Any = names
    if not isinstance(names, Mapping):
        path = Path(names)
        if not path.is_file():
            raise InputError(f"names of labels: no file {path}")
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is no JSON: {error}") from error
    if isinstance(given, Mapping) and isinstance(given.get("labels"), Mapping):
        given = given["labels"]
    pairs = list(given.items()) if isinstance(given, Mapping) else []
    for way in (pairs, [(v, k) for k, v in pairs]):
        try:
            found = {int(k): str(v) for k, v in way}
        except (TypeError, ValueError):
            continue
        if found:
            return found
    raise UsageError(f"names of labels: {str(given)[:80]}; give whole numbers and names, such as {{1: 'spleen'}}")


def _whole(array: NDArray[np.float32], path: PathLike) -> NDArray[np.int32]:
    if not np.isfinite(array).all() or (array != np.round(array)).any():
        raise InputError(f"{path}: a label map holds whole numbers; this one has others (threshold it first)")
    return array.astype(np.int32)


def _on_grid(array: NDArray[Any], image: Image, case: Case, path: PathLike) -> NDArray[Any]:
    """``(C, *spatial)`` on the case's grid; :data:`OUTSIDE` where the file says nothing."""
    source, grid = image.geometry, case.geometry
    if source is None or grid is None:
        if image.spatial != case.spatial:
            whose = "the file has" if source is None else "the case has"
            raise InputError(
                f"case {case.id}: labels {Path(path).name} are {image.spatial}, the image is {case.spatial}, and "
                f"{whose} no place in the patient to resample by; give both on one grid, or with their affines"
            )
        return array
    if source.shape == grid.shape and source.apart(grid) <= SAME * min(grid.spacing):
        return array
    out = resampled(
        array, affine=source.affine, to_affine=grid.affine, to_shape=grid.shape, labels=True, background=OUTSIDE
    )
    if (out == OUTSIDE).all():
        raise InputError(
            f"case {case.id}: labels {Path(path).name} do not overlap the image: they lie elsewhere in the patient; "
            "check that both files are of one patient and that neither has lost its affine"
        )
    return out
