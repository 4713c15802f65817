"""Five real dermoscopy pictures, plain maps against maps through the experts' masks; an illustration, not a cohort."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import pellucid as pc
from pellucid.data import load_dataset

pytestmark = pytest.mark.real

WEIGHTS = (1.0, -0.5, -0.5)  # red against green and blue: lesions are redder than most skin, or not; no matter here


class Redness(nn.Module):
    """A model whose map can be written down: input × gradient is the redness of each pixel, over their number."""

    def forward(self, x: Tensor) -> Tensor:
        red = (x * torch.tensor(WEIGHTS, dtype=x.dtype).reshape(1, 3, 1, 1)).sum(1).mean((1, 2))
        return torch.stack([torch.zeros_like(red), red], 1)


@pytest.fixture(scope="module")
def folder(shared_data):
    found = shared_data / "dermoscopy_ham10000_NC"
    if not found.is_dir():
        pytest.skip(f"no dermoscopy pictures at {found}")
    return found


@pytest.fixture(scope="module")
def cases(folder):
    return load_dataset("folder", folder, images="images", masks={"lesion": "masks"}, channels=3)


def test_pictures_keep_their_size_and_their_masks(cases):
    assert cases.failed == []
    assert len(cases) == 5
    for case in cases:
        picture, lesion = case.inputs["image"], case.regions["lesion"]
        assert picture.shape == (3, 450, 600)
        assert lesion.shape == (450, 600)
        assert lesion.dtype == torch.bool
        assert 0.01 < float(lesion.float().mean()) < 0.9


def test_a_table_of_files_reads_the_same_cases(cases, folder, tmp_path):
    rows = [{"file": f"images/{c.id}.jpg", "mask": f"masks/{c.id}.png", "patient": c.id} for c in cases]
    pd.DataFrame(rows).to_csv(tmp_path / "five.csv", index=False)
    table = load_dataset(
        "manifest", folder, csv=str(tmp_path / "five.csv"), inputs={"image": "file"}, mask={"lesion": "mask"},
        binary_masks=True, group="patient", channels=3,
    )  # fmt: skip
    assert [c.id for c in table] == [c.id for c in cases]
    for one, other in zip(table, cases):
        assert torch.equal(one.inputs["image"], other.inputs["image"])
        assert torch.equal(one.regions["lesion"], other.regions["lesion"].bool())


def test_what_an_experts_mask_hides_is_what_lies_outside_it(cases):
    predictor = pc.Predictor(
        Redness().eval(), inputs=["image"], task="classification", classes=["other", "red"]
    )
    maps = pc.explain_many(predictor, list(cases), methods=["input_x_gradient"], targets=["red"])
    for case, plain in zip(cases, maps, strict=True):
        lesion = case.regions["lesion"]
        masked = pc.segx(plain, "lesion", case=case)
        x = case.inputs["image"].double()
        red = (x * torch.tensor(WEIGHTS, dtype=torch.float64)[:, None, None]).sum(0).clamp(min=0)
        expected = 1 - float(red[lesion].sum() / red.sum())
        assert masked.refinement["discarded_mass"] == pytest.approx(expected, abs=1e-4)
        assert masked.refinement["mask_share"] == pytest.approx(float(lesion.double().mean()))
        # The masked map is the plain one inside, nothing outside, and what it was made from is still there.
        assert masked.maps["image"].shape == (3, 450, 600)
        assert torch.equal(masked.maps["image"][:, lesion], plain.maps["image"][:, lesion])
        assert not masked.maps["image"][:, ~lesion].any()
        assert torch.equal(masked.refinement["unmasked"]["image"], plain.maps["image"])
        assert masked.checks["inside"].status == ("fail" if expected > 0.75 else "warn" if expected > 0.5 else "pass")
