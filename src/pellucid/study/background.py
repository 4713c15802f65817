"""The recipe's section ``explain.background``: training cases that stand for a usual input."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from pellucid.core.background import Background
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.background import background, check_side
from pellucid.errors import InputError, UsageError, nearest

LOG = logging.getLogger("pellucid")
ALL, NEGATIVE, NOT = "all", "negative", "not "


class Usual(BaseModel):
    """How the background is drawn and thinned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=1000, ge=1, description="training cases drawn, at most one of a patient where possible")
    thin: int | None = Field(default=None, ge=1, description="cases kept, weighted; all that are drawn if left out")
    by: Literal["kmeans", "random"] = "kmeans"
    of: str = Field(default=ALL, description="all, negative (without any finding), or 'not CLASS'")

    @field_validator("of")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (ALL, NEGATIVE) and not (value.startswith(NOT) and value.removeprefix(NOT).strip()):
            raise ValueError(f"{value!r}; give all, negative, or 'not CLASS' for the cases that do not have a class")
        return value


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, dict | Usual) else "number"


Asked = Annotated[
    Annotated[Annotated[int, Field(ge=0)], Tag("number")] | Annotated[Usual, Tag("mapping")], Discriminator(_kind)
]
"""A number of training cases, or how they are drawn and thinned."""


def drawn(
    asked: int | Usual, cases: Sequence[Case], held_out: Sequence[Case], predictor: Predictor, *, seed: int, task: str
) -> Sequence[Case]:
    """The background of a task.

    Args:
        asked: by the recipe.
        cases: of the training side.
        held_out: those of the validation and test side, whose patients must not be among them.
        predictor: knows the classes.
        seed: of the run.
        task: its name, for messages.

    Raises:
        UsageError: an unknown class, a task without classes.
        InputError: no training case, none that is asked for, or one of a patient on another side of the split.
    """
    if isinstance(asked, int):
        if not asked or not cases:
            return []
        picks = np.random.default_rng(seed).permutation(len(cases))[:asked]
        found = Background([cases[i] for i in sorted(picks)], None, {"asked": asked, "size": len(picks), "seed": seed})
    else:
        if not cases:
            raise InputError(
                f"task {task}: 'explain.background' takes training cases, and there are none; give a split file "
                "(data.split) that has a training side, or leave the background out"
            )
        wanted = [c for c in cases if _is(asked.of, c, predictor, task)]
        if not wanted:
            where = "explain.background.of"
            raise InputError(f"task {task}: none of {len(cases)} training cases is {asked.of!r} ({where})")
        found = background(wanted, size=asked.size, thin=asked.thin, by=asked.by, seed=seed)
        found = Background(found.cases, found.weights, {**found.how, "of": asked.of})
        if found.how["size"] < asked.size:
            LOG.info("%s, explain: a background of %d cases was asked for, there are %d", task, asked.size,
                     found.how["size"])  # fmt: skip
    check_side(found, {c.group for c in held_out if c.group is not None})
    return found


def _is(of: str, case: Case, predictor: Predictor, task: str) -> bool:
    """Whether the case is one that is asked for; never, where that is not known."""
    if of == ALL:
        return True
    if predictor.task != "classification":
        raise UsageError(f"task {task}: 'explain.background.of: {of}' is for a classification; leave 'of' out")
    truth = None if case.truth is None or isinstance(case.truth, str) else torch.as_tensor(case.truth).reshape(-1)
    labels = predictor.activation == "sigmoid" and isinstance(case.truth, torch.Tensor)
    if of == NEGATIVE:
        return truth is not None and not bool(truth.any())
    name = of.removeprefix(NOT).strip()
    if name not in predictor.classes:
        raise UsageError(f"task {task}: 'explain.background.of': unknown class {name!r}; "
                         f"{nearest(name, predictor.classes)}")  # fmt: skip
    k = list(predictor.classes).index(name)
    if truth is None:
        return False
    if labels:
        return not bool(truth[k])
    return int(truth[0]) != k if len(predictor.classes) > 1 else not bool(truth[0])
