"""The recipe of the lung segmenter, as it is, on drawn pictures in the layout that it names."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from rich.console import Console

from pellucid.data import zones
from pellucid.nets import load_predictor
from pellucid.study.recipe import load_recipe
from pellucid.study.run import failures, run_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "chest-lungs.yaml"


def drawn(number: int) -> Image.Image:
    x = np.random.default_rng(number).normal(160, 9, (32, 32))
    x[6:26, 4:13] -= 110
    x[6:26, 19:28] -= 110
    return Image.fromarray(x.clip(0, 255).astype(np.uint8))


def make_data(root: Path, n: int = 40) -> None:
    """The pictures in a zip with their table, and two boxed originals, one of a patient of the former."""
    facts = {"age": 50, "sex": "F", "view": "AP"}
    with zipfile.ZipFile(root / "images_224.zip", "w") as archive:
        for i in range(n):
            buffer = io.BytesIO()
            drawn(i).save(buffer, "PNG")
            archive.writestr(f"{i}.png", buffer.getvalue())
    rows = [{"file": f"{i}.png", "pneumonia": i % 2, "patient_id": i, **facts} for i in range(n)]
    pd.DataFrame(rows).to_csv(root / "labels_224.csv", index=False)
    (root / "boxed_1024").mkdir()
    for i in (0, 100):
        drawn(i).save(root / "boxed_1024" / f"b{i}.png")
    boxed = [{"file": f"b{i}.png", "patient_id": i, "folder_class": "Pneumonia", **facts} for i in (0, 100)]
    pd.DataFrame(boxed).to_csv(root / "boxed_images.csv", index=False)


def test_the_recipe_trains_on_classical_masks_and_leaves_boxed_patients_out(tmp_path, monkeypatch) -> None:
    make_data(tmp_path)
    # The real zone takes 0.2 s a picture, and has tests of its own.
    monkeypatch.setitem(zones.ZONES, "lungs_classical", lambda x: x < x.mean())
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    (task,) = recipe["tasks"]
    assert "classical masks" in task["title"], "the report has to say whose masks they are"
    for source in (task["data"], *task["also"].values()):
        source["root"] = str(tmp_path)
        source["options"]["size"] = 32
    task["model"]["options"]["channels"] = [4, 8]
    task["train"] |= {"epochs": 4, "lr": 0.03}
    run = run_recipe(load_recipe(recipe), tmp_path / "run", quiet=True, console=Console(quiet=True))
    assert not failures(run)
    data = pd.read_parquet(run.folder / "data.parquet")
    assert set(data.loc[data["part"] == "boxed", "case"]) == {"b0", "b100"}
    assert "0" not in set(data.loc[data["part"] != "boxed", "case"])
    assert load_predictor(run.folder / "model" / "lungs").classes == ("lungs",)
    scores = pd.read_parquet(run.folder / "performance.parquet")
    dice = scores[(scores["metric"] == "dice") & (scores["part"] == "test")]
    assert dice["value"].iloc[0] > 0.8
