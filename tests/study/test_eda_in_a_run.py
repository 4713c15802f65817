"""The stage ``eda`` and its card in the report, over every kind of task: what was planted is found and shown."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import eda_cohorts
import pages
from own_sets import registering
from pellucid import explore
from pellucid.data.case_list import CaseList
from pellucid.errors import UsageError
from pellucid.report.eda import eda_panel
from pellucid.report.html import render
from pellucid.study.run import run_recipe
from pellucid.study.stages import eda as stage
from pellucid.study.store import TABLES, Run

own_sets = registering(
    planted=eda_cohorts.cohort,
    planted_small=lambda root=None, **o: eda_cohorts.cohort(n=12, **o),
    without_truth=lambda root=None, kind="exclusive": CaseList(c.replace(truth=None) for c in eda_cohorts.cohort(kind=kind, n=12)),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, own_sets: None) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("eda")
    return {
        kind: run_recipe(eda_cohorts.recipe(kind, eda={"montage": 1}), folder / kind, only=["data", "eda"], quiet=True)
        for kind in eda_cohorts.KINDS
    }


def sentences(run: Run) -> str:
    return "\n".join(run.table("eda_notes", "task")["sentence"])


# What has to stand in the notes, and which titles and words have to be among the panels.
SHOWN: dict[str, tuple[list[str], dict[str, str]]] = {
    "labels": (
        [
            "No case has Rare", "repeat another's pictures, value by value: case00, case02.",
            "Pneumonia and Effusion come together 2 times as often as by chance: in 18 of 48 cases",
            "view goes with Pneumonia: AP in 100 % of those with it, 12 % of those without",
        ],
        {
            "Classes": "Pneumonia 24, Effusion 18, Rare 0", "Which classes come together": "1 of 3 pairs",
            "view by class": "AP: 12 to 100 % by class", "age by class": "mean Pneumonia 54.5",
            "Sizes of the regions": "box median 20.0 pixels", "A few of each class": "3 pictures",
        },
    ),
    "exclusive": (
        ["marker (b +", "Constant in all cases, so of no use: flat."],
        {
            "Classes": "a 24, b 24", "Table ehr by class": "4 features; farthest apart: marker",
            "Which features of ehr go together": "strongest, Spearman's ρ: all cases: marker and double 1.00",
            "Values of the pictures": "ct by 2 classes", "hospital by class": "by class",
        },
    ),
    "regression": (
        ["mean of t2 goes with the severity (Spearman’s ρ 1.00", "age goes with the severity"],
        {"The score by part": "severity: mean", "age by class": "lowest third", "Values of the pictures": "t1, t2 by 3 classes"},
    ),
    "flat": (
        ["tumour: median 16 pixels (16 to 16), 6.2 % of the picture", "most distinct in flair", "Nothing is known of the patients"],
        {
            "Sizes of the regions": "tumour median 16.0 mm²", "Values in the regions": "tumour stands out most in flair",
            "Places of the regions": "tumour 38 % from the top, 69 % from the left",
        },
    ),
    "volume": (
        ["spleen: median 4 voxels (4 to 4)", "in 12 of 48 cases"],
        {"Classes": "liver 48, spleen 12", "Sizes of the regions": "liver median 54.0 mm³", "A few of each class": "2 pictures"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", eda_cohorts.KINDS)
def test_what_was_planted_is_found_and_shown(runs: dict[str, Run], kind: str) -> None:
    run = runs[kind]
    said, panels = SHOWN[kind]
    for sentence in said:
        assert sentence in sentences(run), sentences(run)
    card = eda_panel(run, "task")
    assert card is not None
    assert card["line"].startswith("48 cases of 24 patients")
    found = {p["title"]: p for p in card["folds"]}
    for title, words in panels.items():
        assert title in found, list(found)
        assert words in found[title]["line"], found[title]["line"]
    for p in card["folds"]:
        pictures = [p["picture"], *(q["picture"] for q in p["parts"])]
        assert any(pictures) or p["table"] or p["points"], p["title"]
    assert "patient0" not in str([p["table"] for p in card["folds"]])


def test_the_tables_are_those_of_the_page(runs: dict[str, Run]) -> None:
    (rows,) = pages.tables(pages.section("docs/reference-run-folder.md", "Tables"))
    said = {pages.code(row["table"])[0].removesuffix(".parquet"): pages.code(row["columns"]) for row in rows}
    made: dict[str, set[str]] = {name: set() for name in stage.MAKES}
    for run in runs.values():
        for name in made:
            made[name] |= set(run.table(name, "task").columns) - {"task"}
    assert set(made) <= set(TABLES)
    for name, columns in made.items():
        assert columns, name
        expected = set(said[name]) - {"…_low", "…_high"}
        if name == "eda_regions":
            expected |= {"centre_1", "centre_2"}
        if name == "eda_compartments":
            expected |= {f"{c}_{end}" for c in ("share", "size", "inside", "sd", "contrast") for end in ("low", "high")}
        assert columns == expected, name


def test_the_page_has_the_card_and_names_no_patient(runs: dict[str, Run]) -> None:
    page = render(runs["regression"])
    assert "<h3>What the data are like</h3>" in page
    assert "nothing is chosen by them here" in page
    assert not re.search(r"patient\d\d", page)
    tile = runs["volume"].table("eda_montage", "task").iloc[0]
    assert (tile["left"], tile["right"], tile["top"], tile["bottom"]) == ("R", "L", "A", "P")


def test_a_broken_off_look_at_the_pictures_goes_on(tmp_path, monkeypatch, runs) -> None:
    """The third batch is interrupted; resumed, two are not looked at again, and the tables are the same."""
    monkeypatch.setattr(stage, "BATCH", 16)
    looked: list[str] = []
    real = explore.picture_rows

    def look(case: Any, part: str) -> Any:
        if len(looked) == 40:
            raise KeyboardInterrupt
        looked.append(case.id)
        return real(case, part)

    recipe = eda_cohorts.recipe("exclusive", eda={"montage": 1})
    monkeypatch.setattr(explore, "picture_rows", look)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path / "run", only=["data", "eda"], quiet=True)
    done = looked[:32]
    looked.clear()
    looked.extend(["-"] * 41)  # past the interruption
    run = run_recipe(recipe, tmp_path / "run", only=["eda"], resume=True, quiet=True)
    assert set(looked[41:]).isdisjoint(done)
    assert len(looked[41:]) == 16
    for name in ("eda_pictures", "eda_histograms", "eda_associations"):
        pd.testing.assert_frame_equal(run.table(name), runs["exclusive"].table(name))


def test_without_the_section_it_runs_only_by_name_and_again_replaces(tmp_path) -> None:
    plain = eda_cohorts.recipe("exclusive", eda=False, dataset="planted_small")
    run = run_recipe(plain, tmp_path / "run", only=["data"], quiet=True)
    assert eda_panel(run, "task") is None
    run = run_recipe(plain, tmp_path / "run", only=["eda"], quiet=True)
    assert len(run.table("eda_pictures")) == 12
    run = run_recipe(plain, tmp_path / "run", only=["eda"], quiet=True)
    assert len(run.table("eda_pictures")) == 12


def test_options(tmp_path) -> None:
    asked = {"parts": ["train"], "most": 4, "montage": 0, "classes": ["b"], "meta": ["hospital"]}
    run = run_recipe(eda_cohorts.recipe("exclusive", eda=asked, dataset="planted_small"), tmp_path / "run", only=["data", "eda"], quiet=True)
    assert set(run.table("eda_labels")["part"]) == {"all", "train"}
    assert run.table("eda_pictures")["case"].nunique() == 4
    assert set(run.table("eda_histograms")["class"]) == {"b"}
    assert not len(run.table("eda_montage", "task"))
    assert "pictures were looked at in 4 of them, drawn by the seed" in sentences(run)
    for wrong, said in (
        ({"parts": ["tset"]}, "eda.parts: no cases called 'tset'; did you mean 'test'"),
        ({"classes": ["c"]}, "eda.classes: 'c' is no class; known: a, b"),
        ({"meta": ["hospitals"]}, "eda.meta: 'hospitals' is in no case; did you mean 'hospital'"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            run_recipe(eda_cohorts.recipe("exclusive", eda=wrong, dataset="planted_small"), tmp_path / said[:8], only=["data", "eda"], quiet=True, fresh=True)
    with pytest.raises(ValueError, match="most"):
        eda_cohorts.recipe("exclusive", eda={"most": 0})
    assert eda_cohorts.recipe("exclusive", eda=True).tasks[0].eda == eda_cohorts.recipe("exclusive").tasks[0].eda


def test_data_without_truth_are_described(tmp_path) -> None:
    recipe = eda_cohorts.recipe("exclusive", dataset="without_truth")
    run = run_recipe(recipe, tmp_path / "run", only=["data", "eda"], quiet=True)
    assert "No case has a truth" in sentences(run)
    card = eda_panel(run, "task")
    assert card is not None
    titles = [p["title"] for p in card["folds"]]
    assert "Classes" not in titles
    assert "Values of the pictures" in titles
