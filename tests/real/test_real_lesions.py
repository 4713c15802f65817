"""Real dermoscopy pictures and experts' masks in the layout of HAM10000; the table around them is invented."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from pellucid.data import load_dataset

pytestmark = pytest.mark.real


def test_real_pictures_and_masks_in_the_published_layout(shared_data, tmp_path):
    source = shared_data / "dermoscopy_ham10000_NC"
    drawn = tmp_path / "HAM10000_segmentations_lesion_tschandl"
    drawn.mkdir()
    (tmp_path / "HAM10000_images_part_1").symlink_to(source / "images")
    ids = sorted(p.stem for p in (source / "images").glob("*.jpg"))
    for id in ids:
        (drawn / f"{id}_segmentation.png").symlink_to(source / "masks" / f"{id}.png")
    rows = [{"lesion_id": f"HAM_{k}", "image_id": id, "dx": "nv", "dx_type": "histo"} for k, id in enumerate(ids)]
    pd.DataFrame(rows).to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    cases = load_dataset("ham10000", tmp_path)
    assert cases.failed == []
    assert [c.id for c in cases] == ids
    for case in cases:
        picture, lesion = case.inputs["image"], case.regions["lesion"]
        assert picture.shape == (3, 256, 256)
        assert 0.01 < float(lesion.float().mean()) < 0.9
        # A pigmented lesion is darker than the skin around it: the mask lies where the lesion is.
        assert picture.mean(0)[lesion].mean() < picture.mean(0)[~lesion].mean()
    masks = load_dataset("ham10000", tmp_path, task="segmentation")
    assert all(torch.equal(m.truth.bool(), c.regions["lesion"]) for m, c in zip(masks, cases))
