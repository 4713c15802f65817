"""Metrics by name, and the long table of their values."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pellucid.core.metric import METRICS, Metric
from pellucid.core.registry import build, named
from pellucid.errors import UsageError
from pellucid.evaluate.evidence import Evidence


def as_metric(value: Any) -> Metric:
    """A Metric from a Metric, a name, ``{name: {option: value}}`` or ``(name, options)``.

    Raises:
        UsageError: unknown metric or option (the near misses are named).
    """
    if isinstance(value, Metric):
        return value
    name, options = named(value, "metric", "a Metric")
    return build(METRICS[name], "metric", name, options)


def labels(metrics: Sequence[Metric]) -> list[str]:
    """What each metric is called in a table: its name; with its options where two of one name are asked for.

    Example:
        >>> labels([as_metric("pointing_game"), as_metric({"pointing_game": {"tolerance": 5}})])
        ['pointing_game', 'pointing_game(tolerance=5)']

    Raises:
        UsageError: the same metric twice.
    """
    count = Counter(m.name for m in metrics)
    names = [m.name + _options(m) if count[m.name] > 1 else m.name for m in metrics]
    for name, n in Counter(names).items():
        if n > 1:
            raise UsageError(f"metric {name!r} is asked for {n} times")
    return names


def base_name(label: str) -> str:
    """The registered name in ``name``, ``name[input]`` or ``name(option=value)[input]``."""
    return re.split(r"[\[(]", label, maxsplit=1)[0]


Rows = list[dict[str, Any]]


def score_table(evidence: Evidence, metrics: Sequence[Metric]) -> tuple[Rows, Rows]:
    """One row per map and number, and one per part of those that keep what they were reduced from.

    Returns:
        Scores: case, group, method, target_index, target, metric, value, reason; ``value`` is NaN where the metric is
        undefined, and ``reason`` says why. Details: the same first six, then part, position, value.
    """
    scores: Rows = []
    details: Rows = []
    for place, a in enumerate(evidence.maps):
        for label, score in evidence.view(place).scores(metrics).items():
            whose = {
                "case": a.case_id, "group": evidence.case.group, "method": a.method,
                "target_index": int(a.target["index"]), "target": str(a.target["label"]), "metric": label,
            }  # fmt: skip
            scores.append({**whose, "value": score.value, "reason": score.reason})
            details += [{**whose, "part": name, "position": at, "value": value} for name, at, value in score.parts]
    return scores, details


def _options(metric: Metric) -> str:
    changed = [
        f"{f.name}={getattr(metric, f.name)}"
        for f in dataclasses.fields(metric)
        if getattr(metric, f.name) != f.default
    ]
    return f"({', '.join(changed)})" if changed else ""
