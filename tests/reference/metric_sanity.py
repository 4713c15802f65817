"""Slow literal twins of the sanity metrics: one model, one gradient, one pixel at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn


def with_values(module: nn.Module, values: dict[str, Tensor], names: Sequence[str]) -> nn.Module:
    """A copy in which the named parameters have other values."""
    other = copy.deepcopy(module)
    for name, parameter in other.named_parameters():
        if name in names:
            parameter.data = values[name].clone()
    return other


def gradient(module: nn.Module, x: Tensor, k: int) -> NDArray:
    """The gradient of output ``k`` to one case's picture, channels summed."""
    x = x[None].clone().requires_grad_()
    module(x)[0, k].backward()
    return x.grad[0].sum(0).double().numpy()


def magnitude_gradient(module: nn.Module, x: Tensor, k: int) -> NDArray:
    """The magnitude of the gradient of a picture with one channel: saliency."""
    return abs(gradient(module, x, k))


def seen_pixels(a: NDArray, b: NDArray) -> list[int]:
    a, b = abs(a.ravel()), abs(b.ravel())
    return [i for i in range(len(a)) if a[i] > 0.01 * max(a) or b[i] > 0.01 * max(b)]


def rho(a: NDArray, b: NDArray, *, signed: bool = False, measure: Callable = spearmanr) -> float:
    keep = seen_pixels(a, b)
    part = (lambda v: v) if signed else abs
    return float(measure([part(a.ravel()[i]) for i in keep], [part(b.ravel()[i]) for i in keep]).statistic)


def r(a: NDArray, b: NDArray) -> float:
    return rho(a, b, measure=pearsonr)


def entropy_of_histogram(a: NDArray, bins: int) -> float:
    low, high = min(a.ravel()), max(a.ravel())
    counts = [0] * bins
    for v in a.ravel():
        counts[min(int((v - low) / (high - low) * bins), bins - 1)] += 1
    return -sum(c / a.size * math.log(c / a.size) for c in counts if c)


def ssim(a: NDArray, b: NDArray, side: int, span: float) -> float:
    """Mean over all windows that lie inside."""
    found = []
    for corner in np.ndindex(*(n - side + 1 for n in a.shape)):
        window = tuple(slice(c, c + side) for c in corner)
        x, y = a[window].ravel(), b[window].ravel()
        cov = np.cov(x, y)
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        found.append(
            (2 * x.mean() * y.mean() + c1) * (2 * cov[0, 1] + c2)
            / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2))
        )  # fmt: skip
    return float(np.mean(found))
