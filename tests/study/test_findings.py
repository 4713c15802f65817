"""The run finds the letter in the corner by itself, and stays silent where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.console import Console

from pellucid.data.synthetic.make import make
from pellucid.data.synthetic.parts import token_mask
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

RECIPE = Path(__file__).parents[2] / "recipes" / "confounder.yaml"


def recipe(**options: Any) -> Recipe:
    """The recipe with fewer methods, so that it takes seconds; ``options`` are those of the data."""
    plain = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    work = plain["tasks"][0]
    work["explain"] |= {"methods": ["saliency", "input_x_gradient", "random", "edge"], "most": 16}
    work["evaluate"] |= {"metrics": ["gini"], "steps": 4}
    work["regions"] = []
    work["train"]["epochs"] = 14  # on fewer cases
    work["data"]["options"] |= {"n": 160, **options}
    return Recipe.model_validate(plain)


def findings(folder: Path, recipe: Recipe) -> tuple[Run, pd.DataFrame]:
    run = run_recipe(recipe, folder, quiet=True, console=Console(quiet=True))
    return run, run.table("findings", "letter")


def test_the_letter_is_named_and_the_cases_that_show_it(tmp_path: Path) -> None:
    run, found = findings(tmp_path / "run", recipe())
    assert list(found["kind"]) == ["shortcut"]
    row = found.iloc[0]
    box = tuple(slice(*map(int, part.split(":"))) for part in row["box"].split(","))
    token = token_mask(64) > 0
    assert token[box].sum() == token.sum(), row["box"]  # the whole letter
    assert row["zone"] == "upper left corner" and "upper left corner" in row["sentence"]
    assert (box[0].stop - box[0].start) * (box[1].stop - box[1].start) <= 0.03 * 64**2
    shows = set()
    for i in run.cases("letter"):
        case = run.case("letter", i)
        if float(case.inputs["ct"][0][case.region("confounder")].mean()) > 0.5:
            shows.add(i)
    named = set(row["cases"].split(","))
    assert len(shows) >= 5 and row["n"] == len(named) and row["of"] == 16
    assert len(named & shows) / len(named) >= 0.9 and len(named & shows) / len(shows) >= 0.9
    assert row["difference_low"] > 0.1 > row["control_value"] and row["p"] < 0.05
    assert "input_x_gradient" in row["methods"] and "edge" not in row["methods"]


def test_without_a_letter_nothing_is_found(tmp_path: Path) -> None:
    """The twin: same patients, no letter; the table tells the classes, so that the model has learnt something."""
    run, found = findings(tmp_path / "run", recipe(confounder=False, table_signal=1.0))
    accuracy = run.table("performance", "letter").query("metric == 'accuracy' and part == 'test'")["value"].iloc[0]
    assert accuracy > 0.8
    assert list(found["kind"]) == ["none"] and found.iloc[0]["cases"] == ""


def test_it_can_be_switched_off() -> None:
    plain = recipe().model_dump(mode="json")
    assert plain["tasks"][0]["evaluate"]["findings"] is True
    plain["tasks"][0]["evaluate"]["findings"] = False
    assert Recipe.model_validate(plain).tasks[0].evaluate.findings is False


@pytest.mark.parametrize("label", [0, 1])
def test_the_recipes_letter_gives_the_class_away(label: int) -> None:
    cases = [c for c in make("classification", n=24, size=64, seed=42, confounder=0.95) if c.truth == label]
    shows = [float(c.inputs["ct"][0][c.region("confounder")].mean()) > 0.5 for c in cases]
    assert abs(sum(shows) / len(shows) - label) < 0.2
