"""The engine's passes over volumes in windows: outputs, scores, and the gradients of the stitched prediction."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.core.cost import Cost
from pellucid.core.target import Objective
from pellucid.engine import memory
from pellucid.engine.rows import planes_of, row_gradients, run, stitch, window_stream
from pellucid.engine.seeds import BoundSeeds, CurvedSeeds, Seeds, linear, pointwise
from pellucid.engine.stream import Stream
from pellucid.engine.sums import Sums
from pellucid.engine.windows import Plan, Window
from pellucid.errors import UsageError

if TYPE_CHECKING:
    from pellucid.engine.engine import Engine, Gradients

MANY = 1 << 24  # voxels of the volumes that are run together


@dataclass(eq=False)
class Clean:
    """What is known of the windows of the clean cases: each target's part, or the logits.

    Attributes:
        parts: case and window to ``(T,)`` float64, of linear targets.
        logits: case and window to ``(K, *roi)`` on the host, of others.
        seeds: of each case that is bound.
    """

    parts: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    logits: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    seeds: dict[int, BoundSeeds] = field(default_factory=dict)

    def seeds_of(self, objective: Objective, b: int) -> BoundSeeds:
        """The seeds of case ``b``."""
        if b not in self.seeds:
            self.seeds[b] = BoundSeeds(objective.bound[b] or [])
        return self.seeds[b]

    @property
    def bytes(self) -> int:
        """Of the logits."""
        return sum(v.numel() * v.element_size() for v in self.logits.values())


def groups(plan: Plan, stream: Stream) -> Iterator[Tensor]:
    """Places of the stream's items that are run together: small volumes share a chunk."""
    most = max(len(r.windows) for r in plan.rows)
    voxels = plan.total.numel()
    size = max(1, min(memory.CPU_CHUNK // most, MANY // voxels))
    yield from torch.arange(len(stream)).split(size)


def forward(engine: Engine, plan: Plan, stream: Stream) -> Tensor:
    """Stitched outputs ``(n, K, *shape)`` of all items, on the CPU."""
    return torch.cat([stitch(engine, plan, stream.make(g), stream.owner[g]) for g in groups(plan, stream)])


def scores(engine: Engine, plan: Plan, stream: Stream, objective: Objective) -> Tensor:
    """The explained scalars ``(n, T)``.

    A perturbed copy runs the windows alone in which it differs from the clean case (``stream.base``), and of these, if
    the targets are sums over regions, those that hold some of a region.
    """
    clean = engine.clean_windows(objective)
    found = []
    for group in groups(plan, stream):
        volumes, owner = stream.make(group), stream.owner[group]
        logits = bind(engine, plan, stream, objective, volumes, owner, clean)
        if linear(objective):
            if logits is None:
                found.append(_sums(engine, plan, stream, objective, volumes, owner, clean))
            else:
                found.append(_weighted(engine, [clean.seeds_of(objective, int(b)) for b in owner], logits))
            continue
        if logits is None:
            known = _from_clean(engine, plan, stream, volumes, owner, clean)
            logits = stitch(engine, plan, volumes, owner, known=known)
        found.append(objective(logits, owner).to(engine.device))
    return torch.cat(found)


def bind(
    engine: Engine, plan: Plan, stream: Stream, objective: Objective, volumes: dict[str, Tensor], owner: Tensor,
    clean: Clean | None = None, *, always: bool = False,
) -> Tensor | None:  # fmt: skip
    """Fix the targets of the clean cases of a group, from their stitched logits, which are returned if made.

    With ``clean`` the windows' logits are kept for copies, or, of linear targets, each target's part of them, as far
    as the memory allows.
    """
    if objective.ready and not always:
        return None
    if not stream.clean:
        if not objective.ready:
            raise UsageError("the targets are not bound yet: run the clean cases first")
        return stitch(engine, plan, volumes, owner)
    held = Clean()
    limit = memory.CPU_BUDGET if engine._budget is None else engine._budget

    def keep(i: int, window: Window, logits: Tensor) -> None:
        size = plan.count * logits.numel() * logits.element_size()
        if size * len(owner) + (clean.bytes if clean else 0) <= limit:
            held.logits[int(owner[i]), window.number] = logits.cpu()

    stitched = stitch(engine, plan, volumes, owner, keep=None if clean is None else keep)
    objective.bind(stitched, owner)
    if clean is not None and not engine.random:
        if not linear(objective):
            clean.logits.update(held.logits)
        else:
            windows = {w.number: w for r in plan.rows for w in r.windows}
            for (b, number), logits in held.logits.items():
                seeds = clean.seeds_of(objective, b)
                clean.parts[b, number] = part(plan, seeds, windows[number], logits.to(engine.device))
    return stitched


def part(plan: Plan, seeds: BoundSeeds, window: Window, logits: Tensor) -> Tensor:
    """What a window adds to each of the linear targets, ``(T,)`` float64."""
    out = torch.zeros(len(seeds.bound), dtype=torch.float64, device=logits.device)
    share = plan.share(window)
    for t in seeds.present(window.volume):
        weight = plan.place(seeds.weight(t, window.volume).to(logits), window) * share
        out[t] = (logits[seeds.channel(t)] * weight).double().sum()
    return out


def _weighted(engine: Engine, seeds: list[BoundSeeds], logits: Tensor) -> Tensor:
    """Linear targets of stitched logits, ``(G, T)``."""
    every = (slice(None),) * (logits.ndim - 2)
    rows = []
    for row, own in zip(logits, seeds):
        parts = [
            (row[own.channel(t)] * own.weight(t, every).to(row.device)).double().sum() for t in range(len(own.bound))
        ]
        rows.append(torch.stack(parts))
    return torch.stack(rows).to(engine.device, engine.dtype)


def _sums(
    engine: Engine, plan: Plan, stream: Stream, objective: Objective, volumes: dict[str, Tensor], owner: Tensor,
    clean: Clean,
) -> Tensor:  # fmt: skip
    """Linear targets as sums over windows, ``(G, T)``; parts of clean windows are run once."""
    seeds = [clean.seeds_of(objective, int(b)) for b in owner]
    total = torch.zeros(len(owner), len(objective.targets), dtype=torch.float64, device=engine.device)
    same = _untouched(engine, plan, stream, volumes, owner)
    for row in plan.rows:
        jobs, again = [], []
        for i, b in enumerate(owner.tolist()):
            for w in row.windows:
                if seeds[i].present(w.volume):
                    if not same(i, w):
                        jobs.append((i, w))
                    elif (b, w.number) in clean.parts:
                        total[i] += clean.parts[b, w.number]
                    else:
                        again.append((i, w))
        fleeting = bool(engine.random or engine.mixes)
        for wanted, is_clean in ((jobs, False), (again, True)):
            # A clean window stands for itself in every copy of its case that does not touch it.
            first = {(int(owner[i]) if is_clean and not fleeting else i, w.number): (i, w) for i, w in wanted}
            if not first:
                continue
            asked = list(first.values())
            windows = window_stream(plan, asked, planes_of(volumes, row), owner)
            made: dict[tuple[int, int], Tensor] = {}

            def step(index: Tensor, windows: Stream = windows, asked: Any = asked, made: Any = made) -> None:
                with torch.no_grad():
                    output = run(engine, plan, windows.make(index))
                engine._count(windows.owner[index], 1, 0)
                for j, logits in zip(index.tolist(), output):
                    i, w = asked[j]
                    made[i, w.number] = part(plan, seeds[i], w, logits)

            engine._chunks(windows, step, graph=False, windows=plan)
            for i, w in wanted:
                b = int(owner[i])
                chosen = first[b if is_clean and not fleeting else i, w.number][0]
                value = made[chosen, w.number]
                total[i] += value
                if is_clean and not fleeting:
                    clean.parts[b, w.number] = value
    return total.to(engine.dtype)


def _untouched(
    engine: Engine, plan: Plan, stream: Stream, volumes: dict[str, Tensor], owner: Tensor
) -> Callable[[int, Window], bool]:
    """Whether an item is the clean case within a window."""
    if stream.clean:
        return lambda _i, _w: not engine.random
    base = stream.base
    if base is None or engine.random:
        return lambda _i, _w: False
    windows = [w for r in plan.rows for w in r.windows]
    table: list[list[bool]] = []
    for i, b in enumerate(owner.tolist()):
        tables = any(not torch.equal(v[i], base[k][b]) for k, v in volumes.items() if v.ndim == 2)
        changed = torch.zeros(plan.shape, dtype=torch.bool, device=engine.device)
        for k, v in volumes.items():
            if v.ndim > 2:
                changed |= (v[i] != base[k][b]).any(0)
        table.append(
            [True] * len(windows) if tables else torch.stack([changed[w.volume].any() for w in windows]).tolist()
        )
    if not all(map(all, table)) and engine.mixes is None:
        engine.mixes = mixes_windows(engine, plan, volumes)
    if engine.mixes or engine.random:
        return lambda _i, _w: False
    return lambda i, w: not table[i][w.number]


def mixes_windows(engine: Engine, plan: Plan, volumes: dict[str, Tensor]) -> bool:
    """Whether the first window comes out otherwise beside another one than alone: three forwards of set-up.

    What is known of a clean window would then not hold in another batch.
    """
    row = plan.rows[0]
    one = window_stream(
        plan, [(0, row.windows[0])], planes_of(volumes, row), torch.zeros(1, dtype=torch.int64)
    ).make(torch.zeros(1, dtype=torch.int64))
    try:
        with torch.no_grad():
            alone = run(engine, plan, {k: v.clone() for k, v in one.items()})[0]
            beside = run(engine, plan, {k: torch.cat([v, v.flip(-1) + 1]) for k, v in one.items()})[0]
    except (torch.OutOfMemoryError, MemoryError):
        return False  # two windows never share a batch
    engine.setup.forwards += 3
    share = 1e-3 if engine.precision in ("float32", "float64") else 0.05
    found = bool((alone - beside).abs().max() > share * alone.abs().max() + 1e-6)
    if found:
        warnings.warn(
            f"{engine.predictor.name} gives a window another output beside another window than alone: it mixes the "
            "inputs of a batch; every window of every copy is run, and maps are flagged 'mixed_batch'",
            stacklevel=2,
        )
    return found


def plain(engine: Engine, plan: Plan, inputs: dict[str, Tensor], objective: Objective) -> Tensor:
    """The scores ``(1, T)`` of one case, without backward rules: set-up."""
    owner, meter = torch.zeros(1, dtype=torch.int64), Cost(engine.cost.forwards)
    meters, engine._meters = engine._meters, []
    try:
        logits = stitch(engine, plan, inputs, owner)
    finally:
        engine._meters = meters
        engine.setup.forwards += engine.cost.forwards - meter.forwards
        engine.cost.forwards = meter.forwards
    return objective(logits, owner).to(engine.device)


def _from_clean(
    engine: Engine, plan: Plan, stream: Stream, volumes: dict[str, Tensor], owner: Tensor, clean: Clean
) -> Callable[[int, Window], Tensor | None] | None:
    """The clean logits of the windows that an item leaves as they are, where they are kept."""
    if not clean.logits:
        return None
    same = _untouched(engine, plan, stream, volumes, owner)
    return lambda i, w: clean.logits.get((int(owner[i]), w.number)) if same(i, w) else None


def gradients(
    engine: Engine, plan: Plan, stream: Stream, objective: Objective, *, weights: Tensor | None, transform: Any,
    square: bool, reference: Stream | None, rule: Callable[[], Any] | None,
) -> Gradients:  # fmt: skip
    """The exact gradients of the stitched prediction, in one window's memory.

    Windows without a graph, stitched: the targets are bound and, of targets that are not linear in the logits, the
    slope ``∂S/∂L`` found. Then each window again with a graph, and a vjp with the seed ``(w / Σw) · ∂S/∂L`` for each
    target that it holds.
    """
    from pellucid.engine.engine import Gradients

    if not pointwise(objective):
        raise UsageError("windows: this objective is not a sum over voxels, so it has no gradient in windows")
    straight, clean = linear(objective), engine.clean_windows(objective)
    if engine.overlap == "sum" and not straight:
        raise UsageError(
            "overlap='sum' adds up windows of their own logits: it is for targets on logits with a fixed region "
            "(on='logit', refresh=False); use overlap='exact'"
        )
    count, targets = len(objective.cases), len(objective.targets)
    apart = transform is not None or square
    found: list[Tensor] = []
    others: list[Tensor] = []
    added = Sums(count, weights=weights, transform=transform, square=square)
    for group in groups(plan, stream):
        volumes, owner = stream.make(group), stream.owner[group]
        partner = reference.make(group) if reference is not None else None
        if straight and stream.clean and not objective.ready:
            whose = owner.tolist()
            fresh = [i for i, b in enumerate(whose) if objective.bound[b] is None and b not in whose[:i]]
            if fresh:
                first = {k: v[fresh] for k, v in volumes.items()}
                bind(engine, plan, stream, objective, first, owner[fresh], always=True)
        logits = None if straight else bind(engine, plan, stream, objective, volumes, owner, always=True)
        if straight and not all(objective.bound[int(b)] for b in owner):
            raise UsageError("the targets are not bound yet: run the clean cases first")
        other = stitch(engine, plan, partner, owner) if partner is not None and not straight else None
        seeds: list[Seeds] = [
            clean.seeds_of(objective, int(b)) if logits is None
            else CurvedSeeds(objective.bound[int(b)] or [], logits[i], objective.targets, engine.predictor)
            for i, b in enumerate(owner)
        ]  # fmt: skip
        slots = list(range(len(owner))) if apart else owner.tolist()
        scale = None if apart or weights is None else weights[group].tolist()
        into = {
            k: v.new_zeros((len(owner) if apart else count, targets, *v.shape[1:])) for k, v in volumes.items()
        } if apart or not added.sums else added.sums  # fmt: skip
        parts = torch.zeros(2, len(owner), targets, dtype=torch.float64, device=engine.device)
        for row in plan.rows:
            got, own, theirs = row_gradients(
                engine, plan, row, planes_of(volumes, row), seeds, owner, slot=slots, scale=scale, rule=rule,
                reference=None if partner is None else planes_of(partner, row),
            )  # fmt: skip
            for slot, by_target in got.items():
                for t, grads in by_target.items():
                    for name, g in grads.items():
                        at = into[name][slot, t]
                        (at[:, row.low : row.high] if at.ndim > 1 else at).add_(g)
            for kind, values in enumerate((own, theirs)):
                for i, by in enumerate(values):
                    for t, value in by.items():
                        parts[kind, i, t] += value
        found.append(parts[0].to(engine.dtype) if logits is None else objective(logits, owner).to(engine.device))
        if partner is not None:
            others.append(parts[1].to(engine.dtype) if other is None else objective(other, owner).to(engine.device))
        if apart:
            added.add(into, owner, group)
        else:
            added.sums = into
    return Gradients(torch.cat(found), added.sums, added.squares, torch.cat(others) if others else None)
