"""A folder of slices to one volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from make_dicom import dataset, write, write_series
from pellucid.errors import InputError, UsageError
from pellucid.io import read

RNG = np.random.default_rng(1)
VOLUME = RNG.integers(0, 3000, size=(6, 5, 4)).astype(np.uint16)  # slices, rows, columns


def lps_of(image, voxel):
    ras = image.geometry.affine @ [*voxel, 1.0]
    return ras[:3] * [-1, -1, 1]


def test_shuffled_names_and_numbers_do_not_matter(tmp_path):
    write_series(tmp_path / "s", VOLUME, names=[3, 0, 5, 1, 4, 2], origin=(10.0, -20.0, 30.0))
    image = read(tmp_path / "s")
    assert image.array.shape == (1, 4, 5, 6)
    np.testing.assert_array_equal(image.array[0], VOLUME.transpose(2, 1, 0) - 1024.0)
    assert image.geometry.orientation == "LPS"
    np.testing.assert_allclose(image.spacing, (0.6, 0.8, 2.5))
    np.testing.assert_allclose(lps_of(image, (0, 0, 0)), (10, -20, 30))
    np.testing.assert_allclose(lps_of(image, (3, 4, 5)), (10 + 3 * 0.6, -20 + 4 * 0.8, 30 + 5 * 2.5))


def test_every_slice_has_its_own_slope_and_intercept(tmp_path):
    slopes, intercepts = [1.0, 0.5, 2.0, 1.5, 0.25, 3.0], [0.0, -5.0, 7.0, 1.0, 2.0, -9.0]
    write_series(tmp_path / "s", VOLUME, slopes=slopes, intercepts=intercepts)
    expected = VOLUME * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None]
    np.testing.assert_allclose(read(tmp_path / "s").array[0], expected.transpose(2, 1, 0), rtol=1e-6)


def rotation(angles):
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angles=st.tuples(*[st.floats(-1.5, 1.5)] * 3), order=st.permutations(range(6)))
def test_oblique_series_put_each_voxel_where_its_slice_says(tmp_path_factory, angles, order):
    folder = tmp_path_factory.mktemp("oblique")
    turn = rotation(angles)
    row, column = tuple(turn[:, 0]), tuple(turn[:, 1])
    write_series(folder, VOLUME, origin=(5.0, 6.0, 7.0), row=row, column=column, names=list(order))
    image = read(folder)
    c, r, k = 2, 3, 4
    expected = np.array([5, 6, 7]) + c * 0.6 * turn[:, 0] + r * 0.8 * turn[:, 1] + k * 2.5 * turn[:, 2]
    np.testing.assert_allclose(lps_of(image, (c, r, k)), expected, atol=1e-4)
    assert image.array[0, c, r, k] == VOLUME[k, r, c] - 1024.0
    turned = image.reoriented("RAS")
    assert turned.geometry.orientation == "RAS"
    np.testing.assert_array_equal(turned.geometry.restored(turned.array), image.array)


def test_a_tilted_gantry_is_a_shear(tmp_path):
    files = write_series(tmp_path / "s", VOLUME)
    from pydicom import dcmread

    for k, file in enumerate(files):
        ds = dcmread(file)
        ds.ImagePositionPatient = [0.0, 1.25 * k, 2.5 * k]
        ds.save_as(file)
    np.testing.assert_allclose(lps_of(read(tmp_path / "s"), (0, 0, 4)), (0, 5, 10))


def test_a_gap_is_named(tmp_path):
    files = write_series(tmp_path / "s", VOLUME)
    files[3].unlink()
    with pytest.raises(InputError, match=r"1 missing slice between 002\.dcm \(5\.00 mm\) and 004\.dcm \(10\.00 mm\)"):
        read(tmp_path / "s")


def test_an_uneven_step_is_named(tmp_path):
    files = write_series(tmp_path / "s", VOLUME)
    ds = dataset(
        VOLUME[5], ImagePositionPatient=[0, 0, 13.5], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[0.8, 0.6]
    )
    write(ds, files[5])
    with pytest.raises(InputError, match=r"uneven step between 004\.dcm .* and 005\.dcm .*3\.50 mm apart"):
        read(tmp_path / "s")


def test_a_duplicate_is_named(tmp_path):
    files = write_series(tmp_path / "s", VOLUME)
    (tmp_path / "s" / "copy.dcm").write_bytes(files[2].read_bytes())
    with pytest.raises(InputError, match=r"002\.dcm and copy\.dcm lie at the same place \(5\.00 mm\)"):
        read(tmp_path / "s")


def test_two_series_are_listed_and_chosen_from(tmp_path):
    folder = tmp_path / "s"
    write_series(folder, VOLUME, SeriesInstanceUID="1.2.1", SeriesNumber=3, SeriesDescription="thin")
    write_series(
        folder, VOLUME[:2], names=[100, 101], SeriesInstanceUID="1.2.2", SeriesNumber=4, SeriesDescription="thick"
    )
    with pytest.raises(InputError, match=r"2 series.*3 \(thin, CT, 6 files\); 4 \(thick, CT, 2 files\)"):
        read(folder)
    assert read(folder, series=3).array.shape[-1] == 6
    assert read(folder, series="thick").array.shape[-1] == 2
    assert read(folder, series="1.2.2").array.shape[-1] == 2
    with pytest.raises(UsageError, match="fits no series"):
        read(folder, series=5)


def test_slices_that_do_not_belong_together(tmp_path):
    files = write_series(tmp_path / "s", VOLUME)
    place = {"ImagePositionPatient": [0, 0, 15], "PixelSpacing": [0.8, 0.6]}
    other = write(dataset(VOLUME[0], ImageOrientationPatient=[0, 1, 0, 0, 0, 1], **place), tmp_path / "s" / "x.dcm")
    with pytest.raises(InputError, match=r"x\.dcm and 000\.dcm are not parallel"):
        read(tmp_path / "s")
    write(dataset(VOLUME[0, :, :2], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **place), other)
    with pytest.raises(InputError, match=r"x\.dcm has \(5, 2\) pixels, 000\.dcm \(5, 4\)"):
        read(tmp_path / "s")
    write(dataset(VOLUME[0]), other)
    with pytest.raises(InputError, match=r"x\.dcm does not say where it lies"):
        read(tmp_path / "s")
    other.write_bytes(files[0].read_bytes()[:200])
    with pytest.raises(InputError, match=r"x\.dcm"):
        read(tmp_path / "s")


def test_other_files_are_passed_over_and_one_slice_is_a_picture(tmp_path):
    folder = tmp_path / "s"
    write_series(folder, VOLUME[:1])
    (folder / "notes.txt").write_text("hello")
    assert read(folder).array.shape == (1, 5, 4)
    with pytest.raises(InputError, match="no DICOM picture"):
        read(tmp_path)
    assert read(folder).geometry is None
