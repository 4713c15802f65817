"""Sum the evidence over the regions that the recipe names: where in the picture does it lie?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pellucid.aggregate.regions import region_table
from pellucid.study.context import Context


def run(context: Context) -> None:
    """The stage: one row per case, method, target, region and measure."""
    names = context.work.regions
    if not names:
        return

    def do(batch: Sequence[str]) -> None:
        for case_id in batch:
            case = context.run.case(context.task, case_id)
            masks = {n: case.region(n) for n in names if n in case.regions}
            rows = [
                {"case": case_id, "method": a.method, "target_index": int(a.target["index"]),
                 "target": a.target["label"], **row}
                for a in context.run.attributions(context.task, case_id) if a.images and masks
                for row in region_table(a, masks)
            ]  # fmt: skip
            context.run.put_part("regions", context.task, case_id, pd.DataFrame(rows))

    cases = [[c] for c in context.run.cases(context.task)]
    context.batches("aggregate", cases, lambda b: b, do, lambda b: [b])
    context.run.merge("regions", context.task)
