"""The model with a place of the picture filled: what its answer was worth there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.target import ClassScore, RegionScore, Target
from pellucid.engine.engine import Engine
from pellucid.engine.problem import Problem

FILLS = ("around", "mean")
RING = 3  # pixels around a place whose median is "what is around it"


@dataclass(frozen=True, eq=False)
class Refilled:
    """Answers of one case as it is and with places filled.

    Attributes:
        clean: ``(T,)`` a probability (classification), the mean probability of the region (segmentation), or a score.
        filled: ``(2, M, T)`` the same with each of M places filled with what is around it, and with the mean.
        flips: ``(2, M, T)`` whether the model then says of the explained class what it did not say; False
            throughout where the task is no classification.
    """

    clean: Tensor
    filled: Tensor
    flips: Tensor


def refilled(
    engine: Engine, case: Case, targets: Sequence[Target], places: Tensor, free: Tensor, *, seed: int = 0
) -> Refilled:
    """Fill places of all pictures of a case, one at a time: ``1 + 2 M`` forwards.

    Args:
        engine: around the model.
        case: whose pictures; those on another grid than ``places`` stay as they are.
        targets: T, what was explained.
        places: ``(M, *spatial)`` bool, what is filled.
        free: ``(*spatial)`` bool: where "around" is looked for first (outside the patient).
        seed: of the problem.
    """
    predictor = engine.predictor
    asked = [_answer(t) for t in targets]
    whole: list[Target] = []
    if predictor.task == "classification" and predictor.activation == "softmax":
        whole = [ClassScore(k, on="probability") for k in range(len(predictor.classes))]
    problem = Problem(engine, [case], [*asked, *whole], seed=seed)
    clean = problem.scores[0].double().cpu()
    m = len(places)
    inputs, mean = problem.inputs, problem.fill(Fill(kind="mean"))
    where = places.to(engine.device)
    around = {
        k: torch.stack([_around(x[0], p, free) for p in places]) if m else x
        for k, x in inputs.items() if x.shape[2:] == places.shape[1:]
    }  # fmt: skip

    def make(index: Tensor) -> dict[str, Tensor]:
        kind, place = (index // m).to(engine.device), (index % m).to(engine.device)
        out = {}
        for name, x in inputs.items():
            copies = x.expand(len(index), *x.shape[1:]).clone()
            if name in around:
                column = (-1, 1, *[1] * (x.ndim - 2))
                stand = torch.where(
                    (kind == 0).view(column), around[name][place].view(len(index), -1, *[1] * (x.ndim - 2)), mean[name]
                )
                copies = torch.where(where[place][:, None], stand, copies)
            out[name] = copies
        return out

    t, n = len(targets), len(FILLS) * m
    scores = clean.new_zeros((0, len(clean)))
    if n:
        stream = problem.stream(torch.zeros(n, dtype=torch.long), make)
        scores = problem.engine.scores(stream, problem.objective).double().cpu()
    bound = problem.objective.bound[0] or []
    said = _says(predictor.thresholds, bool(whole), clean[None], t, [b.index for b in bound[:t]])
    now = _says(predictor.thresholds, bool(whole), scores, t, [b.index for b in bound[:t]])
    flips = (now != said) if predictor.task == "classification" else torch.zeros(n, t, dtype=torch.bool)
    return Refilled(clean[:t], scores[:, :t].view(len(FILLS), m, t), flips.view(len(FILLS), m, t))


def _answer(target: Target) -> Target:
    """The target as an answer that people read: a probability, not a logit."""
    if isinstance(target, ClassScore):
        return ClassScore(target.k, on="probability")
    if isinstance(target, RegionScore):
        return RegionScore(target.k, region=target.region, reduce="mean", on="probability")
    return target


def _says(thresholds: Sequence[float], softmax: bool, scores: Tensor, t: int, index: Sequence[int]) -> Tensor:
    """``(n, T)`` whether the model says the explained class."""
    if softmax:
        return scores[:, t:].argmax(1, keepdim=True) == torch.tensor(index)
    limits = torch.tensor([thresholds[i] if i < len(thresholds) else 0.5 for i in index], dtype=scores.dtype)
    return scores[:, :t] > limits


def _around(x: Tensor, place: Tensor, free: Tensor) -> Tensor:
    """``(C,)`` the median of what lies around a place: outside the patient if there is any of it, else anywhere."""
    kernel = 2 * RING + 1
    pool = torch.nn.functional.max_pool2d if place.ndim == 2 else torch.nn.functional.max_pool3d
    grown = pool(place[None, None].float(), kernel, stride=1, padding=RING)[0, 0] > 0
    ring = grown & ~place
    chosen = ring & free if bool((ring & free).any()) else ring
    if not bool(chosen.any()):
        chosen = torch.ones_like(place)
    return x[:, chosen.to(x.device)].median(1).values
