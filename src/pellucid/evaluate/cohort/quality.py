"""What refined maps owe to the quality of their mask: measures by its Dice, with intervals over patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.statistics import FEWEST, draws_of, interval
from pellucid.errors import UsageError

NEEDED = ("case", "method", "kind", "mask_dice", "measure", "value")
COLUMNS = [
    "method", "kind", "measure", "dice", "dice_from", "dice_to", "mean_dice", "mean", "low", "high", "n", "groups",
    "note",
]  # fmt: skip
ALL, AS_IT_IS = "all", "none"
WIDTH = 0.1  # bins are centred on tenths, from 0.05 below to 0.05 above


def by_mask_dice(
    table: pd.DataFrame, *, group: str = "group", n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Mean of every measure and method in bins of the mask's Dice, with a 95 % interval over patients.

    A case's value in a bin is the mean over its masks and targets there; the bootstrap draws patients with all of
    their cases.

    Args:
        table: long: ``case``, ``group``, ``method``, ``kind`` (how the mask was made worse; ``"none"`` for the mask as
            it was), ``mask_dice``, ``measure``, ``value``.
        group: column of what is drawn; every case its own if there is no such column.
        n_boot, seed: of the draws.

    Returns:
        One row per method, kind (and ``"all"`` of them, the mask as it was left out), measure and bin: ``dice``, its
        middle; ``mean_dice`` of the masks in it; ``mean`` with ``low`` and ``high``; ``n`` cases, ``groups`` patients;
        ``note``. A bin of fewer than 5 patients has no interval.

    Raises:
        UsageError: a column is missing.
    """
    missing = [c for c in NEEDED if c not in table]
    if missing:
        raise UsageError(f"by_mask_dice: the table has no column {', '.join(map(repr, missing))}")
    known = table[table["value"].notna()]
    if not len(known):
        return pd.DataFrame(columns=COLUMNS)
    owner = known[group].where(known[group].notna(), known["case"]) if group in known else known["case"]
    # Rounded first, so that a Dice of 0.85 and one of 0.8500000001 fall into the same bin.
    place = np.clip(np.floor(known["mask_dice"].to_numpy(float).round(9) / WIDTH + 0.5), 0, 10).astype(int)
    known = known.assign(_group=owner.astype(str), _bin=place)
    worse = known[known["kind"] != AS_IT_IS].assign(kind=ALL)
    keys = ["method", "kind", "measure", "_bin"]
    both = pd.concat([worse, known])
    cases = both.groupby([*keys, "_group", "case"], sort=True)[["value", "mask_dice"]].mean().reset_index()
    rows: list[dict[str, Any]] = []
    parts: dict[Any, Any] = dict(cases.groupby(keys, sort=False).indices)
    for (method, kind, measure, b), at in parts.items():
        own = {c: cases[c].to_numpy()[at] for c in ("value", "mask_dice", "_group")}
        names, groups = np.unique(own["_group"], return_inverse=True)
        low, high, note = np.nan, np.nan, f"{len(names)} patient{'s' * (len(names) > 1)}: too few for an interval"
        if len(names) >= FEWEST:
            low, high, note = interval(own["value"], groups, draws_of(len(names), n_boot, seed))
        rows.append(
            {
                "method": method, "kind": kind, "measure": measure, "dice": b * WIDTH,
                "dice_from": max(0.0, (b - 0.5) * WIDTH), "dice_to": min(1.0, (b + 0.5) * WIDTH),
                "mean_dice": own["mask_dice"].mean(), "mean": own["value"].mean(), "low": low, "high": high,
                "n": len(at), "groups": len(names), "note": note,
            }
        )  # fmt: skip
    found = pd.DataFrame(rows, columns=COLUMNS)
    order = {k: i for i, k in enumerate([ALL, *dict.fromkeys(table["kind"])])}
    by = found.assign(_kind=found["kind"].map(order)).sort_values(["_kind", "measure", "method", "dice"], kind="stable")
    return by[COLUMNS].reset_index(drop=True)
