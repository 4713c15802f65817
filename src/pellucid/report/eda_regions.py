"""The page's pieces on regions: how large, where, and how bright each is in each picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.report.eda_charts import Dot, place_maps, size_histograms, value_dots
from pellucid.report.numbers import interval, number
from pellucid.report.pieces import Panel, listed, panel, picture
from pellucid.study.store import Run

SIZES, PLACES, LINES = 6, 8, 14  # regions that are drawn at most


def region_panels(run: Run, task: str) -> list[Panel]:
    """Sizes and places of the regions, and what they hold in each picture; none without regions."""
    table, cases = run.table("eda_compartments", task), run.table("eda_regions", task)
    table = table[table["cases"] > 0] if len(table) else table
    if not len(table):
        return []
    return [_sizes(table, cases), *_places(run.table("eda_places", task), table), _values(table)]


def _first(table: pd.DataFrame, most: int) -> list[str]:
    """The regions that are drawn: those of the truth, then the smallest, in the table's own order."""
    once = table.drop_duplicates("region")
    order = once.sort_values(["truth", "share"], ascending=[False, True], kind="stable")["region"].head(most)
    return [str(r) for r in once["region"] if r in set(order)]


def _sizes(table: pd.DataFrame, cases: pd.DataFrame) -> Panel:
    once = cases.drop_duplicates(["case", "region"])
    once = once[once["pixels"] > 0]
    names = _first(table, SIZES)
    three = bool((table["axes"] == 3).any())
    measured = bool(once["size"].notna().all())
    column = "size" if measured else "pixels"
    unit = ("mm³" if three else "mm²") if measured else ("voxels" if three else "pixels")
    panels = {n: once.loc[once["region"] == n, column].to_numpy(float) for n in names}
    by = {str(r["region"]): r for r in table.drop_duplicates("region").to_dict("records")}
    rows = [
        {"name": n, "control": False, "cells": [
            {"text": number(float(np.median(once.loc[once["region"] == n, column]))),
             "small": f"{number(float(once.loc[once['region'] == n, column].min()))} to "
                      f"{number(float(once.loc[once['region'] == n, column].max()))}"},
            {"text": f"{100 * r['share']:.2g} %",
             "small": interval(100 * r["share_low"], 100 * r["share_high"])},
            {"text": number(r["pieces"]), "small": ""},
            {"text": f"{r['cases']} of {r['of_cases']}", "small": f"{r['patients']} patients"}]}
        for n, r in by.items()
    ]  # fmt: skip
    line = ", ".join(f"{n} median {number(float(np.median(v)))} {unit}" for n, v in list(panels.items())[:3])
    left = [n for n in by if n not in names]
    notes = [f"Drawn are {len(names)} of {len(by)} regions; not {listed(left)}."] if left else []
    head = ["region", f"median {unit} (range)", "share of the picture", "median pieces", "cases with it"]
    return panel("Sizes of the regions", line, notes=notes, table={"head": head, "rows": rows},
                 picture=picture(size_histograms(panels, unit), f"Histograms of sizes. {line}."))  # fmt: skip


def _places(table: pd.DataFrame, regions: pd.DataFrame) -> list[Panel]:
    names = [n for n in _first(regions, PLACES) if len(table) and n in set(table["region"])]
    if not names:
        return []
    panels = {}
    for n in names:
        own = table[table["region"] == n]
        panels[n] = own.pivot(index="row", columns="column", values="cover").to_numpy(float)
    where = {n: _middle(g) for n, g in panels.items()}
    said = ", ".join(f"{n} {_spot(where[n])}" for n in panels)
    notes = ["Mean share of each cell of the picture that the region covers, over the cases that have it; each with a "
             "scale of its own. The picture is brought to a square."]  # fmt: skip
    if (regions["axes"] == 3).any():
        notes[0] += " Of volumes through all slices, front at the top and the patient's right at the left where known."
    return [panel("Places of the regions", f"middle of the places: {said}", notes=notes,
                  picture=picture(place_maps(panels), f"Middle of the places: {said}", colours=128))]  # fmt: skip


def _middle(cover: NDArray[np.float64]) -> tuple[float, float]:
    """The centre of mass, 0 to 1 from the top and from the left."""
    rows, columns = (cover.sum(a) / cover.sum() for a in (1, 0))
    n, m = cover.shape
    return float(rows @ (np.arange(n) + 0.5) / n), float(columns @ (np.arange(m) + 0.5) / m)


def _spot(at: tuple[float, float]) -> str:
    """A place in words."""
    return f"{100 * at[0]:.0f} % from the top, {100 * at[1]:.0f} % from the left"


def _values(table: pd.DataFrame) -> Panel:
    names = _first(table, LINES)
    own = table[table["region"].isin(names)]
    panels = {
        str(name): [
            Dot(f"{r['region']} ({100 * r['share']:.2g} %)", r["inside"], r["inside_low"], r["inside_high"], r["sd"])
            for r in rows.to_dict("records")
        ]
        for name, rows in own.groupby("input", sort=False)
    }  # fmt: skip
    mine = own[own["region"] == _first(table, 1)[0]].to_dict("records")
    told = [r for r in mine if np.isfinite(r["contrast"])]
    best = max(told, key=lambda r: abs(r["contrast"])) if told else None
    line = "mean values by region and picture"
    if best is not None:
        line = f"{best['region']} stands out most in {best['input']}: contrast {number(best['contrast'])}"
    rows = [
        {"name": f"{r['region']}, {r['input']}", "control": False, "cells": [
            {"text": number(r["inside"]), "small": interval(r["inside_low"], r["inside_high"])},
            {"text": number(r["sd"]), "small": ""},
            {"text": number(r["contrast"]), "small": interval(r["contrast_low"], r["contrast_high"])},
            {"text": str(r["cases"]), "small": f"{r['patients']} patients"}]}
        for r in table.to_dict("records")
    ]  # fmt: skip
    notes = [
        "Point and line: mean over cases of the mean value in the region, with the 95 % interval over patients; grey: "
        "plus and minus the mean sd within it. In brackets: its share of the picture. Contrast: how far the region is "
        "from the ring around it, in standard deviations of the ring. Regions may lie within each other."
    ]
    said = "; ".join(f"{r['region']} in {r['input']} {number(r['inside'])}" for r in own.to_dict("records"))
    return panel("Values in the regions", line, notes=notes, picture=picture(value_dots(panels), said), table={
        "head": ["region and picture", "mean", "sd within", "contrast", "cases"], "rows": rows,
    })  # fmt: skip
