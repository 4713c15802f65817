"""Slow literal twins of the gradient methods: one input at a time, loops, no engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scalar = Callable[[Tensor], Tensor]


def gradient(f: Scalar, x: Tensor) -> Tensor:
    """``∂f/∂x`` of one input."""
    leaf = x.detach().clone().requires_grad_()
    f(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad


def finite_differences(f: Scalar, x: Tensor, step: float = 1e-6) -> Tensor:
    """``(f(x + h eᵢ) − f(x − h eᵢ)) / 2h``, one value at a time."""
    out = torch.zeros_like(x)
    for i in range(x.numel()):
        up, down = x.clone().reshape(-1), x.clone().reshape(-1)
        up[i] += step
        down[i] -= step
        out.view(-1)[i] = (float(f(up.reshape(x.shape))) - float(f(down.reshape(x.shape)))) / (2 * step)
    return out


def integrated_gradients(f: Scalar, x: Tensor, base: Tensor, nodes: int) -> Tensor:
    """``(x − x') · (1/n) Σ_i ∂f(x' + (i + ½)/n · (x − x'))``."""
    total = torch.zeros_like(x)
    for i in range(nodes):
        total = total + gradient(f, base + (i + 0.5) / nodes * (x - base))
    return (x - base) * total / nodes


def smoothgrad(f: Scalar, x: Tensor, noise: Sequence[Tensor], share: float) -> Tensor:
    """The mean of ``∂f(x + share · (max − min) · ε)`` over given ``ε``."""
    sd = share * (x.max() - x.min())
    total = torch.zeros_like(x)
    for epsilon in noise:
        total = total + gradient(f, x + sd * epsilon)
    return total / len(noise)


def gradient_shap(f: Scalar, x: Tensor, bases: Sequence[Tensor], alphas: Sequence[float]) -> Tensor:
    """The mean of ``(x − x') · ∂f(x' + α(x − x'))`` over given pairs of baseline and position."""
    total = torch.zeros_like(x)
    for base, alpha in zip(bases, alphas):
        total = total + (x - base) * gradient(f, base + alpha * (x - base))
    return total / len(bases)


def deeplift_two_layers(
    x: NDArray, base: NDArray, w1: NDArray, b1: NDArray, w2: NDArray
) -> NDArray:
    """The rescale rule by hand for ``w2 · relu(w1 x + b1)``: ``Σ_j w2_j · Δh_j/Δz_j · w1_ji · Δx_i``."""
    out = np.zeros_like(x)
    for j in range(len(b1)):
        z, z0 = w1[j] @ x + b1[j], w1[j] @ base + b1[j]
        slope = (max(z, 0) - max(z0, 0)) / (z - z0) if z != z0 else float(z > 0)
        for i in range(len(x)):
            out[i] += w2[j] * slope * w1[j, i] * (x[i] - base[i])
    return out


def expected_gradients(
    f: Scalar, x: Tensor, bases: Sequence[Tensor], places: Sequence[Sequence[float]]
) -> Tensor:
    """``(1/Rn) Σ_r Σ_i (x − x'_r) · ∂f(x'_r + α_ri (x − x'_r))`` over given places on each path."""
    total = torch.zeros_like(x)
    for base, alphas in zip(bases, places):
        for alpha in alphas:
            total = total + (x - base) * gradient(f, base + alpha * (x - base)) / len(alphas)
    return total / len(bases)
