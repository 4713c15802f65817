"""How the methods compare over the cohort: the tables that follow from the scores."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pellucid.core.case import Case
from pellucid.evaluate.cohort.aggregate import aggregated
from pellucid.evaluate.cohort.agreement import agreement
from pellucid.evaluate.cohort.blocks import about
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.detector import Detected, detect
from pellucid.evaluate.cohort.pareto import pareto
from pellucid.evaluate.cohort.ranking import ranking
from pellucid.evaluate.cohort.strata import strata
from pellucid.study.context import Context
from pellucid.study.stages.facts import explained

DETECTORS = ("certainty", "plausibility")  # questions whose metrics may tell right predictions from wrong ones


def tables(context: Context, cases: Sequence[Case]) -> None:
    """Write the tables of a task whose scores are there.

    Args:
        context: of the task.
        cases: that were explained.
    """
    run, task, seed = context.run, context.task, context.recipe.seed
    scores = run.table("scores", task)
    facts = explained(context, cases)
    run.put_table("explained", task, facts)
    if not len(scores):
        return
    comparison, aggregate = compare(scores, seed=seed), aggregated(scores, seed=seed)
    run.put_table("comparison", task, comparison)
    run.put_table("ranking", task, ranking(scores, seed=seed))
    run.put_table("aggregated", task, aggregate)
    run.put_table("pareto", task, pareto(comparison, run.table("costs", task), aggregate))
    run.put_table("agreement", task, agreement(run.table("agreement_cases", task), seed=seed))
    run.put_table("strata", task, strata(scores, with_meta(facts, run.table("data", task)), seed=seed))
    detected = detectors(scores, facts, seed)
    run.put_table("detector", task, detected.detector)
    run.put_table("risk_coverage", task, detected.risk_coverage)


def detectors(scores: pd.DataFrame, facts: pd.DataFrame, seed: int) -> Detected:
    """Whether the metrics of certainty and plausibility tell right predictions from wrong ones; no rows where the
    cohort has no right and wrong, as in regression and segmentation."""
    correct = {str(c): bool(r) for c, r in zip(facts["case"], facts["correct"]) if not pd.isna(r)}
    metrics = [m for m in dict.fromkeys(scores["metric"]) if about(m)[1] in DETECTORS]
    return detect(scores if correct else scores.iloc[:0], correct, metrics=metrics if correct else None, seed=seed)


def with_meta(facts: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """The facts with the ``meta_…`` columns of the table of cases."""
    columns = [c for c in data if str(c).startswith("meta_")]
    return facts.merge(data[["case", *columns]].drop_duplicates("case"), on="case", how="left") if columns else facts
