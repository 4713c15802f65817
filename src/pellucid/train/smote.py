"""Synthetic rows of rare classes, each between a training row and one of its neighbours of the same class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.balance import MlSmote, Smote
from pellucid.train.data import TRUTH, mixed
from pellucid.train.mlsmote import checked_labels, label_facts, multilabel_rows
from pellucid.train.oversample import classes_to_draw

Columns = dict[str, list[Tensor]]
Rows = Callable[[Tensor], Tensor]
Draw = Callable[[Rows, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a training needs for synthetic rows.

    Attributes:
        on: where they lie.
        draw: rows ``(S, D)`` and their truths ``(S, …)``, from what gives the rows of some cases by their numbers, and
            a seed.
        columns: the training's: with the synthetic cases behind the others where these are made of pixels.
        facts: rows and neighbours by the classes' names.
    """

    on: str
    draw: Draw
    columns: Columns
    facts: dict[str, dict[str, int]]


def prepare(columns: Columns, predictor: Predictor, *, options: Smote | MlSmote, seed: int) -> Prepared:
    """Check, count, and where it is on pixels make the synthetic cases, of the training cases alone.

    Args:
        columns: of the training cases, as :func:`~pellucid.train.data.columns` gives them.
        predictor: with the training cases' means and standard deviations.
        options: what is asked for.
        seed: of what is drawn.

    Raises:
        UsageError: the classes exclude each other or do not, whichever it should not be; or one has a single case.
    """
    truth = torch.stack(columns[TRUTH])
    draw: Draw
    if isinstance(options, MlSmote):
        near = checked_labels(truth, predictor, options)
        draw, facts = partial(_of_labels, truth, near), label_facts(truth, near, predictor.classes)
    else:
        classes = classes_to_draw(truth, predictor, balance="smote")
        names = predictor.classes if len(predictor.classes) > 1 else [f"{predictor.classes[0]} = {k}" for k in (0, 1)]
        near = checked_neighbours(classes, options, names)
        more = wanted_rows(classes, ratio=options.ratio)
        draw = partial(_of_classes, truth, classes, near, options.ratio)
        facts = {"rows": {names[k]: more[k] for k in near}, "neighbours": {names[k]: n for k, n in near.items()}}
    if options.on == "pixels":
        extra = synthetic_cases(columns, predictor, draw, seed=seed)
        columns = {name: [*column, *extra[name]] for name, column in columns.items()}
    return Prepared(options.on, draw, columns, facts)


def _of_classes(
    truth: Tensor, classes: Tensor, neighbours: dict[int, int], ratio: float, rows: Rows, seed: int
) -> tuple[Tensor, Tensor]:
    made, of = synthetic_rows(rows, classes, neighbours=neighbours, ratio=ratio, seed=seed)
    like = torch.tensor([int((classes == k).nonzero()[0]) for k in of.tolist()], dtype=torch.int64)
    return made, truth[like]  # that of any case of the class


def _of_labels(truth: Tensor, neighbours: dict[int, int], rows: Rows, seed: int) -> tuple[Tensor, Tensor]:
    return multilabel_rows(rows, truth, neighbours=neighbours, seed=seed)


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
    rows: Rows, classes: Tensor, *, neighbours: Mapping[int, int], ratio: float, seed: int
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


def synthetic_cases(columns: Columns, predictor: Predictor, draw: Draw, *, seed: int) -> Columns:
    """Rows like those of ``columns``, made of the training cases' inputs once and for all.

    The inputs are standardised, and each is divided by the root of its number of values, so that a table counts as
    much for the distance as a picture.

    Args:
        columns: of the training cases, as :func:`~pellucid.train.data.columns` gives them; none lacks an input.
        predictor: with the training cases' means and standard deviations.
        draw: see :class:`Prepared`.
        seed: of what is drawn.
    """
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

    made, truth = draw(rows, seed)
    found = {TRUTH: list(truth)}
    for name, values in zip(predictor.inputs, made.split([shapes[n].numel() for n in predictor.inputs], dim=1)):
        mean, sd = scale(name)
        found[name] = list((values.unflatten(1, shapes[name]) * sd + mean).to(columns[name][0].dtype))
    return found
