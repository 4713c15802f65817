"""ChestX-ray14 in its official layout: lists in both forms, findings, boxes, ages, sides, cleaning, cache, bad input."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid.data.picture_shards as shards
from make_nih import FAULTS, FINDINGS, SIDE, make_nih
from pellucid.core.case import Case
from pellucid.data import check_split, load_dataset, official_split, split
from pellucid.data.nih_chestxray14 import load_nih_chestxray14
from pellucid.data.nih_lists import FINDINGS as OURS
from pellucid.data.nih_lists import age_of
from pellucid.errors import InputError, UsageError
from pellucid.train.normalise import statistics

K = {name: k for k, name in enumerate(FINDINGS)}


def table(root):
    return next(root.glob("Data_Entry_2017*.csv"))


def rewrite(root, old, new):
    path = table(root)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def problems(cases, problem):
    found = cases.cleaning[cases.cleaning["problem"] == problem]
    return {row.case: (row.detail, row.action) for row in found.itertuples()}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return make_nih(tmp_path_factory.mktemp("nih"), patients=12)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    return make_nih(tmp_path_factory.mktemp("nih"), patients=20, faults=dict.fromkeys(FAULTS, 1))


@pytest.fixture(scope="module")
def cleaned(dirty):
    return load_nih_chestxray14(dirty, size=64, near=4)


def spoilt(root, fault):
    (id,) = json.loads((root / "faults.json").read_text())[fault]
    return id


@pytest.mark.parametrize("header", ["2017", "v2020"])
def test_both_forms_of_the_table(tmp_path, header):
    cases = load_dataset("nih_chestxray14", make_nih(tmp_path, patients=7, header=header), size=32)
    assert OURS == FINDINGS
    assert len(cases) == 13 and cases.failed == [] and cases.cleaning.empty
    by_id = {c.id: c for c in cases}
    one = by_id["00000005_001"]
    assert one.group == "5" and one.inputs["image"].shape == (1, 32, 32)
    assert one.truth.tolist() == [int(f in ("Effusion", "Pneumonia")) for f in FINDINGS]
    assert dict(one.meta) == {
        "class": "Effusion|Pneumonia", "age": 49, "sex": "F", "view": "PA", "part": "test", "follow_up": 1,
        "group_is": "patient",
    }  # fmt: skip
    assert by_id["00000001_000"].meta["class"] == "No Finding" and not by_id["00000001_000"].truth.any()
    assert {c.meta["sex"] for c in cases} == {"F", "M"} and {c.meta["view"] for c in cases} == {"AP", "PA"}
    assert {c.group for c in cases if c.meta["part"] == "test"} == {"5"}


def test_pictures_are_grey_in_0_to_1_and_channels_repeat_them(clean):
    one, three = (load_nih_chestxray14(clean, size=None, channels=c, limit=3) for c in (1, 3))
    stored = np.asarray(Image.open(clean / "images_001" / "images" / f"{one[0].id}.png"), np.float32) / 255
    np.testing.assert_array_equal(one[0].inputs["image"][0], stored)
    assert len(one) == len(three) == 3
    assert torch.equal(three[1].inputs["image"], one[1].inputs["image"].expand(3, -1, -1))


def test_boxes_are_regions_by_the_name_of_the_finding(clean):
    cases = {c.id: c for c in load_nih_chestxray14(clean, size=128)}
    lines = (clean / "BBox_List_2017.csv").read_text().splitlines()
    assert lines[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,", "the header as published"
    boxed = {line.split(",")[0][:-4] for line in lines[1:]}
    assert {id for id, c in cases.items() if c.regions} == boxed
    name, finding, *box = lines[1].split(",")[:6]
    x, y, w, h = (round(float(v) * 128 / SIDE) for v in box)
    wanted = torch.zeros(128, 128, dtype=torch.bool)
    wanted[y : y + h, x : x + w] = True
    regions = cases[name[:-4]].regions
    assert torch.equal(regions[finding], wanted) and torch.equal(regions["boxes"], wanted)
    two = next(c for c in cases.values() if {"Effusion", "Pneumonia"} <= set(c.regions))
    assert torch.equal(two.regions["boxes"], two.regions["Effusion"] | two.regions["Pneumonia"])
    other = next(c for c in load_nih_chestxray14(clean, size=128, findings=["Pneumonia"]) if c.id == two.id)
    assert set(other.regions) == {"Pneumonia", "boxes"} and torch.equal(other.regions["boxes"], two.regions["Pneumonia"])


def test_the_lists_infiltrate_is_infiltration(tmp_path):
    root = make_nih(tmp_path, patients=4, findings=("Infiltration", "Hernia"))
    assert "Infiltrate," in (root / "BBox_List_2017.csv").read_text()
    cases = load_nih_chestxray14(root, size=32)
    assert any("Infiltration" in c.regions for c in cases) and cases.cleaning.empty


def test_fewer_findings_and_fewer_pictures(clean):
    every = load_nih_chestxray14(clean, size=16)
    some = load_nih_chestxray14(clean, size=16, findings=["Pneumonia"], keep=["Pneumonia", "No Finding"])
    wanted = [c for c in every if c.truth[K["Pneumonia"]] or not c.truth.any()]
    assert [c.id for c in some] == [c.id for c in wanted] and 0 < len(some) < len(every)
    assert [c.truth.tolist() for c in some] == [[int(c.truth[K["Pneumonia"]])] for c in wanted]
    assert {c.meta["class"] for c in some} == {"Pneumonia", "No Finding"}
    turned = load_nih_chestxray14(clean, size=16, findings=["Pneumonia", "Effusion"])
    assert [c.truth.tolist() for c in turned] == [[int(c.truth[K[f]]) for f in ("Pneumonia", "Effusion")] for c in every]
    for options, message in (
        ({"findings": ["Pnuemonia"]}, "findings: no label 'Pnuemonia'; did you mean 'Pneumonia'"),
        ({"findings": []}, "give a list of labels"),
        ({"keep": "Mass"}, "keep='Mass'; give a list of labels"),
        ({"keep": ["No finding"]}, "keep: no label 'No finding'; did you mean 'No Finding'"),
        ({"duplicates": "merge"}, "duplicates='merge'; give 'drop' or 'keep'"),
        ({"channels": 2}, "channels=2; the pictures are grey: give 1, or 3"),
        ({"near": 40}, "near=40; give the bits of 64 that may differ, a whole number from 0 to 12"),
        ({"least": 2}, "least=2; give the share"),
        ({"size": 0}, "size=0"),
    ):
        with pytest.raises(UsageError, match=message):
            load_nih_chestxray14(clean, **({"size": 16} | options))


def test_ages():
    assert [age_of(t) for t in ("057", "058Y", "013M", "005D", "060y", "61.0", "110")] == [
        (57, None), (58, None), (1, None), (0, None), (60, None), (61, None), (110, None)]  # fmt: skip
    assert age_of("411") == (None, "age '411' is over 110 years")
    assert age_of("-3") == (None, "age '-3' is under 0 years")
    assert age_of("old") == (None, "age 'old' is no number of years")
    assert age_of("") == (None, "no age is given")


def test_every_fault_has_its_line_and_its_picture_is_dealt_with(dirty, cleaned):
    ids = {c.id for c in cleaned}
    wanted = {
        "absent": ("absent", "its picture is not there", "left out"),
        "corrupt": ("corrupt", "damaged or cut short", "left out"),
        "duplicate": ("duplicate", "the same picture as one of the same patient", "left out"),
        "duplicate_across": ("duplicate", "the same picture as one of another patient", "left out"),
        "near_duplicate": ("near_duplicate", "looks the same as one of the same patient", "left out"),
        "size": ("size", "32 × 32 pixels, most are 64 × 64", "kept, resized"),
        "not_square": ("size", "48 × 64 pixels, not square", "left out"),
        "age": ("age", "age '411Y' is over 110 years", "kept, its age is unknown"),
        "box_outside": ("box", "does not lie in its picture", "box left out"),
        "box_unknown": ("box", "'Opacity' is none of the 14 findings", "box left out"),
    }
    for fault, (problem, detail, action) in wanted.items():
        line = problems(cleaned, problem)[spoilt(dirty, fault)]
        assert detail in line[0] and line[1] == action, fault
        assert (spoilt(dirty, fault) in ids) == (action != "left out"), fault
    assert list(cleaned.cleaning.columns) == ["case", "problem", "detail", "action"]
    aged = next(c for c in cleaned if c.id == spoilt(dirty, "age"))
    assert "age" not in aged.meta and aged.meta["age_flag"] == "age '411Y' is over 110 years"
    boxed = next(c for c in cleaned if c.id == spoilt(dirty, "box_outside"))
    assert boxed.regions, "its other box is there"
    assert cleaned.failed == []


def test_of_a_picture_of_two_patients_both_are_left_out_unless_duplicates_are_kept(dirty, cleaned):
    across = {id: d for id, (d, _) in problems(cleaned, "duplicate").items() if "another patient" in d}
    assert len(across) == 2 and spoilt(dirty, "duplicate_across") in across
    assert not across.keys() & {c.id for c in cleaned}
    kept = load_nih_chestxray14(dirty, size=64, duplicates="keep")
    assert across.keys() <= {c.id for c in kept} and spoilt(dirty, "duplicate") in {c.id for c in kept}
    assert {action for _, action in problems(kept, "duplicate").values()} == {"kept"}
    assert problems(kept, "near_duplicate") == {}, "only where near is given"


def test_a_picture_as_rgba_or_in_16_bits_is_the_picture(dirty, cleaned):
    by_id = {c.id: c for c in cleaned}
    for fault, mode in (("rgba", "RGBA"), ("sixteen_bit", "I;16")):
        file = Image.open(next(dirty.rglob(f"{spoilt(dirty, fault)}.png")))
        assert file.mode == mode
        grey = np.asarray(file)[..., 0] / 255 if mode == "RGBA" else np.asarray(file) / 65535
        np.testing.assert_allclose(by_id[spoilt(dirty, fault)].inputs["image"][0], grey, atol=1e-7)


def test_the_official_lists_and_a_patient_in_both(dirty, cleaned):
    lines = problems(cleaned, "lists")
    moved = spoilt(dirty, "both_lists")[:8]
    assert lines and all(id.startswith(moved) and id != spoilt(dirty, "both_lists") for id in lines)
    assert set(lines.values()) == {
        ("its patient is in both official lists", "kept; official: true leaves it out")}  # fmt: skip
    parts = official_split(cleaned)
    check_split(parts)
    assert {c.id for c in parts.left_out} == set(lines)
    assert parts.notes == (
        f"{len(lines)} of {sum(c.meta['part'] == 'train' for c in cleaned)} cases are left out: their patients are in "
        "the published test list, too",
    )


def test_pictures_in_no_list_and_in_both(clean, tmp_path):
    root = make_nih(tmp_path, patients=5)
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000005_000.png\n")
    cases = load_nih_chestxray14(root, size=16)
    lines = problems(cases, "lists")
    assert lines["00000005_000"] == ("it is in both official lists", "kept, as of the test list")
    assert lines["00000002_000"] == ("it is in neither official list", "kept")
    assert [c.meta.get("part") for c in cases if c.id in ("00000001_000", "00000002_000", "00000005_000")] == ["train", None, "test"]  # fmt: skip
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    cases = load_nih_chestxray14(root, size=16)
    assert cases.cleaning.empty and not any("part" in c.meta for c in cases)


def test_split_70_15_15_by_patient_with_a_rare_finding_on_every_side(tmp_path):
    root = make_nih(tmp_path, patients=60, size=16, findings=("Effusion", "Pneumonia", "Hernia"), boxes=False)
    path = table(root)
    lines = path.read_text().splitlines()
    late = [line if int(line[:8]) <= 24 else line.replace("Hernia|", "").replace("Hernia", "No Finding") for line in lines[1:]]
    path.write_text("\n".join([lines[0], *late]))
    cases = load_nih_chestxray14(root, size=16)
    rare = {c.group for c in cases if c.truth[K["Hernia"]]}
    assert len(rare) == 8
    for seed in range(5):
        parts = split(cases, (0.7, 0.15, 0.15), seed=seed)
        check_split(parts)
        patients = [{c.group for c in side} for side in parts]
        assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]
        assert [len(s) / len(cases) for s in parts] == pytest.approx([0.7, 0.15, 0.15], abs=0.05)
        assert all(rare & side for side in patients), "eight patients with it, and each side has one"
        for finding in ("Effusion", "Pneumonia"):
            share = [sum(int(c.truth[K[finding]]) for c in s) / len(s) for s in parts]
            assert min(share) > 0.5 * max(share), (finding, share)


def test_a_second_start_reads_the_cache_and_maps_it(clean, tmp_path, monkeypatch):
    opened = []
    read = shards.read
    monkeypatch.setattr(shards, "read", lambda path: opened.append(path.name) or read(path))
    monkeypatch.setattr(shards, "SHARD", 8)
    kept = tmp_path / "kept"
    first = load_nih_chestxray14(clean, size=32, cache=kept)
    assert len(opened) == len(first) == len({*opened}), "each picture once"
    assert sorted(p.name[:14] for p in kept.iterdir()) == [f"pictures-{k:05d}" for k in range(len(list(kept.iterdir())))]
    opened.clear()
    again = load_nih_chestxray14(clean, size=32, cache=kept)
    assert opened == []
    plain = load_nih_chestxray14(clean, size=32)
    for a, b, c in zip(first, again, plain, strict=True):
        assert a.id == b.id == c.id and torch.equal(b.inputs["image"], c.inputs["image"])
        assert torch.equal(a.inputs["image"], c.inputs["image"]) and a.meta == b.meta == c.meta
    maps = [line for line in open("/proc/self/maps") if str(kept) in line] if shards.Path("/proc/self/maps").exists() else None  # fmt: skip  # noqa: SIM115, PTH123
    assert maps is None or len(maps) >= len(list(kept.iterdir())), "views into the files, not copies"


def test_what_changes_is_read_anew_and_nothing_else(tmp_path, monkeypatch):
    root = make_nih(tmp_path, patients=8, faults={"corrupt": 1, "absent": 1})
    opened = []
    read = shards.read
    monkeypatch.setattr(shards, "read", lambda path: opened.append(path.stem) or read(path))
    monkeypatch.setattr(shards, "SHARD", 4)
    load_nih_chestxray14(root, size=16, cache="kept", least=0.9)
    assert len(opened) == 14
    opened.clear()
    cases = load_nih_chestxray14(root, size=16, cache="kept", least=0.9, findings=["Hernia"], channels=3)
    assert opened == [] and problems(cases, "corrupt"), "neither the damaged picture nor other options are read again"
    array = np.asarray(Image.open(root / "images_001" / "images" / "00000002_001.png"))
    Image.fromarray(255 - array).save(root / "images_001" / "images" / "00000002_001.png")
    changed = load_nih_chestxray14(root, size=16, cache="kept", least=0.9)
    assert sorted(opened) == ["00000001_000", "00000002_000", "00000002_001", "00000003_000"], "its shard of four"
    old, new = ({c.id: c.inputs["image"] for c in cs} for cs in (cases, changed))
    assert torch.allclose(new["00000002_001"], 1 - old["00000002_001"][:1], atol=1e-6)
    opened.clear()
    load_nih_chestxray14(root, size=32, cache="kept", least=0.9)
    assert len(opened) == 14, "another size"
    file = sorted((root / "kept").iterdir())[0]
    file.write_bytes(file.read_bytes()[:100])
    opened.clear()
    assert len(load_nih_chestxray14(root, size=16, cache="kept", least=0.9)) == len(cases)


def test_stopped_it_loses_one_shard_at_most(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 4)
    read, seen = shards.read, []

    def stopped(path):
        seen.append(path)
        if len(seen) == 11:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(shards, "read", stopped)
    with pytest.raises(KeyboardInterrupt):
        load_nih_chestxray14(clean, size=16, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "whole files, no temporary one"
    seen.clear()
    monkeypatch.setattr(shards, "read", lambda path: seen.append(path) or read(path))
    cases = load_nih_chestxray14(clean, size=16, cache=tmp_path)
    assert len(seen) == len(cases) - 8


def test_absent_pictures_are_counted_and_too_many_are_refused(tmp_path, caplog):
    root = make_nih(tmp_path, patients=10, faults={"absent": 3})
    with pytest.raises(InputError, match=r"3 of the 19 listed pictures are not there \(the first: .*least=0.95 of them"):
        load_nih_chestxray14(root, size=16)
    with caplog.at_level(logging.WARNING, "pellucid"):
        cases = load_nih_chestxray14(root, size=16, least=0.8)
    assert "3 of the 19 listed pictures are not there: left out" in caplog.text
    assert len(cases) == 16 and len(problems(cases, "absent")) == 3


def test_unknown_findings_and_missing_columns_are_refused(tmp_path):
    root = make_nih(tmp_path, patients=4, unknown="Pnuemonia")
    with pytest.raises(InputError, match=r"1 findings in 1 lines are none of the 14 \('Pnuemonia': did you mean 'Pneumonia'"):
        load_nih_chestxray14(root)
    rewrite(root, "Pnuemonia", "No Finding|Mass")
    with pytest.raises(InputError, match=r"picture 00000001_000\.png has 'No Finding' beside a finding"):
        load_nih_chestxray14(root)
    rewrite(root, "No Finding|Mass", " ")
    with pytest.raises(InputError, match=r"00000001_000.png has no finding label; write the findings joined by \|"):
        load_nih_chestxray14(root)
    rewrite(root, ", ,", ",Pleural Thickening,")
    assert load_nih_chestxray14(root, size=16)[0].meta["class"] == "Pleural_Thickening"
    rewrite(root, "Patient Gender", "Gender")
    with pytest.raises(InputError, match="no column Patient Gender or Patient Sex; it has Image Index, Finding Labels"):
        load_nih_chestxray14(root)
    rewrite(root, "Finding Labels", "Labels")
    with pytest.raises(InputError, match="no column Finding Labels, Patient Gender or Patient Sex"):
        load_nih_chestxray14(root)


def test_other_layouts_are_said(tmp_path):
    with pytest.raises(InputError, match=r"no table of pictures \(Data_Entry_2017_v2020.csv or .*found an empty folder"):
        load_nih_chestxray14(tmp_path)
    root = make_nih(tmp_path, patients=2)
    (root / "BBox_List_2017.csv").write_text("image,x,y,w,h\n")
    with pytest.raises(InputError, match=r"BBox_List_2017.csv: does not begin with 'Image Index,Finding Label,Bbox"):
        load_nih_chestxray14(root)
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n99999999_000.png,Mass,1,2,3,4,,,\n00000002_000.png,Effusion,a,2,3,4,,,\n"
        "00000002_000.png,Effusion,1000,100,50,60,,,\n\n"
    )
    lines = load_nih_chestxray14(root, size=16).cleaning.to_dict("records")
    assert [(line["detail"], line["action"]) for line in lines] == [
        ("its picture is not in the table", "box left out"), ("it is not four numbers", "box left out"),
        ("the box of Effusion reaches over the edge", "box cut off there"),
    ]  # fmt: skip
    for file in root.rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of the 3 pictures can be used; the first: "):
        load_nih_chestxray14(root)
    for file in root.rglob("*.png"):
        file.unlink()
    with pytest.raises(InputError, match="none of the 3 pictures is there"):
        load_nih_chestxray14(root)


def test_copies_of_another_size_and_kind_are_found(tmp_path):
    root = make_nih(tmp_path, patients=3)
    wanted = load_nih_chestxray14(root, size=None)
    for file in list(root.rglob("*.png")):
        Image.open(file).resize((32, 32)).save(file.with_suffix(".jpg"), quality=100)
        file.unlink()
    cases = load_nih_chestxray14(root, size=64)
    assert cases.cleaning.empty, "all of them are of one size"
    assert [set(c.regions) for c in cases] == [set(c.regions) for c in wanted] and any(c.regions for c in cases)
    assert all(torch.equal(c.regions[r], w.regions[r]) for c, w in zip(cases, wanted) for r in c.regions)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted as Linux does")
def test_the_statistics_of_many_pictures_do_not_take_the_memory_of_a_copy():
    """Of 800 pictures of 224² the float64 copies are 321 MB: a training on all pictures could not begin."""

    def own() -> int:
        return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024

    base = torch.rand(8, 1, 224, 224)
    cases = [Case(id=str(i), inputs={"image": base[i % 8]}) for i in range(800)]
    before = own()
    mean, sd = statistics(cases, ["image"])["image"]
    assert own() - before < 80
    assert float(mean) == pytest.approx(0.5, abs=0.01) and float(sd) == pytest.approx(12**-0.5, abs=0.01)
