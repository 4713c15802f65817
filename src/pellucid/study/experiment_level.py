"""A level of a factor as numbers: by fold, by case, and all folds' predictions together, drawn anew by patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.statistics import Array, draws_of, interval
from pellucid.study.crossval_pool import scored_folds
from pellucid.study.experiment_loss import case_losses, loss_name
from pellucid.study.recipe import Work
from pellucid.train.draws import patient_draws
from pellucid.train.scores import Scored

N_BOOT = 1000


@dataclass(eq=False)
class TrainedArm:
    """One arm, with the folds that are done.

    Attributes:
        work: the task.
        metrics: of each fold's validation cases, a row per metric (the one to quote), with the mean loss.
        predictions: out of fold.
        facts: of each fold.
        cases: that were cross-validated.
        seed: of the draws.
    """

    work: Work
    metrics: pd.DataFrame
    predictions: pd.DataFrame
    facts: dict[int, dict[str, Any]]
    cases: Sequence[Case]
    seed: int
    drawn: dict[tuple[int, ...], dict[str, Array]] = field(default_factory=dict)

    @cached_property
    def predictor(self) -> Predictor:
        """What the outputs are of: it hands on what it is given."""
        m = self.work.model
        names = m.inputs[:1] or ["output"]
        return Predictor(nn.Identity(), inputs=names, task=m.task, classes=m.classes, activation=m.activation)

    @cached_property
    def values(self) -> dict[tuple[int, str], float]:
        """Each metric by fold."""
        m = self.metrics
        return {(int(n), str(k)): float(v) for n, k, v in zip(m["fold"], m["metric"], m["value"])}

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Of each case."""
        return case_losses(self.predictor, self.predictions)

    def pooled(self, metrics: Sequence[str], folds: Sequence[int]) -> dict[str, Array]:
        """Each metric of these folds' predictions together, then its bootstrap draws over patients: ``(1 + draws,)``.

        The draws of two arms of the same cases are the same patients, so that differences are paired.
        """
        chosen = tuple(folds)
        if chosen not in self.drawn:
            self.drawn[chosen] = self._pool(metrics, chosen)
        return self.drawn[chosen]

    def _pool(self, metrics: Sequence[str], folds: tuple[int, ...]) -> dict[str, Array]:
        table = self.predictions[self.predictions["fold"].isin(folds)]
        scored, groups = scored_folds(self.work, table, self.cases, self.seed)
        scored = Scored(tuple(c for c in scored.columns if c.metric in metrics), scored.macro)
        weights = patient_draws(groups, len(groups), n_boot=N_BOOT, seed=self.seed).weights
        found: dict[str, Array] = {}
        for result in scored.all(np.concatenate([np.ones((1, len(groups))), weights])):
            found.setdefault(result.metric, result.values)  # the first row of a metric is the one to quote
        name = loss_name(self.work)
        if name not in found:
            own = self.losses[self.losses["fold"].isin(folds)]
            weights = patient_draws(own["group"].tolist(), len(own), n_boot=N_BOOT, seed=self.seed).weights
            weights = np.concatenate([np.ones((1, len(own))), weights])
            found[name] = weights @ own["loss"].to_numpy(float) / weights.sum(1)
        return found


@dataclass(eq=False)
class Trainings:
    """A level of a factor of the training: one arm, or in a full factorial the mean over all arms that have it.

    Attributes:
        name: the level's.
        arms: those that are there at all.
        asked: how many there should be.
        numbers: of the folds that were dealt.
    """

    name: str
    arms: list[TrainedArm]
    asked: int
    numbers: list[int]
    control: bool = False

    @cached_property
    def folds(self) -> list[int]:
        """Those that are done in every arm."""
        if len(self.arms) < self.asked:
            return []
        return [n for n in self.numbers if all(n in a.facts for a in self.arms)]

    def by_fold(self, metric: str) -> list[float]:
        """The metric in each fold; NaN where it is not done or not defined."""
        found = []
        for n in self.numbers:
            values = [a.values.get((n, metric), math.nan) for a in self.arms]
            found.append(float(np.mean(values)) if n in self.folds else math.nan)
        return found

    def reasons(self, metric: str) -> dict[int, tuple[str, int, str]]:
        """Class, number of cases and why a value is missing, of each fold of the first arm."""
        if not self.arms:
            return {}
        rows = self.arms[0].metrics[self.arms[0].metrics["metric"] == metric].to_dict("records")
        return {int(r["fold"]): (str(r["class"]), int(r["n"]), str(r["reason"])) for r in rows}

    def pooled(self, metrics: Sequence[str], metric: str, folds: Sequence[int]) -> Array | None:
        """The metric of these folds together and its draws; the mean over the arms of a full factorial."""
        if not folds:
            return None
        each = [a.pooled(metrics, folds).get(metric) for a in self.arms]
        return None if any(e is None for e in each) else np.mean([e for e in each if e is not None], axis=0)

    def per_case(self, _metric: str, folds: Sequence[int]) -> pd.DataFrame:
        """``group`` and ``value`` by case of these folds: its loss, whatever the metric."""
        own = [a.losses[a.losses["fold"].isin(folds)] for a in self.arms]
        return _per_case(pd.concat(own), "loss") if own else _per_case(None, "")

    @property
    def cost(self) -> dict[str, float]:
        """Parameters, and seconds of a fold's training: the mean over arms and folds."""
        facts = [f for a in self.arms for f in a.facts.values()]
        return {
            key: float(np.mean([f[key] for f in facts])) if facts else math.nan for key in ("parameters", "seconds")
        }


@dataclass(eq=False)
class Explanations:
    """A level that is a method: its scores on the folds that are done.

    Attributes:
        name: the level's.
        scores: ``fold``, ``case``, ``group``, ``metric``, ``value``, a row per target.
        numbers: of the folds that were dealt.
        seconds: of a map, the mean.
        control: whether the method knows nothing of the model.
    """

    name: str
    scores: pd.DataFrame
    numbers: list[int]
    seconds: float
    seed: int
    control: bool = False

    @cached_property
    def folds(self) -> list[int]:
        """Those that are done."""
        there = set(self.scores["fold"]) if len(self.scores) else set()
        return [n for n in self.numbers if n in there]

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Each case's mean over its targets."""
        keys = ["metric", "fold", "case", "group"]
        if not len(self.scores):
            return pd.DataFrame(columns=[*keys, "value"])
        return self.scores.groupby(keys, sort=False)["value"].mean().reset_index()

    def by_fold(self, metric: str) -> list[float]:
        """The mean over the cases of each fold that have a value."""
        own = self.cases[self.cases["metric"] == metric].groupby("fold")["value"].mean()
        return [float(own.get(n, math.nan)) for n in self.numbers]

    def reasons(self, metric: str) -> dict[int, tuple[str, int, str]]:
        """How many cases have a value, and why not, in each fold."""
        own = self.scores[self.scores["metric"] == metric] if len(self.scores) else self.scores
        found = {}
        for n in self.folds:
            rows = own[own["fold"] == n]
            known = rows[np.isfinite(rows["value"].astype(float))]
            why = [str(r) for r in rows["reason"].unique() if r]
            found[n] = ("all", int(known["case"].nunique()), "" if len(known) else "; ".join(why))
        return found

    def per_case(self, metric: str, folds: Sequence[int]) -> pd.DataFrame:
        """``group`` and ``value`` by case of these folds, the mean over them where several explain the same case."""
        own = self.cases[(self.cases["metric"] == metric) & self.cases["fold"].isin(folds)]
        return _per_case(own, "value") if len(own) else _per_case(None, "")

    @property
    def cost(self) -> dict[str, float]:
        """Seconds of a map."""
        return {"parameters": math.nan, "seconds": self.seconds}


def mean_over_cases(per_case: pd.DataFrame, seed: int) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval over patients."""
    values = per_case["value"].to_numpy(float)
    groups = np.unique(per_case["group"].to_numpy(str), return_inverse=True)[1]
    if not np.isfinite(values).any():
        return math.nan, math.nan, math.nan
    low, high, _ = interval(values, groups, draws_of(int(groups.max()) + 1, N_BOOT, seed))
    return float(np.nanmean(values)), low, high


def _per_case(table: pd.DataFrame | None, column: str) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame({"group": pd.Series(dtype=str), "value": pd.Series(dtype=float)})
    return table.groupby("case").agg(group=("group", "first"), value=(column, "mean"))
