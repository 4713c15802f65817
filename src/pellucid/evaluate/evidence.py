"""What several metrics share of one case and its maps: computed once, when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.fill import Fill, as_fill
from pellucid.core.missing import without_missing
from pellucid.core.predictor import Predictor
from pellucid.core.refiner import as_refined, refined_again
from pellucid.core.target import Bound, Target, as_target
from pellucid.core.verdict import Thresholds
from pellucid.engine.engine import Engine
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, PellucidError, UsageError
from pellucid.evaluate.cohort.signatures import Cohort, Signatures
from pellucid.evaluate.maths import check_fits
from pellucid.evaluate.shared.answers import Answers, answers
from pellucid.evaluate.shared.copies import copies, distances
from pellucid.evaluate.shared.curves import Curves, curves
from pellucid.evaluate.shared.plan import Plan
from pellucid.evaluate.shared.randomise import around, check_alike, randomised
from pellucid.evaluate.shared.representations import representations
from pellucid.evaluate.shared.scorer import Scorer
from pellucid.evaluate.shared.shifts import shifted
from pellucid.evaluate.shared.subsets import Subsets, subsets
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


class Explain(Protocol):
    """Explains cases again as a map was made.

    The bound targets are those of the clean case: class and region stay. ``seed`` replaces the method's own.
    """

    def __call__(
        self, engine: Engine, cases: Sequence[Case], bound: Sequence[Bound], *, seed: int | None = None,
        background: Sequence[Case] | None = None,
    ) -> list[Attribution]:
        """One Attribution per case."""


V = TypeVar("V")
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
        controls: how the maps are made that every map has to beat (``random``, ``edge``), by name.
        shuffled: a predictor like the engine's that was trained on shuffled labels, where there is one.
        cohort: the coarse maps of all cases, this one's included, for the metrics that look over a cohort.

    Raises:
        UsageError: numbers of maps, targets and explainers that do not fit, fewer than two steps, a shuffled
            predictor that does something else.
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
        controls: Mapping[str, Explain] | None = None,
        shuffled: Predictor | None = None,
        cohort: Cohort | None = None,
    ) -> None:
        if not maps or not bound or len(maps) % len(bound) or len(again) != len(maps):
            raise UsageError(
                f"{len(maps)} maps, {len(bound)} targets and {len(again)} explainers do not fit together; give one "
                "explainer per map, and maps ordered by method, then target"
            )
        if steps < 2:
            raise UsageError(f"steps={steps}: a curve needs 2 or more")
        self.engine, self.case, self.bound, self.again = engine.without([case]), case, bound, again
        self.maps = [without_missing(a) for a in maps]
        self.region, self.steps, self.fill, self.seed = region, steps, as_fill(fill), seed
        self.background, self.controls = background, dict(controls or {})
        self.shuffled, self.cohort = shuffled, cohort
        self.limits = thresholds or Thresholds()
        self._kept: dict[Hashable, Any] = {}
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

    def once(self, key: Hashable, make: Callable[[], V]) -> V:
        """Compute what several metrics share when the first of them asks for it; why there is none is kept as well.

        Raises:
            Undefined: ``make`` did.
        """
        if key not in self._kept:
            try:
                self._kept[key] = make()
            except Undefined as reason:
                self._kept[key] = reason.bare()
        made = self._kept[key]
        if isinstance(made, Undefined):
            raise made.bare()
        return made

    @cached_property
    def scorer(self) -> Scorer:
        """Scores of changed copies of the case."""
        return Scorer(self.problem)

    def column(self, place: int) -> int:
        """The place of a map's target among the scorer's."""
        return self._targets[1][place]

    @cached_property
    def columns(self) -> list[int]:
        """:meth:`column` of all maps."""
        return self._targets[1]

    @property
    def filled(self) -> dict[str, Tensor]:
        """The stand-in of every input, ``(1, …)``."""
        return self.filled_with(self.fill)

    def filled_with(self, fill: Fill) -> dict[str, Tensor]:
        """The stand-in of every input by another fill, ``(1, …)``."""
        return self.once(("filled", fill), lambda: self.problem.fill(fill))

    def stand_in(self, fill: Fill) -> dict[str, Tensor]:
        """As :meth:`filled_with`, for taking parts of the pictures away.

        Raises:
            Undefined: every picture is its own stand-in.
        """
        filled = self.filled_with(fill)
        if all(torch.equal(x, filled[name].expand_as(x)) for name, x in self.scorer.images.items()):
            raise Undefined("the picture is the same as what stands in for it, so that nothing can be taken away")
        return filled

    def ends(self, fill: Fill | None = None) -> Tensor:
        """Scores of the case as it is and with its pictures filled, ``(2, columns of the scorer)``: 2 forwards."""
        filled = self.filled_with(fill or self.fill)

        def make() -> Tensor:
            keep = torch.tensor([[True], [False]], device=self.engine.device).expand(2, self.scorer.pixels)
            return self.scorer.run(2, self.scorer.blend(lambda index: keep[index.to(keep.device)], filled))

        return self.once(("ends", fill or self.fill), make)

    def units(self, plan: Plan) -> Tensor:
        """``(N,)`` the unit of every pixel under a plan."""
        key = ("units", plan.by, plan.side, plan.segments)
        return self.once(key, lambda: plan.units(self.case, self.scorer.images))

    def ranked(self, plan: Plan | None = None) -> list[Curves | Undefined]:
        """Deletion and insertion of all maps: ``m · 2(steps − 1) + 2`` forwards, f(x) and f(fill) once."""
        plan = plan or Plan()
        whole = Plan(by=plan.by, side=plan.side, segments=plan.segments, fill=plan.fill or self.fill,
                     steps=plan.steps or self.steps)  # fmt: skip
        return self.once(("curves", whole), lambda: self._ranked(whole, self.maps, self.columns))

    def control_curves(self, place: int) -> dict[str, Curves]:
        """Curves of the controls for a map's target: those among the maps, else ``2(steps − 1)`` forwards each.

        Those for a refined map are refined as it is, and called so: a mask helps a random map as well.
        """
        column, own = self.column(place), self.maps[place]
        found: dict[str, Curves] = {}
        for name in self.controls:
            called = name if own.refinement is None else as_refined(own.method, name)
            mine = [i for i, a in enumerate(self.maps) if a.method == called and self.columns[i] == column]
            curves = self.ranked()[mine[0]] if mine else self.once(
                ("control", called, column), partial(self._control, name, place)
            )  # fmt: skip
            if isinstance(curves, Undefined):
                raise curves.bare()
            found[called] = curves
        return found

    def modalities(self, place: int) -> Subsets:
        """The model with every subset of its inputs, for a map's target: 2ⁿ forwards for all maps together."""
        values = self.once("subsets", lambda: subsets(self.problem, self.filled))
        return Subsets(self.engine.predictor.inputs, values[:, self.column(place)])

    def noisy(self, place: int, *, noise: float | None = None, draws: int | None = None) -> list[Attribution]:
        """The maps of noisy copies, class and region kept.

        Args:
            place: of the map.
            noise: sd, as a share of the range; ``thresholds.noise`` if None.
            draws: copies; ``thresholds.draws`` if None.
        """
        share = self.limits.noise if noise is None else noise
        count = self.limits.draws if draws is None else draws
        cases = self.copies_of("normal", share, count, "stability")
        return self.remade(("noisy", share, count), place, self.engine, cases)

    def jittered(self, place: int, *, noise: float = JITTER, draws: int = JITTERS) -> list[Attribution]:
        """The maps of copies with uniform noise of up to a share of the range, class and region kept."""
        return self.remade(("jittered", noise, draws), place, self.engine, self.jittered_copies(noise, draws))

    def jittered_copies(self, noise: float = JITTER, draws: int = JITTERS) -> list[Case]:
        """The cases that :meth:`jittered` explains."""
        return self.copies_of("uniform", noise, draws, "sensitivity")

    def distances(self, noise: float = JITTER, draws: int = JITTERS) -> list[float]:
        """How far the jittered copies are from the case, in units of each input's range."""
        return self.once(
            ("distances", noise, draws), lambda: distances(self.problem, self.jittered_copies(noise, draws))
        )

    def answers(self, noise: float = JITTER, draws: int = JITTERS) -> Answers:
        """What the model says of the case and of its jittered copies: ``1 + draws`` forwards for all maps."""
        return self.once(
            ("answers", noise, draws), lambda: answers(self.engine, [self.case, *self.jittered_copies(noise, draws)])
        )

    def representations(self, layer: str | None, noise: float = JITTER, draws: int = JITTERS) -> Tensor:
        """``(1 + draws, F)`` the input of the model's head, or a layer's output: ``1 + draws`` forwards in all."""
        return self.once(
            ("representations", layer, noise, draws),
            lambda: representations(self.problem, [self.case, *self.jittered_copies(noise, draws)], layer),
        )

    def shifted(self, place: int, *, share: float, steps: int, axis: int) -> tuple[list[Attribution], list[float]]:
        """The maps of copies whose pictures are shifted along an axis, and how far each copy is from the case."""
        key = ("shifted", share, steps, axis)
        cases = self.once(key, lambda: shifted(self.case, self.filled, share, steps, axis))
        apart = self.once((*key, "distances"), lambda: distances(self.problem, cases))
        return self.remade(key, place, self.engine, cases), apart

    def signatures(self, place: int) -> tuple[Signatures, int]:
        """The coarse maps of the cohort by a map's method for its target, and the row of this case.

        Raises:
            Undefined: there is no cohort, the case is not in it or is alone, or the task predicts no class.
        """
        if self.engine.predictor.task == "regression":
            raise Undefined("a regression predicts no class, so no two cases have the same")
        if self.cohort is None:
            raise Undefined("there are no other cases to compare with; give them as pc.evaluate(…, cohort=…)")
        found = self.cohort.of(self.maps, place)
        return found, found.place(self.case.id)

    def randomised(self, place: int) -> Attribution:
        """The map that the same method makes of a model with random weights."""
        return self.remade("randomised", place, randomised(self.engine, self.seed), [self.case])[0]

    @property
    def shuffled_engine(self) -> Engine:
        """Runs the model that was trained on shuffled labels.

        Raises:
            Undefined: there is none.
        """
        if self.shuffled is None:
            raise Undefined(
                "there is no model that was trained on shuffled labels; give one as pc.evaluate(…, shuffled=predictor) "
                "or set shuffled_labels: true in the 'evaluate' section of a recipe that trains"
            )
        return around(self.engine, self.shuffled)

    def copies_of(self, kind: Literal["normal", "uniform"], share: float, count: int, purpose: str) -> list[Case]:
        """Copies of the case under noise, made once; see :func:`~pellucid.evaluate.shared.copies.copies`."""
        return self.once(
            ("copies", kind, share, count, purpose), lambda: copies(self.problem, kind, share, count, purpose)
        )

    def remade(
        self, what: Hashable, place: int, engine: Engine, cases: Sequence[Case], *,
        bound: Sequence[Bound] | None = None, seed: int | None = None, background: Sequence[Case] | None = None,
    ) -> list[Attribution]:  # fmt: skip
        """A map made again, once: of other cases, by another model, of another class or with another seed.

        Args:
            what: names the change; equal names are made once for each map.
            place: of the map.
            engine: around the model.
            cases: to explain.
            bound: the targets, where they are not those of the map.
            seed: of the method, where it is not that of the map.
            background: the cases that a method compares with, where they are others.

        Raises:
            Undefined: the method cannot make it.
        """

        return self.once(
            ("remade", what, place), lambda: self.explained(
                place, engine, cases, bound=bound, seed=seed, background=background
            )
        )

    def explained(
        self, place: int, engine: Engine, cases: Sequence[Case], *, bound: Sequence[Bound] | None = None,
        seed: int | None = None, background: Sequence[Case] | None = None,
    ) -> list[Attribution]:  # fmt: skip
        """As :meth:`remade`, and not kept: for many models, of whose maps a number is left.

        Raises:
            Undefined: the method cannot make it.
        """
        try:
            more: dict[str, Any] = {} if seed is None else {"seed": seed}
            more |= {} if background is None else {"background": background}
            made = self.again[place](engine, cases, self.bound if bound is None else bound, **more)
        except Undefined:
            raise
        except PellucidError as error:
            raise Undefined(f"the map could not be made again: {error}") from error
        wanted = self.maps[place].maps
        for a, case in zip(made, cases):
            check_fits(a, case)
            if set(a.maps) != set(wanted):
                raise Undefined(f"made again, the map is of {_named(a.maps)} and no longer of {_named(wanted)}")
        return made

    # -- inside ----------------------------------------------------------------------------------------------

    def _ranked(self, plan: Plan, maps: Sequence[Attribution], columns: Sequence[int]) -> list[Curves | Undefined]:
        fill, steps = plan.fill or self.fill, plan.steps or self.steps
        if not self.scorer.images:
            return [Undefined("the model sees tables only: there are no pixels to delete") for _ in maps]
        return curves(
            self.scorer, maps, columns, self.filled_with(fill), lambda: self.ends(fill), self.units(plan), steps,
            self.seed,
        )  # fmt: skip

    def _control(self, name: str, place: int) -> Curves:
        try:
            made = refined_again(self.controls[name](self.engine, [self.case], [self.target(place)]), self.maps[place])
        except PellucidError as error:
            raise Undefined(f"the control {name} could not be refined like it: {error}") from error
        curves = self._ranked(Plan(), made, [self.column(place)])[0]
        if isinstance(curves, Undefined):
            raise curves.bare()
        return curves

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
        if self.shuffled is not None:
            self.shuffled = self.shuffled.without(self.case)
            check_alike(self.engine.predictor, self.shuffled)
        for i, a in enumerate(self.maps):
            if a.case_id != self.case.id:
                raise InputError(f"the map is of case {a.case_id}, not of {self.case.id}")
            now = self.target(i)
            if int(a.target["index"]) != now.index:
                raise InputError(
                    f"case {a.case_id}: the map of {a.method} explains {a.target['label']!r}, the model now gives "
                    f"{now.label!r} for that target; evaluate with the model that was explained"
                )


def _named(maps: Mapping[str, Tensor]) -> str:
    return ", ".join(map(repr, sorted(maps))) or "nothing"


__all__ = ["OPTIONS", "Evidence", "Explain", "View"]
