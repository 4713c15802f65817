"""ChestX-Det10 in its published layouts and in SegX's: findings, boxes, outlines, lungs, patients, wrong layouts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from make_skin_and_chest import FINDINGS as DRAWN
from make_skin_and_chest import make_chestxdet10
from pellucid.data import load_dataset, split
from pellucid.data.chestxdet10 import FINDINGS, load_chestxdet10
from pellucid.errors import InputError, UsageError

K = {name: k for k, name in enumerate(FINDINGS)}


@pytest.fixture
def root(tmp_path):
    return make_chestxdet10(tmp_path / "chest", n=14)


def entries(root, part="train"):
    return json.loads((root / f"{part}.json").read_text())


def rewrite(root, change, part="train"):
    content = entries(root, part)
    change(content)
    (root / f"{part}.json").write_text(json.dumps(content))


def test_the_published_lists(root):
    cases = load_dataset("chestxdet10", root, size=64)
    assert DRAWN == FINDINGS
    assert len(cases) == 14
    assert cases.failed == []
    for entry, case in zip([*entries(root), *entries(root, "test")], cases):
        assert case.id == entry["file_name"][:-4]
        assert case.group == entry["file_name"][:8]
        assert [FINDINGS[k] for k in torch.nonzero(case.truth).ravel()] == sorted(set(entry["syms"]))
        assert set(case.regions) == ({*entry["syms"], "findings"} if entry["syms"] else set())
    assert cases[0].truth.tolist() == [0] * 10
    assert [c.meta["part"] for c in cases] == ["train"] * len(entries(root)) + ["test"] * len(entries(root, "test"))
    assert {c.meta["group_is"] for c in cases} == {"patient"}
    assert {c.meta["class"] for c in cases} >= {"no finding", "Effusion", "Effusion|Nodule"}
    assert cases[0].inputs["image"].shape == (1, 64, 64)


def test_boxes_are_regions_at_any_size(root):
    entry = next(e for e in entries(root) if "Effusion" in e["syms"])
    left, top, right, bottom = entry["boxes"][0]
    id = entry["file_name"][:-4]
    full = next(c for c in load_chestxdet10(root, size=None) if c.id == id).regions["Effusion"]
    wanted = np.zeros((64, 64), bool)
    wanted[top:bottom, left:right] = True
    np.testing.assert_array_equal(full.numpy(), wanted)
    large = next(c for c in load_chestxdet10(root, size=128, channels=3) if c.id == id)
    np.testing.assert_array_equal(large.regions["Effusion"].numpy(), wanted.repeat(2, 0).repeat(2, 1))
    assert large.inputs["image"].shape == (3, 128, 128)


def test_outlines_of_the_later_set(tmp_path):
    boxes = load_chestxdet10(make_chestxdet10(tmp_path / "a", n=12), size=64)
    outlines = load_chestxdet10(make_chestxdet10(tmp_path / "b", n=12, form="det"), size=64)
    for a, b in zip(boxes, outlines):
        assert all(torch.equal(a.regions[r], b.regions[r]) for r in a.regions)
    file = tmp_path / "b" / "ChestX_Det_train.json"
    content = json.loads(file.read_text())
    k = next(k for k, e in enumerate(content) if e["syms"])
    content[k] |= {"syms": ["Diffuse Nodule"], "polygons": [[[10, 10], [30, 10], [10, 30]]], "boxes": [[10, 10, 30, 30]]}
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"none of the ten \(Diffuse Nodule\), as ChestX-Det has; name those"):
        load_chestxdet10(tmp_path / "b")
    case = load_chestxdet10(tmp_path / "b", size=64, findings=["Effusion", "Diffuse Nodule"])[k]
    assert case.truth.tolist() == [0, 1]
    assert 180 <= int(case.regions["Diffuse Nodule"].sum()) <= 220, "the triangle is half of its box"
    left_out = load_chestxdet10(tmp_path / "b", size=64, findings=FINDINGS)[k]
    assert left_out.truth.tolist() == [0] * 10
    assert dict(left_out.regions) == {}
    with pytest.raises(UsageError, match="no finding 'Efusion'; did you mean 'Effusion'"):
        load_chestxdet10(tmp_path / "b", findings=["Efusion"])


def test_the_form_of_segx(tmp_path):
    lists = load_chestxdet10(make_chestxdet10(tmp_path / "a", n=12), size=32, lung_masks="lung_masks")
    root = make_chestxdet10(tmp_path / "b", n=12, form="csv")
    table = load_chestxdet10(root, size=32, csv="metadata.csv", lung_masks="masks")
    for a, b in zip(lists, table):
        assert (a.id, a.truth.tolist(), a.group) == (b.id, b.truth.tolist(), b.group)
        assert torch.equal(a.inputs["image"], b.inputs["image"])
        assert torch.equal(a.regions["lungs"], b.regions["lungs"])
        inside, outside = (a.inputs["image"][0][m].mean() for m in (a.regions["lungs"], ~a.regions["lungs"]))
        assert inside < outside - 0.1
    masks = load_chestxdet10(root, size=32, csv="metadata.csv", lung_masks="masks", task="segmentation")
    assert all(torch.equal(m.truth, c.regions["lungs"].to(torch.int64)) for m, c in zip(masks, table))
    assert [(m.id, m.group) for m in masks] == [(c.id, c.group) for c in table]
    assert [[c.id for c in side] for side in split(masks)] == [[c.id for c in side] for side in split(table)]


def test_the_table_says_what_it_lacks(tmp_path):
    root = make_chestxdet10(tmp_path, n=6, form="csv")
    table = root / "metadata.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1][:-1] + "2"
    lines[2] = lines[2][:-1]
    table.write_text("\n".join(lines))
    reasons = list(dict(load_chestxdet10(root, csv="metadata.csv").failed).values())
    assert "column 'Pneumothorax' holds 2.0; a label is 0 or 1" in reasons[0]
    assert "a finding's cell is empty" in reasons[1]
    table.write_text("\n".join([lines[0].replace("Mass", "Masses"), *lines[3:]]))
    with pytest.raises(InputError, match="no column Mass; it has image_id, Atelectasis"):
        load_chestxdet10(root, csv="metadata.csv")
    table.write_text("\n".join([lines[0].replace("image_id", "patient"), *lines[3:]]))
    with pytest.raises(InputError, match="no column image_id"):
        load_chestxdet10(root, csv="metadata.csv")


def numbered(name):
    """``36223.png``, as the pictures are called in the data set's own archive."""
    return f"3{name[5:8]}{name[11]}.png"


def test_patients_that_the_names_do_not_tell(root):
    for part in ("train", "test"):
        rewrite(root, lambda content: [e.update(file_name=numbered(e["file_name"])) for e in content], part)
        for file in (root / f"{part}_data").iterdir():
            file.rename(file.with_name(numbered(file.name)))
    cases = load_chestxdet10(root)
    assert all(c.group == c.id and c.meta["group_is"] == "picture" for c in cases)


def test_a_corrupt_picture_is_reported_and_a_mask_is_never_taken_for_a_picture(tmp_path):
    root = make_chestxdet10(tmp_path, n=10, form="csv", corrupt=1)
    (root / "images" / "00000001_000.png").unlink()
    cases = load_chestxdet10(root, csv="metadata.csv", lung_masks="masks")
    reasons = dict(cases.failed)
    assert len(cases) == 8
    assert len(reasons) == 2
    assert "picture 00000001_000 is nowhere below" in reasons["00000001_000"]
    assert any("damaged or cut short" in r for r in reasons.values())


def test_lungs_may_be_absent_if_that_is_said(root):
    gone = entries(root)[1]["file_name"]
    (root / "lung_masks" / gone).unlink()
    cases = load_chestxdet10(root, lung_masks="lung_masks")
    assert [id for id, _ in cases.failed] == [gone[:-4]]
    assert "no mask of its lungs" in cases.failed[0][1]
    cases = load_chestxdet10(root, lung_masks="lung_masks", masks="optional")
    assert [c.id for c in cases if "lungs" not in c.regions] == [gone[:-4]]
    for options in ({}, {"lung_masks": "lung_masks", "masks": "optional"}):
        with pytest.raises(UsageError, match="a segmentation learns the lungs"):
            load_chestxdet10(root, task="segmentation", **options)
    Image.fromarray(np.arange(64 * 64).reshape(64, 64).astype(np.uint8)).save(root / "lung_masks" / gone)
    assert "has 256 values" in load_chestxdet10(root, lung_masks="lung_masks").failed[0][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": []}, "1 findings and 0 boxes"),
        ({"boxes": [[5, 5, 5, 9]]}, "does not lie in its picture"),
        ({"boxes": [[5, 5, 9]]}, r"is \[5, 5, 9\], not left, top, right, bottom"),
        ({"polygons": [[[1, 1], [5, 5]]]}, "a polygon of 2 points"),
        ({"polygons": [[1, 2, 3]]}, "no list of points"),
    ],
)
def test_what_is_wrongly_drawn_fails_alone(root, change, message):
    k = next(k for k, e in enumerate(entries(root)) if len(e["syms"]) == 1)
    rewrite(root, lambda content: content[k].update(change))
    cases = load_chestxdet10(root)
    assert len(cases) == 13
    with pytest.raises(InputError, match=message):
        raise InputError(cases.failed[0][1])


def test_a_wrong_layout_is_told_what_is_missing(root):
    (root / "none").mkdir()
    with pytest.raises(InputError, match="none of the 14 masks of the lungs is there"):
        load_chestxdet10(root, lung_masks="none")
    (root / "test.json").write_text("{}")
    with pytest.raises(InputError, match=r"test.json: is no list of \{file_name, syms, boxes\}"):
        load_chestxdet10(root)
    (root / "test.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_chestxdet10(root)
    (root / "test.json").unlink()
    with pytest.raises(InputError, match=r"no list of test pictures \(test.json or ChestX_Det_test.json\); .*train.json"):
        load_chestxdet10(root)
    (root / "test.json").write_text("[]")
    for part in ("train", "test"):
        shutil.rmtree(root / f"{part}_data")
    with pytest.raises(InputError, match=r"none of the \d+ pictures is there \(the first would be 00000001_000.png\)"):
        load_chestxdet10(root)
