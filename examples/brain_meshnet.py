"""A stranger's network, as a stranger writes it: brainchop's MeshNet, a plain module that knows nothing of Pellucid."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

CLASSES = [
    "Unknown", "Cerebral-White-Matter", "Cerebral-Cortex", "Lateral-Ventricle", "Inferior-Lateral-Ventricle",
    "Cerebellum-White-Matter", "Cerebellum-Cortex", "Thalamus", "Caudate", "Putamen", "Pallidum", "3rd-Ventricle",
    "4th-Ventricle", "Brain-Stem", "Hippocampus", "Amygdala", "Accumbens-area", "VentralDC",
]  # fmt: skip


class Brain(nn.Module):
    """Ten dilated convolutions; the architecture is read from the JSON beside the weights."""

    def __init__(self, description: Path, state: dict[str, Tensor]) -> None:
        super().__init__()
        dilations = json.loads(description.read_text())["dilations"]
        for i, d in enumerate(dilations):
            out, into, k = state[f"conv{i}.weight"].shape[:3]
            self.add_module(f"conv{i}", nn.Conv3d(into, out, k, padding=d if k > 1 else 0, dilation=d))
        self.depth = len(dilations)
        self.load_state_dict(state)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 1, X, Y, Z)`` to 18 logits per voxel."""
        for i in range(self.depth - 1):
            x = torch.nn.functional.elu(getattr(self, f"conv{i}")(x))
        return getattr(self, f"conv{self.depth - 1}")(x)


def load(folder: Path) -> Brain:
    """The network with 18 classes and its weights."""
    state = torch.load(folder / "model18cls_torch.pt", weights_only=True)
    return Brain(folder / "model18cls_torch.json", state).eval()
