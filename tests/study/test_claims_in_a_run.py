"""The clinical claims as an analysis of a run, and on its page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pages
from pellucid.evaluate.cohort import claims as rule
from pellucid.evaluate.cohort.claims import COLUMNS, MAPS
from pellucid.report import claim_words
from pellucid.report.claim_words import WORDS
from pellucid.report.claims import CARDS, claim_panels
from pellucid.report.html import render
from pellucid.report.numbers import interval, number
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.store import Run
from report import run_folder

RECIPE = {
    "name": "claims",
    "tasks": [
        {
            "name": "one",
            "data": {"dataset": "synthetic_classification", "options": {"n": 24, "size": 16}, "fractions": [0.3, 0.2, 0.5]},
            "model": {"network": "image_tabular", "inputs": ["ct", "ehr"], "task": "classification",
                      "classes": ["benign", "malignant"]},
            "train": {"epochs": 1},
            "explain": {"methods": ["saliency", "random"], "targets": ["malignant"], "cases": "test"},
            "evaluate": {"metrics": [], "checks": "cheap", "findings": False},
            "analysis": [{"clinical_claims": {"boxes": "lesion", "lungs": "lesion", "draws": 200}}],
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_recipe(Recipe.model_validate(RECIPE), tmp_path_factory.mktemp("claims") / "run", quiet=True)


def test_the_tables_have_the_columns_of_the_page(run: Run) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(row["table"])[0]: pages.code(row["columns"]) for row in rows}
    assert said["claims.parquet"] == COLUMNS
    assert said["claim_maps.parquet"] == MAPS
    for name, columns in (("claims", COLUMNS), ("claim_maps", MAPS)):
        assert list(run.table(name, "one").columns) == ["task", *columns]


def test_every_claim_has_a_verdict_of_the_stored_maps(run: Run) -> None:
    claims, maps = run.table("claims", "one"), run.table("claim_maps", "one")
    assert set(claims["claim"]) == {"boxes", "focus", "outside", "apart"}
    assert set(claims["verdict"]) <= {"holds", "does not hold", "not settled", "not testable"}
    assert set(claims[claims["claim"] == "apart"]["verdict"]) == {"not testable"}  # one class is explained
    case = run.cases("one")[0]
    (a,) = [a for a in run.attributions("one", case) if a.method == "saliency"]
    lesion = run.regions("one", case)["lesion"].bool()
    support = a.spatial("ct").double().clamp(min=0)
    mine = maps[(maps["case"] == case) & (maps["method"] == "saliency")].set_index("measure")["value"]
    assert mine["hit"] == float(lesion.flatten()[support.flatten().argmax()])
    assert mine["outside"] == pytest.approx(float(support[~lesion].sum() / support.sum()))
    every = maps[(maps["measure"] == "hit") & (maps["method"] == "saliency")]["value"]
    better = claims[(claims["measure"] == "hit") & (claims["method"] == "saliency") & (claims["cases"] == "all")]
    assert better["value"].to_numpy() == pytest.approx(every.mean())
    assert np.isfinite(maps["confidence"]).any()


def test_the_page_has_a_card_for_each_claim_with_the_tables_numbers(run: Run) -> None:
    cards = claim_panels(run, "one")
    assert [c["title"] for c in cards] == [c.title for c in CARDS.values()]
    boxes, _, _, apart = cards
    assert apart["line"].startswith("– not testable: no picture in which two findings")
    row = run.table("claims", "one").query("measure == 'iou' and method == 'saliency' and cases == 'all'").iloc[0]
    said = f"saliency {number(row['value'])} {interval(row['low'], row['high'])} against {number(row['against'])}"
    assert any(said in p for p in boxes["points"])
    assert "overlap at equal size, all explained: saliency" in boxes["picture"]["alt"]
    verdicts = {c["text"] for r in boxes["table"]["rows"] for c in r["cells"][-1:]}
    assert verdicts <= set(WORDS.values())


def test_the_page_knows_the_words_of_the_table() -> None:
    for name in ("HOLDS", "FAILS", "OPEN", "MISSING", "ALL", "RANDOM", "CONTROLS"):
        assert getattr(claim_words, name) == getattr(rule, name)


def test_the_words_follow_the_verdicts_and_a_control_that_passes_is_told(run: Run, tmp_path) -> None:
    table = run.table("claims", "one")
    kept = run_folder.build(tmp_path / "run", "classification", bare=True)
    own = table[(table["claim"] == "boxes") & (table["measure"] == "hit") & (table["cases"] == "all")]
    several = pd.concat([own.assign(finding=f) for f in ("all", "Mass", "Nodule")])
    several["verdict"] = np.where(several["method"] == "random", "holds", "does not hold")
    kept.put_table("claims", "classification", several)
    (card,) = claim_panels(kept, "classification")
    assert card["line"].startswith("Better than a map that knows nothing (maximum in the box): ✕ does not hold for 1 of 1;")
    assert any(p.startswith("At least 87 % (maximum in the box): ✕ does not hold for saliency.") for p in card["points"])
    assert any(p.startswith("The control random passes as well: better than a map that knows nothing") for p in card["points"])
    assert [name for name, _ in card["more"]] == ["Mass", "Nodule"]
    assert CARDS["boxes"].title in render(kept)
