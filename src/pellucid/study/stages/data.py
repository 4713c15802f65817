"""Load the cases, split them by patient, and write down what there is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from pellucid.core.case import Case, check_unique
from pellucid.data import load_dataset
from pellucid.data.splits import Split, split
from pellucid.data.zones import with_zones
from pellucid.errors import InputError
from pellucid.study.context import Context
from pellucid.study.recipe import Data


def run(context: Context) -> None:
    """The stage: cases, split file, table of cases."""
    context.split = None
    load_cases(context)
    assert context.split is not None
    parts = {"train": context.split.train, "val": context.split.val, "test": context.split.test, **context.also}
    rows = [_row(case, part) for part, cases in parts.items() for case in cases]
    context.run.put_table("data", context.task, pd.DataFrame(rows))


def load_cases(context: Context) -> None:
    """Cases and split of a task, from the same sources and seed every time; the split file is kept and obeyed."""
    work = context.work
    context.also = {name: _load(context, source) for name, source in work.also.items()}
    cases = _load(context, work.data)
    held_out = {c.group for other in context.also.values() for c in other}
    cases = [c for c in cases if c.group not in held_out]
    if not cases:
        raise InputError(f"task {work.name}: every patient of the data set is in a further source; none is left")
    path = context.run.folder / "splits" / f"{work.name}.json"
    if path.is_file() and context.resume:
        context.split = Split.load(path, cases)
        return
    seed = context.recipe.seed if work.data.seed is None else work.data.seed
    if work.train is None and not work.also:
        context.split = Split([], [], list(cases))  # a model that comes trained: nothing to hold out
    else:
        context.split = split(cases, fractions=work.data.fractions, seed=seed)
    path.parent.mkdir(exist_ok=True)
    context.split.save(path)


def _load(context: Context, source: Data) -> list[Case]:
    root = None if source.root is None else context.path(source.root)
    cases = load_dataset(source.dataset, root, **source.options)
    check_unique(cases)
    for case_id, reason in getattr(cases, "failed", ()):
        context.failed("data", str(case_id), reason)
    cases = [with_zones(c, source.zones) for c in cases] if source.zones else list(cases)
    name = source.truth_region
    # A region as the truth: an empty one is a truth as well, an absent one is none.
    return cases if name is None else [c.replace(truth=c.regions.get(name)) for c in cases]


def _row(case: Case, part: str) -> dict[str, Any]:
    truth: Any = case.truth
    if isinstance(truth, torch.Tensor):
        truth = int((truth > 0).sum()) if truth.ndim > 1 else "|".join(str(int(v)) for v in truth)
    facts = {
        f"meta_{k}": v for k, v in case.meta.items()
        if isinstance(v, str | int | float | bool) and not isinstance(v, bytes)
    }  # fmt: skip
    return {
        "case": case.id, "part": part, "group": case.group, "truth": None if truth is None else str(truth),
        "shape": "×".join(str(s) for s in case.spatial), "regions": ", ".join(case.regions), **facts,
    }  # fmt: skip
