"""A recipe: what to do, as a YAML file that is checked before anything runs."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pellucid.core.verdict import Thresholds
from pellucid.core.windows import Windows, as_windows
from pellucid.errors import UsageError, nearest
from pellucid.study.background import Asked, Usual
from pellucid.study.experiment_arms import Experiment, matrix_of
from pellucid.study.search_objective import direction
from pellucid.study.search_space import Range, Search, space_of
from pellucid.train.balance import as_balance
from pellucid.train.checks import check_patch
from pellucid.train.losses import check_loss
from pellucid.train.normalise import Normalise
from pellucid.train.patches import Patches
from pellucid.train.plan import Plan
from pellucid.train.unfreeze import check_unfreeze
from pellucid.types import Activation, Precision, Task

STAGES = ("data", "eda", "train", "explain", "refine", "evaluate", "aggregate", "analyse", "report")

ABOVE = "above_threshold"
"""Among the targets of ``explain``: every class that is above its threshold."""

OF_CLASSES = ("predicted", "truth")
"""Among the regions of ``aggregate``: the label maps whose labels are the model's classes."""


class Part(BaseModel):
    """Base: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Where the cases come from, and how they are split."""

    dataset: str
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int | None = None
    zones: list[str] = Field(default_factory=list, description="zones to estimate in every picture, as regions")
    truth_region: str | None = Field(default=None, description="the region that is the truth of a segmentation")
    split: str | None = Field(
        default=None, description="a split file (.json) to obey, made if absent; or an earlier task to follow"
    )
    official: bool = Field(default=False, description="keep the published test list, deal the rest into train and val")


class Model(Part):
    """Which network, and what its inputs and outputs are called."""

    network: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    load: str | None = Field(default=None, description="a saved model folder, or module:Name / file.py:Name")
    weights: str | None = Field(default=None, description="a file, or 'imagenet' for a training to start from")
    normalise: Normalise = Field(default="data", description="whose mean and sd the inputs are given")
    inputs: list[str] = Field(default_factory=list, description="all inputs of the cases, in their order, if left out")
    task: Task
    classes: list[str] = Field(default_factory=list)
    activation: Activation | None = None
    features: dict[str, list[str]] = Field(default_factory=dict)
    output: int | str | None = None
    windows: dict[str, Any] | None = Field(default=None, description="how a large volume goes through it: roi, …")

    @field_validator("windows")
    @classmethod
    def _cut(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        as_windows(value)  # a UsageError is a ValueError: pydantic adds the place
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if (self.network is None) == (self.load is None):
            raise ValueError("give either 'network' (one of ours) or 'load' (a model of yours)")
        if self.load is not None and self.normalise != "data":
            raise ValueError("'normalise' goes with 'network'; a model that is loaded has its own")
        return self


class Train(Part):
    """How the network is trained; leave the section out for a network that is already trained."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float | None = Field(default=None, ge=0, lt=1)
    schedule: str | dict[str, dict[str, Any] | None] = "cosine"
    warmup: float = Field(default=0, ge=0, description="epochs over which the rate rises")
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=None, gt=0, description="largest norm of all gradients together")
    accumulate: int = Field(default=1, ge=1, description="batches per step of the optimiser")
    monitor: Literal["loss", "metric"] = "loss"
    patience: int | None = Field(default=None, ge=1)
    delta: float = Field(default=0, ge=0, description="the least improvement that counts for the patience")
    augment: list[str | dict[str, Any]] = Field(default_factory=list)
    balance: str | dict[str, dict[str, Any] | None] | None = None
    freeze: str | list[str] | None = Field(
        default=None, description="'backbone', or names of modules: what is not trained"
    )
    unfreeze: dict[int | str, Any] | None = Field(
        default=None, description="what is trained from which epoch on: 'every: 3', or epochs with names"
    )
    loss: str | dict[str, dict[str, Any] | None] | None = None
    patch: list[int] | None = Field(default=None, description="size of what is cut out of the cases to train on")
    patches: int = Field(default=1, ge=1, description="of each case in an epoch")
    precision: Literal["float32", "bf16", "fp16"] | None = Field(default=None, description="bf16 if the recipe's is")
    devices: int = Field(default=1, ge=1)
    strata: list[str] = Field(default_factory=list)
    calibrate: bool = Field(default=False, description="fit a classifier's temperature on the validation cases")

    @model_validator(mode="after")
    def _planned(self) -> Train:
        given = self.model_dump(include=set(Plan.__dataclass_fields__), exclude={"precision"})
        Plan(**given)  # a UsageError is a ValueError: pydantic adds the place
        as_balance(self.balance)
        if self.unfreeze is not None:
            check_unfreeze(self.unfreeze, epochs=self.epochs)
        return self


class Eda(Part):
    """What is described of the data, before anything is trained and without choosing anything."""

    parts: list[str] = Field(default_factory=list, description="train, val, test, a source in 'also'; all by default")
    most: int = Field(default=1000, ge=1, description="cases whose pictures are looked at, drawn by the seed")
    montage: int = Field(default=3, ge=0, description="pictures of each class that are shown")
    classes: list[str] = Field(default_factory=list, description="which are shown; all by default")
    meta: list[str] | None = Field(default=None, description="what is known of the patients; all columns by default")


class CrossValidation(Part):
    """The training cross-validated over the training and the validation side of the split; the test side waits."""

    folds: int = Field(default=10, ge=2)
    final: Literal["mean_epochs", "none"] = Field(default="mean_epochs", description="the model of all these cases")
    seed: int | None = Field(default=None, description="that deals the folds; the recipe's by default")


class Explain(Part):
    """Which cases, which methods, what of each."""

    cases: str = Field(default="test", description="train, val, test, or the name of a source in 'also'")
    with_region: str | None = Field(default=None, description="only cases that have this region")
    most: int | None = Field(default=None, ge=1)
    methods: list[str | dict[str, dict[str, Any] | None]] = Field(min_length=1)
    targets: list[Any] = Field(default_factory=lambda: ["predicted"])
    background: Asked = Field(default=0, description="training cases that stand for a usual input")


class LabelFile(Part):
    """A label map from a file for each case."""

    file: str = Field(description="a path in which {case} and {group} stand for the case's id and its patient's")
    names: dict[int, str] | str | None = Field(default=None, description="value to name, or a JSON file of them")
    of: str | None = Field(default=None, description="what the rows say that their regions are of")

    @field_validator("file")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            value.format(case="", group="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"{value!r}: {{case}} and {{group}} are what can be filled in") from error
        return value


class Aggregate(Part):
    """Region tables of all classes, case by case; the maps themselves are not kept."""

    cases: str | list[str] = Field(default="test", description="parts: train, val, test, a source in 'also'")
    most: int | None = Field(default=None, ge=1, description="of each part")
    methods: list[str | dict[str, dict[str, Any] | None]] = Field(
        default=["smoothgrad"], min_length=1
    )
    targets: Literal["all"] | list[Any] = "all"
    regions: list[str | LabelFile] = Field(default=["predicted"], min_length=1)
    join: dict[str, list[str]] = Field(default_factory=dict, description="regions made of others")
    names: dict[int, str] | str | None = Field(default=None, description="of the labels of the cases' label maps")
    measures: Literal["all", "signed"] = "all"
    overlap: Literal["exact", "sum"] = Field(default="exact", description="of windows; 'sum' for comparison")
    keep: list[str | int] = Field(default_factory=list, description="classes whose maps are kept")
    wide: bool = Field(default=False, description="write Agg²Exp's wide CSV as well")

    @property
    def parts(self) -> list[str]:
        """The parts that the cases come from."""
        return [self.cases] if isinstance(self.cases, str) else self.cases

    @model_validator(mode="after")
    def _fits(self) -> Aggregate:
        if self.measures == "signed" and (self.keep or self.wide):
            raise ValueError("'measures: signed' makes no maps and no mass; leave 'keep' and 'wide' out")
        return self


class Segment(Part):
    """A region that a segmentation model predicts in every case that is explained."""

    task: str | None = Field(default=None, description="an earlier task of this recipe, whose model it is")
    load: str | None = Field(default=None, description="a saved model folder")
    label: int | str | None = Field(default=None, description="its class; all but the background by default")
    inputs: dict[str, str] = Field(default_factory=dict, description="the model's input to the case's")
    size: int | None = Field(default=None, ge=1, description="pixels along a side of what the model sees")

    @model_validator(mode="after")
    def _one_source(self) -> Segment:
        if (self.task is None) == (self.load is None):
            raise ValueError("give either 'task' (an earlier one of this recipe) or 'load' (a saved model folder)")
        return self


class Evaluate(Part):
    """Which numbers judge the maps."""

    metrics: list[str | dict[str, dict[str, Any] | None]] = Field(default_factory=list)
    region: str | None = None
    steps: int = Field(default=20, ge=2)
    fill: Any = "mean"
    checks: Literal["cheap", "full"] = "full"
    thresholds: dict[str, float] = Field(default_factory=dict)
    findings: bool = Field(default=True, description="look for evidence outside the patient")

    min_positives: int = Field(default=5, ge=1, description="of a class in a part: with fewer it has no metric")
    strata: list[str] = Field(default_factory=list, description="of the cases' meta: is the model as good in all?")
    shuffled_labels: bool = Field(
        default=False, description="train the network on shuffled labels as well, for label_randomisation"
    )
    shuffled: str | None = Field(default=None, description="a saved model that was trained on shuffled labels")

    def limits(self) -> Thresholds:
        """The thresholds of the verdicts."""
        given: dict[str, Any] = {k: int(v) if k == "draws" else v for k, v in self.thresholds.items()}
        return Thresholds(**given)

    @field_validator("thresholds")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        known = list(Thresholds.__dataclass_fields__)
        for key in value:
            if key not in known:
                raise ValueError(f"no threshold {key!r}; {nearest(key, known)}")
        return value


class Work(Part):
    """One task: data, model, explanation, judgement."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    question: str = ""
    data: Data
    also: dict[str, Data] = Field(
        default_factory=dict, description="further sources; their patients are left out of training and splits"
    )
    model: Model
    eda: Eda | Literal[False] = Field(default=False, description="describe the data; may be left empty ('eda:')")
    train: Train | None = None
    search: Search | None = Field(default=None, description="which settings of 'train' are tried")
    cross_validation: CrossValidation | None = Field(default=None, description="of the training, by patient")
    segment: dict[str, Segment] = Field(default_factory=dict, description="regions that a model predicts, by name")
    explain: Explain | None = Field(default=None, description="leave it out for a model that is trained alone")
    refine: list[str | dict[str, dict[str, Any] | None]] = Field(
        default_factory=list, description="what is made of the maps, such as segx"
    )
    evaluate: Evaluate = Field(default_factory=Evaluate)
    regions: list[str] = Field(default_factory=list, description="regions of the cases over which evidence is summed")
    aggregate: Aggregate | None = Field(default=None, description="region tables of all classes, without stored maps")
    analysis: list[str | dict[str, dict[str, Any] | None]] = Field(
        default_factory=list, description="questions put to the whole cohort"
    )

    @property
    def leaves_model(self) -> bool:
        """Whether there is a model at the end: a cross-validation may be all that is wanted."""
        return self.cross_validation is None or self.cross_validation.final != "none"

    @field_validator("eda", mode="before")
    @classmethod
    def _asked_for(cls, value: Any) -> Any:
        return {} if value is None or value is True else value

    @field_validator("analysis", "refine", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value

    @model_validator(mode="after")
    def _maps_first(self) -> Work:
        if self.explain is not None and ABOVE in self.explain.targets and self.model.task != "classification":
            raise ValueError(f"the target {ABOVE!r} is for a classification, this model does {self.model.task}")
        if self.explain is None:
            asked: dict[str, Any] = {
                "refine": self.refine, "evaluate.metrics": self.evaluate.metrics, "regions": self.regions,
            }  # fmt: skip
            if self.aggregate is None:
                asked |= {"analysis": self.analysis, "segment": self.segment}
            for name, value in asked.items():
                if value:
                    raise ValueError(f"'{name}' wants maps, and there is no 'explain' section; add one")
        return self

    @model_validator(mode="after")
    def _aggregated(self) -> Work:
        a, m = self.aggregate, self.model
        if a is None:
            return self
        if m.task != "segmentation":
            for name in OF_CLASSES:
                if name in a.regions:
                    raise ValueError(f"'aggregate.regions': {name!r} is for a segmentation, this model does {m.task}")
        for key, given in (("targets", a.targets), ("keep", a.keep)):
            for k in given if isinstance(given, list) else ():
                if isinstance(k, str) and m.classes and k not in (*m.classes, "predicted") and not k.isdigit():
                    raise ValueError(f"'aggregate.{key}': unknown class {k!r}; {nearest(k, m.classes)}")
        if not self.leaves_model:
            raise ValueError("'aggregate' wants a model, and 'cross_validation.final: none' leaves none; take one out")
        return self

    @model_validator(mode="after")
    def _start(self) -> Work:
        if self.model.weights == "imagenet" and self.train is None:
            raise ValueError("'model.weights: imagenet' is where a training starts, and there is no 'train' section")
        return self

    @model_validator(mode="after")
    def _shuffled(self) -> Work:
        if self.evaluate.shuffled_labels and self.evaluate.shuffled is not None:
            raise ValueError("give either 'evaluate.shuffled_labels' or 'evaluate.shuffled', not both")
        if self.evaluate.shuffled_labels and self.train is None:
            raise ValueError(
                "'evaluate.shuffled_labels' trains the network again, and there is no 'train' section; add one, or "
                "give a model that was trained on shuffled labels: 'evaluate: {shuffled: FOLDER}'"
            )
        return self

    @model_validator(mode="after")
    def _cut_up(self) -> Work:
        t, m = self.train, self.model
        if m.windows is not None and m.task != "segmentation":
            raise ValueError(
                f"'model.windows' are stitched to a segmentation, this model does {m.task}; resize its input"
            )
        if t is not None:
            check_patch(t.patch, t.patches, task=m.task, balance=as_balance(t.balance).name)
            if t.patch is not None:
                windows = as_windows(m.windows) or Windows(roi=tuple(t.patch))
                Patches(t.patch, number=t.patches, windows=windows)
        return self

    @model_validator(mode="after")
    def _minimised(self) -> Work:
        if self.train is not None and self.train.loss is not None:
            m = self.model
            check_loss(self.train.loss, task=m.task, activation=m.activation, classes=len(m.classes))
        return self

    @model_validator(mode="after")
    def _searched(self) -> Work:
        if self.search is not None:
            if self.train is None or self.model.network is None:
                raise ValueError("'search' tries settings of a training; it wants a 'train' section and a 'network'")
            direction(self.search.objective, self.model.task)
            space_of(self)
        return self


    @model_validator(mode="after")
    def _cross_validated(self) -> Work:
        asked, t = self.cross_validation, self.train
        if asked is None:
            return self
        if t is None or self.model.network is None:
            raise ValueError("'cross_validation' trains in every fold; it wants a 'train' section and a 'network'")
        if t.devices > 1:
            raise ValueError("'cross_validation' wants 'train.devices: 1'; several folds at a time: --jobs")
        kind = t.schedule if isinstance(t.schedule, str) else next(iter(t.schedule))
        if asked.final == "mean_epochs" and kind == "plateau":
            raise ValueError(
                "'cross_validation': the final fit has no validation cases, which 'train.schedule: plateau' goes by; "
                "take another schedule, or 'final: none'"
            )
        if self.explain is not None and asked.final == "none":
            raise ValueError("'explain' wants a model, and 'cross_validation.final: none' leaves none; take one out")
        if self.explain is not None and self.explain.cases == "val":
            raise ValueError(
                "'explain.cases: val': cross-validated, these cases train the final model as well; explain 'test'"
            )
        return self


class Recipe(Part):
    """A whole run: one or several tasks."""

    name: str
    title: str = ""
    seed: int = 0
    device: str = "auto"
    precision: Precision = "float32"
    tasks: list[Work] = Field(min_length=1)
    experiment: Experiment | None = Field(default=None, description="what 'pellucid experiment' compares")

    @model_validator(mode="after")
    def _unique(self) -> Recipe:
        names = [t.name for t in self.tasks]
        if len(set(names)) != len(names):
            raise ValueError(f"two tasks have the same name: {names}")
        for place, t in enumerate(self.tasks):
            given = t.data.split
            if given is not None and not given.endswith(".json") and given not in names[:place]:
                raise ValueError(
                    f"task {t.name!r}, data.split: {given!r} is no file name ending in .json and no earlier task; "
                    f"{nearest(given, names[:place])}"
                )
            if any(source.split is not None or source.official for source in t.also.values()):
                raise ValueError(f"task {t.name!r}: the sources in 'also' are not split; take split and official out")
            for region, how in t.segment.items():
                if how.task in names[:place] and not self.tasks[names.index(how.task)].leaves_model:
                    raise ValueError(
                        f"task {t.name!r}, segment {region!r}: {how.task!r} leaves no model "
                        "(cross_validation.final: none)"
                    )
                if how.task is not None and how.task not in names[:place]:
                    raise ValueError(
                        f"task {t.name!r}, segment {region!r}: {how.task!r} is no earlier task; "
                        f"{nearest(how.task, names[:place])}"
                    )
            if t.evaluate.shuffled_labels and f"{t.name}-shuffled" in names:
                raise ValueError(f"the task '{t.name}-shuffled' has the name of another's shuffled model; rename it")
        return self

    @model_validator(mode="after")
    def _experimented(self) -> Recipe:
        if self.experiment is None:
            return self
        if len(self.tasks) > 1:
            raise ValueError(f"'experiment' varies one task, and there are {len(self.tasks)}; make a recipe of each")
        (work,) = self.tasks
        if work.train is None or work.model.network is None:
            raise ValueError("'experiment' trains in every fold; it wants a 'train' section and a 'network'")
        if work.cross_validation is not None:
            raise ValueError("'experiment' deals folds of its own; take 'cross_validation' out")
        if work.train.devices > 1:
            raise ValueError("'experiment' wants 'train.devices: 1'; several folds at a time: --jobs")
        matrix_of(work, self.experiment)
        return self

    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the recipe's content.

        The sections ``search`` and ``experiment`` are left out: a search database remembers its own, an experiment
        keeps what is of the same settings, and a run does not go by them.
        """
        content = self.model_dump(mode="json", exclude={"tasks": {"__all__": {"search"}}, "experiment": True})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class _Loader(yaml.SafeLoader):
    """Booleans as YAML 1.2 has them: ``on`` and ``no`` are words, as in ``smote: {on: pixels}``."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own, which add_implicit_resolver copies)
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("tTfF"))


def load_recipe(source: str | Path | dict[str, Any]) -> Recipe:
    """Read and check a recipe.

    Raises:
        UsageError: no such file, not YAML, an unknown key (with the nearest one), a value out of range.
    """
    if isinstance(source, dict):
        content: Any = source
        where = "recipe"
    else:
        path = Path(source)
        where = str(path)
        if not path.is_file():
            raise UsageError(f"no recipe {path}; give the path of a YAML file")
        try:
            content = _Loader(path.read_text(encoding="utf-8")).get_single_data()
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{where}: a recipe is a mapping of keys, not {type(content).__name__}")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{where}: " + "; ".join(sentence(e) for e in error.errors())) from error


def sentence(error: Any) -> str:
    """What pydantic found, in words, with the nearest key that there is."""
    place = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {nearest(str(error['loc'][-1]), _keys(error['loc'][:-1]))}"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def _keys(place: tuple[Any, ...]) -> list[str]:
    """The keys that the section at ``place`` has."""
    parts: dict[str, type[BaseModel]] = {
        "data": Data, "also": Data, "model": Model, "eda": Eda, "train": Train, "segment": Segment, "explain": Explain,
        "aggregate": Aggregate, "evaluate": Evaluate, "search": Search, "range": Range,
        "cross_validation": CrossValidation, "background": Usual, "experiment": Experiment,
    }  # fmt: skip
    for step in reversed(place):
        if step in parts:
            return list(parts[step].model_fields)
        if step == "tasks":
            break
    section: type[BaseModel] = Work if "tasks" in place else Recipe
    return list(section.model_fields)
