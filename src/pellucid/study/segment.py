"""Regions that a segmentation model predicts in the cases of another task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.errors import UsageError
from pellucid.nets import load_predictor
from pellucid.refine.predicted import predicted_region
from pellucid.study.context import Context
from pellucid.study.recipe import Segment

Soft = dict[str, Tensor]


def segmented(context: Context, cases: Sequence[Case]) -> tuple[list[Case], list[Soft]]:
    """The cases with the regions that the recipe has predicted, and the probabilities behind them.

    Returns:
        The cases, each with a bool region ``(*spatial)`` per name; and per case name to float32 ``(*spatial)``, the
        probability of the region.

    Raises:
        UsageError: the model segments nothing, or a region of that name is there already.
    """
    found, soft = list(cases), [Soft() for _ in cases]
    for name, how in context.work.segment.items():
        engine = segmenter(context, name, how)
        for place, case in enumerate(found):
            if name in case.regions:
                raise UsageError(
                    f"case {case.id} has a region {name!r} already; call the predicted one differently in 'segment'"
                )
            mask, p = predicted_region(engine, case, label=how.label, inputs=how.inputs, size=how.size)
            found[place] = case.replace(regions={**case.regions, name: mask})
            soft[place][name] = p
    return found, soft


def segmenter(context: Context, name: str, how: Segment) -> Engine:
    """The model that predicts the region ``name``, ready to run."""
    folder = context.path(how.load) if how.load else context.run.folder / "model" / str(how.task)
    if folder not in context.segmenters:
        p: Predictor = load_predictor(folder)
        if p.task != "segmentation":
            raise UsageError(f"segment {name!r}: the model {p.name!r} does {p.task}, not segmentation")
        context.segmenters[folder] = Engine(p, device=context.recipe.device, precision=context.recipe.precision)
    return context.segmenters[folder]
