"""A further source may have another kind of truth than the task: it is not measured, and the run says so."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from pellucid.study.run import run_recipe

SKIN = {"dataset": "synthetic_dermoscopy", "options": {"n": 12, "size": 16, "truth": "mask"}}
RECIPE = {
    "name": "truths",
    "tasks": [
        {
            "name": "lesions",
            "data": {**SKIN, "fractions": [0.5, 0.25, 0.25]},
            "also": {"labelled": {"dataset": "synthetic_dermoscopy", "options": {"n": 3, "size": 16, "seed": 7}}},
            "model": {"network": "unet", "options": {"in_channels": 3, "classes": 1, "channels": [4, 8]},
                      "inputs": ["image"], "task": "segmentation", "classes": ["lesion"]},
            "train": {"epochs": 1, "batch_size": 4},
        }
    ],
}  # fmt: skip


def test_labels_are_no_masks(tmp_path) -> None:
    said = Console(file=StringIO(), width=200)
    run = run_recipe(RECIPE, tmp_path / "run", quiet=True, console=said)
    assert set(run.table("performance", "lesions")["part"]) == {"val", "test"}
    assert "3 cases of 'labelled' have no mask as their truth and are not measured" in said.file.getvalue()
    assert "explain" not in said.file.getvalue(), "a stage of which nothing is asked is not reported"
