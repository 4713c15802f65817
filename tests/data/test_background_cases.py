"""Backgrounds of real cases: drawn by patient, thinned to weighted medoids, from the training side alone."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch

from pellucid.core.background import weights_of
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.background import background, check_side
from pellucid.errors import InputError, UsageError
from pellucid.study.background import Usual, drawn
from pellucid.study.recipe import load_recipe


def cohort(sizes: tuple[int, ...] = (3, 12, 7), shots: int = 1) -> list[Case]:
    """Groups of pictures that are alike, one group beside the other; a table goes with each."""
    rng = np.random.default_rng(0)
    cases = []
    for kind, size in enumerate(sizes):
        for i in range(size):
            x = torch.full((1, 16, 16), float(kind)) + 0.01 * torch.as_tensor(rng.standard_normal((1, 16, 16)))
            t = torch.tensor([10.0 * kind, 5.0])
            truth = torch.tensor([float(kind == 1), float(kind == 2)])
            cases.append(Case(id=f"{kind}-{i}", inputs={"x": x, "t": t}, group=f"p{len(cases) // shots}", truth=truth))
    return cases


def test_thinned_to_medoids_that_weigh_as_much_as_their_clusters() -> None:
    cases = cohort()
    found = background(cases, thin=3)
    assert {c.id[0]: w for c, w in zip(found, found.weights.tolist())} == pytest.approx({"0": 3 / 22, "1": 12 / 22, "2": 7 / 22})
    assert all(c in cases for c in found), "real cases, never means"
    for c in found:  # the one nearest to the middle of its group
        own = torch.stack([k.inputs["x"] for k in cases if k.id[0] == c.id[0]])
        small = torch.nn.functional.adaptive_avg_pool2d(own, 8)
        middle = small.mean(0)
        gaps = [float((s - middle).norm()) for s in small]
        mine = next(i for i, x in enumerate(own) if x.equal(c.inputs["x"]))
        assert gaps[mine] < 1.02 * min(gaps)  # all but: numbers are standardised first
    assert found.how == {"asked": 1000, "size": 22, "seed": 0, "thinned_to": 3, "by": "kmeans"}
    again = background(cases, thin=3)
    assert [c.id for c in again] == [c.id for c in found]
    assert torch.equal(again.weights, found.weights)


def test_a_table_alone_tells_cases_apart() -> None:
    flat = [c.replace(inputs={**c.inputs, "x": torch.zeros(1, 16, 16)}) for c in cohort()]
    assert sorted(c.id[0] for c in background(flat, thin=3)) == ["0", "1", "2"]


def test_one_picture_of_each_patient_before_a_second_of_any() -> None:
    cases = cohort((6, 6), shots=3)  # four patients
    assert len({c.group for c in background(cases, size=4)}) == 4
    six = background(cases, size=6)
    assert sorted(np.unique([c.group for c in six], return_counts=True)[1].tolist()) == [1, 1, 2, 2]
    assert len(background(cases)) == 12
    assert weights_of(background(cases)) is None


def test_random_thinning_weighs_alike_and_follows_the_seed() -> None:
    cases = cohort()
    sets = [tuple(c.id for c in background(cases, thin=5, by="random", seed=s)) for s in (0, 0, 1)]
    assert sets[0] == sets[1] != sets[2]
    assert weights_of(background(cases, thin=5, by="random")) is None


def test_cases_that_are_all_alike_are_thinned_to_one() -> None:
    flat = [Case(id=str(i), inputs={"x": torch.ones(1, 4, 4)}) for i in range(6)]
    found = background(flat, thin=3)
    assert (len(found), found.how["thinned_to"]) == (1, 1)


def test_cases_that_lack_an_input_are_left_out() -> None:
    cases = cohort((2, 2))
    cases[0] = cases[0].replace(inputs={**cases[0].inputs, "t": torch.zeros(2)}, missing=("t",))
    assert cases[0] not in list(background(cases))
    with pytest.raises(InputError, match="none of 1 cases has all inputs"):
        background(cases[:1])


def test_sizes_that_are_none() -> None:
    for wrong in ({"size": 0}, {"thin": 0}):
        with pytest.raises(UsageError, match="give 1 or more"):
            background(cohort(), **wrong)
    with pytest.raises(UsageError, match="by='kmean'; did you mean 'kmeans'"):
        background(cohort(), by="kmean")


def test_a_background_case_of_a_patient_who_is_held_out_is_refused() -> None:
    cases = cohort()
    with pytest.raises(InputError, match="1 patients of the background are on the validation or test side of the split"):
        check_side(background(cases), {cases[4].group})
    check_side(background(cases[:4]), {cases[4].group})


# -- the recipe ------------------------------------------------------------------------------------------------------


def labelled() -> Predictor:
    return Predictor(
        torch.nn.Identity(), inputs=["x", "t"], task="classification", classes=["Mass", "Nodule"], activation="sigmoid"
    )


def of(asked: int | Usual, cases: list[Case], held: list[Case] = []) -> list[Case]:  # noqa: B006
    return list(drawn(asked, cases, held, labelled(), seed=0, task="one"))


def test_which_training_cases() -> None:
    cases = cohort()
    assert len(of(5, cases)) == 5
    assert of(5, []) == of(0, cases) == []
    assert {c.id[0] for c in of(Usual(), cases)} == {"0", "1", "2"}
    assert {c.id[0] for c in of(Usual(of="negative"), cases)} == {"0"}
    assert {c.id[0] for c in of(Usual(of="not Nodule"), cases)} == {"0", "1"}
    single = [c.replace(truth=int(c.id[0])) for c in cases]
    two = Predictor(torch.nn.Identity(), inputs=["x", "t"], task="classification", classes=["a", "b", "c"])
    found = drawn(Usual(of="not b"), single, [], two, seed=0, task="one")
    assert {c.id[0] for c in found} == {"0", "2"}


def test_fewer_than_were_asked_for_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pellucid"):
        found = drawn(Usual(thin=3), cohort(), [], labelled(), seed=0, task="one")
    assert "one, explain: a background of 1000 cases was asked for, there are 22" in caplog.text
    assert (found.how["asked"], found.how["size"], found.how["of"]) == (1000, 22, "all")
    assert not any(c.id in str(found.how) for c in cohort())


@pytest.mark.parametrize(
    ("asked", "cases", "said"),
    [
        (Usual(), [], "task one: 'explain.background' takes training cases, and there are none; give a split file"),
        (Usual(of="not Mas"), cohort(), "unknown class 'Mas'; did you mean 'Mass'"),
        (Usual(of="negative"), cohort()[4:], "none of 18 training cases is 'negative'"),
    ],
)
def test_backgrounds_that_cannot_be_had(asked: Usual, cases: list[Case], said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said):
        of(asked, cases)
    with pytest.raises(InputError, match="patients of the background are on the validation or test side"):
        of(Usual(), cohort(), cohort()[:1])


def test_the_recipe_is_checked() -> None:
    work = {
        "name": "one", "data": {"dataset": "synthetic_classification"},
        "model": {"network": "image_tabular", "inputs": ["ct", "ehr"], "task": "classification", "classes": ["a", "b"]},
        "train": {}, "explain": {"methods": ["deepshap"], "background": {"size": 10, "thin": 2}},
    }  # fmt: skip
    assert load_recipe({"name": "r", "tasks": [work]}).tasks[0].explain.background == Usual(size=10, thin=2)
    for wrong, said in (
        ({"thn": 2}, "unknown key .*; did you mean 'thin'"), ({"by": "means"}, "by"), ({"size": 0}, "size"),
        ({"of": "Mass"}, "give all, negative, or 'not CLASS'"), (-1, "background"), ("many", "background"),
    ):  # fmt: skip
        bad = copy.deepcopy(work)
        bad["explain"]["background"] = wrong
        with pytest.raises(UsageError, match=said):
            load_recipe({"name": "r", "tasks": [bad]})
