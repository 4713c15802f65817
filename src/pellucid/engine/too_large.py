"""What to do when one window does not fit in memory: the largest one that does, found by trying."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.engine import memory
from pellucid.errors import ModelError, PellucidError

if TYPE_CHECKING:
    from pellucid.engine.engine import Engine
    from pellucid.engine.windows import Plan

SHARES = [Fraction(*f) for f in ((3, 4), (2, 3), (1, 2), (1, 3), (1, 4), (1, 6), (1, 8), (1, 16))]


def window_too_large(engine: Engine, plan: Plan, one: dict[str, Tensor], *, graph: bool) -> ModelError:
    """The error for a window that does not fit, naming the largest of some smaller ones that ran.

    Args:
        engine: runs the model.
        plan: of the windows.
        one: the inputs of one window.
        graph: whether a graph for gradients has to fit as well.
    """
    name = engine.predictor.name
    fits = next((roi for f in SHARES if (roi := _smaller(plan.roi, f)) and _runs(engine, one, roi, graph)), None)
    what = f"one window of {plan.roi}{' with its graph' if graph else ''} does not fit in the memory of {engine.device}"
    if fits is None:
        return ModelError(f"{name}: {what}, nor does any smaller one that was tried; use precision='bf16'")
    return ModelError(f"{name}: {what}; roi={fits} ran: give pc.windows(roi={fits}), or use precision='bf16'")


def _smaller(roi: tuple[int, ...], share: Fraction) -> tuple[int, ...] | None:
    """A share of the window, where it is a whole number of voxels along every axis."""
    sizes = [n * share for n in roi]
    return tuple(int(s) for s in sizes) if all(s.denominator == 1 and s >= 1 for s in sizes) else None


def _runs(engine: Engine, one: dict[str, Tensor], roi: tuple[int, ...], graph: bool) -> bool:
    """Whether a window of this size goes through: it fits, and the network takes it and keeps its grid."""
    where: Any = (..., *(slice(0, n) for n in roi))
    inputs = {k: v[where].clone() if v.ndim > 2 else v.clone() for k, v in one.items()}
    try:
        with torch.set_grad_enabled(graph):
            leaves = {k: v.requires_grad_(graph) for k, v in inputs.items()}
            output = engine._call({k: v.clone() for k, v in leaves.items()})
            if graph and output.requires_grad:
                torch.autograd.grad(output.sum(), list(leaves.values()), allow_unused=True)
    except PellucidError:
        return False
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        return False
    return tuple(output.shape[2:]) == roi
