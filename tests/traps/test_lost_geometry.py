"""Trap lost_geometry: maps written with an identity affine, or in another orientation than the image."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from make_dicom import write_series
from pellucid.core.attribution import Attribution
from pellucid.core.geometry import Geometry
from pellucid.errors import UsageError
from pellucid.io import load_maps, read, save_maps

RNG = np.random.default_rng(9)


def oblique(letters="PIL", spacing=(0.6, 1.7, 3.1)):
    a, b = 0.3, -0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    base = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(letters)), (1, 1, 1))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ base @ np.diag(spacing), (-40, 25, 60)
    return affine


def attribution(case, m):
    return Attribution(
        maps={"image": m}, method="saliency", case_id=case.id, target={}, score=0.0, geometry=case.geometry,
        spacing=case.spacing, image_axes=3,
    )  # fmt: skip


@pytest.mark.parametrize("orientation", [None, "RAS", "LPS", "SAR"])
def test_a_map_lies_where_its_image_lies(tmp_path, orientation):
    """A marked voxel of the held array is found at the same millimetres of the patient in the written map."""
    nib.save(nib.Nifti1Image(RNG.normal(size=(5, 6, 7)).astype(np.float32), oblique()), tmp_path / "ct.nii.gz")
    source = nib.load(tmp_path / "ct.nii.gz")
    case = read(tmp_path / "ct.nii.gz", orientation=orientation).to_case(id="p")
    voxel = (1, 2, 3)
    m = torch.zeros_like(case.inputs["image"])
    m[(0, *voxel)] = 1.0
    [path] = save_maps(attribution(case, m), tmp_path / "map.nii.gz")
    back = nib.load(path)
    assert not np.allclose(back.affine, np.eye(4)), "the trap"
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-6)
    np.testing.assert_allclose(back.header.get_zooms(), source.header.get_zooms(), rtol=1e-6)
    assert back.shape == source.shape
    found = np.argwhere(back.get_fdata() == 1)
    assert len(found) == 1
    np.testing.assert_allclose(back.affine @ [*found[0], 1], case.affine @ [*voxel, 1], atol=1e-4)
    assert source.get_fdata(dtype=np.float32)[tuple(found[0])] == case.inputs["image"][(0, *voxel)].item()
    # The raw maps come back with the same way to the source's grid.
    kept = load_maps(save_maps(attribution(case, m), tmp_path / "map.npz")[0])
    np.testing.assert_array_equal(kept.geometry.restored(kept.maps["image"][0].numpy()), back.get_fdata())


def test_a_map_of_a_dicom_series_lies_on_it(tmp_path):
    turn = oblique("LPS", (1, 1, 1))[:3, :3]
    volume = RNG.integers(0, 100, size=(4, 5, 6)).astype(np.uint16)
    write_series(tmp_path / "s", volume, row=tuple(turn[:, 0]), column=tuple(turn[:, 1]), origin=(3, 4, 5), names=[2, 0, 3, 1])
    image = read(tmp_path / "s", orientation="RAS")
    case = image.to_case(id="p")
    back = nib.load(save_maps(attribution(case, case.inputs["image"]), tmp_path / "map.nii")[0])
    np.testing.assert_array_equal(back.get_fdata(), volume.transpose(2, 1, 0) - 1024.0)
    np.testing.assert_allclose(back.affine[:3, 3], (-3, -4, 5), atol=1e-5)


def test_without_a_place_no_file_pretends_to_have_one(tmp_path):
    a = Attribution(maps={"v": torch.ones(1, 3, 3, 3)}, method="m", case_id="p", target={}, score=0.0, image_axes=3)
    with pytest.raises(UsageError, match="it would lie nowhere"):
        save_maps(a, tmp_path / "map.nii.gz")


def test_the_case_refuses_a_geometry_of_another_grid():
    from pellucid.core.case import Case
    from pellucid.errors import InputError

    with pytest.raises(InputError, match="geometry is that of"):
        Case(id="p", inputs={"v": torch.ones(1, 3, 3, 3)}, geometry=Geometry(np.eye(4), (3, 3, 4)))


def test_a_label_map_of_equal_shape_lies_where_its_affine_says(tmp_path):
    from pellucid.aggregate.label_files import read_labels
    from pellucid.core.case import Case

    shape, affine = (7, 8, 6), oblique()
    labels = RNG.integers(0, 3, size=shape).astype(np.uint8)
    mirrored = affine @ np.diag([-1.0, 1, 1, 1])
    mirrored[:3, 3] += affine[:3, 0] * (shape[0] - 1)  # the same places, the first axis the other way: left-handed
    nib.save(nib.Nifti1Image(labels[::-1], mirrored), tmp_path / "labels.nii.gz")
    case = Case(id="p", inputs={"v": torch.ones(1, *shape)}, affine=affine)
    found = read_labels(tmp_path / "labels.nii.gz", case, names={1: "one", 2: "two"})
    for value, name in ((1, "one"), (2, "two")):
        np.testing.assert_array_equal(found.mask(name).numpy(), labels == value)
        assert (found.mask(name).numpy() != (labels[::-1] == value)).any()  # voxel by voxel it would be another
