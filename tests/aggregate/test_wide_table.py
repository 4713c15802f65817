"""The wide table of Agg²Exp and files of region tables: names, order, round trips, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import pellucid as pc
from pellucid.aggregate.wide import from_wide, to_wide
from pellucid.errors import InputError, UsageError

CLASSES = ["background", "lung left", "heart_valve"]


def long_table(cases=("0017", "b"), classes=CLASSES, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for case, t in itertools.product(cases, classes):
        rows += [(case, t, r, m, rng.random() / 3) for r in classes for m in ("mass", "mean")]
        rows += [(case, t, "*", m, rng.random() / 3) for m in ("map_var", "map_mean", "iou", "dice")]
    return pd.DataFrame(rows, columns=["case", "target", "region", "measure", "value"])


def names(classes):
    """The published order, in plain loops."""
    out = ["patient"]
    for t in classes:
        for r in classes:
            out += [f"{t}_explanation_in_{r}_mass", f"{t}_explanation_in_{r}_mean"]
        out += [f"{t}_explanation_var", f"{t}_explanation_mean"]
    return out + [f"{t}_iou" for t in classes] + [f"{t}_dice" for t in classes]


def by_cell(table):
    return table.sort_values(["case", "target", "region", "measure"], ignore_index=True)


def test_names_and_their_number():
    wide = to_wide(long_table())
    assert list(wide.columns) == names(CLASSES)
    assert list(wide["patient"]) == ["0017", "b"]
    assert to_wide(long_table(classes=[f"c{k}" for k in range(17)])).shape == (2, 647)


def test_there_and_back_without_losing_a_bit():
    long = long_table()
    pd.testing.assert_frame_equal(by_cell(from_wide(to_wide(long))), by_cell(long), check_exact=True)


def test_other_measures_stay_out_and_absent_ones_are_nan():
    long = long_table()
    extra = pd.DataFrame([("b", "lung left", "*", "never_predicted", 1.0), ("b", "lung left", "heart_valve", "share", 0.1)],
                         columns=long.columns)  # fmt: skip
    some = long[~((long["case"] == "b") & (long["target"] == "lung left") & (long["measure"] == "mass"))]
    wide = to_wide(pd.concat([some, extra]))
    assert list(wide.columns) == names(CLASSES)
    assert np.isnan(wide.loc[1, "lung left_explanation_in_background_mass"])
    assert np.isfinite(wide.loc[0].drop("patient").astype(float)).all()


def test_two_values_of_a_cell_are_refused():
    long = long_table()
    with pytest.raises(UsageError, match="case 0017: background_explanation_in_background_mass has two values; choose one"):
        to_wide(pd.concat([long, long]))


def test_a_class_whose_column_could_not_be_read_back():
    with pytest.raises(UsageError, match="could not be read back; rename it"):
        to_wide(long_table(classes=["a_explanation_in_b"]))
    assert set(from_wide(to_wide(long_table(classes=["x_explanation"])))["target"]) == {"x_explanation"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_files_of_both_forms(tmp_path, ending, form):
    long = long_table()
    table = long if form == "long" else to_wide(long)
    path = tmp_path / f"t.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    found = pc.load_region_table(path)
    pd.testing.assert_frame_equal(by_cell(found), by_cell(long), check_exact=True, check_dtype=False)
    assert set(found["case"]) == {"0017", "b"}  # text, its zeros kept


def test_columns_of_a_run_are_kept(tmp_path):
    long = long_table().assign(task="t", method="saliency", of=[None, *["predicted"] * (len(long_table()) - 1)])
    (tmp_path / "run").mkdir()
    long.to_parquet(tmp_path / "run" / "regions.parquet")
    long.to_csv(tmp_path / "long.csv", index=False)
    for path in (tmp_path / "run", tmp_path / "long.csv"):
        found = pc.load_region_table(path)
        assert list(found.columns) == list(long.columns)
        assert found["of"].isna().tolist() == long["of"].isna().tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "is no region table: a long one lacks its column case, target, region, measure, value; a wide"),
        ("case,target,region,measure,value\n", "the region table has no rows"),
        ("case,target,region,measure,value\na,t,r,mass,x\n", "column 'value' holds something that is no number"),
        ("case,target,region,measure,value\na,t,r,mass,1\na,t,,mass,1\n", "row 2 lacks its case, target, region or"),
        ("patient,t_explanation_in_r_mass,age\np,0.5,60\n", "column 'age' has none of the forms"),
        ("patient,t_explanation_in_r_mass\np,0.5\np,0.6\n", "patient p: two rows of the wide region table"),
        ("patient,t_explanation_in_r_mass\np,much\n", "holds something that is no number; leave it empty"),
    ],
)  # fmt: skip
def test_files_that_are_neither(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        pc.load_region_table(path)


def test_a_folder_without_a_table(tmp_path):
    with pytest.raises(InputError, match=r"has no regions\.parquet; give a run whose stage 'aggregate' is done"):
        pc.load_region_table(tmp_path)


def test_a_long_table_without_a_column():
    with pytest.raises(InputError, match="no column region; it has case, target, measure, value"):
        to_wide(long_table().drop(columns="region"))
    with pytest.raises(InputError, match="no wide region table"):
        from_wide(long_table())
