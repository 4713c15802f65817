"""Label maps: masks that overlap, joins, files on other grids, and the sums over their parts."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from pydicom import Dataset

from grids import oblique
from make_dicom import dataset, write
from pellucid.aggregate.asked import label_maps
from pellucid.aggregate.label_files import label_names, read_labels
from pellucid.aggregate.labels import of_labels, of_masks
from pellucid.aggregate.sums import RegionSums
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.io import read

SHAPE = (12, 10, 9)
NAMES = {1: "heart", 2: "left lung", 3: "right lung"}


def written(path, labels, affine):
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), path)
    return path


def blobs(shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, tuple(-(-n // 3) for n in shape))
    return np.kron(coarse, np.ones((3, 3, 3), int))[tuple(slice(n) for n in shape)]


def case(affine=None, shape=SHAPE, **more):
    return Case(id="p1", inputs={"ct": torch.rand(1, *shape)}, affine=affine, **more)


def test_masks_that_overlap_are_cut_into_parts_and_come_back_whole():
    g = torch.Generator().manual_seed(0)
    masks = {n: torch.rand(5, 6, generator=g) < 0.5 for n in ("a", "b", "c")}
    found = of_masks("x", masks)
    assert found.count == 8
    for name, mask in masks.items():
        assert (found.mask(name) == mask).all()
    both = found.joined({"a or b": ["a", "b"]})
    assert (both.mask("a or b") == (masks["a"] | masks["b"])).all()
    assert list(both.regions) == ["a", "b", "c", "a or b"]


def test_sums_in_pieces_are_those_of_the_whole():
    g = torch.Generator().manual_seed(0)
    labels = of_labels("organs", torch.randint(0, 4, SHAPE, generator=g), NAMES)
    maps = [torch.randn(SHAPE, generator=g), torch.randn(SHAPE, generator=g)]
    whole, pieces = RegionSums(labels), RegionSums(labels)
    whole.update(0, maps)
    for start, stop in ((5, 12), (0, 1), (1, 5)):  # in any order
        pieces.update(0, [m[start:stop] for m in maps], start=start)
    a, b = whole.measures(0), pieces.measures(0)
    for region in NAMES.values():
        for measure, value in a[region].items():
            assert b[region][measure] == pytest.approx(value, rel=1e-12)
    assert whole.of_map(0)["map_var"] == pytest.approx(float((maps[0] + maps[1]).double().var(correction=0)))


def test_a_map_that_never_came_is_a_map_of_zeros():
    labels = of_labels("organs", torch.tensor([[1, 2]]), {1: "a", 2: "b", 3: "c"})
    found = RegionSums(labels).measures(7)
    assert np.isnan(found["a"]["mass"]) and found["a"]["mean"] == 0 and np.isnan(found["c"]["mean"])


@pytest.mark.parametrize("letters", ["RAS", "LPI", "PIL", "SRA"])
def test_a_file_on_another_grid_is_brought_over_by_its_affine(tmp_path, letters):
    """The same patient, turned, mirrored (left-handed grids among them), oblique: voxels are found by millimetres."""
    labels, affine = blobs(), oblique("RAS", (1.2, 1.5, 2.0), 0.3, (10, -20, 5))
    image = nib.Nifti1Image(labels.astype(np.uint8), affine)
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(letters))
    )
    turned = image.as_reoriented(ornt)
    nib.save(turned, tmp_path / "turned.nii.gz")
    found = read_labels(tmp_path / "turned.nii.gz", case(affine), names=NAMES)
    for value, name in NAMES.items():
        assert (found.mask(name).numpy() == (labels == value)).all()


def test_an_equal_shape_with_another_affine_is_resampled_not_taken_voxel_by_voxel(tmp_path):
    labels = blobs()
    here, there = np.diag([2.0, 2, 2, 1]), np.diag([2.0, 2, 2, 1])
    there[0, 3] = 6.0  # the file begins three voxels further
    found = read_labels(written(tmp_path / "a.nii.gz", labels, there), case(here), names=NAMES)
    moved = np.zeros_like(labels)
    moved[3:] = labels[:-3]
    for value, name in NAMES.items():
        assert (found.mask(name).numpy() == (moved == value)).all()
    outside = torch.zeros(SHAPE, dtype=torch.bool)
    outside[:3] = True
    assert not any((found.mask(n) & outside).any() for n in found.regions)


def test_a_finer_label_map_gives_the_label_at_each_centre(tmp_path):
    fine = blobs((24, 20, 18), 1)
    affine = np.diag([1.0, 1, 1, 1])
    coarse = np.diag([2.0, 2, 2, 1])
    coarse[:3, 3] = 1.0  # centres on voxels of the fine grid
    found = read_labels(written(tmp_path / "a.nii.gz", fine, affine), case(coarse), names=NAMES)
    wanted = fine[1::2, 1::2, 1::2]
    for value, name in NAMES.items():
        assert (found.mask(name).numpy() == (wanted == value)).all()


def item(**tags):
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def test_a_dicom_segmentation_brings_its_own_names_and_may_overlap(tmp_path):
    labels = blobs((8, 7, 5))
    masks = {"lung": labels >= 1, "tumour": labels == 2}
    frames = np.stack([m[:, :, k].T for m in masks.values() for k in range(5)]).astype(np.uint8)
    ds = dataset(frames, modality="SEG", SegmentationType="BINARY")
    ds.SegmentSequence = [item(SegmentNumber=i + 1, SegmentLabel=n) for i, n in enumerate(masks)]
    plane = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    size = item(PixelSpacing=[1.5, 1.2], SliceThickness=3)
    ds.SharedFunctionalGroupsSequence = [item(PlaneOrientationSequence=[plane], PixelMeasuresSequence=[size])]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[4, -2, 3 * k])],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=i + 1)],
        )
        for i in range(2) for k in range(5)
    ]  # fmt: skip
    path = write(ds, tmp_path / "seg.dcm")
    grid = read(path).geometry
    turned, other = grid.reoriented(np.stack(list(masks.values())), "RAS")
    assert other.orientation != grid.orientation
    found = read_labels(path, case(other.affine, other.shape))
    assert found.of == "seg.dcm" and (masks["lung"] & masks["tumour"]).any()
    for name, mask in zip(masks, turned):
        assert (found.mask(name).numpy() == mask).all()


def test_names_come_from_a_file_or_the_other_way_round(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"labels": {"background": 0, "heart": 1}}))
    assert label_names(path) == {0: "background", 1: "heart"}
    assert label_names({"1": "spleen"}) == {1: "spleen"}
    with pytest.raises(UsageError, match="give whole numbers and names"):
        label_names({"a": "b"})
    path.write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        label_names(path)


def test_names_of_a_file_are_not_given_to_a_mask_beside_it(tmp_path):
    path = written(tmp_path / "l.nii.gz", blobs(), np.eye(4))
    predictor = Predictor(torch.nn.Conv3d(1, 2, 1), inputs=["ct"], task="segmentation", classes=["background", "a"])
    one = case(np.eye(4), regions={"lesion": torch.from_numpy(blobs() == 2)})
    mask, labels = label_maps(predictor, one, ["lesion", str(path)], predicted=None, names=NAMES)
    assert list(mask.regions) == ["lesion"]
    assert (mask.mask("lesion") == (torch.from_numpy(blobs()) == 2)).all()
    assert list(labels.regions) == list(NAMES.values())


def test_a_label_map_that_does_not_fit_is_refused(tmp_path):
    labels = blobs()
    far = np.diag([2.0, 2, 2, 1])
    far[0, 3] = 900
    path = written(tmp_path / "far.nii.gz", labels, far)
    with pytest.raises(InputError, match=r"case p1: labels far\.nii\.gz do not overlap the image"):
        read_labels(path, case(np.diag([2.0, 2, 2, 1])))
    small = written(tmp_path / "small.nii.gz", labels[:6], far)
    with pytest.raises(InputError, match=r"are \(6, 10, 9\), the image is \(12, 10, 9\), and the case has no place"):
        read_labels(small, case())
    np.save(tmp_path / "plain.npy", labels[:6].astype(np.float32))
    with pytest.raises(InputError, match="the file has no place in the patient"):
        read_labels(tmp_path / "plain.npy", case(far))
    nib.save(nib.Nifti1Image((labels / 2).astype(np.float32), far), tmp_path / "half.nii.gz")
    with pytest.raises(InputError, match="a label map holds whole numbers"):
        read_labels(tmp_path / "half.nii.gz", case(far))
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), far), tmp_path / "series.nii.gz")
    with pytest.raises(InputError, match="has 4 axes"):
        read_labels(tmp_path / "series.nii.gz", case(far))


def test_without_places_equal_shapes_are_taken_as_they_are(tmp_path):
    labels = blobs()
    found = read_labels(written(tmp_path / "a.nii.gz", labels, np.eye(4)), case(), names=NAMES)
    assert (found.mask("heart").numpy() == (labels == 1)).all()
    assert list(read_labels(tmp_path / "a.nii.gz", case()).regions) == ["a=1", "a=2", "a=3"]


def test_several_label_maps_each_take_the_joins_that_they_can(tmp_path):
    p = Predictor(torch.nn.Conv3d(1, 2, 1), inputs=["ct"], task="segmentation", classes=["background", "heart"])
    labels = torch.from_numpy(blobs())
    c = case(regions={"organs": labels, "box": labels > 1})
    file = written(tmp_path / "a.nii.gz", labels.numpy(), np.eye(4))
    found = label_maps(
        p, c, ["predicted", {"file": file, "names": NAMES, "of": "o"}],
        predicted=(labels > 0).to(torch.int16), join={"lungs": ["left lung", "right lung"]},
    )  # fmt: skip
    assert [list(m.regions) for m in found] == [["background", "heart"], [*NAMES.values(), "lungs"]]
    assert [m.of for m in found] == ["predicted", "o"]
    asked = ["predicted", {"file": tmp_path / "a.nii.gz", "names": NAMES}]
    with pytest.raises(UsageError, match="did you mean 'left lung'"):
        label_maps(p, c, asked, predicted=labels, join={"x": ["left lun"]})
    with pytest.raises(UsageError, match="unknown key 'nams'"):
        label_maps(p, c, {"file": "a", "nams": {}}, predicted=labels)
    named = label_maps(p, c, "organs", predicted=labels, names=NAMES)[0]
    assert (named.mask("right lung") == (labels == 3)).all()
    assert list(label_maps(p, c, "box", predicted=labels)[0].regions) == ["box"]
    with pytest.raises(InputError, match="no true mask"):
        label_maps(p, c, "truth", predicted=labels)


def test_a_label_map_of_the_case_has_the_classes_names_where_it_is_the_truth_alone():
    labels = torch.from_numpy(blobs())
    net = torch.nn.Conv3d(1, 4, 1)
    p = Predictor(net, inputs=["ct"], task="segmentation", classes=["background", *NAMES.values()])
    other = case(regions={"vessels": labels}, truth=labels.flip(0))
    (found,) = label_maps(p, other, "vessels", predicted=None)
    assert set(found.regions) == {"vessels=1", "vessels=2", "vessels=3"}  # another numbering may stand behind it
    same = case(regions={"organs": labels.to(torch.int16)}, truth=labels)
    (found,) = label_maps(p, same, "organs", predicted=None)
    assert set(found.regions) == set(NAMES.values())
    (found,) = label_maps(p, other, "vessels", predicted=None, names={1: "vein"})
    assert set(found.regions) == {"vein"}
