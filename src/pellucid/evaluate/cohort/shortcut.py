"""Does the model use something outside the patient? Maps say where to look, the model says whether it matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.case import Case
from pellucid.core.statistics import holm
from pellucid.engine.engine import Engine
from pellucid.evaluate.cohort import finding_words as say
from pellucid.evaluate.cohort.anatomy import GIVEN, How, outside
from pellucid.evaluate.cohort.hotspots import DENSE, Means, spots
from pellucid.evaluate.cohort.moved import MARGIN, PATIENTS, Effect, Tested, effect
from pellucid.evaluate.cohort.places import matched
from pellucid.evaluate.cohort.probe import MapsOf, densities, probe

SPOTS = 3
STRATUM = 3  # maps of one label that make a mean of their own
ALPHA = 0.05
UNITS = {"classification": "probability", "segmentation": "mean probability", "regression": "sd"}
COLUMNS = (
    "kind", "title", "sentence", "zone", "box", "methods", "cases", "n", "of", "value", "low", "high", "control_value",
    "difference", "difference_low", "difference_high", "p", "flips", "unit", "forwards", "note",
)  # fmt: skip


def shortcuts(
    engine: Engine, cases: Sequence[Case], maps_of: MapsOf, *, controls: Sequence[str] = ("random", "edge"),
    seed: int = 0, n_boot: int = 2000,
) -> pd.DataFrame:  # fmt: skip
    """Places outside the patient that the maps point at and that the model's answer hangs on.

    Streams three times over the cases. Of a case's regions only ``anatomy`` or ``body`` is read. The mean maps, of all
    cases and by what was explained, name at most 3 places; each is filled, in the cases whose maps point there, with
    what is around it (and, beside, with the picture's mean), and so are one or two places of the same size elsewhere
    outside: 1 forward in a case and 2 for every place filled, so 19 at most.

    It is a finding if a method that is no control is dense there (3 times the place's share of the picture, in the
    densest quarter of the cases, and more than the first control on average), and filling changes the answer more than
    at the control: the 95 % bootstrap interval of the mean difference lies above zero, and patients whose answer moves
    there outnumber those whose answer moves at the control (exact sign test, Holm over the places, p < 0.05). It moves
    where it changes by 0.1 more than at the other (of a probability, or standard deviations of a regression's
    predictions), or flips there alone.

    Args:
        engine: around the model that was explained.
        cases: that have maps.
        maps_of: case id to its maps, all methods and targets.
        controls: methods that know nothing of the model, the first one chance.
        seed: of the bootstrap.
        n_boot: draws.

    Returns:
        One row per finding (kind ``"shortcut"``), else one row of kind ``"none"`` that says what was looked for.
        ``value`` is the mean size of the change of the answer at the place, with its interval, in ``unit``;
        ``control_value`` that at the control; ``difference`` the paired difference. ``cases`` are the ids of those
        whose maps point there and whose answer moves there, ``n`` their number, ``of`` how many were looked at;
        ``flips``, in how many of them the answer flips.
    """
    pictured = [c.replace(regions={k: v for k, v in c.regions.items() if k in GIVEN}) for c in cases if c.spatial]
    if not pictured:
        return _table([_row("none", say.no_pictures(len(cases)), of=len(cases))])
    shapes = [c.spatial for c in pictured]
    means = Means(max(dict.fromkeys(shapes), key=shapes.count))
    looked = [c for c in pictured if len(c.spatial) == len(means.shape)]
    how, held = _add(means, looked, maps_of)
    methods = sorted({m for m, _, _ in held} - set(controls))
    unit = UNITS[engine.predictor.task]
    fixed: dict[str, Any] = {"of": len(looked), "unit": unit, "note": say.about(how, held, methods, controls)}
    if not held:
        return _table([_row("none", say.no_maps(len(looked)), **fixed)])
    patients = len({c.group for c in looked})
    if patients < PATIENTS:
        return _table([_row("none", say.too_few(len(looked), patients, PATIENTS), **fixed)])
    found = spots(means, methods, most=SPOTS, least=STRATUM)
    others = [matched(s.place, means.away, [o.place for o in found if o is not s]) for s in found]
    before = engine.cost.forwards
    tested = probe(
        engine, looked, maps_of, [(s, tuple(o)) for s, o in zip(found, others) if o], controls=controls, seed=seed
    )
    fixed["forwards"] = engine.cost.forwards - before
    effects = [effect(t, n_boot=n_boot, seed=seed) for t in tested]
    p = holm(np.array([e.p for e in effects], float))
    geometry = looked[0].geometry
    orientation = None if geometry is None else geometry.orientation
    rows = [
        _finding(t, e, float(q), orientation, "frame" in how, fixed)
        for t, e, q in zip(tested, effects, p)
        if t.methods and e.difference_low > 0 and q < ALPHA
    ]
    if rows:
        return _table(rows)
    text = say.nothing(
        cases=len(looked), patients=patients, framed=len(how.get("frame", ())), found=len(found),
        tested=list(zip(tested, effects)), unit=unit, orientation=orientation, margin=MARGIN, dense=DENSE,
    )  # fmt: skip
    none = (Effect(), float("nan"))
    best, q = max(zip(effects, p), key=lambda pair: np.nan_to_num(pair[0].difference, nan=-1.0), default=none)
    return _table([_row("none", text, best, float(q), **fixed)])


def _add(means: Means, cases: Sequence[Case], maps_of: MapsOf) -> tuple[dict[How, list[str]], list[Any]]:
    """Add up all maps; how the outlines were found, and ``(method, share of the map outside, of the picture)``."""
    how: dict[How, list[str]] = {}
    held = []
    for case in cases:
        away = outside(case)
        how.setdefault(away.how, []).append(away.says)
        dense = densities(case, maps_of(case.id))
        means.add(away.mask, dense)
        held += [(m, float(d[away.mask].sum() / d.size), float(away.mask.mean())) for m, _, d in dense]
    return how, held


def _finding(
    t: Tested, e: Effect, p: float, orientation: str | None, frame: bool, fixed: dict[str, Any]
) -> dict[str, Any]:
    concerned = [f for f in t.filled if f.side > 0]
    more = {
        "zone": t.spot.place.zone(orientation), "box": str(t.spot.place), "methods": ", ".join(t.methods),
        "cases": ",".join(f.case for f in concerned), "n": len(concerned), "flips": sum(f.flips for f in concerned),
        "note": f"{say.second_fill(t, fixed['unit'])} {fixed['note']}",
    }  # fmt: skip
    text = say.shortcut(
        t, e, concerned=concerned, of=fixed["of"], unit=fixed["unit"], orientation=orientation, frame=frame
    )
    return _row("shortcut", text, e, p, **{**fixed, **more})


def _row(kind: str, sentence: str, e: Effect | None = None, p: float = float("nan"), **more: Any) -> dict[str, Any]:
    e = e or Effect()
    zone = more.get("zone", "")
    return {
        "kind": kind, "title": f"Evidence outside the patient: {zone or 'nothing found'}", "sentence": sentence,
        "zone": "", "box": "", "methods": "", "cases": "", "n": 0, "value": e.value, "low": e.low, "high": e.high,
        "control_value": e.control, "difference": e.difference, "difference_low": e.difference_low,
        "difference_high": e.difference_high, "p": p, "flips": 0, "unit": "", "forwards": 0, "note": "", **more,
    }  # fmt: skip


def _table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows)[list(COLUMNS)]
