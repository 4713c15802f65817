"""The places that the maps point at, put to the model: filled, beside matched places elsewhere, patient by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.target import Target, as_target
from pellucid.engine.engine import Engine
from pellucid.evaluate.cohort.anatomy import Outside, outside
from pellucid.evaluate.cohort.hotspots import DENSE, Array, Spot, density
from pellucid.evaluate.cohort.moved import Filled, Tested, in_sd
from pellucid.evaluate.cohort.places import Place
from pellucid.evaluate.shared.refill import refilled

MapsOf = Callable[[str], Sequence[Attribution]]
Plan = Sequence[tuple[Spot, tuple[Place, ...]]]
Table = dict[str, dict[str, float]]  # case → method → value
DENSEST = 4  # the densest case in so many decides whether a method is dense there: not every patient shows a mark


def densities(case: Case, maps: Sequence[Attribution]) -> list[tuple[str, str, Array]]:
    """``(method, label of the target, density)`` of the maps that have one."""
    found = []
    for a in maps:
        dense = density(a, case.spatial) if a.images and "empty_target" not in a.flags else None
        if dense is not None:
            found.append((a.method, str(a.target["label"]), dense))
    return found


def probe(
    engine: Engine, cases: Sequence[Case], maps_of: MapsOf, plan: Plan, *, controls: Sequence[str], seed: int
) -> list[Tested]:
    """Read all maps at the spots, then fill the spots in the cases whose maps point there.

    ``1 + 2 Σ(1 + controls)`` forwards in a case, over the spots that its maps point at; none if they point at none.

    Args:
        engine: around the model.
        cases: to look at, streamed twice.
        maps_of: case id to its maps.
        plan: spots, each with the places to compare it with.
        controls: methods that know nothing of the model.
        seed: of the problems.
    """
    if not plan:
        return []
    times, masses = _read(cases, maps_of, plan)
    tested = []
    for (spot, others), rows, mass in zip(plan, times, masses):
        methods = _dense(rows, controls)
        pointing = [i for i, row in rows.items() if _points(methods, row)]
        held = {m: float(np.mean([mass[i][m] for i in pointing if m in mass[i]] or [np.nan])) for m in _all(rows)}
        tested.append(Tested(spot, others, methods, held))
    scores: list[float] = []
    for case in cases:
        here = [t for t, rows in zip(tested, times) if case.id in rows and _points(t.methods, rows[case.id])]
        if here:
            scores += _fill(engine, case, maps_of(case.id), here, seed)
    if engine.predictor.task == "regression":
        tested = [in_sd(t, float(np.std(scores))) for t in tested]
    return tested


# -- inside ------------------------------------------------------------------------------------------------------


def _read(cases: Sequence[Case], maps_of: MapsOf, plan: Plan) -> tuple[list[Table], list[Table]]:
    """For every spot, by case and method: how many times its share of the picture it holds, and what share of the map.

    Of several targets of a case, the one that holds most.
    """
    times: list[Table] = [{} for _ in plan]
    masses: list[Table] = [{} for _ in plan]
    for case in cases:
        away = outside(case)
        where = [within(spot.place, away) for spot, _ in plan]
        for method, _, dense in densities(case, maps_of(case.id)):
            for i, here in enumerate(where):
                if here.any():
                    held = float(dense[here].mean())
                    for table, value in ((times[i], held), (masses[i], held * float(here.mean()))):
                        row = table.setdefault(case.id, {})
                        row[method] = max(value, row.get(method, 0.0))
    return times, masses


def _all(rows: Table) -> list[str]:
    return sorted({m for row in rows.values() for m in row})


def _dense(rows: Table, controls: Sequence[str]) -> tuple[str, ...]:
    """Methods that hold 3 times the place's share or more in the densest quarter of the cases, and more than chance."""
    found = []
    for name in (m for m in _all(rows) if m not in controls):
        values = np.array([row[name] for row in rows.values() if name in row])
        chance = np.array([row.get(controls[0], 1.0) if controls else 1.0 for row in rows.values() if name in row])
        top = np.sort(values)[-max(1, len(values) // DENSEST) :]
        if top.mean() >= DENSE and values.mean() > chance.mean():
            found.append((float(values.mean()), name))
    return tuple(n for _, n in sorted(found, reverse=True))


def _points(methods: Sequence[str], row: dict[str, float]) -> bool:
    return not methods or any(row.get(m, 0.0) >= DENSE for m in methods)


def _fill(
    engine: Engine, case: Case, maps: Sequence[Attribution], here: Sequence[Tested], seed: int
) -> list[float]:
    """Fill the places of one case, all in the same batches; gives its own scores."""
    away = outside(case)  # again: the masks of many volumes would fill the memory
    places = [within(p, away) for t in here for p in (t.spot.place, *t.controls)]
    got = refilled(
        engine, case, _targets(engine, maps), torch.as_tensor(np.stack(places)), torch.as_tensor(away.mask), seed=seed
    )
    change = (got.clean - got.filled).numpy()  # (2, M, T)
    at = 0
    for t in here:
        spot, others = change[:, at], change[:, at + 1 : at + 1 + len(t.controls)]
        t.filled.append(
            Filled(
                case.id, str(case.group), spot.mean(-1), np.abs(spot).mean(-1), np.abs(others).mean((1, 2)),
                bool(got.flips[0, at].any()), bool(got.flips[0, at + 1 : at + 1 + len(t.controls)].any()),
            )
        )  # fmt: skip
        at += 1 + len(t.controls)
    return [float(v) for v in got.clean]


def within(place: Place, away: Outside) -> NDArray[np.bool_]:
    """The pixels of a place that are outside, on the case's grid."""
    mask = np.zeros(away.mask.shape, bool)
    at = place.on(mask.shape)
    mask[at] = away.mask[at]
    return mask


def _targets(engine: Engine, maps: Sequence[Attribution]) -> list[Target]:
    """The targets of a case's maps, each once, fixed at the class that was explained."""
    distinct: dict[str, Target] = {}
    for a in maps:
        described = {k: v for k, v in a.target.items() if k not in ("index", "label")}
        if "k" in described:
            described["k"] = int(a.target["index"])
        distinct.setdefault(str(sorted(described.items())), as_target(described, engine.predictor))
    return list(distinct.values())
