"""The predicted class as something to explain, and as what decides a fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.fill import Fill, as_fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import Objective
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError, nearest


class Decision(Objective):
    """An objective with one more column: 1 where the predicted class is that of the clean case, else 0."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner
        self.predictor, self.cases, self.targets = inner.predictor, inner.cases, inner.targets
        self.decided = torch.full((len(inner.cases),), -1)

    @property
    def ready(self) -> bool:
        """Whether every case is bound."""
        return self.inner.ready and bool((self.decided >= 0).all())

    def bind(self, output: Tensor, owner: Tensor) -> None:
        """Fix the targets, and what was decided."""
        self.inner.bind(output, owner)
        self.decided[owner] = labels(self.predictor, output.detach()).cpu()

    def __call__(self, output: Tensor, owner: Tensor) -> Tensor:
        """``(n, K)`` outputs to ``(n, T + 1)`` scalars."""
        kept = labels(self.predictor, output).cpu() == self.decided[owner.cpu()]
        return torch.cat([self.inner(output, owner), kept.to(output)[:, None]], 1)


def labels(predictor: Predictor, output: Tensor) -> Tensor:
    """The predicted class ``(n,)`` of a classification; of a single sigmoid output, 1 above its threshold, else 0."""
    if output.shape[1] == 1 and predictor.activation == "sigmoid":
        return predictor.above(output)[:, 0].long()
    return torch.tensor([predictor.predicted_class(row) for row in output])


def label_names(predictor: Predictor) -> list[str]:
    """The names of what is decided between; the "no" of a single output is called ``not …``."""
    names = predictor.classes
    return [f"not {names[0]}", names[0]] if len(names) == 1 else list(names)


def check_two_classes(predictor: Predictor) -> None:
    """Raise UsageError unless the model decides between two classes."""
    said = "score='flip' asks whether the decision between two classes changes"
    if predictor.task != "classification":
        raise UsageError(f"{said}; this model does {predictor.task}: use score='drop'")
    count = len(predictor.classes)
    if count > 2:
        raise UsageError(f"{said}; this model has {count} classes: use score='drop'")
    if count == 2 and predictor.activation == "sigmoid":
        raise UsageError(f"{said}; this model's two labels are independent of each other: use score='drop'")
    if count == 1 and predictor.activation != "sigmoid":
        raise UsageError(f"{said}; this model has one output without a sigmoid: use score='drop'")


@dataclass(frozen=True)
class FillByClass:
    """A fill for each predicted class, as in the seed's rule "the colour of the other class".

    Attributes:
        fills: pairs of a class, by its number or name, and its fill.
    """

    fills: tuple[tuple[int | str, Fill], ...]

    def describe(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {"by_predicted_class": {str(k): f.describe() for k, f in self.fills}}

    def of(self, problem: Problem, decided: Tensor) -> dict[str, Tensor]:
        """The stand-in of every input, ``(B, …)``, each case's by its predicted class ``(B,)``.

        Raises:
            UsageError: no such class, or none for the class of a case.
        """
        names = label_names(problem.predictor)
        by_label: dict[int, Fill] = {}
        for key, fill in self.fills:
            known = {**{n: i for i, n in enumerate(names)}, **{str(i): i for i in range(len(names))}}
            if str(key) not in known:
                raise UsageError(f"fill: unknown class {key!r}; {nearest(str(key), names)}")
            by_label[known[str(key)]] = fill
        for case, k in zip(problem.cases, decided.tolist()):
            if k not in by_label:
                raise UsageError(
                    f"case {case.id}: it is predicted as {names[k]!r} (class {k}), for which fill has nothing; "
                    "give a fill for every class"
                )
        made = {k: problem.fill(by_label[k]) for k in set(decided.tolist())}
        return {n: torch.stack([made[k][n][b] for b, k in enumerate(decided.tolist())]) for n in problem.inputs}


def as_fill_or_by_class(value: Any) -> Fill | FillByClass:
    """A fill, or one for each class from a mapping whose keys are classes.

    Example:
        >>> as_fill_or_by_class({0: 1.0, 1: 0.0}).describe()["by_predicted_class"]["0"]
        {'kind': 'constant', 'value': 1.0}
    """
    if isinstance(value, FillByClass):
        return value
    if isinstance(value, Mapping) and set(value) == {"by_predicted_class"}:  # as the provenance has it
        value = value["by_predicted_class"]
    if isinstance(value, Mapping) and value and not {"kind", "value", "sigma"} & set(value):
        return FillByClass(tuple((k, as_fill(v)) for k, v in value.items()))
    return as_fill(value)
