"""A run with ensembles, killed in the middle of combining and resumed: files to report; weights that are measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import pellucid as pc
from ensemble_runs import MEMBERS, TASK, Tiny, recipe
from pellucid.data.synthetic import make
from pellucid.errors import UsageError
from pellucid.evaluate.run import as_metric
from pellucid.refine.ensemble import Ensemble
from pellucid.report import build_report, ensembles, html, masked
from pellucid.report.ensembles import ensemble_gallery, weight_panels
from pellucid.report.figures import Stage
from pellucid.report.judge import judge
from pellucid.report.reading import reading
from pellucid.study.refined_names import check_refiners
from pellucid.study.run import failures, run_recipe
from pellucid.study.stages import ensemble_weights
from pellucid.study.stages.ensemble_weights import weights_table
from pellucid.study.store import Run
from tiny_networks import registered

QUIET = Console(quiet=True)

@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with registered(tiny=Tiny):
        yield


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Killed within the second case and gone on."""
    folder = tmp_path_factory.mktemp("ensembles") / "run"
    with pytest.MonkeyPatch.context() as patch:
        real, calls = Ensemble.refine, []

        def stopped(self: Ensemble, *args: object, **more: object) -> object:
            calls.append(self.title)
            if len(calls) == 4:  # in the second case, after its first ensemble
                raise KeyboardInterrupt
            return real(self, *args, **more)  # type: ignore[arg-type]

        patch.setattr(Ensemble, "refine", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe(), folder, quiet=True, console=QUIET)
        half = Run(folder)
        assert sorted(len(half.attributions(TASK, c)) for c in half.cases(TASK)) == [4, 4, 6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble_weights, "_scores", lambda *_: pytest.fail("measured twice"))
        return run_recipe(recipe(), folder, resume=True, quiet=True, console=QUIET)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_recipe(recipe(), tmp_path_factory.mktemp("ensembles") / "whole", quiet=True, console=QUIET)


def test_resumed_is_equal_to_unbroken(broken: Run, whole: Run) -> None:
    assert not failures(broken)
    for table in ("scores", "verdicts", "comparison", "ensemble_weights", "aggregated"):
        a, b = broken.table(table, TASK), whole.table(table, TASK)
        assert len(a)
        pd.testing.assert_frame_equal(a, b)
    for case_id in whole.cases(TASK):
        for a, b in zip(broken.attributions(TASK, case_id), whole.attributions(TASK, case_id), strict=True):
            assert a.method == b.method and all(torch.equal(a.maps[n], b.maps[n]) for n in b.maps)


def test_every_case_has_its_ensembles_made_of_its_maps(whole: Run) -> None:
    (weights,) = {tuple(zip(t["method"], t["weight"])) for t in [whole.table("ensemble_weights", TASK)]}
    for case_id in whole.cases(TASK):
        maps = {a.method: a for a in whole.attributions(TASK, case_id)}
        assert list(maps) == [*MEMBERS, "random", "ensemble_threshold", "ensemble_weighted"]
        own = [maps[m] for m in MEMBERS]
        for e, again in (
            (maps["ensemble_threshold"], pc.ensemble(own, block=4)),
            (maps["ensemble_weighted"], pc.ensemble(own, "weighted", weights=dict(weights), block=4)),
        ):
            assert torch.equal(e.maps["image"], again.maps["image"])
            assert torch.equal(e.refinement["votes"]["image"], again.refinement["votes"]["image"])
            assert e.refinement["of"] == MEMBERS  # without of: all but the control
        assert maps["ensemble_threshold"].cost.forwards == sum(a.cost.forwards for a in own)


def test_they_are_compared_judged_and_made_again_as_methods_are(whole: Run) -> None:
    compared = whole.table("comparison", TASK).set_index(["metric", "method"])
    for name in ("ensemble_threshold", "ensemble_weighted"):
        row = compared.loc["insertion_auc", name]
        assert np.isfinite(row["difference"]) and row["note"] in ("", "3 patients: too few to tell from chance")
        assert np.isfinite(compared.loc["stability_pearson", name]["mean"])
    assert {"ensemble_threshold", "ensemble_weighted"} <= set(whole.table("aggregated", TASK)["method"])
    word = {j.method: j.word for j in judge(whole.table("verdicts", TASK), whole.table("comparison", TASK), whole.info["metrics"])}
    assert word["random"] == "control" and word["ensemble_threshold"] != "control"
    agreed = whole.table("agreement", TASK)
    assert not agreed[["a", "b"]].isin(["ensemble_threshold", "ensemble_weighted"]).to_numpy().any()


def test_weights_are_those_of_the_calibration_cases_alone(whole: Run) -> None:
    table = whole.table("ensemble_weights", TASK)
    assert list(table["method"]) == MEMBERS and set(table["part"]) == {"val"} and table["n"].max() == 4
    assert table["weight"].sum() == pytest.approx(1) and (table["weight"] >= 0).all()
    gains = table["gain"].clip(lower=0)
    expected = gains / gains.sum() if gains.sum() else np.full(3, 1 / 3)
    np.testing.assert_allclose(table["weight"], expected)
    assert (table["weight_low"] <= table["weight_high"]).all()


def scores(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"case": f"c{i}", "group": f"g{i}", "method": m, "value": v, "reason": "" if np.isfinite(v) else "no region"}
        for m, own in values.items() for i, v in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_rule_of_the_weights() -> None:
    nan = float("nan")
    made = scores({"a": [3, 5], "b": [2, 2], "c": [0, 0], "d": [nan, nan], "random": [1, 1]})
    up = weights_table(made, ["a", "b", "c", "d"], as_metric("insertion_auc"))
    assert list(up["weight"]) == [0.75, 0.25, 0, 0]  # gains 3 and 1
    assert list(up["note"]) == ["", "", "no better than a random map", "undefined: no region"]
    assert (up["weight_low"][0], up["weight_high"][0]) == pytest.approx((2 / 3, 4 / 5))
    down = weights_table(made, ["a", "b", "c", "d"], as_metric("deletion_auc"))
    assert list(down["weight"]) == [0, 0, 1, 0]
    alike = weights_table(made, ["a", "b"], as_metric("deletion_auc"))
    assert list(alike["weight"]) == [0.5, 0.5]
    assert set(alike["note"]) == {"no member is better than a random map: all count alike"}
    masked = scores({"segx(a)": [3, 3], "segx(b)": [2, 2], "segx(random)": [2, 2], "random": [0, 0]})
    assert list(weights_table(masked, ["segx(a)", "segx(b)"], as_metric("insertion_auc"))["weight"]) == [1, 0]


def test_ensembles_of_plain_and_of_masked_maps_have_weights_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = scores({"a": [3, 5], "b": [2, 2], "random": [1, 1]})
    masked = scores({"segx(a)": [2, 2], "segx(b)": [3, 5], "segx(random)": [1, 1]})
    monkeypatch.setattr(ensemble_weights, "calibration_cases", lambda *_: [])
    monkeypatch.setattr(ensemble_weights, "_scores", lambda _, refiner, *__: plain if "a" in refiner.of else masked)
    kept = [pd.DataFrame()]
    run = SimpleNamespace(table=lambda *_: kept[-1], put_table=lambda _, __, table: kept.append(table))
    context = SimpleNamespace(run=run, task=TASK, engine=SimpleNamespace(weights="w"), recipe=SimpleNamespace(seed=0))
    how = {"combine": "weighted", "calibrate": "val", "metric": "insertion_auc"}
    asked = [Ensemble(of=("a", "b"), **how), Ensemble(of=("segx(a)", "segx(b)"), **how)]
    for _ in range(2):  # measured, and read again
        assert [dict(r.weights or {}) for r in ensemble_weights.weighed(context, asked)] == [  # type: ignore[arg-type]
            {"a": 0.75, "b": 0.25}, {"segx(a)": 0.25, "segx(b)": 0.75}]  # fmt: skip
    assert len(kept) == 3
    assert list(kept[-1]["ensemble"].unique()) == ["ensemble_weighted", "segx(ensemble_weighted)"]


def refused(*refine: object, **more: object) -> str:
    with pytest.raises(UsageError) as error:
        check_refiners(recipe(refine=list(refine), **more).tasks[0])
    return str(error.value)


def test_what_cannot_work_is_refused_before_anything_runs() -> None:
    bad = {
        "there is no map called 'salency' by then; did you mean 'saliency'?": [{"ensemble": {"of": ["salency", "random"]}}],
        "an ensemble is made of two methods or more, this one of saliency": [{"ensemble": {"of": ["saliency"]}}],
        "two maps would be called 'ensemble_threshold'; give this refiner a label": ["ensemble", {"ensemble": {"t": 0.3}}],
        "saliency, segx(saliency) were refined in different ways": ["segx", {"ensemble": {"of": ["saliency", "segx(saliency)"]}}],
        "there is a weight for 'grad', which is no member": [{"ensemble": {"combine": "weighted", "weights": {"grad": 1}}}],
        "give weights, or calibrate to have them measured, not both": [
            {"ensemble": {"combine": "weighted", "weights": {"saliency": 1}, "calibrate": "val"}}],
        "'test' is what is explained; weights that are measured on the explained cases flatter them": [
            {"ensemble": {"combine": "weighted", "calibrate": "test"}}],
        "no cases are called 'vall'; did you mean 'val'?": [{"ensemble": {"combine": "weighted", "calibrate": "vall"}}],
        "the metric 'attribution_share' has no better side": [
            {"ensemble": {"combine": "weighted", "calibrate": "val", "metric": "attribution_share"}}],
    }  # fmt: skip
    for says, refine in bad.items():
        assert re.search(re.escape(says), said := refused(*refine)), said
    names = check_refiners(recipe(refine=["segx", "ensemble", {"ensemble": {"t": 0.3, "label": "low"}}, {"ensemble": {
        "of": ["segx(saliency)", "segx(smoothgrad)"], "combine": "rank"}}]).tasks[0])  # fmt: skip
    assert names[-3:] == ["ensemble_threshold", "low", "segx(ensemble_rank)"]


def test_patients_on_both_sides_are_refused(whole: Run, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble_weights, "chosen", lambda context: context.part("val")[:2])
        with pytest.raises(UsageError, match=r"2 patients of 'val' are among the explained ones \('test'\); calibrate on a part"):
            run_recipe(recipe(), tmp_path / "run", quiet=True, console=QUIET)


def test_the_report_shows_members_votes_and_weights(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "MOST", 1)
    monkeypatch.setattr(html, "gallery", lambda *_: [])
    shown = ensemble_gallery(whole, TASK)
    assert len(shown) == 1 and all([s["method"] for s in c["strips"]] == ["ensemble_threshold", "ensemble_weighted"] for c in shown)
    for case in shown:
        maps = {a.method: a for a in whole.attributions(TASK, case["case"])}
        for strip in case["strips"]:
            made = maps[strip["method"]].refinement
            votes, n = made["votes"]["image"], made["n"]
            assert f"{n} of 3 maps" in strip["said"] and "blocks of 4" in strip["said"]
            for word, there in ((f"All {n} vote on", votes == n), (", none on", votes == 0)):
                (said,) = re.findall(rf"{word} (under 1|\d+) %", strip["said"])
                share = 100 * float(there.double().mean())
                assert 0 < share < 1 if said == "under 1" else abs(int(said) - share) <= 0.5
            assert strip["uri"].startswith("data:image/png;base64,") and all(m in strip["alt"] for m in MEMBERS)
    assert "weights saliency" in shown[0]["strips"][1]["said"] and "weights" not in shown[0]["strips"][0]["said"]
    (panel,) = weight_panels(whole, TASK)
    assert panel["title"] == "What each member of ensemble_weighted counts" and "on 4 cases of 'val'" in panel["line"]
    table = whole.table("ensemble_weights", TASK).set_index("method")["weight"]
    shares = {r["name"]: float(r["cells"][3]["text"]) for r in panel["table"]["rows"]}
    assert shares == pytest.approx(dict(table), abs=1e-3) and "[" in panel["table"]["rows"][0]["cells"][3]["small"]
    page = build_report(whole.folder).read_text(encoding="utf-8")
    section = page.split("<h3>Ensembles, and who votes for what</h3>")[1].split("<h3>")[0]
    assert section.count("<img") == 2 and "What each member of ensemble_weighted counts" in section
    assert "Ensembles" in dict(reading(whole))


def test_a_member_that_was_left_out_is_named_with_the_reason() -> None:
    case = make("dermoscopy", n=1, size=28)[0]
    of = {"case_id": case.id, "target": {"kind": "class", "index": 1, "label": "malignant"}, "score": 0.0}
    good = [pc.Attribution(maps={"image": torch.rand(28, 28)}, method=m, **of) for m in ("a", "b")]
    empty = pc.Attribution(maps={"image": torch.zeros(28, 28)}, method="silent", **of)
    made = pc.ensemble([*good, empty], "rank")
    strip = ensembles._strip(case, made, "image", [*good, empty, made], {})
    assert "2 of 3 maps" in strip["said"] and strip["said"].endswith("Left out: silent (it is empty: it has no positive value).")
    assert "members left out: they say nothing" in strip["flags"]
    figure = ensembles.strip(Stage(case), "image", [*good, empty], made)
    assert [t for t in (a.get_title(loc="left") for a in figure.axes) if t] == [
        "the picture", "ensemble_rank", "votes", "a", "b", "silent (left out)"]  # fmt: skip
    assert list(figure.axes[-1].get_yticks()) == [0, 1, 2]  # votes: whole numbers


def test_a_masked_ensemble_stands_beside_the_ensemble() -> None:
    case = make("dermoscopy", n=1, size=28)[0]
    of = {"case_id": case.id, "target": {"kind": "class", "index": 1, "label": "malignant"}, "score": 0.0}
    maps = [pc.Attribution(maps={"image": torch.rand(28, 28)}, method=m, **of) for m in ("a", "b")]
    e = pc.ensemble(maps)
    pairs = masked._pairs([*maps, e, pc.segx(e, "lesion", case=case)], ["a"])
    assert [(p.method, m.method) for p, m in pairs] == [("ensemble_threshold", "segx(ensemble_threshold)")]


def test_ensembles_of_the_same_members_share_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: dict[str, pd.DataFrame] = {}
    run = SimpleNamespace(
        table=lambda name, task: tables.get(name, pd.DataFrame()),
        put_table=lambda name, task, table: tables.update({name: table}),
    )
    context = SimpleNamespace(run=run, task=TASK, engine=SimpleNamespace(weights="w"), recipe=SimpleNamespace(seed=0))
    made = scores({"a": [3, 5], "b": [2, 2], "random": [1, 1]})
    asked = []
    monkeypatch.setattr(ensemble_weights, "calibration_cases", lambda *_: [])
    monkeypatch.setattr(ensemble_weights, "_scores", lambda context, how, *_: asked.append(how.title) or made)
    same = {"of": ("a", "b"), "combine": "weighted", "calibrate": "val", "metric": "insertion_auc"}
    refiners = [Ensemble(**same), Ensemble(**same, block=2, label="fine"), Ensemble(**same, most=3, label="few")]
    ready = ensemble_weights.weighed(context, refiners)
    assert asked == ["ensemble_weighted", "few"] and [r.weights for r in ready] == [{"a": 0.75, "b": 0.25}] * 3
    assert ensemble_weights.weighed(context, refiners) == ready and len(asked) == 2  # read again
    context.engine.weights = "another model"
    ensemble_weights.weighed(context, refiners)
    assert len(asked) == 4 and set(tables["ensemble_weights"]["model"]) == {"another model"}
