"""The outline of real patients, and a letter laid on real chest X-rays: found if a model reads it, else no word of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pellucid.api import explain_many
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.registry import DATASETS
from pellucid.data.synthetic.parts import token_mask
from pellucid.engine import Engine
from pellucid.evaluate.cohort.anatomy import outside
from pellucid.evaluate.cohort.shortcut import shortcuts
from pellucid.io import read

pytestmark = pytest.mark.real
SIZE, TEST = 56, 40


def test_the_outline_of_a_real_ct_holds_all_its_organs(shared_data):
    folder = shared_data / "ct_totalsegmentator"
    ct, seg = read(folder / "example_ct_sm.nii.gz"), read(folder / "example_seg.nii.gz")
    found = outside(Case(id="ct", inputs={"ct": torch.as_tensor(np.asarray(ct.array, np.float32))}))
    organs = np.asarray(seg.array)[0] > 0
    assert found.how == "found" and (~found.mask)[organs].mean() > 0.99
    assert np.asarray(ct.array)[0][found.mask].mean() < -700  # what is left is air


def test_the_outline_of_a_real_head_holds_the_brain(shared_data):
    folder = shared_data / "mri_mni152_nilearn"
    t1, gm = (read(folder / f"mni_icbm152_{k}_tal_nlin_sym_09a_converted.nii.gz") for k in ("t1", "gm"))
    head = np.asarray(t1.array, np.float32)[:, ::3, ::3, ::3].copy()
    brain = np.asarray(gm.array)[0, ::3, ::3, ::3] > 0.5 * float(np.max(gm.array))
    found = outside(Case(id="t1", inputs={"t1": torch.as_tensor(head)}))
    assert found.how == "found" and (~found.mask)[brain].mean() > 0.99
    assert head[0][found.mask].mean() < 0.1 * head[0][brain].mean() and 0.1 < found.mask.mean() < 0.8


@pytest.fixture(scope="module")
def chests(shared_data) -> list[Case]:
    """Every second X-ray of the table, small, in [0, 1]."""
    cases = DATASETS["manifest"](
        shared_data / "chestxray_nih", csv="labels_224.csv", images="images_224.zip", label="pneumonia",
        classes=["none", "pneumonia"], group="patient_id", size=SIZE, channels=1,
    )  # fmt: skip
    found = []
    for c in list(cases)[::2]:
        x = c.inputs["image"]
        found.append(c.replace(inputs={"image": (x - x.min()) / (x.max() - x.min()).clamp(min=1e-6)}))
    return found


def run(chests: list[Case], agreement: float | None) -> tuple[pd.Series, set[str], float]:
    """A logistic regression on X-rays with a letter in the corner, and what is found; the cases that show it."""
    rng = np.random.default_rng(3)
    token = torch.tensor(token_mask(SIZE) > 0)
    cases, shows = [], set()
    for i in rng.permutation(len(chests)):
        case = chests[i]
        if agreement is not None and (case.truth == 1) == (rng.random() < agreement):
            x = case.inputs["image"].clone()
            x[:, token] = 1.0
            case = case.replace(inputs={"image": x})
            shows.add(case.id)
        cases.append(case)
    train, test = cases[TEST:], cases[:TEST]
    flat = lambda group: torch.stack([c.inputs["image"].flatten() for c in group]).numpy()  # noqa: E731
    fitted = LogisticRegression(C=0.02, max_iter=500).fit(flat(train), [c.truth for c in train])
    right = float(fitted.score(flat(test), [c.truth for c in test]))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIZE * SIZE, 1))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(fitted.coef_))
        net[1].bias.copy_(torch.tensor(fitted.intercept_))
    predictor = Predictor(net.eval(), inputs=["image"], task="classification", classes=["pneumonia"])
    maps: dict[str, list] = {}
    for a in explain_many(predictor, test, methods=["saliency", "input_x_gradient", "random", "edge"]):
        maps.setdefault(a.case_id, []).append(a)
    rows = shortcuts(Engine(predictor), test, maps.__getitem__)
    return rows, shows & {c.id for c in test}, right


def test_a_letter_on_real_x_rays_that_the_model_reads_is_found_and_what_is_not_known_is_said(chests):
    rows, shows, right = run(chests, 0.95)
    token = token_mask(SIZE) > 0
    hits = []
    for r in rows[rows["kind"] == "shortcut"].to_dict("records"):
        box = tuple(slice(*map(int, part.split(":"))) for part in r["box"].split(","))
        if token[box].sum() == token.sum():
            hits.append(r)
    (hit,) = hits
    named = set(hit["cases"].split(","))
    assert len(named & shows) / len(named) > 0.8 and len(named & shows) / len(shows) > 0.8
    assert "may hold anatomy" in hit["sentence"] or "found in the picture" in hit["note"]
    assert right > 0.75


def test_without_a_letter_no_letter_is_found_on_real_x_rays(chests):
    """A linear model of X-rays may well read the border; what is said then is that it may be anatomy."""
    rows, _, _ = run(chests, None)
    for r in rows.to_dict("records"):
        assert r["kind"] == "none" or "may hold anatomy" in r["sentence"]
        assert "a mark that is no part of the patient" not in r["sentence"]
    assert "no outline" in rows["note"].iloc[0]
