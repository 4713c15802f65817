"""Maps before and after a mask: which are shown, and that the page says what the mask hides."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pellucid.report import build_report
from pellucid.report.masked import MOST, masked_gallery
from pellucid.study.run import run_recipe
from pellucid.study.store import Run

RECIPE = {
    "name": "masked",
    "tasks": [
        {
            "name": "one",
            "data": {"dataset": "synthetic_dermoscopy", "options": {"n": 12, "size": 32}, "fractions": [0.34, 0.33, 0.33]},
            "model": {"network": "resnet18", "options": {"in_channels": 3, "classes": 2}, "inputs": ["image"],
                      "task": "classification", "classes": ["benign", "malignant"]},
            "train": {"epochs": 1, "batch_size": 8},
            "explain": {"methods": ["saliency", "random"], "targets": ["benign", "malignant"],
                        "cases": "test"},
            "refine": [{"segx": {"mask": "lesion"}}],
            "evaluate": {"metrics": ["segu", "mass_in_mask", "pointing_game"], "checks": "cheap", "findings": False},
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_recipe(RECIPE, tmp_path_factory.mktemp("masked") / "run", quiet=True)


@pytest.fixture(scope="module")
def shown(run: Run) -> list[dict[str, Any]]:
    return masked_gallery(run, "one", ["saliency", "random"])


def test_true_and_false_positives_take_turns(run: Run, shown: list[dict[str, Any]]) -> None:
    assert len(shown) == MOST
    table = run.table("outcomes", "one").set_index(["case", "target"])["outcome"]
    assert [table[(s["case"], s["label"])] for s in shown] == [s["outcome"] for s in shown]
    kinds = set(table.unique())
    assert {s["outcome"] for s in shown[: len(kinds)]} == kinds
    assert all([strip["method"] for strip in s["strips"]] == ["saliency"] for s in shown)


def test_each_strip_says_what_its_mask_hides_and_the_certainty_of_the_unmasked_map(run: Run, shown: list[dict[str, Any]]) -> None:
    scores = run.table("scores", "one").set_index(["case", "method", "target", "metric"])["value"]
    for s in shown:
        for strip in s["strips"]:
            hidden = 1 - scores[(s["case"], strip["method"], s["label"], "mass_in_mask")]
            assert f"hides {100 * hidden:.0f} % of the evidence" in strip["said"]
            (said,) = re.findall(r"SegU certainty ([\d.]+[\d])", strip["said"])
            assert float(said) == pytest.approx(scores[(s["case"], strip["method"], s["label"], "segu")], abs=6e-4)
            assert ("hides evidence" in " ".join(strip["flags"])) == (hidden > 0.5)
            assert strip["uri"].startswith("data:image/png;base64,")


def test_it_is_on_the_page_and_the_masked_maps_are_not_in_the_other_gallery_too(run: Run) -> None:
    page = build_report(run.folder).read_text(encoding="utf-8")
    section = page.split("<h3>Before and after the mask</h3>")[1].split("<h3>")[0]
    assert section.count("<img") == MOST
    assert "true positive" in section
    gallery = page.split("<h3>Gallery</h3>")[1].split("<h3>")[0]
    assert "segx(" not in gallery


def test_nothing_without_masked_maps(run: Run, tmp_path) -> None:
    plain = {**RECIPE, "tasks": [{**RECIPE["tasks"][0], "refine": [], "explain": {"methods": ["saliency"], "most": 1}}]}
    other = run_recipe(plain, tmp_path / "plain", quiet=True)
    assert masked_gallery(other, "one", []) == []
