"""Ensemble: several maps of one case and target become one, and a map of how many of them vote.

Each map is clipped at zero, averaged over blocks and brought to [0, 1]; the maps are combined by a rule
(:mod:`~pellucid.refine.combine`) and brought to [0, 1] again. Maps that say nothing, constant or empty, are left out.
Source: rizzo2025assessing, whose rules threshold, average and intersection these are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.missing import FLAG, missing_of, without_missing
from pellucid.core.refiner import Refiner, as_refined, is_masked
from pellucid.core.registry import build, tuples
from pellucid.core.verdict import Thresholds, Verdict, cheap_checks, not_tested
from pellucid.errors import InputError, UsageError, unknown
from pellucid.refine.blocks import on_pixels
from pellucid.refine.combine import COMBINES, WITHOUT_VOTES, Combine, Votes, combined, prepared, unit_range
from pellucid.refine.members import LeftOut, check_block, check_together, members, split, target_of

LATER = "Asked of an ensemble by a run with 'checks: full' alone."


@dataclass(frozen=True, kw_only=True)
class Ensemble(Refiner):
    """Combine the maps of several methods, one ensemble per target.

    Attributes:
        combine: ``threshold``, ``average``, ``intersection``, ``rank``, ``borda`` or ``weighted``.
        t: from here on a value in [0, 1] is a vote; ``average`` and ``intersection`` have their own, 0 and 0.2.
        block: side of the blocks over which the pictures' maps are averaged, in pixels.
        weights: method to weight, for ``weighted``; one that is not named has weight 0.
        calibrate: in a recipe, the part of the cases on which the weights are measured.
        metric: what they are measured by.
        most: cases of that part at most.
    """

    name = "ensemble"
    source = "rizzo2025assessing"
    combine: Combine = "threshold"
    t: float = 0.5
    block: int = 7
    weights: Mapping[str, float] | None = None
    calibrate: str | None = None
    metric: str | Mapping[str, Any] = "faithfulness_correlation"
    most: int = 8

    def __post_init__(self) -> None:
        """Check the options."""
        if self.combine not in COMBINES:
            raise unknown("combine", str(self.combine), COMBINES)
        if self.label is not None and (self.label in EXPLAINERS or set(self.label) & set("()")):
            raise UsageError(f"label={self.label!r}: give a name that is no method's, without brackets")
        if not 0 < self.t <= 1:
            raise UsageError(f"t={self.t}: give a number above 0 and up to 1")
        if self.block < 1:
            raise UsageError(f"block={self.block}: give 1 or more pixels")
        if self.most < 1:
            raise UsageError(f"most={self.most}: give 1 or more cases")
        if self.combine != "weighted" and (self.weights is not None or self.calibrate is not None):
            raise UsageError(f"combine={self.combine!r} takes no weights; 'weighted' does")
        if self.combine == "weighted" and self.weights is None and self.calibrate is None:
            raise UsageError(
                "combine='weighted' wants weights={method: weight}, or in a recipe calibrate: val to measure them"
            )
        if self.weights is not None:
            check_weights(self.weights)

    def usual(self, method: str) -> bool:
        """All but the controls."""
        return method not in EXPLAINERS or EXPLAINERS[method].family != "control"

    @property
    def title(self) -> str:
        """What an ensemble is called."""
        return self.label or f"{self.name}_{self.combine}"

    def called(self, method: str) -> str:
        """The ensemble's name with a member of that name: within that of a mask, if the member was masked."""
        return as_refined(method, self.title)

    def makes(self, taken: Sequence[str]) -> list[str]:
        """One name for all: that of a mask around it if they were masked alike, and so are their controls."""
        names = {self.called(m) for m in taken}
        return [names.pop() if len(names) == 1 else self.title] if taken else []

    def refine(
        self, maps: Sequence[Attribution], case: Case, *, soft: Mapping[str, Tensor] | None = None,  # noqa: ARG002
        limits: Thresholds | None = None,
    ) -> list[Attribution]:  # fmt: skip
        """One ensemble for each target.

        Raises:
            InputError: a map is not on the case's grid.
            UsageError: the weights are still to be measured.
        """
        for a in maps:
            for name, m in a.maps.items():
                its = tuple(case.inputs[name].shape) if name in case.inputs else None
                if its is None or tuple(a.spatial(name).shape) != (its[1:] if len(its) > 1 else its):
                    has = "which the case does not have" if its is None else f"the input is {its}"
                    raise InputError(
                        f"case {case.id}: the map of {a.method} for {name!r} is {tuple(m.shape)}, {has}; give maps of "
                        "this case"
                    )
        targets = dict.fromkeys((*target_of(a), a.target.get("index")) for a in maps)
        groups = [[a for a in maps if (*target_of(a), a.target.get("index")) == t] for t in targets]
        return [self._without_the_missing(combine_maps(group, self, limits=limits)) for group in groups]

    def _without_the_missing(self, made: Attribution) -> Attribution:
        """The ensemble, with what it says of those in ``of`` that this case has no map of."""
        assert made.refinement is not None
        missing = [m for m in self.of or () if m not in made.refinement["of"]]
        said = [f"There is no map of {', '.join(missing)} in this case.", *made.refinement["said"]]
        found = {**made.refinement, "missing": missing} | ({"said": said} if missing else {})
        return made.replace(refinement=found, flags=(*made.flags, *(["members_missing"] if missing else [])))

    @classmethod
    def together(cls, made: Sequence[Attribution], like: Attribution) -> Attribution:
        """The same done to the members that were made again."""
        assert like.refinement is not None
        plain: Mapping[str, Any] = like.refinement["options"]
        how = build(cls, "refiner", cls.name, tuples(plain))
        given = like.refinement["given_weights"]
        return combine_maps(made, how, weights=None if given is None else list(given))


def ensemble(
    maps: Sequence[Attribution], combine: Combine = "threshold", *, t: float = 0.5, block: int = 7,
    weights: Mapping[str, float] | Sequence[float] | None = None, label: str | None = None,
    thresholds: Thresholds | None = None,
) -> Attribution:  # fmt: skip
    """Several maps of one case and target made into one; see :class:`Ensemble` for the options.

    Args:
        maps: of any methods, and of any models that call the target alike; they stay as they are.
        combine: the rule.
        t: from here on a value in [0, 1] is a vote.
        block: side of the blocks, in pixels, in every dimension.
        weights: for ``weighted``: one per map, or method to weight.
        label: what the ensemble is called in place of ``ensemble_threshold`` …
        thresholds: of the verdicts.

    Returns:
        The ensemble: maps ``(*spatial)`` in [0, 1], the same in every block. ``refinement`` holds ``votes`` (input to
        ``(*spatial)`` whole numbers), ``of`` (the members), ``left_out`` (method, inputs, why), ``n`` (maps that took
        part) and ``n_by_input``, ``weights``, and ``said`` (sentences about what is special).

    Raises:
        UsageError: fewer than two maps, or options that make no sense.
        InputError: maps of different cases, grids or targets; a block larger than the picture.

    Example:
        >>> maps = [Attribution(maps={"x": torch.tensor(v)[None]}, method=m, case_id="1", score=0.0,
        ...                     target={"kind": "class", "index": 0, "label": "b"})
        ...         for m, v in (("p", [0.0, 0.6, 1.0]), ("q", [0.0, 2.0, 2.0]), ("r", [3.0, 0.0, 1.0]))]
        >>> e = ensemble(maps, "threshold", t=0.5, block=1)
        >>> e.maps["x"].tolist(), e.refinement["votes"]["x"].tolist()
        ([[0.0, 0.800000011920929, 1.0]], [[1, 2, 2]])
    """
    if isinstance(maps, Attribution) or not all(isinstance(a, Attribution) for a in maps):
        raise UsageError("ensemble: give the maps as one list, pc.ensemble([a, b, c])")
    if len(maps) < 2:
        raise UsageError(f"ensemble: {len(maps)} map{'' if len(maps) == 1 else 's'}; give two or more")
    listed = list(weights) if weights is not None and not isinstance(weights, Mapping) else None
    if listed is not None and len(listed) != len(maps):
        raise UsageError(f"ensemble: {len(listed)} weights for {len(maps)} maps; give one per map")
    named = weights if isinstance(weights, Mapping) else None
    if listed is not None:  # two maps may be of one method
        methods = [a.method for a in maps]
        once = len(set(methods)) == len(methods)
        named = {m if once else f"{m} ({i})": w for i, (m, w) in enumerate(zip(methods, listed), 1)}
    how = build(
        Ensemble, "refiner", Ensemble.name,
        {"combine": combine, "t": t, "block": block, "weights": named, "label": label},
    )  # fmt: skip
    if isinstance(weights, Mapping):
        for method in weights:
            if method not in [a.method for a in maps]:
                raise unknown("method", method, [a.method for a in maps])
    return combine_maps(maps, how, weights=listed, limits=thresholds)


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise unless the weights are finite, not negative, and not all zero.

    Raises:
        UsageError: they are not.
    """
    for name, w in weights.items():
        if isinstance(w, bool) or not isinstance(w, int | float) or not math.isfinite(w) or w < 0:
            raise UsageError(f"weight of {name!r} is {w!r}: give a number of 0 or more")
    if not any(weights.values()):
        raise UsageError("weights: all are 0; give at least one that is more")


def combine_maps(
    maps: Sequence[Attribution], how: Ensemble, *, weights: Sequence[float] | None = None,
    limits: Thresholds | None = None,
) -> Attribution:  # fmt: skip
    """The ensemble of maps that belong together.

    Args:
        maps: of one case and target.
        how: the options.
        weights: one per map, in place of those by method.
        limits: thresholds of the verdicts.
    """
    if how.combine == "weighted" and weights is None:
        if how.weights is None:
            raise UsageError(f"the weights of {how.title} are to be measured on {how.calibrate!r}: run the recipe")
        weights = [float(how.weights.get(a.method, 0.0)) for a in maps]
    check_together(maps)
    check_block(maps, how.block)
    given, maps = maps, [without_missing(a) for a in maps]  # zeros of what a case lacks are no member's opinion
    values, votes, part, left, said = _combined(maps, how, weights)
    alike = all(is_masked(a) for a in maps)
    (name,) = how.makes([a.method for a in maps])
    first = maps[0]
    places = sorted({p for of in part.values() for p in of})
    out = [a for i, a in enumerate(maps) if i not in places]
    if out:
        said.insert(0, f"Left out: {', '.join(dict.fromkeys(a.method for a in out))}.")
    if len(places) == 1:
        said.append(f"One map is left, that of {maps[places[0]].method}: there is nothing to agree with.")
    elif alone := {n: maps[p[0]].method for n, p in part.items() if len(p) == 1}:
        said += [f"{n}: one map only, that of {m}: there is nothing to agree with." for n, m in alone.items()]
    found: dict[str, Any] = {
        "refiner": how.name, "options": how.describe(), "of": [a.method for a in maps],
        "votes": {n: torch.from_numpy(v.astype(np.int16)) for n, v in votes.items()}, "n": len(places),
        "n_by_input": {n: len(p) for n, p in part.items()},
        "left_out": [{"method": maps[x.place].method, "inputs": list(x.inputs), "why": x.why} for x in left],
        "weights": None if weights is None else _shares(weights, places),
        "given_weights": None if weights is None else list(weights), "said": said,
        "members": [_member(a) for a in given],
    }  # fmt: skip
    if alike:
        whole = _combined([a.replace(maps=dict((a.refinement or {})["unmasked"])) for a in maps], how, weights)[0]
        found["unmasked"] = {n: torch.from_numpy(v).float() for n, v in whole.items()}
    made = {n: torch.from_numpy(v).float() for n, v in values.items()}
    checks, flags = _judged(made, maps, found, limits or Thresholds())
    models = {str(a.provenance.get("weights")) for a in maps}
    made_of_all = Attribution(
        maps=made, method=name, case_id=first.case_id, target=first.target, signed=False,
        score=first.score if len(models) == 1 else float(np.mean([a.score for a in maps])),
        checks=checks, flags=flags, provenance=_provenance(maps, name, how), cost=_cost(maps), spacing=first.spacing,
        geometry=first.geometry, refinement=found, image_axes=first.image_axes,
    )  # fmt: skip
    return _with_what_is_missing(made_of_all, given)


def _with_what_is_missing(a: Attribution, given: Sequence[Attribution]) -> Attribution:
    """The ensemble with zeros, and no vote, for the inputs that the case of its maps lacks."""
    gone = missing_of(given[0])
    if not gone:
        return a
    zeros = {n: torch.zeros_like(m.spatial(n)) for n in gone for m in given if n in m.maps}
    order = list(dict.fromkeys(n for m in given for n in m.maps))
    found = dict(a.refinement or {})
    found["votes"] = {**found["votes"], **{n: z.to(torch.int16) for n, z in zeros.items()}}
    found["n_by_input"] = {**found["n_by_input"], **dict.fromkeys(zeros, 0)}
    if "unmasked" in found:
        found["unmasked"] = {**found["unmasked"], **zeros}
    every = {**a.maps, **zeros}
    return a.replace(
        maps={n: every[n] for n in order}, flags=(*a.flags, FLAG), notes={**a.notes, "missing": list(gone)},
        refinement=found,
    )  # fmt: skip


def _combined(
    maps: Sequence[Attribution], how: Ensemble, weights: Sequence[float] | None
) -> tuple[dict[str, np.ndarray], dict[str, Votes], dict[str, list[int]], list[LeftOut], list[str]]:
    """Values and votes on the pixels, the places of the maps behind each input, those left out, and sentences."""
    values: dict[str, np.ndarray] = {}
    votes: dict[str, Votes] = {}
    part: dict[str, list[int]] = {}
    left: list[LeftOut] = []
    said: list[str] = []
    for tables in (False, True):
        names = sorted({n for a in maps for n in (a.tables if tables else a.images)})
        taking, out = members(maps, tables=tables, block=how.block)
        left += out
        raw: dict[str, np.ndarray] = {}
        shapes = {n: tuple(next(a for a in maps if n in a.maps).spatial(n).shape) for n in names}
        ready = []
        for m in taking:
            flat = np.concatenate([v.ravel() for v in m.values.values()])
            ready.append((m.place, split(prepared(flat, how.combine), m.values)))
        for n in names:
            own = [(place, v[n]) for place, v in ready if n in v]
            part[n] = [place for place, _ in own]
            if not own:
                values[n], votes[n] = np.zeros(shapes[n]), np.zeros(shapes[n], np.int64)
                continue
            w = None if weights is None else np.array([weights[place] for place in part[n]], float)
            if w is not None and not w.any():
                said.append(f"{n}: the maps that are left have weight 0, so all count alike.")
                w = np.ones(len(own))
            rows = np.stack([v.ravel() for _, v in own])
            mixed, voted = combined(rows, how.combine, t=how.t, weights=w)
            raw[n] = mixed.reshape(own[0][1].shape)
            votes[n] = _whole(voted.reshape(own[0][1].shape), shapes[n], how.block, tables=tables)
        if raw:
            joint = unit_range(np.concatenate([v.ravel() for v in raw.values()]))
            for n, v in split(joint, raw).items():
                values[n] = _whole(v, shapes[n], how.block, tables=tables)
    order = list(dict.fromkeys(n for a in maps for n in a.maps))
    return {n: values[n] for n in order}, {n: votes[n] for n in order}, part, left, said


def _whole(blocks: np.ndarray, shape: tuple[int, ...], block: int, *, tables: bool) -> np.ndarray:
    return blocks if tables else on_pixels(blocks, block, shape)


def _shares(weights: Sequence[float], places: Sequence[int]) -> list[float]:
    """What each map counts, of 1; those left out count nothing."""
    own = [float(w) if i in places else 0.0 for i, w in enumerate(weights)]
    own = own if any(own) else [float(i in places) for i in range(len(weights))]
    return [w / sum(own) for w in own] if any(own) else own


def _member(a: Attribution) -> dict[str, Any]:
    """What it takes to make a member again."""
    return {"method": a.method, "provenance": dict(a.provenance), "refinement": a.refinement, "flags": list(a.flags)}


def _judged(
    made: dict[str, Tensor], maps: Sequence[Attribution], found: dict[str, Any], limits: Thresholds
) -> tuple[dict[str, Verdict], tuple[str, ...]]:
    """The cheap verdicts, with the reason where the ensemble is empty, and the flags."""
    every = all("empty_target" in a.flags for a in maps)
    flags = ["empty_target"] if every else []
    checks = cheap_checks(made, complete=False, total=None, expected=None, flags=tuple(flags), limits=limits)
    checks["complete"] = not_tested("complete", "An ensemble does not add up to the output.")
    if checks["not_empty"].status == "fail":
        why = (
            "all of its maps were left out, as they say nothing"
            if not found["n"]
            else "its maps cancel out, together they are the same everywhere"
            if found["options"]["combine"] in WITHOUT_VOTES
            else "there is no place on which enough of its maps agree"
        )
        sentence = f"The ensemble is zero everywhere: {why}."
        checks["not_empty"] = dataclasses.replace(checks["not_empty"], sentence=sentence)
        found["said"].append(sentence)
    words = {"not_finite": "finite", "empty": "not_empty", "flat": "not_flat"}
    flags += [w for w, n in words.items() if checks[n].status in ("warn", "fail") and not (w == "empty" and every)]
    flags += ["members_left_out"] if found["left_out"] else []
    flags += ["one_member"] if found["n"] == 1 else []
    flags += ["random_model"] if any("random_model" in a.flags for a in maps) else []
    return {**checks, **{n: not_tested(n, LATER) for n in ("stable", "sane", "better")}}, tuple(flags)


def _provenance(maps: Sequence[Attribution], name: str, how: Ensemble) -> dict[str, Any]:
    """Of the first map what all share; the members' own are in ``refinement``."""
    own = [a.provenance for a in maps]
    shared = {k: v for k, v in own[0].items() if all(k in p and p[k] == v for p in own)}
    models = sorted({str(p.get("model")) for p in own})
    return {
        **shared, "method": name, "parameters": how.describe(), "source": how.source,
        **({} if "weights" in shared else {"models": models}),
    }  # fmt: skip


def _cost(maps: Sequence[Attribution]) -> Cost:
    """The members' passes, of a map that was refined in several ways once."""
    once = {repr((sorted(map(str, a.provenance.items())), a.cost.forwards, a.cost.backwards)): a.cost for a in maps}
    return sum(once.values(), Cost())
