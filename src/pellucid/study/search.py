"""Search for the settings of a training, on the validation cases, in trials that can be stopped and gone on with."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch
from optuna.trial import TrialState
from rich.console import Console

from pellucid.errors import UsageError, nearest
from pellucid.nets import build_network
from pellucid.study.context import LOG, Context
from pellucid.study.recipe import Recipe, Work, load_recipe
from pellucid.study.run import check_names, do_stage, logged, open_run
from pellucid.study.search_objective import BY_EPOCH, direction
from pellucid.study.search_progress import Shown, shown
from pellucid.study.search_space import Choices, Range, Space, applied, points, space_of
from pellucid.study.search_study import Study, alone
from pellucid.study.search_tables import write_importance, write_trials
from pellucid.study.search_trial import Outcome, Record
from pellucid.study.search_workers import Job, Pool, pool_of
from pellucid.study.store import Run

TRIALS = 20  # of tpe, if nobody says


def search_recipe(
    recipe: Recipe | str | Path | dict[str, Any],
    out: str | Path,
    *,
    task: str | None = None,
    trials: int | None = None,
    jobs: int = 1,
    quiet: bool = False,
    console: Console | None = None,
) -> Run:
    """Search for the settings of the recipe's trainings, into its run folder.

    Finished trials are kept, and one that was stopped in the middle goes on from its state: the same call with the
    same ``jobs`` ends with the same trials, however often it was stopped. The test cases take no part.

    Args:
        recipe: checked, or where it lies.
        out: the run folder; made if it is not there.
        task: the one to search for; by default all that have a ``search`` section, or all that train if none has.
        trials: how many, with those that are there; the recipe's number, the whole grid, or 20 by default.
        jobs: processes, each with its own copy of the cases.
        quiet: no progress bar.
        console: where people read; standard error by default.

    Raises:
        UsageError: a wrong recipe, nothing to search for, or a folder that holds another run or search.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    base = Path(recipe).resolve().parent if isinstance(recipe, str | Path) else Path.cwd()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if jobs < 1 or (trials is not None and trials < 1):
        raise UsageError(f"{jobs} jobs and {trials} trials: give at least 1 of each")
    recipe, names = _with_sections(recipe, task)
    check_names(recipe)
    chosen = [w for w in recipe.tasks if w.name in names]
    for work in chosen:
        _check_networks(work, recipe.seed)
    run = open_run(recipe, Path(out), resume=True, fresh=False)
    run.update(recipe=recipe.model_dump(mode="json"))  # the search sections may have changed, the rest has not
    console = console or Console(stderr=True)
    with logged(run.folder / "run.log"):
        for work in chosen:
            context = Context(run, recipe, work, base, console, quiet, resume=True)
            do_stage(context, "data")
            with alone(search_folder(run) / f"{work.name}.lock"):
                _search(context, trials, jobs)
    return run


def refresh(recipe: Recipe | str | Path | dict[str, Any], out: str | Path, *, task: str | None = None) -> Run:
    """Write the tables of the searches that a run folder holds again, from their databases; nothing is trained.

    Raises:
        UsageError: there is no search.
    """
    recipe, names = _with_sections(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), task)
    folder = Path(out)
    there = [n for n in names if (folder / "search" / f"{n}.sqlite").is_file()]
    if not there or not (folder / "run.json").is_file():
        raise UsageError(f"{folder} holds no search of {' or '.join(names)}; leave out --show to make one")
    run = open_run(recipe, folder, resume=True, fresh=False)
    for work in recipe.tasks:
        if work.name in there:
            study = open_study(Context(run, recipe, work, Path.cwd(), Console(quiet=True)), identity=None)
            write_trials(run, work, study)
            write_importance(run, work, study)
    return run


def search_folder(run: Run) -> Path:
    """Where a run's searches lie."""
    return run.folder / "search"


def open_study(context: Context, *, identity: dict[str, Any] | None, jobs: int = 1) -> Study:
    """The study of a task; ``identity`` says what it has to be a search of."""
    work = context.work
    assert work.search is not None
    s = work.search
    way = direction(s.objective, work.model.task)
    return Study(
        search_folder(context.run) / f"{work.name}.sqlite", name=work.name, identity=identity, direction=way,
        by=(s.objective, way) if s.objective in BY_EPOCH else ("val_loss", "minimize"), space=space_of(work),
        sampler=s.sampler, prune=s.prune == "median", seed=context.recipe.seed, jobs=jobs,
    )  # fmt: skip


def wanted(work: Work, trials: int | None = None) -> int:
    """How many trials: as asked, but no more than the grid has points."""
    assert work.search is not None
    most = len(points(space_of(work))) if work.search.sampler == "grid" else None
    asked = trials or work.search.trials or most or TRIALS
    return asked if most is None else min(asked, most)


def _search(context: Context, trials: int | None, jobs: int) -> None:
    search, train = context.work.search, context.work.train
    assert search is not None
    assert train is not None
    study = open_study(context, identity=_identity(context), jobs=jobs)
    total = wanted(context.work, trials)
    if trials is not None and trials > total:
        context.console.print(f"{context.task}: the grid has {total} points; that is all", highlight=False)
    total = max(total, len(study.trials))
    LOG.info("%s, search: %d trials, %d done", context.task, total, _told(study))
    try:
        with (
            pool_of(context, min(jobs, total)) as pool,
            shown(
                context, total=total, epochs=search.epochs or train.epochs, objective=search.objective,
                least=direction(search.objective, context.work.model.task) == "minimize",
            ) as progress,
        ):  # fmt: skip
            _drive(context, study, pool, progress, total, jobs)
    finally:
        write_trials(context.run, context.work, study)
    write_importance(context.run, context.work, study)


def _drive(context: Context, study: Study, pool: Pool, progress: Shown, total: int, jobs: int) -> None:
    """Ask, train and tell, by the rules of :mod:`~pellucid.study.search_study`."""
    folder, known = search_folder(context.run) / context.task, study.trials
    told = _told(study)
    for trial in known[:told]:
        progress.known(trial.number, trial.value if trial.state == TrialState.COMPLETE else None)
    asked = told
    ended: dict[int, Outcome] = {}
    params: dict[int, dict[str, Any]] = {}

    def report(number: int, record: Record) -> bool:
        progress.epoch(number, record["epoch"])
        return study.report(number, record)

    def place(number: int) -> Path:
        return folder / f"trial-{number + 1:03d}"

    while told < total:
        if asked < total and (asked - told < jobs or asked < len(known)):
            params[asked] = study.ask(asked)
            pool.start(Job(asked, params[asked], place(asked)))
            asked += 1
        elif told in ended:
            study.tell(told, ended.pop(told))
            shutil.rmtree(place(told), ignore_errors=True)  # weights and optimiser; what counts is in the study
            told += 1
            write_trials(context.run, context.work, study)
        else:
            number, outcome = pool.next(report)
            ended[number] = outcome
            progress.ended(number, params[number], outcome)


def _told(study: Study) -> int:
    """How many trials are over; they are told in order, so it is the first ones."""
    return sum(t.state.is_finished() for t in study.trials)


def _with_sections(recipe: Recipe, task: str | None) -> tuple[Recipe, list[str]]:
    """The recipe with a ``search`` section for every task that is searched for, and their names."""
    if task is not None and task not in [w.name for w in recipe.tasks]:
        raise UsageError(f"no task {task!r}; {nearest(task, [w.name for w in recipe.tasks])}")
    names = [w.name for w in recipe.tasks if w.search is not None] or [w.name for w in recipe.tasks if w.train]
    names = [task] if task is not None else names
    if not names:
        raise UsageError("no task of the recipe is trained; a search tries settings of a 'train' section")
    plain = recipe.model_dump()
    for content in plain["tasks"]:
        if content["name"] in names and content["search"] is None:
            content["search"] = {}
    return load_recipe(plain), names


def _check_networks(work: Work, seed: int) -> None:
    """Find an option that the network refuses before hours of training."""
    space = space_of(work)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for key, which in space.items():
            if key.startswith("model."):
                for value in which.values if isinstance(which, Choices) else (which.low, which.high):
                    model = applied(work, {key: value}).model
                    assert model.network is not None
                    build_network(model.network, model.options)


def _identity(context: Context) -> dict[str, Any]:
    """What the trials depend on: all but how many they are, where files lie, and what is done with the model."""
    work, recipe = context.work, context.recipe
    plain = work.model_dump(mode="json", include={"data", "also", "model", "train", "search"})
    for source in (plain["data"], *plain["also"].values()):
        source.pop("root")
    plain["model"].pop("load")
    weights = plain["model"].get("weights")
    plain["model"]["weights"] = None if weights is None else Path(weights).name  # a name such as imagenet, or a file
    plain["train"].pop("strata", None)
    plain["search"]["space"] = _plain(space_of(work))
    ids = "\n".join("\t".join(c.id for c in context.part(part)) for part in ("train", "val"))
    plain["search"].pop("trials")
    return plain | {
        "seed": recipe.seed, "precision": recipe.precision, "cases": hashlib.sha256(ids.encode()).hexdigest()[:16],
    }  # fmt: skip


def _plain(space: Space) -> dict[str, Any]:
    return {k: s.model_dump() if isinstance(s, Range) else list(s.values) for k, s in space.items()}
