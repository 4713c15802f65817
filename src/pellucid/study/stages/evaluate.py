"""Judge the maps: metrics, the dear verdicts, and how the methods compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pandas as pd

from pellucid.api import evidence_of
from pellucid.core.case import Case
from pellucid.evaluate import verdicts
from pellucid.evaluate.cohort.agreement import agreement_rows
from pellucid.evaluate.run import as_metric, score_table
from pellucid.study.context import Context
from pellucid.study.stages import compare, findings
from pellucid.study.stages.explain import background, chosen, verdict_rows
from pellucid.study.stages.peers import cohort


def run(context: Context) -> None:
    """The stage: every explained case, its maps judged in the same passes."""
    work = context.work
    if work.explain is None:
        return
    metrics = [as_metric(m) for m in work.evaluate.metrics]
    limits = work.evaluate.limits()
    usual = background(context)
    other = context.shuffled  # read at once: a folder that holds no model is no fault of a case
    ready = set(context.run.cases(context.task))
    # With the regions that the maps were made with, so that no segmentation is run again, or comes out otherwise.
    cases = [
        [c.replace(regions=context.run.regions(context.task, c.id))] for c in chosen(context) if c.id in ready
    ]
    peers = cache(lambda: cohort(context, metrics, [c.id for batch in cases for c in batch]))

    def do(batch: Sequence[Case]) -> None:
        for case in batch:
            maps = context.run.attributions(context.task, case.id)
            if not maps:  # no class was above its threshold
                continue
            evidence = evidence_of(
                context.engine, case, maps, background=usual, region=work.evaluate.region or "lesion",
                steps=work.evaluate.steps, fill=work.evaluate.fill, thresholds=limits, seed=context.recipe.seed,
                shuffled=other, cohort=peers(),
            )  # fmt: skip
            scores, details = score_table(evidence, metrics)
            maps = verdicts.full(evidence) if work.evaluate.checks == "full" else maps
            context.run.put_part("scores", context.task, case.id, pd.DataFrame(scores))
            context.run.put_part("details", context.task, case.id, pd.DataFrame(details))
            agreed = pd.DataFrame(agreement_rows(maps, case.group))
            context.run.put_part("agreement_cases", context.task, case.id, agreed)
            context.run.put_part("verdicts", context.task, case.id, verdict_rows(maps))

    context.batches("evaluate", cases, lambda b: [c.id for c in b], do, lambda b: [b])
    for table in ("scores", "details", "agreement_cases", "verdicts"):
        context.run.merge(table, context.task)
    compare.tables(context, [c for batch in cases for c in batch])
    findings.find(context, [c for batch in cases for c in batch])
