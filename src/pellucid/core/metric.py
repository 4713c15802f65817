"""The base of all metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pellucid.core.registry import Registry
from pellucid.types import Direction

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import View

QUESTIONS = (
    "faithfulness", "plausibility", "certainty", "stability", "sanity", "axiom", "complexity", "modality", "cost",
)  # fmt: skip
NEEDS = ("region", "model", "explainer", "inputs", "cohort", "shuffled")


@dataclass(frozen=True)
class Score:
    """One number, or NaN with the reason why there is none.

    Attributes:
        value: the number.
        reason: why it is NaN; empty otherwise.
        parts: what it was reduced from, where that is worth showing: ``(name, position, value)``, such as the
            similarity after each layer of a cascade (``("layer4.1.conv2", 3, 0.41)``). A run keeps them in the table
            ``details``.
    """

    value: float
    reason: str = ""
    parts: tuple[tuple[str, float, float], ...] = ()

    @staticmethod
    def undefined(reason: str) -> Score:
        """NaN, never zero, and why."""
        return Score(math.nan, reason)


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A question about a map, answered with a number. Fields are its options.

    A new metric is a frozen dataclass in a file of its own under ``evaluate/``; giving it a ``name`` registers it. It
    reduces shared evidence (curves, re-explained maps, ablations), which is computed once for all metrics.

    Class attributes:
        name: registered name.
        question: one of :data:`QUESTIONS`.
        direction: which way is better: ``"higher"``, ``"lower"`` or ``"none"``.
        low, high: the range of the values.
        unit: of the values, ``""`` for a pure number.
        needs: ``"region"`` (a mask to compare with), ``"model"`` (passes), ``"explainer"`` (re-explains), ``"inputs"``
            (two or more inputs), ``"cohort"`` (other cases), ``"shuffled"`` (a model trained on shuffled labels).
        per_input: whether there is one number for each input instead of one for the map.
        scale_free: whether a positive factor on the map leaves the number as it is.
        source: citation key in ``docs/references.bib``.
    """

    name: ClassVar[str] = ""
    question: ClassVar[str] = ""
    direction: ClassVar[Direction] = "higher"
    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf
    unit: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    per_input: ClassVar[bool] = False
    scale_free: ClassVar[bool] = True
    source: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            METRICS.add(cls.name, cls)

    @abstractmethod
    def score(self, view: View) -> Score | dict[str, Score]:
        """The metric of one map; a dict (input name to score) where there is one number per input."""


METRICS: Registry[type[Metric]] = Registry("metric", "pellucid.evaluate")
