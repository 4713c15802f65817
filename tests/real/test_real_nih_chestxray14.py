"""Real pictures of the NIH in the official layout: originals, boxes, and one picture that is there twice."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from make_nih import BOX_HEADER, HEADERS
from pellucid.data import load_dataset
from pellucid.data.duplicates import near_pairs
from pellucid.data.picture_shards import Item, read_pictures

pytestmark = pytest.mark.real


def lay_out(root: Path, rows: list[dict], boxes: list[str] = ()) -> Path:
    """The table of the first form, and the boxes."""
    lines = [HEADERS["2017"]]
    for r in rows:
        cells = [r["file"], r["nih_labels"], 0, int(r["file"][:8]), f"{int(r['age']):03d}Y", r["sex"], r["view"]]
        lines.append(",".join(map(str, [*cells, 2500, 2048, 0.143, 0.143, ""])))
    (root / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    (root / "BBox_List_2017.csv").write_text("\n".join([BOX_HEADER, *boxes]) + "\n")
    return root


def test_two_originals(shared_data, tmp_path):
    images = tmp_path / "images_001" / "images"
    images.mkdir(parents=True)
    names = ["00000001_000.png", "00027426_000.png"]
    for name in names:
        shutil.copyfile(shared_data / "chestxray_txv_tests" / name, images / name)
    rows = [{"file": n, "nih_labels": "Cardiomegaly", "age": 58, "sex": "M", "view": "PA"} for n in names]
    cases = load_dataset("nih_chestxray14", lay_out(tmp_path, rows), size=224, cache="kept", near=4)
    assert [c.id for c in cases] == [n[:-4] for n in names] and cases.cleaning.empty
    for case, name in zip(cases, names):
        stored = np.asarray(Image.open(images / name).convert("L").resize((224, 224), Image.Resampling.BILINEAR)) / 255
        assert case.inputs["image"].shape == (1, 224, 224)
        assert np.abs(case.inputs["image"][0].numpy() - stored).max() < 0.01, "as Pillow makes it small"


def test_a_radiologists_box_on_an_original(shared_data, tmp_path):
    folder = shared_data / "chestxray_nih"
    known, drawn = pd.read_csv(folder / "boxed_images.csv"), pd.read_csv(folder / "boxes.csv")
    drawn = drawn[drawn["source"].str.startswith("NIH")][:2]
    rows = [r | {"file": r["image"]} for r in known[known["image"].isin(drawn["image"])].to_dict("records")]
    for r in rows:
        shutil.copyfile(folder / "boxed_1024" / r["file"], tmp_path / r["file"])
    lines = [f"{b.image},{b.label},{b.x},{b.y},{b.w},{b.h},,," for b in drawn.itertuples()]
    cases = {c.id: c for c in load_dataset("nih_chestxray14", lay_out(tmp_path, rows, lines), size=256)}
    for b in drawn.itertuples():
        mask = cases[b.image[:-4]].regions["Pneumonia"]
        assert mask.sum() == pytest.approx(b.w * b.h / 16, rel=0.05)
        rows_of, columns_of = torch.nonzero(mask, as_tuple=True)
        centre = (float(rows_of.float().mean() + 0.5) * 4, float(columns_of.float().mean() + 0.5) * 4)
        assert centre == pytest.approx((b.y + b.h / 2, b.x + b.w / 2), abs=3)


def test_the_one_pair_of_duplicates_among_real_pictures_is_found_and_no_look_alikes(shared_data, tmp_path):
    """The hashes of six pairs of these 150 pictures are within eight bits, and only one pair is one picture."""
    folder = shared_data / "chestxray_nih"
    table = pd.read_csv(folder / "labels_224.csv")
    rows = table[table["patient_id"] <= 2700].tail(150)
    with zipfile.ZipFile(folder / "images_224.zip") as archive:
        for name in rows["file"]:
            (tmp_path / name).write_bytes(archive.read(name))
    lay_out(tmp_path, rows.to_dict("records"))
    looks = read_pictures(
        [Item(k, name, tmp_path / name) for k, name in enumerate(rows["file"])], size=32, cache=None, source=""
    )
    assert len(list(near_pairs([s.look for s in looks.values()], 8))) == 6
    cases = load_dataset("nih_chestxray14", tmp_path, size=224, near=8)
    assert cases.cleaning[["case", "problem"]].to_numpy().tolist() == [["00002658_002", cases.cleaning["problem"][0]]]
    assert len(cases) == len(rows) - 1
