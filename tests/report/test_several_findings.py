"""Pages of pictures with several findings: one map for each that is said to be there; what was missed is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from finding_runs import run as make
from pellucid.report import gallery as galleries
from pellucid.report import html, several
from pellucid.report.gallery import gallery
from pellucid.report.html import render
from pellucid.report.several import finding_strip, most_findings, several_of
from pellucid.study.store import Run
from report.run_folder import build

TASK = "chest"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("several") / "run", targets=["above_threshold"], analysis=[], n=6)


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are not painted where only their words are asked about."""
    for name in ("map_tile", "input_tile", "data_uri"):
        monkeypatch.setattr(several, name, lambda *_args, **_options: "data:,")


@pytest.mark.usefixtures("unpainted")
def test_every_finding_above_its_threshold_has_its_map_and_the_others_none(run: Run) -> None:
    table = several_of(run, TASK)
    missed = 0
    for case_id in run.cases(TASK):
        rows = table[table["case"] == case_id]
        strip = finding_strip(run, run.case(TASK, case_id), run.attributions(TASK, case_id), ["random", "saliency"], rows)
        said = rows[rows["probability"] > rows["threshold"]].sort_values("probability", ascending=False)
        assert [t["label"] for t in strip["tiles"]] == list(said["target"])
        assert [t["right"] for t in strip["tiles"]] == list(said["truth"] == 1)
        for tile, probability in zip(strip["tiles"], said["probability"]):
            assert f"probability {probability:.3f}, threshold 0.500" in tile["said"]
            has = tile["label"] in run.case(TASK, case_id).regions
            assert ("with its box" in tile["alt"]) == has == (tile["box"] == "box outlined")
        wrong = rows[(rows["truth"] == 1) & ~(rows["probability"] > rows["threshold"])]
        assert [m.split(" (")[0] for m in strip["missed"]] == list(wrong.sort_values("probability", ascending=False)["target"])
        assert strip["method"] == ("saliency" if len(said) else "")  # a control is not what the model says
        missed += len(wrong)
    assert missed, "there is a finding to miss"


def test_the_gallery_begins_with_pictures_of_several_findings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "MOST", 1)
    monkeypatch.setattr(galleries, "LEAST", 1)
    monkeypatch.setattr(galleries, "most_findings", lambda table, ids, _most: most_findings(table, ids, 1))
    kept: list[dict] = []
    monkeypatch.setattr(html, "gallery", lambda *asked: kept.extend(gallery(*asked)) or kept)
    page = render(run)
    table = several_of(run, TASK)
    (first,) = kept
    counts = table[table["probability"] > table["threshold"]].groupby("case").size()
    assert counts[first["id"]] == counts.max() > 1
    assert first["id"] == most_findings(table, run.cases(TASK), 1)[0]
    assert len(first["findings"]["tiles"]) == counts.max()
    assert len(first["targets"]) == 1
    assert f"{counts.max()} findings above their threshold, each with its map by <b>saliency</b>" in page
    assert "p0" not in first["findings"]["picture"]["alt"]


def test_other_tasks_have_their_gallery_as_it_was(tmp_path: Path) -> None:
    other = build(tmp_path / "run", "classification", bare=True)
    assert not len(several_of(other, "classification"))
    rule = pd.DataFrame({"case": ["a", "a"], "target_index": [0, 1], "rule": ["arg max"] * 2})
    other.put_table("outcomes", "classification", rule)
    assert not len(several_of(other, "classification"))  # exclusive classes


@pytest.mark.usefixtures("unpainted")
def test_more_findings_than_tiles_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "MOST", 1)
    table = several_of(run, TASK)
    case = most_findings(table, run.cases(TASK), 1)[0]
    maps = run.attributions(TASK, case)
    rows = table[table["case"] == case]
    strip = finding_strip(run, run.case(TASK, case), maps, ["saliency"], rows)
    assert len(strip["tiles"]) == 1
    assert len(strip["unmapped"]) == strip["said"] - 1
    less = [a for a in maps if a.target["index"] == maps[0].target["index"]]
    again = finding_strip(run, run.case(TASK, case), less, ["saliency"], rows)
    assert len(again["unmapped"]) == again["said"] - 1  # one that was not explained
    assert torch.isfinite(maps[0].maps["image"]).all()
