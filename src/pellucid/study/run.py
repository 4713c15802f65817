"""Run a recipe: its stages in order, into a folder, able to stop and go on."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console

from pellucid.api import methods, metrics
from pellucid.errors import UsageError, nearest
from pellucid.explain.make import versions
from pellucid.study.context import LOG, Context, Unfinished
from pellucid.study.recipe import STAGES as ORDER
from pellucid.study.recipe import Recipe, Work, load_recipe
from pellucid.study.runners import LocalRunner, Runner
from pellucid.study.search_best import as_trained, use_best
from pellucid.study.stages import MAKES, STAGES
from pellucid.study.store import Run

Final = Callable[[Run], Any]


def run_recipe(
    recipe: Recipe | str | Path | dict[str, Any],
    out: str | Path,
    *,
    resume: bool = False,
    fresh: bool = False,
    only: Sequence[str] = (),
    best: bool = False,
    quiet: bool = False,
    console: Console | None = None,
    final: Mapping[str, Final] | None = None,
    runner: Runner | None = None,
) -> Run:
    """Run a recipe into a folder.

    Args:
        recipe: checked, or where it lies.
        out: the run folder.
        resume: go on with a run of the same recipe; what is done is kept.
        fresh: remove a run that is there.
        only: names of stages; all by default. What they need must be done.
        best: train with the settings of the best trial of the search that is in the folder.
        quiet: no progress bars.
        console: where people read; standard error by default.
        final: stages that work on the whole folder at the end, such as ``{"report": build_report}``.
        runner: where the folds of a cross-validation are trained; this process by default.

    Raises:
        UsageError: a wrong recipe, an unknown stage, a folder that holds another run.
    """
    base = Path(recipe).resolve().parent if isinstance(recipe, str | Path) else Path.cwd()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    for stage in only:
        if stage not in ORDER:
            raise UsageError(f"unknown stage {stage!r}; {nearest(stage, ORDER)}")
    console = console or Console(stderr=True)
    check_names(recipe)
    if best and fresh:
        raise UsageError("--fresh removes the search that --use-best asks for; leave one of them out")
    run = open_run(recipe, Path(out), resume=resume or bool(only), fresh=fresh)
    torch.manual_seed(recipe.seed)
    with logged(run.folder / "run.log"):
        LOG.info("recipe %s (%s), seed %s", recipe.name, recipe.hash(), recipe.seed)
        if best:
            use_best(run, recipe.tasks, again="train" in only and not resume)
        whole = True
        for work in recipe.tasks:
            context = Context(
                run, recipe, as_trained(run, work), base, console, quiet, resume=resume or bool(only),
                runner=runner or LocalRunner(),
            )  # fmt: skip
            asked = [s for s in ORDER if s in STAGES and (not only or s in only)]
            whole &= all(
                do_stage(context, stage, again=stage in only and not resume, named=stage in only) for stage in asked
            )
        for stage, act in (final or {}).items():
            if not only or stage in only:
                start = perf_counter()
                act(run)
                LOG.info("%s done in %.1f s", stage, perf_counter() - start)
        if not only and whole:
            run.tidy()
            run.update(finished=_now())
    return run


def failures(run: Run) -> list[tuple[str, str, str, str]]:
    """``(task, stage, item, error)`` of everything that failed."""
    rows = run.ledger.rows()
    wrong = rows[rows["state"] == "failed"]
    return [(str(r["task"]), str(r["stage"]), str(r["item"]), str(r["error"])) for r in wrong.to_dict("records")]


def do_stage(context: Context, stage: str, *, again: bool = False, named: bool = False) -> bool:
    """Do one stage of a task, if it is not done or is wanted again; whether it came to its end.

    ``named``: it was asked for by its name, so that a description of the data is made without its section, too.
    """
    ledger, task = context.run.ledger, context.task
    if again:
        context.run.forget(task, stage, MAKES.get(stage, ()))
        if stage == "explain":  # new maps take the place of all that were there, the refined ones among them
            ledger.forget(task, "refine")
    if ledger.state(task, stage) == "done":
        return True
    if stage == "eda" and context.work.eda is False and not named:
        return True  # not said to be done: it can still be asked for
    if not _wanted(context.work, stage):
        ledger.record(task, stage, "*", "done")
        return True
    start = perf_counter()
    try:
        STAGES[stage](context)
    except Unfinished as error:
        LOG.error("%s, %s: %s", task, stage, error)
        context.console.print(f"[red]✗[/] {error}", highlight=False, soft_wrap=True)
        return False
    seconds = perf_counter() - start
    ledger.record(task, stage, "*", "done", seconds=seconds)
    LOG.info("%s, %s: done in %.1f s", task, stage, seconds)
    context.console.print(f"[green]✓[/] {task}: {stage} [dim]{seconds:.1f} s[/]", highlight=False)
    return True


def _wanted(work: Work, stage: str) -> bool:
    """Whether the recipe asks anything of a stage."""
    asked = {"refine": work.refine, "aggregate": work.regions or work.aggregate, "analyse": work.analysis}
    if stage in ("explain", "refine", "evaluate") and work.explain is None:
        return False
    return bool(asked.get(stage, True))


def open_run(recipe: Recipe, folder: Path, *, resume: bool, fresh: bool) -> Run:
    """The run folder of a recipe: new, or one that holds a run of the same recipe.

    Raises:
        UsageError: it holds another run, or something else.
    """
    exists = (folder / "run.json").is_file()
    if exists and fresh:
        shutil.rmtree(folder)
        exists = False
    if exists:
        run = Run(folder)
        if not resume:
            raise UsageError(
                f"{folder} holds a run already; use --resume to go on, --fresh to replace it, or another --out"
            )
        if run.info["recipe_hash"] != recipe.hash():
            raise UsageError(
                f"{folder} holds a run of another recipe ({run.info['recipe_hash']}, this one is {recipe.hash()}); "
                "use another --out"
            )
        return run
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no run; choose another --out")
    return Run.create(
        folder,
        {
            "name": recipe.name, "title": recipe.title or recipe.name, "recipe": recipe.model_dump(mode="json"),
            "command": " ".join(["pellucid", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "pellucid" else "",
            "recipe_hash": recipe.hash(), "seed": recipe.seed, "versions": versions(), "started": _now(),
            "methods": _registered(methods()), "metrics": _registered(metrics()),
        },
    )  # fmt: skip


def check_names(recipe: Recipe) -> None:
    """Find misspelt names before hours of training, not after."""
    from pellucid.data.registry import DATASETS
    from pellucid.evaluate.run import as_metric
    from pellucid.explain.make import as_explainer
    from pellucid.nets import NETWORKS
    from pellucid.study.analysis import as_analysis
    from pellucid.study.refined_names import check_refiners

    for place, work in enumerate(recipe.tasks):
        for method in work.explain.methods if work.explain else ():
            as_explainer(method)
        summed = [as_explainer(m).name for m in work.aggregate.methods] if work.aggregate else []
        for name in summed:
            if summed.count(name) > 1:
                raise UsageError(f"task {work.name!r}, aggregate.methods: {name!r} twice; rows could not be told apart")
        check_refiners(work)
        earlier = [w.name for w in recipe.tasks[:place]]
        for asked in work.analysis:
            analysis = as_analysis(asked)
            if analysis.needs_maps and work.explain is None:
                raise UsageError(
                    f"task {work.name!r}, analysis {analysis.name!r} wants maps, and there is no 'explain' section"
                )
            for name in analysis.models:
                if name not in earlier:
                    near = nearest(name, earlier)
                    raise UsageError(f"task {work.name!r}, analysis: {name!r} is no earlier task; {near}")
        for metric in work.evaluate.metrics:
            as_metric(metric)
        for source in (work.data, *work.also.values()):
            _ = DATASETS[source.dataset]
        if work.model.network is not None:
            _ = NETWORKS[work.model.network]


def _registered(table: Any) -> dict[str, dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return {str(k): {c: _finite(v) for c, v in row.items()} for k, row in plain.to_dict("index").items()}


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and value in (float("inf"), float("-inf")) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Pellucid's log goes to this file meanwhile."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    except BaseException as error:
        LOG.error("stopped: %s: %s", type(error).__name__, error)
        raise
    finally:
        LOG.removeHandler(handler)
        handler.close()
