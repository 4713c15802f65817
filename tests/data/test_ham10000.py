"""HAM10000 in its published layouts: classes, masks, lesions, and what is said of a wrong layout."""

from __future__ import annotations

import shutil
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from make_skin_and_chest import SKIN, make_ham10000
from pellucid.data import load_dataset, split
from pellucid.data.ham10000 import CLASSES, load_ham10000
from pellucid.errors import InputError, UsageError


@pytest.fixture
def root(tmp_path):
    return make_ham10000(tmp_path / "ham", n=14)


def test_cases_have_class_lesion_group_and_what_is_known(root):
    cases = load_dataset("ham10000", root, size=32)
    assert CLASSES == SKIN == tuple(sorted(SKIN))
    assert [c.id for c in cases] == [f"ISIC_{24306 + k:07d}" for k in range(14)]
    assert [CLASSES[c.truth] for c in cases][:5] == ["akiec", "bcc", "bcc", "bkl", "df"]
    assert cases[1].group == cases[2].group != cases[3].group
    assert dict(cases[0].meta) == {
        "age": 75.0, "sex": "male", "localization": "back", "dx_type": "histo", "class": "akiec", "group_is": "lesion",
    }  # fmt: skip
    assert cases[0].inputs["image"].shape == (3, 32, 32)
    assert cases[0].regions["lesion"].dtype == torch.bool
    assert cases.failed == []


def test_the_mask_lies_on_the_lesion_and_the_classes_differ_in_it(root):
    for case in load_ham10000(root, size=32):
        lesion = case.regions["lesion"]
        inside, outside = (case.inputs["image"][:, m].mean(1) for m in (lesion, ~lesion))
        assert (inside - outside).abs().max() > 0.2
    reds = {CLASSES[c.truth]: float(c.inputs["image"][0][c.regions["lesion"]].mean()) for c in load_ham10000(root)}
    assert len({round(v, 1) for v in reds.values()}) >= 4


def test_the_sizes_of_the_dataverse_and_the_files_suffix(tmp_path, root):
    other = make_ham10000(tmp_path / "other", n=14, layout="dataverse")
    as_stored = load_ham10000(other, size=None, channels=1)
    assert as_stored[0].inputs["image"].shape == (1, 36, 48)
    assert [c.truth for c in as_stored] == [c.truth for c in load_ham10000(root)]


def test_one_folder_or_a_deep_one_does_as_well(root):
    plain = load_ham10000(root)
    deep = root / "unpacked" / "skin"
    deep.mkdir(parents=True)
    for folder in list(root.glob("HAM10000_images_part_*")):
        for picture in folder.iterdir():
            picture.rename(deep / picture.name)
        folder.rmdir()
    (root / "unpacked" / "again").symlink_to(root)  # a link back, as some archives make
    assert all(torch.equal(a.inputs["image"], b.inputs["image"]) for a, b in zip(plain, load_ham10000(root)))


def test_both_tasks_have_the_same_cases_and_the_same_split(root):
    classes, masks = load_ham10000(root, size=32), load_ham10000(root, size=32, task="segmentation")
    assert [(c.id, c.group) for c in classes] == [(c.id, c.group) for c in masks]
    assert all(torch.equal(m.truth, c.regions["lesion"].to(torch.int64)) for m, c in zip(masks, classes))
    a, b = split(classes, (0.6, 0.2, 0.2), 3), split(masks, (0.6, 0.2, 0.2), 3)
    assert [[c.id for c in side] for side in a] == [[c.id for c in side] for side in b]


def test_a_corrupt_picture_is_reported_and_the_rest_goes_on(tmp_path):
    cases = load_ham10000(make_ham10000(tmp_path, n=8, corrupt=1), size=16)
    assert len(cases) == 7
    (id, reason), = cases.failed  # fmt: skip
    assert id == "ISIC_0024313"
    assert "ISIC_0024313.jpg" in reason
    assert id not in {c.id for c in cases}


def test_missing_files_are_named(root):
    next(root.rglob("ISIC_0024307.jpg")).unlink()
    next(root.rglob("ISIC_0024308_segmentation.png")).unlink()
    cases = load_ham10000(root)
    reasons = dict(cases.failed)
    assert set(reasons) == {"ISIC_0024307", "ISIC_0024308"}
    assert "picture ISIC_0024307.jpg is nowhere below" in reasons["ISIC_0024307"]
    assert "mask ISIC_0024308_segmentation.png is nowhere below" in reasons["ISIC_0024308"]
    optional = load_ham10000(root, masks="optional")
    assert [c.id for c in optional if not c.regions] == ["ISIC_0024308"]
    assert not any(c.regions for c in load_ham10000(root, masks="none"))


def test_a_wrong_layout_is_told_what_is_missing(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no table \(HAM10000_metadata.csv or .*found an empty folder"):
        load_ham10000(tmp_path / "empty")
    shutil.rmtree(root / "HAM10000_segmentations_lesion_tschandl")
    with pytest.raises(InputError, match=r"none of the 14 masks is there .*segmentation.png\); .*set masks: optional"):
        load_ham10000(root)
    for part in (1, 2):
        shutil.rmtree(root / f"HAM10000_images_part_{part}")
    (root / "HAM10000_images_part_1.zip").touch()
    with pytest.raises(InputError, match=r"none of the 14 pictures .*; unpack HAM10000_images_part_1.zip"):
        load_ham10000(root)
    with pytest.raises(InputError, match="no such folder"):
        load_ham10000(root / "nowhere")
    with pytest.raises(UsageError, match="a segmentation needs the masks"):
        load_ham10000(root, task="segmentation", masks="optional")
    with pytest.raises(UsageError, match="task='classify'"):
        load_ham10000(root, task="classify")


def test_an_unknown_class_and_a_line_without_lesion(root):
    table = root / "HAM10000_metadata.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("akiec", "scc")
    lines[4] = lines[4].replace("HAM_0000002", "")
    table.write_text("\n".join(lines))
    reasons = dict(load_ham10000(root).failed)
    assert "label 'scc' in column 'dx' is no class" in reasons["ISIC_0024306"]
    assert "no lesion_id" in reasons["ISIC_0024309"]
    table.write_text("\n".join(line.split(",", 1)[1] for line in lines))
    with pytest.raises(InputError, match="no column 'lesion_id'"):
        load_ham10000(root)


def test_masks_that_are_none_are_refused_with_what_to_do(root):
    folder = root / "HAM10000_segmentations_lesion_tschandl"
    mask = Image.open(folder / "ISIC_0024306_segmentation.png")
    blurred = BytesIO()
    mask.save(blurred, "JPEG", quality=60)
    (folder / "ISIC_0024306_segmentation.png").write_bytes(blurred.getvalue())
    Image.fromarray(np.array(mask)[:, :30]).save(folder / "ISIC_0024307_segmentation.png")
    labels = np.zeros((36, 48), np.uint8)
    labels[5:20, 5:20], labels[20:30, 5:20] = 1, 2
    Image.fromarray(labels).save(folder / "ISIC_0024308_segmentation.png")
    half = Image.open(folder / "ISIC_0024309_segmentation.png").resize((24, 18), 0)
    half.save(folder / "ISIC_0024309_segmentation.png")
    cases = load_ham10000(root, size=32)
    reasons = dict(cases.failed)
    assert set(reasons) == {"ISIC_0024306", "ISIC_0024307", "ISIC_0024308"}
    assert "saved as JPEG: threshold it in the middle" in reasons["ISIC_0024306"]
    assert "mask 'lesion' is (36, 30), the image is (36, 48), which has other proportions" in reasons["ISIC_0024307"]
    assert "has 3 values (0, 1, 2)" in reasons["ISIC_0024308"]
    kept = next(c for c in cases if c.id == "ISIC_0024309").regions["lesion"]
    assert kept.shape == (32, 32)
    assert kept.any()
