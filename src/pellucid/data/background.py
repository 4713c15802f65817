"""A background of real cases: drawn by patient, thinned to those that stand for many."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray

from pellucid.core.background import Background
from pellucid.core.case import Case
from pellucid.errors import InputError, UsageError, nearest

SIDE = {2: 8, 3: 4}  # to which a picture or volume is shrunk, for telling which cases are alike
THINNING = ("kmeans", "random")

By = Literal["kmeans", "random"]


def background(
    cases: Sequence[Case], *, size: int = 1000, thin: int | None = None, by: By = "kmeans", seed: int = 0
) -> Background:
    """Up to ``size`` of the cases, at most one of a patient as far as that goes, thinned to ``thin`` with weights.

    Thinned by ``"kmeans"``: MiniBatchKMeans on the inputs (pictures shrunk to 8 × 8, volumes to 4 × 4 × 4; every number
    standardised; every input of a case weighing alike); each cluster is stood for by the case nearest to its centre,
    weighted by its size. Every case is a real one. By ``"random"``: some of them, weighing alike. Cases that lack an
    input are left out.

    Args:
        cases: of the training side.
        size: cases drawn; all where there are fewer.
        thin: cases kept; all that are drawn if None. Fewer where clusters are empty.
        by: how they are thinned.
        seed: of the draw and the thinning.

    Raises:
        UsageError: a size or a way of thinning that is none.
        InputError: no case is left to draw from.

    Example:
        >>> cases = [Case(id=f"c{i}", inputs={"x": torch.full((1, 9, 9), float(i > 3))}) for i in range(5)]
        >>> found = background(cases, thin=2)
        >>> sorted(found.weights.tolist()), found.how["size"]
        ([0.2, 0.8], 5)
    """
    if size < 1 or (thin is not None and thin < 1):
        raise UsageError(f"background: size={size}, thin={thin}: give 1 or more")
    if by not in THINNING:
        raise UsageError(f"background: by={by!r}; {nearest(by, THINNING)}")
    whole = [c for c in cases if not c.missing]
    if not whole:
        raise InputError(f"background: none of {len(cases)} cases has all inputs; there is none to draw from")
    rng = np.random.default_rng(seed)
    drawn = _by_patient(whole, size, rng)
    how: dict[str, Any] = {"asked": size, "size": len(drawn), "seed": seed}
    if thin is None or thin >= len(drawn):
        return Background(drawn, None, how)
    how |= {"thinned_to": thin, "by": by}
    if by == "random":
        return Background([drawn[i] for i in sorted(rng.permutation(len(drawn))[:thin])], None, how)
    places, sizes = _medoids(_seen(drawn), thin, seed)
    return Background([drawn[i] for i in places], sizes, how | {"thinned_to": len(places)})


def check_side(background: Sequence[Case], held_out: Collection[str]) -> None:
    """Make sure that no background case is of a patient who is held out: what is explained would be compared with it.

    Args:
        background: the cases.
        held_out: patients (groups) of the validation and test side.

    Raises:
        InputError: one is.
    """
    both = {c.group for c in background} & set(held_out)
    if both:
        raise InputError(
            f"{len(both)} patients of the background are on the validation or test side of the split; take the "
            "background from the training cases alone"
        )


def _by_patient(cases: Sequence[Case], size: int, rng: np.random.Generator) -> list[Case]:
    """``size`` cases in their order; a patient's second case only when every patient has given one."""
    order = rng.permutation(len(cases))
    turn: dict[str | None, int] = {}
    turns = []
    for i in order:
        turns.append(turn.get(cases[i].group, 0))
        turn[cases[i].group] = turns[-1] + 1
    picks = order[np.argsort(turns, kind="stable")][:size]
    return [cases[i] for i in sorted(picks)]


def _seen(cases: Sequence[Case]) -> NDArray[np.float64]:
    """``(n, features)``: the inputs of every case shrunk, standardised, each input weighing alike."""
    blocks = []
    for name, first in cases[0].inputs.items():
        axes = first.ndim - 1
        rows = [c.inputs[name] for c in cases]
        if axes:
            pool = fn.adaptive_avg_pool2d if axes == 2 else fn.adaptive_avg_pool3d
            rows = [pool(r[None], SIDE[axes])[0] for r in rows]
        block = torch.stack([r.flatten() for r in rows]).double().numpy()
        sd = block.std(0)
        blocks.append((block - block.mean(0)) / np.where(sd > 0, sd, 1) / np.sqrt(block.shape[1]))
    return np.concatenate(blocks, 1)


def _medoids(rows: NDArray[np.float64], count: int, seed: int) -> tuple[list[int], list[int]]:
    """The row nearest to the centre of each cluster that has any, and the sizes of these clusters."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cases that are all alike make fewer clusters: no fault
        fitted = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=1024).fit(rows)
    own = fitted.labels_
    found: dict[int, int] = {}
    for k in np.unique(own):
        members = np.flatnonzero(own == k)
        far = np.linalg.norm(rows[members] - rows[members].mean(0), axis=1)
        found[int(members[far.argmin()])] = len(members)
    places = sorted(found)
    return places, [found[i] for i in places]
