"""The demo reaches what it is meant to show: good models, and maps whose order is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pellucid.report import build_report
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe
from pellucid.study.run import failures, run_recipe
from pellucid.study.store import Run

LIMITS = {
    "classification": ("accuracy", 0.95, True),
    "regression": ("rmse", 0.06, False),
    "segmentation": ("dice", 0.85, True),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(LIMITS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo of one task as ``make demo`` runs it, with the measures that are asked about here; one with its page."""
    plain = demo_recipe(request.param).model_dump(mode="json")
    asked = ["deletion_auc", "insertion_auc", "pointing_game", "mass_accuracy", "dice"]
    plain["tasks"][0]["evaluate"] |= {"checks": "cheap", "metrics": asked}
    page = {"report": lambda r: build_report(r.folder)} if request.param == "segmentation" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.report.gallery.MOST", 2)  # of its six cases, which look alike to the page
        return run_recipe(
            Recipe.model_validate(plain), tmp_path_factory.mktemp("demo") / request.param, quiet=True,
            console=Console(quiet=True), final=page,
        )  # fmt: skip


@pytest.mark.slow
def test_the_demo_shows_what_it_promises(run: Run) -> None:
    (task,) = run.tasks
    assert not failures(run)
    metric, limit, higher = LIMITS[task]
    performance = run.table("performance", task)
    row = performance[(performance["part"] == "test") & (performance["metric"] == metric)].iloc[0]
    assert row["stratum"] == "all"
    assert (row["value"] >= limit) if higher else (row["value"] <= limit), f"{metric} {row['value']}"

    scores = run.table("scores", task)
    game = scores[scores["metric"] == "pointing_game"].groupby("method")["value"].mean()
    assert game.drop(["random", "edge"]).max() >= 0.9, game.to_dict()
    assert game["random"] <= 0.34, game.to_dict()
    comparison = run.table("comparison", task)
    order = comparison[comparison["metric"] == "pointing_game"].set_index("method")["rank"]
    assert order["random"] > order[game.idxmax()]
    deletion = comparison[comparison["metric"] == "deletion_auc"].set_index("method")["mean"]
    assert deletion.drop(["random", "edge"]).min() < deletion["random"]

    for case in run.cases(task):
        (ig,) = [a for a in run.attributions(task, case) if a.method == "integrated_gradients"]
        assert ig.notes["nodes"] in (24, 72, 216, 648)
        assert (ig.notes["completeness_error"] <= 0.01) == ("incomplete" not in ig.flags)
    assert Path(run.folder / "report.html").is_file() == (task == "segmentation")
