"""The base of questions put to a whole cohort of explained cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.registry import Registry, build
from pellucid.errors import UsageError
from pellucid.study.context import Context


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """One question; fields are its options. A new one is a file under ``study/analyses/``.

    Class attributes:
        name: registered name.
    """

    name: ClassVar[str] = ""

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
    options: dict[str, Any] = {}
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise UsageError(f"an analysis with options is one name and its options, not {dict(value)}")
        value, own = next(iter(value.items()))
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in (own or {}).items()}
    if not isinstance(value, str):
        raise UsageError(f"analysis {value!r}: give a name, or a name with its options")
    return build(ANALYSES[value], "analysis", value, options)
