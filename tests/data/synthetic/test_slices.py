"""Calf slices: repeatable, the lesion where its mask says, not told by brightness; a patient's slices look alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pellucid as pc
from pellucid.data.synthetic.slices import drawn, synthetic_slices, write_slices
from pellucid.errors import UsageError


@pytest.fixture(scope="module")
def many():
    return synthetic_slices(patients=80, slices=2, size=32, seed=1)


def test_a_slice_depends_on_its_seed_patient_and_number_alone() -> None:
    few = {c.id: c for c in synthetic_slices(patients=2, slices=1, size=32)}
    more = {c.id: c for c in synthetic_slices(patients=3, slices=2, size=32)}
    assert len(more) == 6
    for id, case in few.items():
        assert torch.equal(case.inputs["image"], more[id].inputs["image"])
    other = synthetic_slices(patients=1, slices=1, size=32, seed=7)[0]
    assert not torch.equal(other.inputs["image"], next(iter(few.values())).inputs["image"])


def test_values_groups_and_masks(many) -> None:
    assert sum(c.truth for c in many) == 80  # half of the slices
    assert len({c.group for c in many}) == 80
    for case in many:
        x = case.inputs["image"]
        assert x.shape == (1, 32, 32)
        assert 0 <= float(x.min()) < 0.05
        assert ("lesion" in case.regions) == (case.truth == 1)
        assert 0.2 < float(case.region("mask").float().mean()) < 0.8
        if case.truth:
            muscle = case.regions["muscles"][case.region("lesion")]
            assert len(muscle) > 4
            assert len(muscle.unique()) == 1  # in one muscle
            assert int(muscle[0]) > 0
            assert not (case.region("lesion") & ~case.region("mask")).any()


def test_without_the_lesion_all_else_is_the_same() -> None:
    for with_it, without in zip(*(drawn(patients=4, slices=1, seed=3, size=64, extent=1, plant=p) for p in (True, False))):
        change = np.abs(with_it.picture - without.picture)
        if not with_it.label:
            assert not change.any()
            continue
        assert np.array_equal(with_it.lesion, without.lesion)
        assert change[with_it.lesion].mean() > 0.1
        assert change[~binary_dilation(with_it.lesion, iterations=4)].max() < 0.02


def test_brightness_and_contrast_do_not_tell_the_classes(many) -> None:
    x = np.array([
        [f(v.numpy()) for v in (c.inputs["image"], c.inputs["image"][0][c.region("mask")]) for f in (np.mean, np.std)]
        for c in many
    ])  # fmt: skip
    y = np.array([c.truth for c in many])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:100], y[:100])  # patients are not shared
    assert model.score(x[100:], y[100:]) < 0.7


def test_a_split_by_slice_would_be_rewarded_for_knowing_the_patient(many) -> None:
    """The nearest neighbour in grey values has learnt nothing of the disease, and shines if a patient is on both sides."""
    levels = np.linspace(0.02, 0.98, 25)
    x = np.array([np.quantile(c.inputs["image"][0][c.region("mask")].numpy(), levels) for c in many])
    y = np.array([c.truth for c in many])
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    by_slice = nearest.fit(x[::2], y[::2]).score(x[1::2], y[1::2])
    by_patient = nearest.fit(x[:80], y[:80]).score(x[80:], y[80:])
    assert by_slice > 0.85
    assert by_patient < 0.65


def test_files_are_those_that_mri_slices_reads(tmp_path) -> None:
    write_slices(tmp_path, patients=4, slices=2, size=48, seed=5)
    lines = (tmp_path / "data.csv").read_text().splitlines()
    assert lines[0] == "img_name;label;group"
    assert lines[1] == "slices-5-0000-0.png;" + lines[1].split(";")[1] + ";patient-slices-5-0000"
    read = pc.load_dataset(
        "mri_slices", tmp_path, classes=["healthy", "affected"], mask="mask", regions={"lesion": "lesion"},
        pad="size", size=48,
    )  # fmt: skip
    made = synthetic_slices(patients=4, slices=2, size=48, seed=5)
    assert read.failed == []
    for a, b in zip(read, made, strict=True):
        assert (a.id, a.group, a.truth, a.meta["class"]) == (b.id, b.group, b.truth, b.meta["class"])
        assert set(a.regions) == {"mask", "lesion"} & set(b.regions)
        # Cut out around the leg and framed again: the leg lies elsewhere, and is the same.
        want = (b.inputs["image"][0] * b.region("mask"))[b.region("mask")]
        assert torch.allclose(a.inputs["image"][0][a.region("mask")], want, atol=0.5 / 255 + 1e-6)
        assert float(a.inputs["image"][0][~a.region("mask")].abs().max()) == 0
    assert len({tuple(pc.read(p).spatial) for p in (tmp_path / "images").iterdir()}) > 2


def test_the_extent_is_how_far_the_fat_reaches_and_all_else_stays() -> None:
    for few, much in zip(*(synthetic_slices(patients=4, slices=1, size=48, extent=e) for e in (1, 2))):
        assert few.truth == much.truth
        if few.truth:
            assert int(much.region("lesion").sum()) > 1.5 * int(few.region("lesion").sum())
            assert not (few.region("lesion") & ~much.region("lesion")).any()
        else:
            assert torch.equal(few.inputs["image"], much.inputs["image"])


def test_numbers_out_of_range(tmp_path) -> None:
    with pytest.raises(UsageError, match="give 1 or more"):
        write_slices(tmp_path, patients=0)
    with pytest.raises(UsageError, match="give 32 or more"):
        pc.load_dataset("synthetic_slices", size=16)
    with pytest.raises(UsageError, match=r"extent 9: give a number from 0\.5 to 3"):
        pc.load_dataset("synthetic_slices", extent=9)
