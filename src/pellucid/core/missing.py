"""Maps of cases that lack an input."""

from __future__ import annotations

import torch

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor

FLAG = "missing_input"
"""Of a map of a case that lacks an input of the model; ``notes["missing"]`` has the names."""


def with_missing(a: Attribution, case: Case, predictor: Predictor, *, tables: bool) -> Attribution:
    """The map with zeros in the place of the inputs that the case lacks: what stood in for them is nobody's evidence.

    Args:
        a: the map of the inputs that are there.
        case: that was explained.
        predictor: the whole one, of all inputs.
        tables: whether the method makes maps of tables.
    """
    gone = [n for n in predictor.inputs if n in case.missing]
    if not gone:
        return a
    flat = any(m.ndim == case.inputs[n].ndim - 1 for n, m in a.maps.items())  # a method whose maps have no channels
    zeros = {
        n: torch.zeros(case.inputs[n].shape[1:] if flat and case.inputs[n].ndim > 1 else case.inputs[n].shape)
        for n in gone if tables or case.inputs[n].ndim > 1
    }  # fmt: skip
    every = {**a.maps, **zeros}
    return a.replace(
        maps={n: every[n] for n in predictor.inputs if n in every}, flags=(*a.flags, FLAG),
        notes={**a.notes, "missing": gone},
    )  # fmt: skip


def missing_of(a: Attribution) -> tuple[str, ...]:
    """Names of the inputs that the case of a map lacks."""
    return tuple(a.notes.get("missing", ()))


def without_missing(a: Attribution) -> Attribution:
    """The map of the inputs that are there, which is what is judged; its refinement likewise."""
    gone = missing_of(a)
    if not any(n in a.maps for n in gone):
        return a
    changes = {"maps": {n: m for n, m in a.maps.items() if n not in gone}}
    if a.refinement is not None and "unmasked" in a.refinement:
        unmasked = {n: m for n, m in a.refinement["unmasked"].items() if n not in gone}
        return a.replace(**changes, refinement={**a.refinement, "unmasked": unmasked})
    return a.replace(**changes)
