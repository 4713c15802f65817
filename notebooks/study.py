"""What the five notebooks share: slices, network, how it is trained, where the model lies, and a row of maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import pellucid as pc
from pellucid.data.synthetic.slices import write_slices
from pellucid.nets import NETWORKS
from pellucid.train import fit

SMALL = os.environ.get("PELLUCID_NOTEBOOK") == "small"  # how the tests run the notebooks
OUT = Path(os.environ.get("PELLUCID_NOTEBOOK_OUT", "runs"))
SIZE = 48 if SMALL else 96
CLASSES = ["healthy", "affected"]
PATIENTS, SLICES = (40, 2) if SMALL else (80, 3)
# Slices of yours have a model of their own: one that was trained on drawn ones knows nothing of them.
OWN = os.environ.get("PELLUCID_SLICES")
MODEL = OUT / (f"model-{SIZE}" if OWN is None else f"model-{SIZE}-{Path(OWN).resolve().name}")


def folder() -> Path:
    """The folder of slices: yours (the environment variable PELLUCID_SLICES), or one that is drawn now."""
    if OWN is not None:
        return Path(OWN)
    there = OUT / f"slices-{SIZE}"
    if not (there / "data.csv").is_file():
        write_slices(there, patients=PATIENTS, slices=SLICES, size=SIZE, extent=2)
    return there


def cases() -> list[pc.Case]:
    """The slices, cut out by the mask of the leg, padded to a square."""
    root = folder()
    return pc.load_dataset(
        "mri_slices", root, classes=CLASSES, size=SIZE, mask="mask" if (root / "mask").is_dir() else None,
        regions={"lesion": "lesion"} if (root / "lesion").is_dir() else None,
    )  # fmt: skip


@NETWORKS.register("slice_cnn")
class SliceCNN(nn.Module):
    """Four convolutions and an average: small enough for a laptop. The study itself took a ResNet."""

    def __init__(self, *, classes: int = 2, width: int = 16) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())

        self.features = nn.Sequential(
            block(1, width, 2), block(width, 2 * width, 1), block(2 * width, 2 * width, 2),
            block(2 * width, 2 * width, 1),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes))

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 1, H, W)`` to logits ``(B, classes)``."""
        return self.head(self.features(image))


TRAINING: dict[str, Any] = {
    "network": "slice_cnn", "inputs": ["image"], "task": "classification", "classes": CLASSES,
    "epochs": 24 if SMALL else 40, "batch_size": 16, "lr": 3e-3, "balance": "oversample",
    "augment": ["flip", {"blur": {"most": 0.5}}, {"color_jitter": {"brightness": 0.1, "contrast": 0.1}}],
    "seed": 0, "progress": False, "device": "cpu",
}  # fmt: skip


def model(parts: Any) -> pc.Predictor:
    """The model that the first notebook saved; trained now if it is not there."""
    if not (MODEL / "model.json").is_file():
        pc.save_predictor(fit(parts.train, parts.val, **TRAINING).predictor, MODEL, network="slice_cnn")
    return pc.load_predictor(MODEL)


def affected(predictor: pc.Predictor, cases: Sequence[pc.Case]) -> list[pc.Case]:
    """The affected slices with a mask of the lesion, those of which the model is surest first."""
    chosen = [c for c in cases if c.truth == 1 and "lesion" in c.regions]
    sure = predictor.probabilities(torch.stack(pc.Engine(predictor, device="cpu").outputs(chosen)))[:, 1]
    return [chosen[i] for i in sure.argsort(descending=True).tolist()]


def row(case: pc.Case, maps: dict[str, Any]) -> Figure:
    """The slice, and maps over it side by side; the lesion in green. Red speaks for the class, zero is clear."""
    picture = case.inputs["image"][0].numpy()
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(2.3 * (len(maps) + 1), 2.6), squeeze=False)
    axes[0, 0].set_title("slice", fontsize=9)
    for ax, (name, given) in zip(axes[0, 1:], maps.items()):
        values = np.asarray(given.spatial("image") if isinstance(given, pc.Attribution) else given, float)
        most = np.abs(values).max() or 1.0
        ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.85 * np.abs(values) / most, zorder=2)
        ax.set_title(name, fontsize=9)
    for ax in axes[0]:
        ax.imshow(picture, cmap="gray", zorder=1)
        if "lesion" in case.regions:
            ax.contour(case.region("lesion").numpy(), [0.5], colors="#2ca02c", linewidths=1, zorder=3)
        ax.axis("off")
    figure.tight_layout()
    return figure
