"""Which findings come together, are predicted together, and share their evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.refiner import base_of, is_masked
from pellucid.errors import InputError, UsageError
from pellucid.evaluate.cohort.shared_evidence import map_pairs, shared_evidence
from pellucid.study.context import Context
from pellucid.study.zoned import Zoned

TABLE, MAPS = "cooccurrence", "cooccurrence_cases"
COLUMNS = ["case", "group", "method", "first", "second", "measure", "value"]


@dataclass(frozen=True, kw_only=True)
class Cooccurrence(Zoned):
    """Every pair of findings: of labels, of predictions, and of the maps of both in the same pictures.

    Methods whose map is the same whatever is explained (such as the control ``edge``) are left out, as are maps that a
    mask was put on.

    Attributes:
        zones, lungs, grid: as in ``zone_importance``; without zones the maps are compared over pixels alone.
        n_boot: draws of the patients.
        seed: of the draws; the run's if None.
    """

    name = "cooccurrence"

    def run(self, context: Context) -> None:
        """Write the table ``cooccurrence``, and ``cooccurrence_cases`` with the pairs of maps picture by picture."""
        run, task = context.run, context.task
        if context.work.model.task != "classification" or len(context.predictor.classes) < 2:
            raise UsageError(
                f"task {task}, analysis {self.name!r}: it compares the findings of a classification with two or more "
                f"classes; this model does {context.work.model.task}"
            )
        groups = run.table("data", task).set_index("case")["group"].to_dict()

        pairs = self.case_by_case(
            context, MAPS, lambda case_id: self._case(context, case_id, groups.get(case_id)), COLUMNS
        )
        pairs = pairs if len(pairs) else pd.DataFrame(columns=COLUMNS)
        seed = context.recipe.seed if self.seed is None else self.seed
        names = [context.predictor.class_name(k) for k in range(len(context.predictor.classes))]
        found = shared_evidence(run.table("outcomes", task), pairs, findings=names, n_boot=self.n_boot, seed=seed)
        run.put_table(TABLE, task, found)

    def _case(self, context: Context, case_id: str, group: Any) -> list[dict[str, Any]]:
        run, task = context.run, context.task
        by_method: dict[str, dict[str, Attribution]] = {}
        for a in run.attributions(task, case_id):
            base = base_of(a.method)
            own = base not in EXPLAINERS or EXPLAINERS[base].targeted
            if a.images and own and not is_masked(a):
                by_method.setdefault(a.method, {})[context.predictor.class_name(int(a.target["index"]))] = a
        several = {m: found for m, found in by_method.items() if len(found) > 1}
        if not several:
            return []
        zones = self._zones(context, case_id)
        rows = []
        for method, found in several.items():
            maps = {label: sum(a.spatial(n).double() for n in a.images) for label, a in found.items()}
            flat = {label: m.numpy() for label, m in maps.items() if isinstance(m, Tensor)}
            for r in map_pairs(flat, {n: (z != 0).numpy() for n, z in zones.items()} or None):
                rows.append({"case": case_id, "group": group, "method": method, **r})
        return rows

    def _zones(self, context: Context, case_id: str) -> dict[str, Tensor]:
        """The zones of the case; none, where none are asked for and the case has none."""
        try:
            return self.zoning.of(context.run.case(context.task, case_id))
        except InputError:
            if self.zones is None and self.lungs is None and self.grid is None:
                return {}
            raise
