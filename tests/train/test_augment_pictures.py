"""Changes that make a model hold on pictures of other origin: what moves, what stays, and that a seed repeats them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from pellucid.errors import UsageError
from pellucid.train.augment import AUGMENTATIONS, Affine, as_augmentations
from pellucid.train.augment_base import Augmentation
from pellucid.train.augment_grey import BiasField, Blur, ColorJitter, Gamma, Invert, Noise
from pellucid.train.augment_things import Frame, Opacities, PasteDevices

NEW: dict[str, dict[str, Any]] = {
    "gamma": {}, "bias_field": {}, "noise": {}, "blur": {}, "color_jitter": {},
    "invert": {"p": 0.5}, "paste_devices": {"p": 1.0},
    "opacities": {"p": 1.0}, "frame": {"p": 1.0}, "affine": {"aspect": 0.2, "outside": "frame", "shift": 0.2},
}  # fmt: skip
MOVES = {"frame", "affine"}


def batch(n: int = 6, size: tuple[int, int] = (24, 32)) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.avg_pool2d(torch.rand(n, 2, *size, generator=g), 5, 1, 2) * 900 - 300
    mask = torch.zeros(n, *size, dtype=torch.uint8)
    mask[:, 2:-2, 2:-4] = 1
    return {"a": x, "b": -2 * x}, mask


def run(change: Augmentation, seed: int = 1) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    images, mask = batch()
    got, moved = change(images, mask, torch.Generator().manual_seed(seed))
    assert moved is not None
    return got, moved


@pytest.mark.parametrize("name", NEW)
def test_shapes_stay_the_seed_repeats_and_the_batch_given_is_left_alone(name: str) -> None:
    (change,) = as_augmentations([{name: NEW[name]}])
    images, mask = batch()
    kept = {k: v.clone() for k, v in images.items()}
    got, moved = change(images, mask.clone(), torch.Generator().manual_seed(1))
    assert {k: v.shape for k, v in got.items()} == {k: v.shape for k, v in images.items()}
    assert all(v.isfinite().all() for v in got.values())
    assert all(torch.equal(images[k], kept[k]) for k in kept)
    assert moved is not None
    assert moved.dtype == mask.dtype
    assert torch.equal(moved, mask) == (name not in MOVES)
    assert not torch.equal(got["a"], images["a"])
    again, other = run(change), run(change, seed=2)
    assert torch.equal(again[0]["b"], got["b"])
    assert torch.equal(again[1], moved)
    assert not torch.equal(other[0]["b"], got["b"])


@pytest.mark.parametrize("name", NEW)
def test_units_do_not_matter(name: str) -> None:
    """Shifted and stretched pictures come out shifted and stretched."""
    (change,) = as_augmentations([{name: NEW[name]}])
    images, mask = batch()
    one, _ = change(images, mask, torch.Generator().manual_seed(1))
    other, _ = change({k: 7 * v + 1000 for k, v in images.items()}, mask, torch.Generator().manual_seed(1))
    torch.testing.assert_close(other["a"], 7 * one["a"] + 1000, rtol=1e-4, atol=0.5)


def test_gamma_keeps_the_order_and_the_ends() -> None:
    images, _ = batch()
    got, _ = run(Gamma())
    order = images["a"][0].flatten().argsort()
    assert (got["a"][0].flatten()[order].diff() >= -1e-3).all()
    torch.testing.assert_close(got["a"].amin((1, 2, 3)), images["a"].amin((1, 2, 3)))
    torch.testing.assert_close(got["a"].amax((1, 2, 3)), images["a"].amax((1, 2, 3)))


def test_blur_is_that_of_scipy() -> None:
    images, _ = batch()
    sigma = torch.Generator().manual_seed(1)
    widths = 2.0 * torch.rand(6, generator=sigma)
    got, _ = run(Blur(most=2.0))
    for x, y, s in zip(images["a"], got["a"], widths.tolist()):
        expected = ndimage.gaussian_filter(x.double().numpy(), (0, s, s), mode="nearest", radius=(0, 6, 6))
        np.testing.assert_allclose(y.numpy(), expected, atol=0.05)


def test_noise_and_field_are_no_stronger_than_said() -> None:
    images, _ = batch()
    span = images["a"].amax((1, 2, 3)) - images["a"].amin((1, 2, 3))
    field = (run(BiasField(strength=0.1))[0]["a"] - images["a"]).abs().amax((1, 2, 3)) / span
    assert ((field > 0) & (field < 0.13)).all(), "bicubic interpolation may overshoot its knots a little"
    noise = (run(Noise(most=0.1))[0]["a"] - images["a"]).std((1, 2, 3)) / span
    assert ((noise > 0) & (noise < 0.11)).all()


def test_inverted_twice_is_the_picture() -> None:
    images, mask = batch()
    once, _ = run(Invert(p=1.0))
    twice, _ = Invert(p=1.0)(once, mask, torch.Generator())
    torch.testing.assert_close(twice["a"], images["a"], rtol=1e-4, atol=1e-2)
    assert torch.equal(run(Invert(p=0.0))[0]["a"], images["a"])


def test_devices_are_bright_and_alike_in_all_pictures_of_a_case() -> None:
    images, _ = batch()
    got, _ = run(PasteDevices(p=1.0))
    changed = (got["a"] != images["a"]).any(1)
    share = changed.float().mean()
    assert 0.01 < share < 0.5
    assert torch.equal(changed, (got["b"] != images["b"]).any(1))
    assert (got["a"] - images["a"])[changed[:, None].expand_as(got["a"])].mean() > 0
    assert torch.equal(run(PasteDevices(p=0.0))[0]["a"], images["a"])


def test_opacities_brighten_about_the_mask() -> None:
    images, mask = batch()
    mask = torch.zeros_like(mask)
    mask[:, 4:8, 4:8] = 1
    got, moved = Opacities(p=1.0, most=1, strength=1.0)(images, mask, torch.Generator().manual_seed(3))
    gain = (got["a"] - images["a"]).sum((0, 1))
    assert (got["a"] >= images["a"]).all()
    assert moved is not None
    assert torch.equal(moved, mask)
    assert gain[:12, :16].sum() > 0.8 * gain.sum()


def test_a_frame_hides_picture_and_mask_alike() -> None:
    images, mask = batch()
    got, moved = run(Frame(p=1.0, most=0.4))
    hidden = (got["a"] != images["a"]).all(1)
    assert hidden.float().mean() > 0.1
    assert (moved[hidden] == 0).all()
    assert torch.equal(moved[~hidden], mask[~hidden])
    ends = torch.stack([images["a"].amin((1, 2, 3)), images["a"].amax((1, 2, 3))], 1)
    for i in range(6):
        values = got["a"][i, 0][hidden[i]].unique()
        assert len(values) <= 1
        assert all(v in ends[i] for v in values)


def test_outside_the_picture_is_a_frame_without_mask() -> None:
    x, mask = torch.full((8, 1, 20, 20), 5.0), torch.ones(8, 20, 20, dtype=torch.int64)
    x[:, :, 10, 10], x[:, :, 10, 11] = 9.0, 1.0
    change = Affine(degrees=0, scale=0, shift=0.3, outside="frame")
    got, moved = change({"x": x}, mask, torch.Generator().manual_seed(0))
    assert moved is not None
    assert (moved == 0).any()
    corner = got["x"][:, 0][moved == 0]
    assert set(corner.round().int().tolist()) >= {1, 9}
    _, all_of_it = Affine(degrees=0, scale=0, shift=0.3)({"x": x}, mask, torch.Generator().manual_seed(0))
    assert all_of_it is not None
    assert (all_of_it == 1).all()
    with pytest.raises(UsageError, match="give 'edge' or 'frame'"):
        Affine(outside="black")({"x": x}, mask, torch.Generator())  # type: ignore[arg-type]


def test_aspect_stretches_one_axis_against_the_other() -> None:
    x = torch.zeros(16, 1, 40, 40)
    x[:, :, 12:28, 12:28] = 1
    got, _ = Affine(degrees=0, scale=0, shift=0, aspect=0.3)({"x": x}, None, torch.Generator().manual_seed(0))
    tall, broad = (got["x"] > 0.5).any(3).sum((1, 2)), (got["x"] > 0.5).any(2).sum((1, 2))
    assert (tall - broad).abs().max() >= 4
    assert (got["x"].flip(2) - got["x"]).abs().max() < 1e-4, "no shear, no shift"


@pytest.mark.parametrize("name", ["paste_devices", "opacities", "frame"])
def test_things_are_for_pictures_alone(name: str) -> None:
    (change,) = as_augmentations([name])
    with pytest.raises(UsageError, match="2-D pictures, 'ct' has 3 spatial axes"):
        change({"ct": torch.zeros(1, 1, 4, 4, 4)}, None, torch.Generator())


def test_jitter_is_a_factor_of_brightness_then_of_contrast_and_black_stays_black() -> None:
    x = torch.rand(5, 1, 9, 7, generator=torch.Generator().manual_seed(3))
    x[:, :, 0] = 0
    (bright,) = ColorJitter(brightness=0.4, contrast=0)({"x": x}, None, torch.Generator().manual_seed(1))[0].values()
    factor = (bright / x)[:, 0, 4, 4]
    assert torch.allclose(bright, x * factor.reshape(-1, 1, 1, 1))
    assert len(factor.unique()) == 5
    assert float((factor - 1).abs().max()) <= 0.4
    assert float(bright[:, :, 0].abs().max()) == 0
    (spread,) = ColorJitter(brightness=0, contrast=0.4)({"x": x}, None, torch.Generator().manual_seed(1))[0].values()
    assert float(spread.min()) == 0
    for before, after in zip(x[:, 0], spread[:, 0]):
        there = after > 0  # elsewhere it would be darker than black
        share = (after - before.mean())[there] / (before - before.mean())[there]
        assert torch.allclose(share, share[0].expand_as(share), atol=1e-3)
        assert 0.6 <= float(share[0]) <= 1.4


@pytest.mark.parametrize("name", ["gamma", "bias_field", "noise", "blur", "color_jitter", "invert"])
@pytest.mark.parametrize("shape", [(9,), (5, 6, 7)])
def test_grey_values_change_with_any_number_of_axes(name: str, shape: tuple[int, ...]) -> None:
    x = torch.rand(4, 1, *shape, generator=torch.Generator().manual_seed(0))
    got, mask = as_augmentations([name])[0]({"x": x}, None, torch.Generator().manual_seed(5))
    assert mask is None
    assert got["x"].shape == x.shape
    assert name == "invert" or not torch.equal(got["x"], x)


def test_a_flat_picture_stays_finite() -> None:
    for name in sorted(set(AUGMENTATIONS) - {"drop_input"}):
        x = {"x": torch.full((3, 1, 16, 16), 4.0)}
        got, _ = as_augmentations([name])[0](x, None, torch.Generator().manual_seed(0))
        assert got["x"].isfinite().all(), name
