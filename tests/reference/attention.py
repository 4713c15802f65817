"""Slow literal twins of the attention methods, on full matrices of all tokens, one row at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(scores: NDArray) -> NDArray:
    """Row by row."""
    out = np.zeros_like(scores)
    for i, row in enumerate(scores):
        e = np.exp(row - row.max())
        out[i] = e / e.sum()
    return out


def rollout(layers: list[NDArray]) -> NDArray:
    """Abnar & Zuidema: ``(H, N, N)`` of each layer to ``(N, N)``; A + I, rows renormalised, multiplied upwards."""
    size = layers[0].shape[-1]
    joint = np.eye(size)
    for heads in layers:
        a = heads.mean(0) + np.eye(size)
        a = a / a.sum(1, keepdims=True)
        joint = a @ joint
    return joint


def gradient_rollout(layers: list[NDArray], gradients: list[NDArray]) -> NDArray:
    """Chefer et al., equations 5 and 6: ``R ← R + mean_h (∇A ∘ A)⁺ R``, from the identity, which is taken off."""
    size = layers[0].shape[-1]
    r = np.eye(size)
    for heads, grads in zip(layers, gradients):
        r = r + np.maximum(grads * heads, 0).mean(0) @ r
    return r - np.eye(size)


def shifted_windows(
    heads: NDArray, grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> NDArray:
    """Window attention ``(W, H, n, n)`` as one matrix ``(H, N, N)`` over the tokens of the grid, its shift undone."""
    rows, columns = grid
    full = np.zeros((heads.shape[1], rows * columns, rows * columns))

    def token(w: int, i: int) -> int:
        wr, wc = divmod(w, columns // window[1])
        r, c = divmod(i, window[1])
        return (wr * window[0] + r + shift[0]) % rows * columns + (wc * window[1] + c + shift[1]) % columns

    for w in range(heads.shape[0]):
        for i in range(heads.shape[2]):
            for j in range(heads.shape[3]):
                full[:, token(w, i), token(w, j)] = heads[w, :, i, j]
    return full
