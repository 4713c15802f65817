"""Resampling puts every value where it lies in the patient, and maps find their way back onto the source's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from grids import ORIENTATIONS, oblique, world
from pellucid.core.geometry import Geometry
from pellucid.core.resample import resampled
from pellucid.errors import UsageError

mm = st.floats(0.7, 4.0)


def places(g: Geometry) -> np.ndarray:
    """Millimetres of every voxel's centre, ``(3, *shape)``."""
    index = np.stack(np.meshgrid(*map(np.arange, g.shape), indexing="ij")).reshape(3, -1)
    return (g.affine[:3, :3] @ index + g.affine[:3, 3:]).reshape(3, *g.shape)


@settings(deadline=None, max_examples=20)
@given(
    letters=st.sampled_from(ORIENTATIONS), spacing=st.tuples(mm, mm, mm), angle=st.floats(-0.4, 0.4),
    to=st.one_of(mm, st.tuples(mm, mm, mm)),
)  # fmt: skip
def test_a_ramp_in_the_patient_stays_that_ramp_there_and_back(letters, spacing, angle, to) -> None:
    """Linear interpolation keeps a function that is linear in millimetres: oblique, anisotropic, left-handed."""
    source = Geometry(oblique(letters, spacing, angle, (10.0, -20.0, 30.0)), (9, 7, 8))
    slope = np.array([0.7, -1.1, 0.4])
    ramp = np.tensordot(slope, places(source), 1)
    turned, ras = source.reoriented(ramp, "RAS")
    new = ras.respaced(to)
    there = resampled(turned, affine=ras.affine, to_affine=new.affine, to_shape=new.shape, labels=False)
    inside = tuple(slice(1 + int(s / t), -1 - int(s / t)) for s, t in zip(ras.spacing, new.spacing))
    np.testing.assert_allclose(there[inside], np.tensordot(slope, places(new), 1)[inside], atol=1e-5)
    back = new.restored(there)
    assert back.shape == source.shape
    if min(s > 2 * t for s, t in zip(ras.spacing, new.spacing)):  # so fine that edges concern the outermost alone
        np.testing.assert_allclose(back[1:-1, 1:-1, 1:-1], ramp[1:-1, 1:-1, 1:-1], atol=1e-4)
    # the middle stays the middle, and no edge moves by more than half a voxel
    ends = [np.array(g.shape) / 2 - 0.5 for g in (ras, new)]
    np.testing.assert_allclose(world(ras.affine, ends[0]), world(new.affine, ends[1]), atol=1e-9)
    lengths = [np.array(g.shape) * g.spacing for g in (ras, new)]
    assert (np.abs(lengths[0] - lengths[1]) <= np.maximum(np.array(new.spacing) / 2, 0) + 1e-9).all() or 1 in new.shape


def test_against_scipy_on_two_unrelated_grids() -> None:
    rng = np.random.default_rng(3)
    a = oblique("LPI", (1.3, 0.8, 2.0), 0.3, (0, 0, 0))
    b = oblique("RAS", (1.0, 1.1, 0.9), -0.2, (-14.0, -9.0, -12.0))
    array = rng.normal(size=(2, 10, 11, 6))
    index = np.linalg.inv(a) @ b
    at = np.stack(np.meshgrid(*map(np.arange, (12, 9, 8)), indexing="ij")).reshape(3, -1)
    at = index[:3, :3] @ at + index[:3, 3:]
    inside = ((at >= -0.5) & (at <= np.array([[9.5], [10.5], [5.5]]))).all(0).reshape(12, 9, 8)
    assert 0.1 < inside.mean() < 0.9
    got = resampled(array, affine=a, to_affine=b, to_shape=(12, 9, 8), labels=False, background=-5)
    for channel, values in zip(got, array):
        want = map_coordinates(values, at, order=1, mode="nearest").reshape(12, 9, 8)
        np.testing.assert_allclose(channel, np.where(inside, want, -5), atol=1e-9)
    marks = rng.integers(0, 9, (10, 11, 6)).astype(np.int16)
    got = resampled(marks, affine=a, to_affine=b, to_shape=(12, 9, 8), labels=True)
    want = map_coordinates(marks, np.round(at), order=0, mode="nearest").reshape(12, 9, 8)
    assert got.dtype == np.int16
    np.testing.assert_array_equal(got, np.where(inside, want, 0))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64, np.float16, np.float32])
def test_the_type_is_kept(dtype) -> None:
    array = np.zeros((4, 4, 4), dtype)
    array[1:3, 1:3, 1:3] = 1
    got = resampled(array, affine=np.eye(4), to_affine=np.diag([0.5, 0.5, 0.5, 1]), to_shape=(8, 8, 8), labels=True)
    assert got.dtype == dtype
    assert set(np.unique(got)) == {0, 1}


def test_a_map_of_a_piece_of_a_resampled_volume_comes_back_to_its_place() -> None:
    source = Geometry(oblique("PIL", (1.1, 2.3, 1.6), 0.3, (5, 6, 7)), (12, 10, 14))
    ras = source.reoriented(np.zeros(source.shape))[1]
    new = ras.respaced(0.8)
    piece = new.cropped((3, 2, 4), (9, 8, 7))
    assert piece.crop is None
    assert not piece.keeps_voxels
    marks = np.arange(9 * 8 * 7).reshape(9, 8, 7) + 1
    back = piece.restored(marks)  # whole numbers: nearest neighbour
    assert back.shape == source.shape
    for at in np.argwhere(back):
        there = np.linalg.inv(piece.affine) @ [*world(source.affine, tuple(at)), 1]
        assert back[tuple(at)] == marks[tuple(np.round(there[:3]).astype(int))]
    assert (back > 0).sum() > 20
    assert (back == 0).sum() > 20


def test_what_is_that_grid_already_is_left_as_it_is() -> None:
    g = Geometry(np.diag([1.5, 1.5004, -1.4996, 1]), (5, 6, 7))
    assert g.respaced(1.5) is g
    assert g.respaced((1.5, 1.5, 2.9)).shape == (5, 6, 4)
    assert g.keeps_voxels
    assert g.apart(Geometry(g.affine + np.array([[0, 0, 0, 3], [0, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0]]), g.shape)) == (
        pytest.approx(5)
    )


@pytest.mark.parametrize("spacing", [0, -1.5, (1.0, 2.0), float("nan")])
def test_spacings_that_cannot_be(spacing) -> None:
    with pytest.raises(UsageError, match="give a positive number of millimetres, or three"):
        Geometry(np.eye(4), (2, 2, 2)).respaced(spacing)


def test_arrays_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="cannot be resampled"):
        resampled(np.zeros((3, 3)), affine=np.eye(4), to_affine=np.eye(4), to_shape=(2, 2, 2), labels=False)
