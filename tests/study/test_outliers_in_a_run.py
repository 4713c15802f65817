"""The analysis `outliers`: from the run's region table to its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cohort_runs import ODD, TARGETS, aggregate, context_of, long_table
from pellucid.aggregate.outliers import Forest, find_outliers
from pellucid.errors import InputError, UsageError
from pellucid.study.analysis import as_analysis
from report import run_folder


@pytest.fixture
def run(tmp_path):
    return aggregate(run_folder.build(tmp_path / "run", "volume"))


def outliers(run, tmp_path, **options):
    as_analysis({"outliers": {"trees": 10, **options}} if options else {"outliers": {"trees": 10}}).run(context_of(tmp_path, run))
    return run.table("outliers", "volume"), run.table("outlier_tests", "volume")


def test_the_planted_case_is_first_of_its_class_and_the_tables_are_those_of_the_functions(run, tmp_path):
    found, tests = outliers(run, tmp_path)
    heart = found[found["target"] == "heart"].set_index("case")
    assert heart.loc[ODD, "rank"] == 1 and heart.loc[ODD, "outlier"] and heart.loc[ODD, "region"] == "spine"
    alone = find_outliers(long_table(), forest=Forest(trees=10, seed=0))
    np.testing.assert_array_equal(found["score"], alone["score"])
    assert found["trained"].all() and set(found["method"]) == {"smoothgrad"} and set(found["of"]) == {"predicted"}
    assert set(found["part"]) == {"train", "test"} and set(tests["target"]) == set(TARGETS)
    assert set(tests["variable"]) == {"dice", "age", "sex"}
    left = found[(found["target"] == "left lung") & (found["case"] == "p02")].iloc[0]
    assert np.isnan(left["score"]) and left["note"] == "the class was never predicted in this case: no score"


def test_no_name_of_a_patient_is_in_the_tables(run, tmp_path):
    for table in outliers(run, tmp_path):
        assert "secret-patient" not in table.to_csv()


def test_the_forest_of_one_part_scores_the_other_and_tests_look_at_new_cases_alone(run, tmp_path):
    found, tests = outliers(run, tmp_path, train="train")
    alone = long_table()
    cohort = alone[alone["case"] >= "p12"]
    expected = find_outliers(alone, train=cohort, forest=Forest(trees=10, seed=0))
    np.testing.assert_array_equal(found["score"], expected["score"])
    assert (found["trained"] == (found["part"] == "train")).all()
    new = found[(found["target"] == "heart") & ~found["trained"]].set_index("case")
    assert new["score"].idxmin() == ODD and new.loc[ODD, "outlier"]
    heart = tests[(tests["target"] == "heart") & (tests["test"] == "spearman")].iloc[0]
    assert heart["outliers"] + heart["others"] == 12


def test_another_runs_table_is_the_cohort(run, tmp_path):
    other = aggregate(run_folder.build(tmp_path / "other", "volume"), table=long_table(30, seed=7, odd=None, first="q"))
    by_folder, _ = outliers(run, tmp_path, train=str(other.folder))
    long_table(30, seed=7, odd=None, first="q").to_csv(tmp_path / "cohort.csv", index=False)
    by_table, tests = outliers(run, tmp_path, train="cohort.csv")
    np.testing.assert_array_equal(by_folder["score"], by_table["score"])
    assert not by_table["trained"].any() and set(by_table["trained_on"]) == {30}
    assert by_table.loc[(by_table["target"] == "heart") & (by_table["rank"] == 1), "case"].item() == ODD
    assert tests["outliers"].iloc[0] + tests["others"].iloc[0] == 24


def test_the_seed_is_the_recipes_and_can_be_given(run, tmp_path):
    first, again, other = (outliers(run, tmp_path, **o)[0]["score"].to_numpy() for o in ({}, {"seed": 0}, {"seed": 4}))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_what_cannot_be_done_is_said_before_it_is_begun(run, tmp_path):
    bare = run_folder.build(tmp_path / "bare", "volume")
    with pytest.raises(UsageError, match=r"analysis 'outliers': the run has no aggregated region table; add the section 'aggregate'"):
        outliers(bare, tmp_path)
    with pytest.raises(UsageError, match=r"no method 'smoothgra' in the table; did you mean 'smoothgrad'\?"):
        outliers(run, tmp_path, method="smoothgra")
    with pytest.raises(UsageError, match=r"no of 'truth' in the table; known: predicted"):
        outliers(run, tmp_path, of="truth")
    with pytest.raises(UsageError, match=r"train='trian' is no part, run folder or region table; did you mean 'train'\?"):
        outliers(run, tmp_path, train="trian")
    with pytest.raises(UsageError, match=r"no case of part 'val' was aggregated; set 'aggregate: \{cases: …\}', or leave 'train' out"):
        outliers(run, tmp_path, train="val")
    with pytest.raises(UsageError, match=r"contamination=2"):
        as_analysis({"outliers": {"contamination": 2}})
    long_table().query("region != 'spine'").to_parquet(tmp_path / "less.parquet")
    more = long_table().assign(region=lambda t: t["region"].replace("spine", "vertebrae"))
    more.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"the scored table has no region 'vertebrae', which the training table has; aggregate both over the same"):
        outliers(run, tmp_path, train="other.parquet")
    pd.DataFrame({"case": ["a"]}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"is no region table"):
        outliers(run, tmp_path, train="none.parquet")
