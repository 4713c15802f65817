"""A run with masked maps, stopped in the middle of masking and resumed: files to report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from pellucid.core.case import Case
from pellucid.errors import UsageError
from pellucid.refine.segx import SegX
from pellucid.report.judge import judge
from pellucid.report.reading import reading
from pellucid.report.score_tables import verdict_table
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.store import Run

QUIET = Console(quiet=True)
TASK = "classification"
PLAIN = ["saliency", "random"]


def recipe(**changes: object) -> Recipe:
    plain = demo_recipe(TASK, quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["explain"] |= {"methods": PLAIN, "most": 4}
    work["train"]["epochs"] = 1
    work["refine"] = [{"segx": {"mask": "lesion", "margin": 8}}, {"segx": {"label": "wide", "of": ["saliency"], "within": "image"}}]
    work["evaluate"] |= {"metrics": ["insertion_auc", "deletion_auc", "pointing_game", "segu", "mass_in_mask"], "steps": 3,
                         "thresholds": {"inside": 0.3}, "findings": False}  # fmt: skip
    return Recipe.model_validate(plain | {"tasks": [work | changes]})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("refined") / "run"
    with pytest.MonkeyPatch.context() as patch:
        real, calls = SegX.refine, []

        def stopped(self: SegX, *args: object, **more: object) -> object:
            calls.append(self.label)
            if len(calls) == 6:  # in the third case, after its first refiner
                raise KeyboardInterrupt
            return real(self, *args, **more)  # type: ignore[arg-type]

        patch.setattr(SegX, "refine", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe(), folder, quiet=True, console=QUIET)
        half = Run(folder)
        refined = [len(half.attributions(TASK, c)) for c in half.cases(TASK)]
        assert sorted(refined) == [2, 2, 5, 5]
    return run_recipe(recipe(), folder, resume=True, quiet=True, console=QUIET)


def test_every_case_has_its_maps_and_their_masked_forms(done: Run) -> None:
    assert not failures(done)
    for case_id in done.cases(TASK):
        case = done.case(TASK, case_id)
        maps = {a.method: a for a in done.attributions(TASK, case_id)}
        assert list(maps) == [*PLAIN, *(f"segx({m})" for m in PLAIN), "wide(saliency)"]
        for method in PLAIN:
            a, s = maps[method], maps[f"segx({method})"]
            mask = s.refinement["mask"]
            assert mask.sum() > case.region("lesion").sum() and (mask | ~case.region("lesion")).all()
            assert torch.equal(s.refinement["unmasked"]["ct"], a.maps["ct"])
            assert torch.equal(s.spatial("ct"), a.spatial("ct") * mask)
            assert s.checks["inside"].threshold in (0.3, None)
            assert s.checks["stable"].status != "not tested"
            assert s.cost == a.cost and s.provenance["method"] == method


def test_scores_are_those_of_the_right_map(done: Run) -> None:
    wide = done.table("scores", TASK).pivot_table("value", ["case", "metric"], "method").unstack("metric")
    for metric in ("segu", "mass_in_mask"):
        for method in PLAIN:
            pd.testing.assert_series_equal(wide[method, metric], wide[f"segx({method})", metric], check_names=False)
    assert (wide["segx(random)", "insertion_auc"] != wide["random", "insertion_auc"]).any()
    assert set(done.table("refined", TASK)["refined"]) >= {"segx(saliency)", "wide(saliency)"}
    costs = done.table("costs", TASK).groupby("method")["forwards"].mean()
    assert costs["segx(saliency)"] == costs["saliency"]
    verdicts = done.table("verdicts", TASK)
    assert set(verdicts.loc[verdicts["check"] == "inside", "method"]) == {*(f"segx({m})" for m in PLAIN), "wide(saliency)"}
    assert set(done.table("agreement", TASK)[["a", "b"]].to_numpy().ravel()) == set(PLAIN)  # one mask makes maps agree
    regions = done.table("regions", TASK)
    assert len(regions) and not regions["method"].str.contains("segx").any()  # a mask decides where those lie


def test_the_report_names_masked_maps_whole_and_praises_no_masked_control(done: Run) -> None:
    judged = judge(done.table("verdicts", TASK), done.table("comparison", TASK), done.info["metrics"])
    word = {j.method: j.word for j in judged}
    names = [*PLAIN, *(f"segx({m})" for m in PLAIN), "wide(saliency)"]
    assert sorted(word) == sorted(names)
    assert word["random"] == word["segx(random)"] == "control"
    assert any("It was not compared with a random map that was refined alike." in j.why for j in judged if j.method[0] == "w")
    table = verdict_table(done, TASK, names)
    assert table is not None and [r["method"] for r in table["rows"]] == names and "inside" in table["checks"]
    assert [r["control"] for r in table["rows"]] == [False, True, False, True, False]
    assert any("of the evidence" in said for r in table["rows"] for said in r["says"])
    assert "The verdict “inside”" in dict(reading(done))


def test_a_case_without_the_region_is_told_keeps_its_maps_and_the_rest_goes_on(done: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(done.folder, tmp_path / "run")
    first, *others = done.cases(TASK)
    real = SegX.refine

    def one_without(self: SegX, maps: object, case: Case, **more: object) -> object:
        return real(self, maps, case.replace(regions={}) if case.id == first else case, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegX, "refine", one_without)
        run = run_recipe(recipe(), folder, only=["refine"], quiet=True, console=QUIET)
    ((task, stage, item, error),) = failures(run)
    assert (task, stage, item) == (TASK, "refine", first) and "no region 'lesion'" in error
    verdicts = run.table("verdicts", TASK).groupby("case")["method"].unique()
    assert set(verdicts[first]) == set(PLAIN)
    assert all(len(verdicts[c]) == 5 for c in others)
    assert [a.method for a in run.attributions(TASK, first)] == PLAIN


def test_an_unknown_refiner_or_option_is_refused_at_once(tmp_path: Path) -> None:
    for wrong, says in ((["segxx"], "segx"), ([{"segx": {"maks": "lesion"}}], "mask")):
        with pytest.raises(UsageError, match=f"did you mean '{says}'"):
            run_recipe(recipe(refine=wrong), tmp_path / "run", quiet=True, console=QUIET)
