"""An experiment: the same folds for all, equal settings trained once, stopped and gone on with, numbers as their oracles."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from typer.testing import CliRunner

import pages
from experiment_worlds import BACKED, EXPLAINED, FACTORS, TASK, recipe, worlds
from pellucid.cli import app
from pellucid.core.predictor import Predictor
from pellucid.core.statistics import holm
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.report import build_report, write_experiment_figures
from pellucid.study import crossval_fold, experiment_fold
from pellucid.study.experiment import failed_items, refresh_experiment, run_experiment
from pellucid.study.experiment_fold import matrix_of_recipe
from pellucid.study.experiment_loss import case_losses
from pellucid.study.recipe import load_recipe
from pellucid.study.runners import LocalRunner
from pellucid.study.runners.local import Here
from pellucid.study.stages import train as stage
from pellucid.study.store import Run
from pellucid.train import fit
from pellucid.train.draws import patient_draws

QUIET = Console(quiet=True)
K = 3
NAMES = ("experiment_folds", "experiment_summary", "experiment_tests")


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with worlds():
        yield


def run(out: Path, section: dict[str, Any] | None = None, runner: Any = None, **changes: Any) -> Run:
    return run_experiment(load_recipe(recipe(section, **changes)), out, runner=runner, quiet=True, console=QUIET)


@pytest.fixture(scope="module")
def asked() -> list[dict[str, Any]]:
    """What each training was given."""
    return []


@pytest.fixture(scope="module")
def shown() -> list[dict[str, Any]]:
    """What each explanation was given."""
    return []


WITH_METHODS = {"factors": FACTORS | {"explanation": "methods"}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, asked: Any, shown: Any) -> Run:
    """Two factors of the training and two methods."""
    real = experiment_fold.explain_iter

    def told(train: Any, val: Any, **how: Any) -> Any:
        asked.append({"train": list(train), "val": list(val), **how})
        return fit(train, val, **how)

    def listened(engine: Any, cases: Any, explainers: Any, targets: Any, **how: Any) -> Any:
        shown.append({"cases": list(cases), "method": explainers[0].name, **how})
        return real(engine, cases, explainers, targets, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "fit", told)
        patch.setattr(experiment_fold, "explain_iter", listened)
        return run(tmp_path_factory.mktemp("whole") / "run", WITH_METHODS, **BACKED)


def found(made: Run) -> dict[str, Any]:
    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads((made.folder / "experiment.json").read_text(), parse_constant=refuse)


def same(a: Run, b: Run) -> None:
    """All but the seconds is equal to the last bit."""
    for name in NAMES:
        one, other = (r.table(name).drop(columns="seconds", errors="ignore") for r in (a, b))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_equal_settings_are_trained_once_on_the_same_folds_by_patient(whole: Run, asked: list[dict[str, Any]]) -> None:
    levels = [keys for f in found(whole)["factors"].values() for level in f["levels"].values() for keys in level["arms"]]
    assert (len(levels), len(set(levels))) == (4, 3), "narrow and fast are the recipe as it stands"
    assert len(asked) == 3 * K
    data = whole.table("data", TASK)
    test = set(data[data["part"] == "test"]["group"])
    by_fold: dict[tuple[str, ...], int] = {}
    for given in asked:
        sides = [{c.group for c in given[side]} for side in ("train", "val")]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & test, "the test side takes no part"
        key = tuple(sorted(c.id for c in given["val"]))
        by_fold[key] = by_fold.get(key, 0) + 1
    assert list(by_fold.values()) == [3] * K, "all arms have the same folds"
    assert sorted(itertools.chain(*by_fold)) == sorted(data[data["part"] != "test"]["case"])
    assert {(g["options"]["width"], g["lr"]) for g in asked} == {(2, 0.01), (4, 0.01), (2, 1e-5)}


def test_the_numbers_over_folds_and_pooled_are_those_of_scikit_learn(whole: Run) -> None:
    (key,) = found(whole)["factors"]["rate"]["levels"]["slow"]["arms"]
    table = pd.concat(
        pd.read_parquet(whole.folder / "experiment" / "arms" / key / f"fold-{n:03d}" / "predictions.parquet")
        for n in range(1, K + 1)
    )
    own = table[table["class"] == "yes"].assign(y=lambda t: t["truth"].astype(int))
    rows = whole.table("experiment_folds").query("level == 'slow'").set_index(["metric", "fold"])["value"]
    for n, part in own.groupby("fold"):
        assert rows["auroc", n] == pytest.approx(roc_auc_score(part["y"], part["value"]))
        assert rows["log_loss", n] == pytest.approx(log_loss(part["y"], part["value"]))
    summary = whole.table("experiment_summary").query("level == 'slow'").set_index("metric")
    auroc = [rows["auroc", n] for n in range(1, K + 1)]
    assert summary.loc["auroc", "mean"] == pytest.approx(np.mean(auroc))
    assert summary.loc["auroc", "sd"] == pytest.approx(np.std(auroc, ddof=1))
    assert summary.loc["auroc", "pooled"] == pytest.approx(roc_auc_score(own["y"], own["value"]))
    assert summary.loc["log_loss", "pooled"] == pytest.approx(log_loss(own["y"], own["value"]))
    for metric in ("auroc", "log_loss"):
        r = summary.loc[metric]
        assert r["pooled_low"] <= r["pooled"] <= r["pooled_high"]
        assert r["low"] < r["mean"] < r["high"]
    assert summary.loc["auroc", "parameters"] == 2 * 10 + 16 * 2 * 2 + 2


def test_the_tests_are_those_of_scipy_and_their_family_is_a_factor_and_metric(whole: Run) -> None:
    folds = whole.table("experiment_folds").pivot_table(index=["metric", "fold"], columns="level", values="value")
    tests = whole.table("experiment_tests")
    ratio = float(np.mean([len(f["val"]) / (28 - len(f["val"])) for f in dealt(whole)]))
    for metric in ("f1", "log_loss"):
        a, b = folds.loc[metric]["slow"], folds.loc[metric]["fast"]
        (row,) = tests[(tests["factor"] == "rate") & (tests["metric"] == metric)].to_dict("records")
        assert row["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
        corrected = (a - b).mean() / np.sqrt((1 / K + ratio) * (a - b).var(ddof=1))
        assert row["corrected_t"] == pytest.approx(corrected)
        assert row["corrected_p"] == pytest.approx(2 * stats.t.sf(abs(corrected), K - 1))
        assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(a, b).pvalue)
        assert row["p_holm"] == row["p"], "of one comparison nothing is corrected"
    told = tests[(tests["factor"] == "explanation") & (tests["metric"] == "deletion_auc")]
    assert told["level"].tolist() == ["input_x_gradient", "random", "edge"]
    assert set(told["against"]) == {"saliency"}
    for test in ("p", "corrected_p", "wilcoxon_p", "patients_p"):
        assert told[f"{test}_holm"].tolist() == holm(told[test].to_numpy()).tolist()


def dealt(made: Run) -> list[dict[str, Any]]:
    return json.loads((made.folder / "experiment" / "folds.json").read_text())["folds"]


def test_losses_case_by_case_are_tested_over_patients(whole: Run) -> None:
    keys = {n: found(whole)["factors"]["rate"]["levels"][n]["arms"][0] for n in ("fast", "slow")}
    losses = {}
    for name, key in keys.items():
        parts = (whole.folder / "experiment" / "arms" / key).glob("*/predictions.parquet")
        table = pd.concat(pd.read_parquet(p) for p in parts)
        table = table[table["class"].eq("yes") == table["truth"].astype(int).eq(1)]  # of the true class
        losses[name] = (-np.log(table.set_index(["group", "case"])["value"])).sort_index()
    per_patient = (losses["slow"] - losses["fast"]).groupby(level="group").mean()
    (row,) = whole.table("experiment_tests").query("factor == 'rate' and metric == 'log_loss'").to_dict("records")
    assert row["patients"] == len(per_patient) == 14
    assert row["patients_p"] == pytest.approx(stats.wilcoxon(per_patient).pvalue)
    assert row["pooled_difference"] == pytest.approx((losses["slow"] - losses["fast"]).mean())
    gaps = losses["slow"] - losses["fast"]
    weights = patient_draws(gaps.index.get_level_values("group").tolist(), len(gaps), n_boot=1000, seed=3).weights
    ends = np.quantile(weights @ gaps.to_numpy() / weights.sum(1), [0.025, 0.975])
    assert (row["pooled_low"], row["pooled_high"]) == pytest.approx(tuple(ends)), "patients are drawn once for both"


def told_of(truth: list[str], values: list[list[float]], classes: list[str], measure: str) -> pd.DataFrame:
    rows = [
        {"fold": 1, "case": f"c{i}", "group": f"p{i}", "truth": t, "class": name, "value": v, "measure": measure}
        for i, (t, row) in enumerate(zip(truth, values)) for name, v in zip(classes, row)
    ]
    return pd.DataFrame(rows)


def test_the_loss_of_a_case_by_task() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    p = np.array([[0.9, 0.2], [0.4, 0.1], [0.3, 0.0]])
    given = {"inputs": ["x"], "classes": ["a", "b"]}
    several = Predictor(nn.Identity(), task="classification", activation="sigmoid", **given)
    loss = case_losses(several, told_of(["|".join(map(str, t)) for t in labels], p.tolist(), ["a", "b"], "probability"))["loss"]
    each = [np.mean([log_loss([t], [v], labels=[0, 1]) for t, v in zip(*pair)]) for pair in zip(labels[:2], p[:2])]
    assert loss[:2].tolist() == pytest.approx(each)
    assert loss[2] == pytest.approx(np.mean([-np.log(0.3), -np.log(1e-7)])), "impossible and yet so: large, not infinite"
    score = Predictor(nn.Identity(), inputs=["x"], task="regression")
    assert case_losses(score, told_of(["0.5", "2"], [[0.2], [2.5]], ["score 0"], "score"))["loss"].tolist() == pytest.approx([0.3, 0.5])
    masks = Predictor(nn.Identity(), task="segmentation", **given)
    table = pd.concat(told_of([""], [v], ["a", "b"], m) for m, v in (("dice", [0.2, 0.6]), ("iou", [0.1, 0.4])))
    assert case_losses(masks, table)["loss"].tolist() == pytest.approx([0.4])


def test_a_difference_that_was_planted_is_said_and_one_that_is_not_there_is_not(whole: Run) -> None:
    factors = found(whole)["factors"]
    (said, *_) = factors["rate"]["sentences"]
    assert said.startswith("slow is worse than fast in AUROC by -0.")
    assert "after Holm's correction" in said
    pooled = whole.table("experiment_tests").query("factor == 'rate' and metric == 'auroc'").iloc[0]
    assert pooled["pooled_high"] < 0
    assert f"slow − fast {pooled['pooled_difference']:+.3f} [{pooled['pooled_low']:+.3f}" in factors["rate"]["sentences"][1]
    assert not any("better" in s or "worse" in s for s in factors["width"]["sentences"])


def test_methods_see_cases_their_model_has_not_and_a_background_that_it_has(
    whole: Run, asked: list[dict[str, Any]], shown: list[dict[str, Any]]
) -> None:
    assert {s["method"] for s in shown} == {"saliency", "input_x_gradient", "random", "edge"}
    assert len(shown) == 4 * K
    held = [{c.id for c in g["val"]} for g in asked]
    for given in shown:
        assert len(given["cases"]) == 3
        ids = {c.id for c in given["cases"]}
        assert any(ids <= h for h in held)
        patients = {c.group for c in given["cases"]}
        assert len(given["background"]) == 4
        fold = next(g for g in asked if ids <= {c.id for c in g["val"]})
        assert {c.id for c in given["background"]} <= {c.id for c in fold["train"]}
        assert not {c.group for c in given["background"]} & patients
    base = [key for key, a in found(whole)["arms"].items() if a["base"]]
    models = sorted(p.relative_to(whole.folder / "experiment" / "models").as_posix() for p in (whole.folder / "experiment" / "models").glob("*/*"))
    assert models == [f"{base[0]}/fold-{n:03d}" for n in range(1, K + 1)], "no weights but of what is explained"
    assert not list((whole.folder / "parts").rglob("*.safetensors")), "no state of what is done"


def test_the_means_of_methods_are_those_of_their_scores(whole: Run) -> None:
    parts = [pd.read_parquet(p) for p in (whole.folder / "experiment" / "methods").glob("*/*.parquet")]
    scores = pd.concat(parts).query("method == 'saliency' and metric == 'deletion_auc'")
    rows = whole.table("experiment_folds").query("level == 'saliency' and metric == 'deletion_auc'").set_index("fold")["value"]
    assert rows.to_dict() == pytest.approx(scores.groupby("fold")["value"].mean().to_dict())
    summary = whole.table("experiment_summary").query("level == 'saliency' and metric == 'deletion_auc'").iloc[0]
    assert summary["pooled"] == pytest.approx(scores["value"].mean())
    control = whole.table("experiment_summary").drop_duplicates("level").set_index("level")["control"]
    assert control[control].index.tolist() == ["random", "edge"]


def test_tables_and_json_are_those_of_the_page(whole: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(r["table"])[0].removesuffix(".parquet"): pages.code(r["columns"]) for r in rows}
    for name in NAMES:
        assert list(whole.table(name).columns) == ["task", *said[name]]
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "experiment.json"))
    assert [key for row in rows for key in pages.code(row["key"])] == list(found(whole))


def test_the_page_says_it(whole: Run) -> None:
    figures = write_experiment_figures(whole)
    assert {p.name for p in figures} == {f"experiment-{f}.{e}" for f in ("width", "rate", "explanation") for e in ("png", "svg")}
    page = build_report(whole.folder).read_text()
    assert "3 trainings in each of 3 folds. 28 cases of 14 patients" in page
    assert "slow is worse than fast in AUROC" in page
    assert "Over 3 folds Wilcoxon&#39;s two-sided p is 0.25 at least, so that it can never be below 5 %" in page
    assert "9 of 9 trainings are done" in page
    assert page.count("<img") == 3


class Away(LocalRunner):
    """Does the work as another process would: from what travels."""

    def pool(self, work: Any, count: int) -> Any:
        return nullcontext(Here(pickle.loads(pickle.dumps(work))))


KILLED = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from pellucid.study import crossval_fold
from pellucid.study.experiment import run_experiment
from pellucid.study.recipe import load_recipe
from experiment_worlds import BACKED, FACTORS, recipe, worlds

told, begun = crossval_fold._tell, []
def kill(tell, record):
    told(tell, record)
    begun.append(record)
    if len(begun) == 9:  # in the fifth training, after its first epoch
        os.kill(os.getpid(), signal.SIGKILL)
crossval_fold._tell = kill
one = {"factors": {"width": FACTORS["width"]}}
with worlds():
    run_experiment(load_recipe(recipe(one, **BACKED)), Path(sys.argv[1]), quiet=True, console=Console(quiet=True))
"""


def test_killed_in_a_training_then_more_is_asked_and_it_goes_on_elsewhere(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the fifth training of six; then another factor and methods are added: the tables are as if unbroken."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], check=False, env=env, timeout=300)
    assert done.returncode == -signal.SIGKILL
    kept = {(p.parts[-3], int(p.parts[-2][-3:])) for p in (tmp_path / "run" / "experiment" / "arms").glob("*/*/facts.json")}
    assert len(kept) == 4
    trained: list[Any] = []
    real = experiment_fold.train_arm
    monkeypatch.setattr(experiment_fold, "train_arm", lambda *a: trained.append(a[3]) or real(*a))
    went_on = run(tmp_path / "run", WITH_METHODS, Away(), **BACKED)
    arms = found(whole)["arms"]
    explained = {(key, n) for key, a in arms.items() if a["base"] for n in range(1, K + 1)}  # its models were not kept
    assert sorted(trained) == sorted({(key, n) for key in arms for n in range(1, K + 1)} - (kept - explained))
    same(went_on, whole)


def test_a_fold_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe({"factors": {"rate": FACTORS["rate"]}})))
    command = ["experiment", str(path), "--out", str(tmp_path / "run"), "--quiet"]
    real, mended = crossval_fold.fit_task, []

    def diverges(context: Any, *given: Any, out: Path, **how: Any) -> Any:
        if context.work.train.lr < 1e-4 and out.name == "fold-002" and not mended:
            raise ModelError("training diverged in epoch 1: train_loss is nan; lower lr")
        return real(context, *given, out=out, **how)

    monkeypatch.setattr(crossval_fold, "fit_task", diverges)
    monkeypatch.setattr("pellucid.report.write_experiment_figures", lambda run: [])
    monkeypatch.setattr("pellucid.report.build_report", lambda folder: folder)  # they are looked at elsewhere
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1, told.output
    assert "rate slow, fold 2: training diverged in epoch 1" in told.output
    made = Run(tmp_path / "run")
    assert made.table("experiment_summary").query("level == 'slow'")["folds"].tolist() == [2, 2, 2]
    assert made.table("experiment_tests")["folds"].tolist() == [2, 2, 2]
    assert "Fewer folds than there are: slow 2 of 3 (1 of 3 folds are not done)." in found(made)["factors"]["rate"]["sentences"]
    assert len(failed_items(made)) == 1
    mended.append(True)
    told = CliRunner().invoke(app, [*command, "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["failed"] == []
    assert Run(tmp_path / "run").table("experiment_summary").query("level == 'slow'")["folds"].tolist() == [3, 3, 3]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "experiment").rglob("*") if p.is_file()}
    told = CliRunner().invoke(app, [*command, "--show"])
    assert told.exit_code == 0, told.output
    assert "slow is worse than fast" in told.output
    assert {p: p.stat().st_mtime_ns for p in before} == before, "nothing was trained"
    shutil.rmtree(tmp_path / "run")
    assert CliRunner().invoke(app, [*command, "--show"]).exit_code == 2
    monkeypatch.setattr(crossval_fold, "fit_task", lambda *a, **k: (_ for _ in ()).throw(ModelError("no memory")))
    assert CliRunner().invoke(app, command).exit_code == 3


def test_what_one_level_cannot_do_fails_that_level_alone(tmp_path: Path) -> None:
    factors = {
        "frozen": {"none": {"train.freeze": None}, "stem": {"train.freeze": ["stem"]}},
        "method": {"saliency": {"explain.methods": ["saliency"]}, "cam": {"explain.methods": ["cam"]}},
    }
    made = run(tmp_path / "run", {"factors": factors, "folds": 2}, **EXPLAINED)
    said = dict(failed_items(made))
    assert len(said) == 4
    assert any("frozen stem, fold 2: freeze: the network has no module 'stem'" in e for e in said.values())
    assert any("method cam, fold 1: cam needs global average pooling" in e for e in said.values())
    folds = made.table("experiment_summary").drop_duplicates(["factor", "level"]).set_index("level")["folds"]
    assert folds.to_dict() == {"none": 2, "stem": 0, "saliency": 2, "cam": 0, "random": 2, "edge": 2}
    assert "Fewer folds than there are: stem 0 of 2 (2 of 2 folds are not done)." in found(made)["factors"]["frozen"]["sentences"]
    assert "stem" in build_report(made.folder).read_text()


def test_ctrl_c_is_status_130_and_leaves_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe()))
    real, begun = crossval_fold.fit_task, []

    def stopped(*given: Any, **how: Any) -> Any:
        begun.append(how["out"])
        if len(begun) == 3:
            raise KeyboardInterrupt
        return real(*given, **how)

    monkeypatch.setattr(crossval_fold, "fit_task", stopped)
    told = CliRunner().invoke(app, ["experiment", str(path), "--out", str(tmp_path / "run"), "--quiet"])
    assert told.exit_code == 130
    assert "the same command goes on from here" in told.output
    assert len(list((tmp_path / "run" / "experiment" / "arms").glob("*/*/facts.json"))) == 2
    part = refresh_experiment(load_recipe(recipe()), tmp_path / "run")
    assert part.table("experiment_summary")["folds"].max() == 1
    assert "could be tested over folds" in " ".join(found(part)["factors"]["rate"]["sentences"])


def test_in_full_a_level_is_the_mean_over_all_trainings_that_have_it(tmp_path: Path) -> None:
    made = run(tmp_path / "run", {"full": True, "compare": "all", "folds": 2})
    told = found(made)
    assert len(told["arms"]) == 4
    assert {len(v["arms"]) for f in told["factors"].values() for v in f["levels"].values()} == {2}
    narrow = told["factors"]["width"]["levels"]["narrow"]["arms"]
    values = [[told["arms"][k]["folds"][str(n)]["values"]["f1"] for k in narrow] for n in (1, 2)]
    rows = made.table("experiment_folds").query("level == 'narrow' and metric == 'f1'")["value"]
    assert rows.tolist() == pytest.approx([np.mean(v) for v in values])
    assert {(r["level"], r["against"]) for r in told["tests"]} == {("narrow", "wide"), ("fast", "slow")}


def test_a_folder_of_other_folds_or_another_base_is_refused_and_left_alone(whole: Run, tmp_path: Path) -> None:
    before = (whole.folder / "run.json").read_text()
    with pytest.raises(UsageError, match=r"an experiment over 3 folds \(seed 3\), the recipe asks for 2 \(seed 3\)"):
        run(whole.folder, WITH_METHODS | {"folds": 2}, **BACKED)
    with pytest.raises(UsageError, match="holds a run of another recipe"):
        run(whole.folder, WITH_METHODS, **BACKED, train={"epochs": 3})
    assert (whole.folder / "run.json").read_text() == before
    with pytest.raises(InputError, match="cannot fill 15 folds; take fewer folds, or add patients"):
        run(tmp_path / "other", {"folds": 15})


def of(**section: Any) -> dict[str, Any]:
    return recipe(section)


RATE = {"rate": FACTORS["rate"]}


@pytest.mark.parametrize(("given", "said"), [
    (of(factors=RATE | {"augmentation": {"none": {"train.augmnt": []}, "flip": {"train.augment": ["flip"]}}}),
     "augmentation 'none': unknown key 'train.augmnt'; did you mean 'augment'"),
    (of(factors=RATE | {"b": {"a": {"train.batch_size": 0}, "c": {"train.batch_size": 4}}}), "b 'a': train.batch_size: Input should be"),
    (of(factors=RATE | {"b": {"a": {"trian.lr": 0.1}, "c": {"train.lr": 0.2}}}), "'trian.lr' is no setting that can be varied.*did you mean 'train'"),
    (of(factors=RATE | {"b": {"a": {"data.seed": 1}, "c": {"data.seed": 2}}}), "cases and folds are the same for all"),
    (of(factors=RATE | {"b": {"a": {"model.classes": []}, "c": {"train.lr": 2}}}), "'model.classes' has to be the same for all"),
    (of(factors={"rate": {"fast": {"train.lr": 0.1}}}), "the factor 'rate' has 1 level; give at least 2"),
    (of(factors={"rate": {"a": {"train.lr": 0.01}, "b": {}}}), "the levels 'a' and 'b' of 'rate' are the same settings"),
    (of(metrics=["aurco"]), "no metric 'aurco' of a classification; did you mean 'auroc'"),
    (of(metrics=["f1", "f1"]), "'f1' stands there twice"),
    (of(baseline={"rate": "fats"}), "baseline: 'rate' has no level 'fats'; did you mean 'fast'"),
    (of(baseline={"rat": "fast"}), "baseline: no factor 'rat'; did you mean 'rate'"),
    (of(fold=5), "unknown key 'experiment.fold'; did you mean 'folds'"),
    (of(factors={"e": {"a": {"explain.methods": ["saliency"]}, "b": {"explain.methods": ["edge"]}}}), "the task has no 'explain' section"),
    (of(factors={"e": {"a": {"explain.methods": ["saliency"]}, "b": {"train.lr": 0.1}}}), "make two factors of them"),
    (recipe({"factors": {"e": {"a": {"explain.methods": ["saliency", "edge"]}, "b": {"explain.methods": ["edge"]}}}}, **EXPLAINED),
     "e 'a': 2 methods; give one"),
    (recipe({"factors": {"e": {"a": {"explain.most": 2}, "b": {"explain.methods": ["edge"]}}}}, **EXPLAINED), "'explain.most' is the same for all methods"),
    (recipe(cross_validation={"folds": 3}), "deals folds of its own; take 'cross_validation' out"),
    (recipe() | {"tasks": [*recipe()["tasks"], recipe()["tasks"][0] | {"name": "second"}]}, "varies one task, and there are 2"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(given)


def test_names_are_known_before_anything_is_trained(tmp_path: Path) -> None:
    networks = {"n": {"a": {"model.network": "noisy"}, "b": {"model.network": "nosy"}}}
    with pytest.raises(UsageError, match="no network 'nosy'; did you mean 'noisy'"):
        run(tmp_path / "run", {"factors": networks})
    methods = {"e": {"a": {"explain.methods": ["saliency"]}, "b": {"explain.methods": ["salience"]}}}
    with pytest.raises(UsageError, match="'salience'; did you mean 'saliency'"):
        run(tmp_path / "run", {"factors": methods}, **EXPLAINED)
    with pytest.raises(UsageError, match="the recipe has no 'experiment' section"):
        run_experiment(load_recipe({k: v for k, v in recipe().items() if k != "experiment"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_level_may_be_called_on_or_no(tmp_path: Path) -> None:
    """YAML 1.1 reads these words as true and false, and ``smote: {on: pixels}`` as ``smote: {true: pixels}``."""
    path = tmp_path / "recipe.yaml"
    written = yaml.safe_dump(recipe() | {"experiment": None})
    path.write_text(written.replace("experiment: null", """
experiment:
  factors:
    decay: {no: {train.weight_decay: 0}, on: {train.weight_decay: 0.1}}
    smote: {off: {train.balance: null}, on: {train.balance: {smote: {on: pixels}}}}
"""))
    section = load_recipe(path).experiment
    assert section is not None
    assert {f: list(levels) for f, levels in section.factors.items()} == {"decay": ["no", "on"], "smote": ["off", "on"]}
    assert section.factors["smote"]["on"] == {"train.balance": {"smote": {"on": "pixels"}}}  # type: ignore[index]


@pytest.mark.parametrize("name", ["nih-ablations", "nih-ablations-small"])
def test_the_four_ablations_are_eleven_trainings(name: str) -> None:
    loaded = load_recipe(Path(__file__).parents[2] / "recipes" / f"{name}.yaml")
    matrix = matrix_of_recipe(loaded)
    assert matrix.factors == ["architecture", "augmentation", "balancing", "explanation"]
    assert {f: len(levels) for f, levels in matrix.levels.items()} == {"architecture": 3, "augmentation": 5, "balancing": 5}
    assert len(matrix.arms) == 11, "the base stands for a level of each factor"
    assert list(matrix.methods["explanation"]) == ["grad_cam", "cam", "guided_backprop", "deepshap", "kernel_shap"]
