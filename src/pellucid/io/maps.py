"""Maps to files: NIfTI on the source's grid, PNG to look at, NPZ to compute with; and NPZ back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.attribution import SERVICES, Attribution
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io.array import load_npz
from pellucid.io.files import PathLike, atomic, extension, stem
from pellucid.io.map_picture import draw_map
from pellucid.io.nifti import write_nifti
from pellucid.io.table import write_table


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedMaps:
    """What an NPZ written by :func:`save_maps` holds: raw maps by input name, grid, provenance."""

    maps: dict[str, Tensor]
    method: str
    signed: bool
    spacing: tuple[float, ...] | None = None
    geometry: Geometry | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def save_maps(attribution: Attribution, path: PathLike) -> list[Path]:
    """Write an attribution's maps; the suffix of ``path`` picks the format.

    ``.nii`` and ``.nii.gz``: volumes, channels summed, float32, on the source file's grid. ``.png``: to look at, with
    a colour bar. ``.npz``: all maps raw, with grid and provenance, in one file. With several inputs NIfTI and PNG are
    one file each, ``NAME_INPUT.nii.gz``; the maps of tables go beside a NIfTI as ``NAME_INPUT.csv``.

    Returns:
        The files written.

    Raises:
        UsageError: another suffix, a 2-D map as NIfTI, or a volume of which neither grid nor spacing is known.
        InputError: a file cannot be written.
    """
    path, kind = Path(path), extension(path)
    if kind == ".npz":
        return [_save_npz(attribution, path)]
    if kind not in (".nii", ".nii.gz", ".png"):
        raise UsageError(f"{path}: maps are written as .nii.gz, .nii, .png or .npz")
    files = {name: path if len(attribution.maps) == 1 else _named(path, name) for name in attribution.maps}
    if len(set(files.values())) != len(files):
        raise UsageError(f"{path}: two inputs have the same file name ({', '.join(files)}); write .npz")
    if kind == ".png":
        for name, file in files.items():
            draw_map(attribution.spatial(name).numpy(), attribution, name, file)
        return list(files.values())
    geometry = _geometry(attribution, path)
    written = []
    for name, file in files.items():
        m = attribution.spatial(name).numpy().astype(np.float32)
        if m.ndim == 1:
            table = pd.DataFrame({"feature": range(len(m)), "attribution": m})
            written.append(write_table(table, file.with_name(stem(file) + ".csv")))
        else:
            written.append(write_nifti(m, geometry, file))
    return written


def _named(path: Path, name: str) -> Path:
    safe = re.sub(r"[^\w.-]+", "_", name)
    return path.with_name(f"{stem(path)}_{safe}{extension(path)}")


def _geometry(attribution: Attribution, path: Path) -> Geometry:
    for name in attribution.images:
        shape = tuple(attribution.spatial(name).shape)
        if len(shape) != 3:
            raise UsageError(
                f"{path}: the map of {name!r} is {shape}; NIfTI is for volumes, write .png to look at it or .npz to "
                "compute with it"
            )
        if attribution.geometry is not None:
            return attribution.geometry
        if attribution.spacing is not None:
            return Geometry(np.diag([*attribution.spacing, 1.0]), shape)
        raise UsageError(
            f"{path}: neither affine nor spacing of the map of {name!r} is known, so it would lie nowhere; "
            "give the case an affine or a spacing, or write .npz"
        )
    raise UsageError(f"{path}: no map of a volume to write; write .npz or .png")


def _save_npz(attribution: Attribution, path: Path) -> Path:
    arrays: dict[str, Any] = {f"map/{name}": m.numpy().astype(np.float32) for name, m in attribution.maps.items()}
    head = {
        "method": attribution.method, "signed": attribution.signed, "case": attribution.case_id,
        "target": dict(attribution.target), "score": attribution.score, "flags": list(attribution.flags),
        "notes": dict(attribution.notes), "provenance": dict(attribution.provenance),
    }  # fmt: skip
    if attribution.refinement is not None:
        head["refinement"] = _words(attribution.refinement)
    arrays["provenance"] = np.array(json.dumps(head, default=_plain, sort_keys=True))
    if attribution.spacing is not None:
        arrays["spacing"] = np.asarray(attribution.spacing, np.float64)
    g = attribution.geometry
    if g is not None:
        arrays |= {"affine": g.affine, "shape": np.array(g.shape), "source_affine": g.source_affine}
        arrays |= {"source_shape": np.array(g.source_shape)} | ({"crop": np.array(g.crop)} if g.crop else {})
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path


def _words(refinement: Mapping[str, Any]) -> dict[str, Any]:
    """What a refinement did, such as how much a mask hides; its masks and maps are left out."""
    return {k: v for k, v in refinement.items() if not _holds_maps(v)}


def _holds_maps(value: Any) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, Tensor) or any(map(_holds_maps, inner))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor):
        return value.tolist()
    return str(value)


def load_maps(path: PathLike) -> SavedMaps:
    """Read an NPZ written by :func:`save_maps`.

    Raises:
        InputError: missing, damaged, or not of that kind.
    """
    arrays = load_npz(path)
    maps = {name.removeprefix("map/"): torch.from_numpy(a) for name, a in arrays.items() if name.startswith("map/")}
    if not maps or "provenance" not in arrays:
        raise InputError(f"{path}: holds no maps of Pellucid's; read other NPZ files with pellucid.io.read")
    try:
        head = json.loads(str(arrays["provenance"]))
        spacing = tuple(float(s) for s in arrays["spacing"]) if "spacing" in arrays else None
        geometry = None
        if "affine" in arrays:
            crop = tuple(tuple(int(v) for v in row) for row in arrays["crop"]) if "crop" in arrays else None
            geometry = Geometry(
                arrays["affine"], tuple(arrays["shape"]), arrays["source_affine"],
                tuple(int(s) for s in arrays["source_shape"]), crop,  # type: ignore[arg-type]
            )  # fmt: skip
        method, signed = str(head["method"]), bool(head["signed"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its provenance or grid is damaged ({error}); write the maps again") from error
    return SavedMaps(maps=maps, method=method, signed=signed, spacing=spacing, geometry=geometry, provenance=head)


SERVICES["save"] = save_maps
