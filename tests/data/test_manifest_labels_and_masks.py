"""Manifests with several labels per case, and what is asked of masks."""

from __future__ import annotations

import logging
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pellucid.data.manifest import load_manifest
from pellucid.errors import UsageError
from pellucid.io import write_nifti, write_png, write_table

NAMES = ("p0", "p1", "p2", "p3")


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        write_png(np.full((12, 16), 100, np.uint8), tmp_path / f"{name}.png")
    return tmp_path


def table(root, suffix=".csv", **columns):
    files = {"file": [f"{n}.png" for n in NAMES]}
    write_table(pd.DataFrame(files | columns), root / f"cases{suffix}")
    return f"cases{suffix}"


def mask(root, name, change=lambda m: m):
    drawn = np.zeros((12, 16), np.uint8)
    drawn[3:9, 4:12] = 255
    write_png(change(drawn), root / name)
    return name


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_per_label(root, suffix, caplog):
    csv = table(root, suffix, mass=[0, 1, 1, 0], nodule=[1.0, 0.0, None, 0.0], fluid=[True, False, True, False])
    with caplog.at_level(logging.WARNING, "pellucid"):
        cases = load_manifest(root, csv=csv, labels=["mass", "nodule", "fluid"])
    assert [None if c.truth is None else c.truth.tolist() for c in cases] == [[0, 1, 1], [1, 0, 0], None, [0, 0, 0]]
    assert "1 of 4 cases have an empty cell among their labels" in caplog.text


def test_a_cell_that_is_no_label_fails_alone(root):
    csv = table(root, mass=["0", "1", "-1", "x"], nodule=[0, 1, 1, 0])
    cases = load_manifest(root, csv=csv, labels=["mass", "nodule"])
    assert [c.truth.tolist() for c in cases] == [[0, 0], [1, 1]]
    assert "case p2: column 'mass' holds '-1'; a label is 0 or 1" in cases.failed[0][1]
    assert "case p3: column 'mass' holds 'x'" in cases.failed[1][1]


def test_names_joined_in_one_column(root, caplog):
    csv = table(root, found=["Mass|Nodule", "No Finding", "Nodule | Nodule", ""])
    options = {"csv": csv, "label": "found", "classes": ["Nodule", "Mass"], "label_separator": "|"}
    with caplog.at_level(logging.WARNING, "pellucid"):
        cases = load_manifest(root, **options, no_label="No Finding")
    assert [None if c.truth is None else c.truth.tolist() for c in cases] == [[1, 1], [0, 0], [1, 0], None]
    assert "1 of 4 cases" in caplog.text
    failed = load_manifest(root, **options).failed
    assert "label 'No Finding' in column 'found' is none of the classes" in failed[0][1]
    table(root, found=["Mas", "Mass|No Finding", "Mass", "Mass"])
    failed = load_manifest(root, **options, no_label="No Finding").failed
    assert "did you mean 'Mass'" in failed[0][1]
    assert "holds 'No Finding' and another label" in failed[1][1]
    cases = load_manifest(root, **options, no_label="No Finding", other_labels="ignore")
    assert [(c.id, c.truth.tolist()) for c in cases] == [("p0", [0, 0]), ("p2", [0, 1]), ("p3", [0, 1])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "a", "labels": ["a"]}, "label or labels, not both"),
        ({"labels": "a"}, "give a list of them, or label='a'"),
        ({"labels": ["a", "b"], "classes": ["A"]}, "2 columns of labels have 1 classes"),
        ({"label": "a", "label_separator": "|"}, "give label and classes"),
        ({"label": "a", "no_label": "none"}, "goes with label_separator"),
        ({"label": "a", "other_labels": "ignore"}, "other_labels goes with label_separator"),
        ({"label": "a", "other_labels": "drop"}, "other_labels='drop'; give 'fail' or 'ignore'"),
        ({"labels": ["a"], "truth_mask": "a"}, "give one truth"),
        ({"label": "a", "missing_masks": "drop"}, "missing_masks='drop'"),
    ],
)
def test_options_that_contradict_each_other(root, options, message):
    with pytest.raises(UsageError, match=message):
        load_manifest(root, csv=table(root, a=[0, 1, 0, 1], b=[1, 1, 0, 0]), **options)


def test_a_mask_of_another_size_needs_the_same_proportions(root):
    half = mask(root, "half.png", lambda m: m[::2, ::2])
    double = mask(root, "double.png", lambda m: m.repeat(2, 0).repeat(2, 1))
    cut, turned = mask(root, "cut.png", lambda m: m[:, :12]), mask(root, "turned.png", lambda m: m.T)
    cases = load_manifest(root, csv=table(root, m=[half, double, cut, turned]), mask="m")
    whole = torch.zeros(12, 16, dtype=torch.bool)
    whole[3:9, 4:12] = True
    assert torch.equal(cases[1].regions["mask"], whole)
    assert abs(int(cases[0].regions["mask"].sum()) - int(whole.sum())) <= 16
    assert [id for id, _ in cases.failed] == ["p2", "p3"]
    assert "mask 'mask' is (12, 12), the image is (12, 16), which has other proportions" in cases.failed[0][1]
    resized = load_manifest(root, csv="cases.csv", mask="m", size=8)
    assert [id for id, _ in resized.failed] == ["p2", "p3"], "a common size does not hide it"


def test_a_mask_of_a_volume_is_never_guessed(tmp_path):
    from pellucid.core.geometry import Geometry

    for name, shape in (("v", (8, 8, 8)), ("m", (4, 4, 4))):
        write_nifti(np.ones(shape, np.float32), Geometry(np.eye(4), shape), tmp_path / f"{name}.nii.gz")
    write_nifti(np.ones((8, 8, 8), np.float32), Geometry(np.eye(4), (8, 8, 8)), tmp_path / "w.nii.gz")
    write_table(pd.DataFrame({"file": ["v.nii.gz", "w.nii.gz"], "m": ["m.nii.gz", ""]}), tmp_path / "c.csv")
    failed = load_manifest(tmp_path, csv="c.csv", mask="m").failed
    assert "the mask's grid is (4, 4, 4), the volume's (8, 8, 8) (both turned alike); resample it" in failed[0][1]


def test_binary_masks(root):
    noisy = BytesIO()
    drawn = np.zeros((48, 64), np.uint8)
    drawn[12:36, 16:48] = 255
    Image.fromarray(drawn).save(noisy, "JPEG", quality=50)
    (root / "noisy.jpg").write_bytes(noisy.getvalue())
    labels = mask(root, "labels.png", lambda m: (m > 0) + 2 * np.eye(12, 16, dtype=np.uint8))
    full, empty = mask(root, "full.png", lambda m: m * 0 + 1), mask(root, "empty.png", lambda m: m * 0)
    csv = table(root, m=["noisy.jpg", labels, full, empty])
    cases = load_manifest(root, csv=csv, mask={"lesion": "m"}, binary_masks=True)
    assert [int(c.regions["lesion"].sum()) for c in cases] == [12 * 16, 0]
    assert "looks as if it had been saved as JPEG: threshold it in the middle" in cases.failed[0][1]
    assert "values (0, 1, 2, 3); it has to have two values" in cases.failed[1][1]
    assert load_manifest(root, csv=csv, mask="m")[1].regions["mask"].unique().tolist() == [0, 1, 2, 3]


def test_masks_that_are_missing(root):
    csv = table(root, m=[mask(root, "m.png"), "", "nowhere.png", "m.png"])
    usual = load_manifest(root, csv=csv, mask="m")
    assert ([c.id for c in usual], [i for i, _ in usual.failed]) == (["p0", "p1", "p3"], ["p2"])
    strict = load_manifest(root, csv=csv, mask="m", missing_masks="fail")
    assert [i for i, _ in strict.failed] == ["p1", "p2"]
    assert "no file of the mask 'mask' is named in column 'm'" in strict.failed[0][1]
    kept = load_manifest(root, csv=csv, truth_mask="m", missing_masks="keep")
    assert [bool(c.regions) for c in kept] == [True, False, False, True]
    assert [c.truth is None for c in kept] == [False, True, True, False]
