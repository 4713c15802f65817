"""A task with the settings of its search's best trial, which its run remembers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence

from pellucid.errors import UsageError
from pellucid.study.recipe import STAGES as ORDER
from pellucid.study.recipe import Work
from pellucid.study.search_space import applied
from pellucid.study.stages import MAKES
from pellucid.study.store import Run

KEPT = "best_trials"  # in run.json


def use_best(run: Run, works: Sequence[Work], *, again: bool) -> None:
    """Write into ``run.json`` which trial each task is trained with: the best of its search so far.

    Args:
        run: that holds the searches.
        works: its tasks; those without a search keep their own settings.
        again: whether tasks that are trained already will be trained again.

    Raises:
        UsageError: no search, no complete trial, or a task that was trained otherwise.
    """
    kept = dict(run.info.get(KEPT, {}))
    table = run.table("search")
    found = False
    for work in works:
        rows = table[table["task"] == work.name]
        if not len(rows):
            if work.search is not None:
                raise UsageError(f"task {work.name}: {run.folder} holds no search; 'pellucid search' makes one")
            continue
        found = True
        best = rows[rows["best"].astype(bool)]
        if not len(best):
            raise UsageError(f"task {work.name}: no trial of the search is complete; go on with 'pellucid search'")
        row = best.iloc[0]
        new = {
            "trial": int(row["trial"]), "trials": len(rows), "objective": str(row["objective"]),
            "value": float(row["value"]), "params": json.loads(row["params"]),
        }  # fmt: skip
        if kept.get(work.name, {}).get("params") != new["params"]:
            if run.ledger.state(work.name, "train") == "done" and not again:
                raise UsageError(
                    f"task {work.name} is trained already, with other settings than those of trial {new['trial']}; "
                    "'pellucid train --use-best' trains it again"
                )
            for folder in (work.name, f"{work.name}-shuffled", f"{work.name}-folds"):
                shutil.rmtree(run.folder / "parts" / "training" / folder, ignore_errors=True)
            if run.ledger.state(work.name, "train") != "done":
                run.forget(work.name, "train", MAKES["train"])  # folds that are done are of the other settings
            _forget_maps(run, works, work.name)
        kept[work.name] = new
    if not found:
        raise UsageError(f"{run.folder} holds no search; 'pellucid search' makes one")
    run.update(**{KEPT: kept})


def _forget_maps(run: Run, works: Sequence[Work], name: str) -> None:
    """What the model of before made is to be made again: its maps, and those that were masked by what it segments."""
    for work in works:
        if work.name == name or name in {how.task for how in work.segment.values()}:
            for stage in ORDER[ORDER.index("explain") :]:
                run.forget(work.name, stage, MAKES.get(stage, ()))


def as_trained(run: Run, work: Work) -> Work:
    """The task with the settings that :func:`use_best` noted; as it is if there are none."""
    kept = run.info.get(KEPT, {}).get(work.name)
    return work if kept is None else applied(work, kept["params"])
