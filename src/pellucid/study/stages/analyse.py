"""Answer the questions that the recipe puts to the cohort."""

from __future__ import annotations

from pellucid.study.analysis import as_analysis
from pellucid.study.context import Context


def run(context: Context) -> None:
    """The stage: one analysis after the other, each writes its own tables."""
    for asked in context.work.analysis:
        as_analysis(asked).run(context)
