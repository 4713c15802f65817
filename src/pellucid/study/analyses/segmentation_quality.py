"""How much a SegX map depends on the quality of its mask: the mask made worse, the map looked at again.

No pass through the explained model is needed; a weaker segmenter runs once per case.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.engine.engine import Engine
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.cohort.quality import AS_IT_IS, by_mask_dice
from pellucid.refine.degrade import KINDS, Degraded, degrade, mask_dice
from pellucid.refine.make import as_refiner
from pellucid.refine.mask import as_mask, widened
from pellucid.refine.predicted import predicted_region
from pellucid.refine.segx import SegX
from pellucid.study.analysis import Analysis
from pellucid.study.context import Context
from pellucid.study.mask_quality import measured, seen_through, support_of
from pellucid.study.recipe import Segment
from pellucid.study.segment import segmenter

WEAKER = "weaker"
TABLE, SUMMARY = "segmentation_quality", "segmentation_quality_summary"
COLUMNS = [
    "case", "group", "target_index", "method", "kind", "level", "draw", "amount", "unit", "mask_dice", "reference",
    "measure", "value", "note",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SegmentationQuality(Analysis):
    """Make the mask of SegX worse, step by step, and measure what becomes of the maps.

    Attributes:
        steps: levels of each kind.
        draws: how often a shift or a dropout is drawn.
        step: millimetres (pixels without spacing) per level of erosion and dilation; a share of the mask's inner
            radius if None.
        kinds: of :data:`~pellucid.refine.degrade.KINDS`, and ``"weaker"``; all that are possible if None
            (``threshold`` where the mask's probabilities are there, ``weaker`` where the option is).
        weaker: other segmenters of the same region, a mapping or a list of them: ``{task: NAME}`` or ``{load:
            FOLDER}`` and further keys as in ``segment``.
        methods: whose maps; all that are not refined if None.
        mask: name of the region; that of the recipe's first ``segx`` if None.
        truth: name of the true region, with which the masks' Dice is taken; the mask as it was, if None or where a case
            has none.
        region: with which the masked maps are compared; that of ``evaluate`` if None.
        top, within: of SegX; those of the recipe's first ``segx`` if None.
        seed: of what is random; that of the run if None.
    """

    name = "segmentation_quality"
    steps: int = 4
    draws: int = 2
    step: float | None = None
    kinds: tuple[str, ...] | None = None
    weaker: Any = None
    methods: tuple[str, ...] | None = None
    mask: str | None = None
    truth: str | None = None
    region: str | None = None
    top: float | None = None
    within: Literal["mask", "image"] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.steps < 1 or self.draws < 1 or (self.step is not None and not self.step > 0):
            raise UsageError(
                f"analysis {self.name!r}: steps={self.steps}, draws={self.draws}, step={self.step}: give 1 or more of "
                "each, and a positive step"
            )
        for kind in _several(self.kinds):
            if kind not in (*KINDS, WEAKER):
                raise UsageError(f"analysis {self.name!r}: no kind {kind!r}; {nearest(kind, (*KINDS, WEAKER))}")
        if self.weaker is None and WEAKER in _several(self.kinds):
            raise UsageError(f"analysis {self.name!r}: 'weaker' wants a segmenter: weaker: {{task: NAME}}")
        for one in _several(self.weaker):
            try:
                Segment.model_validate(one)
            except ValidationError as error:
                said = "; ".join(str(e["msg"]) for e in error.errors())
                raise UsageError(f"analysis {self.name!r}, weaker {one!r}: {said}") from error

    @property
    def models(self) -> tuple[str, ...]:
        """The tasks of the weaker segmenters."""
        asked = (Segment.model_validate(one) for one in _several(self.weaker))
        return tuple(one.task for one in asked if one.task is not None)

    def run(self, context: Context) -> None:
        """Write the tables ``segmentation_quality`` and its summary by the masks' Dice."""
        run, task = context.run, context.task
        how = self._segx(context)
        owners = dict(run.table("data", task)[["case", "group"]].itertuples(index=False, name=None))
        asked = [Segment.model_validate(one) for one in _several(self.weaker)]
        others = [(segmenter(context, WEAKER, one), one) for one in asked]

        table = self.case_by_case(
            context, TABLE, lambda case_id: self._case(context, case_id, owners.get(case_id), how, others), COLUMNS
        )
        seed = context.recipe.seed if self.seed is None else self.seed
        if len(table):
            run.put_table(SUMMARY, task, by_mask_dice(table, seed=seed))

    def _segx(self, context: Context) -> SegX:
        """The refiner that is looked at: the recipe's, with what is given here."""
        found = [r for r in map(as_refiner, context.work.refine) if isinstance(r, SegX)]
        if not found and self.mask is None:
            raise UsageError(
                f"task {context.task}, analysis {self.name!r}: the recipe has no segx under 'refine'; name the mask: "
                "{segmentation_quality: {mask: REGION}}"
            )
        base = next((r for r in found if self.mask in (None, r.mask)), SegX(mask=str(self.mask)))
        return replace(
            base, mask=self.mask or base.mask, top=base.top if self.top is None else self.top,
            within=self.within or base.within,
        )  # fmt: skip

    def _case(
        self, context: Context, case_id: str, group: str | None, how: SegX, others: list[tuple[Engine, Segment]]
    ) -> list[dict[str, Any]]:  # fmt: skip
        run, task = context.run, context.task
        case, soft = run.case(task, case_id), run.soft(task, case_id).get(how.mask)
        case.region(how.mask)  # says which regions there are
        raw = as_mask(case.regions[how.mask], where=f"case {case_id}", value=how.value)
        whole = widened(raw, how.margin, case.spacing)
        said = "" if whole.any() else "the mask is empty as it is, and SegX shows the whole map"
        masks = [Degraded(AS_IT_IS, 0, 0, 0.0, "", whole, said)]
        if whole.any():
            masks += self._worse(context, case, whole, soft, others, how)
        truth = case.region(self.truth) if self.truth is not None and self.truth in case.regions else None
        reference = whole if truth is None or not truth.any() else truth
        wanted = _several(self.methods)
        rows = []
        for a in run.attributions(task, case_id):
            if a.refinement is not None or (wanted and a.method not in wanted):
                continue
            support = support_of(a, tuple(whole.shape))
            if support is None:
                continue
            was = seen_through(support, whole, top=how.top, within=how.within)
            region = self._region(context, case, a, tuple(whole.shape))
            for d in masks:
                now = was if d.level == 0 else seen_through(support, d.mask, top=how.top, within=how.within)
                same = {
                    "case": case_id, "group": group, "target_index": int(a.target["index"]), "method": a.method,
                    "kind": d.kind, "level": d.level, "draw": d.draw, "amount": d.amount, "unit": d.unit,
                    "mask_dice": mask_dice(d.mask, reference),
                    "reference": str(self.truth) if reference is truth else how.mask, "note": d.note,
                }  # fmt: skip
                found = measured(support, was, now, top=how.top, region=region)
                rows += [{**same, "measure": k, "value": v} for k, v in found.items()]
        return rows

    def _worse(
        self, context: Context, case: Case, whole: Tensor, soft: Tensor | None, others: list[tuple[Engine, Segment]],
        how: SegX,
    ) -> list[Degraded]:  # fmt: skip
        seed = context.recipe.seed if self.seed is None else self.seed
        kinds = _several(self.kinds) or [*(k for k in KINDS if k != "threshold" or soft is not None), WEAKER]
        if "threshold" in kinds and soft is None:
            raise UsageError(
                f"case {case.id}: no probabilities of region {how.mask!r}, so there is no other threshold; leave it "
                "out of 'kinds', or let a model predict the region ('segment')"
            )
        found: list[Degraded] = []
        for kind in kinds:
            if kind == WEAKER:
                for level, (engine, one) in enumerate(others, start=1):
                    mask, _ = predicted_region(engine, case, label=one.label, inputs=one.inputs, size=one.size)
                    empty = "" if mask.any() else "the weaker segmenter finds nothing"
                    named = str(one.task or one.load)
                    found.append(Degraded(kind, level, 0, float(level), named, widened(mask, how.margin, case.spacing),
                                          empty))  # fmt: skip
                continue
            # Cases are drawn for differently, whatever their order.
            own = seed + zlib.crc32(case.id.encode())
            made = degrade(whole, kind, steps=self.steps, draws=self.draws, step=self.step, spacing=case.spacing,
                           soft=soft, seed=own)  # fmt: skip
            # The others begin with the mask as SegX sees it, which has its margin; a new cut has none yet.
            found += [replace(d, mask=widened(d.mask, how.margin, case.spacing)) if kind == "threshold" else d
                      for d in made]  # fmt: skip
        return found

    def _region(self, context: Context, case: Case, a: Attribution, grid: tuple[int, ...]) -> Tensor | None:
        """What plausibility compares with; None where the case has no such region, or an empty one."""
        name = self.region or context.work.evaluate.region or "lesion"
        if name == "target" and name not in case.regions:
            name = str(a.target["label"])
        if name in case.regions:
            found = case.region(name)
        elif name == "truth" and isinstance(case.truth, Tensor) and case.truth.ndim > 1:
            found = torch.as_tensor(case.truth == context.predictor.label_of(int(a.target["index"])))
        else:
            return None
        return found if tuple(found.shape) == grid and found.any() and not found.all() else None


def _several(value: Any) -> list[Any]:
    """A list of what may be one, several or nothing."""
    if value is None:
        return []
    return [value] if isinstance(value, str | Mapping) else list(value)
