"""Region tables on a real CT with its organs in a file: against a twin that stores every map and finds each label by mm."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import pellucid as pc
from pellucid.core.resample import resampled
from reference import region_tables as literal
from small_unet import SmallUNet

CLASSES = ["air", "fat", "soft", "dense"]


@pytest.fixture(scope="module")
def scan(shared_data):
    """The CT on a coarse grid that cuts across the file's voxels, HU to [0, 1]."""
    folder = shared_data / "ct_totalsegmentator"
    image = pc.read(folder / "example_ct_sm.nii.gz")
    grid = image.geometry.respaced((11.3, 10.7, 12.1))
    hu = resampled(image.array, affine=image.geometry.affine, to_affine=grid.affine, to_shape=grid.shape, labels=False)
    x = np.clip((hu + 1024) / 2048, 0, 1)
    return folder, pc.Case(id="ct", inputs={"ct": torch.from_numpy(x)}, affine=grid.affine)


def nearest_labels(folder, case):
    """The file's label at the millimetres of each voxel's centre, one voxel after the other."""
    file = pc.read(folder / "example_seg.nii.gz")
    back = np.linalg.inv(file.geometry.affine) @ case.geometry.affine
    found = np.full(case.spatial, -1)
    for voxel in np.ndindex(*case.spatial):
        index = np.round(back[:3, :3] @ voxel + back[:3, 3]).astype(int)
        if (index >= 0).all() and (index < file.spatial).all():
            found[voxel] = file.array[0][tuple(index)]
    return found


@pytest.mark.real
def test_the_table_over_organs_of_a_file_is_that_of_stored_maps(scan):
    folder, case = scan
    names = {int(k): v for k, v in json.loads((folder / "labels_total.json").read_text()).items()}
    windows = pc.windows((6, 6, 4), overlap=0.25)
    net = SmallUNet(len(CLASSES), seed=1).eval()
    p = pc.Predictor(net, inputs=["ct"], task="segmentation", classes=CLASSES, windows=windows)
    file = {"file": folder / "example_seg.nii.gz", "names": folder / "labels_total.json", "of": "organs"}
    lungs = [n for n in names.values() if n.startswith("lung_")]
    table = pc.aggregate(
        p, case, regions=["predicted", file], method="smoothgrad", samples=2, seed=4,
        join={"lungs": lungs},
    )  # fmt: skip
    engine = pc.Engine(p)
    labels = engine.label_map(engine.stack([case])).numpy()
    assert len(np.unique(labels)) > 2
    x = case.inputs["ct"][None]
    maps = literal.class_maps(
        net, x, torch.from_numpy(labels), windows, literal.noisy_points(x, "ct", 4, 2, 0.1, "ct")
    )
    organs = nearest_labels(folder, case)
    masks = {n: organs == v for v, n in names.items() if (organs == v).any()}
    masks["lungs"] = np.isin(organs, [v for v, n in names.items() if n in lungs])
    assert len(masks) > 20 and masks["lungs"].sum() > 50
    rows = table[table["of"] == "organs"]
    found = {(r.target_index, r.region, r.measure): r.value for r in rows.itertuples()}
    present = [k for k in range(len(CLASSES)) if (labels == k).any()]
    wanted = {k: v for k, v in literal.table(maps, masks).items() if k[0] in present}
    scale = {m: max(abs(v) for k, v in wanted.items() if k[2] == m) for m in {k[2] for k in wanted}}
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-6 * scale[key[2]]), key
    assert len(wanted) > 1000
    # Class by class the maps differ: the seed's released code gave three classes one map.
    flat = torch.stack([torch.from_numpy(maps[k]).flatten() for k in present])
    cosine = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    assert float((cosine - torch.eye(len(present))).abs().max()) < 0.9
