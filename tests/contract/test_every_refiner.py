"""What every registered refiner owes its user. There is no list of refiners to keep."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from metric_worlds import world
from pellucid.api import explain
from pellucid.core.attribution import Attribution
from pellucid.core.refiner import REFINERS
from pellucid.errors import InputError, PellucidError, UsageError
from pellucid.refine.make import as_refiner

WORLDS = ("classification 2-D", "classification 2-D + table", "regression 3-D", "segmentation 2 pictures")
METHODS = ("saliency", "input_x_gradient", "random")
every = pytest.mark.parametrize("name", list(REFINERS))
everywhere = pytest.mark.parametrize("where", WORLDS)


def maps_of(where: str) -> list[Attribution]:
    w = world(where)
    return [explain(w.predictor, w.case, method=m, seed=1) for m in METHODS]


def refined(name: str, where: str, maps: list[Attribution]) -> list[Attribution]:
    soft = {"lesion": torch.rand(world(where).case.spatial, generator=torch.Generator().manual_seed(0))}
    refiner = as_refiner(name)
    return refiner.refine([a for a in maps if refiner.takes(a)], world(where).case, soft=soft)


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@every
@everywhere
def test_maps_are_finite_and_on_the_grid_of_what_they_were_made_from(name: str, where: str) -> None:
    maps = maps_of(where)
    made = refined(name, where, maps)
    assert made
    spatial = {n: tuple(maps[0].spatial(n).shape) for n in maps[0].maps}
    for s in made:
        assert {n: tuple(s.spatial(n).shape) for n in s.maps}.items() <= spatial.items() and s.maps
        assert all(torch.isfinite(m).all() and m.dtype == torch.float32 for m in s.maps.values())
        assert s.checks["finite"].status == "pass"
        assert s.signed == any(bool((m < 0).any()) for m in s.maps.values())


@every
@everywhere
def test_case_target_score_and_provenance_stay(name: str, where: str) -> None:
    maps = maps_of(where)
    for s in refined(name, where, maps):
        assert (s.case_id, s.target, s.score) == (maps[0].case_id, maps[0].target, maps[0].score)
        assert (s.spacing, s.image_axes) == (maps[0].spacing, maps[0].image_axes)
        assert s.provenance["weights"] == maps[0].provenance["weights"]
        assert s.cost.forwards >= 1


@every
@everywhere
def test_it_says_what_it_did(name: str, where: str) -> None:
    for s in refined(name, where, maps_of(where)):
        assert s.refinement is not None
        assert s.refinement["refiner"] == name
        assert s.refinement["options"] == as_refiner(name).describe()
        of = s.refinement["of"]
        assert set([of] if isinstance(of, str) else of) <= set(METHODS)
        assert s.method not in METHODS and s.method.startswith(name)
        for check in ("stable", "sane", "better"):  # asked of the map it was made from, at most
            assert check not in s.checks or s.checks[check].status == "not tested"


@every
@everywhere
def test_what_it_was_given_stays_as_it_was(name: str, where: str) -> None:
    maps = maps_of(where)
    before = copy.deepcopy(maps)
    case = world(where).case
    regions = {k: v.clone() for k, v in case.regions.items()}
    made = refined(name, where, maps)
    for s in made:
        for m in s.maps.values():
            m.add_(1)  # what comes back is the caller's own
    for a, b in zip(maps, before):
        assert same(a.maps, b.maps) and a.refinement is None
        assert (a.flags, a.checks, a.notes, a.method) == (b.flags, b.checks, b.notes, b.method)
    assert same(dict(case.regions), regions)


@every
def test_the_same_maps_give_the_same(name: str) -> None:
    maps = maps_of(WORLDS[1])
    for a, b in zip(refined(name, WORLDS[1], maps), refined(name, WORLDS[1], maps)):
        assert same(a.maps, b.maps)
        assert (a.method, a.flags, a.checks) == (b.method, b.flags, b.checks)


@every
def test_refined_maps_are_not_refined_again_unless_asked_for(name: str) -> None:
    made = refined(name, WORLDS[0], maps_of(WORLDS[0]))
    refiner = as_refiner({name: {"of": [made[0].method], "label": "again"}})
    assert not any(as_refiner(name).takes(s) for s in made)
    assert refiner.takes(made[0])


@every
def test_what_it_cannot_use_is_said_in_a_sentence(name: str) -> None:
    w = world(WORLDS[0])
    maps = [a.replace(maps={"im0": torch.zeros(3, 3)}) for a in maps_of(WORLDS[0])]
    with pytest.raises(InputError, match=r"case w1: .{30}"):
        as_refiner(name).refine(maps, w.case)
    with pytest.raises(UsageError, match="no option"):
        as_refiner({name: {"no such option": 1}})
    assert issubclass(InputError, PellucidError)
