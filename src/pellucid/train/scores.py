"""Which metrics a task has, of which columns of its output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.train.weighted import (
    Array,
    auprc,
    auroc,
    average,
    balanced_accuracy,
    f1,
    mae,
    pearson,
    precision,
    r2,
    rmse,
    sensitivity,
    specificity,
)  # fmt: skip
from pellucid.types import Activation

Weighted = Callable[[Array, Array, Array], Array]
ONE_CLASS = "one class only"
NO_THRESHOLD = "the class has no threshold"
OF_THE_ANSWER = ("accuracy", "balanced_accuracy")  # with exclusive classes, of which there is one
AT_ONCE = 64  # masks


class Result(NamedTuple):
    """One metric of one class, for every row of weights."""

    metric: str
    of: str
    values: Array
    n: int
    reason: str


@dataclass(frozen=True)
class Column:
    """One metric of one class: a function of weights ``(B, N)``, truth ``(N,)`` and prediction ``(N,)``.

    Attributes:
        undefined: why, where it is.
        labels: ``(N,)`` of 0 and 1, whether a case has the class, where the metric is of a class.
        least: cases that have the class, and that do not, below which the metric is not given.
    """

    metric: str
    of: str
    score: Weighted
    truth: Array
    predicted: Array
    undefined: str = ""
    labels: Array | None = None
    least: int = 0

    def of_cases(self, chosen: NDArray[np.intp]) -> Column:
        """For some of the cases."""
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, truth=self.truth[chosen], predicted=self.predicted[chosen], labels=labels)

    def result(self, weights: Array) -> Result:
        """The values; NaN with the reason where the metric is not defined. Cases that are NaN are left out."""
        keep = np.isfinite(self.truth) & np.isfinite(self.predicted)
        if not keep.any():
            return Result(self.metric, self.of, np.full(len(weights), np.nan), 0, self.undefined or "no case")
        few = "" if self.labels is None else too_few(self.labels[keep], self.least)
        if few:
            return Result(self.metric, self.of, np.full(len(weights), np.nan), int(keep.sum()), few)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.score(weights[:, keep], self.truth[keep], self.predicted[keep])
        reason = "" if np.isfinite(values[0]) else self.undefined
        return Result(self.metric, self.of, values, int(keep.sum()), reason)


@dataclass(frozen=True)
class Scored:
    """All columns of a model; where ``macro``, each metric starts with the mean over its classes."""

    columns: tuple[Column, ...]
    macro: bool

    def of(self, chosen: NDArray[np.intp]) -> Scored:
        """For some of the cases."""
        return Scored(tuple(c.of_cases(chosen) for c in self.columns), self.macro)

    def all(self, weights: Array) -> list[Result]:
        """Every metric, in order."""
        results: list[Result] = []
        for metric in dict.fromkeys(c.metric for c in self.columns):
            found = [c.result(weights) for c in self.columns if c.metric == metric]
            results += ([_mean(metric, found)] if self.macro and len(found) > 1 else []) + found
        return results


def _mean(metric: str, found: list[Result]) -> Result:
    table = np.stack([r.values for r in found])
    # A class that is undefined in the value itself is left out of every draw, so that all average the same classes.
    used = np.isfinite(table[:, 0])
    left: dict[str, list[str]] = {}
    for r in found:
        if not np.isfinite(r.values[0]):
            left.setdefault(r.reason or ONE_CLASS, []).append(r.of)
    values = table[used].mean(0) if used.any() else np.full(table.shape[1], np.nan)
    reason = "; ".join(f"without {', '.join(names)} ({why})" for why, names in left.items())
    if left and used.any():
        reason = f"mean of {int(used.sum())} of {len(found)}: {reason}"
    return Result(metric, "macro", values, max(r.n for r in found), reason)


def too_few(labels: Array, least: int) -> str:
    """Why a class has no metric: fewer than ``least`` cases have it, or do not; empty if enough do."""
    positives = int((labels > 0.5).sum())
    for n, what in ((positives, "positive"), (len(labels) - positives, "negative")):
        if n < least:
            return f"{n} {what}{'' if n == 1 else 's'}, fewer than {least}"
    return ""


def classification(
    truth: Tensor,
    output: Tensor,
    activation: Activation | None,
    classes: Sequence[str],
    thresholds: Sequence[float] | None,
    temperature: float = 1.0,
    least: int = 0,
) -> Scored:
    """Accuracy, AUROC, AUPRC, F1, precision, sensitivity and specificity, each class against the rest."""
    output = output.reshape(len(output), -1).double() / temperature
    k = output.shape[1]
    names = _names(classes, k)
    activation = activation or ("softmax" if k > 1 else "sigmoid")
    if activation == "softmax":
        if truth.ndim != 1:
            raise UsageError(f"performance: truth is {tuple(truth.shape)}; exclusive classes need one index per case")
        if int(truth.min()) < 0 or int(truth.max()) >= k:
            raise UsageError(f"performance: truth goes from {int(truth.min())} to {int(truth.max())}, of {k} classes")
        p, labels = output.softmax(1), torch.nn.functional.one_hot(truth.long(), k)
        hard = torch.nn.functional.one_hot(output.argmax(1), k)
        hits = (output.argmax(1) == truth).double()
        columns = [
            Column("accuracy", "all", average, np.ones(len(truth)), _np(hits)),
            Column("balanced_accuracy", "all", balanced_accuracy, _np(truth), _np(output.argmax(1)), ONE_CLASS),
        ]
        # Two exclusive classes are one question: the second is the positive one.
        which = [1] if k == 2 else list(range(k))
    else:
        p, labels = output.sigmoid(), truth.reshape(len(truth), -1)
        if labels.shape != p.shape:
            raise UsageError(f"performance: truth is {tuple(labels.shape)}, the outputs are {tuple(p.shape)}")
        limits = torch.tensor(thresholds if thresholds is not None else [0.5] * k, dtype=torch.float64)
        if limits.shape != (k,):
            raise UsageError(f"performance: {len(limits)} thresholds for {k} labels; give one each")
        # NaN where a label has no threshold: it says neither yes nor no.
        hard = torch.where(limits.isnan(), torch.nan, (p > limits).double())
        which = list(range(k))
        hits = torch.where(hard.isnan(), torch.nan, (hard == labels).double())
        columns = [Column("accuracy", names[c], average, np.ones(len(truth)), _np(hits[:, c])) for c in which]
        columns += [
            Column("balanced_accuracy", names[c], balanced_accuracy, _np(labels[:, c]), _np(hard[:, c]), ONE_CLASS)
            for c in which
        ]
    for c in which:
        y, score, predicted = _np(labels[:, c]), _np(p[:, c]), _np(hard[:, c])
        columns += [
            # The logit's rank, not the probability's: far out, probabilities round to equal values.
            Column("auroc", names[c], auroc, y, _rank(output, c, score, activation), ONE_CLASS),
            Column("auprc", names[c], auprc, y, _rank(output, c, score, activation), "no positive case"),
            Column("f1", names[c], f1, y, predicted, "neither positive nor predicted"),
            Column("precision", names[c], precision, y, predicted, "nothing is predicted"),
            Column("sensitivity", names[c], sensitivity, y, predicted, "no positive case"),
            Column("specificity", names[c], specificity, y, predicted, "no negative case"),
        ]
    told = [replace(c, undefined=NO_THRESHOLD) if np.isnan(c.predicted).all() else c for c in columns]
    # What is of a class, not of the answer as a whole, says nothing where next to no case has the class.
    place = {names[c]: c for c in which}
    told = [
        replace(c, labels=_np(labels[:, place[c.of]]), least=least)
        if c.of in place and not (activation == "softmax" and c.metric in OF_THE_ANSWER) else c
        for c in told
    ]  # fmt: skip
    return Scored(tuple(told), macro=len(which) > 1)


def regression(truth: Tensor, output: Tensor, classes: Sequence[str]) -> Scored:
    """MAE, RMSE, Pearson's r and R², of each score."""
    y, p = truth.reshape(len(truth), -1).double(), output.reshape(len(output), -1).double()
    if y.shape != p.shape:
        raise UsageError(f"performance: truth is {tuple(y.shape)}, the outputs are {tuple(p.shape)}")
    names = _names(classes, p.shape[1]) if p.shape[1] > 1 or classes else ["score"]
    columns = []
    for c, name in enumerate(names):
        for metric, score, undefined in (
            ("mae", mae, ""), ("rmse", rmse, ""), ("pearson", pearson, "no spread"), ("r2", r2, "no spread"),
        ):  # fmt: skip
            columns.append(Column(metric, name, score, _np(y[:, c]), _np(p[:, c]), undefined))
    return Scored(tuple(columns), macro=len(names) > 1)


def segmentation(
    truth: Tensor | Sequence[Tensor],
    output: Tensor | Sequence[Tensor],
    classes: Sequence[str],
    thresholds: Sequence[float] | None,
) -> Scored:
    """Dice and IoU of each class but the background, of logits ``(N, K, *spatial)`` or a label map of each case."""
    if not (isinstance(truth, Tensor) and isinstance(output, Tensor)):
        return _labelled(truth, output, classes)
    k = output.shape[1]
    if truth.shape[1:] != output.shape[2:]:
        raise UsageError(
            f"performance: masks are {tuple(truth.shape[1:])}, outputs {tuple(output.shape[2:])}; "
            "they have to be on one grid"
        )
    limit = thresholds[0] if thresholds else 0.5
    # Some cases at a time, and one byte a pixel: the outputs of a whole data set fill the memory already.
    parts = (o[:, 0].double().sigmoid() > limit if k == 1 else o.argmax(1) for o in output.split(AT_ONCE))
    labels = torch.cat([part.to(torch.uint8 if k < 256 else torch.int64) for part in parts])
    return _overlaps([_overlap(labels, truth, c) for c in range(1, max(k, 2))], _names(classes, k))


def _labelled(truth: Sequence[Tensor] | Tensor, labels: Sequence[Tensor] | Tensor, classes: Sequence[str]) -> Scored:
    """Of label maps, each of a size of its own."""
    for t, found in zip(truth, labels):
        if t.shape != found.shape:
            raise UsageError(
                f"performance: a mask is {tuple(t.shape)}, its label map {tuple(found.shape)}; they have to be on one "
                "grid"
            )
    k = max(len(classes), 1)
    found = []
    for c in range(1, max(k, 2)):
        both, size = zip(*(_overlap(x[None], t[None], c) for t, x in zip(truth, labels)))
        found.append((torch.cat(both), torch.cat(size)))
    return _overlaps(found, _names(classes, k))


def _overlap(labels: Tensor, truth: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """Per case ``(N,)``: pixels of class ``c`` in both, and in one plus in the other."""
    p, t = (labels == c).flatten(1), (truth == c).flatten(1)
    return (p & t).sum(1).double(), (p.sum(1) + t.sum(1)).double()


def _overlaps(found: Sequence[tuple[Tensor, Tensor]], names: Sequence[str]) -> Scored:
    columns = []
    for name, (both, size) in zip(names if len(names) == 1 else names[1:], found):
        # Neither there nor predicted: 0/0, NaN, left out.
        for metric, value in (("dice", 2 * both / size), ("iou", both / (size - both))):
            columns.append(
                Column(metric, name, average, np.ones(len(both)), _np(value), "neither there nor predicted")
            )
    return Scored(tuple(columns), macro=len(columns) > 2)


def _rank(output: Tensor, c: int, p: Array, activation: Activation) -> Array:
    if activation == "sigmoid":
        return _np(output[:, c])
    if output.shape[1] == 2:
        return _np(output[:, c] - output[:, 1 - c])
    return p


def _names(classes: Sequence[str], k: int) -> list[str]:
    if classes and len(classes) != k:
        raise UsageError(f"performance: {len(classes)} class names for {k} outputs")
    return [str(c) for c in classes] or [f"class {c}" for c in range(k)]


def _np(x: Tensor) -> Array:
    return x.to(torch.float64).numpy()
