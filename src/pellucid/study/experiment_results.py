"""From what an experiment has kept to its tables and to ``experiment.json``."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from pellucid.data import Folds
from pellucid.evaluate.run import as_metric, labels
from pellucid.study.context import Context
from pellucid.study.crossval_fold import Fold, development, sizes
from pellucid.study.crossval_results import plain
from pellucid.study.experiment_arms import Matrix
from pellucid.study.experiment_kept import Kept, method_key, method_levels
from pellucid.study.experiment_level import Explanations, TrainedArm, Trainings
from pellucid.study.experiment_loss import loss_name
from pellucid.study.experiment_tables import Factor, folds_table, summary_table, tests_table
from pellucid.study.experiment_words import sentences, wilcoxon_note
from pellucid.study.run import failures
from pellucid.study.store import write_text

STAGE = "experiment"
TABLES = {
    "experiment_folds": folds_table, "experiment_summary": summary_table, "experiment_tests": tests_table,
}  # fmt: skip


def write_results(context: Context, matrix: Matrix, dealt: Folds) -> None:
    """Write the three tables and ``experiment.json`` of what is there so far."""
    factors = factors_of(context, matrix, dealt)
    made = {name: [make(f) for f in factors] for name, make in TABLES.items()}
    for name, parts in made.items():
        context.run.put_table(name, context.task, pd.concat(parts, ignore_index=True))
    found = content(context, matrix, dealt, factors, made)
    text = json.dumps(plain(found), indent=1, allow_nan=False)
    write_text(context.run.folder / "experiment.json", text)


def factors_of(context: Context, matrix: Matrix, dealt: Folds) -> list[Factor]:
    """The factors with the numbers of all levels that are there."""
    asked, kept, numbers = context.recipe.experiment, Kept(context), list(range(1, len(dealt) + 1))
    assert asked is not None
    ratio = float(np.mean([len(val) / len(train) for train, val in dealt]))
    seed, task = context.recipe.seed, context.work.model.task
    loss = loss_name(context.work)
    shared: dict[str, Any] = {"ratio": ratio, "pairs": asked.compare == "all", "seed": seed}
    arms = {key: _trained(context, matrix, kept, key, numbers) for key in matrix.arms}
    found = []
    metrics = list(dict.fromkeys([*matrix.metrics, loss]))
    for name, levels in matrix.levels.items():
        known = {
            level: Trainings(level, [a for k in keys if (a := arms[k]) is not None], len(keys), numbers)
            for level, keys in levels.items()
        }
        found.append(Factor(name, known, matrix.baseline[name], metrics, loss, task, **shared))
    judged = labels([as_metric(m) for m in context.work.evaluate.metrics]) if matrix.methods else []
    for name in matrix.methods:
        explained = {
            level.name: _explained(kept, matrix, level, numbers, seed)
            for level in method_levels(matrix) if level.factor == name
        }  # fmt: skip
        there = [m for e in explained.values() if len(e.scores) for m in e.scores["metric"].unique()]
        found.append(Factor(name, explained, matrix.baseline[name], list(dict.fromkeys([*there, *judged])) if not there
                            else list(dict.fromkeys(there)), None, None, **shared))  # fmt: skip
    return found


def content(
    context: Context, matrix: Matrix, dealt: Folds, factors: list[Factor], made: dict[str, list[pd.DataFrame]]
) -> dict[str, Any]:
    """What ``experiment.json`` holds."""
    asked, kept = context.recipe.experiment, Kept(context)
    assert asked is not None
    given = {f: ({} if isinstance(levels, str) else levels) for f, levels in asked.factors.items()}
    summary, tests = (pd.concat(made[f"experiment_{n}"], ignore_index=True) for n in ("summary", "tests"))
    return {
        "name": context.recipe.name, "title": context.work.title or context.task, "task": context.task,
        "seed": context.recipe.seed, "full": asked.full,
        "folds": {"count": len(dealt), "seed": dealt.seed, "digest": dealt.digest, "notes": list(dealt.notes),
                  **sizes(development(context)), "test": sizes(context.part("test")),
                  "wilcoxon": wilcoxon_note(len(dealt))},
        "metrics": matrix.metrics,
        "factors": {
            f.name: {
                "kind": "methods" if f.task is None else "training", "baseline": f.baseline, "decides": f.metrics[0],
                **({} if f.task is not None else {"explained": _cases(context, matrix, kept, f.name, len(dealt))}),
                "levels": {
                    name: {
                        "settings": given[f.name].get(name, {}),
                        "arms": list(matrix.levels.get(f.name, {}).get(name, ())),
                    }
                    for name in f.levels
                },
                "sentences": sentences(
                    f.name, summary[summary["factor"] == f.name], tests[tests["factor"] == f.name], f.metrics[0]
                ),
            }
            for f in factors if f.metrics
        },
        "arms": {
            key: {
                "what": matrix.names(key), "base": key == matrix.base, "network": work.model.network,
                "folds": {
                    str(n): _fold(kept.arm((key, n)), matrix.metrics)
                    for n in range(1, len(dealt) + 1) if kept.has_arm((key, n))
                },
            }
            for key, work in matrix.arms.items()
        },
        "summary": _records(summary), "tests": _records(tests),
        "failed": [
            {"item": item, "error": error} for _, stage, item, error in failures(context.run) if stage == STAGE
        ],
    }  # fmt: skip


def _cases(context: Context, matrix: Matrix, kept: Kept, factor: str, k: int) -> dict[str, Any]:
    """How many cases the first method that is there explained in each fold, and of which."""
    asked = context.explain.cases
    further = asked in context.work.also
    of = f"the source {asked!r}, on which no model was trained" if further else "its validation cases"
    keys = [method_key(matrix.base, level.method) for level in method_levels(matrix) if level.factor == factor]
    found = []
    for n in range(1, k + 1):
        there = next((key for key in keys if kept.has_method(key, n)), None)
        found.append(None if there is None else kept.method(there, n).cases)
    return {"of": of, "cases": found}


def _fold(fold: Fold, metrics: list[str]) -> dict[str, Any]:
    """What a fold of an arm found, without its learning curve."""
    quoted = fold.metrics.drop_duplicates("metric").set_index("metric")["value"]
    facts = {k: v for k, v in fold.facts.items() if k != "history"}
    return facts | {"values": {m: float(quoted[m]) for m in metrics if m in quoted}}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in r.items()} for r in table.to_dict("records")]


def _trained(context: Context, matrix: Matrix, kept: Kept, key: str, numbers: list[int]) -> TrainedArm | None:
    """An arm with the folds that are done; None where none is."""
    found = {n: kept.arm((key, n)) for n in numbers if kept.has_arm((key, n))}
    if not found:
        return None
    metrics = pd.concat([f.metrics.drop_duplicates("metric") for f in found.values()], ignore_index=True)
    arm = TrainedArm(
        matrix.arms[key], metrics, pd.concat([f.predictions for f in found.values()], ignore_index=True),
        {n: f.facts for n, f in found.items()}, development(context), context.recipe.seed,
    )  # fmt: skip
    name = loss_name(context.work)
    if name not in set(metrics["metric"]):
        mean = arm.losses.groupby("fold", as_index=False).agg(value=("loss", "mean"), n=("loss", "size"))
        extra = mean.assign(metric=name, **{"class": "all", "reason": ""})
        arm.metrics = pd.concat([metrics, extra], ignore_index=True)
    return arm


def _explained(kept: Kept, matrix: Matrix, level: Any, numbers: list[int], seed: int) -> Explanations:
    key = method_key(matrix.base, level.method)
    found = [kept.method(key, n) for n in numbers if kept.has_method(key, n)]
    scores = [j.scores for j in found if len(j.scores)]
    maps = sum(len(s.drop_duplicates(["case", "target_index"])) for s in scores)
    seconds = sum(j.seconds for j in found) / maps if maps else math.nan
    return Explanations(
        level.name, pd.concat(scores, ignore_index=True) if scores else pd.DataFrame(), numbers, seconds, seed,
        level.control,
    )  # fmt: skip
