"""Several frames in one DICOM file: films, enhanced volumes, segmentations."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from make_dicom import dataset, write
from pellucid.errors import InputError
from pellucid.io import read

RNG = np.random.default_rng(2)
FRAMES = RNG.integers(0, 200, size=(4, 5, 6)).astype(np.uint16)


def item(**tags):
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def enhanced(positions, *, slopes=None, segments=None, pixels=FRAMES):
    ds = dataset(pixels)
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.7], SliceThickness=2)],
    )
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for i, z in enumerate(positions):
        frame = item(PlanePositionSequence=[item(ImagePositionPatient=[1, 2, z])])
        if slopes:
            frame.PixelValueTransformationSequence = [item(RescaleSlope=slopes[i], RescaleIntercept=i)]
        if segments:
            frame.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=segments[i])]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    return ds


def test_a_film_has_its_frames_first(tmp_path):
    file = write(dataset(FRAMES, PixelSpacing=[0.5, 0.7]), tmp_path / "a.dcm")
    image = read(file)
    assert image.array.shape == (1, 4, 5, 6)
    assert image.meta["axes"] == "frame row column"
    assert image.spacing is None
    assert image.geometry is None
    np.testing.assert_array_equal(image.array[0], FRAMES)
    one = read(file, frame=2)
    np.testing.assert_array_equal(one.array[0], FRAMES[2])
    assert one.spacing == (0.5, 0.7)


def test_an_enhanced_object_is_a_volume_with_slopes_of_its_frames(tmp_path):
    order, slopes = [6.0, 0.0, 4.0, 2.0], [1.0, 2.0, 0.5, 4.0]
    image = read(write(enhanced(order, slopes=slopes), tmp_path / "a.dcm"))
    assert image.array.shape == (1, 6, 5, 4)
    np.testing.assert_allclose(image.spacing, (0.7, 0.5, 2.0))
    for k, i in enumerate(np.argsort(order)):
        np.testing.assert_allclose(image.array[0, :, :, k], FRAMES[i].T * slopes[i] + i)


def test_a_gap_among_frames_is_refused_and_phases_are_a_film(tmp_path):
    with pytest.raises(InputError, match=r"1 missing slice between frame 1 .* and frame 2"):
        read(write(enhanced([0.0, 2.0, 6.0, 8.0]), tmp_path / "a.dcm"))
    assert read(write(enhanced([0.0, 2.0, 0.0, 2.0]), tmp_path / "b.dcm")).array.shape == (1, 4, 5, 6)


def seg(positions, segments, *, kind="BINARY", pixels=None):
    pixels = (FRAMES > 100).astype(np.uint8) if pixels is None else pixels
    ds = enhanced(positions, segments=segments, pixels=pixels)
    ds.Modality, ds.SegmentationType = "SEG", kind
    ds.SegmentSequence = [item(SegmentNumber=n, SegmentLabel=name) for n, name in ((1, "liver"), (2, "tumour"))]
    return ds


def test_a_segmentation_has_a_channel_for_each_segment(tmp_path):
    # Segment 2 is absent from the planes at 0 and 4, and no segment is at 2: left out of the file, zero here.
    image = read(write(seg([0.0, 4.0, 6.0, 6.0], [1, 1, 1, 2]), tmp_path / "a.dcm"))
    assert image.array.shape == (2, 6, 5, 4)
    assert image.meta["segments"] == ["liver", "tumour"]
    marked = (FRAMES > 100).transpose(0, 2, 1)
    np.testing.assert_array_equal(image.array[0, :, :, [0, 2, 3]], marked[:3])
    np.testing.assert_array_equal(image.array[1, :, :, 3], marked[3])
    assert not image.array[:, :, :, 1].any()
    assert not image.array[1, :, :, :3].any()
    np.testing.assert_allclose(image.spacing, (0.7, 0.5, 2.0))


def test_a_fractional_segmentation_is_between_0_and_1(tmp_path):
    pixels = RNG.integers(0, 51, size=(4, 5, 6)).astype(np.uint8)
    ds = seg([0.0, 2.0, 0.0, 2.0], [1, 1, 2, 2], kind="FRACTIONAL", pixels=pixels)
    ds.MaximumFractionalValue = 50
    image = read(write(ds, tmp_path / "a.dcm"))
    np.testing.assert_allclose(image.array[1, :, :, 0], pixels[2].T / 50, rtol=1e-6)


def test_label_maps_and_uneven_planes_are_refused(tmp_path):
    with pytest.raises(InputError, match="type LABELMAP"):
        read(write(seg([0.0, 2.0, 4.0, 6.0], [1] * 4, kind="LABELMAP"), tmp_path / "a.dcm"))
    with pytest.raises(InputError, match="no even grid"):
        read(write(seg([0.0, 2.0, 5.0, 6.9], [1] * 4), tmp_path / "b.dcm"))


@pytest.mark.parametrize(("modality", "why"), [("SR", "a report"), ("RTSTRUCT", "contours"), ("PR", "no pixel data")])
def test_objects_without_a_picture_are_refused(tmp_path, modality, why):
    ds = dataset(np.zeros((4, 4), np.uint8), modality=modality)
    del ds.PixelData
    with pytest.raises(InputError, match=rf"a\.dcm: a DICOM object of kind {modality}.*{why}"):
        read(write(ds, tmp_path / "a.dcm"))
