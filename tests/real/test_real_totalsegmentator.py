"""A real CT with TotalSegmentator's own masks, brought into the published layout, loaded, and written back."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from make_volumes import write
from pellucid.core.attribution import Attribution
from pellucid.data import load_dataset
from pellucid.io import save_maps

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def root(shared_data, tmp_path_factory):
    """The CT and the 41 organs that are in it, in the layout of version 2; the others' masks are empty."""
    folder, root = shared_data / "ct_totalsegmentator", tmp_path_factory.mktemp("ts")
    scan, seg = (nib.load(folder / f"{name}.nii.gz") for name in ("example_ct_sm", "example_seg"))
    labels = np.asarray(seg.dataobj)
    write(np.asarray(scan.dataobj), scan.affine, root / "s0000/ct.nii.gz")
    for number, name in json.loads((folder / "labels_total.json").read_text()).items():
        write(labels == int(number), seg.affine, root / f"s0000/segmentations/{name}.nii.gz")
    (root / "meta.csv").write_text("image_id;age;gender;institute;study_type;split\ns0000;58;m;A;ct;test\n")
    return root


def test_all_117_and_the_sixteen_of_agg2exp(root, shared_data):
    seg = nib.load(shared_data / "ct_totalsegmentator/example_seg.nii.gz")
    (every,) = load_dataset("totalsegmentator", root, classes="all", spacing=None)
    np.testing.assert_array_equal(every.truth, np.asarray(seg.dataobj))
    np.testing.assert_allclose(every.affine, seg.affine, atol=1e-4)
    (case,) = load_dataset("totalsegmentator", root, spacing=None, hu=None)
    counts = np.bincount(case.truth.numpy().ravel(), minlength=17)
    labels = np.asarray(seg.dataobj)
    assert counts[11] == ((labels >= 92) & (labels <= 115)).sum() > 0  # ribs
    assert counts[12] == ((labels >= 26) & (labels <= 50)).sum() > 0  # vertebrae
    assert counts[8] == (labels == 51).sum()  # heart
    lungs = case.inputs["ct"][0][(case.truth >= 2) & (case.truth <= 6)]
    assert -900 < float(lungs.mean()) < -600
    assert 100 < float(case.inputs["ct"][0][case.truth == 12].mean()) < 300


def test_at_15_mm_and_a_landmark_back_on_the_scan(root, tmp_path):
    classes = {"classes": ["lungs", "heart", "aorta", "spine"], "join": {"lungs": "lung_*", "spine": "vertebrae_*"}}
    (case,) = load_dataset("totalsegmentator", root, spacing=1.5, **classes)
    (stored,) = load_dataset("totalsegmentator", root, spacing=None, **classes)
    assert case.spatial == tuple(2 * n for n in stored.spatial)
    assert case.spacing == pytest.approx((1.5, 1.5, 1.5))
    for label in stored.truth.unique().tolist():  # the volume of each organ is kept
        small, large = int((stored.truth == label).sum()), int((case.truth == label).sum())
        assert large == pytest.approx(8 * small, rel=0.01)
    m = (case.truth == 4).float()[None]  # a map that is 1 in the vertebrae
    a = Attribution(
        maps={"ct": m}, method="saliency", case_id=case.id, target={}, score=0.0, geometry=case.geometry,
        spacing=case.spacing, image_axes=3,
    )  # fmt: skip
    back = nib.load(save_maps(a, tmp_path / "map.nii.gz")[0])
    scan = nib.load(root / "s0000/ct.nii.gz")
    assert back.shape == scan.shape
    assert nib.aff2axcodes(back.affine) == nib.aff2axcodes(scan.affine)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-5)
    there = torch.from_numpy(back.get_fdata() > 0.5)
    assert torch.equal(there, stored.truth == 4)


def test_a_dicom_series_with_a_label_map_in_a_table(shared_data, tmp_path):
    """A line of a manifest may name a folder with a series; its labels are in a NIfTI file, stored otherwise."""
    (tmp_path / "s").symlink_to(shared_data / "ct_totalsegmentator")
    (tmp_path / "cases.csv").write_text("ct,organs\ns/example_ct_dicom,s/example_seg_dicom.nii.gz\n")
    (case,) = load_dataset(
        "manifest", tmp_path, csv="cases.csv", inputs={"ct": "ct"}, truth_mask="organs", orientation="RAS", spacing=4.0,
        window=(-200, 600),
    )  # fmt: skip
    assert case.spacing == pytest.approx((4.0, 4.0, 4.0))
    hu = case.inputs["ct"][0] * 800 - 200
    assert 60 < float(hu[case.truth == 5].mean()) < 130, "liver"
    assert float(hu[case.truth == 52].mean()) > 150, "aorta, full of contrast"
    assert case.meta["window"] == pytest.approx(((-110 + 200) / 800, (189 + 200) / 800))
    assert case.geometry.restored(case.truth.numpy()).shape == (512, 512, 20)
