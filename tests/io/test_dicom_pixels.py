"""Stored numbers to real units, against pydicom's own pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

from make_dicom import dataset, write
from pellucid.errors import InputError, UsageError
from pellucid.io import read

RNG = np.random.default_rng(0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.integers(8, 16),
    signed=st.booleans(),
    slope=st.sampled_from([1.0, 0.5, 2.25, -1.0]),
    intercept=st.sampled_from([0.0, -1024.0, 3.5]),
)
def test_signed_and_unsigned_8_to_16_bits(tmp_path, bits, signed, slope, intercept):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    pixels = RNG.integers(low, high, size=(5, 7), endpoint=True).astype(kind)
    pixels[0, :2] = low, high
    file = write(dataset(pixels, bits=bits, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path / "a.dcm")
    ds = dcmread(file)
    image = read(file)
    assert image.array.shape == (1, 5, 7)
    np.testing.assert_allclose(image.array[0], apply_modality_lut(ds.pixel_array, ds), rtol=1e-6)
    np.testing.assert_allclose(image.array[0], pixels * slope + intercept, rtol=1e-6)


def test_bits_above_bits_stored_are_dropped(tmp_path):
    pixels = RNG.integers(0, 4096, size=(4, 4)).astype(np.uint16)
    file = write(dataset(pixels | 0xF000, bits=12), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(file).array[0], pixels)


def test_modality_lut_is_applied(tmp_path):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    ds = dataset(pixels)
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [16, 0, 16], "US"
    lut.add_new(0x00283006, "US", [int(v) for v in 1000 - 7 * np.arange(16)])
    ds.ModalityLUTSequence = [lut]
    file = write(ds, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(file).array[0], 1000 - 7 * np.arange(16).reshape(4, 4))


def test_window_is_for_display_only(tmp_path):
    pixels = RNG.integers(0, 4096, size=(6, 6)).astype(np.uint16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 300], "WindowWidth": [400, 1500]}
    file = write(dataset(pixels, bits=12, **tags), tmp_path / "a.dcm")
    image, ds = read(file), dcmread(file)
    np.testing.assert_array_equal(image.array[0], pixels - 1024.0)
    # The ends of the window are where pydicom's linear function reaches black and white.
    shown = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds, index=0)
    low, high = image.window
    assert (low, high) == (-160.0, 239.0)
    assert (shown[image.array[0] <= low] == shown.min()).all()
    assert (shown[image.array[0] > high] == shown.max()).all()
    inside = (image.array[0] > low) & (image.array[0] <= high)
    assert inside.any()
    expected = (image.array[0][inside] - low) / (high - low) * (shown.max() - shown.min()) + shown.min()
    np.testing.assert_allclose(shown[inside], expected, atol=1e-3)


def test_monochrome1_mirrors_the_window_too(tmp_path):
    pixels = RNG.integers(0, 1024, size=(6, 6)).astype(np.uint16)
    tags = {"RescaleSlope": 2, "RescaleIntercept": 10, "WindowCenter": 510.5, "WindowWidth": 101}
    one = read(write(dataset(pixels, bits=10, PhotometricInterpretation="MONOCHROME1", **tags), tmp_path / "1.dcm"))
    two = read(write(dataset(pixels, bits=10, **tags), tmp_path / "2.dcm"))
    mirror = 2 * 1023 + 2 * 10
    np.testing.assert_array_equal(one.array, mirror - two.array)
    assert one.window == (mirror - two.window[1], mirror - two.window[0])
    assert one.meta["mirrored"] and not two.meta["mirrored"]


def test_palette_colour(tmp_path):
    pixels = np.array([[0, 1], [2, 1]], np.uint8)
    ds = dataset(pixels, PhotometricInterpretation="PALETTE COLOR")
    table = RNG.integers(0, 256, size=(3, 4)).astype(np.uint8)
    for name, row in zip(("Red", "Green", "Blue"), table):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", row.tobytes())
    image = read(write(ds, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.array, table[:, pixels])


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_in_both_planar_configurations(tmp_path, planar):
    rgb = RNG.integers(0, 256, size=(4, 6, 3)).astype(np.uint8)
    ds = dataset(rgb[..., 0], PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=planar)
    ds.PixelData = (rgb.transpose(2, 0, 1) if planar else rgb).tobytes()
    image = read(write(ds, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.array, rgb.transpose(2, 0, 1))


def test_ybr_full_becomes_rgb(tmp_path):
    ybr = np.array([[[128, 128, 128], [76, 85, 255]]], np.uint8)  # mid-grey, and pure red
    ds = dataset(ybr[..., 0], PhotometricInterpretation="YBR_FULL", SamplesPerPixel=3, PlanarConfiguration=0)
    ds.PixelData = ybr.tobytes()
    array = read(write(ds, tmp_path / "a.dcm")).array
    np.testing.assert_allclose(array[:, 0, 0], 128, atol=1)
    np.testing.assert_allclose(array[:, 0, 1], [254, 0, 0], atol=2)


def test_rle_big_endian_and_implicit(tmp_path):
    pixels = RNG.integers(0, 60000, size=(8, 8)).astype(np.uint16)
    rle = dataset(pixels)
    rle.compress(RLELossless)
    np.testing.assert_array_equal(read(write(rle, tmp_path / "rle.dcm")).array[0], pixels)
    big = dataset(pixels)
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big.PixelData = pixels.astype(">u2").tobytes()
    big.save_as(tmp_path / "big.dcm", little_endian=False, implicit_vr=False)
    np.testing.assert_array_equal(read(tmp_path / "big.dcm").array[0], pixels)
    plain = dataset(pixels)
    del plain.file_meta
    plain.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)  # neither preamble, meta nor suffix
    assert (tmp_path / "bare").read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read(tmp_path / "bare").array[0], pixels)
    implicit = dataset(pixels)
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    np.testing.assert_array_equal(read(write(implicit, tmp_path / "implicit.dcm")).array[0], pixels)


def test_an_undecodable_syntax_is_named_with_what_to_install(tmp_path):
    ds = dataset(np.zeros((4, 4), np.uint16), bits=12)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"  # JPEG-LS
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"\x00" * 32])
    file = write(ds, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"JPEG-LS.*install pyjpegls"):
        read(file)
    ds.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    with pytest.raises(InputError, match=r"a\.dcm.*JPEG"):
        read(write(ds, file))


def test_truncated_pixel_data_are_refused(tmp_path):
    ds = dataset(np.zeros((8, 8), np.uint16))
    ds.PixelData = ds.PixelData[:100]
    with pytest.raises(InputError, match=r"a\.dcm: the pixel data are shorter"):
        read(write(ds, tmp_path / "a.dcm"))


def test_spacing_says_where_it_comes_from(tmp_path):
    pixels = np.zeros((4, 4), np.uint8)
    tags = {"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [0.4, 0.5]}
    a = read(write(dataset(pixels, **tags), tmp_path / "a.dcm"))
    assert a.spacing == (0.2, 0.3)
    assert a.meta["spacing_from"] == "PixelSpacing"
    b = read(write(dataset(pixels, ImagerPixelSpacing=[0.4, 0.5]), tmp_path / "b.dcm"))
    assert b.spacing == (0.4, 0.5)
    assert b.meta["spacing_from"] == "ImagerPixelSpacing"
    assert read(write(dataset(pixels), tmp_path / "c.dcm")).spacing is None


def test_nothing_that_identifies_leaves_the_header(tmp_path):
    ds = dataset(np.zeros((4, 4), np.uint8), StudyDate="20200101", PatientAge="050Y", SeriesDescription="Secret^Name")
    image = read(write(ds, tmp_path / "a.dcm"))
    said = repr(dict(image.meta)) + repr(dict(image.to_case().meta))
    for secret in ("Secret", "SECRET", "2020", "050", str(ds.SOPInstanceUID)):
        assert secret not in said


def test_frame_out_of_range(tmp_path):
    file = write(dataset(np.zeros((3, 4, 4), np.uint8)), tmp_path / "a.dcm")
    with pytest.raises(UsageError, match="frame 3 of 3"):
        read(file, frame=3)
