"""A DICOM series with a DICOM segmentation, in a table: the segments are labels, on the planes where they belong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydicom import Dataset

from make_dicom import dataset, write, write_series
from pellucid.data.manifest import load_manifest

CT = np.arange(6 * 5 * 4, dtype=np.uint16).reshape(6, 5, 4)  # plane, row, column
MASKS = np.zeros((2, 6, 5, 4), np.uint8)
MASKS[0, 2:4, 1:3, 1:3], MASKS[1, 3:5, 3:5, 1:4] = 1, 1


def item(**tags):
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def write_segmentation(path, masks, *, origin=(0.0, 0.0, 0.0), spacing=(0.8, 0.6)):
    """As most programs write it: planes without a mark are left out."""
    there = [(s, k) for s, m in enumerate(masks) for k in range(len(m)) if m[k].any()]
    ds = dataset(np.stack([masks[s][k] for s, k in there]), modality="SEG", SegmentationType="BINARY")
    ds.SegmentSequence = [item(SegmentNumber=s + 1, SegmentLabel=f"organ {s + 1}") for s in range(len(masks))]
    ds.SharedFunctionalGroupsSequence = [item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=list(spacing), SliceThickness=2.5, SpacingBetweenSlices=2.5)],
    )]  # fmt: skip
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[origin[0], origin[1], origin[2] + 2.5 * k])],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=s + 1)],
        )
        for s, k in there
    ]  # fmt: skip
    return write(ds, path)


def load(root, **options):
    (root / "cases.csv").write_text("id,ct,organs\np1,series,seg.dcm\np2,series,\n")
    how = {"csv": "cases.csv", "id": "id", "inputs": {"ct": "ct"}, "truth_mask": "organs", **options}
    return load_manifest(root, **how)


@pytest.mark.parametrize("orientation", [None, "RAS", "SPL"])
def test_segments_are_labels_on_the_planes_of_the_series(tmp_path, orientation):
    write_series(tmp_path / "series", CT)
    write_segmentation(tmp_path / "seg.dcm", MASKS)
    case = load(tmp_path, orientation=orientation)[0]
    assert case.truth.shape == case.spatial
    labels = MASKS[0] + 2 * MASKS[1]
    stored = case.geometry.restored(case.truth.numpy())  # (x, y, z), as the series is read
    np.testing.assert_array_equal(stored, labels.T)
    hu = case.inputs["ct"][0]
    for number in (1, 2):
        assert sorted((hu[case.truth == number] + 1024).tolist()) == sorted(CT[labels == number].tolist())


@pytest.mark.parametrize(
    ("masks", "how", "said"),
    [
        (np.stack([MASKS[0], MASKS[0]]), {}, "segments overlap and so make no label map; export each to its own file"),
        (MASKS, {"origin": (0.0, 0.0, 5.0)}, "6 marked voxels lie outside of the volume; it is of another series"),
        (MASKS, {"origin": (0.2, 0.0, 0.0)}, "the mask's grid is .* resample it onto the volume's grid"),
        (MASKS, {"spacing": (0.4, 0.3)}, "the mask's grid is .* resample it onto the volume's grid"),
    ],
)  # fmt: skip
def test_a_segmentation_that_does_not_belong_is_refused(tmp_path, masks, how, said):
    write_series(tmp_path / "series", CT)
    write_segmentation(tmp_path / "seg.dcm", masks, **how)
    cases = load(tmp_path)
    assert [c.id for c in cases] == ["p2"]
    assert re.search(said, cases.failed[0][1])
