"""PNG, JPEG and TIFF."""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import SimpleITK
import tifffile

from pellucid.errors import InputError, UsageError
from pellucid.io import read, write_png

RNG = np.random.default_rng(4)
GREY8 = RNG.integers(0, 256, size=(5, 7)).astype(np.uint8)
RGB8 = RNG.integers(0, 256, size=(5, 7, 3)).astype(np.uint8)
GREY16 = RNG.integers(0, 65536, size=(5, 7)).astype(np.uint16)
RGB16 = RNG.integers(0, 65536, size=(5, 7, 3)).astype(np.uint16)


def channels_first(array):
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


@pytest.mark.parametrize("array", [GREY8, RGB8, GREY16, RGB16], ids=["grey8", "rgb8", "grey16", "rgb16"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_8_and_16_bit_grey_and_colour_keep_every_bit(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=array.ndim == 3), str(path))
    stored = read(path, scale=False)
    np.testing.assert_array_equal(stored.array, channels_first(array))
    scaled = read(path)
    np.testing.assert_allclose(scaled.array, channels_first(array) / np.iinfo(array.dtype).max, rtol=1e-6)
    assert scaled.meta["bits"] == 8 * array.dtype.itemsize
    assert scaled.meta["scaled"]
    from_bytes = read("a" + suffix, data=path.read_bytes())
    np.testing.assert_array_equal(from_bytes.array, scaled.array)


def test_jpeg(tmp_path):
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    PIL.Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image = read(tmp_path / "a.jpg", scale=False)
    assert image.array.shape == (1, 64, 64)
    assert np.abs(image.array[0] - smooth).max() < 6
    PIL.Image.fromarray(np.stack([smooth] * 3, -1)).save(tmp_path / "b.jpg")
    assert read(tmp_path / "b.jpg").array.shape == (3, 64, 64)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped_and_said(tmp_path, mode):
    base = GREY8 if mode == "LA" else RGB8
    alpha = np.full((5, 7, 1), 100, np.uint8)
    layers = np.concatenate([base.reshape(5, 7, -1), alpha], axis=-1)
    PIL.Image.fromarray(layers, mode).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png", scale=False)
    np.testing.assert_array_equal(image.array, channels_first(base))
    assert image.meta["alpha_dropped"]
    assert "alpha_dropped" not in read(write_png(base, tmp_path / "b.png")).meta


def test_palettes_are_expanded(tmp_path):
    index = np.array([[0, 1], [2, 1]], np.uint8)
    table = RNG.integers(0, 256, size=(4, 3)).astype(np.uint8)
    image = PIL.Image.fromarray(index, "P")
    image.putpalette(table.tobytes())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", scale=False).array, np.moveaxis(table[index], -1, 0))
    colours = RNG.integers(0, 65536, size=(3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", scale=False).array, colours[:, index])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("suffix", "compression"), [(".png", None), (".tif", None), (".tif", "tiff_lzw")])
def test_exif_orientation_is_honoured(tmp_path, turn, suffix, compression):
    image = PIL.Image.fromarray(GREY8)
    exif = image.getexif()
    exif[274] = turn
    for name in {f"a{suffix}", "a.png"}:
        image.save(tmp_path / name, exif=exif, **({"compression": compression} if name == "a.tif" else {}))
    # From the PNG: Pillow 13 scrambles an uncompressed TIFF that is turned by a quarter.
    upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(tmp_path / "a.png")))
    assert (turn == 1) == (upright.shape == GREY8.shape and bool((upright == GREY8).all()))
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}", scale=False).array[0], upright)


def test_tiff_with_white_as_zero_signed_float_planar_and_bilevel(tmp_path):
    tifffile.imwrite(tmp_path / "w.tif", GREY8, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "w.tif", scale=False).array[0], 255 - GREY8.astype(int))
    for array in (RNG.normal(size=(5, 7)).astype(np.float32), RNG.integers(-900, 900, (5, 7)).astype(np.int16)):
        tifffile.imwrite(tmp_path / "f.tif", array)
        held = read(tmp_path / "f.tif")
        np.testing.assert_array_equal(held.array[0], array)
        assert not held.meta["scaled"]
    tifffile.imwrite(tmp_path / "p.tif", RGB16.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read(tmp_path / "p.tif", scale=False).array, RGB16.transpose(2, 0, 1))
    PIL.Image.fromarray(GREY8 > 100).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read(tmp_path / "b.png").array[0], GREY8 > 100)


def test_compressed_tiff(tmp_path):
    PIL.Image.fromarray(GREY8).save(tmp_path / "l.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read(tmp_path / "l.tif", scale=False).array[0], GREY8)
    PIL.Image.fromarray(RGB8).save(tmp_path / "c.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read(tmp_path / "c.tif", scale=False).array, channels_first(RGB8))
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "d.tif"))
    writer.SetUseCompression(True)
    writer.SetCompressor("LZW")
    writer.Execute(SimpleITK.GetImageFromArray(RGB16, isVector=True))
    with tifffile.TiffFile(tmp_path / "d.tif") as file:
        assert file.pages[0].compression.name == "LZW"
    np.testing.assert_array_equal(read(tmp_path / "d.tif", scale=False).array, channels_first(RGB16))


def test_pages_of_a_tiff_are_frames(tmp_path):
    pages = RNG.integers(0, 256, size=(4, 5, 7)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    image = read(tmp_path / "a.tif", scale=False)
    np.testing.assert_array_equal(image.array, pages[None])
    assert image.meta["axes"] == "frame row column"
    np.testing.assert_array_equal(read(tmp_path / "a.tif", scale=False, frame=2).array[0], pages[2])
    with pytest.raises(UsageError, match="frame 4 of 4"):
        read(tmp_path / "a.tif", frame=4)


def test_write_png(tmp_path):
    for array in (GREY8, RGB8):
        path = write_png(array, tmp_path / "new" / "a.png")
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(path)), array)
    with pytest.raises(UsageError, match="uint8"):
        write_png(GREY16, tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"ends in \.png"):
        write_png(GREY8, tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_cut_pictures_are_refused(tmp_path, suffix):
    noise = RNG.integers(0, 256, size=(64, 64)).astype(np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=rf"a\{suffix}: cannot be read as"):
        read(tmp_path / f"a{suffix}")


def test_cmyk_tiff_is_refused(tmp_path):
    PIL.Image.fromarray(np.zeros((4, 4, 4), np.uint8), "CMYK").save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="SEPARATED"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_that_lead_back_to_themselves_are_refused(tmp_path, big, order):
    """Found by the damaged bytes of another test: the library that reads TIFF would go round for ever."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 4, 4), np.uint8), photometric="minisblack", bigtiff=big, byteorder=order)
    read(path)
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
    raw = bytearray(path.read_bytes())
    count, entry, place = ("Q", 20, "Q") if big else ("H", 12, "I")
    (tags,) = struct.unpack_from(order + count, raw, second)
    for back in (first, second):
        struct.pack_into(order + place, raw, second + struct.calcsize(order + count) + tags * entry, back)
        path.write_bytes(raw)
        with pytest.raises(InputError, match="lead back to themselves"):
            read(path)
