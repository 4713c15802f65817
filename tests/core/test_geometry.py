"""Maps find their way back to the source's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grids import ORIENTATIONS, oblique, world
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError

lengths = st.tuples(*[st.integers(3, 7)] * 3)
mm = st.floats(0.4, 5.0)


@settings(deadline=None, max_examples=80)
@given(
    letters=st.sampled_from(ORIENTATIONS), held=st.sampled_from(ORIENTATIONS), shape=lengths, spacing=st.tuples(mm, mm, mm),
    angle=st.floats(-0.4, 0.4), channels=st.integers(0, 2), data=st.data(),
)  # fmt: skip
def test_reorient_crop_and_back(letters, held, shape, spacing, angle, channels, data) -> None:
    affine = oblique(letters, spacing, angle, (10.0, -20.0, 30.0))
    source = Geometry(affine, shape)
    assert source.orientation == letters
    assert source.spacing == pytest.approx(spacing, rel=0.3)  # the turn is not quite a rotation
    array = np.arange(1, np.prod(shape) + 1, dtype=np.int64).reshape(shape)
    array = np.broadcast_to(array, (*[2] * channels, *shape)).copy()
    turned, geometry = source.reoriented(array, held)
    assert geometry.orientation == held
    assert turned.shape[-3:] == geometry.shape
    assert sorted(turned.reshape(-1).tolist()) == sorted(array.reshape(-1).tolist())
    # every voxel stays where it is in the patient
    index = tuple(data.draw(st.integers(0, s - 1)) for s in geometry.shape)
    there = np.argwhere(array[(0,) * channels] == turned[(*(0,) * channels, *index)])[0]
    np.testing.assert_allclose(world(geometry.affine, index), world(affine, tuple(there)), atol=1e-8)
    np.testing.assert_array_equal(geometry.restored(turned), array)
    # crop twice, and put the piece back
    start = tuple(data.draw(st.integers(0, s - 2)) for s in geometry.shape)
    size = tuple(data.draw(st.integers(1, s - a)) for s, a in zip(geometry.shape, start))
    piece = geometry.cropped(start, size)
    inner = tuple(data.draw(st.integers(0, s - 1)) for s in size)
    piece2 = piece.cropped(inner, tuple(s - a for s, a in zip(size, inner)))
    np.testing.assert_allclose(piece2.affine[:3, 3], world(geometry.affine, tuple(a + b for a, b in zip(start, inner))), atol=1e-8)
    first = tuple(a + b for a, b in zip(start, inner))
    slices = (..., *(slice(a, a + s) for a, s in zip(first, piece2.shape)))
    back = piece2.restored(turned[slices], background=-7)
    assert back.shape == array.shape
    kept = back != -7
    np.testing.assert_array_equal(back[kept], array[kept])
    assert kept.sum() == np.prod(turned[slices].shape)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), r"an affine is a finite \(4, 4\) matrix, not \(3, 3\)"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "the affine is singular"),
    ],
)
def test_affines_that_cannot_be(affine: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Geometry(affine, (2, 2, 2))
