"""Features of an input, each with an id of its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.case import Case
from pellucid.core.region import partition
from pellucid.core.superpixels import cubic_grid
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


@settings(deadline=None, max_examples=40)
@given(shape=shapes, segments=st.integers(1, 80), by=st.sampled_from(["superpixels", "cubes"]), thick=st.sampled_from([None, 1.0, 4.0]))
def test_segments_cover_everything_and_are_about_as_many_as_asked(
    shape: tuple[int, ...], segments: int, by: str, thick: float | None
) -> None:
    g = torch.Generator().manual_seed(segments)
    spacing = None if thick is None else (thick, *[1.0] * (len(shape) - 1))
    case = Case(id="1", inputs={"a": torch.rand(1, *shape, generator=g), "t": torch.zeros(2)}, spacing=spacing)
    groups = partition(case, ("a", "t"), by, segments=segments)
    ids = torch.cat([v.flatten() for v in groups.labels.values()])
    assert ids.unique().tolist() == list(range(len(groups)))
    assert groups.labels["a"].shape == shape
    found, pixels = len(groups) - 2, groups.labels["a"].numel()
    assert found <= max(2 * segments, 2)
    assert found >= min(segments, pixels) / 4 or by == "superpixels"


@pytest.mark.parametrize("by", ["superpixels", "cubes"])
@pytest.mark.parametrize(("shape", "segments"), [((96, 96), 64), ((64, 48), 100), ((24, 32, 28), 64), ((32, 32, 32), 512)])
def test_the_number_of_segments_of_a_smooth_picture(by: str, shape: tuple[int, ...], segments: int) -> None:
    axes = torch.meshgrid(*[torch.linspace(0, 6, n) for n in shape], indexing="ij")
    case = Case(id="1", inputs={"a": sum(torch.sin(a + i) for i, a in enumerate(axes))[None]})
    assert 0.6 * segments <= len(partition(case, ("a",), by, segments=segments)) <= 1.5 * segments


@pytest.mark.parametrize("by", ["supervoxels", "cubes"])
def test_segments_are_cubes_in_millimetres(by: str) -> None:
    """Slices 4 mm apart: a segment spans a fourth as many slices as pixels, and does not if nothing is known."""
    sides = {}
    for spacing in (None, (4.0, 1.0, 1.0)):
        case = Case(id="1", inputs={"a": torch.zeros(1, 12, 48, 48)}, spacing=spacing)
        labels = partition(case, ("a",), by, segments=64).labels["a"]
        where = [(labels == i).nonzero() for i in labels.unique()]
        sides[spacing] = torch.stack([(w.amax(0) - w.amin(0) + 1).double() for w in where]).mean(0)
    thick, thin = sides[4.0, 1.0, 1.0], sides[None]
    assert 0.7 < float(4 * thick[0] / thick[1]) < 1.4
    assert 0.6 < float(thin[0] / thin[1]) < 1.4


def test_superpixels_follow_the_edges_of_the_picture() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((y - 30) ** 2 + (x - 34) ** 2 < 15**2).float()
    noisy = disc + 0.03 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    case = Case(id="1", inputs={"a": noisy[None]})
    labels = partition(case, ("a",), "superpixels", segments=50).labels["a"]
    share = torch.stack([disc[labels == i].mean() for i in labels.unique()])
    blocks = partition(case, ("a",), "cubes", segments=50).labels["a"]
    mixed = torch.stack([disc[blocks == i].mean() for i in blocks.unique()])
    assert float(torch.minimum(share, 1 - share).max()) < 0.1
    assert float(torch.minimum(mixed, 1 - mixed).max()) > 0.2


def test_the_same_case_is_split_the_same_way() -> None:
    x = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    first, again = (partition(Case(id=i, inputs={"a": x}), ("a",), "superpixels").labels["a"] for i in "ab")
    assert torch.equal(first, again)
    constant = Case(id="c", inputs={"a": torch.full((1, 32, 32), 7.0)})
    assert 30 <= len(partition(constant, ("a",), "superpixels")) <= 100


def test_a_region_on_another_grid_is_refused() -> None:
    case = Case(id="p3", inputs={"a": torch.zeros(1, 8, 8), "b": torch.zeros(1, 4, 4)}, regions={"organs": torch.zeros(8, 8)})
    with pytest.raises(UsageError, match=r"case p3: region 'organs' is \(8, 8\), input 'b' is \(4, 4\); resample the input"):
        partition(case, ("a", "b"), "organs")
    with pytest.raises(UsageError, match="segments=0: give 1 or more"):
        partition(case, ("a",), "cubes", segments=0)
    with pytest.raises(UsageError, match="compactness=-1: give a positive share"):
        partition(case, ("a",), "superpixels", compactness=-1)


def test_a_large_volume_is_segmented_on_a_coarser_grid() -> None:
    assert cubic_grid((64, 64, 64), None) == (64, 64, 64)
    assert cubic_grid((10, 40, 40), (2.0, 1.0, 1.0)) == (20, 40, 40)
    for shape, spacing in (((300, 512, 512), (1.0, 0.7, 0.7)), ((40, 512, 512), (5.0, 0.7, 0.7)), ((2000, 3000), None)):
        grid = cubic_grid(shape, spacing)
        assert torch.tensor(grid).prod() < 1.02 * 2**21
        voxel = [n * s / g for n, s, g in zip(shape, spacing or (1.0, 1.0), grid)]
        assert max(voxel) < 1.05 * min(voxel)
