"""A search as tables of the run folder: its trials, their epochs, and how much each setting mattered.

The trials are numbered from 1, as epochs are; Optuna counts from 0.
"""

from __future__ import annotations

import json
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from pellucid.study.recipe import Work
from pellucid.study.search_objective import direction
from pellucid.study.search_study import Study
from pellucid.study.store import Run

NAMES = {
    TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    TrialState.RUNNING: "stopped", TrialState.WAITING: "waiting",
}  # fmt: skip
FEW = 10  # complete trials, under which an importance says little
COLUMNS = (
    "trial", "state", "value", "best", "objective", "direction", "params", "seconds", "epochs", "best_epoch",
    "pruned_at", "reason",
)  # fmt: skip
EPOCHS = ("trial", "epoch", "train_loss", "val_loss", "val_metric")
IMPORTANCE = ("parameter", "importance", "n", "note")


def write_trials(run: Run, work: Work, study: Study) -> None:
    """Write ``search`` and ``search_epochs`` of a task."""
    assert work.search is not None
    way, trials = direction(work.search.objective, work.model.task), study.trials
    best = best_trial(study, way)
    rows = [_row(t, work.search.objective, way, best) for t in trials]
    run.put_table("search", work.name, pd.DataFrame(rows, columns=list(COLUMNS)))
    epochs = [
        {"trial": t.number + 1, **{k: record[k] for k in EPOCHS[1:]}}
        for t in trials for record in t.user_attrs.get("history", ())
    ]  # fmt: skip
    run.put_table("search_epochs", work.name, pd.DataFrame(epochs, columns=list(EPOCHS)))


def write_importance(run: Run, work: Work, study: Study) -> None:
    """Write ``search_importance`` of a task."""
    run.put_table("search_importance", work.name, importance(study))


def best_trial(study: Study, way: str) -> FrozenTrial | None:
    """The complete trial with the best value, the first of equals; None if none is complete."""
    done = [t for t in study.trials if t.state == TrialState.COMPLETE and t.value is not None]
    sign = 1 if way == "minimize" else -1
    return min(done, key=lambda t: (sign * float(t.value or 0), t.number), default=None)


def importance(study: Study) -> pd.DataFrame:
    """The share of each setting in the variance of the objective over the complete trials (fANOVA).

    It is of the values that were tried, and of each setting alone. Source: `hutter2014efficient`, by Optuna.
    """
    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    different = {k for k in study.space if len({json.dumps(t.params[k]) for t in done}) > 1}
    if len({t.value for t in done}) < 2 or not different:
        return pd.DataFrame(columns=list(IMPORTANCE))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=study.seed % 2**32)
    found = optuna.importance.get_param_importances(study.study, evaluator=evaluator, params=sorted(different))
    note = f"of {len(done)} trials only: a hint at most" if len(done) < FEW else ""
    rows: list[dict[str, Any]] = [
        {"parameter": k, "importance": float(v), "n": len(done), "note": note} for k, v in found.items()
    ]
    rows += [
        {"parameter": k, "importance": 0.0, "n": len(done), "note": "one value only"}
        for k in study.space if k not in different
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(IMPORTANCE))


def _row(trial: FrozenTrial, objective: str, way: str, best: FrozenTrial | None) -> dict[str, Any]:
    known, history = trial.user_attrs, trial.user_attrs.get("history", ())
    return {
        "trial": trial.number + 1, "state": NAMES[trial.state],
        "value": trial.value if trial.state == TrialState.COMPLETE else float("nan"),
        "best": best is not None and trial.number == best.number, "objective": objective, "direction": way,
        "params": json.dumps(known.get("params", trial.params)), "seconds": float(known.get("seconds", float("nan"))),
        "epochs": len(history), "best_epoch": int(known.get("best_epoch", 0)),
        "pruned_at": len(history) if trial.state == TrialState.PRUNED else 0, "reason": str(known.get("reason", "")),
    }  # fmt: skip
