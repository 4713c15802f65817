"""Miniatures of SIIM-ISIC, OSIC and the LGG segmentation data in their official layouts, drawn: no patient is in them.

Each has something to learn: malignant lesions are dark and of older patients; the share of bright lung falls with the lung
function; the tumour is bright in FLAIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from make_dicom import dataset, write, write_series

SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")


def make_siim(
    root: str | Path,
    *,
    patients: int = 10,
    size: int = 24,
    layout: Literal["kaggle", "archive"] = "kaggle",
    files: Literal["jpg", "dcm"] = "jpg",
    blank: Sequence[int] = (),
    duplicates: int = 0,
    absent: int = 0,
    seed: int = 0,
) -> Path:
    """Write pictures and tables, every third patient with a melanoma.

    Args:
        root: the folder; made.
        patients: with two pictures each in the training part; as many others with one in the test part.
        size: rows; a third more columns.
        layout: ``kaggle`` is ``train.csv``, ``test.csv`` beside ``jpeg/train`` (or ``train`` with DICOM);
            ``archive`` the ISIC archive's names: ``ISIC_2020_Training_GroundTruth_v2.csv`` with ``lesion_id``.
        files: JPEG, or DICOM, whose pixels are JPEG in YBR, as published.
        blank: of these patients age, sex and site are empty.
        duplicates: as many first pictures of the last patients are there again, listed in the list of duplicates.
        absent: as many pictures, the first ones, are listed and not there.
        seed: of the drawing.

    Returns:
        ``root``.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    drawn: dict[str, np.ndarray] = {}
    for part, lines in rows.items():
        for p in range(patients):
            bad = p % 3 == 0
            for _ in range(2 if part == "train" else 1):
                name = f"ISIC_{len(drawn):07d}"
                lines.append({
                    "image_name": name, "patient_id": f"IP_{p + 1000 * (part == 'test'):07d}", "sex": ("male", "female")[p % 2],
                    "age_approx": f"{5 * rng.integers(10, 17) if bad else 5 * rng.integers(5, 11)}.0",
                    "anatom_site_general_challenge": SITES[p % 6],
                    **({"diagnosis": "melanoma" if bad else "unknown", "benign_malignant": "malignant" if bad else "benign",
                        "target": int(bad)} if part == "train" else {}),
                })  # fmt: skip
                if p in blank:
                    lines[-1] |= {"sex": "", "age_approx": "", "anatom_site_general_challenge": ""}
                drawn[name] = _lesion(rng, size, dark=bad)
    twins = []
    for k, row in enumerate(rows["train"][-1 : -1 - 2 * duplicates : -2]):
        name = f"ISIC_{9000000 + k:07d}"
        rows["train"].append(row | {"image_name": name, "patient_id": f"IP_{5000000 + k}"})
        drawn[name] = drawn[row["image_name"]]
        twins.append({"image_name_1": row["image_name"], "image_name_2": name})
    root.mkdir(parents=True, exist_ok=True)
    if twins:
        pd.DataFrame(twins).to_csv(root / "ISIC_2020_Training_Duplicates.csv", index=False)
    for part, lines in rows.items():
        table = pd.DataFrame(lines)
        name = f"{part}.csv"
        if layout == "archive":
            name = {"train": "ISIC_2020_Training_GroundTruth_v2.csv", "test": "ISIC_2020_Test_Metadata.csv"}[part]
            if part == "train":
                table.insert(2, "lesion_id", [f"IL_{k:07d}" for k in range(len(table))])
            else:
                table = table.rename(columns={
                    "image_name": "image", "patient_id": "patient", "anatom_site_general_challenge": "anatom_site_general"
                })  # fmt: skip
        table.to_csv(root / name, index=False)
        folder = root / part if files == "dcm" or layout == "archive" else root / "jpeg" / part
        folder.mkdir(parents=True)
        for line in lines[absent if part == "train" else 0 :]:
            _save(drawn[line["image_name"]], folder / line["image_name"], files)
    return root


def make_osic(
    root: str | Path,
    *,
    patients: int = 4,
    size: int = 16,
    slices: int = 8,
    visits: int = 6,
    broken: Sequence[int] = (),
    placeless: Sequence[int] = (),
    absent: Sequence[int] = (),
    seed: int = 0,
) -> Path:
    """Write ``train.csv`` with ``visits`` visits of each patient and ``train/PATIENT/1.dcm …``, feet first or head first.

    Args:
        root: the folder; made.
        patients: with slices of 2.5 mm and of 5 mm in turn.
        size: rows and columns.
        slices: of the scan.
        visits: of each patient, from week −4 on, every eight weeks.
        broken: of these patients one slice is cut off.
        placeless: of these the slices do not say where they lie.
        absent: these have no folder.
        seed: of the drawing.

    Returns:
        ``root``.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    (root / "train").mkdir(parents=True)
    rows = []
    for p in range(patients):
        name, fvc, slope = f"ID{p:05d}637202177411956430", 2000 + 250 * p, -2.0 - p
        about = {"Age": 60 + p, "Sex": ("Male", "Female")[p % 2],
                 "SmokingStatus": ("Ex-smoker", "Never smoked", "Currently smokes")[p % 3]}  # fmt: skip
        for v in range(visits):
            week = 8 * v - 4
            now = fvc + slope * week
            rows.append({"Patient": name, "Weeks": week, "FVC": now, "Percent": now / 40, **about})
        if p in absent:
            continue
        folder = root / "train" / name
        bright = (2750 - fvc) / 1500
        volume = _chest(rng, size, slices, bright)
        files = write_series(
            folder, volume, spacing=(300 / size, 300 / size), step=(2.5, 5.0)[p % 2],
            names=list(range(1, slices + 1)) if p % 2 else list(range(slices, 0, -1)),
        )  # fmt: skip
        for file in files:
            file.rename(file.with_name(f"{int(file.stem)}.dcm"))
        first = folder / "1.dcm"
        if p in broken:
            first.write_bytes(first.read_bytes()[:200])
        if p in placeless:
            for k, pixels in enumerate(volume):
                write(dataset(pixels, RescaleSlope=1, RescaleIntercept=-1024), folder / f"{k + 1}.dcm")
    pd.DataFrame(rows).to_csv(root / "train.csv", index=False)
    return root


def make_lgg(
    root: str | Path,
    *,
    patients: int = 4,
    slices: int = 5,
    size: int = 32,
    no_post: Sequence[int] = (),
    no_pre: Sequence[int] = (),
    corrupt: Sequence[int] = (),
    maskless: Sequence[int] = (),
    table: bool = True,
    seed: int = 0,
) -> Path:
    """Write ``kaggle_3m/TCGA_XX_XXXX_DATE/…_N.tif`` with ``…_N_mask.tif``, and ``data.csv``; the middle slices have a tumour.

    Args:
        root: the folder; made, with ``kaggle_3m`` in it.
        patients: whose files are compressed (PackBits) and plain in turn.
        slices: of each.
        size: rows and columns.
        no_post: in the files of these FLAIR is repeated in place of the sequence after contrast.
        no_pre: and of these before contrast.
        corrupt: of these the first slice is cut off.
        maskless: of these the mask of the second slice is not there.
        table: write ``data.csv``.
        seed: of the drawing.

    Returns:
        ``root / "kaggle_3m"``.
    """
    base, rng = Path(root) / "kaggle_3m", np.random.default_rng(seed)
    base.mkdir(parents=True)
    rows = []
    for p in range(patients):
        patient = f"TCGA_{('CS', 'DU')[p % 2]}_{4941 + p}"
        folder = base / f"{patient}_1996090{p}"
        folder.mkdir()
        how = "packbits" if p % 2 else None
        for k in range(1, slices + 1):
            picture, mask = _brain(rng, size, tumour=1 < k < slices)
            if p in no_post:
                picture[..., 2] = picture[..., 1]
            if p in no_pre:
                picture[..., 0] = picture[..., 1]
            Image.fromarray(picture).save(folder / f"{folder.name}_{k}.tif", compression=how)
            if not (p in maskless and k == 2):
                Image.fromarray(mask).save(folder / f"{folder.name}_{k}_mask.tif", compression=how)
        if p in corrupt:
            first = folder / f"{folder.name}_1.tif"
            first.write_bytes(first.read_bytes()[:100])
        rows.append({
            "Patient": patient, "RNASeqCluster": 1 + p % 4, "MethylationCluster": "", "miRNACluster": 2, "CNCluster": 2,
            "RPPACluster": "", "OncosignCluster": 3, "COCCluster": 2, "histological_type": 1, "neoplasm_histologic_grade": 1 + p % 2,
            "tumor_tissue_site": 1, "laterality": 3, "tumor_location": 2, "gender": 1 + p % 2,
            "age_at_initial_pathologic": 30 + p, "race": 3, "ethnicity": 2, "death01": p % 2,
        })  # fmt: skip
    if table:
        pd.DataFrame(rows).to_csv(base / "data.csv", index=False)
    return base


def _lesion(rng: np.random.Generator, size: int, *, dark: bool) -> np.ndarray:
    """A picture ``(H, W, 3)`` of skin with a lesion."""
    h, w = size, 4 * size // 3
    y, x = np.mgrid[:h, :w]
    inside = ((y - h / 2) / (0.3 * h)) ** 2 + ((x - w / 2) / (0.25 * w)) ** 2 <= 1
    picture = np.full((h, w, 3), (225.0, 180.0, 160.0)) + rng.normal(0, 5, (h, w, 1))
    picture[inside] = (40.0, 30.0, 35.0) if dark else (170.0, 110.0, 80.0)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _save(picture: np.ndarray, path: Path, kind: str) -> None:
    if kind == "jpg":
        Image.fromarray(picture).save(path.with_suffix(".jpg"), quality=95)
        return
    jpeg = BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG", quality=95)
    ds = dataset(
        picture[..., 0], modality="XC", SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=0
    )
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([jpeg.getvalue()])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    write(ds, path.with_suffix(".dcm"))


def _chest(rng: np.random.Generator, size: int, slices: int, bright: float) -> np.ndarray:
    """A volume ``(slices, H, W)`` of a body with two lungs, as stored (HU + 1024), −2000 outside the scanned circle."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    plane = np.where((y / 0.42) ** 2 + (x / 0.46) ** 2 <= 1, 40.0, -1000.0)
    lungs = sum(((y / 0.28) ** 2 + ((x - c) / 0.14) ** 2 <= 1) for c in (-0.2, 0.2)) > 0
    volume = np.repeat(plane[None], slices, 0)
    volume[:, lungs] = -850 + 400 * bright
    volume += rng.normal(0, 10, volume.shape)
    volume[:, np.hypot(y, x) > 0.6] = -2000
    return (volume + 1024).astype(np.int16)


def _brain(rng: np.random.Generator, size: int, *, tumour: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture ``(H, W, 3)`` before contrast, FLAIR, after contrast, and the mask ``(H, W)`` of 0 and 255."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    head = np.hypot(y / 0.9, x) <= 0.4
    mask = np.zeros((size, size), bool)
    if tumour:
        cy, cx = rng.uniform(-0.12, 0.12, 2)
        mask = np.hypot(y - cy, x - cx) <= rng.uniform(0.08, 0.14)
    picture = np.zeros((size, size, 3))
    picture[head] = (90, 80, 100)
    picture[mask] = (70, 200, 160)
    picture[head] += rng.normal(0, 6, (int(head.sum()), 3))
    return np.clip(picture, 0, 255).astype(np.uint8), np.where(mask, 255, 0).astype(np.uint8)
