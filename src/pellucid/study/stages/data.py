"""Load the cases, split them by patient, and write down what there is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pellucid.core.case import Case, check_unique
from pellucid.data import follow_split, load_dataset, official_split, split_file
from pellucid.data.splits import Split, split
from pellucid.data.zones import with_zones
from pellucid.errors import InputError, UsageError
from pellucid.study.analysis import as_analysis
from pellucid.study.context import LOG, Context
from pellucid.study.inputs import resolved
from pellucid.study.recipe import Data


def run(context: Context) -> None:
    """The stage: cases, split file, table of cases."""
    context.split = None
    rows = [_row(case, part) for part, cases in all_parts(context).items() for case in cases]
    context.run.put_table("data", context.task, pd.DataFrame(rows))
    _keep_model(context)
    _say_cleaning(context)


def _keep_model(context: Context) -> None:
    """Write down what the recipe leaves to the cases, if it does."""
    taken = context.work.model.model_dump(mode="json", include={"inputs", "features", "options"})
    asked = next(w for w in context.recipe.tasks if w.name == context.task).model
    if taken != asked.model_dump(mode="json", include=set(taken)):
        context.run.update(models={**context.run.info.get("models", {}), context.task: taken})


def all_parts(context: Context) -> dict[str, list[Case]]:
    """The cases of every part: train, val, test, and the further sources."""
    if context.split is None:
        load_cases(context)
    assert context.split is not None
    return {"train": context.split.train, "val": context.split.val, "test": context.split.test, **context.also}


def load_cases(context: Context) -> None:
    """Cases and split of a task, from the same sources and seed every time; the split file is kept and obeyed."""
    work = context.work
    context.also = {name: _load(context, source, name) for name, source in work.also.items()}
    cases = _load(context, work.data, "data")
    held_out = {c.group for other in context.also.values() for c in other}
    cases = [c for c in cases if c.group not in held_out]
    if not cases:
        raise InputError(f"task {work.name}: every patient of the data set is in a further source; none is left")
    context.work = work = work.model_copy(update={"model": resolved(work.model, cases)})
    path = context.run.folder / "splits" / f"{work.name}.json"
    if path.is_file() and context.resume:
        context.split = Split.load(path, cases)
        _check_segmenters(context)  # a search may have dealt these cases before there was a segmenter
        return
    context.split = _split(context, cases)
    for note in context.split.notes:
        LOG.warning("%s, data: %s", context.task, note)
        context.console.print(f"[yellow]{context.task}, data:[/] {note}", highlight=False)
    _check_segmenters(context)
    path.parent.mkdir(exist_ok=True)
    context.split.save(path)


def _split(context: Context, cases: list[Case]) -> Split:
    """The split that the recipe asks for, with the further sources' cases on no side."""
    data = context.work.data
    path = None if data.split is None else _split_file(context, data.split)
    if path is not None and path.is_file():
        parts = follow_split(path, cases)
    else:
        parts = _fresh(context, cases)
    sides = {c.id for side in (*parts, parts.left_out) for c in side}
    further = {c.id: c for other in context.also.values() for c in other if c.id not in sides}
    parts = replace(parts, left_out=[*parts.left_out, *further.values()])
    if path is not None and not path.is_file():
        try:
            parts.save(path)
        except OSError as error:
            raise InputError(f"{path}: the split cannot be written ({error.strerror}); name another file") from error
    return parts


def _fresh(context: Context, cases: list[Case]) -> Split:
    work, data = context.work, context.work.data
    seed = context.recipe.seed if data.seed is None else data.seed
    if data.official:
        return official_split(cases, data.fractions, seed)
    if work.train is None and not work.also and data.split is None:
        return Split([], [], list(cases))  # a model that comes trained: nothing to hold out
    return split(cases, fractions=data.fractions, seed=seed)


def _split_file(context: Context, name: str) -> Path:
    """The file that ``data.split`` means; an earlier task's is made if this run has not come to it."""
    for earlier in context.recipe.tasks:
        if earlier.name == name:
            path = context.run.folder / "splits" / f"{name}.json"
            if not path.is_file():
                load_cases(replace(context, work=earlier, split=None, also={}, cleaning={}))
            return path
    path = Path(name).expanduser()
    return path if path.is_absolute() else context.base / path


def _check_segmenters(context: Context) -> None:
    """Make sure that no model of this recipe which predicts regions here was trained on patients who are explained.

    These are the task's test cases and those of its further sources.
    """
    work, parts = context.work, context.split
    assert parts is not None
    asked = [("test", work.data, parts.test), *((name, s, context.also[name]) for name, s in work.also.items())]
    models = {how.task for how in work.segment.values()}.union(*(as_analysis(a).models for a in work.analysis))
    for other in context.recipe.tasks:
        path = context.run.folder / "splits" / f"{other.name}.json"
        if other.name not in models or not path.is_file():
            continue
        groups = split_file.load(path)["groups"]
        for part, source, cases in asked:
            tested = {c.group for c in cases}
            both = tested & {*groups["train"], *groups["val"]}
            if both and _same_patients(other.data, source):
                mend = f"add data: {{split: {other.name}}} to this task"
                if part != "test":
                    mend = f"name that source under 'also' of the task {other.name!r} as well"
                raise UsageError(
                    f"task {work.name}: {len(both)} of its {len(tested)} {part} groups trained the model of the task "
                    f"{other.name!r}, which predicts regions in them; {mend}"
                )


def _same_patients(one: Data, other: Data) -> bool:
    """Whether groups of the same name are the same patients."""
    same = (one.dataset, one.root) == (other.dataset, other.root)
    # Made, not read: with other options they are other patients of the same names.
    return same and (one.root is not None or one.options == other.options)


def _load(context: Context, source: Data, called: str) -> list[Case]:
    root = None if source.root is None else context.path(source.root)
    cases = load_dataset(source.dataset, root, **source.options)
    check_unique(cases)
    for case_id, reason in getattr(cases, "failed", ()):
        context.failed("data", str(case_id), reason)
    cleaning = getattr(cases, "cleaning", None)
    if cleaning is not None:
        context.cleaning[called] = cleaning
    cases = [with_zones(c, source.zones) for c in cases] if source.zones else list(cases)
    name = source.truth_region
    # A region as the truth: an empty one is a truth as well, an absent one is none.
    return cases if name is None else [c.replace(truth=c.regions.get(name)) for c in cases]


def _say_cleaning(context: Context) -> None:
    """The table ``cleaning``, and its counts in a line; nothing where no data set looked."""
    if not context.cleaning:
        return
    lines = pd.concat([table.assign(source=name) for name, table in context.cleaning.items()], ignore_index=True)
    context.run.put_table("cleaning", context.task, lines)
    counts = Counter(zip(lines["problem"], lines["action"]))
    said = ", ".join(f"{n} {problem.replace('_', ' ')} ({action})" for (problem, action), n in counts.items())
    context.console.print(f"[dim]{context.task}, data:[/] cleaning: {said or 'nothing was noticed'}", highlight=False)


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
