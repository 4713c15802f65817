"""Two published networks (brainchop), loaded as a user loads a stranger's weights."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from pellucid.nets import build_network, load_weights


@pytest.mark.real
def test_the_published_labels_come_out(shared_data):
    """Around the thalamus, with the whole receptive field: the labels of the published output, voxel by voxel.

    The whole 256³ volume in slabs (five minutes) agrees in every voxel too.
    """
    folder = shared_data / "mri_brainchop"
    about = json.loads((folder / "model18cls_torch.json").read_text())
    module = build_network("meshnet", {"classes": 18, "channels": 21, "dilations": about["dilations"]})
    load_weights(module, folder / "model18cls_torch.pt").eval()
    volume = np.asarray(nib.load(folder / "t1_crop.nii.gz").dataobj).astype(np.float32)
    low, high = np.quantile(volume, [0.02, 0.98])
    volume = np.clip((volume - low) / (high - low), 0, 1).astype(np.float32)
    labels = np.asarray(nib.load(folder / "t1_crop_model18cls_output.nii.gz").dataobj)
    margin, half, centre = module.margin, 4, (126, 136, 131)
    assert margin == 46
    seen = tuple(slice(c - half - margin, c + half + margin) for c in centre)
    wanted = labels[tuple(slice(c - half, c + half) for c in centre)]
    with torch.inference_mode():
        got = module(torch.from_numpy(volume[seen].copy())[None, None]).argmax(1)[0]
    got = got[(slice(margin, -margin),) * 3].numpy()
    assert len(np.unique(wanted)) >= 2
    assert (got == wanted).mean() == 1.0


@pytest.mark.real
def test_the_small_one_loads(shared_data):
    module = build_network("meshnet", {"classes": 3, "channels": 20})
    load_weights(module, shared_data / "mri_brainchop" / "model20chan3cls_torch.pt")
