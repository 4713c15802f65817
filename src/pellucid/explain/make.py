"""From a problem and a method to Attributions, with verdicts, provenance and cost."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.background import described
from pellucid.core.cost import Cost
from pellucid.core.explainer import EXPLAINERS, Explainer, Result
from pellucid.core.registry import build, named
from pellucid.core.verdict import Thresholds, cheap_checks, completeness_error
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError


def as_explainer(method: Any, options: Mapping[str, Any] | None = None) -> Explainer:
    """An Explainer from an Explainer, a name, ``{name: {option: value}}`` or ``(name, options)``.

    Raises:
        UsageError: unknown method or option (the near misses are named).
    """
    if isinstance(method, Explainer):
        if options:
            raise UsageError(
                f"method is already a {type(method).__name__} object; give its options to it: {', '.join(options)}"
            )
        return method
    name, own = named(method, "method", "an Explainer")
    return build(EXPLAINERS[name], "method", name, own | dict(options or {}))


def attributions(
    problem: Problem, explainer: Explainer, *, limits: Thresholds | None = None
) -> list[list[Attribution]]:
    """The maps of every case and target of a problem, ``[case][target]``, with the cheap verdicts.

    ``cost`` holds the passes that the method would take alone, for the case; the seconds are the batch's, divided.
    """
    problem.next_method()
    with problem.engine.measure() as meter:
        result = explainer.attribute(problem)
        problem.bind()
        scores = problem.scores
    costs = []
    for b in range(len(problem)):
        cost = meter.of(b) + problem.borrowed(b)
        cost.seconds = meter.total.seconds / len(problem)
        cost.peak_bytes = meter.total.peak_bytes
        costs.append(cost)
    return judged(problem, explainer, result, scores, costs, limits=limits)


def judged(
    problem: Problem, explainer: Explainer, result: Result, scores: Tensor, costs: Sequence[Cost], *,
    limits: Thresholds | None = None,
) -> list[list[Attribution]]:  # fmt: skip
    """A method's result as Attributions, ``[case][target]``; ``scores`` are ``f(x)``, ``(B, T)``, a cost per case."""
    limits = limits or Thresholds()
    result = dataclasses.replace(result, maps=dict(result.maps))  # painted once, where they are painted when asked for
    total = torch.as_tensor(sum(m.flatten(2).double().sum(2) for m in result.maps.values()))
    return [
        [_one(problem, explainer, result, b, t, cost, scores, total, limits) for t in range(len(problem.targets))]
        for b, cost in enumerate(costs)
    ]


def _one(
    problem: Problem, explainer: Explainer, result: Result, b: int, t: int, cost: Cost, scores: Tensor,
    total: Tensor, limits: Thresholds,
) -> Attribution:  # fmt: skip
    case, target = problem.cases[b], problem.targets[t]
    bound = problem.objective.bound[b]
    assert bound is not None
    maps = {k: m[b, t].detach().to("cpu", torch.float32) for k, m in result.maps.items()}
    expected = None if result.expected is None else float(result.expected[b, t])
    own = result.flags
    flags = bound[t].flags + (tuple(w for w, v in own.items() if bool(v[b, t])) if isinstance(own, dict) else own)
    flags += problem.flags
    checks = cheap_checks(
        maps, complete=explainer.complete != "no", total=float(total[b, t]), expected=expected, flags=flags,
        limits=limits,
    )  # fmt: skip
    if explainer.complete == "expected" and checks["complete"].status == "fail":
        checks["complete"] = checks["complete"].as_sampled()
    words = {"finite": "not_finite", "not_empty": "empty", "not_flat": "flat", "complete": "incomplete"}
    flags += tuple(
        word for name, word in words.items()
        if checks[name].status in ("warn", "fail") and not (word == "empty" and "empty_target" in flags)
    )  # fmt: skip
    notes = {
        k: v[b, t].item() if isinstance(v, Tensor) and v.ndim == 2 else v for k, v in result.notes.items()
    }
    if expected is not None:
        notes |= {"expected": expected, "completeness_error": completeness_error(float(total[b, t]), expected)}
    return Attribution(
        maps=maps,
        method=explainer.name,
        case_id=case.id,
        target={**target.describe(), "index": bound[t].index, "label": bound[t].label},
        score=float(scores[b, t]),
        signed=explainer.signed and any(bool((m < 0).any()) for m in maps.values()),
        checks=checks,
        flags=flags,
        provenance=provenance(problem, explainer),
        cost=cost,
        notes=notes,
        spacing=case.spacing,
        geometry=case.geometry,
        image_axes=len(case.spatial),
    )


def provenance(problem: Problem, explainer: Explainer) -> dict[str, Any]:
    """What it takes to make the map again."""
    return {
        "method": explainer.name,
        "parameters": explainer.describe(),
        "source": explainer.source,
        "seed": problem.seed,
        "model": problem.predictor.name,
        "weights": problem.engine.weights,
        "precision": problem.engine.precision,
        "device": problem.engine.device.type,
        **_windows(problem),
        **({"background": described(problem.background)} if problem.used_background else {}),
        "versions": versions(),
    }


def _windows(problem: Problem) -> dict[str, Any]:
    """How a volume went through the model in windows, where it did."""
    windows = problem.predictor.windows
    if windows is None or not problem.engine.windowed(problem.inputs):
        return {}
    return {"windows": {**windows.describe(), "gradients": problem.engine.overlap}}


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    names: Sequence[str] = ("pellucid", "torch", "numpy", "monai")
    return (("python", platform.python_version()), *((n, importlib.metadata.version(n)) for n in names))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a map depends on."""
    return dict(_versions())
