"""The main job end to end, small: files to report; killed and resumed; wrong calls refused."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from scipy.stats import spearmanr
from typer.testing import CliRunner

import pages
from pellucid.cli import app
from pellucid.errors import UsageError
from pellucid.report import build_report
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.store import Run
from pellucid.study.summary import summary

QUIET = Console(quiet=True)
TABLES = ("data", "performance", "predictions", "verdicts", "scores", "comparison", "regions")
COMPARED = ("ranking", "aggregated", "pareto", "agreement", "agreement_cases", "strata", "explained", "detector")


def small(task: str = "classification", **changes: object) -> Recipe:
    """The quick demo of one task with few methods, so that it takes seconds."""
    plain = demo_recipe(task, quick=True).model_dump(mode="json")
    work = plain["tasks"][0]
    work["explain"]["methods"] = ["saliency", "grad_cam", {"smoothgrad": {"samples": 3}}, "random", "edge"]
    work["explain"]["most"] = 6
    work["train"]["epochs"] = 1
    work["evaluate"]["steps"] = 4
    work["evaluate"]["metrics"] = ["deletion_auc", "insertion_auc", "pointing_game", "stability_pearson", "gini"]
    work |= changes
    return Recipe.model_validate(plain)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run_recipe(
        small(), folder, quiet=True, console=QUIET, final={"report": lambda r: build_report(r.folder)}
    )  # fmt: skip


def test_the_columns_are_those_of_the_page(done: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(row["table"])[0]: row["columns"] for row in rows}
    seen = 0
    for name, columns in said.items():
        path = done.folder / name
        if path.is_file():
            real = {c for c in pd.read_parquet(path).columns if not c.startswith("meta_")}
            assert {"task"} | {c for c in pages.code(columns) if c != "meta_…"} == real, name
            seen += 1
    assert seen >= 18


def test_a_run_leaves_everything_behind(done: Run) -> None:
    for name in (*TABLES, *COMPARED):
        assert len(done.table(name, "classification")), name
    assert (done.folder / "model" / "classification" / "weights.safetensors").is_file()
    assert (done.folder / "splits" / "classification.json").is_file()
    assert (done.folder / "report.html").stat().st_size > 10_000
    assert not (done.folder / "parts").exists()
    assert not failures(done)
    cases = done.cases("classification")
    assert len(cases) == 6
    maps = done.attributions("classification", cases[0])
    assert any(a.checks["sane"].status != "not tested" for a in maps)
    assert [a.method for a in maps] == ["saliency", "grad_cam", "smoothgrad", "random", "edge"]
    for a in maps:
        assert set(a.checks) == {"finite", "not_empty", "not_flat", "complete", "stable", "sane", "better"}
        zero = a.checks["not_empty"].status == "fail"  # a CAM without positive evidence: there is nothing to compare
        assert (a.checks["sane"].status == "not tested") == zero
        assert a.provenance["weights"]
        assert a.cost.forwards >= 1
    scores = done.table("scores", "classification")
    assert set(scores["metric"]) >= {"deletion_auc", "pointing_game", "gini"}
    assert set(scores["case"]) == set(cases)


def test_every_explained_case_is_known_by_its_prediction(done: Run) -> None:
    facts = done.table("explained", "classification").set_index("case")
    assert list(facts.index) == done.cases("classification")
    for case_id, row in facts.iterrows():
        probabilities = done.prediction("classification", str(case_id))
        case = done.case("classification", str(case_id))
        assert row["confidence"] == pytest.approx(float(probabilities.max()))
        assert row["correct"] == (int(probabilities.argmax()) == int(case.truth))
        assert row["region_size"] == pytest.approx(float(case.region("lesion").sum()) * math.prod(case.spacing))
    assert set(facts["region_unit"]) == {"mm²"}


def test_agreement_is_that_of_the_stored_maps(done: Run) -> None:
    rows = done.table("agreement_cases", "classification")
    assert len(rows) == 6 * 10  # 5 methods, 10 pairs
    maps = {a.method: a for a in done.attributions("classification", done.cases("classification")[0])}
    one = rows[(rows["case"] == done.cases("classification")[0]) & (rows["a"] == "saliency") & (rows["b"] == "smoothgrad")]
    flat = [maps[m].spatial("ct").clamp(min=0).flatten().numpy() for m in ("saliency", "smoothgrad")]
    assert float(one["rho"].iloc[0]) == pytest.approx(spearmanr(*flat).statistic, abs=1e-6)


def test_evaluate_on_the_command_line_prints_the_comparison(done: Run) -> None:
    """Methods × metrics with intervals on standard error; every table as JSON on standard output."""
    told = CliRunner().invoke(app, ["evaluate", str(done.folder), "--json", "--quiet"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)["tasks"]["classification"]
    mean = done.table("comparison", "classification").set_index(["metric", "method"]).loc[("gini", "saliency"), "mean"]
    assert f"{mean:.3f} [" in told.stderr and "against chance" in told.stderr and "insertion_auc: " in told.stderr
    assert {"methods", "performance", *COMPARED} - {"agreement_cases"} <= set(found)
    assert len(found["ranking"]) == len(done.table("ranking", "classification"))


def test_no_patient_is_in_two_parts(done: Run) -> None:
    data = done.table("data", "classification")
    assert (data.groupby("group")["part"].nunique() == 1).all()


def test_the_log_and_the_report_name_no_patient(done: Run) -> None:
    groups = set(done.table("data", "classification")["group"]) - set(done.table("data", "classification")["case"])
    log = (done.folder / "run.log").read_text()
    page = (done.folder / "report.html").read_text()
    for group in groups:
        assert group not in log
        assert f">{group}<" not in page


def test_the_summary_is_plain_json(done: Run) -> None:
    found = json.loads(json.dumps(summary(done), allow_nan=False))
    methods = found["tasks"]["classification"]["methods"]
    table = done.table("comparison", "classification").set_index(["metric", "method"])
    assert methods["saliency"]["gini"]["mean"] == pytest.approx(table.loc[("gini", "saliency"), "mean"])


def test_a_run_that_is_there_is_not_overwritten(done: Run) -> None:
    with pytest.raises(UsageError, match="--resume to go on"):
        run_recipe(small(), done.folder, quiet=True, console=QUIET)
    other = small(question="another")
    with pytest.raises(UsageError, match="another recipe"):
        run_recipe(other, done.folder, resume=True, quiet=True, console=QUIET)


def test_resuming_a_whole_run_does_nothing(done: Run) -> None:
    before = (done.folder / "scores.parquet").stat().st_mtime_ns
    run_recipe(small(), done.folder, resume=True, quiet=True, console=QUIET)
    assert (done.folder / "scores.parquet").stat().st_mtime_ns == before


def test_one_stage_again(done: Run) -> None:
    before = done.table("scores", "classification")
    run_recipe(small(), done.folder, only=["evaluate"], quiet=True, console=QUIET)
    pd.testing.assert_frame_equal(before, done.table("scores", "classification"))


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'explain'"):
        run_recipe(small(), tmp_path / "r", only=["explan"], quiet=True, console=QUIET)


def test_misspelt_names_are_found_before_anything_runs(tmp_path: Path) -> None:
    work = small().model_dump(mode="json")["tasks"][0]
    for section, key, value, said in (
        ("explain", "methods", ["salency"], "saliency"),
        ("evaluate", "metrics", ["deletion"], "deletion_auc"),
        ("data", "dataset", "synthetic_clasification", "synthetic_classification"),
        ("model", "network", "image_tabula", "image_tabular"),
    ):
        wrong = small(**{section: work[section] | {key: value}})
        with pytest.raises(UsageError, match=said):
            run_recipe(wrong, tmp_path / "r", quiet=True, console=QUIET)
    assert not (tmp_path / "r").exists()


def test_killed_and_resumed_gives_the_same_scores(done: Run, tmp_path: Path) -> None:
    """``kill -9`` in the middle of the evaluation; ``--resume`` must end with the numbers of the unbroken run."""
    folder = tmp_path / "run"
    script = (
        "import sys; sys.path[:0] = sys.argv[1].split('|')\n"
        "from test_run import small, QUIET\n"
        "from pellucid.study.run import run_recipe\n"
        "run_recipe(small(), sys.argv[2], resume=True, quiet=True, console=QUIET)\n"
    )
    call = [sys.executable, "-c", script, "|".join(str(p) for p in Path(__file__).parents[:2]), str(folder)]
    # As many threads as the unbroken run had: a sum over two threads rounds differently from a sum over one.
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(call, env=environment)
    ledger, deadline = folder / "ledger.sqlite", time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if ledger.is_file() and _count(ledger, "evaluate") >= 2:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    half = _count(ledger, "evaluate")
    assert 2 <= half < 6
    assert subprocess.run(call, check=True, env=environment).returncode == 0
    again = Run(folder)
    for name in ("scores", "comparison", "performance", "predictions", "regions", *COMPARED):
        keys = [c for c in again.table(name).columns if again.table(name)[c].dtype != float]
        left = again.table(name).sort_values(keys, ignore_index=True)
        right = done.table(name).sort_values(keys, ignore_index=True)
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def _count(ledger: Path, stage: str) -> int:
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5) as db:
            row = db.execute("SELECT count(*) FROM ledger WHERE stage = ? AND item != '*'", (stage,)).fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(row[0])
