"""A slow literal twin of relevance propagation: dense matrices, one neuron at a time, no autograd.

A layer is a matrix; its rule is the textbook sum ``R_i = Σ_j z_ij / Σ_i z_ij · R_j`` over products ``z_ij = x_i w_ij``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def conv_matrix(weight: NDArray, bias: NDArray, shape: tuple[int, int], stride: int, pad: int) -> tuple[NDArray, NDArray, tuple]:
    """A 2-D convolution ``(O, C, k, k)`` as ``(outputs, inputs)`` matrix and bias, and the output's shape."""
    o, c, k, _ = weight.shape
    h, w = shape
    oh, ow = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
    matrix, added = np.zeros((o, oh, ow, c, h, w)), np.zeros((o, oh, ow))
    for f in range(o):
        for i in range(oh):
            for j in range(ow):
                added[f, i, j] = bias[f]
                for ch in range(c):
                    for a in range(k):
                        for b in range(k):
                            y, x = i * stride + a - pad, j * stride + b - pad
                            if 0 <= y < h and 0 <= x < w:
                                matrix[f, i, j, ch, y, x] = weight[f, ch, a, b]
    return matrix.reshape(o * oh * ow, c * h * w), added.reshape(-1), (o, oh, ow)


def merged(weight: NDArray, bias: NDArray, mean: NDArray, var: NDArray, gamma: NDArray, beta: NDArray, eps: float):
    """A convolution's weights with the batch norm behind it."""
    scale = gamma / np.sqrt(var + eps)
    return weight * scale[:, None, None, None], (bias - mean) * scale + beta


def _away(z: float, epsilon: float) -> float:
    return z + (epsilon if z >= 0 else -epsilon)


def epsilon(x: NDArray, w: NDArray, b: NDArray, r: NDArray, eps: float) -> NDArray:
    """``R_i = Σ_j x_i w_ji / (y_j ± ε) R_j``."""
    out = np.zeros(len(x))
    for j in range(len(b)):
        z = x * w[j]
        out += z / _away(float(z.sum() + b[j]), eps) * r[j]
    return out


def alpha_beta(x: NDArray, w: NDArray, b: NDArray, r: NDArray, eps: float, alpha: float, beta: float) -> NDArray:
    """``R_i = Σ_j (α z⁺_ij / Σ z⁺ − β z⁻_ij / Σ z⁻) R_j``, biases among the products."""
    out = np.zeros(len(x))
    for j in range(len(b)):
        z = x * w[j]
        up, down = np.maximum(z, 0), np.minimum(z, 0)
        out += alpha * up / _away(float(up.sum() + max(b[j], 0)), eps) * r[j]
        if beta:
            out -= beta * down / _away(float(down.sum() + min(b[j], 0)), eps) * r[j]
    return out


def gamma(x: NDArray, w: NDArray, b: NDArray, r: NDArray, eps: float, g: float) -> NDArray:
    """Products of the output's sign count ``1 + γ`` times."""
    out = np.zeros(len(x))
    for j in range(len(b)):
        z = x * w[j]
        y = z.sum() + b[j]
        if y == 0:
            continue
        favoured = (lambda v: np.maximum(v, 0)) if y > 0 else (lambda v: np.minimum(v, 0))
        q = z + g * favoured(z)
        total = float(q.sum() + b[j] + g * favoured(b[j]))
        out += q / _away(total, eps) * r[j]
    return out


def max_pool(x: NDArray, r: NDArray, size: int) -> tuple[NDArray, NDArray]:
    """Values ``(C, h, w)`` pooled, and a function's worth of relevance ``r`` given to each window's winner."""
    c, h, w = x.shape
    pooled, back = np.zeros((c, h // size, w // size)), np.zeros_like(x)
    for ch in range(c):
        for i in range(h // size):
            for j in range(w // size):
                window = x[ch, i * size : (i + 1) * size, j * size : (j + 1) * size]
                a, b = np.unravel_index(int(window.argmax()), window.shape)
                pooled[ch, i, j] = window[a, b]
                if r is not None:
                    back[ch, i * size + a, j * size + b] += r[ch, i, j]
    return pooled, back


def shared_by_value(a: NDArray, b: NDArray, r: NDArray) -> tuple[NDArray, NDArray]:
    """Relevance of ``a + b``, in proportion to each summand."""
    total = a + b
    safe = np.where(total == 0, 1, total)
    return np.where(total == 0, 0, a / safe * r), np.where(total == 0, 0, b / safe * r)
