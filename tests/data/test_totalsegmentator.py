"""TotalSegmentator in its published layout: classes, joins, grids, the cache, and what is said of bad input."""

from __future__ import annotations

import json
import logging
import re
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from make_volumes import STRUCTURES, make_totalsegmentator, write
from pellucid.core.attribution import Attribution
from pellucid.core.geometry import Geometry
from pellucid.core.resample import resampled
from pellucid.data import load_dataset, official_split
from pellucid.data.structures import AGG2EXP
from pellucid.data.structures import STRUCTURES as PUBLISHED
from pellucid.errors import InputError, UsageError
from pellucid.io import save_maps

CLASSES = {"classes": ["lungs", "heart", "liver"], "join": {"lungs": "lung_*"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_totalsegmentator(tmp_path_factory.mktemp("made"), n=4, size=16)


@pytest.fixture
def root(made, tmp_path):
    """Two scans that a test may spoil."""
    for name in ("s0000", "s0001"):
        shutil.copytree(made / name, tmp_path / "ts" / name)
    shutil.copy(made / "meta.csv", tmp_path / "ts")
    return tmp_path / "ts"


def load(root, **options):
    return load_dataset("totalsegmentator", root, **(CLASSES | options))


def spoil(root, name="ct", how=lambda a: a, *, affine=None, scan="s0000"):
    """Write a file of a scan anew: its values changed, or on another grid."""
    path = root / scan / (f"{name}.nii.gz" if name == "ct" else f"segmentations/{name}.nii.gz")
    image = nib.load(path)
    return write(how(np.asarray(image.dataobj).astype(np.float32)), image.affine if affine is None else affine, path)


def test_a_case_is_the_scan_with_its_classes(made):
    cases = load(made)
    assert cases.failed == []
    assert [c.id for c in cases] == [c.group for c in cases] == ["s0000", "s0001", "s0002", "s0003"]
    case, scan = cases[1], nib.load(made / "s0001" / "ct.nii.gz")
    np.testing.assert_allclose(case.inputs["ct"][0], np.clip((scan.get_fdata() + 1024) / 2048, 0, 1), atol=1e-6)
    masks = {p.name.split(".")[0]: nib.load(p).get_fdata() > 0 for p in (made / "s0001/segmentations").iterdir()}
    lungs = np.any([m for name, m in masks.items() if name.startswith("lung_")], axis=0)
    for label, mask in enumerate((lungs, masks["heart"], masks["liver"]), 1):
        assert mask.sum() > 10
        np.testing.assert_array_equal(case.truth == label, mask)
    assert torch.equal(case.truth, case.regions["organs"])
    assert case.truth.dtype == torch.int16
    assert case.spacing == (1.5, 1.5, 1.5)
    assert {k: case.meta[k] for k in ("age", "sex", "part", "institute", "group_is")} == {
        "age": 37.0, "sex": "male", "part": "train", "institute": "B", "group_is": "scan",
    }  # fmt: skip
    assert case.meta["window"] == pytest.approx((24 / 2048, 1424 / 2048))


def test_windows_of_hu_and_the_published_split(made):
    raw, narrow = load(made, hu=None, limit=1)[0], load(made, hu=(-100, 300), limit=1)[0]
    scan = nib.load(made / "s0000" / "ct.nii.gz").get_fdata()
    np.testing.assert_array_equal(raw.inputs["ct"][0], scan.astype(np.float32))
    assert raw.meta["window"] == (-1000.0, 400.0)
    np.testing.assert_allclose(narrow.inputs["ct"][0], np.clip((scan + 100) / 400, 0, 1), atol=1e-6)
    assert [c.id for c in load(made, split="train")] == ["s0000", "s0001"]
    assert [c.id for c in load(made, split=["val", "test"], ids=["s0003", "s0000"])] == ["s0003"]
    assert [[c.id for c in side] for side in official_split(load(made))] == [["s0000", "s0001"], ["s0002"], ["s0003"]]


def test_the_classes_of_agg2exp_are_those_of_its_table(shared_data):
    header = (shared_data / "agg2exp" / "tsv2_test_aggregated_sg_explanations_with_dice.csv").open().readline()
    named = [c.removesuffix("_dice") for c in header.strip().split(",") if c.endswith("_dice")]
    assert ["background", *AGG2EXP] == named
    labels = json.loads((shared_data / "ct_totalsegmentator" / "labels_total.json").read_text())
    assert list(labels.values()) == list(PUBLISHED)


def test_a_preset_takes_the_structures_that_the_data_have(made, tmp_path):
    shutil.copytree(made / "s0000", tmp_path / "s0000")
    for name in PUBLISHED:
        path = tmp_path / "s0000" / "segmentations" / f"{name}.nii.gz"
        if not path.exists():
            shutil.copy(tmp_path / "s0000" / "segmentations" / "trachea.nii.gz", path)  # an empty one
    (case,) = load_dataset("totalsegmentator", tmp_path)
    spine = [list(AGG2EXP).index("vertebraes") + 1, list(AGG2EXP).index("aorta") + 1]
    assert set(spine) < set(case.truth.unique().tolist())
    (case,) = load_dataset("totalsegmentator", tmp_path, classes="all")
    assert case.truth.max() == PUBLISHED.index("aorta") + 1


@pytest.mark.parametrize("spacing", [None, 9.0, (8.0, 20.0, 12.0)])
def test_an_oblique_left_handed_anisotropic_scan_on_any_grid(tmp_path, spacing):
    """Each voxel's HU and label are those at its millimetres in the file, and a map goes back to that place."""
    root = make_totalsegmentator(tmp_path, n=1, size=24, grid="oblique")
    mirrored = np.diag([1.0, 1.0, -1.0, 1.0])
    for path in (root / "s0000").rglob("*.gz"):  # stored upside down: left-handed
        image = nib.load(path)
        affine = image.affine @ mirrored
        affine[:3, 3] = (image.affine @ [0, 0, image.shape[2] - 1, 1])[:3]
        write(np.asarray(image.dataobj)[..., ::-1], affine, path)
    (case,) = load(root, spacing=spacing, hu=None)
    scan = nib.load(root / "s0000/ct.nii.gz")
    heart = nib.load(root / "s0000/segmentations/heart.nii.gz")
    assert np.linalg.det(scan.affine) < 0
    assert case.geometry.orientation == "RAS"
    if spacing is not None:
        assert case.spacing == pytest.approx(spacing if isinstance(spacing, tuple) else (spacing,) * 3)
    here = {"to_affine": case.affine, "to_shape": case.spatial}
    hu = resampled(scan.get_fdata(), affine=scan.affine, labels=False, **here)
    np.testing.assert_allclose(case.inputs["ct"][0], hu, atol=0.05)
    mask = resampled(np.asarray(heart.dataobj), affine=heart.affine, labels=True, **here) > 0
    assert ((case.truth == 2).numpy() != mask).mean() < 1e-3
    # The middle of the heart, marked in a map, is in the middle of the heart of the scan's file.
    middle = np.argwhere(case.truth.numpy() == 2).mean(0).round().astype(int)
    m = torch.zeros(1, *case.spatial)
    m[0, middle[0] - 1 : middle[0] + 2, middle[1] - 1 : middle[1] + 2, middle[2] - 1 : middle[2] + 2] = 1
    a = Attribution(
        maps={"ct": m}, method="saliency", case_id=case.id, target={}, score=0.0, geometry=case.geometry,
        spacing=case.spacing, image_axes=3,
    )  # fmt: skip
    (path,) = save_maps(a, tmp_path / "map.nii.gz")
    back = nib.load(path)
    assert back.shape == scan.shape
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-5)
    weight = back.get_fdata()
    centre = np.array([np.average(axis, weights=weight) for axis in np.indices(weight.shape)])
    apart = np.linalg.norm((back.affine @ [*centre, 1] - case.affine @ [*middle, 1])[:3])
    assert apart < 0.2 * max(*back.header.get_zooms(), *case.spacing)
    assert heart.get_fdata()[tuple(centre.round().astype(int))] == 1


def test_cropped_to_the_body_and_back(tmp_path):
    root = make_totalsegmentator(tmp_path, n=1, size=24, grid="oblique")
    for path in (root / "s0000").rglob("*.gz"):
        image = nib.load(path)
        wide = np.pad(np.asarray(image.dataobj), ((9, 12), (8, 0), (0, 0)), constant_values=-1024 * ("ct" in path.name))
        write(wide, Geometry(image.affine, image.shape).cropped((-9, -8, 0), wide.shape).affine, path)
    whole, case = load(root, spacing=None, hu=None)[0], load(root, spacing=None, hu=None, crop="body")[0]
    assert case.spatial < whole.spatial
    assert case.inputs["ct"].numel() < 0.8 * whole.inputs["ct"].numel()
    np.testing.assert_array_equal((case.truth > 0).sum(), (whole.truth > 0).sum())
    back = case.geometry.restored(case.inputs["ct"][0].numpy(), background=-1024)
    source = np.asarray(nib.load(root / "s0000/ct.nii.gz").dataobj)
    np.testing.assert_array_equal(back[back > -1024], source[back > -1024])
    assert (source[back == -1024] < -500).mean() > 0.99


def test_the_cache_is_read_and_follows_files_and_options(root, tmp_path, monkeypatch, caplog):
    cache = tmp_path / "kept"
    first = load(root, cache=cache)
    files = sorted(cache.iterdir())
    assert [f.name.split("-")[0] for f in files] == ["s0000", "s0001"]
    assert not [f for f in files if f.name.startswith(".")]
    load(root, cache="kept")
    assert sorted(f.name for f in (root / "kept").iterdir()) == [f.name for f in files]
    plain = load(root)
    from pellucid.data.ct_volume import Preparation

    def never(*_):
        raise AssertionError("the scan was read again")

    with monkeypatch.context() as patch:
        patch.setattr(Preparation, "scan", never)
        again = load(root, cache=cache)
        with pytest.raises(AssertionError):
            load(root, cache=cache, hu=(-100, 300))
    for a, b, c in zip(first, again, plain):
        assert torch.equal(a.inputs["ct"], b.inputs["ct"])
        assert torch.equal(b.inputs["ct"], c.inputs["ct"])
        assert torch.equal(b.truth, c.truth)
        np.testing.assert_array_equal(b.geometry.source_affine, c.geometry.source_affine)
        assert b.meta == c.meta
    spoil(root, how=lambda a: a + 10)
    assert not torch.equal(load(root, cache=cache)[0].inputs["ct"], plain[0].inputs["ct"])
    for f in cache.iterdir():
        f.write_bytes(f.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        mended = load(root, cache=cache)
    assert "cannot be read" in caplog.text
    assert torch.equal(mended[1].inputs["ct"], plain[1].inputs["ct"])


BAD = {
    "a series": (
        lambda r: spoil(r, how=lambda a: np.stack([a, a], -1)),
        r"has 4 axes \(16, 12, 8, 2\); pick one volume .* or save it as a file of its own",
    ),
    "not a number": (
        lambda r: spoil(r, how=lambda a: np.where(a > 100, np.nan, a)),
        r"ct\.nii\.gz: \d+ of its 1536 values are NaN or infinite; correct the file, or set nan",
    ),
    "nothing in it": (lambda r: spoil(r, how=np.zeros_like), "every voxel is 0: the scan is empty"),
    "damaged": (lambda r: (r / "s0000/ct.nii.gz").write_bytes(b"no scan"), r"ct\.nii\.gz: cannot be read as NIfTI"),
    "no scan": (lambda r: (r / "s0000/ct.nii.gz").unlink(), "has no ct.nii.gz; fetch it again"),
    "no masks": (lambda r: shutil.rmtree(r / "s0000/segmentations"), "has no folder segmentations; .* masks: none"),
    "empty folder of masks": (
        lambda r: [p.unlink() for p in (r / "s0000/segmentations").iterdir()],
        r"has no mask of any of the 3 classes \(the first would be lung_lower_lobe_left\.nii\.gz\)",
    ),
    "a mask of another size": (
        lambda r: spoil(r, "heart", how=lambda a: a[:, :, 1:]),
        r"heart\.nii\.gz: the mask is \(16, 12, 7\), the scan \(16, 12, 8\) .* or set resample_masks: true",
    ),
    "a mask elsewhere": (
        lambda r: spoil(r, "heart", affine=np.diag([1.5, 1.5, 1.5, 1.0])),
        r"heart\.nii\.gz: the mask lies [\d.]+ mm from where the scan is .* or set resample_masks: true",
    ),
    "a series of masks": (
        lambda r: spoil(r, "heart", how=lambda a: np.stack([a, a], -1)),
        "the mask has the axes .* save one of them",
    ),
    "a mask with several values": (
        lambda r: spoil(r, "heart", how=lambda a: a * 2 + np.arange(8) % 2),
        "the mask has values from 0 to 3; that of one structure has 0 and another",
    ),
    "a soft mask": (lambda r: spoil(r, "heart", how=lambda a: a * 0.5), "the mask has values that are not whole"),
}


@pytest.mark.parametrize("fault", BAD)
def test_one_bad_scan_is_said_and_the_other_goes_on(root, fault):
    do, said = BAD[fault]
    do(root)
    cases = load(root)
    assert [c.id for c in cases] == ["s0001"]
    ((id, reason),) = cases.failed
    assert id == "s0000"
    assert re.search(said, reason)


def test_what_can_be_mended_by_an_option(root):
    plain = load(root, hu=None)
    spoil(root, how=lambda a: np.where(a > 100, np.inf, a))
    filled = load(root, hu=None, nan=-1000)[0].inputs["ct"]
    assert (filled[plain[0].inputs["ct"] > 100] == -1000).all()
    shutil.rmtree(root / "s0000/segmentations")
    without = load(root, masks="none", nan=0)
    assert [c.truth for c in without] == [None, None]
    assert not without[0].regions
    mask = nib.load(root / "s0001/segmentations/heart.nii.gz")
    fine = Geometry(mask.affine, mask.shape).respaced(0.75)
    array = resampled(
        np.asarray(mask.dataobj), affine=mask.affine, to_affine=fine.affine, to_shape=fine.shape, labels=True
    )
    write(array, fine.affine, root / "s0001/segmentations/heart.nii.gz")
    (case,) = load(root, ids=["s0001"], hu=None, resample_masks=True)
    assert torch.equal(case.truth, plain[1].truth)
    spoil(root, "heart", scan="s0001", affine=np.diag([1.5, 1.5, 1.5, 1.0]) + np.eye(4, k=3) * 900)
    with pytest.raises(InputError, match="all of the mask is outside of the scan"):
        load(root, ids=["s0001"], resample_masks=True)


def test_what_is_counted_and_said_once(root, caplog):
    (root / "s0000/segmentations/lung_upper_lobe_left.nii.gz").unlink()
    heart = np.asarray(nib.load(root / "s0001/segmentations/heart.nii.gz").dataobj)
    spoil(root, "liver", how=lambda a: np.maximum(a, heart), scan="s0001")
    spoil(root, how=lambda a: a + 1024, scan="s0001")
    table = pd.read_csv(root / "meta.csv", sep=";", encoding="utf-8-sig").iloc[:1]
    table.loc[0, "age"] = 212
    table.to_csv(root / "meta.csv", sep=";", index=False)
    with caplog.at_level(logging.WARNING):
        cases = load(root)
    said = caplog.text
    assert "class 'lungs': 1 of 2 scans have no mask of lung_upper_lobe_left: there it counts as background" in said
    assert f"{int(heart.sum())} voxels of 1 of 2 scans are in masks of two classes: the later class has them" in said
    assert (cases[1].truth.numpy()[heart > 0] == 3).all()
    assert "1 of 2 scans have no value below 0" in said
    assert "no line for 1 of 2 scans: their part, age and sex are unknown" in said
    assert "the age of 1 of 2 scans is below 0, above 120 or no number: it is left out" in said
    assert "age" not in cases[0].meta
    assert cases[0].meta["sex"] == "female"
    assert "part" not in cases[1].meta
    caplog.clear()
    (root / "meta.csv").unlink()
    with caplog.at_level(logging.WARNING):
        load(root, classes=["trachea"], join=None)
    assert "meta.csv: not there: no published split, no age, no sex of any scan" in caplog.text
    assert "2 of 2 scans show none of the classes: their truth is background throughout" in caplog.text


WRONG = {
    "no such class": ({"classes": ["hart"], "join": None}, UsageError, "no structure 'hart'; did you mean 'heart'"),
    "no such preset": ({"classes": "organs", "join": None}, UsageError, "give 'agg2exp' or 'all', or a list"),
    "no classes": ({"classes": ["background"], "join": None}, UsageError, "no classes"),
    "a class twice": ({"classes": ["heart", "heart"], "join": None}, UsageError, "'heart' is named twice"),
    "a structure twice": ({"classes": ["lungs", "lung_upper_lobe_left"]}, UsageError, "is in the classes 'lungs' and"),
    "a join of no class": ({"classes": ["heart"]}, UsageError, "join has 'lungs', which is no class"),
    "a class of no scan": ({"classes": ["brain"], "join": None}, InputError, "no scan has a mask of the class 'brain'"),
    "an id twice": ({"ids": ["s0000", "s0000"]}, InputError, "'s0000' is named 2 times in ids"),
    "no such id": ({"ids": ["s0009"]}, InputError, "no scan 's0009'"),
    "ids as text": ({"ids": "s0000"}, UsageError, "is one name; give a list"),
    "no such part": ({"split": "trian"}, InputError, "no scan is of the part 'trian'; did you mean 'train'"),
    "part without scans": ({"split": "test"}, InputError, "none of the scans is of the part test"),
    "window upside down": ({"hu": (300, -100)}, UsageError, "give the lower and the upper end"),
    "no spacing": ({"spacing": 0}, UsageError, "give a positive number of millimetres"),
    "no orientation": ({"orientation": "RAX"}, UsageError, "one letter of each pair"),
    "no crop": ({"crop": "head"}, UsageError, "give 'body'"),
    "no filling": ({"nan": float("nan")}, UsageError, "give a finite value in HU"),
    "masks": ({"masks": "some"}, UsageError, "give 'required' or 'none'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_options_that_cannot_be(root, what):
    options, error, said = WRONG[what]
    with pytest.raises(error, match=said):
        load(root, **options)


def test_layouts_that_cannot_be(root, tmp_path):
    with pytest.raises(InputError, match=r"no such folder; the layout is ROOT/s0000/ct\.nii\.gz"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no folder in it has a ct\.nii\.gz; .* found an empty folder"):
        load(tmp_path / "empty")
    outer = tmp_path / "outer"
    outer.mkdir()
    root.rename(outer / "Totalsegmentator_dataset_v201")
    root = outer / "Totalsegmentator_dataset_v201"
    assert len(load(outer)) == 2
    table = (root / "meta.csv").read_text(encoding="utf-8-sig")
    (root / "meta.csv").write_text(table + table.splitlines()[1] + "\n")
    with pytest.raises(InputError, match="image_id 's0000' occurs twice"):
        load(root)
    (root / "meta.csv").write_text(table.replace("image_id", "scan"))
    with pytest.raises(InputError, match="no column 'image_id'"):
        load(root)
    (root / "meta.csv").unlink()
    with pytest.raises(InputError, match="not there, and it says which scans are 'train'"):
        load(root, split="train")


def test_the_miniature_has_structures_of_the_published_data():
    assert set(STRUCTURES) < set(PUBLISHED)
