"""How the methods compare over the cohort: the tables that follow from the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.core.case import Case
from pellucid.evaluate.cohort.aggregate import aggregated
from pellucid.evaluate.cohort.agreement import agreement
from pellucid.evaluate.cohort.blocks import about
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.detector import Detected, detect
from pellucid.evaluate.cohort.pareto import pareto
from pellucid.evaluate.cohort.ranking import ranking
from pellucid.evaluate.cohort.refined import pairs_of, refined
from pellucid.evaluate.cohort.strata import strata
from pellucid.refine.make import as_refiner
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
    refiners = [as_refiner(r) for r in context.work.refine]
    pairs = pairs_of(scores["method"], [r.label or r.name for r in refiners])
    if pairs:
        run.put_table("refined", task, refined(scores, pairs, seed=seed))
    detected = detectors(scores, facts, seed, run.table("outcomes", task), [p.refined for p in pairs])
    run.put_table("detector", task, detected.detector)
    run.put_table("risk_coverage", task, detected.risk_coverage)


def detectors(
    scores: pd.DataFrame, facts: pd.DataFrame, seed: int, outcomes: pd.DataFrame | None = None,
    refined_maps: Sequence[str] = (),
) -> Detected:  # fmt: skip
    """Whether the metrics of certainty and plausibility tell right predictions from wrong ones.

    Where classes are said to be there by thresholds, each that is said to be there is a prediction of its own, right
    or wrong (true or false positive), and the model's confidence is how far its probability lies above the threshold,
    as a share of what is possible; else a case is one prediction. No rows where the cohort has no right and wrong, as
    in regression and segmentation. Certainty is left out of refined maps: it reads the map as it was before.
    """
    correct: dict[Any, bool]
    confidence: dict[Any, float]
    if outcomes is not None and len(outcomes) and (outcomes["rule"] == "threshold").all():
        said = outcomes[outcomes["outcome"].isin(["TP", "FP"])]
        keys = [(str(c), int(t)) for c, t in zip(said["case"], said["target_index"])]
        correct = dict(zip(keys, said["outcome"] == "TP"))
        confidence = dict(zip(keys, (said["probability"] - said["threshold"]) / (1 - said["threshold"])))
    else:
        correct = {str(c): bool(r) for c, r in zip(facts["case"], facts["correct"]) if not pd.isna(r)}
        confidence = {str(c): float(v) for c, v in zip(facts["case"], facts["confidence"])}
    metrics = [m for m in dict.fromkeys(scores["metric"]) if about(m)[1] in DETECTORS]
    sure = [m for m in metrics if about(m)[1] == "certainty"]
    told = scores[~(scores["metric"].isin(sure) & scores["method"].isin(refined_maps))]
    return detect(
        told if correct else told.iloc[:0], correct, metrics=metrics if correct else None, confidence=confidence,
        seed=seed,
    )  # fmt: skip


def with_meta(facts: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """The facts with the ``meta_…`` columns of the table of cases."""
    columns = [c for c in data if str(c).startswith("meta_") and c != "meta_group_is"]
    return facts.merge(data[["case", *columns]].drop_duplicates("case"), on="case", how="left") if columns else facts
