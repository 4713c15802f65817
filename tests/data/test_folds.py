"""Folds: whole patients, classes in proportion, every case validated once, and what cannot be had is said."""

from __future__ import annotations

import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.case import Case
from pellucid.data import check_folds, folds
from pellucid.data.folds import Folds
from pellucid.errors import InputError, UsageError

BLANK = {"x": torch.zeros(1)}


def case(name: str, group: str | None = None, truth: object = 0) -> Case:
    return Case(id=name, inputs=BLANK, group=group, truth=truth)


def cohort(patients: int, slices: int = 3, *, classes: int = 2) -> list[Case]:
    return [case(f"{p}-{s}", f"p{p}", p % classes) for p in range(patients) for s in range(slices)]


def ids(pairs: Folds) -> list[list[str]]:
    return [[c.id for c in val] for _, val in pairs]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), min_size=4, max_size=25),
    k=st.integers(2, 4), seed=st.integers(0, 2**40),
)  # fmt: skip
def test_no_patient_is_on_both_sides_and_every_case_is_validated_once(sizes, k, seed):
    cases = [case(f"{g}-{i}", f"g{g}", kind) for g, (n, kind) in enumerate(sizes) for i in range(n)]
    found = folds(cases, k, seed)
    assert len(found) == k
    validated = [c.id for _, val in found for c in val]
    assert sorted(validated) == sorted(c.id for c in cases)
    for train, val in found:
        assert train
        assert val
        assert not {c.group for c in train} & {c.group for c in val}
        assert len(train) + len(val) == len(cases)


def test_classes_are_as_frequent_in_every_fold():
    found = folds(cohort(40), 10, 3)
    assert [sum(int(c.truth) for c in val) for _, val in found] == [6] * 10
    assert [len(val) for _, val in found] == [12] * 10
    assert found.notes == ()


def test_amounts_are_dealt_by_fifths():
    cases = [case(str(i), truth=float(i)) for i in range(50)]
    for _, val in folds(cases, 5):
        assert sorted(int(c.truth) // 10 for c in val) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_the_rarest_label_is_in_every_fold():
    cases = [case(str(i), truth=torch.tensor([i % 2, int(i % 12 == 0)])) for i in range(60)]
    found = folds(cases, 5)
    assert [int(sum(c.truth[1] for c in val)) for _, val in found] == [1] * 5
    assert found.notes == ()


def test_the_same_seed_deals_the_same_folds_in_whatever_order_the_cases_come():
    cases = cohort(24)
    mixed = random.Random(0).sample(cases, len(cases))
    a, b, other = folds(cases, 4, 7), folds(mixed, 4, 7), folds(cases, 4, 8)
    assert [set(v) for v in ids(a)] == [set(v) for v in ids(b)]
    assert a.digest == b.digest
    assert a.digest != other.digest
    assert ids(a)[0] == [c.id for c in cases if c.id in ids(a)[0]], "in the order of the cases"


def test_a_patient_in_two_classes_stays_whole_and_is_said():
    cases = [*cohort(12), case("m-0", "mixed", 0), case("m-1", "mixed", 1)]
    found = folds(cases, 3)
    assert sum("mixed" in {c.group for c in val} for _, val in found) == 1
    assert found.notes == ("1 of 13 groups have cases of more than one class; each stays whole in a fold",)


def test_a_group_with_one_slice_is_a_group():
    cases = [*cohort(8, 4), case("single", "s", 0), case("alone", None, 1)]
    assert len({c.id for _, val in folds(cases, 5) for c in val}) == 34


def test_a_fold_without_a_class_is_said_with_what_to_do():
    cases = [case(str(i), truth=int(i < 2)) for i in range(20)]
    (note,) = folds(cases, 5).notes
    assert "class 1 is in no validation case of 3 of 5 folds (" in note
    assert "take fewer folds, another seed, or add patients" in note
    alone = [case(f"{i}", "all of them" if i < 4 else None, truth=int(i < 4)) for i in range(20)]
    said = folds(alone, 4).notes
    assert any("class 1 is in no training case of 1 of 4 folds" in n for n in said)
    assert any("class 1 is in no validation case of 3 of 4 folds" in n for n in said)
    never = [case(str(i), truth=torch.tensor([i % 2, 1])) for i in range(10)]
    assert folds(never, 5).notes == (), "a label that all have is lacking in no fold"
    once = [case(str(i), truth=torch.tensor([i % 2, int(i > 0)])) for i in range(10)]
    assert any("the absence of label 1 is in no training case of 1 of 5" in n for n in folds(once, 5).notes)


def test_strata_that_are_all_smaller_than_the_folds():
    """scikit-learn refuses them."""
    found = folds([case(str(i), truth=i % 4) for i in range(12)], 6)
    assert [len(val) for _, val in found] == [2] * 6
    assert "no class has as many cases as there are folds (6)" in found.notes[0]


def test_fewer_groups_than_folds():
    with pytest.raises(InputError, match="9 cases of 3 groups cannot fill 4 folds; take fewer folds, or add patients"):
        folds(cohort(3), 4)
    with pytest.raises(UsageError, match="1 folds: give at least 2"):
        folds(cohort(3), 1)


def test_a_patient_of_the_test_side_is_refused_without_a_name():
    cases = cohort(10)
    with pytest.raises(InputError, match="1 of 2 groups of the held-out test side") as told:
        folds(cases, 3, test=[case("t", "p4"), case("u", "elsewhere")])
    assert "p4" not in str(told.value)


def test_what_is_no_cross_validation_is_refused():
    a, b, c, d = cases = [case("a", "1"), case("b", "1"), case("c", "2"), case("d", "3")]
    check_folds([([a, b], [c, d]), ([c, d], [a, b])], cases)
    for wrong, sentence in (
        ([([a, c], [b, d])], "fold 1 of 1: 1 groups are on two sides"),
        ([([a, b], [c, d]), ([a, b], [c, d])], "4 of 4 cases are not validated exactly once over the 2 folds"),
        ([([a, b], [c, d])], "2 of 4 cases are not validated exactly once"),
        ([([a, b], [c])], "which are not the 4 that are cross-validated"),
        ([([a, b, d], [c, c])], "which are not the 4 that are cross-validated"),
        ([([], cases)], "has 0 training and 4 validation cases"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            check_folds(wrong, cases)


def test_folds_are_kept_in_a_file(tmp_path):
    cases = cohort(12)
    dealt = folds(cases, 4, 5)
    again = Folds.load(dealt.save(tmp_path / "folds.json"), cases)
    assert ids(again) == ids(dealt)
    assert (again.seed, again.digest, again.notes) == (5, dealt.digest, dealt.notes)
    with pytest.raises(InputError, match="3 of its cases are not there, 0 are in none"):
        Folds.load(tmp_path / "folds.json", cases[3:])
    with pytest.raises(InputError, match="0 of its cases are not there, 1 are in none"):
        Folds.load(tmp_path / "folds.json", [*cases, case("new")])


def test_a_file_of_folds_that_is_damaged(tmp_path):
    cases, path = cohort(6), tmp_path / "folds.json"
    content = json.loads(folds(cases, 3).save(path).read_text())
    first, *others = content["folds"]
    twice = content | {"folds": [first | {"val": first["val"] + first["val"][:1]}, *others]}
    for damaged, sentence in (
        ("{", "cannot be read as a file of folds"), ('{"format": 1}', "cannot be read as a file of folds"),
        (json.dumps(content | {"format": "other"}), "is not a file of folds"),
        (json.dumps(twice), "names a case twice in one fold"),
    ):  # fmt: skip
        path.write_text(damaged)
        with pytest.raises(InputError, match=sentence):
            Folds.load(path, cases)
