"""Which maps the refiners of a recipe take and make, found out before anything runs."""

from __future__ import annotations

from pellucid.core.refiner import as_refined
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.run import as_metric
from pellucid.explain.make import as_explainer
from pellucid.refine.ensemble import Ensemble
from pellucid.refine.make import as_refiner
from pellucid.study.recipe import Work


def check_refiners(work: Work) -> list[str]:
    """The names of the maps that the refiners of a task make, in order.

    Raises:
        UsageError: a refiner asks for a map that is not there, two maps have one name, an ensemble has fewer than two
            members or masked and unmasked ones, or weights that cannot be measured.
    """
    if work.explain is None:
        return []
    plain = list(dict.fromkeys(as_explainer(m).name for m in work.explain.methods))
    made: list[str] = []
    for refiner in map(as_refiner, work.refine):
        where = f"task {work.name!r}, refine: {refiner.label or refiner.name}"
        known = [*plain, *made]
        for name in refiner.of or ():
            if name not in known:
                raise UsageError(f"{where}: there is no map called {name!r} by then; {nearest(name, known)}")
        taken = [n for n in plain if refiner.usual(n)] if refiner.of is None else list(refiner.of)
        if isinstance(refiner, Ensemble):
            _check_ensemble(work, refiner, taken, where)
        for name in refiner.makes(taken):
            if name in known or name in made:
                raise UsageError(f"{where}: two maps would be called {name!r}; give this refiner a label")
            made.append(name)
    return made


def _check_ensemble(work: Work, refiner: Ensemble, taken: list[str], where: str) -> None:
    if len(set(taken)) < 2:
        have = ", ".join(taken) or "none"
        raise UsageError(f"{where}: an ensemble is made of two methods or more, this one of {have}")
    if len({as_refined(m, "") for m in taken}) > 1:
        raise UsageError(
            f"{where}: {', '.join(taken)} were refined in different ways, and no control is a fair opponent of their "
            "ensemble; combine maps that were all refined alike, or not at all"
        )
    if refiner.weights is not None:
        for name in refiner.weights:
            if name not in taken:
                raise UsageError(f"{where}: there is a weight for {name!r}, which is no member; {nearest(name, taken)}")
    if refiner.calibrate is None:
        return
    if refiner.weights is not None:
        raise UsageError(f"{where}: give weights, or calibrate to have them measured, not both")
    assert work.explain is not None
    if refiner.calibrate == work.explain.cases:
        raise UsageError(
            f"{where}: {refiner.calibrate!r} is what is explained; weights that are measured on the explained cases "
            "flatter them: calibrate on another part"
        )
    parts = ["train", "val", "test", *work.also]
    if refiner.calibrate not in parts:
        raise UsageError(f"{where}: no cases are called {refiner.calibrate!r}; {nearest(refiner.calibrate, parts)}")
    metric = as_metric(refiner.metric)
    if metric.direction == "none" or metric.per_input:
        what = "has no better side" if metric.direction == "none" else "gives a number for each input"
        raise UsageError(f"{where}: the metric {metric.name!r} {what}, so it makes no weights; take another")


