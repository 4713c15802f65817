"""Region tables in files: the long one, and the wide one of Agg²Exp."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pellucid.aggregate.wide import LONG, from_wide, is_wide
from pellucid.errors import InputError
from pellucid.io.files import PathLike
from pellucid.io.table import read_table

_WORDS = ("task", "case", "group", "method", "target", "region", "measure", "of")


def load_region_table(path: PathLike) -> pd.DataFrame:
    """A region table in its long form, one row per case, target, region and measure.

    Args:
        path: ``.parquet`` or ``.csv``, long (``case``, ``target``, ``region``, ``measure``, ``value``) or wide, with
            Agg²Exp's names (:mod:`pellucid.aggregate.wide`); or a run folder, whose ``regions.parquet`` is read.

    Returns:
        The five columns, and any others that a long table has (``task``, ``method``, ``of``, …). Of a wide one,
        ``map_var``, ``map_mean``, ``iou`` and ``dice`` have the region ``"*"``. Numbers are those of the file, to the
        last digit; the case is text ("0017" stays so).

    Raises:
        InputError: no such file, neither of the two forms, no rows, or a value that is no number.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "regions.parquet").is_file():
            raise InputError(f"{path}: has no regions.parquet; give a run whose stage 'aggregate' is done, or a table")
        path = path / "regions.parquet"
    table = read_table(path)
    if is_wide(table):
        return _filled(path, from_wide(read_table(path, text=["patient"])))
    missing = [c for c in LONG if c not in table]
    if missing:
        raise InputError(
            f"{path}: is no region table: a long one lacks its column {', '.join(missing)}; a wide one has "
            "'patient' and '{class}_explanation_in_{region}_mass'"
        )
    words = [c for c in _WORDS if c in table]
    absent = {c: table[c].isna() for c in words}
    table = read_table(path, text=words)
    for column in words:  # what is missing stays missing
        table[column] = table[column].mask(absent[column] & (table[column] == ""), None)
    if len(table) and not pd.api.types.is_numeric_dtype(table["value"]):
        raise InputError(f"{path}: column 'value' holds something that is no number; leave such cells empty")
    unnamed = table[LONG[:-1]].isna().any(axis=1)
    if unnamed.any():
        row = int(unnamed.to_numpy().argmax()) + 1
        raise InputError(f"{path}: row {row} lacks its case, target, region or measure")
    return _filled(path, table.astype({"value": float}))


def _filled(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    if not len(table):
        raise InputError(f"{path}: the region table has no rows")
    return table
