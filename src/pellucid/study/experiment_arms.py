"""What an experiment compares: a recipe's ``experiment`` section, checked against the task that it varies."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.core.registry import named
from pellucid.errors import UsageError, nearest
from pellucid.study.search_objective import DIRECTIONS, Direction

if TYPE_CHECKING:
    from pellucid.study.recipe import Work

MOST_ARMS = 1000
SECTIONS = ("model", "train", "explain")
FIXED = ("model.task", "model.classes", "model.load", "model.output", "model.inputs", "train.devices")
METRICS: dict[str, dict[str, Direction]] = DIRECTIONS | {
    "classification": DIRECTIONS["classification"] | {
        "precision": "maximize", "sensitivity": "maximize", "specificity": "maximize",
    },
}  # fmt: skip
USUAL = {"classification": ["auroc", "auprc", "f1"], "regression": ["mae", "r2"], "segmentation": ["dice", "iou"]}
METHODS = "methods"

Settings = dict[str, Any]


class Experiment(BaseModel):
    """Which factors of a training and of its explanation are compared, over which folds, by which metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: int = Field(default=5, ge=2)
    seed: int | None = Field(default=None, description="that deals the folds; the recipe's by default")
    metrics: list[str] = Field(default_factory=list, description="of the models; the first one decides")
    factors: dict[str, Literal["methods"] | dict[str, Settings]] = Field(
        min_length=1, description="factor to level to settings, by dotted keys"
    )
    full: bool = Field(default=False, description="all combinations of the levels, not one factor at a time")
    baseline: dict[str, str] = Field(default_factory=dict, description="what each level is tested against")
    compare: Literal["baseline", "all"] = Field(default="baseline", description="'all' tests all pairs of levels")


@dataclass(frozen=True)
class Matrix:
    """What is trained and explained.

    Attributes:
        base: key of the arm that is the recipe as it stands.
        arms: key to task; two arms of the same training settings are one. The base is among them where it is needed.
        levels: factor to level to the keys of the arms that have it.
        methods: factor to level to the method that is explained with, on the models of the base.
        baseline: factor to level.
        metrics: of the models, the first one decides.
    """

    base: str
    arms: dict[str, Work] = field(repr=False)
    levels: dict[str, dict[str, tuple[str, ...]]]
    methods: dict[str, dict[str, Any]]
    baseline: dict[str, str]
    metrics: list[str]

    @property
    def factors(self) -> list[str]:
        """Their names."""
        return [*self.levels, *self.methods]

    def names(self, key: str) -> str:
        """An arm as people call it: the levels that it stands for."""
        alone = [f"{f} {name}" for f, levels in self.levels.items() for name, keys in levels.items() if key in keys]
        return ", ".join(alone) if alone else "as the recipe stands"


def matrix_of(work: Work, asked: Experiment) -> Matrix:
    """The arms of an experiment.

    One factor at a time, the arm of a level is the task with the settings of this level alone. In full, the arms are
    all combinations, and a level stands for all arms that have it.

    Raises:
        UsageError: a setting that the task refuses or that would change what is compared, one level, two levels that
            are the same, an unknown baseline or metric.
    """
    levels: dict[str, dict[str, Settings]] = {}
    methods: dict[str, dict[str, Any]] = {}
    for factor, given in asked.factors.items():
        named_levels = _shorthand(work, factor) if isinstance(given, str) else given
        if len(named_levels) < 2:
            raise UsageError(f"experiment: the factor {factor!r} has {len(named_levels)} level; give at least 2")
        explains = [_explains(factor, name, settings) for name, settings in named_levels.items()]
        if any(explains) and not all(explains):
            raise UsageError(
                f"experiment: the factor {factor!r} varies 'explain.methods' in some levels and the training in "
                "others; make two factors of them"
            )
        if all(explains):
            methods[factor] = {name: _method(work, factor, name, s) for name, s in named_levels.items()}
        else:
            levels[factor] = named_levels
    base = key_of(work)
    arms: dict[str, Work] = {} if levels and not methods else {base: work}
    found = _full(work, levels, arms) if asked.full else _one_at_a_time(work, levels, arms)
    for factor, known in found.items():
        _apart(factor, known)
    for factor, same in methods.items():
        _apart(factor, {name: json.dumps(m, sort_keys=True, default=str) for name, m in same.items()})
    return Matrix(base, arms, found, methods, _baselines(asked, found, methods), _metrics(work, asked))


def key_of(work: Work) -> str:
    """12 hex digits of what a training goes by: the sections ``model`` and ``train``."""
    assert work.train is not None
    content = {
        "model": work.model.model_dump(mode="json"), "train": work.train.model_dump(mode="json", exclude={"strata"}),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def varied(work: Work, settings: Mapping[str, Any], *, what: str) -> Work:
    """The task with these settings in place of its own, by dotted keys such as ``train.augment``.

    Raises:
        UsageError: a key that is not there (with the nearest one), or a value that the task refuses.
    """
    from pellucid.study.recipe import sentence

    content = work.model_dump()
    for key, value in settings.items():
        _check_key(key, what)
        section: Any = content
        *way, last = key.split(".")
        for place, step in enumerate(way):
            if section.get(step) is None:
                section[step] = {}
            section = section[step]
            if not isinstance(section, dict):
                above = ".".join(way[: place + 1])
                raise UsageError(f"{what}: {key!r}: {above!r} holds no keys of its own; give it as a whole")
        section[last] = value
    try:
        return type(work).model_validate(content)
    except ValidationError as error:
        said = "; ".join(sentence(e) for e in error.errors())
        raise UsageError(f"{what}: {said}") from error


def _check_key(key: str, what: str) -> None:
    first = key.partition(".")[0]
    if first not in SECTIONS or "." not in key:
        raise UsageError(
            f"{what}: {key!r} is no setting that can be varied: cases and folds are the same for all, a key is such as "
            f"'train.augment', 'model.network' or 'explain.methods'; {nearest(first, SECTIONS)}"
        )
    if key in FIXED:
        raise UsageError(f"{what}: {key!r} has to be the same for all that is compared; leave it to the task")


def _explains(factor: str, level: str, settings: Settings) -> bool:
    """Whether a level is a method of explanation."""
    what = f"experiment, {factor} {level!r}"
    for key in settings:
        _check_key(key, what)
        if key.startswith("explain.") and key != "explain.methods":
            near = nearest(key, ["explain.methods"])
            raise UsageError(f"{what}: {key!r} is the same for all methods that are compared; {near}")
    return any(key == "explain.methods" for key in settings)


def _method(work: Work, factor: str, level: str, settings: Settings) -> Any:
    what = f"experiment, {factor} {level!r}"
    if len(settings) > 1:
        raise UsageError(f"{what}: methods are compared on the same models; leave all but 'explain.methods' out")
    given = varied(_explaining(work, what), settings, what=what).explain
    assert given is not None
    if len(given.methods) != 1:
        raise UsageError(f"{what}: {len(given.methods)} methods; give one, and each other one a level of its own")
    return given.methods[0]


def _shorthand(work: Work, factor: str) -> dict[str, Settings]:
    """Each method of the task as a level."""
    given = _explaining(work, f"experiment, {factor!r}").explain
    assert given is not None
    return {named(m, "method", "a method")[0]: {"explain.methods": [m]} for m in given.methods}


def _explaining(work: Work, what: str) -> Work:
    if work.explain is None:
        raise UsageError(f"{what}: the task has no 'explain' section, which says of which cases and targets; add one")
    if not work.evaluate.metrics:
        raise UsageError(f"{what}: methods are compared by 'evaluate.metrics', and the task has none; add some")
    return work


def _one_at_a_time(
    work: Work, levels: Mapping[str, Mapping[str, Settings]], arms: dict[str, Work]
) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for factor, known in levels.items():
        found[factor] = {}
        for name, settings in known.items():
            arm = varied(work, settings, what=f"experiment, {factor} {name!r}")
            found[factor][name] = (_added(arms, arm),)
    return found


def _full(
    work: Work, levels: Mapping[str, Mapping[str, Settings]], arms: dict[str, Work]
) -> dict[str, dict[str, tuple[str, ...]]]:
    n = 1
    for known in levels.values():
        n *= len(known)
    if n > MOST_ARMS:
        raise UsageError(f"experiment: all combinations are {n} trainings a fold; leave levels out, or full: false")
    found: dict[str, dict[str, tuple[str, ...]]] = {f: dict.fromkeys(known, ()) for f, known in levels.items()}
    for names in itertools.product(*levels.values()) if levels else ():
        arm = work
        for factor, name in zip(levels, names):
            arm = varied(arm, levels[factor][name], what=f"experiment, {factor} {name!r}")
        key = _added(arms, arm)
        for factor, name in zip(levels, names):
            found[factor][name] += (key,)
    return found


def _added(arms: dict[str, Work], arm: Work) -> str:
    key = key_of(arm)
    arms.setdefault(key, arm)
    return key


def _apart(factor: str, known: Mapping[str, Any]) -> None:
    """Refuse two levels that would come out the same."""
    first: dict[Any, str] = {}
    for name, what in known.items():
        if what in first:
            raise UsageError(
                f"experiment: the levels {first[what]!r} and {name!r} of {factor!r} are the same settings; leave one "
                "out"
            )
        first[what] = name


def _baselines(
    asked: Experiment, levels: Mapping[str, Mapping[str, Any]], methods: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    known = {**levels, **methods}
    for factor, name in asked.baseline.items():
        if factor not in known:
            raise UsageError(f"experiment, baseline: no factor {factor!r}; {nearest(factor, list(known))}")
        if name not in known[factor]:
            near = nearest(name, list(known[factor]))
            raise UsageError(f"experiment, baseline: {factor!r} has no level {name!r}; {near}")
    return {factor: asked.baseline.get(factor, next(iter(of))) for factor, of in known.items()}


def _metrics(work: Work, asked: Experiment) -> list[str]:
    known = METRICS[work.model.task]
    for name in asked.metrics:
        if name not in known:
            raise UsageError(
                f"experiment, metrics: no metric {name!r} of a {work.model.task}; {nearest(name, list(known))}"
            )
        if asked.metrics.count(name) > 1:
            raise UsageError(f"experiment, metrics: {name!r} stands there twice")
    return asked.metrics or USUAL[work.model.task]
