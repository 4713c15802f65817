"""Trap: pictures that were trained on are explained as test pictures, because a lesion or patient has several."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold

from make_multimodal import make_siim
from make_skin_and_chest import make_ham10000
from pellucid.core.case import Case
from pellucid.data import Split, check_folds, check_split, folds, load_dataset, split
from pellucid.data.background import background, check_side
from pellucid.errors import InputError
from pellucid.train import fit


def cohort() -> list[Case]:
    """Forty patients with three pictures each that are all but the same, as in HAM10000."""
    rng = np.random.default_rng(0)
    cases = []
    for patient in range(40):
        own = rng.standard_normal(16)
        for shot in range(3):
            x = torch.tensor(own + 0.01 * rng.standard_normal(16), dtype=torch.float32)
            cases.append(Case(id=f"{patient}-{shot}", inputs={"x": x}, truth=int(rng.integers(2)), group=str(patient)))
    return cases


def memory_score(train: list[Case], test: list[Case]) -> float:
    """Accuracy of a model that only remembers: the group of the nearest training picture."""
    known = torch.stack([c.inputs["x"] for c in train])
    nearest = [int(((known - c.inputs["x"]) ** 2).sum(1).argmin()) for c in test]
    return float(np.mean([train[k].group == c.group for k, c in zip(nearest, test)]))


def test_a_split_by_picture_leaks_and_ours_does_not():
    cases = cohort()
    order = np.random.default_rng(1).permutation(len(cases))
    by_picture = Split([cases[i] for i in order[:84]], [cases[i] for i in order[84:102]], [cases[i] for i in order[102:]])
    assert memory_score(by_picture.train, by_picture.test) > 0.8, "the trap is real"
    with pytest.raises(InputError, match="groups are on two sides"):
        check_split(by_picture)
    ours = split(cases)
    check_split(ours)
    assert memory_score(ours.train, ours.test) == 0.0


def test_a_split_file_that_leaks_is_refused(tmp_path):
    cases = cohort()
    leaking = Split(cases[:100], cases[100:110], cases[110:])
    path = leaking.save(tmp_path / "split.json")
    with pytest.raises(InputError, match="groups are on two sides"):
        Split.load(path, cases)


def test_ham10000_by_image_puts_one_lesion_on_both_sides(tmp_path):
    cases = load_dataset("ham10000", make_ham10000(tmp_path, n=60), size=8)
    lesions = {c.group for c in cases}
    assert len(lesions) < len(cases), "some lesions have two pictures"
    order = np.random.default_rng(0).permutation(len(cases))
    by_image = Split([cases[i] for i in order[:42]], [cases[i] for i in order[42:48]], [cases[i] for i in order[48:]])
    both = {c.group for c in by_image.train} & {c.group for c in by_image.test}
    assert both, "the trap is real"
    with pytest.raises(InputError, match=rf"of {len(lesions)} groups are on two sides"):
        check_split(by_image)
    for seed in range(5):
        ours = split(cases, (0.7, 0.1, 0.2), seed)
        sides = [{c.group for c in side} for side in ours]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_training_refuses_a_patient_on_both_sides():
    cases = [
        c.replace(inputs={"x": c.inputs["x"].reshape(1, 4, 4).repeat(1, 4, 4), "t": c.inputs["x"][:2]}) for c in cohort()
    ]

    def train(train, val):
        return fit(
            train, val, network="image_tabular", options={"features": 2}, inputs=["x", "t"], task="classification",
            classes=["no", "yes"], epochs=1, progress=False,
        )  # fmt: skip

    # Pictures 0 to 2 are of patient 0, 3 to 5 of patient 1: the cut goes through patient 1.
    with pytest.raises(InputError, match="1 patients are in the training and in the validation cases, the first is group '1'"):
        train(cases[:4], cases[4:9])
    train(cases[:3], cases[3:9])


def test_folds_by_picture_leak_and_ours_do_not():
    cases = cohort()
    by_picture = [([cases[i] for i in train], [cases[i] for i in val]) for train, val in KFold(5, shuffle=True, random_state=0).split(cases)]
    assert np.mean([memory_score(train, val) for train, val in by_picture]) > 0.8, "the trap is real"
    with pytest.raises(InputError, match=r"fold 1 of 5: \d+ groups are on two sides"):
        check_folds(by_picture, cases)
    assert [memory_score(train, val) for train, val in folds(cases, 5)] == [0.0] * 5


def test_folds_that_hold_a_patient_of_the_test_side_are_refused():
    cases = cohort()
    with pytest.raises(InputError, match="1 of 10 groups of the held-out test side are in the folds as well"):
        folds(cases[:91], 5, test=cases[91:])
    folds(cases[:90], 5, test=cases[90:])


def test_a_background_of_the_test_side_is_refused():
    cases = cohort()
    ours = split(cases)
    check_side(background(ours.train), {c.group for c in [*ours.val, *ours.test]})
    leaking = background([*ours.train, ours.test[0]])
    with pytest.raises(InputError, match="1 patients of the background are on the validation or test side"):
        check_side(leaking, {c.group for c in ours.test})


def test_one_picture_under_two_patients_is_on_two_sides_unless_the_duplicates_are_left_out(tmp_path):
    """A split by patient is not enough where the data have a picture twice, as SIIM-ISIC 2020 has."""
    root = make_siim(tmp_path, patients=12, duplicates=6)

    def on_both_sides(duplicates):
        parts = split(load_dataset("siim_isic", root, size=8, duplicates=duplicates), fractions=(0.5, 0.2, 0.3))
        sides = [{c.inputs["image"].numpy().tobytes() for c in side} for side in (parts.train, parts.test)]
        return len(sides[0] & sides[1])

    assert on_both_sides("keep") > 0, "the trap is real"
    assert on_both_sides("drop") == 0
