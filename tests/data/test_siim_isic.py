"""SIIM-ISIC 2020 in both published layouts: pictures and table, what is unknown, duplicates, and wrong layouts."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from make_multimodal import make_siim
from pellucid.data import load_dataset, split
from pellucid.data.siim_isic import load_siim_isic
from pellucid.data.siim_lists import SITES, TABLE
from pellucid.errors import InputError, UsageError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_siim(tmp_path_factory.mktemp("siim") / "data", duplicates=2, blank=(1,))


def edit(root, change, name="train.csv"):
    table = pd.read_csv(root / name, dtype=str, keep_default_na=False)
    change(table).to_csv(root / name, index=False)


def test_cases_have_picture_table_class_patient_and_what_is_known(root):
    cases = load_dataset("siim_isic", root, size=16)
    assert len(cases) == 20
    first, other = cases[0], cases[4]
    assert first.inputs["image"].shape == (3, 16, 16)
    assert 0 <= first.inputs["image"].min() < first.inputs["image"].max() <= 1
    assert [first.truth, other.truth] == [1, 0]
    assert first.inputs["image"].mean() < other.inputs["image"].mean() - 0.05  # dark is malignant
    assert first.group == cases[1].group == "IP_0000000" != other.group
    named = dict(zip(first.meta["features"]["table"], first.inputs["table"].tolist()))
    assert named == {
        "age known": 1, "age": first.meta["age"], "sex female": 0, "sex male": 1,
        **{f"site {s}": float(s == "head/neck") for s in SITES},
    }  # fmt: skip
    assert {k: first.meta[k] for k in ("class", "sex", "site", "diagnosis", "part", "group_is")} == {
        "class": "malignant", "sex": "male", "site": "head/neck", "diagnosis": "melanoma", "part": "train",
        "group_is": "patient",
    }  # fmt: skip
    assert cases.failed == []


def test_a_patient_of_whom_nothing_is_known_lacks_the_table(root):
    missing = [c for c in load_siim_isic(root, size=8) if c.missing]
    assert [(c.group, c.missing) for c in missing] == [("IP_0000001", ("table",))] * 2
    assert not missing[0].inputs["table"].any()
    assert missing[0].inputs["table"].shape == (len(TABLE.names),)
    assert "age" not in missing[0].meta


def test_what_is_unknown_singly_is_marked_and_the_rest_stays(tmp_path):
    root = make_siim(tmp_path / "s", patients=4)
    edit(root, lambda t: t.assign(age_approx=["", "411", "unknown", *t.age_approx[3:]], sex=["male", "", *t.sex[2:]]))
    cases = load_siim_isic(root, size=8)
    assert all(not c.missing for c in cases)
    for case in cases[:3]:
        assert case.inputs["table"][:2].tolist() == [0, 0]
        assert "age" not in case.meta
    assert cases[1].inputs["table"][2:4].tolist() == [0, 0]
    assert cases[0].inputs["table"][2:4].tolist() == [0, 1]
    assert cases.cleaning.to_dict("records") == [
        {"case": "ISIC_0000001", "problem": "age", "detail": "age_approx is 411: taken as unknown", "action": "kept"}
    ]


def test_the_second_of_each_listed_pair_is_left_out_and_counted(root, caplog):
    cases = load_siim_isic(root, size=8)
    assert cases.cleaning.to_dict("records") == [
        {"case": f"ISIC_900000{k}", "problem": "duplicate", "detail": f"the same as {first}", "action": "left out"}
        for k, first in enumerate(("ISIC_0000019", "ISIC_0000017"))
    ]
    assert "2 of 22 pictures are duplicates of others: left out" in caplog.text
    kept = load_siim_isic(root, size=8, duplicates="keep")
    assert len(kept) == 22
    assert kept.cleaning["action"].tolist() == ["kept"] * 4
    by_id = {c.id: c for c in kept}
    twin, first = by_id["ISIC_9000000"], by_id["ISIC_0000019"]
    assert twin.group != first.group
    assert torch.equal(twin.inputs["image"], first.inputs["image"])


def test_without_the_list_it_says_so_and_only_the_same_content_is_left_out(tmp_path, caplog):
    root = make_siim(tmp_path / "s", patients=3, duplicates=1)
    (root / "ISIC_2020_Training_Duplicates.csv").unlink()
    cases = load_siim_isic(root, size=8)
    assert "no ISIC_2020_Training_Duplicates.csv: pictures that were taken twice stay" in caplog.text
    # The same picture of two patients: one of the two is wrong about age, sex and truth, and nobody knows which.
    assert set(cases.cleaning["case"]) == {"ISIC_0000005", "ISIC_9000000"}
    assert cases.cleaning["detail"][0] == "the same picture as one of another patient (ISIC_9000000)"
    assert len(cases) == 5


def test_the_archive_and_its_names_give_the_same_cases(tmp_path, root):
    archive = make_siim(tmp_path / "a", layout="archive", duplicates=2, blank=(1,))
    ours, theirs = load_siim_isic(root, size=8), load_siim_isic(archive, size=8)
    assert [(c.id, c.truth, c.group) for c in ours] == [(c.id, c.truth, c.group) for c in theirs]
    assert all(torch.equal(a.inputs[k], b.inputs[k]) for a, b in zip(ours, theirs) for k in a.inputs)
    assert theirs[0].meta["lesion"] == "IL_0000000"
    for folder in (root, archive):
        test = load_siim_isic(folder, size=8, part="test")
        assert len(test) == 10
        assert {c.truth for c in test} == {None}
        assert {c.meta["part"] for c in test} == {"test"}
        assert not {c.group for c in test} & {c.group for c in ours}


def test_a_patient_on_both_sides_is_said(tmp_path, caplog):
    root = make_siim(tmp_path / "s", patients=3)
    load_siim_isic(root, size=8, part="test")
    assert "of the test part" not in caplog.text
    edit(root, lambda t: t.assign(patient_id=["IP_0000002", *t.patient_id[1:]]), "test.csv")
    load_siim_isic(root, size=8, part="test")
    assert "1 of 3 patients of the test part are in the training table, too" in caplog.text


def test_dicom_in_ybr_has_the_colours_of_the_jpeg(tmp_path):
    jpg = load_siim_isic(make_siim(tmp_path / "jpg", patients=1), size=None)[0].inputs["image"]
    dcm = load_siim_isic(make_siim(tmp_path / "dcm", patients=1, files="dcm"), size=None)[0].inputs["image"]
    assert jpg.shape == dcm.shape == (3, 24, 32)
    assert (jpg - dcm).abs().mean() < 0.02
    assert dcm[0].mean() > dcm[2].mean() + 0.1  # skin is redder than blue, which YBR taken as RGB is not


def test_a_split_keeps_patients_whole_and_has_melanomas_on_each_side(root):
    parts = split(load_siim_isic(root, size=8), fractions=(0.4, 0.3, 0.3))
    groups = [{c.group for c in side} for side in (parts.train, parts.val, parts.test)]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert all(any(c.truth for c in side) for side in (parts.train, parts.val, parts.test))


def test_a_second_start_reads_the_cache(root, monkeypatch):
    first = load_siim_isic(root, size=8, cache="kept")
    reads = []
    monkeypatch.setattr("pellucid.data.picture_shards.read", reads.append)
    second = load_siim_isic(root, size=8, cache="kept")
    assert reads == []
    assert all(torch.equal(a.inputs["image"], b.inputs["image"]) for a, b in zip(first, second))


def test_absent_pictures_are_counted_and_too_many_are_refused(tmp_path, caplog):
    root = make_siim(tmp_path / "s", patients=5, absent=2)
    with pytest.raises(InputError, match=r"2 of the 10 listed pictures are not there \(the first: ISIC_0000000\), and least=0.95.*set least: 0.8 "):
        load_siim_isic(root)
    cases = load_siim_isic(root, size=8, least=0.8)
    assert len(cases) == 8
    assert cases.failed == []
    assert cases.cleaning["problem"].tolist() == ["absent"] * 2
    assert cases.cleaning["action"].tolist() == ["left out"] * 2
    assert "2 of the 10 listed pictures are not there: left out" in caplog.text
    with pytest.raises(UsageError, match=r"least=1.5; give the share"):
        load_siim_isic(root, least=1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="sex"), r"no column 'sex'"),
        (lambda t: t.drop(columns=["target", "benign_malignant"]), r"no column 'target' and none 'benign_malignant'"),
        (lambda t: t.assign(sex="mail"), r"column 'sex' holds 'mail'; did you mean 'male'"),
        (lambda t: t.assign(anatom_site_general_challenge="torse"), r"holds 'torse'; did you mean 'torso'"),
        (lambda t: t.assign(age_approx="old"), r"column 'age_approx' holds 'old', which is no number"),
        (lambda t: t.assign(target="2"), r"outside the 2 classes"),
        (lambda t: t.assign(target="1", benign_malignant="benign"), r"target says 1, benign_malignant the other"),
        (lambda t: t.assign(patient_id=""), r"no patient_id: whose picture it is is unknown"),
        (lambda t: t.assign(image_name="x"), r"none of the 4 pictures is there \(the first would be x.jpg\)"),
    ],
)
def test_bad_tables_are_refused(tmp_path, change, message):
    root = make_siim(tmp_path / "s", patients=2)
    edit(root, change)
    with pytest.raises(InputError, match=message):
        load_siim_isic(root, size=8)


def test_a_damaged_picture_fails_alone(tmp_path):
    root = make_siim(tmp_path / "s", patients=2)
    path = root / "jpeg" / "train" / "ISIC_0000001.jpg"
    path.write_bytes(path.read_bytes()[:300])
    cases = load_siim_isic(root, size=8)
    assert [c.id for c in cases] == ["ISIC_0000000", "ISIC_0000002", "ISIC_0000003"]
    assert [id for id, _ in cases.failed] == ["ISIC_0000001"]


def test_wrong_layouts_and_options_are_refused(tmp_path, root):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no table \(train.csv or .*\); SIIM-ISIC is a table"):
        load_siim_isic(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"part='val'; give one of train, test"):
        load_siim_isic(root, part="val")
    with pytest.raises(UsageError, match=r"duplicates='both'"):
        load_siim_isic(root, duplicates="both")
    assert len(load_siim_isic(root, size=8, limit=3)) == 3
    assert load_siim_isic(root, size=(8, 12), channels=1, limit=1)[0].inputs["image"].shape == (1, 8, 12)
    assert load_siim_isic(root, size=None, limit=1)[0].inputs["image"].shape == (3, 24, 32)
