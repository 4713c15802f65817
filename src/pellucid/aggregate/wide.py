"""The wide table of Agg²Exp: one row per patient, its columns named and ordered as published.

For K classes ``1 + K·(2K + 2) + 2K`` columns (647 of 17): ``patient``; for each class t
``{t}_explanation_in_{r}_mass`` and ``…_mean`` in each region r, then ``{t}_explanation_var`` and ``…_mean``; then
``{t}_iou`` of all, then ``{t}_dice`` of all. Source: chrabaszcz2025aggregated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from pellucid.errors import InputError, UsageError

WHOLE = "*"  # the region of what is measured over the whole volume
LONG = ["case", "target", "region", "measure", "value"]
_IN = "_explanation_in_"
_CELL = re.compile(r"(?P<target>.+)_explanation_in_(?P<region>.+)_(?P<measure>mass|mean)")
_MAP = re.compile(r"(?P<target>.+)_explanation_(?P<measure>var|mean)")
_OVERLAP = re.compile(r"(?P<target>.+)_(?P<measure>iou|dice)")


def to_wide(long: pd.DataFrame) -> pd.DataFrame:
    """One row per case with the published names, classes and regions in the order in which they first come.

    Args:
        long: ``case``, ``target``, ``region``, ``measure``, ``value``, of one method and one label map. Measures that
            the wide table does not have are left out; what the long one lacks is NaN.

    Raises:
        InputError: a column is missing.
        UsageError: a cell has two values (several methods or label maps), or a name that could not be read back.
    """
    missing = [c for c in LONG if c not in long]
    if missing:
        raise InputError(f"region table: no column {', '.join(missing)}; it has {', '.join(map(str, long.columns))}")
    known = long[long["measure"].isin(["mass", "mean"]) & (long["region"] != WHOLE)]
    whole = long[long["measure"].isin(["map_var", "map_mean", "iou", "dice"]) & (long["region"] == WHOLE)]
    both = pd.concat([known, whole])
    names = [_column(*key) for key in zip(both["target"], both["region"], both["measure"])]
    cells = pd.DataFrame({"case": both["case"].to_numpy(), "column": names, "value": both["value"].to_numpy()})
    twice = cells.duplicated(["case", "column"])
    if twice.any():
        first = cells[twice].iloc[0]
        raise UsageError(
            f"case {first['case']}: {first['column']} has two values; choose one method and one label map of the table"
        )
    targets, regions = list(dict.fromkeys(both["target"])), list(dict.fromkeys(known["region"]))
    cases = list(dict.fromkeys(long["case"]))
    # The numbers go in as they are: neither a mean nor a sum may touch their last digit.
    wide = cells.pivot(index="case", columns="column", values="value")
    wide = wide.reindex(index=cases, columns=list(_columns(targets, regions))).reset_index(names="patient")
    wide.columns.name = None
    return wide


def from_wide(wide: pd.DataFrame) -> pd.DataFrame:
    """The long table of a wide one: ``case``, ``target``, ``region``, ``measure``, ``value``, in the columns' order.

    ``{t}_explanation_var`` and ``…_mean`` become the measures ``map_var`` and ``map_mean``, and they, ``iou`` and
    ``dice`` have the region ``"*"``.

    Raises:
        InputError: no column ``patient``, a patient with two rows, a column with another name or with words in it.
    """
    if not is_wide(wide):
        raise InputError(
            "no wide region table: it needs the column 'patient' and columns named "
            "'{class}_explanation_in_{region}_mass'"
        )
    twice = wide["patient"][wide["patient"].duplicated()]
    if len(twice):
        raise InputError(f"patient {twice.iloc[0]}: two rows of the wide region table; keep one")
    parts = []
    for column in wide.columns.drop("patient"):
        key = _parsed(str(column))
        if key is None:
            raise InputError(
                f"wide region table: column {column!r} has none of the forms {{class}}_explanation_in_{{region}}_mass "
                "or _mean, {class}_explanation_var or _mean, {class}_iou, {class}_dice"
            )
        target, region, measure = key
        if not pd.api.types.is_numeric_dtype(wide[column]):
            raise InputError(f"wide region table: column {column!r} holds something that is no number; leave it empty")
        parts.append(
            pd.DataFrame(
                {"case": wide["patient"].astype(str), "target": target, "region": region, "measure": measure,
                 "value": wide[column].astype(float)}
            )
        )  # fmt: skip
    by_place = [part.assign(place=place) for place, part in enumerate(parts)]
    long = pd.concat(by_place).reset_index(names="row").sort_values(["row", "place"], ignore_index=True)
    return long[LONG]


def is_wide(table: pd.DataFrame) -> bool:
    """Whether a table has the wide one's names."""
    return "patient" in table and any(_IN in str(c) for c in table.columns)


def _columns(targets: list[str], regions: list[str]) -> Iterator[str]:
    for target in targets:
        for region in regions:
            yield _column(target, region, "mass")
            yield _column(target, region, "mean")
        yield _column(target, WHOLE, "map_var")
        yield _column(target, WHOLE, "map_mean")
    for measure in ("iou", "dice"):
        yield from (_column(target, WHOLE, measure) for target in targets)


def _column(target: str, region: str, measure: str) -> str:
    if region != WHOLE:
        name = f"{target}{_IN}{region}_{measure}"
    elif measure.startswith("map_"):
        name = f"{target}_explanation_{measure.removeprefix('map_')}"
    else:
        name = f"{target}_{measure}"
    if _parsed(name) != (target, region, measure):
        raise UsageError(f"target {target!r}, region {region!r}: the column {name!r} could not be read back; rename it")
    return name


def _parsed(column: str) -> tuple[str, str, str] | None:
    if column.count(_IN) == 1 and (cell := _CELL.fullmatch(column)):
        return cell["target"], cell["region"], cell["measure"]
    if _IN not in column and (of_map := _MAP.fullmatch(column)):
        return of_map["target"], WHOLE, f"map_{of_map['measure']}"
    if _IN not in column and (overlap := _OVERLAP.fullmatch(column)):
        return overlap["target"], WHOLE, overlap["measure"]
    return None
