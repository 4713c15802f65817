"""The region that a segmentation model predicts in a case."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from pellucid.core.case import Case
from pellucid.engine.engine import Engine
from pellucid.errors import InputError, UsageError


def predicted_region(
    engine: Engine, case: Case, *, label: int | str | None = None, inputs: Mapping[str, str] | None = None,
    size: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Mask (bool) and probability (float32) ``(*spatial)`` of one case, on the case's grid: one forward.

    Args:
        engine: around the segmentation model.
        case: to be segmented.
        label: the class that is the region; all but the background if None.
        inputs: the model's input to the case's, where they are called differently.
        size: pixels along a side of what the model sees; as the case has them if None.

    Raises:
        UsageError: the model segments nothing.
        InputError: the case has no such input.
    """
    p = engine.predictor
    if p.task != "segmentation":
        raise UsageError(f"the model {p.name!r} does {p.task}, not segmentation: it predicts no region")
    named = inputs or {}
    seen = Case(
        id=case.id, inputs={n: _input(case, named.get(n, n), size) for n in p.inputs}, group=case.group,
        missing=tuple(n for n in p.inputs if named.get(n, n) in case.missing),
    )  # fmt: skip
    output = engine.predict([seen]).float().cpu()
    probability = p.probabilities(output)[0]
    if probability.shape[0] == 1:
        of_region = probability[0]
        mask = p.labels(output)[0] == 1
    elif label is None:
        of_region = 1 - probability[0]
        mask = p.labels(output)[0] > 0
    else:
        k = p.class_index(label)
        of_region = probability[k]
        mask = p.labels(output)[0] == k
    shape = case.spatial
    if tuple(mask.shape) != shape:
        mode = "bilinear" if len(shape) == 2 else "trilinear"
        of_region = F.interpolate(of_region[None, None], shape, mode=mode, align_corners=False)[0, 0]
        mask = F.interpolate(mask[None, None].float(), shape, mode="nearest-exact")[0, 0] > 0.5
    return mask, of_region.float()


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
