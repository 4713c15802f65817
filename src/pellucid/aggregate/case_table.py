"""The region table of one case: its maps are made, added up by region and dropped, target by target, plane by plane."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from pellucid.aggregate.asked import label_maps
from pellucid.aggregate.directional import signed_by_jvp
from pellucid.aggregate.rows import rows
from pellucid.aggregate.sums import RegionSums
from pellucid.aggregate.targets import LabelSeeds, on_labels, wanted
from pellucid.aggregate.work import Work
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.explainer import Explainer, Result
from pellucid.core.target import Bound, Target
from pellucid.engine.engine import Engine
from pellucid.engine.game import Painted
from pellucid.engine.linear import Linear
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, UsageError

Way = Literal["auto", "forward", "reverse"]


@dataclass(eq=False)
class CaseTable:
    """What the maps of one case come to.

    Attributes:
        rows: ``case``, ``target``, ``target_index``, ``method``, ``of``, ``region``, ``measure``, ``value``.
        cost: all passes together.
        flags: target to words for what is wrong or special.
        labels: predicted label map ``(*spatial)`` of a segmentation.
        kept: the targets whose maps were asked for, as they were bound, and the maps, ``(1, T, *shape)`` for T of them.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Tensor | None = None
    kept: tuple[list[Target], list[Bound], Result] | None = None


def case_table(
    engine: Engine,
    case: Case,
    explainer: Explainer,
    *,
    targets: Any = "all",
    regions: Any = "predicted",
    join: Any = None,
    names: Any = None,
    seed: int = 0,
    background: Sequence[Case] = (),
    measures: Literal["all", "signed"] = "all",
    way: Way = "auto",
    keep: Collection[Any] = (),
) -> CaseTable:
    """The measures of all targets over all regions of one case; see :func:`pellucid.aggregate`.

    Raises:
        UsageError: targets, regions or options that make no sense together.
        InputError: the case does not fit the model, or a label map does not fit the case.
    """
    if measures not in ("all", "signed"):
        raise UsageError(f"measures={measures!r}: choose 'all' or 'signed'")
    if measures == "signed" and keep:
        raise UsageError("keep: signed sums make no maps; ask for measures='all'")
    if way not in ("auto", "forward", "reverse"):
        raise UsageError(f"way={way!r}: choose 'auto', 'forward' or 'reverse'")
    predictor = engine.predictor
    asked = wanted(predictor, targets)
    problem = Problem(engine, [case], asked, seed=seed, background=background)
    if not problem.images:
        raise InputError(f"case {case.id}: it has tables alone, and regions are of pictures")
    with engine.measure() as meter:
        labels = problem.engine.label_map(problem.inputs).cpu() if predictor.task == "segmentation" else None
        _one_grid(case, problem, labels)
        maps = label_maps(predictor, case, regions, predicted=labels, names=names, join=join)
        of_classes = None if labels is None else on_labels(predictor, case, asked, labels)
        sums = [RegionSums(m, device=engine.device) for m in maps]
        work = Work(problem, explainer, labels, of_classes, sums)
        work.name_targets(keep)
        plan = explainer.linear(problem) if of_classes is not None else None
        if measures == "signed" and (plan is None or explainer.direction(problem) is None):
            raise UsageError(
                f"measures='signed' are sums of signed gradients of a segmentation; {explainer.name} with these "
                "options and targets has none: use saliency with keep_sign=True, or input_x_gradient"
            )
        directional = None
        if measures == "signed":
            directional = signed_by_jvp(problem, explainer, of_classes or [], sums, way=way)
        if directional is None:
            if plan is not None:
                _streamed(work, plan)
            else:
                _whole(work)
    flags = {n: work.flags.get(t, ()) + problem.flags for t, n in enumerate(work.names)}
    table = CaseTable(cost=meter.total, labels=labels, flags={n: f for n, f in flags.items() if f})
    table.rows = list(rows(work, directional, signed=measures == "signed"))
    if work.keep:
        all_bound = problem.objective.bound[0] or []
        bound = [all_bound[t] if of_classes is None else of_classes[t].bound() for t in work.keep]
        table.kept = [asked[t] for t in work.keep], bound, work.kept()
    return table


def _one_grid(case: Case, problem: Problem, labels: Tensor | None) -> None:
    for name in problem.images:
        shape = tuple(case.inputs[name].shape[1:])
        if shape != case.spatial:
            raise InputError(
                f"case {case.id}: picture {name!r} is {shape}, {problem.images[0]!r} is {case.spatial}; regions are on "
                "one grid, so resample the pictures to it"
            )
    if labels is not None and tuple(labels.shape) != case.spatial:
        raise InputError(
            f"case {case.id}: the model labels {tuple(labels.shape)}, the image is {case.spatial}; let the model "
            "bring its output to the image's grid"
        )


def _streamed(work: Work, plan: Linear) -> None:
    """Slab by slab: no map of the whole volume."""
    problem = work.problem
    for slab in problem.engine.slabs(problem.inputs, LabelSeeds(work.on_labels or []), copies=plan.copies):
        for t, grads in slab.gradients.items():
            work.add(t, {n: plan.finish(n, grads[n], slab.start, slab.stop) for n in problem.images}, slab.start)


def _whole(work: Work) -> None:
    """All maps of the case as the method makes them; added up one target at a time."""
    problem = work.problem
    if work.on_labels is not None:
        problem.objective.bound = [[t.bound() for t in work.on_labels]]
    result = work.result = work.explainer.attribute(problem)
    painted = result.maps if isinstance(result.maps, Painted) else None
    for t in range(len(work.names)):
        made = painted.of(0, t) if painted is not None else {n: m[0, t].detach() for n, m in result.maps.items()}
        made = {n: m for n, m in made.items() if n in problem.images}
        if not made:
            raise InputError(
                f"case {problem.cases[0].id}: {work.explainer.name} made no map of an image, so regions have nothing "
                "to sum"
            )
        work.add(t, made)
        own = result.flags
        words = tuple(w for w, v in own.items() if bool(v[0, t])) if isinstance(own, dict) else own
        work.flags[t] = work.flags.get(t, ()) + words
