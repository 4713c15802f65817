"""Tables: CSV, TSV, semicolons and Parquet, in and out."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pellucid.errors import InputError, UsageError, nearest
from pellucid.io.files import PathLike, atomic, content, extension, parsing

_DELIMITERS = ",;\t|"


def read_table(path: PathLike, *, text: Sequence[str] = (), delimiter: str | None = None) -> pd.DataFrame:
    """Read a table, its delimiter found in the first line.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt`` or ``.parquet``.
        text: columns kept as the text they are ("00017" stays so, "None" is a word); an empty cell is "".
        delimiter: of a text file; found if None.

    Raises:
        InputError: missing, empty, not UTF-8, columns of the same name, rows of different length, damaged.
    """
    data = content(path)
    if not data.strip():
        raise InputError(f"{path}: the table is empty; it needs a line of column names")
    if extension(path) == ".parquet" or data[:4] == b"PAR1":
        with parsing(path, "Parquet", extra=(pa.ArrowException,)):
            table = pd.read_parquet(io.BytesIO(data))
        table = table.rename(columns=str)
        _check_columns(path, list(table.columns), text)
        for column in text:
            table[column] = table[column].map(lambda v: "" if pd.isna(v) else str(v)).astype(object)
        return table
    if b"\x00" in data[:4096]:
        raise InputError(f"{path}: is not a text table (it holds zero bytes); save it as CSV in UTF-8, or as Parquet")
    try:
        lines = io.StringIO(data.decode("utf-8-sig"), newline=None).read()  # any ends of lines, old Macs too
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line} is not UTF-8; save the table as CSV in UTF-8") from error
    delimiter = delimiter or _delimiter(lines)
    header = next(csv.reader(io.StringIO(lines), delimiter=delimiter))
    header = [name.strip() for name in header]
    _check_columns(path, header, text)
    try:
        with warnings.catch_warnings():
            # pandas warns, and drops the rest, where every row is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            how: dict[str, Any] = {
                "sep": delimiter,
                "names": header,
                "header": 0,
                "index_col": False,
                "low_memory": False,
            }
            table = pd.read_csv(io.StringIO(lines), **how)
            if text:
                words = pd.read_csv(io.StringIO(lines), usecols=list(text), dtype=object, na_filter=False, **how)
                for name in text:
                    table[name] = words[name].str.strip().astype(object)
            return table
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        why = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: cannot be read as a table ({why}); every row needs {len(header)} fields") from error


def _delimiter(lines: str) -> str:
    start = lines[: lines.find("\n")] if "\n" in lines else lines
    fields = {d: len(next(csv.reader([start], delimiter=d), [])) for d in _DELIMITERS}
    return max(fields, key=lambda d: fields[d])


def _check_columns(path: PathLike, columns: Sequence[str], text: Sequence[str]) -> None:
    double = sorted({c for c in columns if columns.count(c) > 1})
    if double:
        raise InputError(f"{path}: the column {double[0]!r} occurs {columns.count(double[0])} times; rename one")
    for name in text:
        if name not in columns:
            raise InputError(f"{path}: no column {name!r}; {nearest(name, columns)}")


def write_table(table: pd.DataFrame, path: PathLike) -> Path:
    """Write ``.csv``, ``.tsv`` or ``.parquet``, without the index.

    Raises:
        UsageError: another suffix.
        InputError: the file cannot be written, or a column mixes kinds that Parquet cannot hold.
    """
    kind = extension(path)
    if kind not in (".csv", ".tsv", ".parquet"):
        raise UsageError(f"{path}: a table is written as .csv, .tsv or .parquet")
    with atomic(path) as temporary:
        if kind == ".parquet":
            try:
                table.to_parquet(temporary, index=False)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(f"{path}: {error}; make each column of one kind, or write .csv") from error
        else:
            table.to_csv(temporary, index=False, sep="\t" if kind == ".tsv" else ",")
    return Path(path)
