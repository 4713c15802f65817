"""Four things that are said of maps of chest X-rays, tested on the run's maps rather than told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.claim_measures import alike, box_measures, focus_measures, nearer_own, outside, support_of
from pellucid.evaluate.cohort.claims import MAPS, RANDOM, judged
from pellucid.evaluate.cohort.claims_apart import apart_claims
from pellucid.evaluate.cohort.claims_boxes import READERS, agreement_claims
from pellucid.evaluate.cohort.claims_focus import focus_claims
from pellucid.evaluate.cohort.claims_lungs import outside_claims
from pellucid.evaluate.undefined import Undefined
from pellucid.study.analysis import Analysis
from pellucid.study.context import Context

TABLE, CASES = "claims", "claim_maps"
LUNGS = ("lungs", "lungs_classical")
READER = "reader_"
BOXES = "boxes"  # what the rows call the region of a finding's boxes, whatever its name
Seen = dict[int, Tensor]  # the support of each target's map


@dataclass(frozen=True, kw_only=True)
class ClinicalClaims(Analysis):
    """Agreement with boxes, focus and confidence, evidence outside the lungs, separate maps of findings.

    Attributes:
        boxes: the region of a finding's boxes: ``"target"`` for the one that is called as the finding, or a name.
        readers: regions of single readers' boxes, of the finding that is explained; those whose names begin with
            ``reader_`` if None.
        lungs: the region of the lungs; ``lungs``, else ``lungs_classical`` if None.
        methods: whose maps; all that are not refined if None. The random map is always among them.
        stated: an agreement that somebody stated, such as 0.87; none if None.
        top: share of the pixels that counts as a map's highest, of two maps that are compared.
        draws: of the bootstrap.
        seed: of the draws; that of the run if None.
    """

    name = "clinical_claims"
    boxes: str = "target"
    readers: tuple[str, ...] | None = None
    lungs: str | None = None
    methods: tuple[str, ...] | None = None
    stated: float | None = 0.87
    top: float = 0.1
    draws: int = 1000
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.top < 1:
            raise UsageError(f"analysis {self.name!r}: top={self.top}; give a share of the pixels, above 0 and below 1")
        if self.stated is not None and not 0 < self.stated <= 1:
            raise UsageError(f"analysis {self.name!r}: stated={self.stated}; give a share, above 0 and at most 1")
        if self.draws < 100:
            raise UsageError(f"analysis {self.name!r}: draws={self.draws}; give at least 100")

    def run(self, context: Context) -> None:
        """Write the tables ``claim_maps`` (numbers of single maps) and ``claims``."""
        run, task = context.run, context.task
        data = run.table("data", task)
        owners = dict(data[["case", "group"]].itertuples(index=False, name=None))
        known = {
            (str(r["case"]), int(r["target_index"])): r for r in run.table("outcomes", task).to_dict("records")
        }
        rows: list[dict[str, Any]] = []
        last: dict[tuple[str, int], tuple[Any, Tensor]] = {}  # by method and target: an earlier patient's map
        cases = run.cases(task)
        with context.progress(self.name, len(cases)) as advance:
            for case_id in cases:
                case, group = run.case(task, case_id), owners.get(case_id)
                found = self._case(case, run.attributions(task, case_id), known, last, group or case_id)
                rows += [{"case": case_id, "group": group, **row} for row in found]
                advance(1)
        maps = pd.DataFrame(rows, columns=MAPS)
        run.put_table(CASES, task, maps)
        seed = context.recipe.seed if self.seed is None else self.seed
        run.put_table(TABLE, task, claims_of(maps, stated=self.stated, n_boot=self.draws, seed=seed))

    def _case(
        self, case: Case, maps: Sequence[Attribution], known: Mapping[tuple[str, int], Any],
        last: dict[tuple[str, int], tuple[Any, Tensor]], owner: str,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """The numbers of one case's maps, and of its readers."""
        lungs = next((n for n in ((self.lungs,) if self.lungs else LUNGS) if n in case.regions), None)
        by_method: dict[str, Seen] = {}
        labels: dict[int, str] = {}
        for a in maps:
            index = int(a.target["index"])
            labels[index] = str(a.target.get("label", index))
            if a.refinement is not None or not (self.methods is None or a.method in (*self.methods, RANDOM)):
                continue
            base = {"method": a.method, "target_index": index, "target": labels[index], "other": "",
                    **_answer(known.get((case.id, index)))}  # fmt: skip
            try:
                support = support_of(a)
            except Undefined as reason:
                yield base | {"region": "", "measure": "none", "value": np.nan, "note": str(reason)}
                continue
            by_method.setdefault(a.method, {})[index] = support
            yield from _long(base, "", focus_measures(support))
            if lungs is not None and _proper(mask := case.region(lungs), support):
                yield from _long(base, lungs, outside(support, mask))
            patient, other = last.get((a.method, index), (owner, support))
            for region, name in self._boxes(case, labels[index]).items():
                box = case.region(name)
                if not _proper(box, support):
                    continue
                yield from _long(base, region, box_measures(support, box))
                if patient != owner and other.shape == support.shape:
                    there = box_measures(other, box)
                    yield from _long(base, region, {f"{m}_elsewhere": there[m] for m in ("hit", "iou")})
        for index, label in labels.items():
            if self._boxes(case, label):  # readers' boxes are of the finding that has boxes here, not of the others
                yield from self._readers(case, index, label)
        for method, seen in by_method.items():
            yield from self._pairs(case, method, seen, labels, known, last, owner)
        for method, seen in by_method.items():
            for index, support in seen.items():
                last[method, index] = (owner, support)

    def _boxes(self, case: Case, label: str) -> dict[str, str]:
        """What the rows call them to the regions of a finding's boxes in a case: of all readers, and of each."""
        own = label if self.boxes == "target" else self.boxes
        if own not in case.regions:
            return {}
        return {BOXES: own} | {n: n for n in self._reader_names(case) if n in case.regions}

    def _reader_names(self, case: Case) -> tuple[str, ...]:
        return self.readers if self.readers is not None else tuple(n for n in case.regions if n.startswith(READER))

    def _readers(self, case: Case, index: int, label: str) -> Iterator[dict[str, Any]]:
        """How far two readers agree on a picture: the ceiling of what a map can be asked."""
        drawn = {n: case.region(n) for n in self._reader_names(case) if n in case.regions and case.region(n).any()}
        for (a, one), (b, two) in combinations(drawn.items(), 2):
            both, either = float((one & two).sum()), float((one | two).sum())
            hits = [float(y[_middle(x)]) for x, y in ((one, two), (two, one))]
            share = float((one.double().mean() + two.double().mean()) / 2)
            base = {"method": READERS, "target_index": index, "target": label, "other": "", "outcome": None,
                    "confidence": np.nan}  # fmt: skip
            yield from _long(base, f"{a} and {b}", {"hit": float(np.mean(hits)), "iou": both / either, "share": share})

    def _pairs(
        self, case: Case, method: str, seen: Seen, labels: Mapping[int, str],
        known: Mapping[tuple[str, int], Any], last: Mapping[tuple[str, int], tuple[Any, Tensor]], owner: str,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Two findings that are said to be there: how alike their maps are, here and with another patient's."""
        there = [k for k in seen if _answer(known.get((case.id, k)))["outcome"] in ("TP", "FP")]
        for a, b in combinations(sorted(there), 2):
            base = {"method": method, "target_index": a, "target": labels[a], "other": labels[b], "outcome": None,
                    "confidence": np.nan}  # fmt: skip
            if seen[a].shape != seen[b].shape:
                continue
            yield from _long(base, "", alike(seen[a], seen[b], top=self.top))
            patient, other = last.get((method, b), (owner, seen[b]))
            if patient != owner and other.shape == seen[a].shape:
                far = alike(seen[a], other, top=self.top)
                yield from _long(base, "", {"shared_elsewhere": far["shared_top"]})
            boxes = [case.region(labels[k]) if labels[k] in case.regions else None for k in (a, b)]
            if boxes[0] is None or boxes[1] is None:
                continue
            for k, (own, its) in ((a, (boxes[0], boxes[1])), (b, (boxes[1], boxes[0]))):
                if not (_proper(own, seen[k]) and _proper(its, seen[k])):
                    continue
                try:
                    value, note = nearer_own(seen[k], own, its), ""
                except Undefined as reason:
                    value, note = float("nan"), str(reason)
                yield base | {"region": labels[k], "measure": "own_box", "value": value, "note": note}


def claims_of(maps: pd.DataFrame, *, stated: float | None = 0.87, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The table ``claims``, of the numbers of single maps."""
    drawn = {"n_boot": n_boot, "seed": seed}
    return judged([
        *agreement_claims(maps, stated=stated, **drawn), *focus_claims(maps, **drawn), *outside_claims(maps, **drawn),
        *apart_claims(maps, **drawn),
    ])  # fmt: skip


def _answer(row: Any) -> dict[str, Any]:
    """Right or wrong, and how sure: the distance from the threshold as a share of what is possible on that side."""
    if row is None:
        return {"outcome": None, "confidence": np.nan}
    p, limit = float(row["probability"]), float(row["threshold"])
    sure = p if not 0 < limit < 1 else (p - limit) / (1 - limit) if p > limit else (limit - p) / limit
    return {"outcome": row["outcome"], "confidence": sure}


def _long(base: Mapping[str, Any], region: str, values: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for measure, value in values.items():
        yield {**base, "region": region, "measure": measure, "value": value, "note": ""}


def _proper(mask: Tensor, support: Tensor) -> bool:
    """Whether a mask is on the map's grid, and neither empty nor everything."""
    return mask.shape == support.shape and bool(mask.any()) and not bool(mask.all())


def _middle(mask: Tensor) -> tuple[int, ...]:
    """The pixel in the middle of a mask: its centre of mass, rounded."""
    return tuple(int(v) for v in torch.nonzero(mask).double().mean(0).round().tolist())
