"""Maps to NIfTI, PNG, NPZ, and back."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from pellucid.core.attribution import Attribution
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io import load_maps, read, save_maps, write_nifti

G = torch.Generator().manual_seed(6)


def attribution(maps, **fields):
    fields = {"method": "saliency", "case_id": "p1", "target": {"label": "nodule", "index": 1}, "score": 0.5} | fields
    return Attribution(maps=maps, **fields)


def flat(shape=(2, 40, 60)):
    return attribution({"xray": torch.randn(shape, generator=G)}, spacing=(0.5, 0.5))


def volume(tmp_path, **fields):
    affine = np.array([[0, 0, 2.0, -5], [-1.0, 0, 0, 7], [0, 3.0, 0, 1], [0, 0, 0, 1]])
    write_nifti(np.zeros((5, 6, 7), np.float32), Geometry(affine, (5, 6, 7)), tmp_path / "source.nii.gz")
    geometry = read(tmp_path / "source.nii.gz", orientation="RAS").geometry
    maps = {"mr": torch.randn((2, *geometry.shape), generator=G)}
    return attribution(maps | fields.pop("more", {}), geometry=geometry, spacing=geometry.spacing, image_axes=3, **fields)


def test_nifti_lies_on_the_source(tmp_path):
    a = volume(tmp_path)
    [path] = save_maps(a, tmp_path / "map.nii.gz")
    source, back = nib.load(tmp_path / "source.nii.gz"), nib.load(path)
    assert back.shape == source.shape
    np.testing.assert_array_equal(back.affine, source.affine)
    assert back.get_data_dtype() == np.float32
    turned = nib.as_closest_canonical(back).get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(turned, a.maps["mr"].sum(0).numpy())


def test_several_inputs_have_a_file_each(tmp_path):
    a = volume(tmp_path, more={"age & sex": torch.tensor([0.5, -1.5])})
    paths = a.save(tmp_path / "out" / "map.nii.gz")
    assert [p.name for p in paths] == ["map_mr.nii.gz", "map_age_sex.csv"]
    table = pd.read_csv(paths[1])
    assert list(table["attribution"]) == [0.5, -1.5]
    names = [p.name for p in save_maps(a, tmp_path / "out" / "map.png")]
    assert names == ["map_mr.png", "map_age_sex.png"]
    assert all(PIL.Image.open(tmp_path / "out" / n).size[0] > 100 for n in names)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([*names, "map_mr.nii.gz", "map_age_sex.csv"])


def test_npz_gives_back_everything(tmp_path):
    a = volume(tmp_path, more={"table": torch.randn(4, generator=G)}, provenance={"seed": np.int64(3), "layer": None}, signed=False)
    [path] = save_maps(a, tmp_path / "map.npz")
    back = load_maps(path)
    assert list(back.maps) == ["mr", "table"]
    for name, m in a.maps.items():
        assert torch.equal(back.maps[name], m)
        assert back.maps[name].dtype == torch.float32
    assert back.method == "saliency"
    assert not back.signed
    assert back.provenance["provenance"] == {"seed": 3, "layer": None}
    np.testing.assert_allclose(back.spacing, a.spacing)
    np.testing.assert_array_equal(back.geometry.restored(a.maps["mr"].numpy()), a.geometry.restored(a.maps["mr"].numpy()))
    with np.load(path, allow_pickle=False) as plain:
        assert json.loads(str(plain["provenance"]))["case"] == "p1"
    cropped = a.replace(geometry=a.geometry.cropped((1, 0, 2), (3, 4, 5)))
    assert load_maps(save_maps(cropped, path)[0]).geometry.crop == ((1, 0, 2), (3, 4, 5))


def test_what_is_refused(tmp_path):
    a = flat()
    with pytest.raises(UsageError, match=r"\(40, 60\); NIfTI is for volumes, write \.png .* or \.npz"):
        save_maps(a, tmp_path / "m.nii.gz")
    with pytest.raises(UsageError, match=r"written as \.nii\.gz"):
        save_maps(a, tmp_path / "m.jpg")
    with pytest.raises(UsageError, match="no map of a volume"):
        save_maps(attribution({"t": torch.ones(3)}), tmp_path / "m.nii")
    with pytest.raises(UsageError, match="neither affine nor spacing"):
        save_maps(attribution({"v": torch.ones(1, 3, 3, 3)}, image_axes=3), tmp_path / "m.nii")
    with pytest.raises(UsageError, match="same file name"):
        save_maps(attribution({"a b": torch.ones(1, 3, 3), "a_b": torch.ones(1, 3, 3)}), tmp_path / "m.png")
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "other.npz", image=np.ones((2, 2)))
    with pytest.raises(InputError, match="no maps of Pellucid's"):
        load_maps(tmp_path / "other.npz")
    np.savez(tmp_path / "bad.npz", **{"map/x": np.ones((2, 2)), "provenance": np.array("{")})
    with pytest.raises(InputError, match="damaged"):
        load_maps(tmp_path / "bad.npz")


def test_a_volume_with_spacing_alone_keeps_it(tmp_path):
    a = attribution({"v": torch.ones(1, 3, 4, 5)}, image_axes=3, spacing=(1.0, 2.0, 3.0))
    assert nib.load(save_maps(a, tmp_path / "m.nii")[0]).header.get_zooms() == (1.0, 2.0, 3.0)


def dominant(path, where):
    """Mean colour of a part of the picture, given as shares of its height and width."""
    rgb = np.asarray(PIL.Image.open(path).convert("RGB")).astype(float)
    rows, columns = (slice(int(a * n), int(b * n)) for (a, b), n in zip(where, rgb.shape[:2]))
    return rgb[rows, columns].mean((0, 1))


def test_signed_png_is_blue_white_red_about_zero(tmp_path):
    m = torch.zeros(1, 60, 60)
    m[:, :, :20], m[:, :, 40:] = -1.0, 0.5  # half as much for as against: it must look half as red
    [path] = save_maps(attribution({"x": m}), tmp_path / "m.png")
    height = (0.45, 0.55)
    left, middle, right = (dominant(path, (height, w)) for w in ((0.06, 0.12), (0.38, 0.42), (0.68, 0.7)))
    assert left[2] > left[0] + 40, "against is blue"
    assert middle.min() > 240, "zero is white"
    assert right[0] > right[2] + 40, "for is red"
    assert right.min() > left.min() + 40, "and paler, being half as large"


def test_magnitudes_are_dark_at_zero(tmp_path):
    m = torch.zeros(1, 60, 60)
    m[:, :, 30:] = 1.0
    [path] = save_maps(attribution({"x": m}, signed=False), tmp_path / "m.png")
    assert dominant(path, ((0.45, 0.55), (0.1, 0.2))).max() < 30
    assert dominant(path, ((0.45, 0.55), (0.68, 0.7))).min() > 150


@pytest.mark.parametrize("value", [0.0, float("nan"), 1.0])
def test_flat_empty_and_broken_maps_are_drawn_too(tmp_path, value):
    for signed in (True, False):
        [path] = save_maps(attribution({"x": torch.full((1, 8, 8), value)}, signed=signed), tmp_path / "m.png")
        assert PIL.Image.open(path).size[0] > 100
