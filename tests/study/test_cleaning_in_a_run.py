"""What a data set noticed of its cases: a table of the run, a line on the console, a panel of the page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from make_nih import FAULTS, make_nih
from pellucid.report.html import render
from pellucid.study.run import run_recipe
from pellucid.study.store import Run


def run(folder: Path, *tasks: dict[str, Any]) -> tuple[Run, str]:
    recipe, said = folder / "recipe.yaml", io.StringIO()
    recipe.write_text(yaml.safe_dump({"name": "r", "tasks": list(tasks)}))
    made = run_recipe(recipe, folder / "run", only=["data"], quiet=True, console=Console(file=said, width=400))
    return made, said.getvalue()


def task(name: str, root: str, **more: Any) -> dict[str, Any]:
    data = {"dataset": "nih_chestxray14", "root": root, "options": {"size": 16, "least": 0.9}}
    model = {"network": "resnet18", "inputs": ["image"], "task": "classification", "classes": ["a", "b"]}
    return {"name": name, "data": data | more.pop("data", {}), "model": model, "train": {"epochs": 1}, **more}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    folder = tmp_path_factory.mktemp("cleaning")
    make_nih(folder / "dirty", patients=20, faults=dict.fromkeys(FAULTS, 1) | {"absent": 2})
    make_nih(folder / "clean", patients=20, seed=1)
    also = {"other": {"dataset": "nih_chestxray14", "root": "clean", "options": {"size": 16, "limit": 6}}}
    return run(folder, task("first", "dirty", data={"official": True}, also=also), task("second", "clean"))


def test_the_table_has_every_line_with_its_source(made: tuple[Run, str]) -> None:
    lines = made[0].table("cleaning", "first")
    assert list(lines.columns) == ["task", "case", "problem", "detail", "action", "source"]
    assert set(lines["source"]) == {"data"}, "nothing was noticed of the other"
    assert (lines["problem"] == "absent").sum() == 2
    gone = set(lines[lines["action"] == "left out"]["case"])
    data = made[0].table("data", "first")
    assert gone and not gone & set(data[data["part"] != "other"]["case"])
    assert not len(made[0].table("cleaning", "second"))


def test_the_console_counts(made: tuple[Run, str]) -> None:
    lines = made[1].splitlines()
    (first,) = [line for line in lines if line.startswith("first, data: cleaning:")]
    assert "2 absent (left out), 1 corrupt (left out)" in first and "1 near duplicate" not in first
    assert "second, data: cleaning: nothing was noticed" in lines
    assert not any("00000" in line for line in (first,)), "counts, no names"


def test_the_page_has_the_counts_and_a_few_lines(made: tuple[Run, str]) -> None:
    page = render(made[0])
    lines = made[0].table("cleaning", "first")
    gone = lines[lines["action"] == "left out"]["case"].nunique()
    assert f"something was noticed of {lines['case'].nunique()} cases; {gone} left out." in page
    for text in ("listed, and not there", "cannot be read", "the same picture twice", "no possible age", "kept, resized"):
        assert text in page
    assert page.count("Cleaning <span>") == 1, "not for the task of which nothing was noticed"
    assert f"The first 12 of {len(lines)} lines" in page
