"""Cases from a folder."""

from __future__ import annotations

import numpy as np
import pytest

from make_dicom import write_series
from pellucid.data.folder import load_folder
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError
from pellucid.io import write_png

RNG = np.random.default_rng(8)


def picture(path):
    return write_png(RNG.integers(0, 256, size=(6, 8)).astype(np.uint8), path)


def test_files_and_dicom_folders_are_cases(tmp_path):
    picture(tmp_path / "b.png")
    write_series(tmp_path / "a", RNG.integers(0, 9, size=(3, 4, 5)).astype(np.uint16))
    (tmp_path / "README.md").write_text("not a case")
    (tmp_path / ".hidden.png").write_bytes(b"not a case")
    cases = load_folder(tmp_path)
    assert [(c.id, c.spatial, c.truth) for c in cases] == [("a", (5, 4, 3), None), ("b", (6, 8), None)]
    assert cases[0].geometry is not None
    assert DATASETS["folder"] is load_folder


def test_class_folders_and_masks(tmp_path):
    for name, kind in (("x", "benign"), ("y", "malignant"), ("z", "malignant")):
        picture(tmp_path / "images" / kind / f"{name}.png")
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 2:6] = 7
    write_png(mask, tmp_path / "masks" / "y.png")
    cases = load_folder(tmp_path, images="images", classes=True, masks={"lesion": "masks"}, size=(3, 4))
    assert [(c.id, c.truth) for c in cases] == [("x", 0), ("y", 1), ("z", 1)]
    assert [int(c.regions["lesion"].sum()) if c.regions else None for c in cases] == [None, 2, None]
    swapped = load_folder(tmp_path, images="images", classes=["malignant", "benign"])
    assert {c.id: c.truth for c in swapped} == {"y": 0, "z": 0, "x": 1}
    picture(tmp_path / "images" / "benign" / "y.png")
    with pytest.raises(InputError, match="the id 'y' occurs 2 times"):
        load_folder(tmp_path, images="images", classes=True)


def test_failures(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    (tmp_path / "c").mkdir()
    cases = load_folder(tmp_path)
    assert [c.id for c in cases] == ["a"]
    assert [id for id, _ in cases.failed] == ["b", "c"]
    for options, message in [
        ({"images": "none"}, "no such folder"), ({"classes": ["none"]}, "no sub-folder for the class"),
        ({"masks": {"m": "none"}}, "no such folder of masks"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            load_folder(tmp_path, **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no cases"):
        load_folder(tmp_path / "empty")
    with pytest.raises(InputError, match="no sub-folders"):
        load_folder(tmp_path / "empty", classes=True)
