"""The LGG segmentation data in their official layout: sequences, missing ones, slices, volumes, and wrong layouts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from make_multimodal import make_lgg
from pellucid.data import load_dataset
from pellucid.data.lgg_mri import SEQUENCES, load_lgg_mri
from pellucid.errors import InputError, UsageError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_lgg(tmp_path_factory.mktemp("lgg"), no_post=(1, 2), no_pre=(2,))


def test_each_sequence_is_its_channel_of_the_file(root):
    case = load_dataset("lgg_mri", root, size=None)[1]
    assert case.id == "TCGA_CS_4941_19960900_2"
    assert case.group == "TCGA_CS_4941"
    stored = np.asarray(Image.open(root / "TCGA_CS_4941_19960900" / f"{case.id}.tif"))
    assert list(case.inputs) == ["flair", "t1", "t1ce"]
    for name, channel in {"t1": 0, "flair": 1, "t1ce": 2}.items():
        assert SEQUENCES[name] == channel
        assert torch.allclose(case.inputs[name][0], torch.tensor(stored[..., channel] / 255.0, dtype=torch.float32))
    mask = torch.tensor(np.asarray(Image.open(root / "TCGA_CS_4941_19960900" / f"{case.id}_mask.tif")) > 0)
    assert torch.equal(case.truth, mask.short())
    assert torch.equal(case.regions["lesion"], mask)
    assert case.inputs["flair"][0][mask].mean() > case.inputs["flair"][0][~mask].mean() + 0.2
    assert case.spacing is None


def test_what_the_table_says_is_kept_as_it_is(root):
    case = load_lgg_mri(root, size=16)[1]
    assert {k: case.meta[k] for k in ("age", "gender", "RNASeqCluster", "class", "group_is")} == {
        "age": 30, "gender": 1, "RNASeqCluster": 1, "class": "tumour", "group_is": "patient",
    }  # fmt: skip
    assert "MethylationCluster" not in case.meta  # an empty cell


def test_a_sequence_that_is_flair_number_by_number_is_missing(root, caplog):
    cases = load_lgg_mri(root, size=16)
    missing = {c.group: c.missing for c in cases}
    assert missing == {
        "TCGA_CS_4941": (), "TCGA_DU_4942": ("t1ce",), "TCGA_CS_4943": ("t1", "t1ce"), "TCGA_DU_4944": (),
    }  # fmt: skip
    for case in cases:
        for name in case.inputs:
            assert bool(case.inputs[name].any()) == (name not in case.missing)
    assert cases.cleaning[["case", "problem", "action"]].values.tolist() == [
        ["TCGA_CS_4943_19960902", "missing_input", "kept"],
        ["TCGA_CS_4943_19960902", "missing_input", "kept"],
        ["TCGA_DU_4942_19960901", "missing_input", "kept"],
    ]
    assert cases.cleaning["detail"][2] == "t1ce is FLAIR number by number in all slices"
    assert "2 of 4 patients lack a sequence, in whose place the files repeat FLAIR" in caplog.text


def test_one_slice_that_differs_is_enough_for_a_sequence_to_be_there(tmp_path):
    root = make_lgg(tmp_path, patients=1, no_post=(0,))
    path = root / "TCGA_CS_4941_19960900" / "TCGA_CS_4941_19960900_3.tif"
    picture = np.asarray(Image.open(path)).copy()
    picture[5, 5, 2] += 1
    Image.fromarray(picture).save(path)
    assert {c.missing for c in load_lgg_mri(root, size=16)} == {()}


def test_flair_may_stay_where_it_stands_in(root):
    case = next(c for c in load_lgg_mri(root, size=16, repeated="keep") if c.group == "TCGA_DU_4942")
    assert case.missing == ()
    assert torch.equal(case.inputs["t1ce"], case.inputs["flair"])


def test_slices_all_with_a_tumour_or_every_other(root):
    count = lambda **options: len(load_lgg_mri(root, size=16, **options))  # noqa: E731
    assert (count(), count(slices="tumour"), count(slices=2), count(limit=1)) == (20, 12, 12, 5)
    healthy = load_lgg_mri(root, size=16, limit=1)[0]
    assert healthy.meta["class"] == "no tumour"
    assert healthy.regions == {}
    assert not healthy.truth.any()


def test_slices_are_in_the_order_of_their_numbers(tmp_path):
    root = make_lgg(tmp_path, patients=1, slices=11)
    assert [c.id.rpartition("_")[2] for c in load_lgg_mri(root, size=8)] == [str(k) for k in range(1, 12)]


def test_a_volume_is_its_slices_one_behind_the_other(root):
    flat = load_lgg_mri(root, size=16, limit=1)
    (volume,) = load_lgg_mri(root, size=(16, 16, 5), limit=1, volume=True)
    assert volume.id == "TCGA_CS_4941_19960900"
    assert volume.inputs["t1"].shape == (1, 16, 16, 5)
    assert volume.spacing is None
    assert torch.equal(volume.truth, torch.stack([c.truth for c in flat], -1))
    assert (volume.inputs["flair"] - torch.stack([c.inputs["flair"] for c in flat], -1)).abs().mean() < 0.03
    assert load_lgg_mri(root, size=8, limit=1, volume=True)[0].spatial == (8, 8, 5)
    assert load_lgg_mri(root, size=None, limit=3, volume=True)[1].missing == ("t1", "t1ce")
    assert load_lgg_mri(root, size=(8, 8, 3), limit=1, volume=True)[0].truth.shape == (8, 8, 3)


def test_slices_that_cannot_be_read_fail_alone_and_volumes_without_them(tmp_path):
    root = make_lgg(tmp_path, patients=3, corrupt=(1,), maskless=(0,))
    cases = load_lgg_mri(root, size=16)
    assert len(cases) == 13
    assert [id for id, _ in cases.failed] == ["TCGA_CS_4941_19960900_2", "TCGA_DU_4942_19960901_1"]
    assert "its mask TCGA_CS_4941_19960900_2_mask.tif is not there" in cases.failed[0][1]
    whole = load_lgg_mri(root, size=16, volume=True)
    assert [c.group for c in whole] == ["TCGA_CS_4943"]
    assert len(whole.failed) == 2


def test_a_mask_of_another_size_or_saved_with_greys_is_refused(tmp_path):
    root = make_lgg(tmp_path, patients=1, slices=3)
    folder = root / "TCGA_CS_4941_19960900"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"{folder.name}_1_mask.tif")
    greys = np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)
    Image.fromarray(greys).save(folder / f"{folder.name}_2_mask.tif")
    cases = load_lgg_mri(root, size=16)
    assert len(cases) == 1
    reasons = dict(cases.failed)
    assert "the mask is (8, 8), the slice is (32, 32)" in reasons[f"{folder.name}_1"]
    assert "the tumour's mask has 256 values" in reasons[f"{folder.name}_2"]


def test_an_archive_that_holds_the_folder_twice_is_read_once(tmp_path):
    root = make_lgg(tmp_path, patients=2)
    shutil.copytree(root, tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    assert len(load_lgg_mri(tmp_path, size=8)) == 10


def test_wrong_layouts_and_options_are_refused(tmp_path, root, caplog):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no slices \(TCGA_XX_XXXX_DATE_N.tif\); the LGG segmentation data are"):
        load_lgg_mri(tmp_path / "empty")
    assert len(load_lgg_mri(root.parent, size=8, limit=1)) == 5  # the folder that holds the folder
    bare = make_lgg(tmp_path / "bare", patients=1, table=False)
    assert "age" not in load_lgg_mri(bare, size=8)[0].meta
    assert "no data.csv: age and genomic clusters of the patients are unknown" in caplog.text
    (bare / "data.csv").write_text("Patient,gender\nTCGA_XX_0000,1\n", encoding="utf-8")
    load_lgg_mri(bare, size=8)
    assert "no line in data.csv for 1 of 1 patients" in caplog.text
    for options, message in (
        ({"slices": "some"}, "slices='some'; give 'all', 'tumour', or a number"),
        ({"slices": 0}, "slices=0"),
        ({"repeated": "drop"}, "repeated='drop'; give 'missing' or 'keep'"),
        ({"size": (8, 8, 8)}, "give one length"),
    ):
        with pytest.raises(UsageError, match=message):
            load_lgg_mri(root, **options)
    (bare / "data.csv").write_text("Name,age_at_initial_pathologic\nx,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column 'Patient'"):
        load_lgg_mri(bare)
