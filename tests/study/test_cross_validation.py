"""A cross-validated task: whole patients, every fold on its own, the test side last; stopped and gone on with."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import pages
from pellucid.cli import app
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data import load_dataset
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.nets import load_predictor
from pellucid.report import build_report
from pellucid.report.crossval import crossval_panel
from pellucid.study import crossval_fold
from pellucid.study.crossval import mean_epochs
from pellucid.study.crossval_fold import prediction_table
from pellucid.study.crossval_pool import pool_folds, scored_folds
from pellucid.study.crossval_results import fold_summary, plain
from pellucid.study.recipe import Work, load_recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.runners import Done, Item, LocalRunner, Runner
from pellucid.study.runners.ray import RayRunner
from pellucid.study.search_best import use_best
from pellucid.study.stages import train as stage
from pellucid.study.store import Run
from pellucid.train import fit, performance, threshold_table
from runner_works import Odd

QUIET = Console(quiet=True)
TASK = "nodules"
K = 3


def recipe(**changes: Any) -> dict[str, Any]:
    """Three folds of two epochs on small pictures; one map of one test case."""
    work = {
        "name": TASK, "title": "Nodules",
        "data": {"dataset": "synthetic_classification", "options": {"n": 40, "size": 32, "seed": 1},
                 "fractions": [0.5, 0.25, 0.25]},
        "model": {"network": "image_tabular", "options": {"features": 12}, "inputs": ["ct", "ehr"],
                  "task": "classification", "classes": ["benign", "malignant"]},
        "train": {"epochs": 3, "batch_size": 8, "schedule": "constant", "patience": 2},
        "cross_validation": {"folds": K},
        "explain": {"methods": ["saliency"], "most": 1},
        "evaluate": {"metrics": ["gini"], "checks": "cheap", "findings": False},
    } | changes  # fmt: skip
    return {"name": "small", "seed": 3, "device": "cpu", "tasks": [{k: v for k, v in work.items() if v is not None}]}


def run(out: Path, *, resume: bool = False, runner: Runner | None = None, **changes: Any) -> Run:
    return run_recipe(load_recipe(recipe(**changes)), out, resume=resume, quiet=True, console=QUIET, runner=runner)


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """The cases are drawn once, and two of them make a patient."""
    kept: dict[str, list[Case]] = {}

    def load(*given: Any, **options: Any) -> list[Case]:
        key = repr((given, options))
        if key not in kept:
            cases = load_dataset(*given, **options)
            kept[key] = [c.replace(group=f"patient-{i // 2}") for i, c in enumerate(cases)]
        return kept[key]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a worker has
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.study.stages.data.load_dataset", load)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def asked() -> list[dict[str, Any]]:
    """What each training of the whole run was given."""
    return []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, asked: list[dict[str, Any]]) -> Run:
    def told(train: Any, val: Any, **how: Any) -> Any:
        asked.append({"train": list(train), "val": list(val), **how})
        return fit(train, val, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "fit", told)
        return run(tmp_path_factory.mktemp("whole") / "run")


def results(made: Run) -> dict[str, Any]:
    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    text = (made.folder / "cross_validation" / TASK / "results.json").read_text()
    return json.loads(text, parse_constant=refuse)


def same(a: Run, b: Run) -> None:
    """All but the seconds is equal to the last bit."""
    for name in ("folds", "fold_predictions", "fold_summary"):
        pd.testing.assert_frame_equal(a.table(name), b.table(name), check_exact=True)
    told = [json.dumps(results(r)).split('"seconds"') for r in (a, b)]
    assert [t.partition(",")[2] for t in told[0][1:]] == [t.partition(",")[2] for t in told[1][1:]]
    assert told[0][0] == told[1][0]


def test_no_patient_is_on_two_sides_and_every_case_is_validated_once(whole: Run, asked: list[dict[str, Any]]) -> None:
    data = whole.table("data", TASK)
    test = set(data[data["part"] == "test"]["group"])
    development = set(data[data["part"] != "test"]["case"])
    *folds, final = asked
    assert len(folds) == K
    for given in asked:
        sides = [{c.group for c in given[side]} for side in ("train", "val")]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & test
    assert sorted(c.id for given in folds for c in given["val"]) == sorted(development)
    assert (final["val"], {c.id for c in final["train"]}) == ([], development)
    assert sorted(whole.table("fold_predictions", TASK)["case"].unique()) == sorted(development)


def test_the_final_model_is_of_the_mean_epochs_and_of_the_pooled_thresholds(whole: Run, asked: list[dict[str, Any]]) -> None:
    found = results(whole)
    best = [found[f"fold {n}"]["best epoch"] for n in range(1, K + 1)]
    assert found["final fit"]["epochs"] == asked[-1]["epochs"] == mean_epochs(best) == len(whole.table("history", TASK))
    table = whole.table("fold_predictions", TASK)
    output = torch.tensor(table["output"].to_numpy().reshape(-1, 2))
    truth = torch.tensor(table["truth"].astype(int).to_numpy().reshape(-1, 2)[:, 0])
    expected = threshold_table(truth, output.softmax(1))["threshold"].tolist()
    model = load_predictor(whole.folder / "model" / TASK)
    assert list(model.thresholds) == whole.table("thresholds", TASK)["threshold"].tolist() == expected
    data = whole.table("data", TASK).set_index("case")["part"]
    assert {data[c] for c in whole.cases(TASK)} == {"test"}
    assert set(whole.table("performance", TASK)["part"]) == {"test"}, "the other sides trained it"


def test_the_numbers_are_those_of_scikit_learn(whole: Run) -> None:
    table, folds = whole.table("fold_predictions", TASK), whole.table("folds", TASK)
    own = table[table["class"] == "malignant"].assign(y=lambda t: t["truth"].astype(int))
    # The rank is of the difference of the outputs: that is of the probability of the second class, too.
    by_fold = {n: roc_auc_score(part["y"], part["value"]) for n, part in own.groupby("fold")}
    said = folds[folds["metric"] == "auroc"].set_index("fold")["value"]
    assert said.to_dict() == pytest.approx(by_fold)
    (row,) = whole.table("fold_summary", TASK).query("metric == 'auroc'").to_dict("records")
    values = list(by_fold.values())
    assert (row["mean"], row["sd"], row["folds"]) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), K)
    assert row["pooled"] == pytest.approx(roc_auc_score(own["y"], own["value"]))
    assert row["low"] < row["pooled"] < row["high"]


def test_results_json(whole: Run) -> None:
    found = results(whole)
    head = ["title", "task", "network", "learning rate", "momentum", "patience", "delta"]
    assert list(found)[:7] == head
    assert [found[k] for k in head] == ["Nodules", TASK, "image_tabular", 1e-3, None, 2, 0]
    assert [k for k in found if k.startswith("fold ")] == [f"fold {n}" for n in range(1, K + 1)]
    for name in ("accuracy", "precision", "recall", "F1", "AUROC", "AUPRC"):
        values = [found[f"fold {n}"][name]["value"] for n in range(1, K + 1)]
        known = [v for v in values if v is not None]
        assert found["final"][name] == (pytest.approx(np.mean(known)) if known else None)
        assert found["variance"][name] == (pytest.approx(np.var(known, ddof=1)) if len(known) > 1 else None)
        assert set(found["out of fold"][name]) == set(found["test"][name]) == {"value", "low", "high", "n"}
    tested = whole.table("performance", TASK).set_index("metric")["value"]
    assert found["test"]["AUROC"]["value"] == tested["auroc"]
    assert (found["folds"]["cases"], found["folds"]["patients"], found["test"]["patients"]) == (30, 15, 5)
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "results.json"))
    told = {key for row in rows for key in pages.code(row["key"])}
    assert told == {k for k in found if not k.startswith("fold ") or k in ("fold 1", "fold 2")}


def test_the_tables_are_those_of_the_page(whole: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(r["table"])[0].removesuffix(".parquet"): pages.code(r["columns"]) for r in rows}
    for name in ("folds", "fold_summary", "fold_predictions"):
        assert list(whole.table(name).columns) == ["task", *said[name]]


def test_the_report_tells_it(whole: Run) -> None:
    page = build_report(whole.folder).read_text()
    card = page[page.index("<h3>Cross-validation</h3>") : page.index("<h3>How good the model is</h3>")]
    assert "15 patients in the folds: 5 validated and 10 trained on in each. 5 held out for the test." in card
    assert "No patient is on two sides of a fold" in card
    for name in ("fold 1", "fold 3", "mean ± sd of the folds", "out of fold, pooled", "held-out test, final model"):
        assert f'<th scope="row">{name}</th>' in card
    summary = whole.table("fold_summary", TASK).set_index("metric").loc["accuracy"]
    assert f"{summary['mean']:.3f} ± {summary['sd']:.3f}" in card
    assert "each at its highest F1 on the out-of-fold predictions of the cross-validation" in page


def test_the_report_counts_patients_on_two_sides_itself(whole: Run, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "run")
    leaking = Run(tmp_path / "run")
    table, data = leaking.table("fold_predictions", TASK), leaking.table("data", TASK)
    table.loc[table["fold"] == 2, "group"] = table.loc[table["fold"] == 1, "group"].iloc[0]
    table.loc[table["fold"] == 3, "group"] = data.loc[data["part"] == "test", "group"].iloc[0]
    leaking.put_table("fold_predictions", TASK, table.drop(columns="task"))
    assert "2 on two sides: these numbers cannot be believed." in crossval_panel(leaking, TASK)["notes"][0]


def test_stopped_in_a_fold_and_gone_on_with(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def stop(tell: Any, record: dict[str, float]) -> None:
        begun.append(int(record["epoch"]))
        if len(begun) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crossval_fold, "_tell", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run")
    there = Run(tmp_path / "run")
    assert there.ledger.state(TASK, "train", "fold-001") == "done"
    assert there.ledger.state(TASK, "train", "fold-002") is None
    trained: list[int] = []
    real = crossval_fold.train_fold
    monkeypatch.setattr(crossval_fold, "train_fold", lambda c, d, n, t: trained.append(n) or real(c, d, n, t))
    same(run(tmp_path / "run", resume=True), whole)
    assert trained == [2, 3]


def test_a_fold_that_fails_is_listed_and_the_others_go_on(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe()))
    command = ["run", str(path), "--out", str(tmp_path / "run"), "--quiet"]
    real, trained = crossval_fold.train_fold, []

    def second_diverges(context: Any, dealt: Any, number: int, tell: Any) -> Any:
        if number == 2 and not trained:
            raise ModelError("training diverged in epoch 1: train_loss is nan; lower lr")
        return real(context, dealt, number, tell)

    monkeypatch.setattr(crossval_fold, "train_fold", second_diverges)
    monkeypatch.setattr("pellucid.report.build_report", lambda folder: folder)  # it is looked at elsewhere
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1
    assert "1 of 3 folds failed (2): there is no final fit" in told.output
    there = Run(tmp_path / "run")
    assert [f[:3] for f in failures(there)] == [(TASK, "train", "fold-002")]
    assert not (there.folder / "model").exists()
    assert there.ledger.state(TASK, "explain") is None, "there is nothing to explain with"
    assert "finished" not in there.info
    trained.append("again")
    told = CliRunner().invoke(app, [*command, "--resume"])
    assert told.exit_code == 0, told.output
    same(Run(tmp_path / "run"), whole)


def test_folds_that_were_changed_by_hand_to_leak_are_refused(whole: Run, tmp_path: Path) -> None:
    run_recipe(load_recipe(recipe()), tmp_path / "run", only=("data",), quiet=True, console=QUIET)
    source = whole.folder / "cross_validation" / TASK / "folds.json"
    path = tmp_path / "run" / "cross_validation" / TASK / "folds.json"
    path.parent.mkdir(parents=True)
    content = json.loads(source.read_text())
    moved = content["folds"][0]["val"].pop()
    content["folds"][1]["val"].append(moved)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="fold 1 of 3: 1 groups are on two sides"):
        run(tmp_path / "run", resume=True)
    tested = whole.table("data", TASK).query("part == 'test'")["case"].iloc[0]
    content["folds"][1]["val"][-1] = tested
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="1 of its cases are not there, 1 are in none of its folds"):
        run(tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / "parts" / "training").exists(), "before anything was trained"


def test_folds_of_other_settings_than_the_best_ones_are_trained_again(tmp_path: Path) -> None:
    loaded = load_recipe(recipe())
    made = run_recipe(loaded, tmp_path / "run", only=("data",), quiet=True, console=QUIET)
    state = made.folder / "parts" / "training" / f"{TASK}-folds" / "fold-001"
    state.mkdir(parents=True)
    made.ledger.record(TASK, "train", "fold-001", "done")
    row = {"trial": 2, "best": True, "objective": "val_loss", "value": 0.5, "params": '{"lr": 0.01}'}
    made.put_table("search", TASK, pd.DataFrame([row]))
    use_best(made, loaded.tasks, again=False)
    assert made.ledger.state(TASK, "train", "fold-001") is None
    assert not state.exists()
    made.ledger.record(TASK, "train", "fold-001", "done")
    use_best(made, loaded.tasks, again=False)
    assert made.ledger.state(TASK, "train", "fold-001") == "done", "the same settings: nothing to do again"


def test_more_folds_than_patients(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="30 cases of 15 groups cannot fill 16 folds; take fewer folds, or add patients"):
        run(tmp_path / "run", cross_validation={"folds": 16})


@pytest.mark.parametrize(("changes", "said"), [
    ({"train": None}, "it wants a 'train' section and a 'network'"),
    ({"train": {"devices": 2}}, "wants 'train.devices: 1'; several folds at a time: --jobs"),
    ({"train": {"schedule": "plateau"}}, "the final fit has no validation cases"),
    ({"cross_validation": {"final": "none"}}, "'explain' wants a model"),
    ({"explain": {"methods": ["saliency"], "cases": "val"}}, "these cases train the final model as well; explain 'test'"),
    ({"cross_validation": {"folds": 1}}, "greater than or equal to 2"),
    ({"cross_validation": {"fold": 5}}, "unknown key 'tasks.0.cross_validation.fold'; did you mean 'folds'"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(recipe(**changes))


def test_a_task_that_leaves_no_model_cannot_segment_for_another() -> None:
    content = recipe(cross_validation={"final": "none"}, explain=None, evaluate=None)
    content["tasks"].append(recipe(name="other", segment={"lungs": {"task": TASK}})["tasks"][0])
    with pytest.raises(UsageError, match=r"'nodules' leaves no model \(cross_validation.final: none\)"):
        load_recipe(content)


def test_the_mean_of_the_epochs_is_rounded() -> None:
    assert [mean_epochs(b) for b in ([1, 2], [3, 4, 4], [3, 3, 4], [1], [2, 3, 3, 2])] == [2, 4, 3, 1, 3]


def test_what_is_undefined_in_a_fold_is_left_out_of_the_mean_and_null_in_json() -> None:
    metrics = pd.DataFrame({"fold": [1, 2, 3], "metric": "auroc", "class": "b", "value": [0.5, math.nan, 0.7]})
    pooled = pd.DataFrame([{"metric": m, "class": "b", "value": 0.6, "low": math.nan, "high": 0.9, "n": 9, "reason": ""} for m in ("auroc", "f1")])
    first, second = fold_summary(metrics, pooled).to_dict("records")
    assert (first["mean"], first["folds"]) == (pytest.approx(0.6), 2)
    assert (math.isnan(second["mean"]), second["folds"]) == (True, 0)
    assert plain({"a": [math.nan, np.float64(1.5), math.inf], "b": np.int64(2)}) == {"a": [None, 1.5, None], "b": 2}


@pytest.mark.parametrize(("task", "classes", "activation", "truth", "shape"), [
    ("regression", [], None, lambda g: float(torch.rand((), generator=g)), (1,)),
    ("classification", ["a", "b"], "sigmoid", lambda g: torch.randint(0, 2, (2,), generator=g), (2,)),
    ("segmentation", ["none", "a", "b"], None, lambda g: torch.randint(0, 3, (4, 4), generator=g), (3, 4, 4)),
])  # fmt: skip
def test_the_pool_is_measured_as_one_set_of_cases(
    task: Any, classes: list[str], activation: Any, truth: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    g = torch.Generator().manual_seed(0)
    cases = [Case(id=str(i), inputs={"x": torch.zeros(1, 4, 4)}, truth=truth(g), group=f"p{i // 2}") for i in range(12)]
    output = torch.randn(12, *shape, generator=g)
    truths = torch.stack([torch.as_tensor(c.truth) for c in cases])
    p = Predictor(torch.nn.Identity(), inputs=["x"], task=task, classes=classes, activation=activation)
    parts = [prediction_table(p, cases[i : i + 4], truths[i : i + 4], output[i : i + 4]) for i in (0, 4, 8)]
    model = {"network": "unet", "inputs": ["x"], "task": task, "classes": classes, "activation": activation}
    work = Work.model_validate({"name": "t", "data": {"dataset": "d"}, "model": model})
    found = pool_folds(work, pd.concat(parts, ignore_index=True), cases[::-1], seed=0)
    thresholds = None if found.thresholds is None else tuple(found.thresholds["threshold"])
    expected = performance(
        truths, output.double(), task=task, activation=activation, classes=classes, thresholds=thresholds,
        groups=[str(c.group) for c in cases],
    ).drop(columns="stratum")  # fmt: skip
    pd.testing.assert_frame_equal(found.metrics, expected)


def test_a_class_of_too_few_cases_has_no_metric_in_the_pool() -> None:
    g = torch.Generator().manual_seed(0)
    truths = torch.stack([torch.arange(12) % 2, (torch.arange(12) < 2).long()], 1)
    cases = [Case(id=str(i), inputs={"x": torch.zeros(1, 4, 4)}, truth=t) for i, t in enumerate(truths)]
    model = {"network": "unet", "inputs": ["x"], "task": "classification", "classes": ["usual", "rare"], "activation": "sigmoid"}
    p = Predictor(torch.nn.Identity(), inputs=["x"], task="classification", classes=["usual", "rare"], activation="sigmoid")
    table = prediction_table(p, cases, truths, torch.randn(12, 2, generator=g))
    work = Work.model_validate({"name": "t", "data": {"dataset": "d"}, "model": model, "evaluate": {"min_positives": 3}})
    found = pool_folds(work, table, cases, seed=0).metrics.query("metric == 'auroc'").set_index("class")
    assert np.isfinite(found.loc["usual", "value"])
    assert np.isnan(found.loc["rare", "value"])
    assert found.loc["rare", "reason"] == "2 positives, fewer than 3"
    assert found.loc["macro", "value"] == found.loc["usual", "value"]
    of_draws = {r.of: r.values[0] for r in scored_folds(work, table, cases, seed=0)[0].all(np.ones((1, 12))) if r.metric == "auroc"}
    assert np.isnan(of_draws["rare"])


ALONE = {
    "data": {"dataset": "synthetic_classification", "options": {"n": 16, "size": 32, "seed": 1},
             "fractions": [0.75, 0.0, 0.25]},
    "train": {"epochs": 1, "batch_size": 4}, "cross_validation": {"folds": 2, "final": "none"}, "explain": None,
    "evaluate": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Folds alone, trained in this process, of the data as another process finds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.study.stages.data.load_dataset", load_dataset)
        return run(tmp_path_factory.mktemp("here") / "run", **ALONE)


def test_folds_alone_leave_no_model_and_do_not_touch_the_test_side(here: Run) -> None:
    found = results(here)
    assert (found["test"], found["final fit"]) == (None, None)
    assert not (here.folder / "model").exists()
    assert not len(here.table("performance", TASK))
    assert "There is no final model." in build_report(here.folder).read_text()


@pytest.mark.slow
def test_two_processes_train_the_same_folds(here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.study.stages.data.load_dataset", load_dataset)
    same(run(tmp_path / "run", runner=LocalRunner(2), **ALONE), here)


@pytest.mark.slow
def test_ray_trains_the_same_folds(here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cluster, started and ended by us, for all that is asked of it: to start one takes longer than the rest."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr("pellucid.study.stages.data.load_dataset", load_dataset)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where its processes find the works of the tests
    runner, told = RayRunner(2), []
    with runner.pool(Odd(str(tmp_path)), 4) as pool:
        assert ray.cluster_resources()["CPU"] == 2
        for item in (Item("a", 3), Item("c", "wrong"), Item("u", "misspelt"), Item("k", "killed once")):
            pool.start(item)
        ended = {d.key: d for d in (pool.next(lambda key, content: bool(told.append((key, content)))) for _ in range(4))}
        assert ended["a"] == Done("a", 9)
        assert [t for t in told if t[0] == "a"] == [("a", {"epoch": 1}), ("a", {"epoch": 2})]
        assert (ended["c"].reason, ended["c"].lost) == ("case p7: no picture; give one", False)
        assert isinstance(ended["u"].fault, UsageError)
        assert (ended["k"].reason, ended["k"].lost) == ("its process is gone: it was ended", True)
        same(run(tmp_path / "run", runner=runner, **ALONE), here)
        assert ray.is_initialized(), "who did not start a cluster does not end it"
    assert not ray.is_initialized()
