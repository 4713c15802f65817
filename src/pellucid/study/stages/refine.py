"""Make maps of maps: masked, combined. No pass through the model, but where weights are to be measured first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.refine.make import as_refiner
from pellucid.study.context import Context
from pellucid.study.stages.ensemble_weights import weighed
from pellucid.study.stages.explain import cost_rows, verdict_rows


def run(context: Context) -> None:
    """The stage: every explained case, its refined maps put beside those that they were made from."""
    refiners = [as_refiner(r) for r in context.work.refine]
    if not refiners or context.work.explain is None:
        return

    refiners = weighed(context, refiners)
    limits = context.work.evaluate.limits()

    def do(batch: Sequence[str]) -> None:
        for case_id in batch:
            case = context.run.case(context.task, case_id)
            soft = context.run.soft(context.task, case_id)
            stored = context.run.attributions(context.task, case_id)
            # A stage that was interrupted, or is done again, starts from what the methods made.
            maps = [a for a in stored if a.refinement is None]
            _keep(context, case, maps, soft, whole=len(maps) < len(stored))  # these stay if it cannot be refined
            for refiner in refiners:
                maps += refiner.refine([a for a in maps if refiner.takes(a)], case, soft=soft, limits=limits)
            _keep(context, case, maps, soft)

    cases = [[c] for c in context.run.cases(context.task)]
    context.batches("refine", cases, lambda b: b, do, lambda b: [b])
    for table in ("verdicts", "costs"):
        context.run.merge(table, context.task)


def _keep(
    context: Context, case: Case, maps: Sequence[Attribution], soft: Mapping[str, Tensor], *, whole: bool = True
) -> None:
    """Write a case's rows, and (``whole``) its maps."""
    run, task = context.run, context.task
    if whole:
        run.put_maps(task, case, maps, run.prediction(task, case.id), soft)
    run.put_part("verdicts", task, case.id, verdict_rows(maps))
    run.put_part("costs", task, case.id, cost_rows(maps))
