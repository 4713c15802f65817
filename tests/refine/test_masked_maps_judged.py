"""Refined maps under the metrics: certainty reads the whole map, the rest the masked one, and both can be made again."""

from __future__ import annotations

import pytest
import torch

import pellucid as pc
from metric_worlds import world
from pellucid.api import evidence_of
from pellucid.core.refiner import base_of, is_refined, refined_again
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate import verdicts

CERTAINTY = ("segu", "segu_matched", "hit_rate", "mass_in_mask")
WORLDS = ("classification 2-D + table", "regression 3-D", "segmentation 2 pictures")


def pair(name: str, method: str = "smoothgrad", **options):
    w = world(name)
    a = pc.explain(w.predictor, w.case, method=method, seed=3)
    return w, a, pc.segx(a, "lesion", case=w.case, **options)


@pytest.mark.parametrize("name", WORLDS)
def test_certainty_is_that_of_the_unmasked_map_and_plausibility_is_not(name):
    w, a, s = pair(name)
    asked = [*CERTAINTY, "mass_accuracy", "evaluations"]
    whole, cut = pc.evaluate(w.predictor, w.case, [a, s], asked)
    for metric in CERTAINTY:
        assert cut[metric] == whole[metric] and 0 <= cut[metric] < 1
    assert cut["mass_accuracy"] == 1 > whole["mass_accuracy"]  # by construction: that is why certainty does not read it
    assert cut["evaluations"] == whole["evaluations"] > 0
    assert s.refinement["discarded_mass"] == pytest.approx(1 - whole["mass_in_mask"], abs=1e-9)
    assert pc.evaluate(w.predictor, w.case, s, [{"segu": {"region": "lesion"}}])["segu"] == whole["segu"]


@pytest.mark.parametrize("name", WORLDS)
def test_a_refined_map_is_made_again_by_its_method_and_its_mask(name):
    w, a, s = pair(name, margin=1)
    evidence = evidence_of(Engine(w.predictor), w.case, [a, s], steps=4)
    (plain,), (again,) = (evidence.again[i](evidence.engine, [w.case], [evidence.target(i)] * 2) for i in (0, 1))
    for n in s.maps:
        torch.testing.assert_close(plain.maps[n], a.maps[n])
        torch.testing.assert_close(again.maps[n], s.maps[n])
    assert again.method == s.method == "segx(smoothgrad)"
    assert torch.equal(again.refinement["mask"], s.refinement["mask"])
    scores = pc.evaluate(w.predictor, w.case, [a, s], ["stability_pearson", "parameter_randomisation"])
    assert all(v == v for row in scores for v in row.values())
    noisy = evidence.view(1).noisy[0]
    outside = ~s.refinement["mask"]
    for n in set(s.maps) - set(s.refinement["untouched"]):
        assert not noisy.spatial(n)[outside].any() and noisy.spatial(n).any()


def test_the_verdict_better_compares_with_controls_that_are_masked_alike():
    w, a, s = pair("classification 2-D")
    r = pc.explain(w.predictor, w.case, method="random", seed=0)
    masked_random = pc.segx(r, "lesion", case=w.case)
    evidence = evidence_of(Engine(w.predictor), w.case, [a, s, r, masked_random], steps=4)
    assert list(evidence.control_curves(0)) == ["random", "edge"]
    assert list(evidence.control_curves(1)) == ["segx(random)", "segx(edge)"]
    assert evidence.control_curves(1)["segx(random)"] is evidence.ranked()[3]  # it is among the maps: no pass more
    judged = verdicts.full(evidence)
    assert "against segx(random)" in judged[1].checks["better"].sentence
    assert judged[1].checks["inside"] == s.checks["inside"]
    assert judged[3].checks["better"].status == judged[2].checks["better"].status == "not tested"
    alone = evidence_of(Engine(w.predictor), w.case, [s], steps=4)
    made = alone.controls["random"](alone.engine, [w.case], [alone.target(0)])
    assert not refined_again(made, s)[0].spatial("im0")[~s.refinement["mask"]].any()
    assert list(alone.control_curves(0)) == ["segx(random)", "segx(edge)"]


def test_names_of_refined_maps():
    assert [base_of(n) for n in ("segx(grad_cam)", "grad_cam", "of lungs(random)")] == ["grad_cam", "grad_cam", "random"]
    assert is_refined("segx(grad_cam)") and not is_refined("grad_cam")


def test_a_map_that_was_refined_twice_is_made_again_step_by_step():
    _, a, s = pair("classification 2-D")
    twice = pc.segx(s, torch.arange(120).view(10, 12) % 2 == 0, label="every other")
    assert twice.method == "every other(segx(smoothgrad))"
    (again,) = refined_again([a], twice)
    assert torch.equal(again.maps["im0"], twice.maps["im0"])
    assert base_of(twice.method) == "smoothgrad"


def test_a_map_of_a_method_that_is_not_registered_cannot_be_made_again():
    w, _, s = pair("classification 2-D")
    lost = s.replace(provenance={})
    evidence = evidence_of(Engine(w.predictor), w.case, [lost], steps=4)
    with pytest.raises(UsageError, match="cannot be made again"):
        evidence.again[0](evidence.engine, [w.case], [evidence.target(0)])
