"""A search ends with the same trials however often it is stopped, and never asks for the test cases."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import pages
from pellucid.cli import app
from pellucid.data import load_dataset
from pellucid.data.splits import Split
from pellucid.errors import InputError, UsageError
from pellucid.report import build_report, write_search_figures
from pellucid.study import search_study
from pellucid.study.context import Context
from pellucid.study.recipe import Segment
from pellucid.study.run import open_run, run_recipe
from pellucid.study.runners.local import Processes
from pellucid.study.search import open_study, search_recipe
from pellucid.study.search_best import use_best
from pellucid.study.search_study import Study, alone
from pellucid.study.search_trial import Outcome
from pellucid.study.search_workers import Job, Trials, TrialWork
from pellucid.study.store import Run
from pellucid.train.recorded import recorded
from search_recipes import GRID, TPE, plain, small

QUIET = Console(quiet=True)
TASK = "classification"


def search(section: dict[str, Any] | None, out: Path, *, train: dict[str, Any] | None = None, **how: Any) -> Run:
    return search_recipe(small(section, **(train or {})), out, quiet=True, console=QUIET, **how)


def found(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What has to be equal: all but the seconds."""
    return run.table("search", TASK).drop(columns="seconds"), run.table("search_epochs", TASK)


def same(a: Run, b: Run) -> None:
    for one, other in zip(found(a), found(b)):
        pd.testing.assert_frame_equal(one, other)


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """The synthetic cases are the same each time; drawing them takes longer than training on them."""
    kept: dict[str, Any] = {}

    def load(*given: Any, **options: Any) -> Any:
        return kept.setdefault(repr((given, options)), load_dataset(*given, **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.study.stages.data.load_dataset", load)
        yield


class Sealed(list):  # type: ignore[type-arg]
    """The test side of a split: who looks at it is caught."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("the search looked at the test cases")

    __iter__ = __getitem__ = __len__ = __contains__ = _refuse  # type: ignore[assignment]


@contextmanager
def sealed() -> Iterator[None]:
    load = Split.load

    def loaded(path: Path, cases: Any) -> Split:
        split = load(path, cases)
        return Split(split.train, split.val, Sealed(split.test), split.fractions, split.seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Split, "load", staticmethod(loaded))
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The whole grid. The data stage reads all cases; from then on the test side may not even be looked at."""
    folder = tmp_path_factory.mktemp("grid") / "run"
    run_recipe(small(GRID), folder, only=("data",), quiet=True, console=QUIET)
    with sealed():
        return search(GRID, folder)


@pytest.fixture(scope="module")
def tpe(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(TPE, tmp_path_factory.mktemp("tpe") / "run")


def copy(run: Run, to: Path) -> Path:
    shutil.copytree(run.folder, to)
    return to


def test_every_point_of_the_grid_is_tried_once(grid: Run) -> None:
    trials, epochs = grid.table("search", TASK), grid.table("search_epochs", TASK)
    tried = {tuple(sorted(json.loads(p).items())) for p in trials["params"]}
    assert tried == {(("batch_size", b), ("lr", lr)) for b in (8, 16) for lr in (1e-4, 1e-3)}
    assert trials["trial"].tolist() == [1, 2, 3, 4]
    assert set(trials["state"]) == {"complete"}
    assert trials["value"].nunique() == 4
    assert trials.loc[trials["best"], "value"].item() == trials["value"].min()
    kept = epochs.merge(trials[["trial", "best_epoch", "value"]], on="trial")
    kept = kept[kept["epoch"] == kept["best_epoch"]]
    assert kept["val_loss"].tolist() == kept["value"].tolist()
    assert not list((grid.folder / "search" / TASK).glob("*")), "the states of finished trials are of no use"


def test_the_tables_are_those_of_the_page(grid: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(r["table"])[0].removesuffix(".parquet"): set(pages.code(r["columns"])) for r in rows}
    for name in ("search", "search_epochs", "search_importance"):
        assert set(grid.table(name).columns) == said[name] | {"task"}


def test_the_importance_says_how_few_trials_there_were(grid: Run) -> None:
    table = grid.table("search_importance", TASK)
    assert set(table["parameter"]) == {"lr", "batch_size"}
    assert table["importance"].sum() == pytest.approx(1)
    assert set(table["note"]) == {"of 4 trials only: a hint at most"}


KILLED = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from pellucid.study.search import search_recipe
from pellucid.study.search_study import Study
from search_recipes import GRID, TPE, small

report = Study.report
def kill(self, number, record):
    answer = report(self, number, record)
    if number == 1 and record["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Study.report = kill
for section, name in ((GRID, "grid"), (TPE, "tpe")):  # a fork each: the imports are dear
    child = os.fork()
    if child == 0:
        search_recipe(small(section), Path(sys.argv[1]) / name, quiet=True, console=Console(quiet=True))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_killed_in_a_trial_and_gone_on_with(grid: Run, tpe: Run, tmp_path: Path) -> None:
    """SIGKILL in the second trial of four: it goes on from its state, the first is kept, the rest is as if unbroken."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True, env=env, timeout=300)
    for section, whole in ((GRID, grid), (TPE, tpe)):
        folder = tmp_path / ("grid" if whole is grid else "tpe")
        trials = Run(folder).table("search", TASK)
        assert trials["trial"].tolist() == [1], "what was told is in the tables"
        assert (folder / "search" / TASK / "trial-002" / "last.safetensors").is_file()
        run = search(section, folder)
        same(run, whole)
        assert (run.table("search", TASK)["state"] == "complete").all()
        ends = [line for line in (folder / "run.log").read_text().splitlines() if "search: trial" in line]
        assert len(ends) == 4, "no trial ended twice"


def test_a_stopped_trial_is_not_trained_from_the_start(grid: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the first epoch: the recorded epoch is told again and not trained again; then the rest of the grid."""
    heard: list[tuple[int, float]] = []
    report = Study.report

    def listen(self: Study, number: int, record: dict[str, float]) -> bool:
        heard.append((number, record["epoch"]))
        if heard == [(0, 1.0)]:
            os.kill(os.getpid(), signal.SIGINT)
        return report(self, number, record)

    monkeypatch.setattr(Study, "report", listen)
    with pytest.raises(KeyboardInterrupt):
        search(GRID, tmp_path / "run", trials=1)
    assert heard == [(0, 1.0)]
    assert Run(tmp_path / "run").table("search", TASK)["state"].tolist() == ["stopped"]
    seconds = [r["seconds"] for r in recorded(tmp_path / "run" / "search" / TASK / "trial-001")]
    run = search(GRID, tmp_path / "run", trials=1)
    assert heard[1:] == [(0, 1.0), (0, 2.0)]
    assert len(seconds) == 1
    assert run.table("search", TASK)["seconds"].item() > seconds[0]
    same(search(GRID, tmp_path / "run", trials=99), grid)  # the grid has no more than 4


def test_another_process_finds_what_this_one_finds(grid: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, since to start one takes as long as all else here; it holds one thread, as those of ``--jobs 2`` do."""
    workers: list[Processes] = []

    @contextmanager
    def one(context: Context, _: int) -> Iterator[Trials]:
        workers.append(Processes(TrialWork.of(context), 1))
        try:
            yield Trials(workers[0])
        finally:
            workers[0].close()

    monkeypatch.setattr("pellucid.study.search.pool_of", one)
    run = search(GRID, tmp_path / "run", trials=2)
    assert len(workers[0].workers) == 1
    assert workers[0].workers[0].process.exitcode is not None, "it is gone"
    for (_, a), (_, b) in zip(run.table("search_epochs").iterrows(), grid.table("search_epochs").iterrows()):
        assert a[["trial", "epoch"]].tolist() == b[["trial", "epoch"]].tolist()
        exact = torch.get_num_threads() == 1
        assert a["val_loss"] == (b["val_loss"] if exact else pytest.approx(b["val_loss"], rel=1e-4))
    assert len(run.table("search_epochs")) == 4


class Fake:
    """Trains nothing: trials end in any order, with values that follow from their settings."""

    def __init__(self, seed: int) -> None:
        self.rng, self.flying = random.Random(seed), []

    def start(self, job: Job) -> None:
        self.flying.append(job)

    def next(self, report: Callable[..., bool]) -> tuple[int, Outcome]:
        self.rng.shuffle(self.flying)
        job = self.flying.pop()
        history = []
        for epoch in (1, 2, 3):
            loss = abs(torch.tensor(job.params["lr"]).log10().item() + 3) + 1 / epoch
            history.append({"epoch": epoch, "train_loss": loss, "val_loss": loss, "val_metric": -loss, "seconds": 1.0})
            if report(job.number, history[-1]):
                return job.number, Outcome("pruned", history=tuple(history))
        return job.number, Outcome("complete", loss, tuple(history), 3)


def test_what_ends_first_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three jobs of TPE with pruning: other orders of ending, the same proposals, the same trials pruned."""
    monkeypatch.setattr(search_study, "STARTUP", 2)
    section = {"sampler": "tpe", "trials": 9, "prune": "median", "space": {"lr": {"low": 1e-6, "high": 1, "log": True}}}
    runs = []
    for seed in range(2):
        monkeypatch.setattr("pellucid.study.search.pool_of", lambda *_, s=seed: _Within(Fake(s)))
        runs.append(search(section, tmp_path / str(seed), jobs=3))
    same(runs[0], runs[1])
    states = runs[0].table("search", TASK)["state"]
    assert 0 < (states == "pruned").sum() < 7
    assert set(states[:4]) == {"complete"}, "two have to be complete and told before one can be behind of them"


class _Within:
    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def __enter__(self) -> Any:
        return self.pool

    def __exit__(self, *_: object) -> None:
        pass


def test_a_trial_that_is_behind_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_study, "STARTUP", 1)
    section = {"prune": "median", "space": {"lr": [1e-9, 1e-2]}, "epochs": 6}
    run = search(section, tmp_path / "run")
    first, second = run.table("search", TASK).to_dict("records")
    assert json.loads(first["params"]) == {"lr": 1e-2}, "choose other values: the hopeless trial has to come second"
    assert (first["state"], first["epochs"]) == ("complete", 6)
    assert (second["state"], bool(second["best"])) == ("pruned", False)
    assert second["epochs"] == second["pruned_at"] < 6
    assert pd.isna(second["value"])


def test_a_trial_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(json.dumps(plain({"space": {"lr": [1e-3, 1e30]}, "objective": "balanced_accuracy"})))
    out = tmp_path / "run"
    told = CliRunner().invoke(app, ["search", str(recipe), "--out", str(out), "--json"])
    assert told.exit_code == 1, told.output
    part = json.loads(told.stdout)["tasks"][TASK]
    states = {t["params"]["lr"]: t for t in part["trials"]}
    assert states[1e30]["state"] == "failed"
    assert "diverge" in states[1e30]["reason"] or "finite" in states[1e30]["reason"]
    assert part["best"]["params"] == {"lr": 1e-3}
    assert 0 <= part["best"]["value"] <= 1
    for suffix in ("png", "svg"):
        assert (out / "figures" / f"search-{TASK}.{suffix}").stat().st_size > 1000
    shown = CliRunner().invoke(app, ["search", str(out), "--show"])
    assert shown.exit_code == 0
    assert "failed" in shown.stderr
    assert "best" in shown.stderr


def test_the_test_cases_are_not_asked_for(grid: Run) -> None:
    """The search of the fixture went through with its test side sealed; the seal holds."""
    assert (grid.table("search", TASK)["state"] == "complete").all()
    with sealed():
        context = Context(grid, small(GRID), small(GRID).tasks[0], Path.cwd(), QUIET, resume=True)
        assert len(context.part("val")) > 1
        with pytest.raises(AssertionError, match="looked at the test cases"):
            list(context.part("test"))


def test_a_search_of_another_recipe_is_refused(grid: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"another recipe \(search.objective was 'val_loss', now 'auroc'\)"):
        search(GRID | {"objective": "auroc"}, copy(grid, tmp_path / "run"))
    other = open_run(small(GRID, epochs=1), tmp_path / "other", resume=False, fresh=False)
    (other.folder / "search").mkdir()
    database = Path(shutil.copy(grid.folder / "search" / f"{TASK}.sqlite", other.folder / "search"))
    with pytest.raises(UsageError, match=r"another recipe \(train.epochs was 2, now 1\)") as error:
        search(GRID, other.folder, train={"epochs": 1})
    assert error.value.exit_status == 2
    database.write_bytes(b"no database at all, and long enough for a header")
    with pytest.raises(InputError, match="is no search database"):
        search(GRID, other.folder, train={"epochs": 1})


def test_one_search_at_a_time(grid: Run, tmp_path: Path) -> None:
    folder = copy(grid, tmp_path / "run")
    with alone(folder / "search" / f"{TASK}.lock"), pytest.raises(UsageError, match="is running there"):
        search(GRID, folder)


def test_wrong_calls_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task 'clasification'; did you mean 'classification'"):
        search(GRID, tmp_path / "run", task="clasification")
    with pytest.raises(UsageError, match="0 jobs"):
        search(GRID, tmp_path / "run", jobs=0)
    with pytest.raises(UsageError, match="no option 'widht'"):
        search({"space": {"model.options.widht": [1, 2]}}, tmp_path / "run")
    with pytest.raises(UsageError, match="no search"):
        run_recipe(small(GRID), tmp_path / "none", only=("train",), best=True, quiet=True, console=QUIET)
    told = CliRunner().invoke(app, ["search", str(tmp_path / "none"), "--show"])
    assert told.exit_code == 2
    assert "holds no search" in told.stderr


def test_train_takes_the_best_and_the_run_keeps_it(grid: Run, tmp_path: Path) -> None:
    folder = copy(grid, tmp_path / "run")
    trials = grid.table("search", TASK)
    best = trials[trials["best"]].iloc[0]
    how: dict[str, Any] = {"quiet": True, "console": QUIET}
    # A model that is trained already is not passed off as the best one.
    run_recipe(small(GRID), folder, only=("train",), **how)
    with pytest.raises(UsageError, match="is trained already"):
        run_recipe(small(GRID), folder, resume=True, best=True, **how)
    run = run_recipe(small(GRID), folder, only=("train",), best=True, **how)
    kept = run.info["best_trials"][TASK]
    assert kept == {
        "trial": int(best["trial"]), "trials": 4, "objective": "val_loss", "value": best["value"],
        "params": json.loads(best["params"]),
    }  # fmt: skip
    model = (folder / "model" / TASK / "model.json").read_text()
    assert f'"lr": {kept["params"]["lr"]}' in model
    history = run.table("history", TASK)
    assert history["val_loss"].min() == best["value"], "the same training as in the trial"
    # From then on the run goes by it, also without the option, and does not train again.
    again = run_recipe(small(GRID), folder, resume=True, **how)
    assert again.info["best_trials"][TASK] == kept
    pd.testing.assert_frame_equal(again.table("history", TASK), history)
    assert len(again.table("verdicts", TASK))
    page = build_report(folder).read_text()
    assert f"trained with the settings of trial {kept['trial']}" in page
    with pytest.raises(UsageError, match="--fresh removes the search"):
        run_recipe(small(GRID), folder, fresh=True, best=True, **how)


def test_maps_of_the_model_before_are_made_again(grid: Run, tmp_path: Path) -> None:
    run = Run(copy(grid, tmp_path / "run"))
    (work,) = small(GRID).tasks
    segmented = work.model_copy(update={"name": "b", "segment": {"x": Segment(task=TASK)}, "search": None})
    works = [work, segmented, work.model_copy(update={"name": "c", "search": None})]
    for task in (TASK, "b", "c"):
        for stage in ("train", "explain", "evaluate"):
            run.ledger.record(task, stage, "*", "done")
    with pytest.raises(UsageError, match="is trained already"):
        use_best(run, works, again=False)
    use_best(run, works, again=True)
    rows = run.ledger.rows()
    left = set(zip(rows["task"], rows["stage"])) - {(TASK, "data")}
    assert left == {(TASK, "train"), ("b", "train"), *(("c", s) for s in ("train", "explain", "evaluate"))}
    use_best(run, works, again=False)  # nothing has changed since


def test_no_complete_trial_is_no_best(tmp_path: Path) -> None:
    run = search({"space": {"lr": [1e30]}}, tmp_path / "run")
    assert run.table("search", TASK)["state"].tolist() == ["failed"]
    assert not len(run.table("search_importance", TASK))
    assert write_search_figures(run)
    with pytest.raises(UsageError, match="no trial of the search is complete"):
        run_recipe(small({"space": {"lr": [1e30]}}), run.folder, only=("train",), best=True, quiet=True, console=QUIET)


def test_the_study_opens_as_optunas_own(grid: Run) -> None:
    context = Context(grid, small(GRID), small(GRID).tasks[0], Path.cwd(), QUIET)
    study = open_study(context, identity=None).study
    assert study.study_name == TASK
    assert study.best_value == grid.table("search", TASK)["value"].min()
