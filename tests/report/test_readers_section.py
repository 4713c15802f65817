"""“What readers say” in the report, from the tables alone; nothing of it where nobody was asked."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import readers_world as world
from pellucid.cli import app
from pellucid.readers import study_read
from pellucid.report.html import render
from pellucid.report.likert import Rated, _sides, likert
from pellucid.report.readers import readers_panel
from pellucid.study.store import Run


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.report.html.gallery", lambda *_: [])
        yield patch


@pytest.fixture(scope="module")
def read(tmp_path_factory, patched):
    """Readers who rate what is planted, one of whom left something out."""
    folder = tmp_path_factory.mktemp("section")
    run = world.run(folder / "run", n=6)
    made = world.form(run.folder, patched, readers=2)
    generator = np.random.default_rng(0)

    def rate(entry, item):
        if entry["reader"] == 2 and item == "actionability":
            return None
        return np.clip(world.truthful(entry, item) + generator.integers(-1, 2), 1, 5)

    return study_read(run.folder, world.answers(made, folder, rate), n_boot=200)


def run_of(read):
    return Run(read.files[-1].parent)


def test_the_section_says_what_is_in_the_tables(read):
    run = run_of(read)
    found = readers_panel(run, world.TASK)
    assert found["line"].startswith("2 readers, blinded, rated 18 maps of 6 patients. Unfinished: reader 2: ")
    means = read.tables["readers"].set_index(["item", "method"])["mean"]
    rows = {r["name"]: [c["text"] for c in r["cells"]] for r in found["table"]["rows"]}
    assert list(rows) == ["grad_cam", "saliency", "random"]  # best first, controls last
    assert rows["grad_cam"][0] == f"{means['relevance', 'grad_cam']:.2f}"
    alpha = read.tables["readers_agreement"].query("measure == 'alpha' and item == 'relevance'")["value"].iloc[0]
    assert any(f"relevance {alpha:.3f} [" in p and "Krippendorff’s α" in p for p in found["points"])
    assert any("Actionability: one reader only" in p for p in found["points"])
    assert [name for name, _ in found["more"]] == ["Agreement", "Two methods, compared", "Readers and metrics"]
    assert any("pointing_game with relevance" in p for p in found["points"])


def test_too_few_patients_for_so_many_pairs_are_said(read):
    run = run_of(read)
    table = run.table("readers_pairs", world.TASK)
    run.put_table("readers_pairs", world.TASK, table.assign(word="not told apart"))
    few = readers_panel(run, world.TASK)["points"]
    run.put_table("readers_pairs", world.TASK, table.assign(word="not told apart", groups=8))
    enough = readers_panel(run, world.TASK)["points"]
    run.put_table("readers_pairs", world.TASK, table)
    said = "No two methods are told apart in any of the items."
    # 3 pairs × 2 / 2⁶ = 0.094 and 3 × 2 / 2⁸ = 0.023
    assert any(p.startswith(said + " With 6 patients and 3 pairs of methods no corrected p can be under 0.05") for p in few)
    assert said in enough


def test_it_is_on_the_page_with_its_limit_and_not_where_nobody_was_asked(read, tmp_path, patched):
    page = read.files[-1].read_text(encoding="utf-8")
    assert "What readers say" in page and "Readers said what a map tells them" in page
    assert "Mean ratings from 1 to 5: relevance: grad_cam" in page
    bare = render(world.run(tmp_path, n=1, methods=("random",)))
    assert "readers" not in re.sub(r"data:[^\"]*", "", bare).lower()


def test_a_hostile_name_is_text(read):
    run = run_of(read)
    table = run.table("readers", world.TASK)
    hostile = "<script>alert(1)</script>"
    run.put_table("readers", world.TASK, table.assign(method=table["method"].replace("grad_cam", hostile)))
    page = render(run)
    run.put_table("readers", world.TASK, table)
    assert hostile not in page and "&lt;script&gt;alert(1)" in page


def test_bars_lie_about_the_middle_of_the_scale():
    assert _sides((0, 0, 4, 0, 0)) == (0.5, 0.5)
    assert _sides((2, 1, 0, 1, 0)) == (0.75, 0.25)
    assert _sides((0,) * 5) == (0.0, 0.0)


def test_a_bar_has_the_length_of_its_share_and_no_ratings_are_said():
    from pellucid.report.charts import Bar

    rated = [Rated((1, 0, 0, 1, 2), Bar("a", 3.75, 2.0, 4.5)), Rated((0,) * 5, Bar("b", float("nan")))]
    figure = likert({"relevance": rated})
    bars = figure.axes[0].patches[:5]
    assert [b.get_width() for b in bars] == [25.0, 0.0, 0.0, 25.0, 50.0]
    assert bars[0].get_x() == -25.0 and bars[-1].get_x() + bars[-1].get_width() == 75.0
    assert [t.get_text() for t in figure.axes[0].texts] == ["no ratings"]


def test_the_commands_write_forms_and_read_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.readers.form.picture_of", lambda stage: "data:a")
    monkeypatch.setattr("pellucid.readers.form.map_of", lambda stage, a: "data:b")
    monkeypatch.setattr("pellucid.readers.read.build_report", lambda folder: folder / "report.html")
    run = world.run(tmp_path / "run", n=2)
    form = ["study-form", str(run.folder), "--out", str(tmp_path / "out"), "--methods", "grad_cam,saliency", "--readers", "2"]
    shown = CliRunner().invoke(app, [*form, "--seed", "4", "--json"])
    made = json.loads(shown.stdout)
    assert shown.exit_code == 0 and made["maps"] == 6 and (tmp_path / "out" / "reader-02.html").is_file()
    assert f"key-{made['study']}.json" in made["key"] and "keep it" in shown.stderr
    rated = world.answers(type("Made", (), made), tmp_path, world.truthful)
    found = CliRunner().invoke(app, ["study-read", str(run.folder), *map(str, rated), "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["task"] == world.TASK
    plain = CliRunner().invoke(app, ["study-read", str(run.folder), str(rated[0])])
    assert plain.exit_code == 0 and "unfinished: reader 2: no file" in plain.stderr
    rated[0].write_text("{}")
    assert CliRunner().invoke(app, ["study-read", str(run.folder), str(rated[0])]).exit_code == 3
    assert CliRunner().invoke(app, ["study-form", str(run.folder), "--repeat", "2"]).exit_code == 2
