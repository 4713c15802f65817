"""Cases from a table: columns, labels, masks, boxes, sizes, archives, and lines that fail."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.geometry import Geometry
from pellucid.data.manifest import load_manifest
from pellucid.data.pictures import resized
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError
from pellucid.io import Image, write_nifti, write_png, write_table

RNG = np.random.default_rng(7)
PIXELS = {f"p{i}": RNG.integers(0, 256, size=(12, 16)).astype(np.uint8) for i in range(4)}


@pytest.fixture
def root(tmp_path):
    for name, pixels in PIXELS.items():
        write_png(pixels, tmp_path / "images" / f"{name}.png")
        mask = np.zeros((12, 16), np.uint8)
        mask[3:9, 4:12] = 255
        write_png(mask, tmp_path / "masks" / f"{name}.png")
    write_table(table(), tmp_path / "cases.csv")
    return tmp_path


def table(**columns):
    base = {
        "file": [f"{n}.png" for n in PIXELS], "label": ["benign", "malignant", "1", ""], "patient": ["007", "007", "8", ""],
        "age": [61, 47, 55, 30], "marker": [0.5, -1.0, 2.0, 0.0], "sex": ["F", "M", "F", None],
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def boxes(tmp_path, rows, columns=("image", "x", "y", "w", "h", "source")):
    return write_table(pd.DataFrame(rows, columns=list(columns)), tmp_path / "boxes.csv")


def test_columns_become_what_they_are(root):
    cases = load_manifest(
        root, csv="cases.csv", images="images", label="label", classes=["benign", "malignant"], group="patient",
        features=["age", "marker"], meta=["sex"],
    )  # fmt: skip
    assert [c.id for c in cases] == list(PIXELS)
    assert [c.truth for c in cases] == [0, 1, 1, None]
    assert [c.group for c in cases] == ["007", "007", "8", "p3"]
    assert [dict(c.meta) for c in cases] == [{"sex": "F"}, {"sex": "M"}, {"sex": "F"}, {}]
    assert torch.equal(cases[1].inputs["table"], torch.tensor([47.0, -1.0]))
    np.testing.assert_allclose(cases[2].inputs["image"][0].numpy(), PIXELS["p2"] / 255, rtol=1e-6)
    assert cases.failed == []


def test_it_is_registered(root):
    assert DATASETS["manifest"] is load_manifest


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_failures_are_collected(root, kind):
    (root / "images" / "p1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (root / "images" / "p2.png").unlink()
    where = "images"
    if kind == "zip":
        where = "images.zip"
        with zipfile.ZipFile(root / where, "w") as archive:
            for file in (root / "images").iterdir():
                archive.write(file, file.name)
    write_table(table(label=[0, 1, 1, 7]), root / "cases.csv")
    cases = load_manifest(root, csv="cases.csv", images=where, label="label", classes=["benign", "malignant"])
    assert [c.id for c in cases] == ["p0"]
    assert [id for id, _ in cases.failed] == ["p1", "p2", "p3"]
    reasons = dict(cases.failed)
    assert "cannot be read" in reasons["p1"]
    assert ("no such file" if kind == "folder" else "no member 'p2.png'") in reasons["p2"]
    assert "case p3: label 7 in column 'label' is outside the 2 classes (benign, malignant)" in reasons["p3"]


def test_all_failing_and_duplicates_are_errors(root):
    with pytest.raises(InputError, match=r"none of the 4 cases could be read; the first: .*no such file"):
        load_manifest(root, csv="cases.csv", images="masks/..")
    write_table(pd.concat([table(), table().iloc[:1]]), root / "cases.csv")
    with pytest.raises(InputError, match="the id 'p0' occurs 2 times"):
        load_manifest(root, csv="cases.csv", images="images")
    write_table(table(), root / "cases.csv")
    with pytest.raises(InputError, match="the id '007' occurs 2 times"):
        load_manifest(root, csv="cases.csv", images="images", id="patient")
    write_table(table(key=["a", "", "c", "d"]), root / "cases.csv")
    cases = load_manifest(root, csv="cases.csv", images="images", id="key")
    assert [c.id for c in cases] == ["a", "c", "d"]
    assert cases.failed == [("line 2", "line 2 has no id; fill in the id column, or its file")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "lable"}, "no column 'lable'; did you mean 'label'"),
        ({"meta": ["sx"]}, "no column 'sx'"),
        ({"features": ["ag"]}, "no column 'ag'"),
        ({"inputs": "fiel"}, "no column 'fiel'"),
        ({"select": {"sexx": "F"}}, "no column 'sexx'"),
        ({"select": {"sex": "X"}}, "no line has sex = X"),
        ({"images": "imags"}, "no such folder"),
        ({"images": "i.zip"}, "no such archive"),
        ({"csv": "case.csv"}, "no such file"),
    ],
)
def test_wrong_calls_name_what_is_wrong(root, options, message):
    with pytest.raises(InputError, match=message):
        load_manifest(root, **{"csv": "cases.csv", "images": "images"} | options)


def test_features_must_be_numbers(root):
    cases = load_manifest(root, csv="cases.csv", images="images", features=["age", "label"])
    assert [c.id for c in cases] == ["p2"]
    assert "case p0: column 'label' holds 'benign', not a number" in cases.failed[0][1]
    assert "empty or not finite" in cases.failed[2][1]


def test_labels_without_classes(root):
    write_table(table(label=[3, "0.5", "", "x"]), root / "cases.csv")
    cases = load_manifest(root, csv="cases.csv", images="images", label="label")
    assert [c.truth for c in cases] == [3, 0.5, None]
    assert "label 'x'" in cases.failed[0][1]


def test_several_inputs_and_tables_alone(root):
    write_table(table(other=[f"../masks/{n}.png" for n in PIXELS]), root / "cases.csv")
    cases = load_manifest(root, csv="cases.csv", images="images", inputs={"t1": "file", "t2": "other"})
    assert cases[0].images == ("t1", "t2")
    write_table(table().drop(columns="file").assign(key=list("abcd")), root / "cases.parquet")
    cases = load_manifest(root, csv="cases.parquet", id="key", features=["age"], select={"sex": ["F"]})
    assert [(c.id, c.tables, c.images) for c in cases] == [("a", ("table",), ()), ("c", ("table",), ())]
    with pytest.raises(UsageError, match="need an id column"):
        load_manifest(root, csv="cases.parquet", features=["age"])
    assert len(load_manifest(root, csv="cases.csv", images="images", limit=2)) == 2


def test_masks_are_regions_or_truth(root):
    write_table(table(mask=[f"../masks/{n}.png" for n in PIXELS]), root / "cases.csv")
    cases = load_manifest(root, csv="cases.csv", images="images", mask={"lesion": "mask"}, size=(6, 8))
    lesion = cases[0].regions["lesion"]
    assert lesion.dtype == torch.bool
    assert tuple(lesion.shape) == (6, 8)
    assert int(lesion.sum()) == 3 * 4
    truth = load_manifest(root, csv="cases.csv", images="images", truth_mask="mask")[0].truth
    assert sorted(truth.unique().tolist()) == [0, 1]
    labels = RNG.integers(0, 4, size=(12, 16)).astype(np.uint8)
    write_png(labels, root / "masks" / "p0.png")
    case = load_manifest(root, csv="cases.csv", images="images", truth_mask="mask")[0]
    np.testing.assert_array_equal(case.truth.numpy(), labels)
    write_png(np.zeros((5, 5), np.uint8), root / "masks" / "p1.png")
    failed = load_manifest(root, csv="cases.csv", images="images", mask="mask").failed
    assert "mask 'mask' is (5, 5), the image is (12, 16)" in failed[0][1]


def test_boxes_have_a_region_per_reader_and_scale_with_the_picture(root):
    rows = [("p0.png", 4, 2, 8, 6, "A"), ("p0.png", 8, 4, 8, 8, "B"), ("p0.png", 0, 0, 2, 2, "B"), ("p1.png", 0, 0, 16, 12, "A")]
    boxes(root, rows)
    cases = load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv", box_sources={"A": "reader a"})
    a = torch.zeros(12, 16, dtype=torch.bool)
    b = a.clone()
    a[2:8, 4:12] = True
    b[4:12, 8:16] = True
    b[0:2, 0:2] = True
    assert set(cases[0].regions) == {"reader a", "B", "boxes"}
    assert torch.equal(cases[0].regions["reader a"], a)
    assert torch.equal(cases[0].regions["B"], b)
    assert torch.equal(cases[0].regions["boxes"], a | b)
    assert cases[1].regions["boxes"].all()
    assert dict(cases[2].regions) == {}
    half = load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv", size=(6, 8))[0]
    assert torch.equal(half.regions["A"], a[::2, ::2])


def test_boxes_with_other_columns_labels_and_faults(root):
    names = {"image": "file", "x": "left", "y": "top", "w": "width", "h": "height", "label": "finding"}
    columns = ["file", "left", "top", "width", "height", "finding"]
    boxes(root, [("x/p0.png", 1, 1, 3, 3, "nodule"), ("x/p0.png", 5, 5, 3, 3, "mass")], columns)
    case = load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv", box_columns=names, box_label="mass")[0]
    assert set(case.regions) == {"boxes"}
    assert int(case.regions["boxes"].sum()) == 9
    how = {"boxes": "boxes.csv", "box_columns": names, "box_regions": {"mass": "Mass", "node": "Nodule"}}
    case = load_manifest(root, csv="cases.csv", images="images", **how)[0]
    assert set(case.regions) == {"Mass", "boxes"} and int(case.regions["boxes"].sum()) == 18
    assert torch.equal(case.regions["Mass"], case.regions["boxes"] & (torch.arange(12)[:, None] >= 5))
    how["box_columns"] = {k: v for k, v in names.items() if k != "label"}
    with pytest.raises(InputError, match="no column 'label' for the boxes"):
        load_manifest(root, csv="cases.csv", images="images", **how)
    with pytest.raises(InputError, match="no column 'image' for the boxes"):
        load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv")
    with pytest.raises(UsageError, match="no part of a box is called 'left'"):
        load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv", box_columns={"left": "x"})
    for box in ((20, 0, 4, 4), (0, 0, 0, 4), (0, -9, 4, 4)):
        boxes(root, [("p0.png", *box, "A")])
        failed = load_manifest(root, csv="cases.csv", images="images", boxes="boxes.csv").failed
        assert "does not lie in its picture of 12 × 16" in failed[0][1]


@given(x=st.floats(0, 90), w=st.floats(0.1, 60), size=st.integers(3, 200))
def test_a_scaled_box_keeps_its_place_and_is_never_empty(x, w, size):
    from pellucid.data.boxes import _inside

    inside = _inside(x, w, 100, size).nonzero().ravel().double()
    assert len(inside) > 0
    edges = (float(inside.min()) * 100 / size, (float(inside.max()) + 1) * 100 / size)
    pixel = 100 / size
    assert abs(edges[0] - x) <= pixel
    assert abs(edges[1] - min(x + w, 100)) <= pixel


def test_sizes_channels_and_spacing(root):
    cases = load_manifest(root, csv="cases.csv", images="images", size=24, channels=3)
    assert cases[0].inputs["image"].shape == (3, 24, 24)
    assert torch.equal(cases[0].inputs["image"][0], cases[0].inputs["image"][2])
    with pytest.raises(UsageError, match=r"size=\[3, 4, 5\]"):
        load_manifest(root, csv="cases.csv", images="images", size=[3, 4, 5])
    colour = RNG.integers(0, 256, size=(12, 16, 3)).astype(np.uint8)
    write_png(colour, root / "images" / "p0.png")
    grey = load_manifest(root, csv="cases.csv", images="images", channels=1)[0].inputs["image"]
    np.testing.assert_allclose(grey[0].numpy(), colour @ [0.299, 0.587, 0.114] / 255, atol=1e-5)


def test_volumes_are_resized_in_place(tmp_path):
    x = np.arange(8, dtype=np.float32)
    array = np.broadcast_to(x[:, None, None], (8, 6, 4)).copy()
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    write_nifti(array, Geometry(affine, (8, 6, 4)), tmp_path / "v.nii.gz")
    write_table(pd.DataFrame({"file": ["v.nii.gz"]}), tmp_path / "c.csv")
    case = load_manifest(tmp_path, csv="c.csv", size=(4, 3, 4))[0]
    assert case.id == "v"
    np.testing.assert_allclose(case.spacing, (2, 4, 3))
    # A voxel's value is its place along x, so its place in the patient must say the same.
    inner = case.inputs["image"][0, 1:3, 1, 1].numpy()
    places = [(case.geometry.affine @ [i, 1, 1, 1])[0] - 10 for i in (1, 2)]
    np.testing.assert_allclose(inner, places, atol=0.05)


def test_antialiasing_keeps_a_fine_pattern_grey():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (64, 32))
    small = resized(Image(array=stripes[None], spacing=(0.5, 0.5)), (16, 16))
    assert np.abs(small.array - 0.5).max() < 0.1
    assert small.spacing == (2.0, 2.0)
