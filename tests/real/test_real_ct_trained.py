"""One half of a real CT trains a U-Net, the other half is explained: tables against a twin that stores every map.

A patient is nearly his own mirror image: what the network learns of lung and muscle on the right it finds on the
left. It is one patient, so this says nothing about how good such a network is.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import pellucid as pc
from pellucid.core.resample import resampled
from pellucid.train import fit
from reference import region_tables as literal

PARTS = {"solid organs": ("liver", "spleen"), "lung": ("lung_",), "back muscle": ("autochthon_",)}
CLASSES = ["background", *PARTS]
WINDOWS = pc.windows((16, 16, 8), overlap=0.25)


@pytest.fixture(scope="module")
def halves(shared_data):
    """Right and left half at 6 mm, HU to [0, 1], labels of the three parts."""
    folder = shared_data / "ct_totalsegmentator"
    image, file = pc.read(folder / "example_ct_sm.nii.gz"), pc.read(folder / "example_seg.nii.gz")
    names = {int(k): v for k, v in json.loads((folder / "labels_total.json").read_text()).items()}
    labels = np.zeros(file.array.shape, np.uint8)
    for k, starts in enumerate(PARTS.values(), 1):
        labels[np.isin(file.array, [v for v, n in names.items() if n.startswith(starts)])] = k
    grid = image.geometry.respaced(6.0)
    to = {"affine": image.geometry.affine, "to_affine": grid.affine, "to_shape": grid.shape}
    x = torch.from_numpy(np.clip((resampled(image.array, labels=False, **to) + 1024) / 2048, 0, 1))
    y = torch.from_numpy(resampled(labels, labels=True, **to)[0].astype(np.int64))
    middle = grid.shape[0] // 2
    assert grid.orientation == "RAS"  # the first axis grows to the patient's right: small indices lie on the left
    return {
        side: pc.Case(id=side, inputs={"ct": x[:, part].clone()}, truth=y[part].clone())
        for side, part in (("left", slice(0, middle)), ("right", slice(middle, None)))
    }


@pytest.mark.real
def test_a_network_of_the_right_half_explained_on_the_left(halves):
    trained = fit(
        [halves["right"]], [], network="unet", options={"classes": len(CLASSES), "channels": [8, 16], "spatial_dims": 3,
        "norm": "batch"}, inputs=["ct"], task="segmentation", classes=CLASSES, epochs=80, batch_size=8, lr=1e-2,
        loss="dice_ce", patch=(16, 16, 8), patches=8, augment=[{"flip": {"axis": 0}}], seed=0, progress=False,
    )  # fmt: skip
    old = trained.predictor
    p = pc.Predictor(
        old.module, inputs=["ct"], task="segmentation", classes=CLASSES, normalise=old.normalise, windows=WINDOWS
    )
    case = halves["left"]
    table = pc.aggregate(p, case, regions=["predicted", "truth"], method="smoothgrad", samples=2, seed=7)
    dice = table[(table["measure"] == "dice") & (table["of"] == "truth")].set_index("target")["value"]
    assert all(dice[name] > 0.4 for name in CLASSES), dice  # it has learnt every part, so that no map is empty
    engine = pc.Engine(p)
    labels = engine.label_map(engine.stack([case])).long()
    assert len(labels.unique()) == len(CLASSES)
    x = case.inputs["ct"][None]
    mean, sd = old.normalise["ct"]

    class Shown(torch.nn.Module):
        def forward(self, v):
            return old.module((v - mean.view(1, -1, 1, 1, 1)) / sd.view(1, -1, 1, 1, 1))

    maps = literal.class_maps(Shown().eval(), x, labels, WINDOWS, literal.noisy_points(x, "left", 7, 2, 0.1, "ct"))
    for of, of_map in (("predicted", labels), ("truth", case.truth)):
        masks = {n: (of_map == k).numpy() for k, n in enumerate(CLASSES)}
        wanted = literal.table(maps, masks)
        rows = table[table["of"] == of]
        found = {(r.target_index, r.region, r.measure): r.value for r in rows.itertuples()}
        scale = {m: max(abs(v) for k, v in wanted.items() if k[2] == m) for m in {k[2] for k in wanted}}
        for key, value in wanted.items():
            assert found[key] == pytest.approx(value, rel=1e-5, abs=1e-6 * scale[key[2]]), (of, key)
