"""The numbers of an aggregated table for the page: a row for each class, and every cell."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND, Cube
from pellucid.aggregate.cohort.matrix import overlaps
from pellucid.report.cohort_style import shown
from pellucid.report.numbers import interval, is_number, number

WORTH = 0.01  # of the map: regions with less are not named as the most enriched


def class_table(mass: Cube, means: pd.DataFrame, enriched: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    """A row for each class: inside, background, the largest other source, the most enriched one, Dice."""
    dice = overlaps(own)
    dice = dice[dice["measure"] == "dice"].set_index("target") if len(dice) else dice
    times = {(str(r["target"]), str(r["region"])): r for r in enriched.to_dict("records")} if len(enriched) else {}
    head = [
        "class", "cases", "in its own region", *(["background"] * (BACKGROUND in mass.regions)), "largest other source",
        *(["most enriched other source"] * bool(times)), *(["Dice"] * bool(len(dice))),
    ]  # fmt: skip
    rows = []
    for target in (t for t in mass.targets if t != BACKGROUND):
        mine = means[means["target"] == target].set_index("region")
        others = mine.drop([target, BACKGROUND], errors="ignore")
        others = others[others["mean"].notna()]

        def cell(region: str, named: bool = False, mine: pd.DataFrame = mine, target: str = target) -> dict[str, str]:
            if region not in mine.index or not is_number(mine.at[region, "mean"]):
                return {"text": "–", "small": ""}
            r, t = mine.loc[region], times.get((target, region))
            text = f"{shown(region)} {percent(r)}" if named else percent(r)
            beside = f"× {number(t['mean'])} {interval(t['low'], t['high'])}".rstrip() if t else ""
            return {"text": text, "small": _range(r), "why": beside}

        cells = [{"text": str(int(mine["n"].max())), "small": ""}, cell(target)]
        if BACKGROUND in mass.regions:
            cells.append(cell(BACKGROUND))
        cells.append(cell(str(others["mean"].idxmax()), True) if len(others) else {"text": "–", "small": ""})
        if times:
            worth = [str(r) for r in others.index
                     if float(others["mean"][r]) >= WORTH and is_number(times[target, str(r)]["mean"])]  # fmt: skip
            best = max(worth, key=lambda r: float(times[target, r]["mean"]), default="")
            cells.append(cell(best, True) if best else {"text": "–", "small": "", "why": "none has 1 % of the map"})
        if len(dice):
            known = target in dice.index and is_number(dice.at[target, "mean"])
            d = dice.loc[target] if known else {"mean": None, "low": None, "high": None}
            cells.append({"text": number(d["mean"]), "small": interval(d["low"], d["high"])})
        rows.append({"name": shown(target), "control": False, "cells": cells})
    return {"head": head, "rows": rows}


def percent(row: Any) -> str:
    """A mean share in per cent, two digits; never 100 where it is less."""
    value = 100 * float(row["mean"])
    if 99 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %" if value >= 0.095 else f"{value:.2g} %"


def _range(row: Any) -> str:
    return interval(100 * row["low"], 100 * row["high"]) if is_number(row["low"]) else ""


def cell_table(means: pd.DataFrame, values: pd.DataFrame) -> dict[str, Any]:
    """Every class in every region: mean and interval."""
    by = {(str(r["target"]), str(r["region"])): r for r in means.to_dict("records")}
    regions = [str(r) for r in values.columns]
    rows = [
        {"name": shown(str(t)), "control": False, "cells": [
            {"text": number(r["mean"]), "small": interval(r["low"], r["high"])}
            for r in (by[str(t), k] for k in regions)]}
        for t in values.index
    ]  # fmt: skip
    return {"head": ["class", *map(shown, regions)], "rows": rows}
