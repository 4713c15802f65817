"""Splits that obey a published test list or another split's file: patients keep their sides, whatever could be read."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from make_skin_and_chest import make_chestxdet10
from pellucid.core.case import Case
from pellucid.data import Split, check_split, follow_split, load_dataset, official_split, split
from pellucid.data.dealing import side_by_hash
from pellucid.errors import InputError, UsageError


def case(i, group=None, part=None):
    meta = {} if part is None else {"part": part}
    return Case(id=f"c{i}", inputs={"x": torch.zeros(2)}, truth=i % 2, group=group, meta=meta)


def cohort(n=60):
    """Two pictures of every patient."""
    return [case(i, group=f"p{i // 2}") for i in range(n)]


def side_of(parts):
    return {c.group: name for name, side in zip(("train", "val", "test"), parts) for c in side}


def test_patients_keep_their_sides_when_other_cases_of_theirs_could_be_read(tmp_path):
    cases = cohort()
    first = split(cases[:50:2], (0.7, 0.1, 0.2))  # the second picture of everybody failed, and five patients wholly
    path = first.save(tmp_path / "s.json")
    others = [*cases[1:50:2], *cases[0:10:2]]
    then = follow_split(path, others)
    assert side_of(then).items() <= side_of(first).items()
    assert sum(map(len, then)) == len(others)
    assert then.notes == ("20 cases of s.json are not in these data",)
    with pytest.raises(InputError, match="does not fit the data"):
        Split.load(path, others)


def test_patients_that_the_file_does_not_know_are_dealt_alike_by_all_who_follow_it(tmp_path):
    cases = cohort(200)
    path = split(cases[:100], (0.7, 0.1, 0.2), seed=4).save(tmp_path / "s.json")
    a = follow_split(path, cases)
    b = follow_split(path, [*cases[90:170], cases[199]])
    assert a.notes[0] == "100 cases of 50 groups are not in s.json; each group was dealt by its name"
    assert side_of(b).items() <= side_of(a).items()
    assert all(len({c.group for c in side}) > 0 for side in a)


@given(st.text(max_size=8), st.integers(0, 99))
def test_a_side_without_share_gets_nobody(group, seed):
    assert side_by_hash(group, (0.7, 0.3, 0.0), seed) in (0, 1)
    assert side_by_hash(group, (0.0, 0.0, 1.0), seed) == 2


def test_dealing_by_name_comes_near_the_fractions():
    sides = [side_by_hash(f"p{i}", (0.7, 0.1, 0.2), 0) for i in range(4000)]
    assert [sides.count(k) / 4000 for k in range(3)] == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_a_file_of_the_first_version_is_still_read(tmp_path):
    cases = cohort(12)
    path = split(cases, (0.5, 0.25, 0.25)).save(tmp_path / "s.json")
    content = json.loads(path.read_text())
    assert content["format"] == "pellucid split 2"
    assert content["groups"]["train"] == sorted({c.group for c in Split.load(path, cases).train})
    old = {k: v for k, v in content.items() if k not in ("groups", "left_out")} | {"format": "pellucid split 1"}
    path.write_text(json.dumps(old))
    assert [[c.id for c in side] for side in Split.load(path, cases)] == [content[s] for s in ("train", "val", "test")]
    one_of_each = follow_split(path, [*cases[::2], case(99, group=cases[0].group)])
    assert side_of(one_of_each)[cases[0].group] == next(s for s in ("train", "val", "test") if "c0" in content[s])


def test_what_cannot_be_followed_is_refused(tmp_path):
    path = split(cohort(12)).save(tmp_path / "s.json")
    with pytest.raises(InputError, match="knows none of the 2 cases, nor their groups: it is of other data"):
        follow_split(path, [case(500, "x"), case(501, "y")])
    by_picture = [c.replace(group=None) for c in cohort(12)]
    leaking = split(by_picture, (0.4, 0.2, 0.4)).save(tmp_path / "leak.json")
    with pytest.raises(InputError, match="groups are on two sides"):
        follow_split(leaking, cohort(12))
    path.write_text(json.dumps({"format": "pellucid split 2", "train": "abc"}))
    with pytest.raises(InputError, match="damaged split file"):
        follow_split(path, cohort(12))


def test_what_is_left_out_stays_out(tmp_path):
    cases = cohort(20)
    parts = Split(cases[:10], [], cases[10:16], left_out=cases[16:])
    path = parts.save(tmp_path / "s.json")
    assert [c.id for c in Split.load(path, cases).left_out] == ["c16", "c17", "c18", "c19"]
    assert [c.id for c in Split.load(path, cases[:16]).test] == [c.id for c in cases[10:16]]
    assert [c.id for c in follow_split(path, [*cases[:17], case(77, group="p9")]).left_out] == ["c16", "c77"]


def test_the_published_test_list_is_kept_and_its_patients_are_not_trained_on(tmp_path):
    cases = load_dataset("chestxdet10", make_chestxdet10(tmp_path, n=60, leaky=True), size=8)
    published = [c.id for c in cases if c.meta["part"] == "test"]
    both = {c.group for c in cases if c.meta["part"] == "test"} & {c.group for c in cases if c.meta["part"] == "train"}
    assert both, "the published lists share patients, and so does the miniature"
    parts = official_split(cases, (0.7, 0.1, 0.2), seed=1)
    check_split(parts)
    assert [c.id for c in parts.test] == published
    assert {c.group for c in parts.left_out} == both
    assert parts.notes == (f"{len(both)} of {60 - len(published)} cases are left out: their patients are in the "
                           "published test list, too",)  # fmt: skip
    assert len(parts.train) > 4 * len(parts.val) > 0
    again = follow_split(parts.save(tmp_path / "s.json"), cases)
    assert [[c.id for c in side] for side in again] == [[c.id for c in side] for side in parts]
    assert again.notes == ()


def test_a_published_validation_list_is_kept_too():
    lists = [("a", "train"), ("b", "train"), ("c", "val"), ("b", "val"), ("d", "test"), ("a", "test"), ("e", "train")]
    parts = official_split([case(i, group=g, part=p) for i, (g, p) in enumerate(lists)], (0.0, 1.0, 0.0))
    assert [[c.id for c in side] for side in parts] == [["c6"], ["c2", "c3"], ["c4", "c5"]]
    assert sorted(c.id for c in parts.left_out) == ["c0", "c1"]
    assert parts.notes == (
        "1 of 5 cases are left out: their patients are in the published test list, too",
        "1 training cases are left out: their patients are in the validation list, too",
    )


def test_no_test_list_and_no_fractions():
    with pytest.raises(InputError, match="no case is in a published test list"):
        official_split(cohort(8))
    with pytest.raises(UsageError, match="more than 0 together"):
        official_split([case(1, part="test"), case(2, part="train")], (0.0, 0.0, 1.0))
