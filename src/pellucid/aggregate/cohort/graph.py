"""The directed graph of importance: from which regions does the evidence for each class come?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND
from pellucid.errors import InputError, UsageError


def importance_graph(
    table: pd.DataFrame, *, rule: Literal["top", "mass"] = "top", top: int = 5, cumulative: float = 0.35,
    leave_out: Sequence[str] = (BACKGROUND,),
) -> pd.DataFrame:  # fmt: skip
    """For each target its largest sources, the target's own region among them.

    Args:
        table: of :func:`~pellucid.aggregate.cohort.matrix.matrix`.
        rule: ``"top"``: so many sources; ``"mass"``: the largest sources as long as their masses together are not
            above ``cumulative``. The mass of what is left out counts in neither.
        top: how many.
        cumulative: of the mass, 0 to 1.
        leave_out: targets and regions that are no nodes.

    Returns:
        One row per edge: ``source`` (region), ``target``, ``weight`` (mean mass), ``rank`` from 1, ``cumulative``.
        Sources without a known or positive mass are no edges; of equal ones that first in the table comes first.
        Source: chrabaszcz2025aggregated.

    Raises:
        UsageError: ``top`` below 1 or ``cumulative`` outside 0 to 1.
        InputError: no edge at all.
    """
    if top < 1 or not 0 < cumulative <= 1:
        raise UsageError(
            f"importance graph: top={top}, cumulative={cumulative:g}; give 1 or more, and a share above 0 and at most 1"
        )
    known = table[~table["target"].isin(list(leave_out)) & ~table["region"].isin(list(leave_out)) & (table["mean"] > 0)]
    parts = []
    for target in dict.fromkeys(known["target"]):
        own = known[known["target"] == target].sort_values("mean", ascending=False, kind="stable")
        summed = own["mean"].cumsum()
        edges = pd.DataFrame(
            {"source": own["region"], "target": target, "weight": own["mean"], "rank": range(1, len(own) + 1),
             "cumulative": summed}
        )  # fmt: skip
        parts.append(edges.head(top) if rule == "top" else edges[summed <= cumulative])
    if not sum(map(len, parts)):
        raise InputError("importance graph: no source of any class has a known mass; is the table one of 'mass'?")
    return pd.concat(parts, ignore_index=True)
