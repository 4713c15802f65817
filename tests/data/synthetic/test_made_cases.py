"""The synthetic cases: deterministic, in range, and the signal exactly where the mask says."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from pellucid.data.synthetic import ORGANS, TASKS, make
from pellucid.errors import UsageError

FLAT = ("classification", "regression", "segmentation")
SIZE = 96


def same(a, b) -> bool:
    return (
        a.id == b.id
        and all(torch.equal(a.inputs[k], b.inputs[k]) for k in a.inputs)
        and all(torch.equal(a.regions[k], b.regions[k]) for k in a.regions)
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_case_depends_on_its_seed_and_number_alone(task):
    size = 32 if task == "volume" else 48
    few, more = make(task, n=2, seed=5, size=size), make(task, n=4, seed=5, size=size)
    assert all(same(a, b) for a, b in zip(few, more))
    assert same(make(task, n=1, seed=5, size=size, start=3)[0], more[3])
    other = make(task, n=1, seed=6, size=size)[0]
    name = next(iter(other.images))
    assert not torch.equal(other.inputs[name], more[0].inputs[name])
    assert len({c.group for c in more}) == len({c.id for c in more}) == 4


@pytest.mark.parametrize("task", FLAT)
def test_pictures_are_in_range_and_named(task):
    names = {"classification": ["ct", "ehr"], "regression": ["t1", "t2"], "segmentation": ["flair", "t1ce"]}
    for case in make(task, n=4, size=SIZE):
        assert list(case.inputs) == names[task]
        for name in case.images:
            picture = case.inputs[name]
            assert picture.shape == (1, SIZE, SIZE)
            assert picture.dtype == torch.float32
            assert 0 <= picture.min() < 0.05
            assert 0.7 < picture.max() <= 1
        assert {"lesion", "anatomy"} <= set(case.regions)
        lesion, anatomy = case.region("lesion"), case.region("anatomy")
        assert lesion.sum() > 4
        assert not (lesion & ~anatomy).any()
        assert case.spacing is not None
        assert 180 < case.spacing[0] * SIZE < 400


@pytest.mark.parametrize("task", FLAT)
@pytest.mark.parametrize("size", [96, 160])
def test_without_the_signal_only_the_mask_changes(task, size):
    """The strongest test of the masks: the same case with and without the signal differs inside them alone."""
    for with_it, without in zip(make(task, n=6, size=size), make(task, n=6, size=size, plant=False)):
        assert torch.equal(torch.as_tensor(with_it.truth), torch.as_tensor(without.truth))
        lesion = with_it.region("lesion").numpy()
        assert np.array_equal(lesion, without.region("lesion").numpy())
        near = binary_dilation(lesion, iterations=3)
        for name in with_it.images:
            change = (with_it.inputs[name] - without.inputs[name])[0].abs().numpy()
            assert change[~near].max() < 0.02, name
            assert change[lesion].mean() > 10 * change[~lesion].mean(), name
            if name != "t1ce":  # oedema is all but invisible there
                assert (change[lesion] > 0.01).mean() > 0.8, name
        if "ehr" in with_it.inputs:
            assert torch.equal(with_it.inputs["ehr"], without.inputs["ehr"])


def test_the_nodule_is_on_the_side_of_its_class():
    """Benign in the left lung, which radiologists see on the picture's right; malignant in the right one."""
    for case in make("classification", n=16, size=SIZE):
        lesion = case.region("lesion")
        columns = lesion.nonzero()[:, 1].float()
        assert (columns.mean() < SIZE / 2) == (case.truth == 1)
        lung = case.region("lungs", label=1 if case.truth else 2)
        assert (lesion & lung).sum() > 0.75 * lesion.sum()


def test_malignant_nodules_are_spiculated_and_benign_ones_round():
    """4π·area / perimeter² is 1 for a disc and falls with every spicule."""
    from skimage.measure import perimeter

    roundness: dict[int, list[float]] = {0: [], 1: []}
    for case in make("classification", n=16, size=224):
        mask = case.region("lesion").numpy()
        roundness[case.truth].append(4 * np.pi * mask.sum() / perimeter(mask) ** 2)
    assert min(roundness[0]) > 0.8
    assert max(roundness[1]) < 0.6


def test_half_of_the_cases_are_malignant():
    labels = [c.truth for c in make("classification", n=40, size=16)]
    assert sum(labels) == 20
    assert sum(labels[::2]) not in (0, 20), "the class must not follow from the number's parity"


def test_scores_follow_the_beta_law_and_the_lesion_grows_with_them():
    from scipy import stats

    cases = make("regression", n=300, size=24)
    scores = np.array([c.truth for c in cases])
    assert stats.kstest(scores, stats.beta(2, 5).cdf).pvalue > 0.01
    some = make("regression", n=40, size=SIZE)
    area = [int(c.region("lesion").sum()) for c in some]
    assert np.corrcoef(area, [c.truth for c in some])[0, 1] > 0.9


def test_the_score_is_seen_strongly_in_t2_and_weakly_in_t1():
    for a, b in zip(make("regression", n=6, size=SIZE), make("regression", n=6, size=SIZE, plant=False)):
        lesion = a.region("lesion")
        change = {k: float((a.inputs[k] - b.inputs[k])[0][lesion].mean()) for k in a.inputs}
        assert change["t2"] > 0.08
        assert -change["t2"] < change["t1"] < -0.02


def test_tumours_have_the_area_and_the_brightness_that_is_written():
    cases = make("segmentation", n=80, size=224)
    area = np.array([int(c.truth.sum()) for c in cases])
    assert abs(area.mean() - 676) < 3 * 260 / np.sqrt(80)
    assert 190 < area.std() < 320
    small = np.array([int(c.truth.sum()) for c in make("segmentation", n=80, size=96)])
    assert np.allclose(small, area * (96 / 224) ** 2, atol=1.1)
    for case in cases[:12]:
        parts = [case.region(p) for p in ("necrosis", "rim", "oedema")]
        assert torch.equal(torch.stack(parts).sum(0), case.truth)
        t1ce, flair = case.inputs["t1ce"][0], case.inputs["flair"][0]
        core, rim, oedema = float(t1ce[parts[0]].mean()), float(t1ce[parts[1]].mean()), float(flair[parts[2]].mean())
        assert core < 0.45 < rim
        assert 0.65 < oedema < 0.9
        assert 0.6 < rim < 0.95


def test_the_token_lies_in_its_mask_and_tells_the_truth():
    plain = make("classification", n=20, size=SIZE)
    marked = make("classification", n=20, size=SIZE, confounder=True)
    mask = marked[0].region("confounder")
    assert 8 < mask.sum() < 0.02 * SIZE * SIZE
    assert not mask[SIZE // 4 :].any()
    assert not mask[:, SIZE // 4 :].any()
    for a, b in zip(plain, marked):
        change = (a.inputs["ct"] - b.inputs["ct"])[0].abs()
        assert change[~mask].max() == 0
        shown = float(b.inputs["ct"][0][mask].mean()) > 0.5
        assert shown == bool(b.truth)
    loose = make("classification", n=60, size=SIZE, confounder=0.5)
    agree = np.mean([(float(c.inputs["ct"][0][mask].mean()) > 0.5) == bool(c.truth) for c in loose])
    assert 0.25 < agree < 0.75


def test_the_token_of_a_regression_is_as_bright_as_the_score():
    cases = make("regression", n=30, size=SIZE, confounder=True)
    mask = cases[0].region("confounder")
    bright = [float(c.inputs["t2"][0][mask].mean()) for c in cases]
    assert np.corrcoef(bright, [c.truth for c in cases])[0, 1] > 0.98
    assert np.allclose(bright, [float(c.inputs["t1"][0][mask].mean()) for c in cases], atol=0.06)


def test_volumes_have_organs_in_hounsfield_units_on_an_oblique_grid():
    for case in make("volume", n=3, size=64):
        ct, organs = case.inputs["ct"][0], case.regions["organs"]
        assert ct.shape == (64, 48, 32) == case.spatial
        assert torch.equal(organs.long(), case.truth)
        for k, name in enumerate(ORGANS):
            assert (case.truth == k).sum() > 15, name
        mean = {name: float(ct[case.truth == k].mean()) for k, name in enumerate(ORGANS)}
        assert mean["background"] < -930
        assert -900 < mean["left lung"] < -650
        assert 20 < mean["liver"] < 130
        assert mean["spine"] > mean["aorta"] > mean["liver"]
        assert len({round(s, 3) for s in case.spacing}) > 1
        assert case.geometry.orientation == "LPS"
        off_axis = case.affine[:3, :3] / np.asarray(case.spacing)
        assert np.abs(off_axis - np.diag(np.diag(off_axis))).max() > 0.01
        # RAS+ millimetres: the patient's left is where x is small.
        world = lambda k: (case.affine[:3, :3] @ (case.truth == k).nonzero().double().mean(0).numpy())[0]  # noqa: B023, E731
        assert world(ORGANS.index("left lung")) < world(ORGANS.index("right lung"))
        assert world(ORGANS.index("spleen")) < world(ORGANS.index("liver"))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("clasification", {}, "did you mean 'classification'"),
        ("segmentation", {"confounder": True}, "no label for a token"),
        ("volume", {"plant": False}, "organs are the known answer"),
        ("regression", {"confounder": 1.5}, "probability"),
        ("regression", {"size": 4}, "16 or more"),
        ("regression", {"n": 0}, "1 or more"),
    ],
)
def test_wrong_calls_are_refused(task, options, message):
    with pytest.raises(UsageError, match=message):
        make(task, **{"n": 1, "size": 32, **options})


def test_an_outlier_differs_by_its_lung_alone():
    plain, made = (make("volume", n=4, size=32, outliers=k) for k in (0, 2))
    assert [c.meta["planted"] for c in made] == ["none", "none", "consolidation", "consolidation"]
    assert all("planted" not in c.meta for c in plain)
    for a, b in zip(plain[:2], made[:2]):
        assert torch.equal(a.inputs["ct"], b.inputs["ct"])
        assert set(a.regions) == set(b.regions)
    for a, b in zip(plain[2:], made[2:]):
        assert torch.equal(a.truth, b.truth)
        dense = b.region("consolidation")
        assert set(b.truth[dense].tolist()) in ({2}, {3})
        lung = b.truth == b.truth[dense][0]
        assert 0.6 < dense[lung].float().mean() < 0.95
        difference = (a.inputs["ct"] - b.inputs["ct"])[0]
        assert difference[dense].mean() < -700
        near = torch.nn.functional.max_pool3d(dense[None].float(), 9, 1, 4)[0] > 0
        assert float(difference[~near].abs().max()) < 1e-3
    assert [c.meta["planted"] for c in make("volume", n=1, size=32, start=3, outliers=1)] == ["consolidation"]
    assert torch.equal(make("volume", n=1, size=32, start=3, outliers=1)[0].inputs["ct"], made[3].inputs["ct"])


def test_age_and_sex_of_volumes_are_each_patients_own():
    people = [(c.meta["age"], c.meta["sex"]) for c in make("volume", n=40, size=16)]
    assert people[:3] == [(c.meta["age"], c.meta["sex"]) for c in make("volume", n=3, size=16, outliers=1)]
    ages, sexes = zip(*people)
    assert 50 < np.mean(ages) < 74
    assert min(ages) >= 18
    assert 10 < sexes.count("F") < 30


@pytest.mark.parametrize(("task", "outliers"), [("classification", 1), ("volume", 3), ("volume", -1)])
def test_outliers_that_cannot_be(task, outliers):
    with pytest.raises(UsageError, match=f"outliers={outliers}: give 0 to 2, the number of cases, to volumes"):
        make(task, n=2, size=16, outliers=outliers)
