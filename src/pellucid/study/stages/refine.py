"""Make maps of maps: masked, combined. No pass through the model."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.core.attribution import Attribution
from pellucid.refine.make import as_refiner
from pellucid.study.context import Context
from pellucid.study.stages.explain import cost_rows, verdict_rows


def run(context: Context) -> None:
    """The stage: every explained case, its refined maps put beside those that they were made from."""
    refiners = [as_refiner(r) for r in context.work.refine]
    if not refiners or context.work.explain is None:
        return

    limits = context.work.evaluate.limits()

    def do(batch: Sequence[str]) -> None:
        for case_id in batch:
            case = context.run.case(context.task, case_id)
            soft = context.run.soft(context.task, case_id)
            # A stage that was interrupted starts from what the methods made.
            maps = [a for a in context.run.attributions(context.task, case_id) if a.refinement is None]
            _note(context, case_id, maps)  # of a case that cannot be refined these stay
            for refiner in refiners:
                maps += refiner.refine([a for a in maps if refiner.takes(a)], case, soft=soft, limits=limits)
            context.run.put_maps(context.task, case, maps, context.run.prediction(context.task, case_id), soft)
            _note(context, case_id, maps)

    cases = [[c] for c in context.run.cases(context.task)]
    context.batches("refine", cases, lambda b: b, do, lambda b: [b])
    for table in ("verdicts", "costs"):
        context.run.merge(table, context.task)


def _note(context: Context, case_id: str, maps: Sequence[Attribution]) -> None:
    context.run.put_part("verdicts", context.task, case_id, verdict_rows(maps))
    context.run.put_part("costs", context.task, case_id, cost_rows(maps))
