"""Noisy linear imputation: what is removed is made up from its surroundings, so that no edge tells where it was.

Every removed pixel is the weighted mean of its neighbours, removed ones included: one sparse linear system for each
mask and picture, factored once for all channels, or solved by conjugate gradients where that is faster (a volume; many
pixels in shallow holes). Weights as in
rong2022consistent: 1/6 for the four direct neighbours and 1/12 for the four diagonal ones in 2-D. A weight halves with
each further axis along which a neighbour is apart, which is our rule in 3-D: 1/14 for the 6 faces, 1/28 for the 12
edges, 1/56 for the 8 corners. Neighbours beyond the border drop out and the others' weights grow. A picture that is
removed whole has no surroundings: it becomes its mean.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import LinearOperator, cg, splu

from pellucid.evaluate.undefined import Undefined

DIRECT = 200_000  # unknowns up to which a 2-D system is factored
SHALLOW, MANY = 60.0, 2_000  # depth of the holes and unknowns, times and by channels, where steps beat the factors
TOLERANCE = 1e-6  # of the residual, where it is solved step by step instead: the factors of a volume fill the memory


def neighbourhood(shape: tuple[int, ...]) -> Any:
    """Sparse ``(N, N)``: the weights of each pixel's neighbours on its row, negative, and their sum on the diagonal."""
    number = np.arange(int(np.prod(shape))).reshape(shape)
    rows, columns, weights = [], [], []
    for step in product((-1, 0, 1), repeat=len(shape)):
        apart = sum(map(abs, step))
        if not apart:
            continue
        here = number[tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape))].ravel()
        there = number[tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(step, shape))].ravel()
        rows.append(here)
        columns.append(there)
        weights.append(np.full(len(here), 2.0 ** (1 - apart)))
    w = csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(number.size,) * 2)
    return csr_matrix(diags(np.asarray(w.sum(1)).ravel()) - w)


def impute(x: NDArray[np.float64], removed: NDArray[np.bool_], system: Any = None) -> NDArray[np.float64]:
    """A picture ``(C, *spatial)`` whose removed pixels ``(*spatial)`` are the weighted means of their neighbours.

    Args:
        x: the picture.
        removed: whether a pixel is.
        system: :func:`neighbourhood` of its grid, to be factored where that is faster (many pixels in shallow holes
            settle step by step in a fraction of the time); None to solve step by step without a matrix.
    """
    gone = removed.ravel()
    if not gone.any():
        return x.copy()
    flat = x.reshape(len(x), -1).copy()
    if gone.all():
        flat[:] = flat.mean(1, keepdims=True)
    elif system is not None and int(gone.sum()) <= DIRECT:
        rows = system[np.flatnonzero(gone)]
        matrix, right = rows[:, np.flatnonzero(gone)], -(rows[:, np.flatnonzero(~gone)] @ flat[:, ~gone].T)
        shallow = len(right) > MANY * len(x) and len(x) * distance_transform_edt(removed).max() <= SHALLOW
        start = flat[:, ~gone].mean(1)
        flat[:, gone] = (_settled(matrix, right, start) if shallow else _factored(matrix, right)).T
    else:
        middle = flat[:, ~gone].mean(1, keepdims=True)
        flat[:, gone] = 0
        flat[:, ~gone] -= middle  # so that nothing, where the steps begin, is the mean
        flat[:, gone] = np.stack([_stepwise(row.reshape(removed.shape), removed) for row in flat])
        flat += middle
    return flat.reshape(x.shape)


def _factored(matrix: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    # Symmetric and diagonally dominant: no pivoting is needed, and without it there is less to fill in.
    factors = splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return np.asarray(factors.solve(right))


def _settled(matrix: Any, right: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """As :func:`_factored` by conjugate gradients, each column from a value of its own."""
    scale = matrix.diagonal()
    inverse = LinearOperator(matrix.shape, matvec=lambda v: v.ravel() / scale, dtype=np.float64)
    found = np.empty_like(right)
    for k, value in enumerate(start):
        first = np.full(len(right), value)
        step, unsettled = cg(matrix, right[:, k] - matrix @ first, rtol=TOLERANCE / 10, M=inverse)
        if unsettled:
            raise Undefined("the imputation of the removed pixels did not settle")
        found[:, k] = first + step
    return found


def _stepwise(x: NDArray[np.float64], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The removed pixels' values by conjugate gradients; ``x`` is 0 where it is removed."""
    weight = _neighbours(np.ones(x.shape))[removed]
    n = len(weight)

    def left(values: NDArray[np.float64]) -> NDArray[np.float64]:
        grid = np.zeros(x.shape)
        grid[removed] = values.ravel()
        return np.asarray(weight * grid[removed] - _neighbours(grid)[removed])

    found, unsettled = cg(
        LinearOperator((n, n), matvec=left, dtype=np.float64), _neighbours(x)[removed], rtol=TOLERANCE,
        M=LinearOperator((n, n), matvec=lambda v: v.ravel() / weight, dtype=np.float64),
    )  # fmt: skip
    if unsettled:
        raise Undefined("the imputation of the removed pixels did not settle")
    return np.asarray(found)


def _neighbours(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum of every pixel's neighbours: ``2^(1−k)`` is twice a product of (½, 1, ½) along each axis."""
    out = x
    for axis in range(x.ndim):
        here = np.moveaxis(out, axis, 0)
        wider = here.copy()
        wider[1:] += here[:-1] / 2
        wider[:-1] += here[1:] / 2
        out = np.moveaxis(wider, 0, axis)
    return np.asarray(2 * (out - x))
