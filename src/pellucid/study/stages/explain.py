"""Make the maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from pellucid.api import explain_iter
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.engine.engine import same_shapes
from pellucid.errors import InputError
from pellucid.explain.make import as_explainer
from pellucid.study.background import drawn
from pellucid.study.context import Context
from pellucid.study.precision import check_precision
from pellucid.study.segment import segmented
from pellucid.study.stages.targets import asked, outcomes

BATCH = 8
VOLUME_BATCH = 1


def run(context: Context) -> None:
    """The stage: every chosen case by every method, batch by batch."""
    work = context.work
    if work.explain is None:
        return
    explainers = [as_explainer(m) for m in work.explain.methods]
    limits = work.evaluate.limits()
    usual = background(context)

    def do(batch: list[Case]) -> None:
        batch, soft = segmented(context, batch)
        made: dict[str, list[Attribution]] = {c.id: [] for c in batch}
        outputs = context.engine.outputs(batch)
        for targets, places in asked(context.predictor, context.explain.targets, batch, outputs):
            for a in explain_iter(
                context.engine, [batch[i] for i in places], explainers, targets, seed=context.recipe.seed,
                background=usual, thresholds=limits,
            ):  # fmt: skip
                made[a.case_id].append(a)
        for case, output, p in zip(batch, outputs, soft):
            maps = made[case.id]
            context.run.put_maps(context.task, case, maps, _prediction(context, output), p)
            context.run.put_part("verdicts", context.task, case.id, verdict_rows(maps))
            context.run.put_part("costs", context.task, case.id, cost_rows(maps))

    context.batches(
        "explain", batches(context), lambda b: [c.id for c in b], do, lambda b: [[c] for c in b]
    )  # fmt: skip
    for table in ("verdicts", "costs"):
        context.run.merge(table, context.task)
    ready = set(context.run.cases(context.task))
    said = outcomes(context, [c for c in chosen(context) if c.id in ready])
    context.run.put_table("outcomes", context.task, said)
    for case in [c for c in chosen(context) if c.id in ready][:1]:
        check_precision(context, case)


def chosen(context: Context) -> list[Case]:
    """The cases that the recipe asks for: all of a part, or ``most`` of them, spread over classes and scores."""
    cases = list(context.part(context.explain.cases))
    wanted = context.explain.with_region
    if wanted is not None:
        cases = [c for c in cases if wanted in c.regions and bool(c.region(wanted).any())]
    if not cases:
        raise InputError(f"task {context.task}: no case of {context.explain.cases!r} is left to explain")
    most = context.explain.most
    if most is None or most >= len(cases):
        return cases
    order = spread(cases, context.recipe.seed)
    return [cases[i] for i in sorted(order[:most])]


def batches(context: Context) -> list[list[Case]]:
    """The chosen cases in batches of one shape."""
    cases = chosen(context)
    found = []
    for places in same_shapes(cases, context.predictor.inputs):
        size = VOLUME_BATCH if len(cases[places[0]].spatial) == 3 else BATCH
        found += [[cases[i] for i in places[a : a + size]] for a in range(0, len(places), size)]
    return found


def background(context: Context) -> Sequence[Case]:
    """Training cases that stand for a usual input, drawn by the run's seed."""
    return drawn(
        context.explain.background, context.part("train"), [*context.part("val"), *context.part("test")],
        context.predictor, seed=context.recipe.seed, task=context.task,
    )  # fmt: skip


def verdict_rows(maps: Sequence[Attribution]) -> pd.DataFrame:
    """One row per verdict of one case."""
    rows = [
        {
            "case": a.case_id, "method": a.method, "target_index": int(a.target["index"]), "target": a.target["label"],
            "check": v.name, "status": v.status, "value": np.nan if v.value is None else v.value,
            "threshold": np.nan if v.threshold is None else v.threshold, "sentence": v.sentence,
        }
        for a in maps for v in a.checks.values()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def cost_rows(maps: Sequence[Attribution]) -> pd.DataFrame:
    """One row per map of one case: what it took."""
    rows: list[dict[str, Any]] = [
        {
            "case": a.case_id, "method": a.method, "target_index": int(a.target["index"]),
            "forwards": a.cost.forwards, "backwards": a.cost.backwards, "seconds": a.cost.seconds,
            "peak_bytes": np.nan if a.cost.peak_bytes is None else a.cost.peak_bytes,
            "evaluations": a.notes.get("evaluations", np.nan),
            "dense_evaluations": a.notes.get("dense_evaluations", np.nan),
        }
        for a in maps
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _prediction(context: Context, output: Tensor) -> Tensor:
    p = context.predictor
    if p.task == "segmentation":
        return p.labels(output[None])[0]
    return p.probabilities(output[None])[0]


def spread(cases: Sequence[Case], seed: int) -> list[int]:
    """An order in which every class, or every part of the range of scores, takes its turn."""
    order = np.random.default_rng(seed).permutation(len(cases)).tolist()
    values = [_value(c) for c in cases]
    kinds = sorted({v for v in values if v is not None})
    if 1 < len(kinds) <= 10:
        bins = {i: kinds.index(v) if v is not None else len(kinds) for i, v in enumerate(values)}
    elif len(kinds) > 10:
        edges = np.quantile([v for v in values if v is not None], np.linspace(0, 1, 7)[1:-1])
        bins = {i: int(np.searchsorted(edges, v)) if v is not None else 6 for i, v in enumerate(values)}
    else:
        return order
    queues: dict[int, list[int]] = {}
    for i in order:
        queues.setdefault(bins[i], []).append(i)
    found: list[int] = []
    while any(queues.values()):
        for key in sorted(queues):
            if queues[key]:
                found.append(queues[key].pop(0))
    return found


def _value(case: Case) -> float | None:
    if case.truth is None or isinstance(case.truth, str):
        return None
    if isinstance(case.truth, Tensor):
        return float((case.truth > 0).sum())
    return float(case.truth)
