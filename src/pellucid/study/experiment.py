"""Compare settings of a training, and methods of explanation, over the same folds: all arms by all folds, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from pellucid.data import Folds
from pellucid.errors import UsageError, nearest
from pellucid.explain.make import as_explainer
from pellucid.nets import NETWORKS
from pellucid.study.context import LOG, Context
from pellucid.study.experiment_arms import Matrix
from pellucid.study.experiment_fold import (
    ArmWork,
    MethodWork,
    deal,
    folder_of,
    folds_file,
    forget_state,
    matrix_of_recipe,
    model_folder,
)
from pellucid.study.experiment_kept import Kept, Level, method_key, method_levels
from pellucid.study.experiment_results import STAGE, write_results
from pellucid.study.recipe import Recipe, load_recipe
from pellucid.study.run import check_names, do_stage, failures, logged, open_run
from pellucid.study.runners import Done, Item, LocalRunner, Runner, Work
from pellucid.study.search_progress import duration
from pellucid.study.search_study import alone
from pellucid.study.store import Run


def run_experiment(
    recipe: Recipe | str | Path | dict[str, Any],
    out: str | Path,
    *,
    runner: Runner | None = None,
    fresh: bool = False,
    quiet: bool = False,
    console: Console | None = None,
) -> Run:
    """Train every arm on every fold, explain where methods are compared, and write the tables.

    What is done is kept: the same call goes on after a stop, tries again what failed, and trains what was added to the
    recipe's ``experiment`` section. The test side of the split takes no part.

    Args:
        recipe: checked, or where it lies; with an ``experiment`` section.
        out: the run folder; made if it is not there.
        runner: where the folds are trained; this process by default.
        fresh: remove a run that is there.
        quiet: no progress bar.
        console: where people read; standard error by default.

    Raises:
        UsageError: a wrong recipe, or a folder that holds another run, another experiment's folds, or one that goes on.
        InputError: fewer patients than folds.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    base = Path(recipe).resolve().parent if isinstance(recipe, str | Path) else Path.cwd()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    matrix = _checked(recipe)
    assert recipe.experiment is not None
    asked = recipe.experiment
    run = open_run(recipe, Path(out), resume=True, fresh=fresh)
    console = console or Console(stderr=True)
    with logged(run.folder / "run.log"):
        context = Context(
            run, recipe, recipe.tasks[0], base, console, quiet, resume=True, runner=runner or LocalRunner()
        )
        with alone(folder_of(context) / "lock", "an experiment"):
            do_stage(context, "data")
            dealt = deal(context, asked.folds, recipe.seed if asked.seed is None else asked.seed)
            run.update(recipe=recipe.model_dump(mode="json"))  # it may have more levels now, the rest is the same
            run.ledger.forget(context.task, STAGE)  # what failed is tried again
            _train(context, matrix, dealt)
            _explain(context, matrix, dealt)
            write_results(context, matrix, dealt)
    return run


def refresh_experiment(recipe: Recipe | str | Path | dict[str, Any], out: str | Path) -> Run:
    """Write the tables of what an experiment has found so far; nothing is trained.

    Raises:
        UsageError: there is no experiment.
    """
    base = Path(recipe).resolve().parent if isinstance(recipe, str | Path) else Path.cwd()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    matrix, folder = _checked(recipe), Path(out)
    if not (folder / "run.json").is_file() or not (folder / "experiment" / "folds.json").is_file():
        raise UsageError(f"{folder} holds no experiment; leave out --show to make one")
    run = open_run(recipe, folder, resume=True, fresh=False)
    context = Context(run, recipe, recipe.tasks[0], base, Console(quiet=True), quiet=True, resume=True)
    assert folds_file(context).is_file()
    assert recipe.experiment is not None
    seed = recipe.seed if recipe.experiment.seed is None else recipe.experiment.seed
    write_results(context, matrix, deal(context, recipe.experiment.folds, seed))
    return run


def nothing_done(run: Run) -> bool:
    """Whether no arm was trained on any fold."""
    return not any((run.folder / "experiment" / "arms").glob("*/*/facts.json"))


def failed_items(run: Run) -> list[tuple[str, str]]:
    """What failed in the experiment, and why."""
    return [(item, error) for _, stage, item, error in failures(run) if stage == STAGE]


def _checked(recipe: Recipe) -> Matrix:
    """The arms, with every name in them known before hours of training."""
    matrix = matrix_of_recipe(recipe)
    check_names(recipe)
    for work in matrix.arms.values():
        if work.model.network not in NETWORKS:
            raise UsageError(
                f"experiment: no network {work.model.network!r}; {nearest(str(work.model.network), list(NETWORKS))}"
            )
    for level in method_levels(matrix):
        as_explainer(level.method)
    return matrix


def _train(context: Context, matrix: Matrix, dealt: Folds) -> None:
    """Train what is not there. Fold by fold, so that after the first fold there is something of every arm."""
    kept = Kept(context)
    every = [(key, n) for n in range(1, len(dealt) + 1) for key in matrix.arms]
    wanted = [arm for arm in every if not _there(context, matrix, kept, arm)]
    epochs = {key: w.train.epochs for key, w in matrix.arms.items() if w.train is not None}

    def said(arm: tuple[str, int], done: Done) -> str:
        kept.put_arm(arm, done.value)
        forget_state(context, arm)
        first = done.value.metrics
        row = first[first["metric"] == matrix.metrics[0]].iloc[0]
        return f"{row['metric']} {row['value']:.3f}, {done.value.facts['seconds']:.0f} s"

    _work(
        context, ArmWork.of(context),
        [(f"{key}-fold-{n:03d}", (key, n), f"{matrix.names(key)}, fold {n}", epochs[key]) for key, n in wanted],
        said, what=f"{len(matrix.arms)} trainings × {len(dealt)} folds", before=len(every) - len(wanted),
        amount="epoch",
    )  # fmt: skip


def _there(context: Context, matrix: Matrix, kept: Kept, arm: tuple[str, int]) -> bool:
    """Whether an arm is done on a fold, and its model is there if it is to be explained."""
    key, number = arm
    model = model_folder(context, key, number) / "model.json"
    return kept.has_arm(arm) and (not matrix.methods or key != matrix.base or model.is_file())


def _explain(context: Context, matrix: Matrix, dealt: Folds) -> None:
    """Explain and judge what is not there, on the folds whose model is."""
    if not matrix.methods:
        return
    kept = Kept(context)
    levels: dict[str, Level] = {method_key(matrix.base, level.method): level for level in method_levels(matrix)}
    numbers = [n for n in range(1, len(dealt) + 1) if _there(context, matrix, kept, (matrix.base, n))]
    wanted = [(k, n) for n in numbers for k in levels if not kept.has_method(k, n)]

    def said(pair: tuple[str, int], done: Done) -> str:
        kept.put_method(*pair, done.value)
        return f"{done.value.cases} cases, {done.value.seconds:.0f} s of maps"

    items = [
        (f"{levels[k].name}-fold-{n:03d}", (k, n), f"{levels[k].factor} {levels[k].name}, fold {n}", 1)
        for k, n in wanted
    ]
    _work(
        context, MethodWork.of(context), items, said, what=f"{len(levels)} methods × {len(numbers)} folds",
        before=len(levels) * len(numbers) - len(wanted), amount=None,
        sent={(k, n): (levels[k].method, n) for k, n in wanted},
    )  # fmt: skip


Listed = tuple[str, tuple[str, int], str, int]
"""Its name in the ledger, what it is, what people are told that it is, how much there is to do."""


def _work(
    context: Context, work: Work, items: Sequence[Listed], keep: Callable[[tuple[str, int], Done], str], *,
    what: str, before: int, amount: str | None, sent: dict[tuple[str, int], Any] | None = None,
) -> None:  # fmt: skip
    """Do the items where the runner does, keep each as it ends, and say what is left."""
    by_key = {name: (content, label, size) for name, content, label, size in items}
    shown, total, began = dict.fromkeys(by_key, 0), before + len(items), time.perf_counter()
    if before:
        context.console.print(f"{context.task}: {what}: {before} of {total} are there already", highlight=False)
    with context.progress(what, sum(size for *_, size in items)) as advance:

        def report(key: str, record: Any) -> bool:
            if amount is not None:
                now = min(int(record[amount]), by_key[key][2])
                advance(now - shown[key])
                shown[key] = now
            return False

        listed = [Item(name, (sent or {}).get(content, content)) for name, content, _, _ in items]
        with closing(context.runner.map(work, listed, report=report)) as ended:
            for over, done in enumerate(ended, 1):
                content, label, size = by_key[done.key]
                advance(size - shown[done.key])
                if done.value is None:
                    context.failed(STAGE, done.key, f"{label}: {done.reason}")
                    continue
                told = keep(content, done)
                left = len(items) - over
                rest = f"; {left} left, about {duration((time.perf_counter() - began) / over * left)}" if left else ""
                context.console.print(f"{context.task}: {label}: {told}{rest}", highlight=False, soft_wrap=True)
                LOG.info("%s, experiment: %s done", context.task, label)

