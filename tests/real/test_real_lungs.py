"""Classical lung masks on real X-rays of three origins: what can be said without a reader's outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pellucid.data.lungs import lungs_classical
from pellucid.io import read

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", ["00027426_000.png", "h0001.png", "*.dcm"])
def test_two_lungs_of_a_usual_size_darker_than_their_rim(shared_data: Path, name: str) -> None:
    (path,) = (shared_data / "chestxray_txv_tests").glob(name)
    x = read(path).array[0].astype(float)
    x = ndimage.zoom(x, 224 / max(x.shape), order=1)
    lungs = lungs_classical(x)
    labels, n = ndimage.label(lungs)
    assert n == 2
    areas = np.bincount(labels.ravel())[1:] / labels.size
    assert 0.05 < areas.min() < areas.max() < 0.25
    assert areas.max() < 2 * areas.min()
    rim = ndimage.binary_dilation(lungs, iterations=8) & ~ndimage.binary_dilation(lungs, iterations=2)
    assert np.median(x[lungs]) < np.median(x[rim]) - 0.1 * x.std()
    mirrored = lungs_classical(x[:, ::-1])[:, ::-1]
    assert 2 * (lungs & mirrored).sum() / (lungs.sum() + mirrored.sum()) > 0.85
