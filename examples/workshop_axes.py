"""The multi-modal workshop's four axes on its own set-up, ours beside its published figures.

Pictures of 224², 300 cases to train on (seed 42), 30 to explain (seed 999), the workshop's epochs, batches and
learning rate; integrated gradients; then how the map is shared between the two pictures, what the model loses without
each, how the map overlaps the lesion, and how alike it is under noise of sd 0.01.

    python examples/workshop_axes.py --out build/workshop [--task regression] [--size 224] [--epochs 100]

The workshop's code and weights were not at hand: data and network are re-made from their description, so its figures
are something to compare with, not to reproduce.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pellucid as pc
from pellucid.api import evidence_of
from pellucid.data.synthetic import make
from pellucid.engine import Engine
from pellucid.evaluate.run import as_metric
from pellucid.study.run import run_recipe

WORKS: dict[str, dict[str, Any]] = {
    "regression": {"network": "two_stream", "inputs": ["t1", "t2"], "classes": ["severity"], "epochs": 100,
                   "batch": 16},
    "segmentation": {"network": "two_encoder_unet", "inputs": ["flair", "t1ce"], "classes": ["tumour"], "epochs": 80,
                     "batch": 8},
}  # fmt: skip
# From the workshop's own run.
PUBLISHED = {
    ("regression", "share of the map, t1"): 0.214, ("regression", "share of the map, t2"): 0.786,
    ("regression", "change without t1"): 0.0085, ("regression", "change without t2"): 0.6651,
    ("regression", "stability, Pearson r"): 0.171,
    ("segmentation", "share of the map, flair"): 0.257, ("segmentation", "share of the map, t1ce"): 0.743,
    ("segmentation", "Dice of the map with the lesion"): 0.0856, ("segmentation", "stability, Pearson r"): 0.923,
}  # fmt: skip


def axes(task: str, out: Path, *, size: int, epochs: int | None, explained: int) -> pd.DataFrame:
    """Train, explain the 30 cases, and measure: axis, mean, low, high (95 %, over cases), published."""
    work = WORKS[task]
    recipe = {
        "name": f"workshop-{task}", "seed": 0,
        "tasks": [{
            "name": task,
            "data": {"dataset": f"synthetic_{task}", "options": {"n": 300, "size": size, "seed": 42}},
            "model": {"network": work["network"], "inputs": work["inputs"], "classes": work["classes"], "task": task},
            "train": {"epochs": epochs or work["epochs"], "batch_size": work["batch"], "lr": 1e-3},
            "explain": {"methods": ["integrated_gradients"]}, "evaluate": {"metrics": ["gini"]},
        }],
    }  # fmt: skip
    run = run_recipe(recipe, out / task, resume=True, only=["data", "train"], quiet=True)
    performance = run.table("performance", task)
    predictor = pc.nets.load_predictor(run.folder / "model" / task)
    cases = make(task, n=explained, seed=999, size=size)
    # The workshop explains the mean of the output over the whole picture, and re-explains one noisy copy.
    whole = pc.RegionScore(0, region="image", reduce="mean", on="probability")
    target = whole if task == "segmentation" else pc.Score(0)
    asked = [as_metric(m) for m in ("attribution_share", "dice", "stability_pearson")]
    rows: list[dict[str, float]] = []
    for case in cases:
        a = pc.explain(predictor, case, method="integrated_gradients", target=target)
        limits = pc.Thresholds(draws=1, noise=0.01)
        evidence = evidence_of(Engine(predictor), case, [a], fill="zero", thresholds=limits)
        scores = {k: s.value for k, s in evidence.view(0).scores(asked).items()}
        row = {f"share of the map, {i}": scores[f"attribution_share[{i}]"] for i in predictor.inputs}
        row |= {f"change without {i}": abs(v) for i, v in evidence.modalities(0).ablation().items()}
        row |= {"Dice of the map with the lesion": scores["dice"], "stability, Pearson r": scores["stability_pearson"]}
        rows.append(row)
    table = pd.DataFrame(rows)
    draws = np.random.default_rng(0).integers(0, len(table), (2000, len(table)))
    found = []
    for name, values in table.items():
        drawn = np.nanmean(values.to_numpy()[draws], axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        found.append({"task": task, "axis": name, "mean": values.mean(), "low": low, "high": high,
                      "published": PUBLISHED.get((task, str(name)), np.nan)})  # fmt: skip
    held = performance[(performance["part"] == "test") & (performance["stratum"] == "all")]
    print(held[["metric", "class", "value", "low", "high", "n"]].to_string(index=False))
    return pd.DataFrame(found)


def main() -> None:
    """Both tasks, one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/workshop"))
    parser.add_argument("--task", choices=sorted(WORKS), action="append")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=None, help="the workshop's by default: 100 and 80")
    parser.add_argument("--explained", type=int, default=30)
    options = parser.parse_args()
    for task in options.task or sorted(WORKS):
        table = axes(task, options.out, size=options.size, epochs=options.epochs, explained=options.explained)
        options.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out / f"axes-{task}.csv", index=False)
        print(table.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
