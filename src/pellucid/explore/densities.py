"""The outline of a violin: a smoothed density of a number by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

POINTS = 48
FEWEST = 4  # values of which an outline is drawn

Array = NDArray[np.float64]


def violins(
    values: Mapping[str, Array], groups: Mapping[str, NDArray[np.bool_]], *, source: str
) -> pd.DataFrame:
    """Gaussian kernel densities (Scott's rule), cut off at the lowest and highest value, the mode being 1.

    Args:
        values: name of the number to its ``(n,)`` values, NaN where unknown.
        groups: name of a class to the cases in it.
        source: what the numbers are of, such as ``meta`` or the name of a table.

    Returns:
        ``source, feature, class, x, density``; no rows where fewer than four values are known, or all are equal.
    """
    found = []
    for name, all_of in values.items():
        for group, inside in groups.items():
            own = all_of[inside & np.isfinite(all_of)]
            if len(own) < FEWEST or own.min() == own.max():
                continue
            x = np.linspace(own.min(), own.max(), POINTS)
            y = gaussian_kde(own)(x)
            found.append(pd.DataFrame({
                "source": source, "feature": name, "class": group, "x": x, "density": y / y.max(),
            }))  # fmt: skip
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
