"""Labels permuted between patients."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from pellucid.core.case import Case
from pellucid.train.shuffle import shuffled


def cases(n=40, per_patient=2, truth=lambda i: int(i // 2 % 3 == 0)):
    return [
        Case(id=f"c{i}", inputs={"x": torch.full((1, 2, 2), float(i))}, truth=truth(i), group=f"p{i // per_patient}")
        for i in range(n)
    ]


def test_every_label_is_there_as_often_and_patients_keep_theirs_together():
    before = cases()
    after = shuffled(before, 0)
    assert Counter(c.truth for c in after) == Counter(c.truth for c in before)
    assert [c.id for c in after] == [c.id for c in before] and [c.group for c in after] == [c.group for c in before]
    assert all(torch.equal(a.inputs["x"], b.inputs["x"]) for a, b in zip(after, before))
    assert all(after[i].truth == after[i + 1].truth for i in range(0, 40, 2))
    assert [c.truth for c in after] != [c.truth for c in before]
    assert [c.truth for c in shuffled(before, 0)] == [c.truth for c in after]
    assert [c.truth for c in shuffled(before, 1)] != [c.truth for c in after]
    assert [c.truth for c in before] == [c.truth for c in cases()]  # the caller's own are not touched


def test_scores_lose_their_relation_to_the_picture():
    after = shuffled(cases(400, 1, truth=float), 3)
    x = torch.tensor([float(c.inputs["x"].mean()) for c in after])
    y = torch.tensor([c.truth for c in after])
    assert abs(float(torch.corrcoef(torch.stack([x, y]))[0, 1])) < 0.15
    assert sorted(y.tolist()) == [float(i) for i in range(400)]


def test_masks_are_exchanged_between_masks_of_one_shape():
    def case(i, side):
        return Case(id=f"s{i}", inputs={"x": torch.zeros(1, side, side)}, truth=torch.full((side, side), i % 5))

    before = [case(i, 4 if i % 2 else 6) for i in range(20)]
    after = shuffled(before, 0)
    assert all(c.truth.shape == c.inputs["x"].shape[1:] for c in after)
    for side in (4, 6):
        values = [Counter(int(c.truth[0, 0]) for c in part if c.truth.shape[0] == side) for part in (before, after)]
        assert values[0] == values[1]
    assert any(not torch.equal(a.truth, b.truth) for a, b in zip(after, before))


@pytest.mark.parametrize("n", [0, 1])
def test_of_one_patient_there_is_nothing_to_exchange(n):
    assert [c.truth for c in shuffled(cases(n), 0)] == [c.truth for c in cases(n)]
