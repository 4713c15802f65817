"""Noisy linear imputation: what is removed is made up from its surroundings, so that no edge tells where it was.

Every removed pixel is the weighted mean of its neighbours, removed ones included: one sparse linear system for each
mask and picture, factored once for all channels (in a volume, solved by conjugate gradients). Weights as in
rong2022consistent: 1/6 for the four direct neighbours and 1/12 for the four diagonal ones in 2-D. A weight halves with
each further axis along which a neighbour is apart, which is our rule in 3-D: 1/14 for the 6 faces, 1/28 for the 12
edges, 1/56 for the 8 corners. Neighbours beyond the border drop out and the others' weights grow. A picture that is
removed whole has no surroundings: it becomes its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import LinearOperator, cg, splu
from torch import Tensor

from pellucid.evaluate.shared.curves import Scale, evidence_for, gap, normalised, ranks
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence

DIRECT = 200_000  # unknowns up to which a 2-D system is factored
TOLERANCE = 1e-6  # of the residual, where it is solved step by step instead: the factors of a volume fill the memory


@dataclass(frozen=True, eq=False)
class Removal:
    """One map's answers with shares of the pixels imputed.

    Attributes:
        shares: of the pixels, P of them.
        most, least: ``(P,)`` the explained scalar with the most, and the least, relevant share imputed.
        probability: ``(2, P)`` of the explained class, most then least; None unless a classification.
        ends: ``f(x)`` and ``f(fill)``, for the normalised scale.
    """

    shares: tuple[float, ...]
    most: Tensor
    least: Tensor
    probability: Tensor | None
    ends: Callable[[], tuple[float, float]]

    def on(self, scale: Scale = "auto") -> tuple[Tensor, Tensor]:
        """Most and least relevant first, on a scale of :meth:`Curves.on`.

        Raises:
            Undefined: a probability of something that has none; a picture that says no more than its fill.
        """
        if scale == "probability" or (scale == "auto" and self.probability is not None):
            if self.probability is None:
                raise Undefined("only a classification has the probability of a class; use on='normalised'")
            return self.probability[0], self.probability[1]
        whole, empty = self.ends()
        gap(whole, empty, classify=self.probability is not None)
        return normalised(self.most, whole, empty), normalised(self.least, whole, empty)


def removals(evidence: Evidence, shares: Sequence[float], noise: float) -> list[Removal | Undefined]:
    """The answers of all maps, in full batches, once: ``2 P`` forwards for each different ranking of the pixels.

    Args:
        evidence: of the case.
        shares: of the pixels of all images together.
        noise: sd of what is added to imputed pixels, in units of the picture's range; drawn once for a case.
    """
    return evidence.once(("removals", tuple(shares), noise), lambda: _removals(evidence, tuple(shares), noise))


def _removals(evidence: Evidence, shares: tuple[float, ...], noise: float) -> list[Removal | Undefined]:
    scorer, columns, p = evidence.scorer, evidence.columns, len(shares)
    found: dict[int, Removal | Undefined] = {}
    ranked: dict[int, Tensor] = {}
    permutation = torch.randperm(scorer.pixels, generator=torch.Generator().manual_seed(evidence.seed))
    for i, a in enumerate(evidence.maps):
        try:
            values, known = evidence_for(scorer, a, columns[i], evidence.ends)
            ranked[i] = ranks(torch.where(known, values, torch.full_like(values, -torch.inf)), permutation)
        except Undefined as reason:
            found[i] = reason
    if ranked:
        keys = {i: r.numpy().tobytes() for i, r in ranked.items()}
        place = {key: n for n, key in enumerate(dict.fromkeys(keys.values()))}
        first = {place[key]: ranked[i] for i, key in reversed(keys.items())}
        places = torch.stack([first[n] for n in range(len(place))])
        scores = scorer.run(len(place) * 2 * p, _copies(evidence, places, shares, noise)).view(len(place), 2, p, -1)
        for i, key in keys.items():
            (most, p_most), (least, p_least) = (scorer.pick(scores[place[key], side], columns[i]) for side in (0, 1))
            both = None if p_most is None or p_least is None else torch.stack([p_most, p_least])
            ends = lambda c=columns[i]: tuple(evidence.ends()[:, c].tolist())  # noqa: E731
            found[i] = Removal(shares, most, least, both, ends)
    return [found[i] for i in range(len(evidence.maps))]


def _copies(
    evidence: Evidence, places: Tensor, shares: tuple[float, ...], noise: float
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Copies by ranking, side (most, least) and share."""
    scorer, problem, n = evidence.scorer, evidence.problem, evidence.scorer.pixels
    counts = [min(max(round(q * n), 1), n - 1) for q in shares]
    pictures = {k: x[0].double().cpu().numpy() for k, x in scorer.images.items()}
    systems = {k: neighbourhood(x.shape[1:]) if x.ndim == 3 else None for k, x in pictures.items()}
    zero = torch.zeros(1, dtype=torch.long)
    grain = {
        k: (noise * problem.scale(k)[0] * problem.draw("normal", k, zero, zero, "road")[0]).double().cpu().numpy()
        for k in (pictures if noise else ())
    }

    def one(number: int) -> dict[str, Tensor]:
        ranking, rest = divmod(number, 2 * len(counts))
        side, share = divmod(rest, len(counts))
        gone = places[ranking] < counts[share] if side == 0 else places[ranking] >= n - counts[share]
        made = {}
        for name, removed in scorer.split(gone[None]).items():
            mask = removed[0].numpy()
            out = impute(pictures[name], mask, systems[name])
            made[name] = torch.from_numpy(out + grain[name] * mask if noise else out)
        return made

    def make(index: Tensor) -> dict[str, Tensor]:
        rows = [one(int(k)) for k in index]
        found = {name: x.expand(len(index), *x.shape[1:]).clone() for name, x in problem.inputs.items()}
        for name in pictures:
            found[name] = torch.stack([row[name] for row in rows]).to(found[name])
        return found

    return make


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
        system: :func:`neighbourhood` of its grid, to be factored; None to solve step by step, which needs no matrix.
    """
    gone = removed.ravel()
    if not gone.any():
        return x.copy()
    flat = x.reshape(len(x), -1).copy()
    if gone.all():
        flat[:] = flat.mean(1, keepdims=True)
    elif system is not None and int(gone.sum()) <= DIRECT:
        rows = system[np.flatnonzero(gone)]
        flat[:, gone] = _factored(rows[:, np.flatnonzero(gone)], -(rows[:, np.flatnonzero(~gone)] @ flat[:, ~gone].T)).T
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
