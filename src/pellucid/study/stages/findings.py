"""What the run finds by itself: whether the model uses something outside the patient."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.evaluate.cohort.shortcut import shortcuts
from pellucid.study.context import Context


def find(context: Context, cases: Sequence[Case]) -> None:
    """Look for shortcuts over all explained cases; leaves the table ``findings``."""
    if not context.work.evaluate.findings or not cases:
        return

    def maps_of(name: str) -> list[Attribution]:
        """What the methods made: a masked map shows nothing outside its mask."""
        return [a for a in context.run.attributions(context.task, name) if a.refinement is None]

    table = shortcuts(context.engine, cases, maps_of, seed=context.recipe.seed)
    context.run.put_table("findings", context.task, table)
