"""The scalar that is explained: a target, and its binding to the cases of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from pellucid.errors import UsageError, nearest

if TYPE_CHECKING:
    from pellucid.core.case import Case
    from pellucid.core.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Bound:
    """A target made definite on one case: which output channel, weighted how over space.

    Attributes:
        index: the output neuron or channel.
        weight: ``(*spatial)`` weights of the outputs that are summed, bool where they are a plain region, or None for
            an output without space.
        label: what a person reads, e.g. ``"malignant"``.
        flags: ``("empty_target",)`` where the region has no voxel.
    """

    index: int
    label: str
    weight: Tensor | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """What is explained. ``bind`` fixes it from the model's output on the clean case."""

    @abstractmethod
    def bind(self, predictor: Predictor, output: Tensor, case: Case) -> Bound:
        """Make the target definite. ``output`` is ``(K,)`` or ``(K, *spatial)``, detached."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain values for provenance and recipes."""


@dataclass(frozen=True, init=False)
class ClassScore(Target):
    """A class's logit ``z_k`` (default), or its probability.

    Args:
        k: class index, class name, or ``"predicted"``: the arg max; for independent labels (sigmoid) the most
            probable one above its threshold, or the most probable one if none is.
        on: ``"logit"`` (the field's default: a softmax mixes in the other classes) or ``"probability"``.
    """

    k: int | str = "predicted"
    on: Literal["logit", "probability"] = "logit"

    def __init__(self, k: int | str = "predicted", *, on: Literal["logit", "probability"] = "logit") -> None:
        if on not in ("logit", "probability"):
            raise UsageError(f"ClassScore(on={on!r}): choose 'logit' or 'probability'")
        object.__setattr__(self, "k", k)
        object.__setattr__(self, "on", on)

    def bind(self, predictor: Predictor, output: Tensor, case: Case) -> Bound:  # noqa: ARG002
        """Pick the class."""
        _expect(predictor, "classification", self)
        k = predictor.predicted_class(output) if self.k == "predicted" else predictor.class_index(self.k)
        return Bound(k, predictor.class_name(k))

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "class", "k": self.k, "on": self.on}


@dataclass(frozen=True, init=False)
class Score(Target):
    """Output neuron ``i`` of a regression."""

    i: int = 0

    def __init__(self, i: int = 0) -> None:
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            raise UsageError(f"Score({i!r}): give the number of an output neuron, counted from 0")
        object.__setattr__(self, "i", int(i))

    def bind(self, predictor: Predictor, output: Tensor, case: Case) -> Bound:  # noqa: ARG002
        """Check that the neuron exists."""
        _expect(predictor, "regression", self)
        if not 0 <= self.i < output.shape[0]:
            raise UsageError(f"Score({self.i}): the model has {output.shape[0]} outputs, numbered from 0")
        return Bound(self.i, predictor.class_name(self.i) if predictor.classes else f"score {self.i}")

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "score", "i": self.i}


@dataclass(frozen=True, init=False)
class RegionScore(Target):
    """``reduce`` over the voxels of a region of the logit ``z_k(v)`` of a segmentation.

    Args:
        k: class index or name, or ``"predicted"``: the largest predicted class that is not 0 (the only channel
            of a one-channel model).
        region: ``"predicted"`` (arg max is k on the clean image; sigmoid > 0.5 for one channel), ``"image"``
            (everything), ``"truth"``, or a region of the case.
        reduce: ``"sum"`` (Agg²Exp), ``"mean"``, or ``"probability_weighted"``: the sum of ``p_k(v) z_k(v)`` with
            the probabilities of the clean image.
        on: ``"logit"`` or ``"probability"``.
        refresh: recompute the predicted region on every perturbed copy. By default it is fixed from the clean
            image. No gradient flows through it either way.

    An empty region gives a zero map and the flag ``empty_target``.
    """

    k: int | str = "predicted"
    region: str = "predicted"
    reduce: Literal["sum", "mean", "probability_weighted"] = "sum"
    on: Literal["logit", "probability"] = "logit"
    refresh: bool = False

    def __init__(
        self,
        k: int | str = "predicted",
        *,
        region: str = "predicted",
        reduce: Literal["sum", "mean", "probability_weighted"] = "sum",
        on: Literal["logit", "probability"] = "logit",
        refresh: bool = False,
    ) -> None:
        if reduce not in ("sum", "mean", "probability_weighted"):
            raise UsageError(
                f"RegionScore(reduce={reduce!r}): {nearest(reduce, ['sum', 'mean', 'probability_weighted'])}"
            )
        if on not in ("logit", "probability"):
            raise UsageError(f"RegionScore(on={on!r}): choose 'logit' or 'probability'")
        for name, value in (("k", k), ("region", region), ("reduce", reduce), ("on", on), ("refresh", refresh)):
            object.__setattr__(self, name, value)

    def bind(self, predictor: Predictor, output: Tensor, case: Case) -> Bound:
        """Pick the class and fix the region."""
        _expect(predictor, "segmentation", self)
        if self.k == "predicted":
            k = predictor.predicted_class(output)
        else:
            k = predictor.class_index(self.k)
        mask = self._mask(predictor, output, case, k)
        flags = () if bool(mask.any()) else ("empty_target",)
        where = {"predicted": "predicted region", "image": "whole image"}.get(self.region, self.region)
        return Bound(
            k, f"{predictor.class_name(k)} ({where})", self.weigh(predictor, output, mask, k), flags
        )

    def _mask(self, predictor: Predictor, output: Tensor, case: Case, k: int) -> Tensor:
        if self.region == "predicted":
            return predictor.labels(output[None])[0] == predictor.label_of(k)
        if self.region == "image":
            return torch.ones(output.shape[1:], dtype=torch.bool, device=output.device)
        if self.region == "truth":
            if not isinstance(case.truth, Tensor) or case.truth.ndim < 2:
                raise UsageError(f"case {case.id}: region 'truth' asked for, but the case has no true mask")
            mask = case.truth == predictor.label_of(k)
        else:
            mask = case.region(self.region)
        if tuple(mask.shape) != tuple(output.shape[1:]):
            raise UsageError(
                f"case {case.id}: region {self.region!r} is {tuple(mask.shape)}, the model's output is "
                f"{tuple(output.shape[1:])}; resample the region to the output's grid"
            )
        return mask.to(output.device)

    def weigh(self, predictor: Predictor, output: Tensor, mask: Tensor, k: int) -> Tensor:
        """The spatial weights of one case: the mask, the mask over its size, or the mask times p_k."""
        if self.reduce == "sum":
            return mask  # a byte for each voxel
        weight = mask.to(output.dtype)
        if self.reduce == "mean":
            return weight / weight.sum().clamp(min=1)
        return weight * predictor.probabilities(output[None])[0, k]

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": "region", "k": self.k, "region": self.region, "reduce": self.reduce, "on": self.on,
            "refresh": self.refresh,
        }  # fmt: skip


def as_target(value: Any, predictor: Predictor) -> Target:
    """A target from a Target, ``"predicted"``, a class index or a class name.

    Raises:
        UsageError: nothing of that kind.
    """
    if isinstance(value, Target):
        return value
    if isinstance(value, dict):
        kinds = {"class": ClassScore, "score": Score, "region": RegionScore}
        options = dict(value)
        kind = options.pop("kind", None)
        if kind not in kinds:
            raise UsageError(f"target kind {kind!r}; {nearest(str(kind), kinds)}")
        try:
            return kinds[kind](**options)
        except TypeError as error:
            raise UsageError(f"target {value}: {error}") from error
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if hasattr(value, "__index__") and not isinstance(value, bool | Tensor):
        value = int(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        if predictor.task == "classification":
            return ClassScore(value)
        if predictor.task == "segmentation":
            return RegionScore(value)
        return Score(0 if value == "predicted" else predictor.class_index(value))
    raise UsageError(f"target {value!r}: give ClassScore, Score, RegionScore, a class or 'predicted'")


def _expect(predictor: Predictor, task: str, target: Target) -> None:
    if predictor.task != task:
        fit = {"classification": "ClassScore", "regression": "Score", "segmentation": "RegionScore"}
        raise UsageError(
            f"{type(target).__name__} explains a {task}, this model does {predictor.task}; "
            f"use {fit[predictor.task]}"
        )


@dataclass(eq=False)
class Objective:
    """The targets of a batch: ``(output, owner) → (n, T)`` scalars.

    It is bound once per case, from the clean output, and constant from then on. ``owner[i]`` says to which case
    of the batch input ``i`` belongs, so that every case may have its own class and region.
    """

    predictor: Predictor
    cases: Sequence[Case]
    targets: Sequence[Target]
    bound: list[list[Bound] | None] = field(init=False)

    def __post_init__(self) -> None:
        """Start unbound."""
        if not self.targets:
            raise UsageError("no target: give at least one, or 'predicted'")
        self.bound = [None] * len(self.cases)
        self._k: Tensor | None = None
        self._weights: list[Tensor | None] = []

    @property
    def ready(self) -> bool:
        """Whether every case is bound."""
        return all(b is not None for b in self.bound)

    def bind(self, output: Tensor, owner: Tensor) -> None:
        """Fix the targets of the cases ``owner`` from their clean outputs."""
        for row, b in zip(output.detach(), owner.tolist()):
            if self.bound[b] is None:
                self.bound[b] = [t.bind(self.predictor, row, self.cases[b]) for t in self.targets]
        self._k = None

    def _pack(self, device: torch.device) -> Tensor:
        if self._k is None or self._k.device != device:
            known = next(b for b in self.bound if b is not None)
            rows = [b if b is not None else known for b in self.bound]
            self._k = torch.tensor([[t.index for t in b] for b in rows], device=device)
            self._weights = []
            for t in range(len(self.targets)):
                weights = [b[t].weight for b in rows]
                stack = None if weights[0] is None else torch.stack([w.to(device) for w in weights])  # type: ignore[union-attr]
                self._weights.append(stack)
        return self._k

    def __call__(self, output: Tensor, owner: Tensor) -> Tensor:
        """``(n, K[, *spatial])`` outputs to ``(n, T)`` scalars, differentiable in ``output``."""
        owner = owner.to(output.device)
        k = self._pack(output.device)[owner]
        columns = []
        rows = torch.arange(len(output), device=output.device)
        for t, target in enumerate(self.targets):
            values = output
            if getattr(target, "on", "logit") == "probability":
                values = self.predictor.probabilities(output)
            chosen = values[rows, k[:, t]]
            weight = self._weights[t]
            if weight is not None:
                w = weight[owner]
                if isinstance(target, RegionScore) and target.refresh and target.region == "predicted":
                    w = self._refreshed(target, output.detach(), k[:, t])
                chosen = (chosen * w.to(chosen.dtype)).flatten(1).sum(1)
            columns.append(chosen)
        return torch.stack(columns, dim=1)

    def _refreshed(self, target: RegionScore, output: Tensor, k: Tensor) -> Tensor:
        labels = self.predictor.labels(output)
        return torch.stack(
            [
                target.weigh(self.predictor, o, m == self.predictor.label_of(int(c)), int(c))
                for o, m, c in zip(output, labels, k)
            ]
        )
