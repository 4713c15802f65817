"""Dermoscopy-like pictures: what is drawn is where the masks say, and only the lesion knows the label."""

from __future__ import annotations

import pytest
import torch

import pellucid as pc
from pellucid.data.synthetic import make
from pellucid.errors import UsageError


def test_a_case_depends_on_the_seed_and_its_number_alone() -> None:
    few, many = make("dermoscopy", n=2, size=48), make("dermoscopy", n=5, size=48)
    for a, b in zip(few, many):
        assert torch.equal(a.inputs["image"], b.inputs["image"])
    assert not torch.equal(many[0].inputs["image"], make("dermoscopy", n=1, size=48, seed=1)[0].inputs["image"])
    assert sum(c.truth for c in make("dermoscopy", n=20, size=16)) == 10


def test_values_shapes_and_masks() -> None:
    for case in make("dermoscopy", n=12, size=64):
        x = case.inputs["image"]
        assert x.shape == (3, 64, 64)
        assert float(x.min()) >= 0
        assert float(x.max()) <= 1
        assert set(case.regions) == {"lesion", "hair", "ruler", "frame"}
        assert 0.02 < float(case.region("lesion").float().mean()) < 0.6
    masks = pc.load_dataset("synthetic_dermoscopy", n=3, size=64, truth="mask")
    for case in masks:
        assert torch.equal(case.truth, case.region("lesion").to(case.truth.dtype))


def test_without_the_signal_all_but_the_lesion_is_the_same() -> None:
    for with_it, without in zip(make("dermoscopy", n=6, size=96), make("dermoscopy", n=6, size=96, plant=False)):
        changed = (with_it.inputs["image"] - without.inputs["image"]).abs().sum(0)
        lesion = with_it.region("lesion")
        assert torch.equal(lesion, without.region("lesion"))
        clear = ~(with_it.region("hair") | with_it.region("ruler") | with_it.region("frame"))
        assert float(changed[lesion & clear].mean()) > 0.15
        # Its edge is soft: nothing changes two millimetres away from it.
        from scipy.ndimage import binary_dilation

        near = torch.from_numpy(binary_dilation(lesion.numpy(), iterations=12))
        assert float(changed[~near].max()) < 1e-3


def test_the_ruler_is_a_confounder_only_if_asked() -> None:
    shown = lambda cases: [bool(c.region("ruler").any()) for c in cases]  # noqa: E731
    given = make("dermoscopy", n=24, size=48, confounder=1.0)
    assert shown(given) == [bool(c.truth) for c in given]
    assert all(bool(c.region("confounder").any()) for c in given)  # its place, in those without a ruler too
    free = make("dermoscopy", n=200, size=16)
    by = {label: [s for s, c in zip(shown(free), free) if c.truth == label] for label in (0, 1)}
    share = {k: sum(v) / len(v) for k, v in by.items()}
    assert abs(share[0] - share[1]) < 0.2
    assert 0.2 < share[0] < 0.6
    assert [c.truth for c in free[:24]] == [c.truth for c in given]


def test_options_out_of_range() -> None:
    with pytest.raises(UsageError, match="give 'label'"):
        make("dermoscopy", n=1, truth="score")
    with pytest.raises(UsageError, match="to dermoscopy 'mask'"):
        make("classification", n=1, truth="mask")
