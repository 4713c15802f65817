"""Trap uint8_and_monochrome: X-rays read as 8 bit, MONOCHROME1 not inverted, the rescale slope ignored."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut

from make_dicom import dataset, write
from make_nih import make_nih
from pellucid.data import load_dataset
from pellucid.io import read

RNG = np.random.default_rng(10)


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (10, "u2"), (12, "u2"), (14, "u2"), (16, "u2"), (12, "i2"), (16, "i2")])
def test_no_bit_is_lost_against_pydicoms_pipeline(tmp_path, bits, dtype):
    low = -(2 ** (bits - 1)) if dtype == "i2" else 0
    ramp = (low + np.arange(2**bits)[:: max(1, 2**bits // 4096)]).astype(dtype).reshape(16, -1)
    file = write(dataset(ramp, bits=bits, modality="DX", RescaleSlope=0.25, RescaleIntercept=-3), tmp_path / "x.dcm")
    ds = dcmread(file)
    array = read(file).array[0]
    np.testing.assert_array_equal(array, apply_modality_lut(ds.pixel_array, ds).astype(np.float32))
    assert len(np.unique(array)) == ramp.size, "as many grey values as were stored, not 256"


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (12, "u2"), (16, "u2"), (12, "i2"), (16, "i2")])
def test_monochrome1_is_inverted_larger_is_brighter(tmp_path, bits, dtype):
    low = -(2 ** (bits - 1)) if dtype == "i2" else 0
    high = low + 2**bits - 1
    pixels = RNG.integers(low, high, size=(8, 8), endpoint=True).astype(dtype)
    tags = {"RescaleSlope": 2, "RescaleIntercept": 100}
    one = read(write(dataset(pixels, bits=bits, PhotometricInterpretation="MONOCHROME1", **tags), tmp_path / "1.dcm"))
    ds = dcmread(tmp_path / "1.dcm")
    stored = ds.pixel_array.astype(np.int64)
    # Mirrored within the stored range, then rescaled: what pydicom's pipeline gives for the mirrored numbers.
    np.testing.assert_array_equal(one.array[0], apply_modality_lut(low + high - stored, ds))
    darkest = np.unravel_index(stored.argmax(), stored.shape)
    assert one.array[0][darkest] == one.array.min()
    assert one.meta["mirrored"]
    two = read(write(dataset(pixels, bits=bits, **tags), tmp_path / "2.dcm"))
    assert np.corrcoef(one.array.ravel(), two.array.ravel())[0, 1] == pytest.approx(-1)


def test_the_slope_differs_per_slice_and_is_never_ignored(tmp_path):
    pixels = np.full((4, 4), 100, np.uint16)
    values = [read(write(dataset(pixels, RescaleSlope=s, RescaleIntercept=-5), tmp_path / "a.dcm")).array.mean() for s in (1, 2.5)]
    assert values == [95.0, 245.0]


def test_16_bit_png_keeps_its_grey_values(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    PIL.Image.fromarray(ramp).save(tmp_path / "x.png")
    image = read(tmp_path / "x.png")
    assert len(np.unique(image.array)) == 65536
    assert image.array.max() == 1.0


def test_chestx_ray14_keeps_16_bits_and_reads_rgba_as_the_grey_that_it_is(tmp_path):
    root = make_nih(tmp_path, patients=3, most=1)
    deep, colour, plain = sorted(root.rglob("*.png"))
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    PIL.Image.fromarray(ramp).save(deep)
    grey = (ramp >> 8).astype(np.uint8)
    PIL.Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 128)])).save(colour)  # as if half transparent
    PIL.Image.fromarray(grey).save(plain)
    cases = {c.id: c.inputs["image"] for c in load_dataset("nih_chestxray14", root, size=None, duplicates="keep")}
    assert len(cases[deep.stem].unique()) == 65536 and cases[deep.stem].max() == 1
    np.testing.assert_array_equal(cases[deep.stem][0].numpy(), ramp.astype(np.float32) / np.float32(65535))
    assert cases[colour.stem].shape == (1, 256, 256) and (cases[colour.stem] == cases[plain.stem]).all()
