"""The layout of the MRI study, other tables, other kinds of files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import make_dicom
import pellucid as pc
from pellucid.data.mri_slices import load_mri_slices
from pellucid.errors import InputError, UsageError
from pellucid.io import write_png

RNG = np.random.default_rng(4)


def grey(path: Path, shape: tuple[int, int] = (6, 4), value: int | None = None) -> Path:
    pixels = RNG.integers(1, 256, shape) if value is None else np.full(shape, value)
    return write_png(pixels.astype(np.uint8), path)


def study(root: Path, lines: list[str], *, header: str = "img_name;label;group", pictures: bool = True) -> Path:
    (root / "data.csv").write_text("\n".join([header, *lines]) + "\n")
    (root / "images").mkdir(exist_ok=True)
    for line in lines if pictures else []:
        grey(root / "images" / line.split(";")[0])
    return root


def four(root: Path) -> Path:
    return study(root, ["a1.png;0;p1", "a2.png;0;p1", "b1.png;1;p2", "b2.png;1;p3"])


def test_a_study_as_the_seed_has_it(tmp_path) -> None:
    cases = pc.load_dataset("mri_slices", four(tmp_path), classes=["healthy", "affected"], size=None)
    assert [(c.id, c.group, c.truth, c.meta["class"]) for c in cases] == [
        ("a1", "p1", 0, "healthy"), ("a2", "p1", 0, "healthy"), ("b1", "p2", 1, "affected"), ("b2", "p3", 1, "affected"),
    ]  # fmt: skip
    assert cases[0].spatial == (6, 6)  # 6 rows, 4 columns, one more on either side
    stored = torch.from_numpy(pc.read(tmp_path / "images" / "a1.png").array)
    assert torch.equal(cases[0].inputs["image"][:, :, 1:5], stored)
    assert float(cases[0].inputs["image"][:, :, [0, 5]].abs().max()) == 0
    assert cases[0].meta["group_is"] == "patient"


def test_groups_with_one_slice_are_fine(tmp_path) -> None:
    cases = load_mri_slices(study(tmp_path, [f"s{i}.png;{i % 2};p{i}" for i in range(9)]), size=8)
    parts = pc.split(cases, seed=0)
    assert {c.group for side in parts for c in side} == {f"p{i}" for i in range(9)}


def test_the_leg_is_cut_out_and_padded_before_resizing(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0;p1"], pictures=False)
    grey(root / "images" / "a.png", (8, 4), 200)
    leg = np.zeros((8, 4), np.uint8)
    leg[2:6] = 255
    write_png(leg, root / "leg" / "a.png")
    write_png(np.rot90(leg, 2).copy(), root / "lesion" / "a.png")
    (case,) = load_mri_slices(root, mask="leg", regions={"lesion": "lesion"}, size=4)
    assert case.region("mask").sum(0).tolist() == [0, 2, 2, 0]  # rows 2 to 5 and columns 2 to 5 of 8
    assert "lesion" in case.regions
    whole = load_mri_slices(root, mask="leg", size=None)[0]
    assert whole.spatial == (8, 8)
    assert torch.equal(whole.region("mask")[:, 2:6], torch.from_numpy(leg > 0))
    assert torch.equal(whole.inputs["image"][0] > 0, whole.region("mask"))
    assert float(whole.inputs["image"].max()) == pytest.approx(200 / 255)
    assert float(case.inputs["image"].max()) <= 200 / 255 + 1e-6
    # Framed to a size instead: nothing is enlarged.
    framed = load_mri_slices(root, mask="leg", pad="size", size=16)[0]
    assert framed.spatial == (16, 16)
    assert int(framed.region("mask").sum()) == int((leg > 0).sum())
    squeezed = load_mri_slices(root, pad="none", size=(8, 8))[0]
    assert float(squeezed.inputs["image"].min()) == pytest.approx(200 / 255)


def test_a_missing_picture_or_mask_fails_its_case_and_the_rest_goes_on(tmp_path) -> None:
    root = four(tmp_path)
    (root / "images" / "a2.png").unlink()
    for name in ("a1", "b1"):
        write_png(np.ones((6, 4), np.uint8), root / "mask" / f"{name}.png")
    cases = load_mri_slices(root, mask="mask", size=8)
    assert [c.id for c in cases] == ["a1", "b1"]
    (first, why), (second, mask) = cases.failed
    assert (first, second) == ("a2", "b2")
    assert "its picture a2.png is nowhere below" in why
    assert "add it, or take the line out" in why
    assert "b2.png has no mask in" in mask
    (root / "images" / "b1.png").write_bytes(b"broken")
    assert [id for id, _ in load_mri_slices(root, size=8).failed] == ["a2", "b1"]


def test_a_patient_in_two_classes(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0;p1", "b.png;1;p1", "c.png;1;p2", "d.png;1;p2"])
    with pytest.raises(InputError, match=r"1 of 2 patients have slices of more than one class.*lines 2 and 3.*mixed: keep"):
        load_mri_slices(root, size=8)
    kept = load_mri_slices(root, mixed="keep", size=8)
    assert [c.truth for c in kept] == [0, 1, 1, 1]
    with pytest.raises(InputError) as raised:
        load_mri_slices(root, size=8)
    assert "p1" not in str(raised.value)  # no patient in a message


def test_without_patients_a_split_would_leak(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0", "b.png;1"], header="img_name;label")
    with pytest.raises(InputError, match=r"no column 'group': without the patients.*both sides of a split"):
        load_mri_slices(root)
    own = load_mri_slices(root, columns={"group": "img_name"}, size=8)
    assert [c.group for c in own] == ["a.png", "b.png"]
    (tmp_path / "some").mkdir()
    half = load_mri_slices(study(tmp_path / "some", ["a.png;0;p1", "b.png;1;"]), size=8)
    assert [c.id for c in half] == ["a"]
    assert "could leak" in half.failed[0][1]


@pytest.mark.parametrize("delimiter", [",", "\t", "|"])
def test_any_table_by_mapping(tmp_path, delimiter) -> None:
    (tmp_path / "scans").mkdir()
    rows = [["Patient", "Diagnosis", "File", "Age", "No"], ["007", "sick", "x1", "61", "n1"], ["008", "well", "x2", "", "n2"]]
    (tmp_path / "t.csv").write_text("\n".join(delimiter.join(r) for r in rows))
    for name in ("x1", "x2"):
        grey(tmp_path / "scans" / f"{name}.png")
    cases = load_mri_slices(
        tmp_path, csv="t.csv", images="scans", classes=["well", "sick"], meta=["Age"], size=8,
        columns={"img_name": "File", "label": "Diagnosis", "group": "Patient", "id": "No"},
        delimiter=delimiter if delimiter == "|" else None,
    )  # fmt: skip
    assert [(c.id, c.group, c.truth, c.meta.get("Age")) for c in cases] == [("n1", "007", 1, 61.0), ("n2", "008", 0, None)]


def test_pictures_in_folders_of_their_class(tmp_path) -> None:
    root = study(tmp_path, ["1.png;0;p1", "1.png;1;p2"], pictures=False)
    for name, value in (("healthy", 50), ("affected", 150)):
        grey(root / "images" / name / "1.png", value=value)
    with pytest.raises(InputError, match="the id '1' occurs 2 times"):
        load_mri_slices(root, classes=["healthy", "affected"], size=8)
    study(tmp_path, ["1.png;0;p1", "2.png;1;p2"], pictures=False)
    grey(root / "images" / "affected" / "2.png", value=150)
    cases = load_mri_slices(root, classes=["healthy", "affected"], size=None)
    assert [round(float(c.inputs["image"].max()) * 255) for c in cases] == [50, 150]
    # Without the classes' names 1.png might be either.
    cases = load_mri_slices(root, size=8)
    assert [c.id for c in cases] == ["2"]
    assert "lies in 2 folders" in cases.failed[0][1]
    study(tmp_path, ["healthy/1.png;0;p1", "affected/1.png;1;p2"], pictures=False)
    assert [c.id for c in load_mri_slices(root, size=8)] == ["healthy-1", "affected-1"]


def test_labels_out_of_the_classes_and_unknown_ones(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0;p1", "b.png;2;p2", "c.png;;p3"])
    cases = load_mri_slices(root, classes=["healthy", "affected"], size=8)
    assert [(c.id, c.truth) for c in cases] == [("a", 0), ("c", None)]
    assert "outside the 2 classes (healthy, affected)" in cases.failed[0][1]


def test_a_dicom_slice_keeps_its_spacing_and_says_how_it_lies(tmp_path) -> None:
    root = study(tmp_path, ["a.dcm;0;p1"], pictures=False)
    pixels = RNG.integers(0, 900, (6, 4)).astype(np.uint16)
    ds = make_dicom.dataset(
        pixels, modality="MR", PixelSpacing=[0.8, 0.5], ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )  # fmt: skip
    make_dicom.write(ds, root / "images" / "a.dcm")
    (case,) = load_mri_slices(root, size=None)
    assert case.spacing == (0.8, 0.5)
    assert case.meta["orientation"] == "rows from head to feet, columns from right to left"
    assert torch.equal(case.inputs["image"][0, :, 1:5], torch.from_numpy(pixels.astype(np.float32)))
    (half,) = load_mri_slices(root, size=3)
    assert half.spacing == (1.6, 1.0)


@pytest.mark.parametrize("letters", ["RAS", "LPI", "SAR"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_slice_of_a_volume_is_upright_however_it_is_stored(tmp_path, letters, plane) -> None:
    """The volume's value says where a voxel lies: 100 to the left, 10 to the back, 1 to the head."""
    x, y, z = np.meshgrid(*(np.arange(s) for s in (3, 4, 5)), indexing="ij")  # LPS
    lps = nib.Nifti1Image((100 * x + 10 * y + z).astype(np.float32), np.diag([-2.0, -3.0, 4.0, 1.0]))
    code = nib.orientations.axcodes2ornt
    turn = nib.orientations.ornt_transform(code("LPS"), code(letters))
    root = study(tmp_path, ["v.nii.gz;0;p1;1"], header="img_name;label;group;slice", pictures=False)
    nib.save(lps.as_reoriented(turn), root / "images" / "v.nii.gz")
    (case,) = load_mri_slices(root, plane=plane, pad="none", size=None)
    got = case.inputs["image"][0].numpy()
    ends = {"axial": "SI", "coronal": "PA", "sagittal": "LR"}[plane]
    n = {"axial": 5, "coronal": 4, "sagittal": 3}[plane]
    k = 1 if ends[0] in letters else n - 2  # counted as the file counts
    value = 100 * x + 10 * y + z
    cut = {"axial": (slice(None), slice(None), k), "coronal": (slice(None), k, slice(None, None, -1)),
           "sagittal": (k, slice(None), slice(None, None, -1))}[plane]  # fmt: skip
    assert np.array_equal(got, value[cut].T)
    assert case.spacing == {"axial": (3, 2), "coronal": (4, 2), "sagittal": (4, 3)}[plane]
    assert (case.id, case.meta["slice"], case.meta["plane"]) == ("v-1", 1, plane)
    assert case.meta["orientation"].startswith("rows from front" if plane == "axial" else "rows from head")


def test_volumes_series_and_their_masks(tmp_path) -> None:
    root = study(tmp_path, ["v.nii;0;p1", "s;1;p2"], pictures=False)
    volume = RNG.integers(5, 90, (6, 5, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag([-1.0, -1.0, 2.0, 1.0])), root / "images" / "v.nii")
    make_dicom.write_series(root / "images" / "s", RNG.integers(0, 9, (3, 5, 6)).astype(np.uint16), intercepts=[0] * 3)
    (root / "leg").mkdir()
    leg = (volume > 40).astype(np.uint8)
    nib.save(nib.Nifti1Image(leg, np.diag([-1.0, -1.0, 2.0, 1.0])), root / "leg" / "v.nii")
    refused = load_mri_slices(root, slice=0, size=None).failed
    assert refused == []
    middle = load_mri_slices(root, slice="middle", pad="none", size=None)
    assert [c.id for c in middle] == ["v", "s"]
    assert [c.meta["slice"] for c in middle] == [2, 1]
    assert middle[1].spatial == (5, 6)
    masked = load_mri_slices(root, slice="middle", mask="leg", pad="none", size=None)
    assert [c.id for c in masked] == ["v"]
    assert torch.equal(masked[0].region("mask"), torch.from_numpy(leg[:, :, 2].T > 0))
    assert torch.equal(masked[0].inputs["image"][0], torch.from_numpy((volume * leg)[:, :, 2].T))
    with pytest.raises(InputError, match="has 4 slices; name the one in a column"):
        load_mri_slices(root, size=8)
    deep = load_mri_slices(root, slice=3, size=8)
    assert "slice 3 of 3; they are numbered from 0" in deep.failed[0][1]


def patients(root: Path, *folders: str) -> Path:
    """Two patients whose slices have the same name, in folders of their own; the files that are there."""
    study(root, ["p1/s.png;0;p1", "p2/s.png;1;p2"], pictures=False)
    for folder in folders:
        grey(root / folder / "s.png", value=255)
    return root


def test_a_missing_picture_is_not_that_of_another_patient(tmp_path) -> None:
    cases = load_mri_slices(patients(tmp_path, "images/p2"), size=8)
    assert [c.group for c in cases] == ["p2"]
    assert "p1/s.png is nowhere below" in cases.failed[0][1]
    assert "or not in the folders that the table names" in cases.failed[0][1]


@pytest.mark.parametrize(
    ("where", "have"),
    [
        ("lesion/p2", ["p2"]),
        ("lesion/t1/p2", ["p2"]),  # the folders may lie deeper
        ("lesion", []),  # whose is it?
        ("lesion/other", []),
    ],
)
def test_a_mask_is_not_that_of_another_patient(tmp_path, where, have) -> None:
    root = patients(tmp_path, "images/p1", "images/p2", where)
    cases = load_mri_slices(root, regions={"lesion": "lesion"}, size=8)
    assert [c.group for c in cases if "lesion" in c.regions] == have


def test_a_mask_of_the_other_class_is_not_taken(tmp_path) -> None:
    header = "img_name;label;group;id"
    root = study(tmp_path, ["1.png;healthy;p1;a", "1.png;affected;p2;b"], header=header, pictures=False)
    for folder in ("images/healthy", "images/affected", "lesion/affected"):
        grey(root / folder / "1.png", value=255)
    how = {"classes": ["healthy", "affected"], "columns": {"id": "id"}, "regions": {"lesion": "lesion"}, "size": 8}
    cases = load_mri_slices(root, **how)
    assert [(c.id, sorted(c.regions)) for c in cases] == [("a", []), ("b", ["lesion"])]


def test_files_are_named_within_their_folder(tmp_path) -> None:
    """Of the masks' folder, ``../images/a.png`` would be the picture itself."""
    root = study(tmp_path, ["../images/a.png;0;p1", "/elsewhere/study/b.png;1;p2"])
    for name in ("a", "b"):
        grey(root / "images" / f"{name}.png", value=200)
        grey(root / "leg" / f"{name}.png", value=255)
    cases = load_mri_slices(root, mask="leg", size=8)
    assert [c.group for c in cases] == ["p2"]  # a path of another computer is found by its name
    assert "leads out of" in cases.failed[0][1]


def test_an_empty_mask_leaves_nothing(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0;p1", "b.png;1;p2"])
    grey(root / "leg" / "a.png", value=0)
    grey(root / "leg" / "b.png", value=1)
    cases = load_mri_slices(root, mask="leg", size=8)
    assert [c.id for c in cases] == ["b"]
    assert "is empty, so nothing is left of it" in cases.failed[0][1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_as_a_spreadsheet_saves_it(tmp_path, end) -> None:
    root = study(tmp_path, ["a.png;0;p1", "b.png;1;nan"])
    lines = ["img_name;label;group", "a.png;0; p1 ", "b.png;1;nan", ""]
    (root / "data.csv").write_bytes(("\ufeff" + end.join(lines)).encode())
    cases = load_mri_slices(root, size=8)
    assert [(c.id, c.group) for c in cases] == [("a", "p1")]
    assert "its patient is not in the table" in cases.failed[0][1]


@pytest.mark.parametrize("letters", ["LPS", "LPI", "RSA"])
def test_a_volumes_mask_is_cut_where_the_volume_is(tmp_path, letters) -> None:
    """However each of the two files has its axes."""
    root = study(tmp_path, ["v.nii;0;p1;1"], header="img_name;label;group;slice", pictures=False)
    volume = RNG.integers(1, 90, (6, 5, 4)).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(volume, affine), root / "images" / "v.nii")
    (root / "lesion").mkdir()
    lesion = nib.Nifti1Image((volume > 40).astype(np.uint8), affine)
    code = nib.orientations.axcodes2ornt
    turned = lesion.as_reoriented(nib.orientations.ornt_transform(code("LPS"), code(letters)))
    nib.save(turned, root / "lesion" / "v.nii")
    how = {"regions": {"lesion": "lesion"}, "pad": "none", "size": None}
    (case,) = load_mri_slices(root, **how)
    assert torch.equal(case.region("lesion"), case.inputs["image"][0] > 40)
    for bad, says in (
        (lesion.slicer[:, :, :3], r"the mask's grid is \(6, 5, 3\), the volume's \(6, 5, 4\)"),
        (nib.Nifti1Image(np.asarray(lesion.dataobj), affine + np.outer([3, 0, 0, 0], [0, 0, 0, 1])), "lies 3 mm from"),
    ):
        nib.save(bad, root / "lesion" / "v.nii")
        with pytest.raises(InputError, match=says):
            load_mri_slices(root, **how)


def test_a_background_that_would_be_a_grey_is_refused(tmp_path) -> None:
    root = study(tmp_path, ["v.npy;0;p1"], pictures=False)
    np.save(root / "images" / "v.npy", np.linspace(-2, 3, 24, dtype=np.float32).reshape(6, 4))
    with pytest.raises(InputError, match="has values down to -2, so a background of 0 would be a grey among them"):
        load_mri_slices(root, size=None)
    (case,) = load_mri_slices(root, background="min", size=None)
    assert float(case.inputs["image"][0, 0, 0]) == -2
    assert float(load_mri_slices(root, background=-5, size=None)[0].inputs["image"].min()) == -5


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"mixed": "drop"}, UsageError, "give one of fail, keep"),
        ({"pad": "mirror"}, UsageError, "give one of square, size, none"),
        ({"plane": "oblique"}, UsageError, "give one of axial, coronal, sagittal"),
        ({"background": "black"}, UsageError, "give a number, or 'min'"),
        ({"slice": "last"}, UsageError, "give a number from 0, or 'middle'"),
        ({"pad": "size", "size": None}, UsageError, "give size"),
        ({"columns": {"image": "x"}}, UsageError, "columns has 'image'"),
        ({"columns": {"label": "lable"}}, InputError, "no column 'lable'; name it with columns: {label: …}"),
        ({"meta": ["age"]}, InputError, "no column 'age' for meta"),
        ({"images": "none"}, InputError, "no such folder"),
        ({"mask": "none"}, InputError, "no such folder"),
        ({"csv": "none.csv"}, InputError, "no such file"),
    ],
)
def test_options_that_are_wrong(tmp_path, options, error, says) -> None:
    with pytest.raises(error, match=says.replace("{", r"\{")):
        load_mri_slices(four(tmp_path), **options)


def test_a_slice_that_is_no_number(tmp_path) -> None:
    root = study(tmp_path, ["a.png;0;p1;top"], header="img_name;label;group;slice")
    with pytest.raises(InputError, match="line 2: slice 'top' is no whole number"):
        load_mri_slices(root)
