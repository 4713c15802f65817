"""What several metrics share of one case and its maps: computed once, when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.fill import as_fill
from pellucid.core.target import Bound, Target, as_target
from pellucid.core.verdict import Thresholds
from pellucid.engine.engine import Engine
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, PellucidError, UsageError
from pellucid.evaluate.copies import copies
from pellucid.evaluate.curves import Curves, curves
from pellucid.evaluate.randomise import randomised
from pellucid.evaluate.subsets import Subsets, subsets
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

Explain = Callable[[Engine, Sequence[Case], Sequence[Bound]], list[Attribution]]
"""Explains cases again as a map was made. The bound targets are those of the clean case: class and region stay."""

OPTIONS = ("region", "steps", "fill", "thresholds", "seed")
JITTER, JITTERS = 0.1, 3  # of max-sensitivity (yeh2019infidelity)


class Evidence:
    """The curves, re-explained maps and ablations of one case's maps.

    Everything is lazy and kept: two metrics that read a curve cost its passes once, and what no metric reads costs
    nothing.

    Args:
        engine: around the model that was explained.
        case: the one that was explained.
        maps: m maps of the case.
        bound: T bound targets; map ``i`` is one of target ``i % T`` (maps come by method, then target).
        again: for each map, how to make it again.
        region: name of the case's region that plausibility compares with, ``"truth"`` for its true mask.
        steps: T of the deletion and insertion curves.
        fill: what stands in for pixels and inputs that are absent (a Fill); tables are at their training mean.
        thresholds: of the verdicts; ``noise`` and ``draws`` are those of the noisy copies.
        seed: of everything random here: ties, noise, random weights.
        background: cases whose mean is the fill ``"cohort"``.

    Raises:
        UsageError: numbers of maps, targets and explainers that do not fit, fewer than two steps.
        InputError: a map of another case or of another target.
    """

    def __init__(
        self,
        engine: Engine,
        case: Case,
        maps: Sequence[Attribution],
        bound: Sequence[Bound],
        again: Sequence[Explain],
        *,
        region: str = "lesion",
        steps: int = 20,
        fill: Any = "mean",
        thresholds: Thresholds | None = None,
        seed: int = 0,
        background: Sequence[Case] = (),
    ) -> None:
        if not maps or not bound or len(maps) % len(bound) or len(again) != len(maps):
            raise UsageError(
                f"{len(maps)} maps, {len(bound)} targets and {len(again)} explainers do not fit together; give one "
                "explainer per map, and maps ordered by method, then target"
            )
        if steps < 2:
            raise UsageError(f"steps={steps}: a curve needs 2 or more")
        self.engine, self.case, self.maps, self.bound, self.again = engine, case, maps, bound, again
        self.region, self.steps, self.fill, self.seed = region, steps, as_fill(fill), seed
        self.background = background
        self.limits = thresholds or Thresholds()
        self._remade: dict[tuple[str, int], list[Attribution] | Undefined] = {}
        self._check()

    def view(self, place: int) -> View:
        """What there is about one map."""
        return View(self, place)

    def target(self, place: int) -> Bound:
        """The bound target of a map."""
        return self.bound[place % len(self.bound)]

    # -- shared passes ---------------------------------------------------------------------------------------

    @cached_property
    def problem(self) -> Problem:
        """The case with its distinct targets, bound as they were when the maps were made."""
        targets, bound = zip(*self._targets[0])
        return Problem(
            self.engine, [self.case], list(targets), seed=self.seed, background=self.background, frozen=[list(bound)]
        )

    @cached_property
    def filled(self) -> dict[str, Tensor]:
        """The stand-in of every input, ``(1, …)``."""
        return self.problem.fill(self.fill)

    @cached_property
    def curves(self) -> list[Curves | Undefined]:
        """Deletion and insertion of all maps: ``m · 2(steps − 1) + 2`` forwards, f(x) and f(fill) once."""
        return curves(self.problem, self.maps, self._targets[1], self.filled, self.steps, self.seed)

    def modalities(self, place: int) -> Subsets:
        """The model with every subset of its inputs, for a map's target: 2ⁿ forwards for all maps together."""
        if isinstance(self._subsets, Undefined):
            raise self._subsets
        return Subsets(self.engine.predictor.inputs, self._subsets[:, self._targets[1][place]])

    def noisy(self, place: int) -> list[Attribution]:
        """The maps of ``thresholds.draws`` noisy copies (sd ``thresholds.noise`` × range), class and region kept."""
        return self._again("noisy", place, self.engine, lambda: self._noisy_copies)

    def jittered(self, place: int) -> list[Attribution]:
        """The maps of 3 copies with uniform noise of up to a tenth of the range."""
        return self._again("jittered", place, self.engine, lambda: self._jittered_copies)

    def randomised(self, place: int) -> Attribution:
        """The map that the same method makes of a model with random weights."""
        return self._again("randomised", place, randomised(self.engine, self.seed), lambda: [self.case])[0]

    # -- inside ----------------------------------------------------------------------------------------------

    @cached_property
    def _noisy_copies(self) -> list[Case]:
        return copies(self.problem, "normal", self.limits.noise, self.limits.draws, "stability")

    @cached_property
    def _jittered_copies(self) -> list[Case]:
        return copies(self.problem, "uniform", JITTER, JITTERS, "sensitivity")

    @cached_property
    def _subsets(self) -> Tensor | Undefined:
        try:
            return subsets(self.problem, self.filled)
        except Undefined as reason:
            return reason

    def _again(self, what: str, place: int, engine: Engine, cases: Callable[[], list[Case]]) -> list[Attribution]:
        """Explain again, once; a method that cannot says so every time it is asked."""
        key = (what, place)
        if key not in self._remade:
            try:
                self._remade[key] = self.again[place](engine, cases(), self.bound)
            except Undefined as reason:
                self._remade[key] = reason
            except PellucidError as error:
                self._remade[key] = Undefined(f"the map could not be made again: {error}")
        made = self._remade[key]
        if isinstance(made, Undefined):
            raise made
        return made

    @cached_property
    def _targets(self) -> tuple[list[tuple[Target, Bound]], list[int]]:
        """The distinct targets, and of each map the place of its own: ten maps of one class cost one column."""
        distinct: list[tuple[Target, Bound]] = []
        known: dict[str, int] = {}
        columns = []
        for i, a in enumerate(self.maps):
            key = json.dumps(dict(a.target), sort_keys=True, default=str)
            if key not in known:
                known[key] = len(distinct)
                described = {k: v for k, v in a.target.items() if k not in ("index", "label")}
                distinct.append((as_target(described, self.engine.predictor), self.target(i)))
            columns.append(known[key])
        return distinct, columns

    def _check(self) -> None:
        for i, a in enumerate(self.maps):
            if a.case_id != self.case.id:
                raise InputError(f"the map is of case {a.case_id}, not of {self.case.id}")
            now = self.target(i)
            if int(a.target["index"]) != now.index:
                raise InputError(
                    f"case {a.case_id}: the map of {a.method} explains {a.target['label']!r}, the model now gives "
                    f"{now.label!r} for that target; evaluate with the model that was explained"
                )


__all__ = ["OPTIONS", "Evidence", "Explain", "View"]
