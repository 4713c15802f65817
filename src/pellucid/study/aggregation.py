"""The recipe's section ``aggregate``: region tables of all classes, case by case, without stored maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd
from torch import Tensor

from pellucid.aggregate.wide import to_wide
from pellucid.api_aggregate import COLUMNS, aggregated
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.engine.engine import Engine
from pellucid.errors import InputError
from pellucid.explain.make import as_explainer
from pellucid.io.files import atomic
from pellucid.study.context import Context
from pellucid.study.recipe import Aggregate, LabelFile
from pellucid.study.segment import segmented
from pellucid.study.stages.explain import cost_rows, spread, verdict_rows


class Aggregation:
    """What one task asks to be aggregated."""

    def __init__(self, context: Context) -> None:
        assert context.work.aggregate is not None
        self.context = context
        self.asked: Aggregate = context.work.aggregate
        self.explainers = [as_explainer(m) for m in self.asked.methods]

    @cached_property
    def cases(self) -> dict[str, Case]:
        """The cases of all parts that are asked for, by id; ``most`` of each part, spread over classes and sizes."""
        found: dict[str, Case] = {}
        for part in self.asked.parts:
            cases, most = self.context.part(part), self.asked.most
            if most is not None and most < len(cases):
                cases = [cases[i] for i in sorted(spread(cases, self.context.recipe.seed)[:most])]
            found |= {c.id: c for c in cases}
        if not found:
            parts = ", ".join(self.asked.parts)
            raise InputError(f"task {self.context.task}: no case of {parts} is there to aggregate")
        return found

    @cached_property
    def engine(self) -> Engine:
        """The run's, or one that adds windows up as the seed does."""
        if self.asked.overlap == "exact":
            return self.context.engine
        recipe = self.context.recipe
        return Engine(self.context.predictor, device=recipe.device, precision=recipe.precision, overlap="sum")

    def table(self, case: Case) -> pd.DataFrame:
        """The rows of one case; its costs and the maps that are kept go into the run."""
        run, task, asked = self.context.run, self.context.task, self.asked
        [case], soft = segmented(self.context, [case])
        rows: list[dict[str, Any]] = []
        costs: list[dict[str, Any]] = []
        kept: list[Attribution] = []
        labels: Tensor | None = None
        for explainer in self.explainers:
            made, maps = aggregated(
                self.engine, case, explainer, seed=self.context.recipe.seed, targets=asked.targets,
                regions=[self._regions(r, case) for r in asked.regions], join=asked.join,
                names=self._names(asked.names), measures=asked.measures, keep=asked.keep,
            )  # fmt: skip
            rows += made.rows
            costs.append({"case": case.id, "method": explainer.name, **made.cost.as_dict()})
            kept += maps
            labels = made.labels
        run.put_part("aggregate_costs", task, case.id, pd.DataFrame(costs))
        if kept:
            self._store(case, kept, labels, soft[0])
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def finish(self) -> None:
        """Join the costs, and write the wide tables."""
        run, task = self.context.run, self.context.task
        run.merge("aggregate_costs", task)
        if self.asked.keep:
            for name in ("verdicts", "costs"):
                run.merge(name, task)
        if not self.asked.wide:
            return
        table = run.table("regions", task)
        if "of" not in table:
            return
        own = table[table["of"].notna() & ~table["region"].isin(list(self.asked.join))]
        groups = list(own.groupby(["method", "of"], sort=False))
        for (method, of), part in groups:
            file = "wide.csv" if len(groups) == 1 else f"wide-{method}-{_plain(str(of))}.csv"
            path = run.folder / "aggregate" / task / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as temporary:
                to_wide(part).to_csv(temporary, index=False)

    def _regions(self, asked: str | LabelFile, case: Case) -> Any:
        if isinstance(asked, str):
            return asked
        path = self.context.path(asked.file.format(case=case.id, group=case.group))
        return {"file": path, "names": self._names(asked.names), "of": asked.of or asked.file}

    def _names(self, names: Any) -> Any:
        return self.context.path(names) if isinstance(names, str) else names

    def _store(self, case: Case, kept: Sequence[Attribution], labels: Tensor | None, soft: Any) -> None:
        """Put kept maps beside those that the case has; of a map that is there already the stored one stays."""
        run, task = self.context.run, self.context.task
        maps: list[Attribution] = []
        if case.id in run.cases(task):
            maps = run.attributions(task, case.id)
            case, soft, labels = run.case(task, case.id), run.soft(task, case.id), run.prediction(task, case.id)
        have = {(a.method, a.target["label"]) for a in maps}
        maps += [a for a in kept if (a.method, a.target["label"]) not in have]
        run.put_maps(task, case, maps, labels, soft)
        run.put_part("verdicts", task, case.id, verdict_rows(maps))
        run.put_part("costs", task, case.id, cost_rows(maps))


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)
