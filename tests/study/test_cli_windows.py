"""`pellucid explain --windows`: a volume of one's own in windows, and what is refused."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from pellucid.cli import app

NET = """
import torch

class Net(torch.nn.Conv3d):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(1, 2, 3, padding=1)

class Class(Net):
    def forward(self, x):
        return super().forward(x).mean((2, 3, 4))
"""


@pytest.fixture
def words(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    volume = np.random.default_rng(0).normal(size=(9, 8, 7)).astype("float32")
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
    return [
        "explain", "--input", str(tmp_path / "v.nii.gz"), "--method", "input_x_gradient", "--target", "1", "--checks",
        "cheap", "--classes", "a,b", "--out", str(tmp_path / "maps"), "--json",
    ]  # fmt: skip


def call(*words):
    result = CliRunner().invoke(app, [str(w) for w in words])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_a_volume_in_windows(words, tmp_path) -> None:
    model = ["--model", tmp_path / "net.py:Net", "--task", "segmentation"]
    status, printed, said = call(*words, *model, "--windows", "6,6,6")
    assert status == 0, said
    (row,) = json.loads(printed)
    assert row["provenance"]["windows"] == {
        "roi": [6, 6, 6], "overlap": 0.25, "blend": "gaussian", "sigma": 0.125, "padding": "constant", "value": 0.0,
        "gradients": "exact",
    }  # fmt: skip
    assert row["cost"]["forwards"] > 8


@pytest.mark.parametrize(
    ("windows", "net", "task", "said"),
    [
        ("6,6", "Net", "segmentation", "roi=(6, 6) has 2 axes, the input has 3"),
        ("6,x,6", "Net", "segmentation", "give whole numbers, one per axis, such as 96,96,96"),
        ("6,6,0", "Net", "segmentation", "give two or three positive whole numbers"),
        ("6,6,6", "Class", "classification", "this model does classification; use --size"),
    ],
)
def test_bad_windows(words, tmp_path, windows, net, task, said) -> None:
    model = ["--model", tmp_path / f"net.py:{net}", "--task", task]
    status, _, heard = call(*words, *model, "--windows", windows)
    assert status in (2, 3)
    assert said in heard
    assert "Traceback" not in heard
