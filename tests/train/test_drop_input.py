"""Dropping an input in training: some cases of that input become the mean, nothing else changes."""

from __future__ import annotations

import pytest
import torch

from pellucid.errors import UsageError
from pellucid.train.augment import as_augmentations
from pellucid.train.data import TRUTH, Batches


def test_some_cases_of_a_table_become_the_mean() -> None:
    data = {"im": torch.randn(40, 1, 4, 4), "tab": torch.randn(40, 3), TRUTH: torch.arange(40)}
    (drop,) = as_augmentations([{"drop_input": {"name": "tab", "p": 0.5}}])
    (batch,) = Batches(data, batch_size=40, seed=0, augment=[drop])
    order = batch[TRUTH]
    assert torch.equal(batch["im"], data["im"][order])
    same = (batch["tab"] == data["tab"][order]).all(1)
    mean = torch.isclose(batch["tab"], data["tab"].mean(0)).all(1)
    assert bool((same ^ mean).all())
    assert 10 < int(mean.sum()) < 30


def test_the_name_has_to_be_an_input() -> None:
    data = {"im": torch.randn(4, 1, 4, 4), TRUTH: torch.arange(4)}
    with pytest.raises(UsageError, match="did you mean 'im'"):
        list(Batches(data, batch_size=2, seed=0, augment=as_augmentations([{"drop_input": {"name": "imm"}}])))
