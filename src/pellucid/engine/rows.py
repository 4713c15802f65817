"""One row of windows after another through the model: stitched logits, and gradients from seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.engine.seeds import CurvedSeeds, Seeds
from pellucid.engine.stream import Stream
from pellucid.engine.windows import Plan, Row, Window
from pellucid.errors import ModelError

if TYPE_CHECKING:
    from pellucid.engine.engine import Engine

Planes = dict[str, Tensor]  # of a row: pictures (G, C, *planes), tables (G, F)
Job = tuple[int, Window]
Found = dict[int, dict[int, dict[str, Tensor]]]  # slot, target, input name → gradient to the row's planes


def planes_of(volumes: dict[str, Tensor], row: Row) -> Planes:
    """A row's planes of whole volumes ``(G, C, *shape)``; tables as they are."""
    return {k: v[:, :, row.low : row.high] if v.ndim > 2 else v for k, v in volumes.items()}


def window_stream(plan: Plan, jobs: Sequence[Job], planes: Planes, owner: Tensor) -> Stream:
    """The windows ``jobs`` (item, window) of a row as inputs of the model; a table goes with every window."""
    padded = {k: plan.pad(v) if v.ndim > 2 else v for k, v in planes.items()}

    def make(index: Tensor) -> dict[str, Tensor]:
        asked = [jobs[j] for j in index.tolist()]
        return {
            k: torch.stack([plan.cut(v[i], w) if v.ndim > 2 else v[i] for i, w in asked]) for k, v in padded.items()
        }

    shape = ("windows", plan.roi, tuple((k, v.shape[1]) for k, v in planes.items()))
    return Stream(owner[torch.tensor([i for i, _ in jobs], dtype=torch.int64)], make, shape=shape)


def run(engine: Engine, plan: Plan, inputs: dict[str, Tensor]) -> Tensor:
    """One pass of some windows, ``(m, K, *roi)``.

    Raises:
        ModelError: the network returns another grid than the window's.
    """
    output = engine._call(inputs)
    if tuple(output.shape[2:]) != plan.roi:
        raise ModelError(
            f"{engine.predictor.name} returned a grid of {tuple(output.shape[2:])} for a window of {plan.roi}; to be "
            "stitched, a segmentation has to have the grid of its window: give a roi that the network keeps"
        )
    return output


def blocks(
    engine: Engine, plan: Plan, planes: Callable[[Row], Planes], owner: Tensor, *,
    known: Callable[[int, Window], Tensor | None] | None = None,
    keep: Callable[[int, Window, Tensor], None] | None = None,
) -> Iterator[tuple[int, int, Tensor]]:  # fmt: skip
    """Stitched logits as soon as no later window changes them: ``(low, high, (G, K, high − low, …))``.

    Memory: the planes of one row, for every channel.

    Args:
        engine: runs the model, without a graph.
        plan: of the windows.
        planes: makes a row's planes of G items.
        owner: ``(G,)``, the case of each item.
        known: logits ``(K, *roi)`` of a window that need not be run.
        keep: is handed the logits of every window that was run.
    """
    open_ = _Open(engine, plan, len(owner))
    for place, row in enumerate(plan.rows):
        every = [(i, w) for i in range(len(owner)) for w in row.windows]
        given = [(i, w, logits) for i, w in every if known and (logits := known(i, w)) is not None]
        there = {(i, w.number) for i, w, _ in given}
        jobs = [(i, w) for i, w in every if (i, w.number) not in there]
        open_.begin(row)
        if jobs:
            stream = window_stream(plan, jobs, planes(row), owner)

            def step(index: Tensor, stream: Stream = stream, jobs: list[Job] = jobs) -> None:
                with torch.no_grad():
                    output = run(engine, plan, stream.make(index))
                engine._count(stream.owner[index], 1, 0)
                for j, logits in zip(index.tolist(), output):
                    i, window = jobs[j]
                    if keep is not None:
                        keep(i, window, logits)
                    open_.add(i, window, logits)

            engine._chunks(stream, step, graph=False, windows=plan)
        for i, w, logits in given:
            open_.add(i, w, logits)
        yield open_.final(plan.rows[place + 1].start if place + 1 < len(plan.rows) else row.stop)


class _Open:
    """The planes of the stitched logits that a later window may still change."""

    def __init__(self, engine: Engine, plan: Plan, count: int) -> None:
        self.engine, self.plan, self.count = engine, plan, count
        self.row, self.base, self.sums = plan.rows[0], 0, torch.empty(0)

    def begin(self, row: Row) -> None:
        """The row whose windows come."""
        self.row = row
        missing = row.stop - self.base - self.sums.shape[2] if self.sums.ndim > 1 else 0
        if missing > 0:
            more = self.sums.new_zeros(*self.sums.shape[:2], missing, *self.sums.shape[3:])
            self.sums = torch.cat([self.sums, more], 2)

    def add(self, item: int, window: Window, logits: Tensor) -> None:
        """Add a window's logits ``(K, *roi)``, weighted."""
        if self.sums.ndim == 1:
            size = (self.count, len(logits), self.row.stop, *self.plan.total.shape[1:])
            self.sums = torch.zeros(size, dtype=self.engine.dtype, device=self.engine.device)
        planes = self.sums[item, :, self.row.start - self.base : self.row.stop - self.base]
        self.plan.cut(planes, window).add_(logits.to(self.sums) * self.plan.importance)

    def final(self, end: int) -> tuple[int, int, Tensor]:
        """The planes before ``end``, divided by ``Σ w`` and cut to the volume; they are let go."""
        plan, base = self.plan, self.base
        low, high = max(base - plan.before[0], 0), min(end - plan.before[0], plan.shape[0])
        first = low + plan.before[0] - base
        inside: Any = (..., slice(first, first + high - low), *plan.crop()[1:])
        block = self.sums[:, :, : end - base][inside] / plan.total[base:end][inside]
        self.sums, self.base = self.sums[:, :, end - base :].clone(), end
        return low, high, block


def stitch(engine: Engine, plan: Plan, volumes: dict[str, Tensor], owner: Tensor, **how: Any) -> Tensor:
    """Stitched logits ``(G, K, *shape)`` of whole volumes, on the CPU."""
    parts = [b.cpu() for _, _, b in blocks(engine, plan, lambda row: planes_of(volumes, row), owner, **how)]
    return torch.cat(parts, 2)


def row_gradients(
    engine: Engine, plan: Plan, row: Row, planes: Planes, seeds: Sequence[Seeds], owner: Tensor, *,
    slot: Sequence[int], scale: Sequence[float] | None = None, rule: Callable[[], Any] | None = None,
    reference: Planes | None = None,
) -> tuple[Found, list[dict[int, Tensor]], list[dict[int, Tensor]]]:  # fmt: skip
    """Gradients of every target that a row's windows hold, to the row's planes: one forward, one vjp for each.

    Windows without a target are not run. Every window of a chunk takes its own targets in turn, so that a chunk takes
    as many vjps as its busiest window has targets.

    Args:
        engine: runs the model.
        plan: of the windows.
        row: which of them.
        planes: of G items.
        seeds: of each item.
        owner: ``(G,)``, the case of each.
        slot: of each item, where its gradients are added up.
        scale: of each item, in its slot's sum.
        rule: makes a context that is active during the forward pass.
        reference: planes of a paired stream.

    Returns:
        ``slot → target → input → gradient``; what the row's windows add to each item's (linear) targets; the same of
        the reference.
    """
    present = {(i, w.number): seeds[i].present(w.volume) for i in range(len(owner)) for w in row.windows}
    jobs = [(i, w) for i in range(len(owner)) for w in row.windows if present[i, w.number]]
    padded = plan.total.shape[1:]
    found: Found = {}
    parts: list[dict[int, Tensor]] = [{} for _ in owner]
    others: list[dict[int, Tensor]] = [{} for _ in owner]
    if not jobs:
        return found, parts, others
    stream = window_stream(plan, jobs, planes, owner)
    paired = window_stream(plan, jobs, reference, owner) if reference is not None else None

    def step(index: Tensor) -> None:
        asked = [jobs[j] for j in index.tolist()]
        classes = [present[i, w.number] for i, w in asked]
        m, most = len(asked), max(map(len, classes))
        got: list[tuple[Tensor, ...]] = []
        adds: list[tuple[list[dict[int, Tensor]], int, int, Tensor]] = []
        with torch.enable_grad():
            leaves = {k: v.requires_grad_() for k, v in stream.make(index).items()}
            inputs = {k: v.clone() for k, v in leaves.items()}
            if paired is not None:
                other = paired.make(index)
                inputs = {k: torch.cat([v, other[k]]) for k, v in inputs.items()}
            with rule() if rule else nullcontext():
                output = run(engine, plan, inputs)
            shares = {w.number: plan.share(w) for _, w in asked}
            for rank in range(most):
                seed = torch.zeros_like(output)
                for q, (i, w) in enumerate(asked):
                    if rank >= len(classes[q]):
                        continue
                    t = classes[q][rank]
                    if isinstance(own := seeds[i], CurvedSeeds):
                        seed[q] = plan.place(own.slope(t, w.volume).to(seed), w) * shares[w.number]
                        continue
                    weight = plan.place(own.weight(t, w.volume).to(seed), w)
                    k, exact = own.channel(t), weight * shares[w.number]
                    seed[q, k] = weight if engine.overlap == "sum" else exact
                    adds.append((parts, i, t, (output[q, k].detach() * exact).double().sum()))
                    if paired is not None:
                        adds.append((others, i, t, (output[m + q, k].detach() * exact).double().sum()))
                got.append(engine._vjp(output, leaves, seed, retain=rank + 1 < most))
        owners = stream.owner[index]
        engine._count(owners, 1 if paired is None else 2, 0)
        engine._count(owners, 0, torch.tensor([len(c) for c in classes]))
        for into, i, t, value in adds:
            into[i][t] = into[i][t] + value if t in into[i] else value
        for rank, grads in enumerate(got):
            for q, (i, w) in enumerate(asked):
                if rank < len(classes[q]):
                    mine = found.setdefault(slot[i], {}).setdefault(classes[q][rank], {})
                    for name, g in zip(leaves, grads):
                        g_q = g[q] if scale is None else g[q] * scale[i]
                        if g.ndim == 2:
                            mine[name] = mine[name] + g_q if name in mine else g_q
                            continue
                        if name not in mine:
                            mine[name] = g.new_zeros(g.shape[1], row.stop - row.start, *padded)
                        plan.cut(mine[name], w).add_(g_q)

    engine._chunks(stream, step, graph=True, pair=paired is not None, windows=plan)
    for by_target in found.values():
        for grads in by_target.values():
            for name, g in grads.items():
                if g.ndim > 1:
                    grads[name] = plan.unpad(g[None])[0]
    return found, parts, others
