"""Lungs found by an outline: on drawn chests whose lungs are known, in other places, sizes, exposures and frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.core.case import Case
from pellucid.data.lungs import lungs_classical
from pellucid.data.zones import with_zones

Array = NDArray[np.float64]


def chest(
    *, n: int = 128, row: float = 0.45, column: float = 0.5, tall: float = 0.3, broad: float = 0.115, turn: float = 0.0
) -> tuple[Array, NDArray[np.bool_]]:
    """A bright body on black with two dark lungs, cut by diaphragm and heart, ribs across; and the lungs."""
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    c, s = np.cos(turn), np.sin(turn)
    v, u = c * (y - row) - s * (x - column), s * (y - row) + c * (x - column)
    lungs = np.zeros((n, n), bool)
    for side in (-1, 1):
        lungs |= ((u - side * 1.6 * broad) / broad) ** 2 + (v / tall) ** 2 <= 1
    lungs &= v < 0.75 * tall + 0.3 * (np.abs(u) - 1.6 * broad)
    lungs &= ((u - 0.05) / 0.14) ** 2 + ((v - 0.6 * tall) / (0.5 * tall)) ** 2 > 1
    body = (np.abs(u) < 4 * broad) & (v > -1.2 * tall)
    x = 40 * body + 120 * body * (np.abs(u) < 3 * broad) - 90 * lungs
    x = x + 15 * lungs * (np.sin(v / tall * 18 + 3 * np.abs(u) / broad) > 0.3)
    noise = np.random.default_rng(0).normal(0, 4 * n / 128, (n, n))
    return ndimage.gaussian_filter(x.astype(float), n / 100) + noise, lungs


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


PLACES = [{}, {"row": 0.55, "column": 0.42}, {"tall": 0.38, "broad": 0.14}, {"tall": 0.22, "broad": 0.1}, {"turn": 0.2}]


@pytest.mark.parametrize("where", PLACES)
def test_lungs_are_found_wherever_and_however_large_they_are(where: dict[str, float]) -> None:
    x, truth = chest(**where)
    found = lungs_classical(x)
    assert dice(found, truth) > 0.88
    assert ndimage.label(found)[1] == 2


def test_exposure_and_units_hardly_matter() -> None:
    x, _ = chest()
    plain = lungs_classical(x)
    assert np.array_equal(lungs_classical(3 * x - 1000), plain)
    unit = (x - x.min()) / np.ptp(x)
    for other in (unit**0.4, unit**2.5, unit + 0.3 * np.linspace(0, 1, 128)[:, None]):
        assert dice(lungs_classical(other), plain) > 0.92


def test_a_frame_and_letters_hardly_matter() -> None:
    x, truth = chest()
    for level in (x.min(), x.max()):
        framed = x.copy()
        framed[:8], framed[:, :10], framed[:, -6:] = level, level, level
        framed[12:20, 100:112] = x.max()
        assert dice(lungs_classical(framed), truth) > 0.88


def test_any_size_gives_the_same_lungs() -> None:
    x, truth = chest(n=192)
    half = x.reshape(96, 2, 96, 2).mean((1, 3))
    assert dice(lungs_classical(half), truth[::2, ::2]) > 0.88
    assert dice(lungs_classical(np.repeat(x, 2, axis=1))[:, ::2], truth) > 0.88
    assert lungs_classical(x[:, :190]).shape == (192, 190)


def test_pictures_without_a_chest_give_a_mask_and_no_error() -> None:
    assert not lungs_classical(np.full((32, 40), 7.0)).any()
    assert lungs_classical(np.random.default_rng(0).random((40, 32))).shape == (40, 32)
    assert lungs_classical(np.eye(8)).dtype == bool


def test_the_zone_is_a_region_of_the_case() -> None:
    x, truth = chest()
    case = Case(id="a", inputs={"image": x[None]}, truth=1)
    found = with_zones(case, ["lungs_classical"]).regions["lungs_classical"]
    assert dice(found.numpy(), truth) > 0.88
    assert found.dtype == torch.bool
