"""Regions that a segmentation model predicts in the cases of another task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.errors import InputError, UsageError
from pellucid.nets import load_predictor
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
        engine = _engine(context, name, how)
        for place, case in enumerate(found):
            if name in case.regions:
                raise UsageError(
                    f"case {case.id} has a region {name!r} already; call the predicted one differently in 'segment'"
                )
            mask, p = predicted(engine, case, how)
            found[place] = case.replace(regions={**case.regions, name: mask})
            soft[place][name] = p
    return found, soft


def predicted(engine: Engine, case: Case, how: Segment) -> tuple[Tensor, Tensor]:
    """Mask (bool) and probability (float32) ``(*spatial)`` of one case: one forward."""
    p = engine.predictor
    inputs = {name: _input(case, how.inputs.get(name, name), how.size) for name in p.inputs}
    seen = Case(id=case.id, inputs=inputs, group=case.group)
    output = engine.predict([seen]).float()
    probability = p.probabilities(output)[0]
    if probability.shape[0] == 1:
        of_region = probability[0]
        mask = p.labels(output)[0] == 1
    elif how.label is None:
        of_region = 1 - probability[0]
        mask = p.labels(output)[0] > 0
    else:
        k = p.class_index(how.label)
        of_region = probability[k]
        mask = p.labels(output)[0] == k
    shape = case.spatial
    if tuple(mask.shape) != shape:
        mode = "bilinear" if len(shape) == 2 else "trilinear"
        of_region = F.interpolate(of_region[None, None], shape, mode=mode, align_corners=False)[0, 0]
        mask = F.interpolate(mask[None, None].float(), shape, mode="nearest-exact")[0, 0] > 0.5
    return mask, of_region.float()


def _engine(context: Context, name: str, how: Segment) -> Engine:
    folder = context.path(how.load) if how.load else context.run.folder / "model" / str(how.task)
    predictor: Predictor = load_predictor(folder)
    if predictor.task != "segmentation":
        raise UsageError(f"segment {name!r}: the model {predictor.name!r} does {predictor.task}, not segmentation")
    return Engine(predictor, device=context.recipe.device, precision=context.recipe.precision)


def _input(case: Case, name: str, size: int | None) -> Tensor:
    if name not in case.inputs:
        raise InputError(f"case {case.id}: no input {name!r} for the segmentation (it has: {', '.join(case.inputs)})")
    x = case.inputs[name]
    if size is None or x.ndim < 3:
        return x
    wanted = (size,) * (x.ndim - 1)
    if tuple(x.shape[1:]) == wanted:
        return x
    if x.ndim == 3:
        return F.interpolate(x[None], wanted, mode="bilinear", antialias=True, align_corners=False)[0]
    return F.interpolate(x[None], wanted, mode="trilinear", align_corners=False)[0]

