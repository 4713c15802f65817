"""Ensembles as metrics see them: made again from all members, beside the right controls; stored and read."""

from __future__ import annotations

import math

import pytest
import torch

import pellucid as pc
from metric_worlds import world
from pellucid.api import evidence_of
from pellucid.engine import Engine
from pellucid.evaluate import verdicts
from pellucid.evaluate.cohort.agreement import agreement_rows
from pellucid.evaluate.run import as_metric, score_table
from pellucid.io.maps import load_maps
from pellucid.study.store import Run

WORLD = "classification 2-D + table"
METHODS = ["saliency", {"smoothgrad": {"samples": 3}}]


def members(seed=1):
    w = world(WORLD)
    return pc.explain_many(w.predictor, [w.case], methods=METHODS, targets=["b"], seed=seed)


def evidence(maps, **more):
    w = world(WORLD)
    return evidence_of(Engine(w.predictor), w.case, maps, steps=4, **more)


def again(a, *, case=None):
    """Made again by the evidence, of a case with noise."""
    found = evidence([a])
    return found.remade("here", 0, found.engine, [case or found.case])[0]


@pytest.mark.parametrize("combine", ["threshold", "rank", "weighted"])
def test_it_is_made_again_from_all_members_with_their_options_and_seeds(combine):
    w = world(WORLD)
    e = pc.ensemble(members(), combine, block=3, **({"weights": [1, 2]} if combine == "weighted" else {}))
    same = again(e)
    assert torch.equal(same.maps["im0"], e.maps["im0"]) and torch.equal(same.maps["tab"], e.maps["tab"])
    g = torch.Generator().manual_seed(4)
    noisy = w.case.replace(inputs={k: v + 0.3 * torch.randn(v.shape, generator=g) for k, v in w.case.inputs.items()})
    own = [again(a, case=noisy) for a in members()]
    expected = pc.ensemble(own, combine, block=3, **({"weights": [1, 2]} if combine == "weighted" else {}))
    changed = again(e, case=noisy)
    torch.testing.assert_close(changed.maps["im0"], expected.maps["im0"])
    assert not torch.allclose(changed.maps["im0"], e.maps["im0"], atol=0.01)


def test_through_a_mask_before_and_after():
    w = world(WORLD)
    plain = members()
    inside = [pc.segx(a, "lesion", case=w.case) for a in plain]
    before = pc.ensemble(inside, "rank", block=2)
    assert before.method == "segx(ensemble_rank)"  # members masked alike: so are its controls
    after = pc.segx(pc.ensemble(plain, "rank", block=2), "lesion", case=w.case)
    assert after.method == "segx(ensemble_rank)"
    for e in (before, after):
        assert torch.equal(again(e).maps["im0"], e.maps["im0"])
        assert torch.equal(e.refinement["unmasked"]["im0"], pc.ensemble(plain, "rank", block=2).maps["im0"])
    both = pc.ensemble([inside[0], plain[1]], "rank", block=2)
    assert both.method == "ensemble_rank" and "unmasked" not in both.refinement


def test_it_is_judged_as_any_map_and_beside_the_plain_controls():
    e = pc.ensemble(members(), "rank", block=2)
    found = evidence([e])
    assert set(found.control_curves(0)) == {"random", "edge"}
    (judged,) = verdicts.full(found)
    assert {n: judged.checks[n].status != "not tested" for n in ("stable", "sane", "better")} == {
        "stable": True, "sane": True, "better": True}  # fmt: skip
    scores, _ = score_table(found, [as_metric("stability_pearson"), as_metric("insertion_auc"), as_metric("pointing_game")])
    assert all(math.isfinite(r["value"]) for r in scores)


def test_controls_of_an_ensemble_of_masked_maps_are_masked():
    w = world(WORLD)
    e = pc.ensemble([pc.segx(a, "lesion", case=w.case) for a in members()], "rank", block=2)
    found = evidence([e])
    assert set(found.control_curves(0)) == {"segx(random)", "segx(edge)"}
    random = pc.explain(w.predictor, w.case, method="random", target="b")
    own = evidence([pc.segx(random, "lesion", case=w.case)]).ranked()[0]
    assert torch.equal(found.control_curves(0)["segx(random)"].deletion, own.deletion)


def test_maps_of_two_models_and_of_unknown_methods_cannot_be_made_again_and_it_says_why():
    a, b = members()
    two = pc.ensemble([a, b.replace(provenance={**b.provenance, "weights": "other"})], "rank", block=2)
    unknown = pc.ensemble([a, b.replace(method="by hand", provenance={**b.provenance, "method": "by hand"})], "rank", block=2)
    for e, why in ((two, "is of maps of 2 models, and one alone cannot make it again"), (unknown, "'by hand' is not a registered method")):
        score = evidence([e]).view(0).scores([as_metric("stability_pearson")])["stability_pearson"]
        assert math.isnan(score.value) and why in score.reason


def test_it_is_stored_with_votes_and_members_and_read_back(tmp_path):
    w = world(WORLD)
    masked = [pc.segx(a, "lesion", case=w.case) for a in members()]
    made = [*members(), *masked, pc.ensemble(members(), block=2), pc.ensemble(masked, "rank", block=2)]
    run = Run.create(tmp_path / "run", {"recipe": {"tasks": []}})
    run.put_maps("t", w.case, made)
    back = run.attributions("t", w.case.id)
    for e, r in zip(made[-2:], back[-2:]):
        assert r.method == e.method and r.refinement["of"] == e.refinement["of"] and r.refinement["said"] == e.refinement["said"]
        assert torch.equal(r.refinement["votes"]["im0"], e.refinement["votes"]["im0"])
        assert torch.equal(again(r).maps["im0"], e.maps["im0"])
    assert torch.equal(back[-1].refinement["unmasked"]["im0"], made[-1].refinement["unmasked"]["im0"])
    (path,) = made[-2].save(tmp_path / "e.npz")
    said = load_maps(path).provenance["refinement"]
    assert said["of"] == ["saliency", "smoothgrad"] and said["n"] == 2 and "votes" not in said
    (path,) = made[-1].save(tmp_path / "masked.npz")  # its members' masks are no words
    assert not {"members", "unmasked"} & set(load_maps(path).provenance["refinement"])


def test_it_is_no_witness_for_what_it_is_made_of():
    maps = members()
    rows = agreement_rows([*maps, pc.ensemble(maps, block=2)], None)
    assert [(r["a"], r["b"]) for r in rows] == [("saliency", "smoothgrad")]
