"""Real files in the layouts of the data sets of several modalities: a CT as OSIC has it, dermoscopy as SIIM-ISIC has it.

The tables beside them are made up: it is the reading that is tested.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import pellucid as pc
from pellucid.data import load_dataset

pytestmark = pytest.mark.real

PATIENT = "ID00007637202177411956430"


@pytest.fixture(scope="module")
def osic(shared_data, tmp_path_factory):
    source = shared_data / "ct_totalsegmentator" / "example_ct_dicom"
    if not source.is_dir():
        pytest.skip(f"no CT series at {source}")
    root = tmp_path_factory.mktemp("osic")
    folder = root / "train" / PATIENT
    folder.mkdir(parents=True)
    for k, path in enumerate(sorted(source.glob("*.dcm"))):
        shutil.copy(path, folder / f"{(7 * k) % 20 + 1}.dcm")  # OSIC's names, not in the order of the slices
    visits = [
        {"Patient": PATIENT, "Weeks": w, "FVC": 2300 - 3 * w, "Percent": 58, "Age": 79, "Sex": "Male", "SmokingStatus": "Ex-smoker"}
        for w in (0, 8, 16, 24)
    ]
    pd.DataFrame(visits).to_csv(root / "train.csv", index=False)
    return root, source


def test_a_real_ct_is_what_the_reader_gives_in_the_window(osic):
    root, source = osic
    image = pc.read(source, orientation="RAS")
    (case,) = load_dataset("osic", root, size=None, target="slope")
    assert case.truth == pytest.approx(-3)
    expected = (np.clip(image.array, -1000, 400) + 1000) / 1400
    assert np.allclose(case.inputs["ct"].numpy(), expected, atol=1e-6)
    assert np.allclose(case.geometry.affine, image.geometry.affine)
    assert case.spacing == pytest.approx(image.spacing)


def test_its_middle_plane_lies_as_radiologists_look_at_it(osic):
    root, source = osic
    (case,) = load_dataset("osic", root, planes=1, size=64)
    lps = pc.read(source, orientation="LPS")
    middle = lps.array[0, :, :, lps.spatial[2] // 2].T  # rows from front to back, columns from the patient's right
    small = torch.nn.functional.interpolate(
        torch.from_numpy((np.clip(middle, -1000, 400) + 1000) / 1400)[None, None], (64, 64), mode="bilinear",
        antialias=True,
    )[0]  # fmt: skip
    assert torch.allclose(case.inputs["ct"], small, atol=1e-5)


def test_real_dermoscopy_beside_a_table(shared_data, tmp_path):
    source = shared_data / "dermoscopy_ham10000_NC" / "images"
    if not source.is_dir():
        pytest.skip(f"no dermoscopy pictures at {source}")
    folder = tmp_path / "jpeg" / "train"
    folder.mkdir(parents=True)
    rows = []
    for k, path in enumerate(sorted(source.glob("*.jpg"))):
        shutil.copy(path, folder)
        rows.append({
            "image_name": path.stem, "patient_id": f"IP_{k // 2}", "sex": "female", "age_approx": 45 + k,
            "anatom_site_general_challenge": "torso", "diagnosis": "nevus", "benign_malignant": "benign", "target": 0,
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "train.csv", index=False)
    cases = load_dataset("siim_isic", tmp_path, size=None)
    assert len(cases) == len(rows) == 5
    assert len({c.group for c in cases}) == 3
    for case in cases:
        picture = pc.read(folder / f"{case.id}.jpg")
        assert np.array_equal(case.inputs["image"].numpy(), picture.array)
        assert case.inputs["image"].shape == (3, 450, 600)
        red, _, blue = case.inputs["image"].mean((1, 2))
        assert red > blue  # skin
