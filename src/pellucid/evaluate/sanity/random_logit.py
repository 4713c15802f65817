"""Random logit: how alike the map is to the map of another class of the same case.

A method that explains the class, and not just the picture, gives another map for another class. The other class is
drawn by the seed of the evidence and the case (``other="random"``), the same for all methods; or all others are
explained and the mean is taken (``other="all"``). The region of a segmentation stays. Spearman's ρ of the *signed*
values over the pixels at which one map is more than 1 % of its maximum: of two classes, one's evidence for is the
other's evidence against, and a method that shows the sign has told them apart. A method without sign is compared by
what it has. In [−1, 1], lower is better.

Source: sixt2020explanations, which takes the structural similarity (``similarity="ssim"``); that of Quantus 0.6 has
its windows on the flattened map, ours on the picture's grid.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import Literal

import torch

from pellucid.core.metric import Metric, Score
from pellucid.core.target import Bound
from pellucid.errors import UsageError
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.shared.cascade import Curve
from pellucid.evaluate.similarity import Of, Similarity, alike, check_likeable, check_similarity
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def others(evidence: Evidence, place: int) -> list[int]:
    """The classes that a map does not explain, in an order drawn by the evidence's seed and the case.

    Raises:
        Undefined: the model has no other class.
    """
    predictor, k = evidence.engine.predictor, evidence.target(place).index
    if predictor.task == "regression":
        raise Undefined("a regression has no other class")
    count = len(predictor.classes)
    if predictor.task == "segmentation" and not count:
        raise Undefined("the model's classes have no names, so it is not known how many there are")
    if count < 2:
        raise Undefined("the model has one class only, so there is no other to explain")
    number = zlib.crc32(f"random logit {evidence.seed} {evidence.case.id}".encode())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(number)).tolist()
    return [i for i in order if i != k]


@dataclass(frozen=True, kw_only=True)
class RandomLogit(Metric):
    """Spearman's ρ of the map with the map of another class."""

    name = "random_logit"
    question = "sanity"
    direction = "lower"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "sixt2020explanations"
    other: Literal["random", "all"] = "random"
    similarity: Similarity = "spearman"
    of: Of = "values"

    def __post_init__(self) -> None:
        """Check the options."""
        check_similarity(self.similarity, self.of)
        if self.other not in ("random", "all"):
            raise UsageError(f"random_logit: other={self.other!r}; choose 'random' or 'all'")

    def score(self, view: View) -> Score:
        """Similarity to the other class's map; with ``"all"`` the mean, with the classes as its parts."""
        evidence, place = view.evidence, view.place
        classes = others(evidence, place)[: 1 if self.other == "random" else None]
        clean = view.attribution
        _ = view.vector  # refuses a map that is not finite or on another grid
        check_likeable(clean, self.similarity, self.of)  # a map that is like nothing is not compared
        name = evidence.engine.predictor.class_name
        parts: list[tuple[str, float, float]] = []
        reasons: list[str] = []
        for k in sorted(classes):
            bound: list[Bound] = [replace(b, index=k, label=name(k)) for b in evidence.bound]
            try:
                (made,) = evidence.remade(("logit", k), place, evidence.engine, [evidence.case], bound=bound)
                value = alike(clean, made, self.similarity, self.of)
            except Undefined as reason:
                reasons.append(f"{name(k)}: {reason}")
                value = math.nan
            parts.append((name(k), float(k), value))
        return Curve(tuple(parts), tuple(reasons)).score()
