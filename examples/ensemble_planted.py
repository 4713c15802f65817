"""Do ensembles of maps beat their members, where the answer is known?

The demo's network for planted lung nodules is trained, five methods explain new patients, and every rule combines
their maps, over blocks of 7 pixels (the default) and of 2 (the same share of a 64² picture as 7 is of the 224² of the
study that the rules come from). Each ensemble is compared with the median of its members, case by case, with an
interval over patients: of the members as they are, and of the members brought to the same blocks, so that what
combining does can be told from what the blocks do.

    python examples/ensemble_planted.py --out runs/ensemble-planted
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.statistics import draws_of, interval, mean
from pellucid.evaluate.cohort.blocks import about
from pellucid.evaluate.cohort.intervals import gap
from pellucid.refine.combine import COMBINES
from pellucid.study.demo import demo_recipe
from pellucid.study.recipe import Recipe
from pellucid.study.run import run_recipe

TASK = "classification"
METHODS: list[Any] = [
    "grad_cam", {"integrated_gradients": {"n_steps": 24}}, "smoothgrad", "gradient_shap",
    {"occlusion": {"window": 7, "stride": 3, "fill": 0.14}}, "random",
]  # fmt: skip
MEMBERS = ["grad_cam", "integrated_gradients", "smoothgrad", "gradient_shap", "occlusion"]
METRICS = ["deletion_auc", "insertion_auc", "pointing_game", "dice", "average_precision"]
BLOCKS = (7, 2)


def recipe(*, n: int, epochs: int, most: int, size: int = 64, methods: Sequence[Any] = METHODS) -> Recipe:
    """The demo's classification with every ensemble, over blocks of both sizes."""
    plain = demo_recipe(TASK).model_dump(mode="json")
    work = plain["tasks"][0]
    work["data"]["options"] |= {"n": n, "size": size}
    work["train"]["epochs"] = epochs
    work["explain"] |= {"methods": list(methods), "most": most}
    names = [m if isinstance(m, str) else next(iter(m)) for m in methods]
    weights = {"calibrate": "val", "metric": "deletion_auc", "most": 16}
    of = [m for m in MEMBERS if m in names]
    work["refine"] = [
        {"ensemble": {"of": of, "combine": c, "block": b, "label": f"{c}_{b}"} | (weights if c == "weighted" else {})}
        for b in BLOCKS for c in COMBINES
    ] + [  # each member alone, clipped and over the same blocks
        {"ensemble": {"of": of, "combine": "weighted", "weights": {m: 1.0}, "block": b, "label": f"{m}_{b}"}}
        for b in BLOCKS for m in of
    ]  # fmt: skip
    work["evaluate"] |= {"metrics": METRICS, "checks": "cheap", "findings": False, "steps": 10}
    return Recipe.model_validate(plain | {"tasks": [work | {"regions": []}]})


def against_members(scores: pd.DataFrame, members: Sequence[str], *, seed: int = 0) -> pd.DataFrame:
    """Every ensemble against the median of its members, as they are and over the same blocks.

    Args:
        scores: of a run; an ensemble is called ``rule_block``, a member over blocks ``member_block``.
        members: names of the members.
        seed: of the bootstrap.

    Returns:
        One row per metric and ensemble: its mean over the ``n`` cases in which it has a value, and in the better
        direction with 95 % intervals over patients ``gain`` over the median of the members of each case, and ``alike``
        over the median of the members over the same blocks.
    """
    rows = []
    for metric, own in scores.groupby("metric", sort=False):
        wide = own.groupby(["case", "group", "method"])["value"].mean().unstack("method")
        _, groups = np.unique(wide.index.get_level_values("group"), return_inverse=True)
        draws = draws_of(int(groups.max()) + 1, 2000, seed)
        sign = 1.0 if about(str(metric))[0] == "higher" else -1.0
        middle = wide[list(members)].median(axis=1).to_numpy(float)
        for combine in COMBINES:
            for block in BLOCKS:
                value = wide[f"{combine}_{block}"].to_numpy(float)
                alike = wide[[f"{m}_{block}" for m in members]].median(axis=1).to_numpy(float)
                row = {
                    "metric": metric, "ensemble": f"{combine}_{block}", "mean": mean(value),
                    "n": int(np.isfinite(value).sum()), "median": mean(middle), "median_alike": mean(alike),
                }  # fmt: skip
                for what, rival in (("gain", middle), ("alike", alike)):
                    gained = sign * gap(value, rival)
                    low, high, _ = interval(gained, groups, draws)
                    row |= {what: mean(gained), f"{what}_low": low, f"{what}_high": high}
                rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Train, explain, combine, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ensemble-planted"))
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cases", type=int, default=40)
    options = parser.parse_args()
    run = run_recipe(recipe(n=options.n, epochs=options.epochs, most=options.cases), options.out, resume=True)
    found = against_members(run.table("scores", TASK), MEMBERS)
    for metric, own in found.groupby("metric", sort=False):
        print(f"\n{metric}: median member {own['median'].iloc[0]:.3f}")
        print("| ensemble | n | mean | over the median member | that over the same blocks | over it |")
        print("|---|---|---|---|---|---|")
        for r in own.to_dict("records"):
            gain, alike = (f"{r[k]:+.3f} [{r[f'{k}_low']:+.3f}, {r[f'{k}_high']:+.3f}]" for k in ("gain", "alike"))
            print(f"| `{r['ensemble']}` | {r['n']} | {r['mean']:.3f} | {gain} | {r['median_alike']:.3f} | {alike} |")
    performance = run.table("performance", TASK)
    tested = performance[performance["part"] == "test"]
    print(tested[["metric", "class", "value", "low", "high"]].to_string(index=False))
    print(run.table("ensemble_weights", TASK)[["ensemble", "method", "gain", "weight", "weight_low", "weight_high"]])


if __name__ == "__main__":
    main()
