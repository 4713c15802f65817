"""Splits: whole groups, every case once, strata in proportion, one file."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.case import Case
from pellucid.data import Split, check_split, split
from pellucid.errors import InputError, UsageError


def case(i, truth=None, group=None) -> Case:
    return Case(id=f"c{i}", inputs={"table": torch.zeros(2)}, truth=truth, group=group)


@st.composite
def cohorts(draw):
    """Patients with one to four cases each, of two or three classes, scores, or nothing known."""
    kind = draw(st.sampled_from(["class", "score", "labels", "none"]))
    sizes = draw(st.lists(st.integers(1, 4), min_size=3, max_size=40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = {
        "class": lambda: int(rng.integers(3)),
        "score": lambda: float(rng.random()),
        "labels": lambda: rng.integers(0, 2, 3),
        "none": lambda: None,
    }[kind]
    groups = [f"p{g}" for g, size in enumerate(sizes) for _ in range(size)]
    return [case(i, truth(), g) for i, g in enumerate(groups)]


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.integers(0, 1000))
def test_every_case_once_and_no_group_on_two_sides(cases, seed):
    parts = split(cases, seed=seed)
    ids = [c.id for side in parts for c in side]
    assert sorted(ids) == sorted(c.id for c in cases)
    groups = [{c.group for c in side} for side in parts]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert all(groups)
    again = split(cases, seed=seed)
    assert [[c.id for c in side] for side in again] == [[c.id for c in side] for side in parts]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(20, 60), min_size=1, max_size=4),
    st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.8, 0.2, 0.0), (0.6, 0.0, 0.4)]),
    st.integers(0, 99),
)
def test_each_class_in_proportion(counts, fractions, seed):
    cases = [case(f"{k}-{i}", truth=k) for k, n in enumerate(counts) for i in range(n)]
    parts = split(cases, fractions, seed)
    for k, n in enumerate(counts):
        for share, side in zip(fractions, parts):
            assert abs(sum(c.truth == k for c in side) - share * n) <= 1.5
    for share, side in zip(fractions, parts):
        assert abs(len(side) - share * len(cases)) <= 2


def test_the_order_of_the_cases_changes_nothing():
    cases = [case(i, truth=i % 2) for i in range(30)]
    forward, backward = split(cases, seed=4), split(cases[::-1], seed=4)
    assert [{c.id for c in s} for s in forward] == [{c.id for c in s} for s in backward]


def test_seeds_differ():
    cases = [case(i, truth=i % 2) for i in range(40)]
    assert {c.id for c in split(cases, seed=0).test} != {c.id for c in split(cases, seed=1).test}


def test_scores_and_lesion_sizes_are_spread_over_the_sides():
    scores = [case(i, truth=float(v)) for i, v in enumerate(np.random.default_rng(0).beta(2, 5, 200))]
    for side in split(scores):
        assert abs(np.mean([c.truth for c in side]) - 2 / 7) < 0.03
    masks = []
    for i in range(100):
        mask = torch.zeros(12, 12, dtype=torch.int64)
        mask.view(-1)[: i + 1] = 1
        masks.append(Case(id=str(i), inputs={"x": torch.zeros(1, 12, 12)}, truth=mask))
    for side in split(masks):
        sizes = sorted(int(c.truth.sum()) for c in side)
        assert sizes[0] <= 20
        assert sizes[-1] > 80


def test_too_few_groups_are_refused_clearly():
    with pytest.raises(InputError, match="6 cases of 2 groups cannot fill 3 sides"):
        split([case(i, group=f"p{i % 2}") for i in range(6)])
    train, val, test = split([case(i, group=f"p{i % 2}") for i in range(6)], (0.5, 0.5, 0))
    assert len(train) == len(val) == 3
    assert test == []


def test_of_independent_labels_every_side_has_its_share():
    rng = np.random.default_rng(0)
    share = np.array([0.4, 0.3, 0.2, 0.1, 0.05, 0.03])
    patients = np.repeat(np.arange(1200), rng.integers(1, 4, 1200))[:1200]
    cases = [case(i, truth=torch.tensor((rng.random(6) < share).astype(int)), group=f"p{p}") for i, p in enumerate(patients)]
    whole = torch.stack([c.truth for c in cases]).double().mean(0)
    several = 1200 / len({c.group for c in cases})
    for seed in (0, 1):
        parts = split(cases, (0.7, 0.1, 0.2), seed)
        assert [len(side) / 1200 for side in parts] == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
        for side in parts:
            rates = torch.stack([c.truth for c in side]).double().mean(0)
            assert (rates / whole - 1).abs()[:5].max() < 0.4
            assert len(side) / len({c.group for c in side}) == pytest.approx(several, rel=0.1), "pictures of a patient"
    other = split(cases, (0.7, 0.1, 0.2), 1)
    shared = {c.id for c in split(cases, (0.7, 0.1, 0.2), 0).test} & {c.id for c in other.test}
    assert len(shared) < 0.5 * len(other.test), "another seed deals otherwise"


def test_a_named_class_counts_in_place_of_the_truth():
    names = ["rare" if i % 10 == 0 else "common" for i in range(200)]
    sized = [torch.ones(1, 1 + i % 7) for i in range(200)]
    with_mask = [case(i).replace(inputs={"x": m[None]}, truth=m, meta={"class": n}) for i, (m, n) in enumerate(zip(sized, names))]
    with_class = [case(i, truth=i % 3).replace(meta={"class": n}) for i, n in enumerate(names)]
    a, b = split(with_mask, (0.5, 0.25, 0.25), 5), split(with_class, (0.5, 0.25, 0.25), 5)
    assert [[c.id for c in side] for side in a] == [[c.id for c in side] for side in b]
    assert [sum(c.meta["class"] == "rare" for c in side) for side in a] == [10, 5, 5]


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_that_make_no_whole(fractions):
    with pytest.raises(UsageError, match="sum to 1"):
        split([case(i) for i in range(9)], fractions)


def test_two_cases_with_one_id():
    with pytest.raises(InputError, match="occurs twice"):
        split([case(1), case(1), case(2)])


def test_the_file_brings_the_same_sides_back(tmp_path):
    cases = [case(i, truth=i % 3) for i in range(30)]
    parts = split(cases, seed=7)
    path = parts.save(tmp_path / "deep" / "split.json")
    back = Split.load(path, cases[::-1])
    assert [[c.id for c in s] for s in back] == [[c.id for c in s] for s in parts]
    assert (back.seed, back.fractions) == (7, (0.7, 0.15, 0.15))
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    cases = [case(i) for i in range(12)]
    path = split(cases).save(tmp_path / "s.json")
    with pytest.raises(InputError, match="1 of its cases are not there, 0 are on none"):
        Split.load(path, cases[1:])
    with pytest.raises(InputError, match="0 of its cases are not there, 1 are on none"):
        Split.load(path, [*cases, case(99)])
    content = json.loads(path.read_text())
    content["test"].append(content["train"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="names 1 cases twice"):
        Split.load(path, cases)
    path.write_text("[]")
    with pytest.raises(InputError, match="not a split file"):
        Split.load(path, cases)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        Split.load(path, cases)
    with pytest.raises(InputError, match="cannot be read"):
        Split.load(tmp_path / "none.json", cases)


def test_a_patient_on_two_sides_is_counted_not_named():
    a, b, c = case(1, group="Jane Doe"), case(2, group="Jane Doe"), case(3, group="other")
    with pytest.raises(InputError, match=r"1 of 2 groups are on two sides of the split \(train and test\)") as caught:
        check_split(Split([a], [c], [b]))
    assert "Jane" not in str(caught.value)
