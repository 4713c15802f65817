"""Pairs of near hashes against all pairs, looks that are alike, and what becomes of pictures that are there twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.data.duplicates import alike, duplicates, near_pairs
from pellucid.errors import UsageError


@pytest.mark.parametrize("bits", [0, 1, 3, 4, 7, 12])
def test_near_pairs_are_those_of_a_comparison_of_all(bits):
    rng = np.random.default_rng(bits)
    seeds = rng.integers(0, 2**63, 30, dtype=np.uint64)
    looks = []
    for seed in seeds:  # families that differ in a few bits, wherever they lie
        for _ in range(6):
            flips = rng.choice(64, rng.integers(0, 9), replace=False)
            looks.append(int(seed) ^ sum(1 << int(f) for f in flips))
    wanted = {(i, j) for j in range(len(looks)) for i in range(j) if (looks[i] ^ looks[j]).bit_count() <= bits}
    assert len(wanted) > (0 if bits else -1)
    found = list(near_pairs(looks, bits))
    assert set(found) == wanted and len(found) == len(wanted)


@pytest.mark.parametrize("bits", [-1, 13, 2.5, True, "4"])
def test_bits_that_are_none_are_refused(bits):
    with pytest.raises(UsageError, match="the bits of 64 that may differ, a whole number from 0 to 12"):
        list(near_pairs([1, 2], bits))


def test_alike_is_the_same_in_another_exposure_and_not_another_picture():
    g = torch.Generator().manual_seed(0)
    one, other = (torch.rand(1, 96, 80, generator=g) for _ in range(2))
    assert alike(one, 0.5 * one + 0.2)
    assert alike(one, one)
    assert not alike(one, other) and not alike(one, 1 - one)
    assert not alike(one, torch.zeros(1, 96, 80)), "a blank picture is like nothing"


def test_the_first_of_a_patient_stays_and_none_of_two_patients():
    contents = {"a1": "x", "a2": "x", "a3": "x", "b1": "y", "c1": "y", "d1": "z", "e1": "w", "e2": "v"}
    groups = {id: id[0] for id in contents}
    lines = duplicates(contents, groups, action="drop", near=[("e1", "e2")])
    assert [(line.case, line.problem, line.action) for line in lines] == [
        ("a2", "duplicate", "left out"), ("a3", "duplicate", "left out"), ("b1", "duplicate", "left out"),
        ("c1", "duplicate", "left out"), ("e2", "near_duplicate", "left out"),
    ]  # fmt: skip
    assert [line.detail for line in lines][2:4] == [
        "the same picture as one of another patient (c1)", "the same picture as one of another patient (b1)"]  # fmt: skip
    # A chain: the second copy of one patient is another's, so all three go.
    lines = duplicates({"a1": "x", "a2": "y", "b1": "y"}, {"a1": "a", "a2": "a", "b1": "b"}, action="keep", near=[("a1", "a2")])
    assert [(line.case, line.problem, line.action) for line in lines] == [
        ("a1", "near_duplicate", "kept"), ("a2", "duplicate", "kept"), ("b1", "duplicate", "kept")]  # fmt: skip
    assert duplicates({"a1": "x", "b1": "y"}, {"a1": "a", "b1": "b"}, action="drop") == []
