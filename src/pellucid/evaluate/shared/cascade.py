"""Models that are randomised layer by layer, and how alike the maps are that they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pellucid.core.attribution import Attribution
from pellucid.core.metric import Score
from pellucid.engine.engine import Engine
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.shared.randomise import randomised, run_order, scratch
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence

Order = Literal["top_down", "bottom_up", "independent"]
Over = Literal["mean", "last"]


@dataclass(frozen=True)
class Step:
    """One randomised model.

    Attributes:
        name: of the layer that came last.
        position: its number in the order of randomisation, from 1, of all layers, also of those that are left out.
        engine: around the model; its weights change with the next step.
        whole: whether nothing that was learned is left.
    """

    name: str
    position: int
    engine: Engine
    whole: bool = False


@dataclass(frozen=True)
class Curve:
    """Similarities of one map, step by step; NaN where a step gave a map that is like nothing, with its reason."""

    parts: tuple[tuple[str, float, float], ...]
    reasons: tuple[str, ...]

    def score(self, over: Over = "mean") -> Score:
        """The mean over the steps that have a similarity, or the last one; the steps are its parts."""
        values = [v for _, _, v in self.parts if not math.isnan(v)] if over == "mean" else [self.parts[-1][2]]
        if not values or math.isnan(values[0]):
            return Score(math.nan, self.reasons[-1], self.parts)
        return Score(sum(values) / len(values), "", self.parts)


def check_cascade(order: str, layers: int | None, over: str) -> None:
    """Raise UsageError unless the options make sense."""
    for name, value, known in (("order", order, Order), ("over", over, Over)):
        if value not in get_args(known):
            raise UsageError(f"{name}={value!r}; {nearest(str(value), get_args(known))}")
    if layers is not None and layers < 1:
        raise UsageError(f"layers={layers}: at least one layer is randomised")


def thinned(count: int, most: int | None) -> list[int]:
    """At most ``most`` of the places 0 … count − 1, evenly spread, the first and the last among them.

    Of a single one it is the last.
    """
    if most is None or most >= count:
        return list(range(count))
    if most == 1:
        return [count - 1]
    return [(2 * i * (count - 1) + most - 1) // (2 * (most - 1)) for i in range(most)]


def steps(evidence: Evidence, order: Order, layers: int | None) -> Iterator[Step]:
    """The models of a cascade, one after the other in the weights of one copy.

    ``"top_down"``: from the layer that the model uses last; ``"bottom_up"``: from the first; each step keeps what was
    randomised before it, also in layers that are left out. ``"independent"``: one layer at a time, all others as they
    were learned.
    """
    engine, seed = evidence.engine, evidence.seed
    found = run_order(evidence.engine, evidence.case)
    if not found:
        raise Undefined("the model has no parameters, so nothing can be randomised")
    found = found[::-1] if order == "top_down" else found
    for place in thinned(len(found), layers):
        chosen = found[place : place + 1] if order == "independent" else found[: place + 1]
        names = {p for layer in chosen for p in layer.parameters}
        whole = order != "independent" and place == len(found) - 1
        model = randomised(engine, seed) if whole else scratch(engine).with_random(names, seed)
        yield Step(found[place].name, place + 1, model, whole)


def whole(engine: Engine, seed: int, draws: int) -> Iterator[Step]:
    """Wholly randomised models with several seeds; the first is the one that the verdict ``sane`` asks."""
    yield Step("draw 1", 1, randomised(engine, seed), True)
    names = {p for p, _ in engine.module.named_parameters()}
    for i in range(1, draws):
        # Far apart, so that a run with the next seed draws other models.
        yield Step(f"draw {i + 1}", i + 1, scratch(engine).with_random(names, seed + 1_000_003 * i))


Remake = Callable[[int, Step | None], Attribution]
Compare = Callable[[Attribution, Attribution], float]


def curves(count: int, models: Iterable[Step], remake: Remake, compare: Compare) -> list[Curve | Undefined]:
    """Of every map of a case its similarities: each model explains all of them before the next one is made.

    Args:
        count: of the maps.
        models: in order; none is made if there is no map to explain.
        remake: ``(place, step)`` to the map that a model gives; without a step, that of the model itself.
        compare: similarity of two maps. One that is not even like itself (zero, constant) is not made again.
    """
    clean: dict[int, Attribution] = {}
    parts: dict[int, list[tuple[str, float, float]]] = {}
    reasons: dict[int, list[str]] = {}
    found: dict[int, Curve | Undefined] = {}
    for place in range(count):
        try:
            clean[place] = remake(place, None)
            compare(clean[place], clean[place])
            parts[place], reasons[place] = [], []
        except Undefined as reason:
            found[place] = reason.bare()
    for step in models if parts else ():
        for place, values in parts.items():
            try:
                value = compare(clean[place], remake(place, step))
            except Undefined as reason:
                reasons[place].append(f"after {step.name}: {reason}")
                value = math.nan
            values.append((step.name, float(step.position), value))
    found |= {place: Curve(tuple(values), tuple(reasons[place])) for place, values in parts.items()}
    return [found[place] for place in range(count)]
