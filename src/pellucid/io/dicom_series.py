"""DICOM, the folder of a series: one volume, sorted by where its slices lie and never by their names."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from pydicom import Dataset

from pellucid.errors import InputError, UsageError
from pellucid.io.dicom import read_dicom
from pellucid.io.dicom_grid import grid, plane_of, sort_planes
from pellucid.io.dicom_header import code, facts, open_header, parsing_header
from pellucid.io.dicom_pixels import display_window, real_values
from pellucid.io.files import PathLike
from pellucid.io.image import Image


def read_series(path: PathLike, *, series: str | int | None = None) -> Image:
    """Read the DICOM series in a folder as a volume ``(1, X, Y, Z)``, axes as in its NIfTI conversion.

    Each slice is rescaled with its own slope and intercept. Files that are not DICOM, or have no picture, are passed
    over. A series of a single file is read as that file.

    Args:
        path: the folder; its sub-folders are not searched.
        series: which series, if there are several: its number, description or SeriesInstanceUID.

    Raises:
        InputError: no series, or several and none chosen; slices that are not one even grid; a damaged slice.
        UsageError: no such series.
    """
    with parsing_header(path, "a DICOM series"):
        return _read(Path(path), series)


def _read(folder: Path, series: str | int | None) -> Image:
    headers = _choose(folder, _by_series(folder), series)
    if len(headers) == 1:
        return read_dicom(next(iter(headers)))
    planes = []
    for file, ds in headers.items():
        if int(ds.get("NumberOfFrames", 1) or 1) > 1:
            raise InputError(f"{folder}: {file.name} holds several frames; read the files of this series one by one")
        plane = plane_of(ds, file.name)
        if plane is None:
            raise InputError(
                f"{folder}: {file.name} does not say where it lies (ImagePositionPatient, ImageOrientationPatient, "
                "PixelSpacing), so the slices cannot be put in order; read the files one by one"
            )
        planes.append(plane)
    order = sort_planes(planes, folder)
    files = [list(headers)[i] for i in order]
    geometry = grid(planes[order[0]], planes[order[-1]], len(planes))
    volume = np.empty(geometry.shape, np.float32)
    window, meta = None, {}
    for k, file in enumerate(files):
        ds = open_header(file)
        values, mirrors = real_values(ds, file)
        if values.ndim != 3 or len(values) != 1:
            raise InputError(f"{folder}: {file.name} is not one grey picture; read the files of this series one by one")
        volume[:, :, k] = values[0].T
        if k == 0:
            window = display_window(ds, mirrors[0])
            meta = facts(ds) | {"mirrored": mirrors[0] is not None, "axes": "x y z", "slices": len(files)}
    return Image(array=volume[None], geometry=geometry, window=window, meta=meta, source=folder)


def _by_series(folder: Path) -> dict[str, dict[Path, Dataset]]:
    found: dict[str, dict[Path, Dataset]] = defaultdict(dict)
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.name.upper() == "DICOMDIR":
            continue
        try:
            ds = open_header(file, pixels=False)
        except InputError as error:
            # Passing over a slice because it is damaged would leave a gap, or a shorter volume, without a word.
            if file.suffix.lower() in (".dcm", ".dicom", ".ima"):
                raise InputError(f"{folder}: {error}") from error
            continue
        if "Rows" in ds:
            found[str(ds.get("SeriesInstanceUID", ""))][file] = ds
    if not found:
        raise InputError(f"{folder}: no DICOM picture in this folder; give the folder that holds the slices")
    return found


def _choose(folder: Path, found: dict[str, dict[Path, Dataset]], series: str | int | None) -> dict[Path, Dataset]:
    if series is None:
        if len(found) == 1:
            return next(iter(found.values()))
        raise InputError(f"{folder}: holds {len(found)} series; choose one with series=…: {_listing(found)}")
    wanted = str(series)
    fits = []
    for uid, files in found.items():
        first = next(iter(files.values()))
        if wanted in (uid, str(first.get("SeriesNumber", "")), str(first.get("SeriesDescription", ""))):
            fits.append(files)
    if len(fits) != 1:
        what = "fits no series" if not fits else f"fits {len(fits)} series"
        raise UsageError(f"{folder}: series={series!r} {what}; choose from: {_listing(found)}")
    return fits[0]


def _listing(found: dict[str, dict[Path, Dataset]]) -> str:
    lines = []
    for uid, files in found.items():
        ds = next(iter(files.values()))
        number, text = ds.get("SeriesNumber"), str(ds.get("SeriesDescription", "") or "no description")[:64]
        modality = code(ds.get("Modality")) or "?"
        lines.append(f"{number if number is not None else uid} ({text}, {modality}, {len(files)} files)")
    return "; ".join(lines)
