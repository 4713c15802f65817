"""The outline of real patients, and a letter laid on real chest X-rays: found if a model reads it, else no word of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pellucid.core.case import Case
from pellucid.data.synthetic.parts import token_mask
from pellucid.evaluate.cohort.anatomy import outside
from pellucid.io import read

pytestmark = pytest.mark.real


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
def study():
    """The example that lays the letter on the X-rays."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    try:
        yield importlib.import_module("confounder_xrays")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def chests(shared_data, study):
    return study.load(shared_data / "chestxray_nih")


def test_a_letter_on_real_x_rays_that_the_model_reads_is_found_and_what_is_not_known_is_said(study, chests):
    rows, shows, right = study.run(chests, 0.95, 3)
    token = token_mask(study.SIZE) > 0
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


def test_without_a_letter_no_letter_is_found_on_real_x_rays(study, chests):
    """A linear model of X-rays may well read the border; what is said then is that it may be anatomy."""
    rows, _, _ = study.run(chests, None, 3)
    for r in rows.to_dict("records"):
        assert r["kind"] == "none" or "may hold anatomy" in r["sentence"]
        assert "a mark that is no part of the patient" not in r["sentence"]
    assert "no outline" in rows["note"].iloc[0]
