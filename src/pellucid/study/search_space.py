"""The settings that a search tries: a recipe's ``search`` section, checked against the task that it belongs to."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from pellucid.errors import UsageError, nearest

if TYPE_CHECKING:
    import optuna

    from pellucid.study.recipe import Work

GRID_OF_SEGX: dict[str, Any] = {"lr": [1e-5, 1e-4, 1e-3], "batch_size": [16, 32, 64]}
MOST_POINTS = 10_000
OF_THE_LOSS = (("train", "loss"), ("train", "balance"))  # settings that make val_loss another number
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+$")  # YAML reads 1e-5 as a text


class Range(BaseModel):
    """From ``low`` to ``high``, both included; whole numbers where both are written so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    log: bool = Field(default=False, description="equal factors are equally likely")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and not self.low > 0:
            raise ValueError(f"low {self.low}: a logarithmic range begins above 0")
        return self


def _kind(given: Any) -> str:
    return "range" if isinstance(given, dict | Range) else "list"


Given: TypeAlias = Annotated[
    Annotated[list[Any], Tag("list")] | Annotated[Range, Tag("range")], Discriminator(_kind)
]  # fmt: skip


class Search(BaseModel):
    """Which training settings are tried, how, and what decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampler: Literal["grid", "tpe"] = "grid"
    objective: str = "val_loss"
    space: dict[str, Given] = Field(default_factory=lambda: dict(GRID_OF_SEGX), min_length=1)
    trials: int | None = Field(default=None, ge=1, description="the whole grid, or 20")
    prune: Literal["median", "none"] = "none"
    epochs: int | None = Field(default=None, ge=1, description="of a trial; those of 'train' by default")


@dataclass(frozen=True)
class Choices:
    """The values of one setting. Optuna keeps texts and numbers; a list or a mapping is kept as its JSON."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> list[Any]:
        """What Optuna is told."""
        return [v if v is None or isinstance(v, str | int | float | bool) else json.dumps(v) for v in self.values]

    def value(self, label: Any) -> Any:
        """The value of a label."""
        return self.values[self.labels.index(label)]


Space: TypeAlias = dict[str, Choices | Range]


def space_of(work: Work) -> Space:
    """The checked space of a task: values as its ``train`` and ``model`` sections read them.

    Raises:
        UsageError: a key or a value that these sections refuse, or a range in a grid.
    """
    assert work.search is not None
    found: Space = {}
    for key, given in work.search.space.items():
        path = _path(work, key)
        if path == ("train", "epochs") and work.search.epochs is not None:
            raise UsageError("search: 'epochs' is in the space, and is set for all trials; give one of the two")
        if isinstance(given, Range):
            if work.search.sampler == "grid":
                raise UsageError(
                    f"search: a grid needs lists, and {key!r} is a range; give a list of values, or sampler: tpe"
                )
            low, high = (_read(applied(work, {key: v}), path) for v in (given.low, given.high))
            found[key] = Range(low=low, high=high, log=given.log)
            continue
        values = tuple(_read(applied(work, {key: _number(v)}), path) for v in given)
        labels = Choices(values).labels
        if not labels or len(set(map(repr, labels))) != len(labels):
            raise UsageError(f"search: {key!r} has {given}; give at least one value, and each once")
        found[key] = Choices(values)
        if path in OF_THE_LOSS and len(values) > 1:
            _check_comparable(work.search, key)
    if work.search.sampler == "grid":
        for point in points(found):  # settings may be right one by one and wrong together
            applied(work, point)
    return found


def _check_comparable(search: Search, key: str) -> None:
    """Refuse to compare trials by losses that are not the same loss: the focal one, say, is always the smaller."""
    known = "val_metric, or another measure"
    if search.objective == "val_loss":
        raise UsageError(f"search: trials of another {key!r} have another val_loss; set objective to {known}")
    if search.prune != "none" and search.objective != "val_metric":
        raise UsageError(
            f"search: pruning by {search.objective} compares the val_loss of each epoch, which is another one for each "
            f"{key!r}; set objective: val_metric, or prune: none"
        )


def points(space: Space) -> list[dict[str, Any]]:
    """All points of a grid, the last key fastest.

    Raises:
        UsageError: there are too many.
    """
    lists = [s.values for s in space.values() if isinstance(s, Choices)]
    n = 1
    for values in lists:
        n *= len(values)
    if n > MOST_POINTS:
        raise UsageError(f"search: the grid has {n} points; leave values out, or take sampler: tpe")
    return [dict(zip(space, values)) for values in itertools.product(*lists)]


def applied(work: Work, params: Mapping[str, Any]) -> Work:
    """The task with these settings in place of its own; without its ``search`` section.

    Raises:
        UsageError: a setting that the task refuses.
    """
    content = work.model_dump()
    content["search"] = None
    for key, value in params.items():
        section: Any = content
        *way, last = _path(work, key)
        for step in way:
            section = section[step]
        section[last] = value
    try:
        return type(work).model_validate(content)
    except ValidationError as error:
        said = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
        shown = ", ".join(f"{k} = {v!r}" for k, v in params.items())
        raise UsageError(f"search: {shown} is refused: {said}") from error


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """The settings of a trial: drawn now, or those that it has already."""
    params: dict[str, Any] = {}
    for key, which in space.items():
        if isinstance(which, Choices):
            params[key] = which.value(trial.suggest_categorical(key, which.labels))
        elif isinstance(which.low, int) and isinstance(which.high, int):
            params[key] = trial.suggest_int(key, which.low, which.high, log=which.log)
        else:
            params[key] = trial.suggest_float(key, which.low, which.high, log=which.log)
    return params


def _path(work: Work, key: str) -> tuple[str, ...]:
    """Where a key stands in a task: ``lr`` and ``train.lr`` are one, ``model.options.NAME`` is the network's."""
    if key.startswith("model.options.") and len(key) > len("model.options."):
        return ("model", "options", key.removeprefix("model.options."))
    if key == "model.network":
        return ("model", "network")
    assert work.train is not None
    plain = [name for name in type(work.train).model_fields if name != "strata"]
    name = key.removeprefix("train.")
    if name not in plain:
        known = [*plain, "model.network", "model.options.NAME"]
        raise UsageError(f"search: no setting {key!r}; {nearest(key, known)}")
    return ("train", name)


def _read(work: Work, path: tuple[str, ...]) -> Any:
    value: Any = work
    for step in path:
        value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and NUMBER.match(value) else value
