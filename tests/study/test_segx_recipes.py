"""The recipes of SegX on HAM10000 and ChestX-Det10, as they are, made small, on miniatures of the published layouts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from filelock import FileLock
from numpy.typing import NDArray
from rich.console import Console

from make_skin_and_chest import FINDINGS, make_chestxdet10, make_ham10000
from pellucid.core.case import Case
from pellucid.data import load_dataset, zones
from pellucid.engine.engine import Engine
from pellucid.evaluate.cohort.aggregate import aggregated
from pellucid.evaluate.cohort.agreement import agreement
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.detector import detect
from pellucid.evaluate.cohort.quality import by_mask_dice
from pellucid.evaluate.cohort.ranking import ranking
from pellucid.evaluate.cohort.refined import refined
from pellucid.evaluate.cohort.strata import strata
from pellucid.nets import load_predictor
from pellucid.report import build_report
from pellucid.report.tables import data_rows
from pellucid.study.context import Context
from pellucid.study.recipe import Recipe, load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.stages import STAGES, explain
from pellucid.study.store import Run
from pellucid.train.performance import performance
from pellucid.train.reliability import calibration_measures

RECIPES = Path(__file__).parents[2] / "recipes"
QUIET = Console(quiet=True)
PLAIN = ["grad_cam", "gradient_shap", "random", "edge"]
DEAR = ("insertion_auc", "aopc", "rank_accuracy", "segu_matched", "stability_pearson", "parameter_randomisation")


def small(name: str, root: Path, most: int) -> Recipe:
    """The recipe with nothing changed but what makes it small."""
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    recipe["device"] = "cpu"
    for task in recipe["tasks"]:
        task["data"]["root"] = str(root)
        task["data"]["options"]["size"] = 32
        model, train = task["model"], task["train"]
        train |= {"epochs": 1, "batch_size": 8}
        if task["name"] in ("lesions", "lungs"):
            model["options"]["channels"] = [4, 8]
            train |= {"epochs": 2, "lr": 0.03}
            continue
        model |= {"network": "resnet18", "normalise": "data"}
        del model["weights"]
        train["lr"] = 0.001
        task["explain"]["most"] = most
        task["explain"]["methods"][1]["gradient_shap"]["samples"] = 2
        task["evaluate"] |= {"steps": 4, "checks": "cheap", "findings": False}
        asked = task["evaluate"]["metrics"]
        task["evaluate"]["metrics"] = [m for m in asked if (m if isinstance(m, str) else next(iter(m))) not in DEAR]
        task["analysis"][0]["segmentation_quality"] |= {"steps": 1, "draws": 1}
    return load_recipe(recipe)


def dark(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The drawn lungs. The real zone takes 0.2 s a picture, and has tests of its own."""
    return x < x.mean()


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Intervals from few draws, and a zone that is quick to find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zones.ZONES, "lungs_classical", dark)
        for table in (
            compare, ranking, agreement, strata, refined, detect, by_mask_dice, performance, calibration_measures,
        ):  # fmt: skip
            patch.setitem(table.__kwdefaults__, "n_boot", 40)
        patch.setitem(aggregated.__kwdefaults__, "choices", 10)
        yield


@dataclass(frozen=True)
class Done:
    """A run, and what the test knows of it."""

    run: Run
    recipe: Recipe
    corrupt: str
    given: list[str]  # the background that the methods were given

    @property
    def segmenter(self) -> str:
        return self.recipe.tasks[0].name

    @property
    def task(self) -> str:
        return self.recipe.tasks[1].name

    @property
    def mask(self) -> str:
        return next(iter(self.recipe.tasks[1].segment))


def done(recipe: Recipe, folder: Path, corrupt: str, **final: Any) -> Done:
    given: list[str] = []
    real = explain.background

    def noted(context: Context) -> list[Case]:
        found = real(context)
        given.extend(c.id for c in found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "background", noted)
        run = run_recipe(recipe, folder, quiet=True, console=QUIET, final=final)
    return Done(run, recipe, corrupt, given)


def make_rare(root: Path, finding: str) -> None:
    """Leave the finding in the first picture that has it, and in no other: validation will have none."""
    seen = False
    for name in ("train.json", "test.json"):
        entries = json.loads((root / name).read_text(encoding="utf-8"))
        for entry in entries:
            if finding in entry["syms"]:
                if seen:
                    place = entry["syms"].index(finding)
                    del entry["syms"][place], entry["boxes"][place]
                seen = True
        (root / name).write_text(json.dumps(entries), encoding="utf-8")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Done]) -> Done:
    """The run of a recipe, made by the first worker that asks for it; the others read its folder."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"segx-{name}"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        told = folder / "told.json"
        if not told.is_file():
            found = make(folder)
            told.write_text(json.dumps([found.recipe.model_dump(mode="json"), found.corrupt, found.given]))
            return found
        recipe, corrupt, given = json.loads(told.read_text())
    return Done(Run(folder / "run"), Recipe.model_validate(recipe), corrupt, given)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Done:
    def make(folder: Path) -> Done:
        root = make_chestxdet10(folder / "data", n=80, size=32, findings=FINDINGS, lung_masks=False, corrupt=1)
        make_rare(root, "Pneumothorax")
        recipe = small("segx-chestxdet10", root, 2)
        return done(recipe, folder / "run", "00000054_000", report=lambda r: build_report(r.folder))

    return once(tmp_path_factory, "chest", make)


@pytest.fixture(scope="module")
def ham(tmp_path_factory: pytest.TempPathFactory) -> Done:
    def make(folder: Path) -> Done:
        root = make_ham10000(folder / "data", n=80, size=(24, 32), corrupt=1)
        return done(small("segx-ham10000", root, 2), folder / "run", "ISIC_0024385")

    return once(tmp_path_factory, "ham", make)


@pytest.fixture(params=["chest", "ham"])
def both(request: pytest.FixtureRequest) -> Done:
    return request.getfixturevalue(request.param)


def test_no_patient_or_lesion_is_on_two_sides_and_both_tasks_have_the_same(both: Done) -> None:
    first, second = (both.run.table("data", t) for t in (both.segmenter, both.task))
    assert set(first["part"]) == {"train", "val", "test"}
    assert first["group"].nunique() < len(first)
    assert first.groupby("group")["part"].nunique().max() == 1
    assert dict(zip(first["case"], first["part"])) == dict(zip(second["case"], second["part"]))
    assert set(both.run.cases(both.task)) <= set(second.loc[second["part"] == "test", "case"])


def test_the_corrupt_picture_is_told_and_counts_nowhere(both: Done) -> None:
    told = failures(both.run)
    assert {(task, stage, item) for task, stage, item, _ in told} == {
        (t, "data", both.corrupt) for t in (both.segmenter, both.task)
    }
    assert all("cannot be read as a picture" in error for *_, error in told)
    for name in ("data", "predictions", "outcomes", "scores", "segmentation_quality", "explained"):
        table = both.run.table(name)
        assert len(table) and both.corrupt not in set(table["case"]), name


def test_maps_are_of_the_classes_above_their_threshold_and_right_or_wrong_as_they_are(both: Done) -> None:
    run, task = both.run, both.task
    outcomes, limits = run.table("outcomes", task), run.table("thresholds", task).set_index("class")["threshold"]
    stored = run.table("predictions", task).set_index(["case", "class"])
    exclusive = task == "diagnosis"
    assert outcomes["explained"].any() and not outcomes["explained"].all()
    for row in outcomes.itertuples():
        predicted = stored.loc[(row.case, row.target)]
        assert row.probability == pytest.approx(predicted["value"], abs=1e-5)
        above = row.probability > limits[row.target]  # False where there is none
        assert row.explained == above
        truth = str(predicted["truth"])
        there = truth == str(row.target_index) if exclusive else truth.split("|")[row.target_index] == "1"
        if np.isnan(limits[row.target]):
            assert row.outcome is None or row.outcome != row.outcome
        else:
            assert row.outcome == ("T" if above == there else "F") + ("P" if above else "N")
    for case in run.cases(task):
        mapped = {a.target["label"] for a in run.attributions(task, case)}
        assert mapped == set(outcomes.loc[(outcomes["case"] == case) & outcomes["explained"], "target"])


def test_gradient_shap_has_fifty_training_cases_as_background(both: Done) -> None:
    data = both.run.table("data", both.task)
    assert len(set(both.given)) == len(both.given) == 50
    assert set(both.given) <= set(data.loc[data["part"] == "train", "case"])


def test_every_map_has_its_masked_form_which_says_what_it_hides(both: Done) -> None:
    run, task = both.run, both.task
    scores = run.table("scores", task).set_index(["metric", "method", "case", "target_index"])["value"]
    seen = 0
    for case in run.cases(task):
        maps = {(a.method, a.target["index"]): a for a in run.attributions(task, case)}
        region = run.case(task, case).region(both.mask)
        for (method, k), masked in maps.items():
            if masked.refinement is None:
                continue
            name = method.removeprefix("segx(").removesuffix(")")
            plain = maps[name, k]
            assert torch.equal(masked.refinement["unmasked"]["image"], plain.maps["image"])
            if region.any():
                assert torch.equal(masked.refinement["mask"], region)
                hidden, kept = masked.refinement["discarded_mass"], scores["mass_in_mask", name, case, k]
                assert hidden == pytest.approx(1 - kept, abs=1e-5, nan_ok=True)
            for metric in ("segu", "hit_rate", "mass_in_mask"):
                assert scores[metric, name, case, k] == pytest.approx(scores[metric, method, case, k], nan_ok=True)
            seen += 1
        assert {m for m, _ in maps} in ({*PLAIN, *(f"segx({m})" for m in PLAIN)}, set())
    assert seen >= len(PLAIN)


def test_the_mask_is_that_of_the_segmenter_of_the_first_task(both: Done) -> None:
    case = both.run.case(both.task, both.run.cases(both.task)[0])
    predictor = load_predictor(both.run.folder / "model" / both.segmenter)
    data = both.recipe.tasks[0].data
    options = {k: v for k, v in data.options.items() if k != "task"}
    (fresh,) = [c for c in load_dataset(data.dataset, data.root, **options) if c.id == case.id]
    p = Engine(predictor).predict([fresh])[0, 0].sigmoid()
    soft = both.run.soft(both.task, case.id)[both.mask]
    torch.testing.assert_close(p.cpu(), soft, atol=1e-4, rtol=0)
    assert torch.equal(soft > 0.5, case.region(both.mask))
    assert 0 < case.region(both.mask).float().mean() < 1


def test_masking_is_compared_with_masked_controls_and_the_mask_is_made_worse(both: Done) -> None:
    table = both.run.table("refined", both.task)
    assert set(table.loc[table["control"], "refined"]) == {"segx(random)", "segx(edge)"}
    assert set(table.loc[~table["control"], "refined"]) == {"segx(grad_cam)", "segx(gradient_shap)"}
    quality = both.run.table("segmentation_quality", both.task)
    assert set(quality["kind"]) == {"none", "erosion", "dilation", "shift", "dropout", "threshold"}
    assert set(quality["method"]) == set(PLAIN)
    assert set(quality["reference"]) == {"lesion" if both.task == "diagnosis" else both.mask}
    assert quality["mask_dice"].between(0, 1).all()
    assert len(both.run.table("segmentation_quality_summary", both.task))


def test_a_class_without_positives_on_validation_is_never_explained_and_the_report_says_so(chest: Done) -> None:
    table = chest.run.table("thresholds", chest.task)
    without = table[table["positives"] == 0]
    assert len(without) and without["threshold"].isna().all()
    page = (chest.run.folder / "report.html").read_text(encoding="utf-8")
    for row in without.itertuples():
        assert row.reason and str(row.reason) in page
    outcomes = chest.run.table("outcomes", chest.task)
    assert not outcomes.loc[outcomes["target"].isin(without["class"]), "explained"].any()


def test_the_report_has_its_sections_and_none_for_what_is_only_trained(chest: Done) -> None:
    page = (chest.run.folder / "report.html").read_text(encoding="utf-8")
    for title in ("Before and after the mask", "Does the mask help?", "How good does the mask have to be?", "Gallery"):
        assert page.count(f">{title}</h3>") == 1, title
    assert "Not run:" not in page
    assert "every class above its threshold" in page
    assert chest.corrupt in page
    assert "Split by patient: no patient is in more than one part." in page


def test_of_lesions_the_report_does_not_say_that_they_are_patients(ham: Done) -> None:
    assert data_rows(ham.run, ham.task)[0][:3] == ["part", "cases", "lesions"]


def test_a_run_that_is_killed_between_and_within_stages_ends_with_the_same_tables(ham: Done, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ham.run.folder, folder)
    shutil.rmtree(folder / "maps.zarr")
    tables = ["verdicts", "outcomes", "scores", "comparison", "refined", "segmentation_quality", "regions", "explained"]
    for name in tables:
        (folder / f"{name}.parquet").unlink()
    for stage in ("explain", "refine", "evaluate", "aggregate", "analyse"):
        Run(folder).ledger.forget(ham.task, stage)
    real, calls = Run.put_part, []

    def stopped(self: Run, name: str, *args: Any) -> None:
        real(self, name, *args)
        calls.append(name)
        if name == "scores":
            raise KeyboardInterrupt  # after the first case

    def again() -> Run:
        return run_recipe(ham.recipe, folder, resume=True, quiet=True, console=QUIET)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "refine", _kill)
        with pytest.raises(KeyboardInterrupt):
            again()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "put_part", stopped)
        with pytest.raises(KeyboardInterrupt):
            again()
    assert calls.count("scores") == 1
    second = again()
    for name in tables:
        pd.testing.assert_frame_equal(*(r.table(name, ham.task) for r in (ham.run, second)), obj=name)


def _kill(context: Context) -> None:
    raise KeyboardInterrupt
