"""Global importance: in which zone of the picture, and in which column of a table, each finding's evidence lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.aggregate.regions import region_table
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.refiner import is_masked
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.cohort.zones import zone_importance
from pellucid.study.context import Context
from pellucid.study.zoned import Zoned, several

TABLE, SUMMARY = "zone_importance", "zone_importance_summary"
COLUMNS = [
    "case", "group", "method", "target_index", "target", "outcome", "kind", "zone", "share", "mass", "enrichment",
    "absolute", "signed_sum", "signed_mean", "intensity",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ZoneImportance(Zoned):
    """The maps summed over zones, case by case, and their means over the cohort.

    Maps that a mask was put on are left out: the mask decides where they lie.

    Attributes:
        zones: names of regions; those called ``zone …`` (``lung_zones_classical``) if None.
        lungs: name of the region of both lungs, to be cut into six zones.
        grid: rows and columns of the picture, in place of both.
        methods: whose maps; all if None.
        n_boot: draws of the patients.
        seed: of the draws; the run's if None.
    """

    name = "zone_importance"
    methods: tuple[str, ...] | None = None

    def run(self, context: Context) -> None:
        """Write the tables ``zone_importance`` and its summary."""
        run, task = context.run, context.task
        data = run.table("data", task).set_index("case")
        outcomes = run.table("outcomes", task)
        known: Mapping[Any, Any] = (
            {} if not len(outcomes) else outcomes.set_index(["case", "target_index"])["outcome"].to_dict()
        )
        wanted = several(self.methods)
        if wanted and context.explain is not None:
            _check(wanted, context)

        table = self.case_by_case(
            context, TABLE, lambda case_id: self._case(context, case_id, data, known, wanted), COLUMNS
        )
        if len(table):
            seed = context.recipe.seed if self.seed is None else self.seed
            run.put_table(SUMMARY, task, zone_importance(table, n_boot=self.n_boot, seed=seed))

    def _case(
        self, context: Context, case_id: str, data: pd.DataFrame, outcomes: Mapping[Any, Any],
        wanted: tuple[str, ...] | None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        run, task = context.run, context.task
        case = run.case(task, case_id)
        mine = data.loc[case_id] if case_id in data.index else pd.Series(dtype=object)
        zones: dict[str, Tensor] = {}
        if case.images:
            zones = self.zoning.of(case, mirrored=str(mine.get("meta_mirrored", False)) == "True")
        rows: list[dict[str, Any]] = []
        seen: set[tuple[str, int]] = set()  # "predicted" may name a class that is asked for by its name as well
        for a in run.attributions(task, case_id):
            index = int(a.target["index"])
            if is_masked(a) or (wanted and a.method not in wanted) or (a.method, index) in seen:
                continue
            seen.add((a.method, index))
            same = {
                "case": case_id, "group": mine.get("group", case_id), "method": a.method, "target_index": index,
                "target": _finding(context, a), "outcome": outcomes.get((case_id, index)),
            }  # fmt: skip
            rows += [same | r for r in [*_of_zones(a, case, zones), *_of_features(a, case, context)]]
        return rows


def _finding(context: Context, a: Attribution) -> str:
    """What the map is of: the class by its name, else what the target says."""
    if context.work.model.task == "classification":
        return context.predictor.class_name(int(a.target["index"]))
    return str(a.target["label"])


def _of_zones(a: Attribution, case: Case, zones: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """A row for each zone of one map."""
    if not a.images or not zones:
        return []
    found: dict[str, dict[str, float]] = {}
    for r in region_table(a, zones):
        found.setdefault(r["region"], {})[r["measure"]] = r["value"]
    picture = case.inputs[case.images[0]].mean(0)
    rows = []
    for zone, mask in zones.items():
        m, size = found[zone], int((mask != 0).sum())
        rows.append({
            "kind": "zone", "zone": zone, "share": m["share"], "mass": m["mass"], "enrichment": m["enrichment"],
            "absolute": m["mean"] * size if size else np.nan, "signed_sum": m["signed_sum"],
            "signed_mean": m["signed_mean"], "intensity": float(picture[mask != 0].mean()) if size else np.nan,
        })  # fmt: skip
    return rows


def _of_features(a: Attribution, case: Case, context: Context) -> list[dict[str, Any]]:
    """A row for each column of the tables of one map."""
    names, values, own = [], [], []
    for table in a.tables:
        count = len(a.maps[table])
        known = context.work.model.features.get(table) or dict(case.meta.get("features") or {}).get(table) or []
        names += [str(n) for n in known] if len(known) == count else [f"{table}[{i}]" for i in range(count)]
        values.append(a.maps[table].double())
        own.append(case.inputs[table].double())
    if not names:
        return []
    signed, seen = torch.cat(values), torch.cat(own)
    total, share = float(signed.abs().sum()), 1 / len(names)
    rows = []
    for name, v, x in zip(names, signed.tolist(), seen.tolist(), strict=True):
        mass = abs(v) / total if total > 0 else np.nan
        rows.append({
            "kind": "feature", "zone": name, "share": share, "mass": mass, "enrichment": mass / share,
            "absolute": abs(v), "signed_sum": v, "signed_mean": v, "intensity": x,
        })  # fmt: skip
    return rows


def _check(wanted: Sequence[str], context: Context) -> None:
    """Refuse a method that no case of the run has."""
    made = {a.method for c in context.run.cases(context.task)[:1] for a in context.run.attributions(context.task, c)}
    for name in wanted:
        if made and name not in made:
            near = nearest(name, sorted(made))
            raise UsageError(f"task {context.task}, analysis 'zone_importance': no maps of {name!r}; {near}")
