"""A CT of one's own with a label map: by a manifest or a folder, on one grid, and never where it does not lie."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from grids import oblique
from make_volumes import write
from pellucid.core.geometry import Geometry
from pellucid.data.folder import load_folder
from pellucid.data.manifest import load_manifest
from pellucid.errors import UsageError
from pellucid.io import write_table

AFFINE = oblique("LPS", (2.0, 2.0, 5.0), 0.2, (30, 20, -10))
RNG = np.random.default_rng(5)
CT = RNG.integers(-1000, 1000, (8, 9, 6)).astype(np.int16)
LABELS = np.zeros((8, 9, 6), np.uint8)
LABELS[1:4, 2:7, 1:5], LABELS[5:7, 2:7, 1:5] = 1, 2


def study(root, labels=LABELS, affine=AFFINE):
    """One case, its label map stored as given."""
    write(CT, AFFINE, root / "ct/p1.nii.gz")
    write(labels, affine, root / "organs/p1.nii.gz")
    write_table(pd.DataFrame({"ct": ["ct/p1.nii.gz"], "labels": ["organs/p1.nii.gz"]}), root / "cases.csv")
    return root


def load(root, **options):
    return load_manifest(root, csv="cases.csv", inputs={"ct": "ct"}, truth_mask="labels", **options)


@pytest.mark.parametrize("orientation", [None, "RAS"])
def test_a_label_map_stored_another_way_round_lies_on_its_scan(tmp_path, orientation):
    turned, grid = Geometry(AFFINE, LABELS.shape).reoriented(LABELS, "SAR")
    plain = load(study(tmp_path / "a"), orientation=orientation)[0]
    other = load(study(tmp_path / "b", turned, grid.affine), orientation=orientation)[0]
    assert torch.equal(plain.truth, other.truth)
    if orientation is None:
        np.testing.assert_array_equal(plain.truth, LABELS)
    for label in (1, 2):
        there = plain.geometry.restored((plain.truth == label).numpy())
        np.testing.assert_array_equal(there, label == LABELS)
    folder = load_folder(tmp_path / "b", images="ct", masks={"organs": "organs"}, orientation=orientation)[0]
    assert torch.equal(folder.regions["organs"], plain.truth)


def test_one_spacing_and_a_window_for_all(tmp_path):
    case = load(study(tmp_path), orientation="RAS", spacing=1.25, window=(-1000, 1000))[0]
    assert case.spacing == pytest.approx((1.25, 1.25, 1.25))
    assert case.spatial == (13, 14, 24) == tuple(case.truth.shape)
    assert float(case.inputs["ct"].min()) >= 0
    assert float(case.inputs["ct"].max()) <= 1
    assert case.truth.unique().tolist() == [0, 1, 2]
    back = case.geometry.restored(case.truth.numpy())
    assert back.shape == LABELS.shape
    assert 2 * ((back == LABELS) & (LABELS > 0)).sum() / ((back > 0).sum() + (LABELS > 0).sum()) > 0.95
    with pytest.raises(UsageError, match="give size or spacing, not both"):
        load(tmp_path, spacing=2, size=8)
    with pytest.raises(UsageError, match="give the lower and the upper end, in the units of the picture"):
        load(tmp_path, window=(5, 5))


def test_a_label_map_that_lies_elsewhere_is_refused(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 4
    cases = two_scans(tmp_path, moved)
    assert [c.id for c in cases] == ["p2"]
    ((id, reason),) = cases.failed
    assert id == "p1"
    assert "p1.nii.gz: the mask lies 4 mm from where the volume is; resample it" in reason


def two_scans(root, affine):
    """The case with its label map on another affine, and one as it should be."""
    study(root, affine=affine)
    write(CT, AFFINE, root / "ct/p2.nii.gz")
    write(LABELS, AFFINE, root / "organs/p2.nii.gz")
    files = [f"p{k}.nii.gz" for k in (1, 2)]
    write_table(pd.DataFrame({k: [f"{v}/{f}" for f in files] for k, v in (("ct", "ct"), ("labels", "organs"))}), root / "cases.csv")
    return load(root)


def test_a_mask_without_a_place_goes_with_a_scan_as_it_is_stored_alone(tmp_path):
    root = study(tmp_path)
    np.save(root / "labels.npy", LABELS)
    write_table(pd.DataFrame({"ct": ["ct/p1.nii.gz"] * 2, "labels": ["labels.npy", "organs/p1.nii.gz"], "id": ["a", "b"]}), root / "cases.csv")
    np.testing.assert_array_equal(load(root, id="id")[0].truth, LABELS)
    cases = load(root, id="id", orientation="RAS")
    assert [c.id for c in cases] == ["b"]
    assert "has no place in the patient, and its volume was turned from LPS to RAS; save the mask as NIfTI" in (
        cases.failed[0][1]
    )


def test_spacing_has_no_meaning_without_a_place(tmp_path):
    np.save(tmp_path / "a.npy", CT.astype(np.float32))
    write(CT, AFFINE, tmp_path / "b.nii.gz")
    write_table(pd.DataFrame({"file": ["a.npy", "b.nii.gz"]}), tmp_path / "cases.csv")
    cases = load_manifest(tmp_path, csv="cases.csv", spacing=3)
    assert [c.id for c in cases] == ["b"]
    assert "has no place in the patient, so spacing=3 has no meaning; leave it out" in cases.failed[0][1]
