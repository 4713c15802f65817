"""Sum the evidence over regions: of the maps that are stored, and of maps that are made for it and dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from pellucid.aggregate.regions import region_table
from pellucid.core.case import Case
from pellucid.core.refiner import is_masked
from pellucid.study.aggregation import Aggregation
from pellucid.study.context import Context
from pellucid.study.precision import check_precision


def run(context: Context) -> None:
    """The stage: one row per case, method, target, region and measure."""
    names = context.work.regions
    asked = None if context.work.aggregate is None else Aggregation(context)
    stored = context.run.cases(context.task) if names and context.work.explain is not None else []
    if asked is None and not stored:
        return
    fresh = {} if asked is None else asked.cases

    def do(batch: Sequence[str]) -> None:
        for case_id in batch:
            parts = [_of_stored(context, case_id, names)] if case_id in stored else []
            if asked is not None and case_id in fresh:
                parts.append(asked.table(fresh[case_id]))
            filled = [p for p in parts if len(p)]
            context.run.put_part(
                "regions", context.task, case_id, pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
            )

    cases = [[c] for c in dict.fromkeys([*stored, *fresh])]
    context.batches("aggregate", cases, lambda b: b, do, lambda b: [b])
    context.run.merge("regions", context.task)
    if asked is not None:
        asked.finish()
        check_precision(context, next(iter(fresh.values())))


def _of_stored(context: Context, case_id: str, names: Sequence[str]) -> pd.DataFrame:
    case = context.run.case(context.task, case_id)
    masks = _masks(context, case, names)
    rows = [
        {"case": case_id, "method": a.method, "target_index": int(a.target["index"]),
         "target": a.target["label"], **row, "of": None}
        for a in context.run.attributions(context.task, case_id) if a.images and masks and not is_masked(a)
        for row in region_table(a, masks)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _masks(context: Context, case: Case, names: Sequence[str]) -> dict[str, Tensor]:
    """The named regions; a label map counts as one region per label, called as the model's class where it has one."""
    classes = context.work.model.classes
    masks: dict[str, Tensor] = {}
    for name in names:
        if name not in case.regions:
            continue
        values = [int(v) for v in case.regions[name].unique() if v]
        if case.regions[name].dtype == torch.bool or values in ([], [1]):
            masks[name] = case.region(name)
            continue
        for v in values:
            known = context.work.model.task == "segmentation" and v < len(classes)
            masks[classes[v] if known else f"{name}={v}"] = case.region(name, v)
    return masks
