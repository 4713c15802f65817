"""Directional derivatives by forward mode: one pass for all targets, no graph, no map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor

from pellucid.core.target import Objective
from pellucid.engine.rows import planes_of, run, stitch, window_stream
from pellucid.engine.seeds import BoundSeeds, CurvedSeeds, linear, pointwise
from pellucid.engine.stream import Stream
from pellucid.engine.windows import Plan
from pellucid.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pellucid.engine.engine import Engine

UNSUPPORTED = ("forward AD", "forward mode AD", "forward-mode")
ONE = torch.zeros(1, dtype=torch.int64)


def jvp(
    engine: Engine, plan: Plan, inputs: dict[str, Tensor], tangents: dict[str, Tensor], objective: Objective
) -> Tensor:
    """``⟨∂S/∂x, tangent⟩`` of every target ``(T,)``, of one case: one forward (with its tangent) for each window.

    Windows in which the tangent is zero, or that hold no target, are not run. An input that is not named has the
    tangent zero.

    Raises:
        ModelError: a function of the model has no forward-mode derivative.
        UsageError: targets that are not sums over voxels; tangents of other shapes.
    """
    if not pointwise(objective):
        raise UsageError("jvp: this objective is not a sum over voxels; use gradients")
    for name, v in tangents.items():
        if name not in inputs or v.shape != inputs[name].shape:
            have = tuple(inputs[name].shape) if name in inputs else "none of that name"
            raise UsageError(f"jvp: the tangent of {name!r} is {tuple(v.shape)}, the input is {have}")
    tangents = {k: tangents[k].to(v) if k in tangents else torch.zeros_like(v) for k, v in inputs.items()}
    logits = None
    if not objective.ready or not linear(objective):
        logits = stitch(engine, plan, inputs, ONE)
        if not objective.ready:
            objective.bind(logits, ONE)
    bound = objective.bound[0] or []
    seeds: BoundSeeds = (
        BoundSeeds(bound) if linear(objective) or logits is None
        else CurvedSeeds(bound, logits[0], objective.targets, engine.predictor)
    )  # fmt: skip
    if engine.overlap == "sum" and isinstance(seeds, CurvedSeeds):
        raise UsageError("overlap='sum' is for targets on logits with a fixed region; use overlap='exact'")
    pictures = [v for v in tangents.values() if v.ndim > 2]
    total = torch.zeros(len(bound), dtype=torch.float64, device=engine.device)
    still = replace(plan, options=replace(plan.options, value=0.0))  # what is put around a volume does not move
    moves_table = any(v.ndim == 2 and bool(v.any()) for v in tangents.values())
    for row in plan.rows:
        jobs = [
            (0, w) for w in row.windows
            if seeds.present(w.volume)
            and (moves_table or any(bool(v[0].movedim(0, -1)[w.volume].any()) for v in pictures))
        ]  # fmt: skip
        if not jobs:
            continue
        at = window_stream(plan, jobs, planes_of(inputs, row), ONE)
        along = window_stream(still, jobs, planes_of(tangents, row), ONE)

        def step(index: Tensor, at: Stream = at, along: Stream = along, jobs: Any = jobs) -> None:
            values, moves = at.make(index), along.make(index)
            with torch.no_grad(), fwd.dual_level():
                try:
                    output = run(engine, plan, {k: fwd.make_dual(v, moves[k]) for k, v in values.items()})
                    change = fwd.unpack_dual(output).tangent
                except ModelError as error:
                    if not any(text in str(error) for text in UNSUPPORTED):
                        raise
                    raise ModelError(
                        f"{engine.predictor.name} has no forward-mode derivative ({str(error).splitlines()[0]}); "
                        "use the gradients"
                    ) from error
            engine._count(at.owner[index], 1, 0)
            for j, d in zip(index.tolist(), change if change is not None else ()):
                w = jobs[j][1]
                share = plan.share(w)
                for t in seeds.present(w.volume):
                    if isinstance(seeds, CurvedSeeds):
                        total[t] += (plan.place(seeds.slope(t, w.volume).to(d), w) * share * d).double().sum()
                        continue
                    weight = plan.place(seeds.weight(t, w.volume).to(d), w)
                    part = weight if engine.overlap == "sum" else weight * share
                    total[t] += (part * d[seeds.channel(t)]).double().sum()

        engine._chunks(at, step, graph=False, pair=True, windows=plan)
    return total.to(engine.dtype)
