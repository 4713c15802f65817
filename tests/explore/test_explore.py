"""Descriptions of a cohort against independent implementations and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import torch
from scipy.stats.contingency import association
from skimage.measure import label as pieces_of

import pellucid as pc
from pellucid import explore
from pellucid.core.statistics import wilson
from pellucid.errors import UsageError
from pellucid.explore.draws import one_each, patient_interval
from pellucid.explore.lesions import REST, without_doubles


def case(i, truth=None, *, image=None, **more):
    image = torch.zeros(1, 16, 16) if image is None else image
    return pc.Case(id=f"c{i}", inputs={"x": image}, truth=truth, **{"group": f"p{i}"} | more)


@pytest.fixture(scope="module")
def labelled():
    """120 cases of 60 patients, three labels of which the second follows the first, a meta column and an age."""
    rng = np.random.default_rng(1)
    cases = []
    for i in range(120):
        a = int(rng.random() < 0.4)
        b = int(rng.random() < (0.7 if a else 0.2))
        view = "AP" if rng.random() < 0.2 + 0.5 * a else "PA"
        meta = {"view": view, "age": int(rng.integers(20, 80) + 10 * b), "scanner": "xyz"[rng.integers(3)], "fixed": 1}
        cases.append(case(i, [a, b, 0], group=f"p{i // 2}", meta=meta))
    return explore.cohort({"train": cases[:80], "test": cases[80:]}, task="classification", classes=["A", "B", "C"])


def test_counts_are_those_of_pandas_and_the_interval_is_of_patients(labelled):
    table = explore.label_counts(labelled).set_index(["part", "class"])
    frame = labelled.frame.assign(A=labelled.has[:, 0])
    for part in ("train", "test"):
        own = frame[frame["part"] == part]
        row = table.loc[part, "A"]
        assert row["cases"] == own["A"].sum()
        assert row["share"] == pytest.approx(own["A"].mean())
        ill = own.groupby("group")["A"].max()
        assert (row["patients"], row["of_patients"]) == (ill.sum(), len(ill))
        oracle = st.binomtest(int(ill.sum()), len(ill)).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert table.loc["all", "A"]["cases"] == labelled.has[:, 0].sum()
    assert np.isnan(wilson(0, 0)).all()
    assert wilson(0, 5)[0] == 0


def test_pairs_of_labels(labelled):
    table = explore.cooccurrence(labelled).set_index(["a", "b"])
    row, (a, b, _) = table.loc["A", "B"], labelled.has.T
    assert row["both"] == (a * b).sum()
    assert row["phi"] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert row["b_given_a"] == pytest.approx(pd.Series(b)[a == 1].mean())
    assert row["lift"] == pytest.approx((a * b).mean() / (a.mean() * b.mean()))
    assert row["low"] < row["phi"] < row["high"]
    alone = one_each(labelled.patients, np.ones(120, bool))
    assert len(set(labelled.patients[alone])) == len(alone) == 60
    assert row["p"] == pytest.approx(st.fisher_exact(pd.crosstab(a[alone], b[alone]))[1])
    assert row["p_holm"] == pytest.approx(row["p"])  # the only pair that is defined: nobody has C
    assert np.isnan(table.loc["A", "C"]["phi"])
    exclusive = explore.cohort({"all": [case(i, i % 2) for i in range(4)]}, task="classification", classes=["a", "b"])
    assert explore.cooccurrence(exclusive).empty


def test_what_goes_with_a_class(labelled):
    columns = explore.columns_of(labelled)
    assert columns == {"view": "levels", "age": "number", "scanner": "levels"}
    table = explore.associations(labelled, columns).set_index(["class", "column"])
    a, b = labelled.has[:, 0], labelled.has[:, 1]
    view = labelled.meta["view"]
    v = table.loc["A", "view"]
    assert v["value"] == pytest.approx(association(pd.crosstab(a, view).to_numpy(), method="cramer"))
    assert v["level"] in ("AP", "PA")
    assert v["with"] == pytest.approx((view[a == 1] == v["level"]).mean())
    assert v["difference"] == pytest.approx(v["with"] - (view[a == 0] == v["level"]).mean())
    assert v["difference_low"] < v["difference"] < v["difference_high"]
    assert v["low"] < v["value"] < v["high"]
    assert v["found"]
    alone = one_each(labelled.patients, np.ones(120, bool))
    assert v["p"] == pytest.approx(st.fisher_exact(pd.crosstab(a[alone], view[alone]))[1])
    scanner = table.loc["A", "scanner"]
    three = pd.crosstab(a[alone], labelled.meta["scanner"][alone])
    assert scanner["p"] == pytest.approx(st.chi2_contingency(three, correction=False).pvalue)
    age = table.loc["B", "age"]
    assert age["value"] == pytest.approx(st.pointbiserialr(b, labelled.meta["age"])[0])
    assert age["difference"] == pytest.approx(labelled.meta["age"][b == 1].mean() - labelled.meta["age"][b == 0].mean())
    assert ("C", "age") not in table.index  # nobody has it: nothing to compare
    assert table["p_holm"].ge(table["p"]).all()


def test_what_goes_with_a_score():
    rng = np.random.default_rng(2)
    score = rng.normal(size=40)
    cases = [case(i, float(s), meta={"age": s + rng.normal(), "site": "ab"[int(s > 0)]}) for i, s in enumerate(score)]
    made = explore.cohort({"train": cases}, task="regression", classes=["y"])
    age = made.meta["age"].to_numpy(float)
    table = explore.associations(made, explore.columns_of(made), pictures={"bright": 2 * score}).set_index("column")
    assert table.loc["age", "value"] == pytest.approx(st.spearmanr(age, score)[0])
    assert table.loc["age", "p"] == pytest.approx(st.spearmanr(age, score)[1])
    assert table.loc["age", "low"] < table.loc["age", "value"] < table.loc["age", "high"]
    assert table.loc["bright", "value"] == pytest.approx(1)
    groups = [score[score <= 0], score[score > 0]]
    between = sum(len(g) * (g.mean() - score.mean()) ** 2 for g in groups)
    assert table.loc["site", "value"] == pytest.approx(np.sqrt(between / ((score - score.mean()) ** 2).sum()))
    assert table.loc["site", "p"] == pytest.approx(st.f_oneway(*groups).pvalue)
    row = explore.scores(made).set_index("part").loc["all"]
    assert row["skewness"] == pytest.approx(st.skew(score))
    assert row["median"] == pytest.approx(np.median(score))
    assert row["low"] < row["mean"] < row["high"]
    assert {k: int(v.sum()) for k, v in made.groups().items()} == {
        "lowest third": 14, "middle third": 13, "highest third": 13,
    }  # fmt: skip


def test_an_interval_draws_patients_not_cases():
    """Ten patients of whom each has the same value twenty times: twenty times the cases, the same interval."""
    values = np.arange(10.0)
    many, patients = np.repeat(values, 20), np.repeat(np.arange(10), 20)
    one = patient_interval(np.stack([values, np.ones(10)], 1), np.arange(10), lambda s: s[:, 0] / s[:, 1])
    twenty = patient_interval(np.stack([many, np.ones(200)], 1), patients, lambda s: s[:, 0] / s[:, 1])
    assert np.array(one) == pytest.approx(np.array(twenty))
    low, high = patient_interval(np.ones((4, 1)), np.arange(4), lambda s: s[:, 0])
    assert np.isnan(low)
    assert np.isnan(high)


def test_people_by_class(labelled):
    table = explore.people(labelled, explore.columns_of(labelled, ["view", "age"]))
    ap = table[(table["class"] == "A") & (table["level"] == "AP")].iloc[0]
    inside = labelled.has[:, 0] == 1
    assert ap["share"] == pytest.approx((labelled.meta["view"][inside] == "AP").mean())
    assert ap["low"] < ap["share"] < ap["high"]
    age = table[(table["class"] == "none of them") & (table["column"] == "age")].iloc[0]
    none = labelled.meta["age"][(labelled.has == 0).all(1)]
    assert (age["mean"], age["sd"], age["median"]) == pytest.approx((none.mean(), none.std(), none.median()))
    with pytest.raises(UsageError, match=r"eda\.meta: 'agee' is in no case; did you mean 'age'"):
        explore.columns_of(labelled, ["agee"])
    with pytest.raises(UsageError, match=r"eda\.meta: 'fixed' has one value alone"):
        explore.columns_of(labelled, ["fixed"])
    with pytest.raises(UsageError, match=r"eda\.classes: 'D' is no class"):
        labelled.groups(["D"])


def test_histograms_add_up_and_count_every_case_alike():
    rng = np.random.default_rng(0)
    cases = [case(i, i % 2, image=torch.tensor(rng.normal(size=(1, 8 + 8 * (i % 2), 16))).float()) for i in range(12)]
    made = explore.cohort({"train": cases}, task="classification", classes=["a", "b"])
    rows = pd.DataFrame([r for c in cases for r in explore.picture_rows(c, "train")])
    assert rows["mean"].to_numpy() == pytest.approx([float(c.inputs["x"].mean()) for c in cases], abs=1e-6)
    assert rows["hash"].nunique() == 12
    edges = explore.common_edges(rows, 6)
    found = [explore.shares(c, edges) for c in cases]
    table = explore.histograms(found, edges, made.groups(), made.patients)
    assert table.groupby("class")["share"].sum().to_numpy() == pytest.approx([1, 1])
    own = table[table["class"] == "b"]["share"].to_numpy()
    oracle = [
        np.histogram(np.clip(c.inputs["x"].numpy(), edges["x"][0], edges["x"][-1]), edges["x"])[0] / c.inputs["x"].numel()
        for c in cases[1::2]
    ]  # fmt: skip
    assert own == pytest.approx(np.mean(oracle, axis=0))
    assert (table["low"] <= table["share"]).all()
    assert (table["high"] >= table["share"]).all()


def test_regions_in_numbers():
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[2:4, 2:6] = True
    mask[10:12, 8:10] = True
    body = torch.zeros(16, 16, dtype=torch.bool)
    body[1:15, 1:15] = True
    image = torch.ones(1, 16, 16) + 0.1 * torch.arange(16.0)
    image[0, mask] += 5
    one = case(0, mask.long(), image=image, regions={"body": body, "again": mask}, spacing=(2.0, 0.5))
    table = pd.DataFrame(explore.region_rows(one, "train", ["tumour"])).set_index("region")
    row = table.loc["tumour"]
    assert (row["pixels"], row["size"], row["share"]) == (12, 12.0, 12 / 256)
    assert row["pieces"] == pieces_of(mask.numpy(), connectivity=1).max() == 2
    ys, xs = np.nonzero(mask.numpy())
    assert (row["centre_0"], row["centre_1"]) == pytest.approx(((ys.mean() + 0.5) / 16, (xs.mean() + 0.5) / 16))
    inside = image[0][mask].numpy()
    assert (row["inside"], row["sd"]) == pytest.approx((inside.mean(), inside.std()), rel=1e-5)
    ring = np.zeros((16, 16), bool)
    for y, x in zip(ys, xs):
        ring[y - 1 : y + 2, x - 1 : x + 2] = True
    around = image[0].numpy()[ring & ~mask.numpy()]
    assert row["contrast"] == pytest.approx((inside.mean() - around.mean()) / around.std(), rel=1e-4)
    assert table.loc["body" + REST]["pixels"] == 14 * 14 - 12
    rows, same = without_doubles(table.reset_index())
    assert same == {"again": "tumour"}
    assert set(rows["region"]) == {"tumour", "body", "body" + REST}
    whole = explore.compartments(rows).set_index("region")
    assert whole.loc["body", "share"] == pytest.approx(196 / 256)
    assert np.isnan(whole.loc["body", "share_low"])  # one patient: no interval
    empty = explore.region_rows(case(1, torch.zeros(16, 16).long()), "train", ["tumour"])
    assert empty[0]["pixels"] == 0
    assert explore.compartments(pd.DataFrame(empty)).iloc[0]["cases"] == 0


def test_places_of_a_volume_are_seen_with_the_right_side_on_the_left():
    liver = torch.zeros(24, 24, 4, dtype=torch.bool)
    liver[2:5, 18:21, 1:3] = True  # x grows to the right, y to the front
    one = pc.Case(id="v", inputs={"ct": torch.zeros(1, 24, 24, 4)}, regions={"liver": liver}, affine=np.diag([1.0, 1, 3, 1]))
    grid = explore.cover(one)["liver"]
    ys, xs = np.nonzero(grid)
    assert xs.min() >= 12  # small x is the patient's left: on the right of the picture
    assert ys.max() < 12  # at the front: at the top
    assert grid.max() == pytest.approx(0.5)  # half of the slices


def test_features_of_a_table():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3)) + np.arange(60)[:, None] % 2 * [2, 0, 0]
    x[:, 2] = 5
    cases = [pc.Case(id=f"c{i}", inputs={"ehr": torch.tensor(v).float()}, truth=i % 2) for i, v in enumerate(x)]
    made = explore.cohort({"train": cases}, task="classification", classes=["a", "b"])
    names, values = explore.table_values(cases, "ehr", {"ehr": ["u", "v", "w"]})
    assert names == ["u", "v", "w"]
    table = explore.features(names, values, made, table="ehr").set_index(["feature", "class"])
    a, b = values[::2, 0], values[1::2, 0]
    smd = (b.mean() - a.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert table.loc[("u", "b"), "smd"] == pytest.approx(smd)
    assert table.loc[("u", "b"), "low"] < smd < table.loc[("u", "b"), "high"]
    assert table.loc[("u", "b"), "low"] > 1
    assert table.loc[("w", "b"), "constant"]
    assert np.isnan(table.loc[("w", "b"), "smd"])
    pairs = explore.correlations(names, values, made, table="ehr").set_index(["class", "a", "b"])
    assert pairs.loc[("b", "u", "v"), "rho"] == pytest.approx(st.spearmanr(values[1::2, 0], values[1::2, 1])[0])
    assert pairs.loc[("b", "u", "v"), "low"] < pairs.loc[("b", "u", "v"), "rho"]
    assert np.isnan(pairs.loc[("b", "u", "w"), "rho"])
    outlines = explore.violins({"u": values[:, 0], "w": values[:, 2]}, made.groups(), source="ehr")
    assert set(outlines["feature"]) == {"u"}  # a constant has no outline
    assert outlines.groupby("class")["density"].max().to_numpy() == pytest.approx([1, 1])


def test_a_missing_input_is_not_described():
    ones = {"x": torch.ones(1, 8, 8), "t": torch.ones(2), "y": torch.ones(1, 8, 8)}
    zeros = {"x": torch.zeros(1, 8, 8), "t": torch.zeros(2), "y": torch.ones(1, 8, 8)}
    gone = pc.Case(id="b", inputs=zeros, truth=1, missing=("x", "t"))
    there = pc.Case(id="a", inputs=ones, truth=0)
    assert [r["input"] for r in explore.picture_rows(gone, "train")] == ["y"]
    assert np.isnan(explore.table_values([there, gone], "t")[1][1]).all()
    rows = pd.DataFrame(explore.picture_rows(there, "train"))
    made = explore.cohort({"train": [there, gone]}, task="classification", classes=["a", "b"])
    table = explore.checks(made, rows, [there, gone]).set_index("check")
    assert table.loc["missing_input", "sentence"].tolist() == [
        "1 of 2 cases lack the input x.", "1 of 2 cases lack the input t.",
    ]  # fmt: skip


BAD = {
    "no truth": ([case(i) for i in range(4)], "No case has a truth: classes are not described, and nothing can be trained on it."),
    "a class without cases": ([case(i, i % 2) for i in range(4)], "No case has c: nothing can be learnt or measured of it."),
    "a single class": ([case(i, 1) for i in range(4)], "All cases are b: there is nothing to tell apart."),
    "constant pictures": ([case(i, i % 2) for i in range(4)], "4 of the 4 cases looked at have a constant picture: c0, c1, c2, c3."),
    "one case": ([case(0, 0)], "There is one case: nothing can be compared, and no number has an interval."),
    "no meta": ([case(i, i % 2) for i in range(4)], "Nothing is known of the patients (no age, sex, view): bias cannot be looked for."),
    "some without truth": ([case(i, None if i == 1 else 0) for i in range(4)], "1 of 4 cases have no truth; they are in no class."),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_gives_a_sentence(bad):
    cases, sentence = BAD[bad]
    made = explore.cohort({"train": cases[:2], "test": cases[2:]}, task="classification", classes=["a", "b", "c"])
    rows = pd.DataFrame([r for c in cases for r in explore.picture_rows(c, "train")])
    checks = explore.checks(made, rows, cases)
    nothing = pd.DataFrame()
    notes = explore.standing_out(
        made, checks=checks, counts=explore.label_counts(made), pairs=explore.cooccurrence(made),
        associations=explore.associations(made, explore.columns_of(made)), features=nothing, scores=nothing,
        regions=nothing, looked=len(cases),
    )  # fmt: skip
    assert sentence in list(notes["sentence"]), "\n".join(notes["sentence"])
    assert notes.set_index("sentence").loc[sentence, "found"]


def test_a_patient_on_two_sides_and_sizes_that_differ_are_told():
    cases = [case(i, 0, group="p", image=torch.rand(1, 8, 8 + i)) for i in range(2)]
    made = explore.cohort({"train": cases[:1], "test": cases[1:]}, task="classification", classes=["a"])
    rows = pd.DataFrame([r for c in cases for r in explore.picture_rows(c, "train")])
    said = explore.checks(made, rows, cases).set_index("check")["sentence"]
    assert said["patient_in_two_parts"] == "1 of 1 patients are in more than one part: a leak."
    assert said["shape"] == "Pictures have 2 sizes: 8×8 (1), 8×9 (1)."
    both = pc.Case(id="two", inputs={"a": torch.rand(1, 8, 8), "b": torch.rand(1, 4, 4)}, truth=0)
    rows = pd.DataFrame(explore.picture_rows(both, "train"))
    assert "shape" not in set(explore.checks(made, rows, [both])["check"])  # of different inputs: no fault
    for other, told in ((1.004, False), (2.0, True)):
        pair = [case(i, 0, image=torch.rand(1, 8, 8), spacing=(1, (1.005, other)[i])) for i in range(2)]
        rows = pd.DataFrame([r for c in pair for r in explore.picture_rows(c, "train")])
        made = explore.cohort({"train": pair}, task="classification", classes=["a"])
        assert ("spacing" in set(explore.checks(made, rows, pair)["check"])) is told
