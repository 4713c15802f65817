"""Synthetic rows of rare classes, each between a training row and one of its neighbours of the same class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.balance import Smote
from pellucid.train.data import TRUTH, mixed
from pellucid.train.oversample import classes_to_draw

Columns = dict[str, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a training needs for SMOTE.

    Attributes:
        options: that were asked for.
        classes: of each training case ``(N,)``, without what is made up.
        neighbours: of each class that gets rows.
        columns: the training's: with the synthetic cases behind the others where these are made of pixels.
        facts: rows and neighbours by the classes' names.
    """

    options: Smote
    classes: Tensor
    neighbours: dict[int, int]
    columns: Columns
    facts: dict[str, dict[str, int]]


def prepare(
    columns: Columns, cases: Sequence[Case], predictor: Predictor, *, options: Smote, seed: int
) -> Prepared:
    """Check, count, and where it is on pixels make the synthetic cases, of the training cases alone.

    Args:
        columns: of the training cases, as :func:`~pellucid.train.data.columns` gives them.
        cases: the same.
        predictor: with the training cases' means and standard deviations.
        options: what is asked for.
        seed: of what is drawn.

    Raises:
        UsageError: the classes do not exclude each other, or one has a single case.
    """
    classes = classes_to_draw(torch.stack(columns[TRUTH]), predictor, balance="smote")
    names = predictor.classes if len(predictor.classes) > 1 else [f"{predictor.classes[0]} = {k}" for k in (0, 1)]
    neighbours = checked_neighbours(classes, options, names)
    more = wanted_rows(classes, ratio=options.ratio)
    facts = {
        "rows": {names[k]: more[k] for k in neighbours},
        "neighbours": {names[k]: n for k, n in neighbours.items()},
    }
    if options.on == "pixels":
        extra = synthetic_cases(
            columns, cases, predictor, classes, options=options, neighbours=neighbours, seed=seed
        )
        columns = {name: [*column, *extra[name]] for name, column in columns.items()}
    return Prepared(options, classes, neighbours, columns, facts)


def wanted_rows(classes: Tensor, *, ratio: float) -> dict[int, int]:
    """How many rows each class that occurs is to get: up to ``ratio`` times the largest."""
    values, counts = classes.unique(return_counts=True)
    goal = round(ratio * int(counts.max()))
    return {int(k): max(0, goal - int(n)) for k, n in zip(values, counts)}


def checked_neighbours(classes: Tensor, options: Smote, names: Sequence[str]) -> dict[int, int]:
    """How many neighbours are taken in each class that gets rows; fewer, with a warning, where it has no more.

    Args:
        classes: of each training case ``(N,)``.
        options: what is asked for.
        names: of the classes.

    Raises:
        UsageError: a class of one case, between which and nothing no row lies.
    """
    found = {}
    for k, more in wanted_rows(classes, ratio=options.ratio).items():
        if not more:
            continue
        n = int((classes == k).sum())
        if n == 1:
            raise UsageError(
                f"balance: smote: {names[k]!r} has one training case, and a synthetic one lies between two; use "
                "oversample or class_weights, or leave the class out"
            )
        found[k] = min(options.neighbours, n - 1)
        if found[k] < options.neighbours:
            warnings.warn(
                f"balance: smote: {names[k]!r} has {n} training cases: {found[k]} neighbours are taken in the place of "
                f"{options.neighbours}",
                UserWarning,
                stacklevel=4,
            )
    return found


def synthetic_rows(
    rows: Callable[[Tensor], Tensor], classes: Tensor, *, neighbours: Mapping[int, int], ratio: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Rows of SMOTE [chawla2002smote], as imbalanced-learn draws them.

    ``x + u (x' − x)`` with a row ``x`` of the class, one ``x'`` of its nearest neighbours in it, and ``u`` from 0 to 1.

    Args:
        rows: gives the rows ``(n, D)`` of some cases, by their numbers ``(n,)``.
        classes: of each training case ``(N,)``.
        neighbours: of each class that gets rows.
        ratio: see :class:`~pellucid.train.balance.Smote`.
        seed: of what is drawn.

    Returns:
        ``(S, D)`` float32, and their classes ``(S,)``.
    """
    from imblearn.over_sampling import SMOTE

    made, of = [], []
    for k, more in wanted_rows(classes, ratio=ratio).items():
        if not more:
            continue
        own = rows((classes == k).nonzero().flatten()).float().numpy()
        # Its neighbours are searched for within the class; a second class has to be there, of which one row will do.
        x = np.concatenate([own, np.zeros_like(own[:1])])
        y = np.array([1] * len(own) + [0])
        drawn = SMOTE(
            sampling_strategy={1: len(own) + more}, k_neighbors=neighbours[k], random_state=mixed(seed, k) % 2**32
        )
        made.append(torch.from_numpy(drawn.fit_resample(x, y)[0][len(x) :]).float())
        of.append(torch.full((more,), k, dtype=torch.int64))
    if not made:
        return rows(torch.arange(1))[:0].float(), torch.zeros(0, dtype=torch.int64)
    return torch.cat(made), torch.cat(of)


def synthetic_cases(
    columns: Columns,
    cases: Sequence[Case],
    predictor: Predictor,
    classes: Tensor,
    *,
    options: Smote,
    neighbours: Mapping[int, int],
    seed: int,
) -> Columns:
    """Rows like those of ``columns``, made of the training cases' inputs once and for all.

    The inputs are standardised, and each is divided by the root of its number of values, so that a table counts as
    much for the distance as a picture.

    Args:
        columns: of the training cases, as :func:`~pellucid.train.data.columns` gives them.
        cases: the same.
        predictor: with the training cases' means and standard deviations.
        classes: of each case ``(N,)``.
        options: what is asked for.
        neighbours: of each class that gets rows.
        seed: of what is drawn.

    Raises:
        UsageError: a case that lacks an input.
    """
    lacking = [c for c in cases if c.missing]
    if lacking:
        raise UsageError(
            f"balance: smote on pixels: case {lacking[0].id} has no input {lacking[0].missing[0]!r}, between which and "
            "another nothing can be put; use smote on embeddings, oversample or class_weights"
        )
    shapes = {name: columns[name][0].shape for name in predictor.inputs}

    def scale(name: str) -> tuple[Tensor, Tensor]:
        known = predictor.normalise.get(name, (torch.zeros(1), torch.ones(1)))
        mean, sd = (s.reshape(-1, *[1] * (len(shapes[name]) - 1)) for s in known)
        return mean, sd * math.sqrt(shapes[name].numel())

    def rows(index: Tensor) -> Tensor:
        parts = []
        for name in predictor.inputs:
            mean, sd = scale(name)
            own = torch.stack([columns[name][i] for i in index.tolist()]).float()
            parts.append(((own - mean) / sd).flatten(1))
        return torch.cat(parts, dim=1)

    made, of = synthetic_rows(rows, classes, neighbours=neighbours, ratio=options.ratio, seed=seed)
    like = {int(k): int((classes == k).nonzero()[0]) for k in of.unique()}
    # The truth, and whatever else the columns hold, is that of any case of the class.
    found = {key: [column[like[int(k)]] for k in of] for key, column in columns.items()}
    for name, values in zip(predictor.inputs, made.split([shapes[n].numel() for n in predictor.inputs], dim=1)):
        mean, sd = scale(name)
        found[name] = list((values.unflatten(1, shapes[name]) * sd + mean).to(columns[name][0].dtype))
    return found
