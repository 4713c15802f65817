"""Networks of a few hundred weights, which the tests of training register for their own time."""

import os
import signal
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn

from own_sets import entries
from pellucid.core.case import Case
from pellucid.nets.registry import NETWORKS


class Noisy(nn.Module):
    """A convolution, batch norm, dropout, a linear layer."""

    def __init__(self, *, width: int = 4, classes: int = 2, norm: bool = True, dropout: float = 0.3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width) if norm else nn.Identity(), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(dropout), nn.Linear(16 * width, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, 1, H, W)`` to logits ``(B, K)``."""
        return self.body(x)


def registered(**networks) -> AbstractContextManager[None]:
    """Networks by name, until the end of the block."""
    return entries(NETWORKS, **networks)


def cases(n: int, prefix: str, seed: int = 0, side: int = 12) -> list[Case]:
    """A bright square in every other picture."""
    rng, made = np.random.default_rng(seed), []
    for i in range(n):
        image = rng.random((1, side, side))
        image[0, 3:8, 3:8] += 1.5 * (i % 2)
        made.append(Case(id=f"{prefix}{i}", inputs={"x": image}, truth=i % 2))
    return made


class Press:
    """An augmentation that changes nothing, counts, and at one of its batches presses Ctrl-C."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.seen = at, 0

    def __call__(self, images, mask, generator):
        """Give back what came."""
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return images, mask

    def __str__(self) -> str:
        return "press"


SETTINGS = {
    "network": "noisy", "inputs": ["x"], "task": "classification", "classes": ["no", "yes"], "batch_size": 4,
    "epochs": 3, "lr": 1e-2, "progress": False, "device": "cpu",
}  # fmt: skip
