"""Miniatures of HAM10000 and ChestX-Det10 in their published layouts, drawn: no patient is in them.

Both have something to learn: the hue of a lesion is its class; the look of a bright block in a lung is its finding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image

SKIN = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FINDINGS = (
    "Atelectasis", "Calcification", "Consolidation", "Effusion", "Emphysema", "Fibrosis", "Fracture", "Mass", "Nodule",
    "Pneumothorax",
)  # fmt: skip
# Hues that a small network tells apart after a few steps: dark red, cyan, yellow, green, black, brown, violet.
_HUES = np.array(
    [[150, 40, 40], [60, 170, 180], [220, 200, 60], [60, 140, 60], [25, 20, 25], [120, 75, 35], [120, 50, 160]], float
)
# Height and width in pixels of 64², grey value, and stripes: a pair of them differs in more than one of these.
_BLOCKS = {
    "Atelectasis": (4, 12, 0.75, 0), "Calcification": (3, 3, 1.0, 0), "Consolidation": (16, 10, 0.8, 0),
    "Effusion": (8, 14, 0.95, 0), "Emphysema": (18, 12, 0.0, 0), "Fibrosis": (12, 12, 0.9, 2),
    "Fracture": (2, 10, 1.0, 0), "Mass": (10, 10, 0.95, 0), "Nodule": (5, 5, 0.95, 0),
    "Pneumothorax": (10, 14, 0.0, 3),
    # Of ChestX-ray14 alone.
    "Cardiomegaly": (14, 20, 0.9, 0), "Infiltration": (14, 14, 0.7, 1), "Pneumonia": (14, 10, 0.95, 3),
    "Edema": (20, 8, 0.75, 4), "Pleural_Thickening": (20, 3, 1.0, 0), "Hernia": (6, 20, 0.0, 1),
}  # fmt: skip


def make_ham10000(
    root: str | Path,
    *,
    n: int = 42,
    size: tuple[int, int] = (36, 48),
    classes: Sequence[str] = SKIN,
    layout: Literal["kaggle", "dataverse"] = "kaggle",
    masks: bool = True,
    corrupt: int = 0,
    seed: int = 0,
) -> Path:
    """Write ``n`` pictures of about ``2 n / 3`` lesions (every second lesion has two) in the published layout.

    Args:
        root: the folder; made.
        n: pictures.
        size: rows and columns.
        classes: that occur, in turn, lesion by lesion.
        layout: ``kaggle`` has ``HAM10000_metadata.csv`` and two folders of pictures, ``dataverse`` the table without
            suffix and with a column ``dataset``.
        masks: write those, too.
        corrupt: as many pictures, the last ones, are cut off in the middle.
        seed: of the drawing.

    Returns:
        ``root``.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    parts = [root / "HAM10000_images_part_1", root / "HAM10000_images_part_2"]
    drawn = root / "HAM10000_segmentations_lesion_tschandl"
    for folder in (*parts, *([drawn] if masks else [])):
        folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    lesion = 0
    while len(rows) < n:
        label = classes[lesion % len(classes)]
        about = {"dx": label, "dx_type": ("histo", "follow_up", "consensus", "confocal")[lesion % 4],
                 "age": "" if lesion % 11 == 10 else f"{5 * rng.integers(4, 17)}.0",
                 "sex": ("male", "female")[lesion % 2], "localization": ("back", "face", "lower extremity")[lesion % 3]}  # fmt: skip
        for _ in range(1 + lesion % 2):
            if len(rows) < n:
                rows.append({"lesion_id": f"HAM_{lesion:07d}", "image_id": f"ISIC_{24306 + len(rows):07d}", **about})
        lesion += 1
    for k, row in enumerate(rows):
        picture, mask = _skin(rng, size, SKIN.index(row["dx"]))
        path = parts[k >= n // 2] / f"{row['image_id']}.jpg"
        Image.fromarray(picture).save(path, quality=95)
        if masks:
            Image.fromarray(mask).save(drawn / f"{row['image_id']}_segmentation.png")
        if k >= n - corrupt:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    table = pd.DataFrame(rows)
    if layout == "dataverse":
        table["dataset"] = "vidir_modern"
    table.to_csv(root / ("HAM10000_metadata.csv" if layout == "kaggle" else "HAM10000_metadata"), index=False)
    return root


def make_chestxdet10(
    root: str | Path,
    *,
    n: int = 42,
    size: int = 64,
    findings: Sequence[str] = ("Effusion", "Nodule", "Pneumothorax"),
    form: Literal["det10", "det", "csv"] = "det10",
    lung_masks: bool = True,
    leaky: bool = False,
    corrupt: int = 0,
    seed: int = 0,
) -> Path:
    """Write ``n`` pictures of about ``2 n / 3`` patients in one of three layouts.

    Patient by patient: no finding, then each of ``findings`` alone, then two of them together, and so on.

    Args:
        root: the folder; made.
        n: pictures.
        size: rows and columns.
        findings: that occur.
        form: ``det10`` is ``train.json`` and ``test.json`` with boxes, beside ``train_data`` and ``test_data``;
            ``det`` the later ``ChestX_Det_*.json`` with polygons as well; ``csv`` the form of SegX: ``metadata.csv``
            with a column per finding, ``images``, ``masks``.
        lung_masks: write those, too: into ``masks`` (``csv``) or ``lung_masks``.
        leaky: test patients with two pictures have the second in the training list, as some of the published have.
        corrupt: as many pictures, the last ones, are cut off in the middle.
        seed: of the drawing.

    Returns:
        ``root``. Every fifth patient is on the test side of the published lists.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    lungs_in = root / ("masks" if form == "csv" else "lung_masks")
    sides = {"train": root / "train_data", "test": root / "test_data"}
    if form == "csv":
        sides = {"train": root / "images", "test": root / "images"}
    for folder in (*sides.values(), *([lungs_in] if lung_masks else [])):
        folder.mkdir(parents=True, exist_ok=True)
    kinds = [(), *((f,) for f in findings), *((a, b) for a, b in pairwise(findings))]
    entries: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    done = patient = 0
    while done < n:
        for shot in range(1 + patient % 2):
            if done == n:
                break
            side = "test" if patient % 5 == 4 and not (leaky and shot) else "train"
            name = f"{patient + 1:08d}_{shot:03d}.png"
            picture, lungs, boxes = draw_chest(rng, size, kinds[patient % len(kinds)])
            Image.fromarray(picture).save(sides[side] / name)
            if lung_masks:
                Image.fromarray(lungs).save(lungs_in / name)
            if done >= n - corrupt:
                path = sides[side] / name
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            entry: dict[str, Any] = {"file_name": name, "syms": [f for f, _ in boxes], "boxes": [b for _, b in boxes]}
            if form == "det":
                entry["polygons"] = [[[l, t], [r, t], [r, b], [l, b]] for _, (l, t, r, b) in boxes]
            entries[side].append(entry)
            done += 1
        patient += 1
    if form == "csv":
        rows = [
            {"image_id": e["file_name"].removesuffix(".png"), **{f: int(f in e["syms"]) for f in FINDINGS}}
            for e in (*entries["train"], *entries["test"])
        ]
        pd.DataFrame(rows).to_csv(root / "metadata.csv", index=False)
    else:
        for side, listed in entries.items():
            name = f"{side}.json" if form == "det10" else f"ChestX_Det_{side}.json"
            (root / name).write_text(json.dumps(listed), encoding="utf-8")
    return root


def _skin(rng: np.random.Generator, size: tuple[int, int], kind: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture ``(H, W, 3)`` and the mask ``(H, W)`` of 0 and 255 of its lesion."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    radii = rng.uniform(0.18, 0.3, 2) * (h, w)
    centre = rng.uniform(0.4, 0.6, 2) * (h, w)
    inside = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1
    picture = np.full((h, w, 3), (225.0, 180.0, 160.0)) + rng.normal(0, 6, (h, w, 1)) + rng.normal(0, 8, (1, 1, 3))
    picture[inside] = _HUES[kind] + rng.normal(0, 10, (int(inside.sum()), 1))
    return np.clip(picture, 0, 255).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def draw_chest(
    rng: np.random.Generator, size: int, kinds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, list[int]]]]:
    """A picture ``(H, W)``, the mask of 0 and 255 of its lungs, and the boxes (left, top, right, bottom)."""
    y, x = np.mgrid[:size, :size] / size
    shift = rng.uniform(-0.02, 0.02, 2)
    lungs = np.zeros((size, size), bool)
    for centre in (0.29, 0.71):
        lungs |= ((y - 0.48 - shift[0]) / 0.36) ** 2 + ((x - centre - shift[1]) / 0.16) ** 2 <= 1
    picture = 0.6 + rng.normal(0, 0.03, (size, size))
    picture[lungs] -= 0.35
    boxes: list[tuple[str, list[int]]] = []
    left_first = int(rng.integers(2))
    for k, kind in enumerate(kinds):
        tall, wide, grey, stripes = _BLOCKS[kind]
        h, w = max(2, tall * size // 64), max(2, wide * size // 64)
        centre = (0.29, 0.71)[(left_first + k) % 2] + shift[1]
        top = int((0.48 + shift[0] + rng.uniform(-0.15, 0.15)) * size) - h // 2
        start = int((centre + rng.uniform(-0.02, 0.02)) * size) - w // 2
        block = np.full((h, w), grey)
        if stripes:
            block[np.arange(h) % (2 * stripes) < stripes] = 0.35
        picture[top : top + h, start : start + w] = block
        boxes.append((kind, [start, top, start + w, top + h]))
    return (
        (255 * np.clip(picture, 0, 1)).astype(np.uint8),
        np.where(lungs, 255, 0).astype(np.uint8),
        boxes,
    )
