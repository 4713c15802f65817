"""How much each member of a weighted ensemble counts: measured on cases that are not explained.

Every member explains the calibration cases, and the metric judges its maps beside random maps of the same cases (masked
alike, if the member is). A member's gain is the paired mean difference from the random map, in the direction in which
the metric is better; its weight is that gain, or 0 where it is no better than a random map, divided by the sum over the
members. Where none is better, all count alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.api import CONTROLS, evidence_of, explain_iter
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.metric import Metric
from pellucid.core.refiner import Refiner, as_refined, refined_again
from pellucid.core.statistics import Array, draws_of, interval, mean
from pellucid.engine.engine import same_shapes
from pellucid.errors import InputError, PellucidError, UsageError
from pellucid.evaluate.run import as_metric, score_table
from pellucid.explain.make import as_explainer
from pellucid.refine.ensemble import Ensemble
from pellucid.study.context import Context
from pellucid.study.segment import segmented
from pellucid.study.stages.explain import background, chosen, spread
from pellucid.study.stages.targets import asked

TABLE = "ensemble_weights"
BOOT = 2000
CHANCE = CONTROLS[0]


def weighed(context: Context, refiners: Sequence[Refiner]) -> list[Refiner]:
    """The refiners of a task, with the weights of those ensembles that have theirs measured.

    Weights that the run has measured with this model already are read again; two ensembles of the same members share
    what is measured.
    """
    ready: list[Refiner] = []
    shared: dict[str, pd.DataFrame] = {}
    for refiner in refiners:
        if isinstance(refiner, Ensemble) and refiner.calibrate is not None:
            ready.append(dataclasses.replace(refiner, weights=_weights(context, refiner, ready, shared)))
        else:
            ready.append(refiner)
    return ready


def weights_table(scores: pd.DataFrame, members: Sequence[str], metric: Metric, *, seed: int = 0) -> pd.DataFrame:
    """One row per member with its gain over a random map and its weight, with 95 % intervals over patients.

    Args:
        scores: of the calibration cases: ``case``, ``group``, ``method`` (the members, and their random maps),
            ``value`` (NaN where undefined), ``reason``.
        members: names of the members.
        metric: that was measured.
        seed: of the bootstrap.
    """
    wide = scores.groupby(["case", "group", "method"], sort=True)["value"].mean().unstack("method")
    _, groups = np.unique(wide.index.get_level_values("group"), return_inverse=True)
    draws = draws_of(int(groups.max()) + 1, BOOT, seed)
    sign = 1.0 if metric.direction == "higher" else -1.0
    own = np.stack([wide[m].to_numpy(float) for m in members], 1)
    chance = np.stack([wide[as_refined(m, CHANCE)].to_numpy(float) for m in members], 1)
    gain = sign * (own - chance)
    weights, none_better = _shares(np.array([[mean(g) for g in gain.T]]))
    drawn = _drawn(gain, groups, draws)
    rows = []
    for i, member in enumerate(members):
        low, high, note = interval(own[:, i], groups, draws)
        gain_low, gain_high, _ = interval(gain[:, i], groups, draws)
        known = np.isfinite(gain[:, i])
        if not known.any():
            reasons = scores.loc[(scores["method"] == member) & scores["value"].isna(), "reason"]
            note = f"undefined: {next((r for r in reasons if r), 'there is no random map to compare it with')}"
        elif none_better:
            note = "no member is better than a random map: all count alike"
        elif weights[0, i] == 0:
            note = "no better than a random map"
        ends = np.quantile(drawn[:, i], [0.025, 0.975]) if drawn is not None else (np.nan, np.nan)
        rows.append(
            {
                "method": member, "metric": metric.name, "direction": metric.direction, "n": int(known.sum()),
                "groups": len(np.unique(groups[known])), "value": mean(own[:, i]), "low": low, "high": high,
                "control": mean(chance[:, i]), "gain": mean(gain[:, i]), "gain_low": gain_low, "gain_high": gain_high,
                "weight": float(weights[0, i]), "weight_low": float(ends[0]), "weight_high": float(ends[1]),
                "note": note,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _weights(
    context: Context, refiner: Ensemble, earlier: Sequence[Refiner], shared: dict[str, pd.DataFrame]
) -> dict[str, float]:
    model = context.engine.weights
    # Ensembles of plain and of masked maps have one title, and members that are called differently.
    (name,) = refiner.makes(refiner.of) if refiner.of else (refiner.title,)
    table = context.run.table(TABLE, context.task)
    if len(table):
        own = table[(table["ensemble"] == name) & (table["model"] == model)]
        if len(own):
            return {str(m): float(w) for m, w in zip(own["method"], own["weight"])}
        table = table[table["ensemble"] != name]
    metric, cases = as_metric(refiner.metric), calibration_cases(context, refiner)
    key = repr((refiner.of, refiner.calibrate, refiner.metric, refiner.most))
    if key not in shared:
        shared[key] = pd.DataFrame(_scores(context, refiner, earlier, metric, cases))
    scores = shared[key]
    if not len(scores):
        raise InputError(f"task {context.task}: none of {len(cases)} calibration cases of {name} has a map")
    controls = {as_refined(m, CHANCE) for m in scores["method"]}
    members = [m for m in dict.fromkeys(scores["method"].astype(str)) if m not in controls]
    found = weights_table(scores, members, metric, seed=context.recipe.seed)
    found.insert(0, "ensemble", name)
    found = found.assign(part=refiner.calibrate, model=model)
    parts = [p for p in (table, found) if len(p)]
    context.run.put_table(TABLE, context.task, pd.concat(parts, ignore_index=True))
    return {str(m): float(w) for m, w in zip(found["method"], found["weight"])}


def calibration_cases(context: Context, refiner: Ensemble) -> list[Case]:
    """At most ``most`` cases of the part, spread over classes or scores, none of a patient who is explained.

    Raises:
        UsageError: a patient of the part is explained.
        InputError: the part is empty.
    """
    cases = list(context.part(str(refiner.calibrate)))
    patient = lambda c: c.group or c.id  # noqa: E731
    shared = {patient(c) for c in cases} & {patient(c) for c in chosen(context)}
    if shared:
        raise UsageError(
            f"task {context.task!r}, refine: {refiner.title}: {len(shared)} patients of {refiner.calibrate!r} are "
            f"among the explained ones ({context.explain.cases!r}); calibrate on a part without them"
        )
    if not cases:
        raise InputError(f"task {context.task}: no case of {refiner.calibrate!r} is there to calibrate on")
    order = spread(cases, context.recipe.seed)
    return [cases[i] for i in sorted(order[: refiner.most])]


def _scores(
    context: Context, refiner: Ensemble, earlier: Sequence[Refiner], metric: Metric, cases: Sequence[Case]
) -> list[dict[str, Any]]:
    """The metric of every member's maps of the calibration cases, and of random maps that were refined alike."""
    usual, work = background(context), context.work
    asked_for = {as_explainer(m).name: as_explainer(m) for m in context.explain.methods}
    plain = refiner.of is not None and set(refiner.of) <= set(asked_for)
    chosen_ones = [e for n, e in asked_for.items() if n in (refiner.of or ()) or not plain]
    explainers = [e for e in chosen_ones if e.name != CHANCE] + [as_explainer(CHANCE)]
    found: list[dict[str, Any]] = []

    def judge(batch: list[Case]) -> None:
        batch, soft = segmented(context, batch)
        outputs = context.engine.outputs(batch)
        made: dict[str, list[Attribution]] = {c.id: [] for c in batch}
        for targets, places in asked(context.predictor, context.explain.targets, batch, outputs):
            for a in explain_iter(
                context.engine, [batch[i] for i in places], explainers, targets, seed=context.recipe.seed,
                background=usual,
            ):  # fmt: skip
                made[a.case_id].append(a)
        for case, probabilities in zip(batch, soft):
            maps = _with_controls(refiner, () if plain else earlier, made[case.id], case, probabilities)
            if not maps:
                continue
            evidence = evidence_of(
                context.engine, case, maps, background=usual, region=work.evaluate.region or "lesion",
                steps=work.evaluate.steps, fill=work.evaluate.fill, seed=context.recipe.seed,
            )  # fmt: skip
            rows = score_table(evidence, [metric])[0]
            found.extend({**row, "group": row["group"] or case.id} for row in rows)

    with context.progress(f"weights of {refiner.title}", len(cases)) as advance:
        for same in same_shapes(cases, context.predictor.inputs):
            for place in same:
                try:
                    judge([cases[place]])
                except UsageError:
                    raise
                except PellucidError as error:
                    context.failed("refine", f"{refiner.title}, calibration: {cases[place].id}", error)
                advance(1)
    return found


def _with_controls(
    refiner: Ensemble, earlier: Sequence[Refiner], maps: list[Attribution], case: Case, soft: Mapping[str, Any]
) -> list[Attribution]:
    """The members' maps of a case, and beside them the random map of each target, refined as the members are."""
    chance = {_key(a): a for a in maps if a.method == CHANCE}
    for other in earlier:
        maps = maps + other.refine([a for a in maps if other.takes(a)], case, soft=soft)
    members = [a for a in maps if refiner.takes(a)]
    beside: dict[Any, Attribution] = {}
    for a in members:
        name = as_refined(a.method, CHANCE)
        if (name, _key(a)) not in beside:
            (made,) = refined_again([chance[_key(a)]], a)
            beside[name, _key(a)] = made.replace(method=name)
    return members + list(beside.values())


def _key(a: Attribution) -> tuple[int, str]:
    return int(a.target["index"]), str(a.target["label"])


def _shares(gains: Array) -> tuple[Array, bool]:
    """Each row's positive parts, their sum 1; equal where none is positive, and whether that was so in the first."""
    parts = np.nan_to_num(np.clip(gains, 0, None))
    total = parts.sum(1, keepdims=True)
    equal = np.full_like(parts, 1 / parts.shape[1])
    return np.where(total > 0, parts / np.where(total > 0, total, 1), equal), bool(total[0] == 0)


def _drawn(gain: Array, groups: Any, draws: Array) -> Array | None:
    """The weights of every draw of patients; None with fewer than two patients."""
    known = np.isfinite(gain)
    if len(np.unique(groups[known.any(1)])) < 2:
        return None
    patients = draws.shape[1]
    total = np.stack([np.bincount(groups, np.where(k, g, 0), patients) for k, g in zip(known.T, gain.T)], 1)
    count = np.stack([np.bincount(groups, k, patients) for k in known.T], 1)
    sums, counts = draws @ total, draws @ count
    return _shares(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))[0]
