"""NIfTI in and out, against nibabel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io import read, read_nifti, write_nifti

RNG = np.random.default_rng(3)
CODES = [a + b + c for a in "RL" for b in "AP" for c in "SI"] + ["SPL", "IAR", "PIL", "ASR"]


def affine_of(letters, *, angle=0.0, spacing=(0.7, 1.3, 2.9), origin=(-31.0, 12.5, 7.0)):
    base = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(letters)), (1, 1, 1))[:3, :3]
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle / 2), -np.sin(angle / 2)], [0, np.sin(angle / 2), np.cos(angle / 2)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ base @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def saved(path, array, affine, **header):
    image = nib.Nifti1Image(array, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(letters=st.sampled_from(CODES), angle=st.floats(-0.5, 0.5), turned=st.booleans(), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_oblique_anisotropic_permuted_round_trip(tmp_path, letters, angle, turned, suffix):
    affine = affine_of(letters, angle=angle)
    array = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    source = saved(tmp_path / f"a{suffix}", array, affine)
    image = read(source, orientation="RAS" if turned else None)
    if turned:
        assert image.geometry.orientation == "RAS"
        ras = nib.as_closest_canonical(nib.load(source))
        np.testing.assert_array_equal(image.array[0], ras.get_fdata(dtype=np.float32))
        np.testing.assert_allclose(image.geometry.affine, ras.affine, atol=1e-5)
    else:
        np.testing.assert_array_equal(image.array[0], array)
    # A map made on the held grid, written back, lies voxel for voxel on the source.
    back = nib.load(write_nifti(image.array[0] * 2, image.geometry, tmp_path / f"map{suffix}"))
    original = nib.load(source)
    np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), array * 2)
    np.testing.assert_allclose(back.affine, original.affine, atol=1e-6)
    np.testing.assert_allclose(back.get_sform(), original.affine, atol=1e-6)
    # The file holds a quaternion in single precision, without its first part: worth sqrt(eps) times a voxel at most.
    np.testing.assert_allclose(back.get_qform(), original.affine, atol=5e-3)
    np.testing.assert_allclose(back.header.get_zooms(), original.header.get_zooms(), rtol=1e-5)


def test_slope_and_intercept(tmp_path):
    array = RNG.integers(-100, 100, size=(3, 4, 5)).astype(np.int16)
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_slope_inter(0.5, -20.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    assert float(stored.dataobj.slope) == 0.5
    np.testing.assert_allclose(read(tmp_path / "a.nii").array[0], stored.get_fdata(), rtol=1e-6)


def test_a_series_of_volumes_asks_which_one(tmp_path):
    array = RNG.normal(size=(3, 4, 5, 2)).astype(np.float32)
    file = saved(tmp_path / "a.nii.gz", array, np.eye(4))
    with pytest.raises(InputError, match=r"4 axes \(3, 4, 5, 2\); pick one volume with volume=0 … 1"):
        read(file)
    np.testing.assert_array_equal(read(file, volume=1).array[0], array[..., 1])
    with pytest.raises(UsageError, match="volume 2 of 2"):
        read(file, volume=2)
    single = saved(tmp_path / "b.nii", array[..., :1], np.eye(4))
    np.testing.assert_array_equal(read(single).array[0], array[..., 0])


def test_a_slice_is_a_volume_one_voxel_thick(tmp_path):
    assert read(saved(tmp_path / "a.nii", np.ones((3, 4), np.float32), np.eye(4))).array.shape == (1, 3, 4, 1)


def test_display_window_units_and_missing_affine(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header["cal_min"], image.header["cal_max"] = -50, 150
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    held = read(tmp_path / "a.nii")
    assert held.window == (-50.0, 150.0)
    np.testing.assert_allclose(held.spacing, (0.002,) * 3)
    bare = nib.Nifti1Image(np.ones((3, 4, 5), np.float32), None)
    bare.header.set_zooms((1.0, 2.0, 3.0))
    nib.save(bare, tmp_path / "b.nii")
    held = read(tmp_path / "b.nii")
    assert "neither sform nor qform" in held.meta["affine"]
    np.testing.assert_allclose(held.spacing, (1, 2, 3))


def test_rgb_voxels_become_channels(tmp_path):
    rgb = RNG.integers(0, 255, size=(3, 4, 5, 3)).astype(np.uint8)
    record = np.ascontiguousarray(rgb).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    file = saved(tmp_path / "a.nii", record, np.eye(4))
    np.testing.assert_array_equal(read(file).array, np.moveaxis(rgb, -1, 0))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("float64", "float32"), ("float16", "float32"), ("bool", "uint8"), ("int64", "int16"), ("int32", "int32"), ("uint8", "uint8")],
)
def test_types_are_kept_or_made_readable(tmp_path, dtype, stored):
    array = np.zeros((3, 4, 5), dtype)
    array[0, 0, 0], array[1, 1, 1] = 1, (300 if dtype == "int64" else 1)
    geometry = Geometry(np.diag([1.0, 2.0, 3.0, 1.0]), (3, 4, 5))
    back = nib.load(write_nifti(array, geometry, tmp_path / "m.nii.gz"))
    assert back.get_data_dtype() == stored
    np.testing.assert_array_equal(back.get_fdata(), array.astype(float))


def test_channels_go_to_the_fourth_axis_and_a_crop_back_to_its_place(tmp_path):
    file = saved(tmp_path / "a.nii", RNG.normal(size=(6, 7, 8)).astype(np.float32), affine_of("LPI"))
    image = read(file, orientation="RAS")
    piece = image.geometry.cropped((1, 2, 3), (3, 4, 2))
    part = image.array[:, 1:4, 2:6, 3:5]
    back = nib.load(write_nifti(np.concatenate([part, -part]), piece, tmp_path / "m.nii"))
    assert back.shape == (6, 7, 8, 2)
    whole = nib.load(file).get_fdata(dtype=np.float32)
    inside = back.get_fdata()[..., 0] != 0
    assert inside.sum() == part.size
    np.testing.assert_array_equal(back.get_fdata()[..., 0][inside], whole[inside])


def test_a_sheared_grid_keeps_its_sform_alone(tmp_path):
    affine = np.eye(4)
    affine[0, 2] = 0.4
    back = nib.load(write_nifti(np.ones((2, 3, 4), np.float32), Geometry(affine, (2, 3, 4)), tmp_path / "m.nii"))
    np.testing.assert_allclose(back.affine, affine)
    assert int(back.header["qform_code"]) == 0


def test_what_is_refused(tmp_path):
    file = saved(tmp_path / "a.nii.gz", RNG.normal(size=(8, 8, 8)).astype(np.float32), np.eye(4))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(file.read_bytes()[:600])
    with pytest.raises(InputError, match=r"cut\.nii\.gz: cannot be read as NIfTI"):
        read(cut)
    plain = saved(tmp_path / "a.nii", np.ones((8, 8, 8), np.float32), np.eye(4))
    (tmp_path / "short.nii").write_bytes(plain.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"short\.nii: cannot be read as NIfTI"):
        read(tmp_path / "short.nii")
    with pytest.raises(InputError, match="no such file"):
        read_nifti(tmp_path / "absent.nii")
    geometry = Geometry(np.eye(4), (2, 2, 2))
    with pytest.raises(UsageError, match=r"array is \(3, 2, 2\), its grid \(2, 2, 2\)"):
        write_nifti(np.ones((3, 2, 2)), geometry, tmp_path / "m.nii")
    with pytest.raises(UsageError, match=r"ends in \.nii"):
        write_nifti(np.ones((2, 2, 2)), geometry, tmp_path / "m.img")
    with pytest.raises(UsageError, match="int64"):
        write_nifti(np.full((2, 2, 2), 2**40), geometry, tmp_path / "m.nii")
    assert not list(tmp_path.glob(".*")), "a temporary file was left"
