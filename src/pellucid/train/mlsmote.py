"""Synthetic rows for rare labels among several that do not exclude each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.balance import MlSmote


def rare_labels(truth: Tensor) -> list[int]:
    """The labels that are rarer than they are on the mean [charte2015mlsmote].

    The ratio of a label is the count of the most frequent one over its own; rare is one whose ratio is above the mean
    of the ratios.

    Args:
        truth: 0 or 1, ``(N, K)``; labels without a case are left out.
    """
    counts = truth.sum(0)
    known = counts > 0
    ratios = counts.max() / counts.clamp(min=1)
    return [k for k in range(len(counts)) if known[k] and ratios[k] > ratios[known].mean()]


def checked_labels(truth: Tensor, predictor: Predictor, options: MlSmote) -> dict[int, int]:
    """How many neighbours are taken for each rare label; fewer, with a warning, where it has no more cases.

    Raises:
        UsageError: the task has no several independent labels.
    """
    if predictor.task != "classification" or predictor.activation != "sigmoid" or len(predictor.classes) < 2:
        raise UsageError("balance: mlsmote is for several independent labels; use smote for exclusive classes or one")
    found = {}
    for k in rare_labels(truth):
        n, name = int(truth[:, k].sum()), predictor.classes[k]
        if n > 1:
            found[k] = min(options.neighbours, n - 1)
        if n <= options.neighbours:
            said = f"{n - 1} neighbours are taken in the place of {options.neighbours}" if n > 1 else "none is made up"
            warnings.warn(f"balance: mlsmote: {name!r} has {n} training cases: {said}", UserWarning, stacklevel=4)
    return found


def multilabel_rows(
    rows: Callable[[Tensor], Tensor], truth: Tensor, *, neighbours: Mapping[int, int], seed: int
) -> tuple[Tensor, Tensor]:
    """One row for each case of each rare label: MLSMOTE with its labels by ranking [charte2015mlsmote].

    ``x + u (x' − x)`` with ``x'`` one of the case's nearest neighbours among those that have the label, and one ``u``
    from 0 to 1 for the whole row. It has the labels that more than half of the case and its neighbours have.

    Args:
        rows: gives the rows ``(n, D)`` of some cases, by their numbers ``(n,)``.
        truth: of the training cases, 0 or 1, ``(N, K)``.
        neighbours: of each rare label.
        seed: of what is drawn.

    Returns:
        ``(S, D)`` and their labels ``(S, K)``, float32.
    """
    generator = torch.Generator().manual_seed(seed)
    made: list[Tensor] = []
    of: list[Tensor] = []
    for k, near in neighbours.items():
        index = (truth[:, k] > 0).nonzero().flatten()
        own, labels = rows(index).float(), truth[index]
        found = NearestNeighbors(n_neighbors=near).fit(own.numpy()).kneighbors(return_distance=False)
        nearest = torch.from_numpy(found).long()  # without the case itself
        drawn = nearest.gather(1, torch.randint(near, (len(own), 1), generator=generator)).flatten()
        u = torch.rand(len(own), 1, generator=generator)
        made.append(own + u * (own[drawn] - own))
        votes = labels + labels[nearest].sum(1)
        of.append((votes > (near + 1) / 2).float())
    if not made:
        return rows(torch.arange(1))[:0].float(), truth[:0].float()
    return torch.cat(made), torch.cat(of)


def label_facts(truth: Tensor, neighbours: Mapping[int, int], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Rows and neighbours by the rare labels' names."""
    return {
        "rows": {names[k]: int(truth[:, k].sum()) for k in neighbours},
        "neighbours": {names[k]: n for k, n in neighbours.items()},
    }
