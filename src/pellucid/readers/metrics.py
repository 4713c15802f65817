"""Do the run's metrics rank maps as readers do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from pellucid.core.statistics import FEWEST, draws_of, holm, spearman
from pellucid.readers.agreement import unit_means
from pellucid.readers.alpha import Array
from pellucid.readers.draws import ends, numbered
from pellucid.readers.items import NAMES
from pellucid.readers.means import methods_of
from pellucid.report.judge import base, is_control

COLUMNS = ["item", "metric", "direction", "rho", "low", "high", "p", "n", "groups", "note"]
NEARLY = 1 - 1e-9  # Fisher's z is infinite at 1


def against_metrics(
    ratings: pd.DataFrame, scores: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]], *, n_boot: int, seed: int
) -> pd.DataFrame:
    """Spearman's ρ over maps between the readers' mean rating and every metric that has a direction.

    Controls are left out: with them, ρ would mostly say that a metric and a reader both tell a map from noise. The
    interval draws patients. ``p``: Fisher's z over its standard deviation in the draws, against Student's t with one
    degree of freedom fewer than there are patients, never under one in the number of draws; Holm-corrected over the
    metrics of an item; none with fewer than 5 patients. A metric that is better lower agrees with readers where ρ is
    negative.
    """
    wanted = [m for m in methods_of(ratings) if not is_control(m)]
    rated = unit_means(ratings, wanted)
    if not len(scores) or not len(rated):
        return pd.DataFrame(columns=COLUMNS)
    keys = ["case", "method", "target_index"]
    found: list[dict[str, Any]] = []
    asked = [str(m) for m in dict.fromkeys(scores["metric"])]
    directions = {m: str(metrics.get(base(m), {}).get("direction", "none")) for m in asked}
    for item in NAMES:
        rows = []
        for metric in asked:
            if directions[metric] == "none":
                continue
            values = scores[scores["metric"] == metric].groupby(keys)["value"].mean()
            both = rated[[item]].reset_index().merge(values.reset_index(), on=keys).dropna()
            told = _one(both[item].to_numpy(float), both["value"].to_numpy(float), list(both["group"]), n_boot, seed)
            rows.append({"item": item, "metric": metric, "direction": directions[metric]} | told)
        corrected = holm(np.array([r["p"] for r in rows], float))
        found += [r | {"p": float(p)} for r, p in zip(rows, corrected)]
    return pd.DataFrame(found, columns=COLUMNS)


def _one(x: Array, y: Array, groups: list[Any], n_boot: int, seed: int) -> dict[str, Any]:
    patient, n = numbered(groups)
    row: dict[str, Any] = dict.fromkeys(("rho", "low", "high", "p"), np.nan) | {"n": len(x), "groups": n, "note": ""}
    if len(x) < 3:
        return row | {"note": "fewer than three maps that were rated and have a score"}
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return row | {"note": f"{'the ratings' if np.ptp(x) == 0 else 'the scores'} are all the same: no correlation"}
    row["rho"] = float(spearman(x, y, np.ones((1, len(x))))[0])
    if n < 2:
        return row | {"note": "one patient only: no interval"}
    drawn = spearman(x, y, draws_of(n, n_boot, seed)[:, patient])
    row["low"], row["high"] = ends(drawn)
    if not np.isfinite(row["low"]):
        return row | {"note": "undefined in most draws: no interval"}
    if n < FEWEST:
        return row | {"note": f"{n} patients: too few for a test"}
    spread = float(np.nanstd(np.arctanh(np.clip(drawn, -NEARLY, NEARLY))))
    z = abs(float(np.arctanh(np.clip(row["rho"], -NEARLY, NEARLY))))
    row["p"] = max(float(2 * student.sf(z / spread, n - 1)) if spread else 0.0, 1 / n_boot)
    return row
