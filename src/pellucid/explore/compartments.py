"""What the regions take up, and how bright each is in each picture, over a cohort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.explore.draws import patient_interval

SUMMED = ("share", "size", "inside", "sd", "contrast")


def compartments(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Means over the cases in which a region is there, with intervals from patients drawn with replacement.

    Args:
        rows: of :func:`pellucid.explore.lesions.region_rows`.
        seed: of the draws.

    Returns:
        ``region, input, truth, cases, of_cases, patients, pieces`` (median) and, for the share of the picture, the size
        in mm² or mm³, the value inside, its sd within the region and the contrast: ``X, X_low, X_high``; and
        ``median_pixels, least_pixels, most_pixels``.
    """
    found = []
    for (region, picture), own in rows.groupby(["region", "input"], sort=False):
        there = own[own["pixels"] > 0]
        row: dict[str, Any] = {
            "region": region, "input": picture, "truth": bool(own["truth"].any()), "cases": len(there),
            "of_cases": len(own), "patients": there["group"].nunique(), "pieces": there["pieces"].median(),
            "axes": int(own["axes"].iloc[0]), "median_pixels": there["pixels"].median(),
            "least_pixels": there["pixels"].min(), "most_pixels": there["pixels"].max(),
        }  # fmt: skip
        for column in SUMMED:
            mean, low, high = np.nan, np.nan, np.nan
            known = there[np.isfinite(there[column].to_numpy(float))] if column in there else there.head(0)
            if len(known):
                values = known[column].to_numpy(float)
                mean = float(values.mean())
                sums = np.stack([values, np.ones(len(values))], 1)
                patients = pd.factorize(known["group"])[0].astype(np.int64)
                low, high = (
                    float(v) for v in patient_interval(sums, patients, lambda s: s[:, 0] / s[:, 1], seed=seed)
                )
            row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
        found.append(row)
    return pd.DataFrame(found)
