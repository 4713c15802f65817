"""One fold of one arm of an experiment: trained and measured, or explained, wherever the runner says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.api import evidence_of, explain_iter
from pellucid.core.case import Case
from pellucid.data import Folds, Split, folds
from pellucid.errors import ModelError, UsageError
from pellucid.evaluate.run import as_metric, score_table
from pellucid.explain.make import as_explainer
from pellucid.nets import load_predictor
from pellucid.study.context import Context
from pellucid.study.crossval_fold import Fold, development, fold_training, measured
from pellucid.study.elsewhere import TaskWork
from pellucid.study.experiment_arms import Matrix, matrix_of
from pellucid.study.recipe import Recipe
from pellucid.study.runners.base import Do, Tell
from pellucid.study.segment import segmented
from pellucid.study.stages.explain import background, batches
from pellucid.study.stages.targets import asked
from pellucid.study.stages.train import save_trained

Arm = tuple[str, int]
"""Key of an arm, number of a fold."""


@dataclass(frozen=True)
class Judged:
    """A method on one fold.

    Attributes:
        scores: rows of ``score_table``, of some of the validation cases.
        seconds: of the maps alone, without what judged them.
        cases: that were explained.
    """

    scores: pd.DataFrame
    seconds: float
    cases: int


def matrix_of_recipe(recipe: Recipe) -> Matrix:
    """What a recipe's experiment compares.

    Raises:
        UsageError: the recipe has no experiment.
    """
    if recipe.experiment is None:
        raise UsageError("the recipe has no 'experiment' section, which says what is compared; add one")
    return matrix_of(recipe.tasks[0], recipe.experiment)


def folder_of(context: Context) -> Path:
    """Where an experiment keeps its folds, results and models."""
    return context.run.folder / "experiment"


def folds_file(context: Context) -> Path:
    """The folds, which all arms obey."""
    return folder_of(context) / "folds.json"


def model_folder(context: Context, key: str, number: int) -> Path:
    """Where the model of an arm and fold lies, if it is kept."""
    return folder_of(context) / "models" / key / f"fold-{number:03d}"


def load_folds(context: Context) -> Folds:
    """The folds that were dealt, checked against the cases."""
    return Folds.load(folds_file(context), development(context), test=context.part("test"))


@contextmanager
def _on_its_own() -> Iterator[None]:
    """What one level cannot do (freeze a part that its network lacks, explain this network) fails that level alone.

    A runner would end everything at a UsageError, since elsewhere it is about the whole work.
    """
    try:
        yield
    except UsageError as error:
        raise ModelError(str(error)) from error


class ArmWork(TaskWork):
    """Trains arms on folds."""

    def open(self) -> Do:
        """With the cases of this process, or with a copy of them."""
        context = self.context()
        dealt, matrix = load_folds(context), matrix_of_recipe(context.recipe)

        def do(arm: Arm, tell: Tell) -> Fold:
            with _on_its_own():
                return train_arm(context, matrix, dealt, arm, tell)

        return do


def train_arm(context: Context, matrix: Matrix, dealt: Folds, arm: Arm, tell: Tell) -> Fold:
    """Train an arm on a fold, going on from its state if there is one; its model is kept where it is explained."""
    key, number = arm
    own = replace(context, work=matrix.arms[key])
    train, val = dealt[number - 1]
    out = state_of(context, arm)
    trained = fold_training(own, train, val, tell, out=out)
    fold = measured(own, trained, train, val, number)
    weights = sum(p.numel() for p in trained.predictor.module.parameters())
    if matrix.methods and key == matrix.base:
        save_trained(own, trained, model_folder(context, key, number))
    return replace(fold, facts=fold.facts | {"parameters": weights})


def state_of(context: Context, arm: Arm) -> Path:
    """Where the state of a training that is not done lies."""
    key, number = arm
    return context.run.folder / "parts" / "training" / f"{context.task}-experiment" / key / f"fold-{number:03d}"


def forget_state(context: Context, arm: Arm) -> None:
    """Remove it: weights and optimiser, large, and of no use once the fold is done."""
    shutil.rmtree(state_of(context, arm), ignore_errors=True)


class MethodWork(TaskWork):
    """Explains validation cases of folds with the models of the base, and judges the maps."""

    def open(self) -> Do:
        """With the cases of this process, or with a copy of them."""
        context = self.context()
        dealt, matrix = load_folds(context), matrix_of_recipe(context.recipe)

        def do(content: tuple[Any, int], tell: Tell) -> Judged:
            method, number = content
            with _on_its_own():
                return judge(context, matrix.base, dealt, method, number, tell)

        return do


def judge(context: Context, base: str, dealt: Folds, method: Any, number: int, tell: Tell) -> Judged:
    """Explain up to ``explain.most`` validation cases of a fold by a method; its background is of the training cases.

    Raises:
        InputError: no case of the fold is left to explain.
    """
    own = of_fold(context, base, dealt, number)
    work, usual = own.work, background(own)
    explainer, metrics = as_explainer(method), [as_metric(m) for m in work.evaluate.metrics]
    limits = work.evaluate.limits()
    rows: list[dict[str, Any]] = []
    seconds, cases = 0.0, 0
    for some in batches(own):
        batch, _ = segmented(own, some)
        outputs = own.engine.outputs(batch)
        for targets, places in asked(own.predictor, own.explain.targets, batch, outputs):
            chosen = [batch[i] for i in places]
            made = list(
                explain_iter(
                    own.engine, chosen, [explainer], targets, seed=own.recipe.seed, background=usual, thresholds=limits
                )
            )
            for case in chosen:
                maps = [a for a in made if a.case_id == case.id]
                seconds += sum(a.cost.seconds for a in maps)
                rows += _scored(own, case, maps, metrics, usual)
        cases += len(batch)
        tell({"cases": cases})
    return Judged(pd.DataFrame(rows).assign(fold=number), seconds, cases)


def of_fold(context: Context, base: str, dealt: Folds, number: int) -> Context:
    """The task as if the fold were its split, with the model of that fold.

    Its validation cases are explained, or those of a further source, on which no model is trained.
    """
    train, val = dealt[number - 1]
    cases = context.explain.cases if context.explain.cases in context.work.also else "val"
    explain = context.explain.model_copy(update={"cases": cases})
    own = replace(
        context, work=context.work.model_copy(update={"explain": explain}), split=Split(train, val, []), segmenters={}
    )
    own.__dict__["predictor"] = load_predictor(model_folder(context, base, number))
    return own


def _scored(
    own: Context, case: Case, maps: Sequence[Any], metrics: Sequence[Any], usual: Sequence[Case]
) -> list[dict[str, Any]]:
    if not maps:  # no class was above its threshold
        return []
    asked_for = own.work.evaluate
    evidence = evidence_of(
        own.engine, case, maps, background=usual, region=asked_for.region or "lesion", steps=asked_for.steps,
        fill=asked_for.fill, thresholds=asked_for.limits(), seed=own.recipe.seed,
    )  # fmt: skip
    return score_table(evidence, metrics)[0]


def deal(context: Context, k: int, seed: int) -> Folds:
    """The folds that the folder has, or new ones over all cases but the test side, whole patients.

    Raises:
        InputError: fewer patients than folds, or a file of folds that leaks or is of other cases.
        UsageError: the folder's folds are of another number or seed.
    """
    if folds_file(context).is_file():
        there = load_folds(context)
        if (len(there), there.seed) != (k, seed):
            raise UsageError(
                f"{context.run.folder} holds an experiment over {len(there)} folds (seed {there.seed}), the recipe "
                f"asks for {k} (seed {seed}); use another --out"
            )
        return there
    dealt = folds(development(context), k, seed, test=context.part("test"))
    for note in dealt.notes:
        context.console.print(f"[yellow]{context.task}, folds:[/] {note}", highlight=False)
    dealt.save(folds_file(context))
    return dealt
