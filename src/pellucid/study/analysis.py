"""The base of questions put to a whole cohort of explained cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.registry import Registry, build, named, tuples
from pellucid.study.context import Context


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """One question; fields are its options. A new one is a file under ``study/analyses/``.

    Class attributes:
        name: registered name.
        needs_maps: whether it reads stored maps, so that the task has to explain.
    """

    name: ClassVar[str] = ""
    needs_maps: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            ANALYSES.add(cls.name, cls)

    @property
    def models(self) -> tuple[str, ...]:
        """Earlier tasks of the recipe whose models look at the explained cases."""
        return ()

    @abstractmethod
    def run(self, context: Context) -> None:
        """Answer it for a task whose maps and scores are there; writes tables into the run."""


ANALYSES: Registry[type[Analysis]] = Registry("analysis", "pellucid.study.analyses")


def as_analysis(value: Any) -> Analysis:
    """An Analysis from a name or ``{name: {option: value}}``.

    Raises:
        UsageError: unknown analysis or option (the near misses are named).
    """
    name, options = named(value, "analysis")
    return build(ANALYSES[name], "analysis", name, tuples(options))
