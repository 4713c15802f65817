"""Lung zones of real X-rays whose findings radiologists have boxed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pellucid.data.lungs import lungs_classical
from pellucid.data.zones import lung_zones
from pellucid.io import read

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", ["00000150_002.png", "00001248_003.png", "00001933_000.png"])
def test_six_zones_on_both_sides_of_the_picture(shared_data: Path, name: str) -> None:
    x = read(shared_data / "chestxray_nih" / "boxed_1024" / name).array[0].astype(float)
    mask = lungs_classical(ndimage.zoom(x, 128 / max(x.shape), order=1))
    zones = lung_zones(mask)
    assert all(z.any() for z in zones.values())
    assert np.array_equal(sum(z.astype(int) for z in zones.values()), mask.astype(int))
    columns = {n: np.nonzero(z)[1].mean() for n, z in zones.items()}
    assert max(columns[n] for n in zones if n.startswith("right")) < min(columns[n] for n in zones if n.startswith("left"))
    rows = {n: np.nonzero(z)[0].mean() for n, z in zones.items()}
    for side in ("right", "left"):
        assert rows[f"{side} upper"] < rows[f"{side} middle"] < rows[f"{side} lower"]
