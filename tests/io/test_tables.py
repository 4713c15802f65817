"""CSV, TSV, semicolons, Parquet."""

from __future__ import annotations

import pandas as pd
import pytest

from pellucid.errors import InputError, UsageError
from pellucid.io import read_table, write_table

TABLE = pd.DataFrame({"id": ["00017", "00018"], "age": [61, 47], "score": [0.5, -1.25], "note": ["a,b", "c;d"]})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_round_trip(tmp_path, suffix):
    back = read_table(write_table(TABLE, tmp_path / f"new/t{suffix}"), text=["id"])
    pd.testing.assert_frame_equal(back, TABLE, check_dtype=False)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text(delimiter.join(["id", "age"]) + "\n" + delimiter.join(["a", "3"]) + "\n")
    assert read_table(tmp_path / "t.csv").to_dict("records") == [{"id": "a", "age": 3}]


def test_text_columns_stay_as_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("\ufeffid,label,age\n0017,None,3\n,NA,\n")
    table = read_table(tmp_path / "t.csv", text=["id", "label"])
    assert list(table["id"]) == ["0017", ""]
    assert list(table["label"]) == ["None", "NA"]
    assert pd.isna(table["age"][1])


def test_what_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    for content, message in [
        (b"", "is empty"), (b"  \n", "is empty"), (b"a,b,a\n1,2,3\n", "column 'a' occurs 2 times"),
        (b"a,b\n1,2\n3,\xff\n", "line 3 is not UTF-8"), (b"a\x00b,c\n", "zero bytes"),
        (b"a,b\n1,2\n1,2,3\n", "cannot be read as a table"), (b"a,b\n1,2,3\n1,2,3\n", "cannot be read as a table"),
        (b"PAR1 and then nothing", "cannot be read as Parquet"),
    ]:  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_table(path)
    path.write_bytes(b"id,age\n1,2\n")
    with pytest.raises(InputError, match="no column 'ag'; did you mean 'age'"):
        read_table(path, text=["ag"])
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="written as"):
        write_table(TABLE, tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="one kind"):
        write_table(pd.DataFrame({"a": [1, "x"]}), tmp_path / "t.parquet")
    assert not list(tmp_path.glob(".*"))
