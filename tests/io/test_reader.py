"""The one door: what kind of file it is, what it may be asked, and damaged bytes."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from make_dicom import dataset, write, write_series
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, PellucidError, UsageError
from pellucid.io import Image, atomic, read, write_nifti, write_png

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    pixels = RNG.integers(0, 4096, size=(16, 16)).astype(np.uint16)
    write(dataset(pixels, bits=12, PixelSpacing=[1, 1], WindowCenter=40, WindowWidth=400), folder / "a.dcm")
    write_png((pixels >> 4).astype(np.uint8), folder / "a.png")
    PIL.Image.fromarray((pixels >> 4).astype(np.uint8)).save(folder / "a.jpg")
    PIL.Image.fromarray(pixels).save(folder / "a.tif")
    volume = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    write_nifti(volume, Geometry(np.eye(4), (4, 5, 6)), folder / "a.nii")
    write_nifti(volume, Geometry(np.eye(4), (4, 5, 6)), folder / "a.nii.gz")
    np.save(folder / "a.npy", volume)
    np.savez(folder / "a.npz", image=volume, affine=np.diag([2.0, 3.0, 4.0, 1.0]))
    return folder


ALL = ["a.dcm", "a.png", "a.jpg", "a.tif", "a.nii", "a.nii.gz", "a.npy", "a.npz"]


@pytest.mark.parametrize("name", ALL)
def test_content_decides_not_the_name(files, tmp_path, name):
    expected = read(files / name)
    (tmp_path / "noname").write_bytes((files / name).read_bytes())
    np.testing.assert_array_equal(read(tmp_path / "noname").array, expected.array)
    np.testing.assert_array_equal(read("in/an/archive.bin", data=(files / name).read_bytes()).array, expected.array)
    wrong = tmp_path / ("wrong.png" if name != "a.png" else "wrong.jpg")
    wrong.write_bytes((files / name).read_bytes())
    np.testing.assert_array_equal(read(wrong).array, expected.array)
    case = expected.to_case()
    assert case.id == "a"
    assert case.inputs["image"].dtype == torch.float32
    assert case.spacing == expected.spacing


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(ALL), seed=st.integers(0, 2**32 - 1), cut=st.booleans())
def test_damaged_bytes_give_an_image_or_a_clear_refusal(files, name, seed, cut):
    rng = np.random.default_rng(seed)
    data = bytearray((files / name).read_bytes())
    for _ in range(rng.integers(1, 20)):
        data[rng.integers(0, min(len(data), 1200))] = rng.integers(0, 256)
    if cut:
        data = data[: rng.integers(1, len(data))]
    try:
        image = read(name, data=bytes(data))
    except PellucidError as error:
        image, said = None, str(error)
        assert "Secret" not in said, "the header was quoted"
    assert name in said if image is None else image.array.ndim in (3, 4)


def test_missing_empty_unknown_and_folders(tmp_path):
    with pytest.raises(InputError, match=r"absent\.nii: no such file"):
        read(tmp_path / "absent.nii")
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match=r"empty\.png: the file is empty"):
        read(tmp_path / "empty.png")
    (tmp_path / "note.xyz").write_text("hello, this is no picture" * 20)
    with pytest.raises(InputError, match=r"note\.xyz: the kind of file is not known; Pellucid reads DICOM, NIfTI"):
        read(tmp_path / "note.xyz")
    for suffix in (".dcm", ".png", ".nii", ".nii.gz", ".tif", ".npy", ".npz"):
        bad = tmp_path / f"bad{suffix}"
        bad.write_bytes(b"this is not what its name says " * 30)
        with pytest.raises(InputError, match="bad"):
            read(bad)
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="no DICOM picture"):
        read(tmp_path / "x")


def test_options_of_another_format_are_refused(files):
    with pytest.raises(UsageError, match="option 'volume' is for NIfTI; this is PNG"):
        read(files / "a.png", volume=0)
    with pytest.raises(UsageError, match="no place in the patient"):
        read(files / "a.png", orientation="RAS")
    for letters in ("RAX", "RRS", "RA", "RASI"):
        with pytest.raises(UsageError, match="one letter of each pair"):
            read(files / "a.nii", orientation=letters)


def test_numpy_files(files, tmp_path):
    held = read(files / "a.npz")
    assert held.array.shape == (1, 4, 5, 6)
    assert held.spacing == (2, 3, 4)
    for shape, channels, expected in [
        ((5, 6), None, (1, 5, 6)), ((3, 5, 6), None, (3, 5, 6)), ((5, 6, 3), None, (3, 5, 6)),
        ((8, 5, 6), None, (1, 8, 5, 6)), ((8, 5, 6), "first", (8, 5, 6)), ((2, 5, 6, 7), None, (2, 5, 6, 7)),
        ((5, 6, 7, 2), "last", (2, 5, 6, 7)), ((3, 5, 6), "none", (1, 3, 5, 6)),
    ]:  # fmt: skip
        np.save(tmp_path / "a.npy", RNG.normal(size=shape))
        assert read(tmp_path / "a.npy", channels=channels).array.shape == expected
    np.save(tmp_path / "a.npy", np.ones(5))
    with pytest.raises(InputError, match=r"array is \(5,\)"):
        read(tmp_path / "a.npy")
    np.savez(tmp_path / "m.npz", left=np.ones((4, 4)), right=np.zeros((4, 4)))
    with pytest.raises(InputError, match="left, right; choose one with key="):
        read(tmp_path / "m.npz")
    assert read(tmp_path / "m.npz", key="right").array.max() == 0
    with pytest.raises(InputError, match="did you mean 'right'"):
        read(tmp_path / "m.npz", key="rihgt")


def test_pickled_objects_are_not_loaded(tmp_path):
    for name in ("o.npy", "o.npz"):
        objects = np.array([{"a": 1}], dtype=object)
        np.save(tmp_path / name, objects, allow_pickle=True) if name == "o.npy" else np.savez(tmp_path / name, x=objects)
        with pytest.raises(InputError, match="pickled Python objects"):
            read(tmp_path / name)


def test_image_checks_its_grid_and_needs_an_id():
    with pytest.raises(InputError, match="the grid is"):
        Image(array=np.ones((1, 2, 2, 2)), geometry=Geometry(np.eye(4), (2, 2, 3)))
    with pytest.raises(InputError, match="a picture is"):
        Image(array=np.ones((2, 2)))
    with pytest.raises(UsageError, match="to_case"):
        Image(array=np.ones((1, 2, 2))).to_case()
    case = Image(array=np.ones((1, 2, 2)), window=(0, 1), meta={"view": "PA"}).to_case(id="p", name="x", truth=1, meta={"age": 3})
    assert dict(case.meta) == {"view": "PA", "window": (0, 1), "age": 3}
    assert case.truth == 1
    assert case.images == ("x",)


def test_a_volume_case_carries_the_geometry_back(tmp_path):
    write_series(tmp_path / "s", RNG.integers(0, 9, size=(3, 4, 5)).astype(np.uint16))
    case = read(tmp_path / "s", orientation="RAS").to_case(id="p")
    assert case.geometry.orientation == "RAS"
    assert case.geometry.source_shape == (5, 4, 3)


def test_writing_is_all_or_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def half(error):
        with atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(ZeroDivisionError):
        half(ZeroDivisionError())
    assert (tmp_path / "a.txt").read_text() == "old"
    with pytest.raises(InputError, match=r"a\.txt: cannot be written \(No space left"):
        half(OSError(28, "No space left on device"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_png(np.zeros((2, 2), np.uint8), tmp_path / "file" / "a.png")
