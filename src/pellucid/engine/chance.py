"""Random numbers that can be drawn again: of one copy of one case, or of some planes of it."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor


def generator(*key: Any) -> torch.Generator:
    """A CPU generator seeded by everything that names what is drawn: seed, case, purpose, copy …"""
    text = "|".join(map(str, key)).encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1)


def draw_planes(
    kind: str, shape: tuple[int, ...], *, seed: int, case: str, purpose: str, copy: int, start: int = 0,
    stop: int | None = None,
) -> Tensor:  # fmt: skip
    """Standard normal (``"normal"``) or uniform values for planes ``start:stop`` of the first spatial axis.

    Every plane has a generator of its own: planes drawn alone are those of the whole volume.

    Args:
        kind: ``"normal"`` or ``"uniform"``.
        shape: of the whole, ``(C, *spatial)``.
        seed: of the problem.
        case: its id.
        purpose: what for, such as ``"smoothgrad ct"``.
        copy: which copy.
        start, stop: planes; all by default.

    Returns:
        ``(C, stop − start, …)``.
    """
    sample = torch.randn if kind == "normal" else torch.rand
    plane = (shape[0], *shape[2:])
    planes = range(start, shape[1] if stop is None else stop)
    return torch.stack(
        [sample(plane, generator=generator(seed, case, purpose, copy, f"plane {p}")) for p in planes], 1
    )
