"""Features of an input, each with an id of its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.case import Case
from pellucid.core.region import partition
from pellucid.errors import UsageError

shapes = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


@settings(deadline=None, max_examples=60)
@given(shape=shapes, side=st.integers(1, 10), columns=st.integers(1, 5))
def test_every_pixel_has_one_feature_and_every_feature_its_pixels(shape: tuple[int, ...], side: int, columns: int) -> None:
    case = Case(id="1", inputs={"a": torch.zeros(1, *shape), "t": torch.zeros(columns), "b": torch.zeros(2, *shape)})
    groups = partition(case, ("a", "t", "b"), "blocks", side=side)
    ids = torch.cat([v.flatten() for v in groups.labels.values()])
    assert sorted(set(ids.tolist())) == list(range(len(groups)))
    assert len(groups.names) == len(set(groups.names)) == len(groups)
    for name, label in groups.labels.items():
        assert label.shape == case.inputs[name].shape[-len(label.shape):]
    blocks = groups.labels["a"]
    for i in blocks.unique().tolist():
        where = (blocks == i).nonzero()
        extent = where.amax(0) - where.amin(0) + 1
        assert int(extent.max()) <= side
        assert int(extent.prod()) == len(where), "a block is a box"
        assert all(int(v) % side == 0 for v in where.amin(0))
    assert not set(groups.labels["a"].flatten().tolist()) & set(groups.labels["b"].flatten().tolist())


def test_round_trip_from_values_to_a_map_and_back() -> None:
    case = Case(id="1", inputs={"a": torch.zeros(1, 20, 24)})
    groups = partition(case, ("a",), "blocks", side=3)
    values = torch.randn(len(groups))
    painted = values[groups.labels["a"]]
    back = torch.stack([painted[groups.labels["a"] == i].mean() for i in range(len(groups))])
    torch.testing.assert_close(back, values)


def test_blocks_are_an_eighth_of_the_longest_axis() -> None:
    case = Case(id="1", inputs={"a": torch.zeros(1, 32, 16)})
    assert len(partition(case, ("a",))) == 8 * 4


def test_regions_and_modalities() -> None:
    labels = torch.zeros(4, 4, dtype=torch.int64)
    labels[0], labels[1] = 900, -3
    case = Case(id="1", inputs={"a": torch.zeros(1, 4, 4), "t": torch.zeros(2)}, regions={"organs": labels})
    groups = partition(case, ("a", "t"), "organs")
    assert groups.names == ("a organs=-3", "a organs=0", "a organs=900", "t[0]", "t[1]")
    assert groups.labels["a"][:, 0].tolist() == [2, 0, 1, 1]
    assert groups.labels["t"].tolist() == [3, 4]
    whole = partition(case, ("a", "t"), "modality")
    assert whole.names == ("a", "t")
    assert whole.labels["a"].unique().tolist() == [0]
    assert whole.labels["t"].tolist() == [1, 1]


def test_unknown_groups_are_refused() -> None:
    case = Case(id="p3", inputs={"a": torch.zeros(1, 4, 4)}, regions={"organs": torch.zeros(4, 4)})
    with pytest.raises(UsageError, match=r"case p3: groups 'organ' is neither 'superpixels', .* 'modality' nor one of its regions \(organs\); did you mean 'organs'\?"):
        partition(case, ("a",), "organ")
    with pytest.raises(UsageError, match="a block of 0 pixels has no inside"):
        partition(case, ("a",), side=0)
