"""Slow literal twins of the class activation maps: one case, loops over channels and places, no engine.

``A`` and ``g`` are a layer's maps and their gradients, ``(K, h, w)``; a twin returns the signed map ``(h, w)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Score = Callable[[NDArray], float]


def cam(a: NDArray, head: NDArray) -> NDArray:
    """``Σ_k w_k A_k``."""
    return sum((w * x for w, x in zip(head, a)), np.zeros(a.shape[1:]))


def grad_cam(a: NDArray, g: NDArray) -> NDArray:
    """``Σ_k mean(g_k) A_k``."""
    return cam(a, [x.mean() for x in g])


def grad_cam_pp(a: NDArray, g: NDArray) -> NDArray:
    """Equations 10 and 19 of the paper, with ``Y = exp(y)``: its derivatives are ``exp(y)`` times g, g² and g³.

    ``exp(y)`` is taken as 1: it cancels in α and is one factor of all weights.
    """
    weights = []
    for x, d in zip(a, g):
        w = 0.0
        for place in np.ndindex(d.shape):
            if d[place] > 0:
                alpha = d[place] ** 2 / (2 * d[place] ** 2 + sum(v * d[place] ** 3 for v in x.flatten() if v > 0))
                w += alpha * d[place]
        weights.append(w)
    return cam(a, weights)


def hires_cam(a: NDArray, g: NDArray) -> NDArray:
    """``Σ_k g_k A_k``, place by place."""
    out = np.zeros(a.shape[1:])
    for place in np.ndindex(out.shape):
        out[place] = sum(x[place] * d[place] for x, d in zip(a, g))
    return out


def xgrad_cam(a: NDArray, g: NDArray) -> NDArray:
    """``w_k = Σ_v (A_k(v) / Σ_u A_k(u)) g_k(v)``."""
    return cam(a, [sum(v / x.sum() * s for v, s in zip(x.flatten(), d.flatten())) for x, d in zip(a, g)])


def layer_cam(a: NDArray, g: NDArray) -> NDArray:
    """``Σ_k ReLU(g_k) A_k``, place by place."""
    return hires_cam(a, np.where(g > 0, g, 0))


def eigen_cam(a: NDArray, *, centre: bool = False, rounds: int = 3000) -> NDArray:
    """The first principal component by power iteration on ``A Aᵀ``, projected back on the places."""
    rows = a.reshape(len(a), -1)
    if centre:
        rows = rows - rows.mean(1, keepdims=True)
    v = np.random.default_rng(0).random(len(a))
    for _ in range(rounds):
        v = rows @ (rows.T @ v)
        v = v / np.linalg.norm(v)
    m = (rows.T @ v).reshape(a.shape[1:])
    up, down = (m[m > 0] ** 2).sum(), (m[m < 0] ** 2).sum()
    return m if up >= down else -m


def score_cam(score: Score, x: NDArray, fill: NDArray, a: NDArray, *, softmax: bool = False) -> NDArray:
    """``w_k = y(x ∘ H_k + fill ∘ (1 − H_k)) − y(fill)``; a constant channel has none."""
    found: dict[int, float] = {}
    for k, channel in enumerate(a):
        h = upsampled(channel, x.shape[1:])
        if h.max() == h.min():
            continue
        h = (h - h.min()) / (h.max() - h.min())
        found[k] = score(x * h + fill * (1 - h)) - score(fill)
    if softmax:
        total = sum(math.exp(v) for v in found.values())
        found = {k: math.exp(v) / total for k, v in found.items()}
    return cam(a, [found.get(k, 0.0) for k in range(len(a))])


def ablation_cam(tail: Score, a: NDArray) -> NDArray:
    """``w_k = y(A) − y(A with channel k zero)``; ``tail`` is the model behind the layer."""
    weights = []
    for k in range(len(a)):
        without = a.copy()
        without[k] = 0
        weights.append(tail(a) - tail(without))
    return cam(a, weights)


def upsampled(m: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Bilinear, pixel centres aligned."""
    out = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            out[i, j] = _between(m, (i + 0.5) * m.shape[0] / shape[0] - 0.5, (j + 0.5) * m.shape[1] / shape[1] - 0.5)
    return out


def _between(cam: NDArray, i: float, j: float) -> float:
    i, j = min(max(i, 0), cam.shape[0] - 1), min(max(j, 0), cam.shape[1] - 1)
    i0, j0 = int(i), int(j)
    i1, j1 = min(i0 + 1, cam.shape[0] - 1), min(j0 + 1, cam.shape[1] - 1)
    di, dj = i - i0, j - j0
    return float(
        cam[i0, j0] * (1 - di) * (1 - dj) + cam[i1, j0] * di * (1 - dj) + cam[i0, j1] * (1 - di) * dj + cam[i1, j1] * di * dj
    )
