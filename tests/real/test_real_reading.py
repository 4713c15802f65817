"""Real files: a CT as DICOM and as NIfTI, X-rays, dermoscopy, MR, and the odd ones."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from pellucid.data.folder import load_folder
from pellucid.data.manifest import load_manifest
from pellucid.errors import InputError
from pellucid.io import read, write_nifti

pytestmark = pytest.mark.real


def test_ct_as_dicom_and_as_nifti_is_one_grid(shared_data):
    folder = shared_data / "ct_totalsegmentator"
    ct = read(folder / "example_ct_dicom", orientation="RAS")
    seg = read(folder / "example_seg_dicom.nii.gz", orientation="RAS")
    assert ct.array.shape == seg.array.shape == (1, 512, 512, 20)
    np.testing.assert_allclose(ct.geometry.affine, seg.geometry.affine, atol=1e-3)
    np.testing.assert_allclose(ct.spacing, (0.9765625, 0.9765625, 2.0), atol=1e-4)
    assert ct.window == (-110.0, 189.0)
    names = {v: int(k) for k, v in json.loads((folder / "labels_total.json").read_text()).items()}
    mean = {n: float(ct.array[seg.array == i].mean()) for n, i in names.items() if (seg.array == i).sum() > 1000}
    # Contrast-enhanced: the aorta is bright, soft organs lie between 0 and 150 HU, bone above.
    assert 60 < mean["liver"] < 130
    assert 50 < mean["spleen"] < 130
    assert mean["aorta"] > 150
    assert mean["vertebrae_T12"] > 200
    assert -10 < mean["spinal_cord"] < 60
    assert ct.array.min() >= -1024


def test_small_ct_by_organ(shared_data):
    folder = shared_data / "ct_totalsegmentator"
    ct, seg = read(folder / "example_ct_sm.nii.gz"), read(folder / "example_seg.nii.gz")
    np.testing.assert_allclose(ct.geometry.affine, seg.geometry.affine, atol=1e-6)
    names = {v: int(k) for k, v in json.loads((folder / "labels_total.json").read_text()).items()}
    hu = lambda name: float(ct.array[seg.array == names[name]].mean())  # noqa: E731
    assert hu("liver") == pytest.approx(45, abs=15)
    lungs = np.isin(seg.array, [i for n, i in names.items() if n.startswith("lung_")])
    assert float(ct.array[lungs].mean()) == pytest.approx(-740, abs=60)


READ = {
    "CT_small.dcm": (1, 128, 128), "ExplVR_BigEnd.dcm": (3, 60, 80), "JPEG2000.dcm": (1, 1024, 256),
    "MR_small.dcm": (1, 64, 64), "MR_small_RLE.dcm": (1, 64, 64), "examples_overlay.dcm": (1, 300, 484),
    "examples_ybr_color.dcm": (3, 30, 240, 320), "highdicom_ct_image.dcm": (1, 128, 128),
    "highdicom_dx_image.dcm": (1, 169, 211), "highdicom_seg_image_ct_binary.dcm": (1, 16, 16, 3),
    "highdicom_seg_image_ct_binary_fractional.dcm": (1, 16, 16, 3),
    "highdicom_seg_image_ct_binary_overlap.dcm": (2, 16, 16, 165),
    "highdicom_seg_image_ct_binary_single_frame.dcm": (1, 128, 128, 1),
    "highdicom_seg_image_ct_true_fractional.dcm": (1, 16, 16, 3),
}  # fmt: skip
REFUSED = {
    "MR_truncated.dcm": "shorter than the header says", "no_meta.dcm": "is not DICOM, or its header is damaged",
    "rtstruct.dcm": "RTSTRUCT: contours, not a picture", "test-SR.dcm": "SR: a report, not a picture",
}  # fmt: skip


def test_every_dicom_file_is_read_or_refused(shared_data):
    files = {p.name for p in (shared_data / "dicom").glob("*.dcm")}
    assert files == set(READ) | set(REFUSED)
    for name, shape in READ.items():
        image = read(shared_data / "dicom" / name)
        assert image.array.shape == shape, name
        assert np.isfinite(image.array).all(), name
        assert image.array.std() > 0, name
    for name, message in REFUSED.items():
        with pytest.raises(InputError, match=message) as caught:
            read(shared_data / "dicom" / name)
        assert name in str(caught.value)


def test_values_of_the_dicom_files(shared_data):
    folder = shared_data / "dicom"
    ct = read(folder / "CT_small.dcm")
    assert (ct.array.min(), ct.array.max()) == (-896, 1167)
    np.testing.assert_array_equal(read(folder / "MR_small.dcm").array, read(folder / "MR_small_RLE.dcm").array)
    assert read(folder / "MR_small.dcm").window == (-200.0, 1399.0)
    dx = read(folder / "highdicom_dx_image.dcm")
    assert dx.meta["mirrored"]
    assert (dx.array.min(), dx.array.max()) == (0, 250)  # stored 5 … 255
    film = read(folder / "examples_ybr_color.dcm")
    assert film.meta["axes"] == "frame row column"
    seg = read(folder / "highdicom_seg_image_ct_binary_single_frame.dcm")
    same = read(folder / "highdicom_ct_image.dcm")
    assert seg.spatial[:2] == same.spatial[::-1]
    assert read(folder / "highdicom_seg_image_ct_true_fractional.dcm").array.max() == pytest.approx(128 / 255)
    overlap = read(folder / "highdicom_seg_image_ct_binary_overlap.dcm")
    assert overlap.meta["segments"] == ["first segment", "second segment"]


def test_chest_cr(shared_data):
    [file] = (shared_data / "chestxray_txv_tests").glob("*.dcm")
    cr = read(file)
    assert cr.array.shape == (1, 1024, 1024)
    assert cr.spacing == (0.168, 0.168)
    assert (cr.meta["modality"], cr.meta["view"], cr.meta["body_part"]) == ("CR", "PA", "CHEST")
    # Bone and mediastinum are bright, lungs and air dark: the middle column is brighter than the lungs beside it.
    rows = slice(300, 700)
    assert cr.array[0, rows, 480:560].mean() > cr.array[0, rows, 250:380].mean() + 20


def test_dermoscopy_with_masks(shared_data):
    cases = load_folder(shared_data / "dermoscopy_ham10000_NC", images="images", masks={"lesion": "masks"}, size=(150, 200))
    assert len(cases) == 5
    assert cases.failed == []
    for case in cases:
        image, lesion = case.inputs["image"], case.regions["lesion"]
        assert tuple(image.shape) == (3, 150, 200)
        assert 0.05 < float(lesion.float().mean()) < 0.7
        assert image[:, lesion].mean() < image[:, ~lesion].mean(), "a lesion is darker than the skin"


def test_t1_keeps_its_grid_through_ras(shared_data, tmp_path):
    file = shared_data / "mri_brainchop" / "t1_crop.nii.gz"
    image = read(file, orientation="RAS")
    assert image.geometry.orientation == "RAS"
    back = nib.load(write_nifti(image.array[0], image.geometry, tmp_path / "back.nii"))
    source = nib.load(file)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(back.dataobj), source.get_fdata(dtype=np.float32))


def test_chest_manifests(shared_data):
    root = shared_data / "chestxray_nih"
    cases = load_manifest(
        root, csv="labels_224.csv", images="images_224.zip", label="pneumonia", classes=["no finding", "pneumonia"],
        group="patient_id", meta=["age", "sex", "view"], size=128, channels=1,
    )  # fmt: skip
    assert len(cases) == 767
    assert cases.failed == []
    assert tuple(cases[0].inputs["image"].shape) == (1, 128, 128)
    assert {c.truth for c in cases} == {0, 1}
    assert dict(cases[0].meta) == {"age": 77, "sex": "M", "view": "AP"}
    assert cases[0].group == cases[1].group == "61"
    boxed = load_manifest(
        root, csv="boxed_images.csv", images="boxed_1024", label="folder_class", classes=["No Finding", "Pneumonia"],
        group="patient_id", meta=["age", "sex", "view"], boxes="boxes.csv", size=128,
        box_sources={"NIH BBox_List_2017": "nih", "RSNA 2018 stage 2": "rsna"}, select={"folder_class": "Pneumonia"},
    )  # fmt: skip
    assert len(boxed) == 38
    assert all("boxes" in c.regions for c in boxed)
    assert {r for c in boxed for r in c.regions} == {"boxes", "nih", "rsna"}
    # 00000150_002: x 601.4, y 595.98, w 215.64, h 180.96 of 1024.
    region = boxed[0].regions["nih"]
    assert float(region.float().mean()) == pytest.approx(215.64 * 180.96 / 1024**2, rel=0.05)
    rows, columns = region.nonzero().double().mean(0).tolist()
    assert (rows + 0.5) * 8 == pytest.approx(595.98 + 180.96 / 2, abs=8)
    assert (columns + 0.5) * 8 == pytest.approx(601.4 + 215.64 / 2, abs=8)
