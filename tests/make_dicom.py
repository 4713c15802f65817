"""DICOM files for the tests, written through pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def dataset(pixels: np.ndarray, *, bits: int | None = None, modality: str = "CT", **tags: Any) -> Dataset:
    """A grey data set with ``pixels`` ``(H, W)`` or ``(F, H, W)`` of an integer type; ``tags`` by keyword."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Secret^Name", "SECRET-ID", modality
    ds.SeriesInstanceUID = tags.pop("SeriesInstanceUID", "1.2.3.4")
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(ds, name, value)
    data = pixels.tobytes()
    ds.PixelData = data + b"\x00" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    return ds


def write(ds: Dataset, path: Path) -> Path:
    """Save with preamble and meta header."""
    ds.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    volume: np.ndarray,
    *,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    row: tuple[float, float, float] = (1.0, 0.0, 0.0),
    column: tuple[float, float, float] = (0.0, 1.0, 0.0),
    spacing: tuple[float, float] = (0.8, 0.6),
    step: float = 2.5,
    names: list[int] | None = None,
    slopes: list[float] | None = None,
    intercepts: list[float] | None = None,
    **tags: Any,
) -> list[Path]:
    """Slices ``volume[k]`` at ``origin + k·step·normal``; slice ``k`` is called ``names[k]`` and numbered so."""
    folder.mkdir(exist_ok=True)
    normal = np.cross(row, column)
    paths = []
    for k, pixels in enumerate(volume):
        name = names[k] if names else k
        ds = dataset(
            pixels,
            ImagePositionPatient=[float(round(v, 6)) for v in np.array(origin) + k * step * normal],
            ImageOrientationPatient=[float(round(v, 10)) for v in (*row, *column)],
            PixelSpacing=list(spacing),
            InstanceNumber=name,
            RescaleSlope=slopes[k] if slopes else 1,
            RescaleIntercept=intercepts[k] if intercepts else -1024,
            **tags,
        )
        paths.append(write(ds, folder / f"{name:03d}.dcm"))
    return paths
