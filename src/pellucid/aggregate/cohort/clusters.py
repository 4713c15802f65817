"""Which classes does the model see together? Clusters of classes by how much of their evidence they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from pellucid.aggregate.cohort.cube import BACKGROUND
from pellucid.aggregate.cohort.matrix import square
from pellucid.core.statistics import Array
from pellucid.errors import InputError

Scale = Literal["target", "table"]
Join = Literal["larger", "mean", "smaller", "alphabetical"]


@dataclass(frozen=True)
class Clusters:
    """A tree of classes.

    Attributes:
        names: of the classes, in the table's order.
        distances: ``(n, n)``, symmetric, 0 on the diagonal.
        tree: SciPy's linkage matrix, average linkage, its branches turned so that neighbouring leaves are alike.
        order: leaves from first to last, neighbours alike.
        cophenetic: correlation of the tree's distances with those it was made of, −1 to 1; NaN of two classes.
        left_out: classes whose masses are not all known.
    """

    names: tuple[str, ...]
    distances: Array
    tree: Array
    order: tuple[int, ...]
    cophenetic: float
    left_out: tuple[str, ...]


def clusters(
    table: pd.DataFrame, *, scale: Scale = "target", join: Join = "larger", leave_out: Sequence[str] = (BACKGROUND,)
) -> Clusters:
    """Average linkage of the distance ``max(√mass) − √mass``.

    The mass of class t's map in region r and that of r's map in t differ, so a distance between the two needs a rule.
    By default the maximum is that of the target's row, and of the two directions the larger distance counts: classes
    are near where each looks at the other. With ``scale="table"`` and ``join="alphabetical"`` it is the rule of the
    published script: one maximum, and of the two directions that whose target comes later in the alphabet (R's
    ``as.dist`` keeps the lower triangle). Source: chrabaszcz2025aggregated.

    Args:
        table: of :func:`~pellucid.aggregate.cohort.matrix.matrix`, of ``mass``.
        scale: whose maximum: of each target's row, or of the whole table.
        join: of the two directions the ``"larger"`` or ``"smaller"`` distance, their ``"mean"``, or that of the lower
            triangle in alphabetical order.
        leave_out: classes that are not clustered.

    Raises:
        InputError: fewer than two classes are targets and regions with all masses known.
    """
    masses = square(table)
    names = [str(t) for t in masses.index if t in masses.columns and t not in leave_out]
    masses = masses.loc[names, names]
    unknown: list[str] = []
    while len(masses) and masses.isna().to_numpy().any():  # the class with most unknowns goes first
        holes = masses.isna().sum(axis=0) + masses.isna().sum(axis=1)
        unknown.append(str(holes.idxmax()))
        masses = masses.drop(index=unknown[-1], columns=unknown[-1])
    kept = [n for n in names if n not in unknown]
    if len(kept) < 2:
        raise InputError(
            f"clusters: {len(kept)} class{'es' * (len(kept) != 1)} both explained and a region, with all masses known; "
            "two are needed"
        )
    root = np.sqrt(np.clip(masses.to_numpy(float), 0, None))
    distances = _joined((root.max(1, keepdims=True) if scale == "target" else root.max()) - root, kept, join)
    np.fill_diagonal(distances, 0.0)
    condensed = squareform(distances, checks=False)
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    flat = len(kept) < 3 or np.ptp(condensed) == 0
    order = leaves_list(tree)
    correlation = float("nan") if flat else float(cophenet(tree, condensed)[0])
    return Clusters(tuple(kept), distances, tree, tuple(int(i) for i in order), correlation, tuple(unknown))


def _joined(distance: Array, names: Sequence[str], join: Join) -> Array:
    if join == "alphabetical":
        rank = np.argsort(np.argsort(np.array(names)))
        return np.where(rank[:, None] > rank[None, :], distance, distance.T)
    if join == "mean":
        return (distance + distance.T) / 2
    return (np.maximum if join == "larger" else np.minimum)(distance, distance.T)
