"""Are gradient methods more faithful than perturbation methods on a 3-D segmentation?

A small 3-D U-Net learns the eight organs of synthetic CT volumes. On patients that it has not seen, three methods of
the gradient family and three of the perturbation family explain several organs; the controls know nothing of the model.
All maps of a case are measured on the same copies of it: faithfulness correlation over random voxels and over random
sets of cubes, deletion and insertion. Every pair of a gradient and a perturbation method is compared case by case. The
map of integrated gradients is also averaged over the cubes that KernelSHAP has: what is left of a difference then is
not one of resolution.

    python examples/volume_faithfulness.py --out runs/volume-faithfulness
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pellucid import Attribution, Case, Predictor, RegionScore, explain_many, load_dataset
from pellucid.api import evidence_of
from pellucid.core.metric import METRICS as KNOWN
from pellucid.core.region import partition
from pellucid.core.statistics import draws_of, holm, interval, mean
from pellucid.data.synthetic import ORGANS
from pellucid.engine import Engine
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.intervals import gap, signed_rank
from pellucid.evaluate.run import as_metric, base_name, score_table
from pellucid.train.fit import fit

CUBES = 64
COARSE = "integrated_gradients in cubes"
GRADIENT: dict[str, dict[str, Any]] = {
    "saliency": {"keep_sign": True},  # the gradient as it is, as the claim's study has it
    "smoothgrad": {},
    "integrated_gradients": {"baseline": "mean", "n_steps": 20},
}
PERTURBATION: dict[str, dict[str, Any]] = {
    "kernel_shap": {"groups": "cubes", "segments": CUBES, "fill": "mean"},
    "occlusion": {"window": 12, "stride": 6, "fill": "mean"},
    "feature_ablation": {"groups": "cubes", "segments": CUBES, "fill": "mean"},
}
CONTROLS: dict[str, dict[str, Any]] = {"random": {}, "edge": {}}
METRICS: list[Any] = [
    "faithfulness_correlation", {"faithfulness_correlation": {"by": "cubes", "segments": CUBES}}, "deletion_auc",
    "insertion_auc",
]  # fmt: skip
TARGETS = ("right lung", "heart", "liver", "spine")


def trained(cases: Sequence[Case], validation: Sequence[Case], *, epochs: int, seed: int) -> Predictor:
    """The network of the demo's volume."""
    return fit(
        cases, validation, network="unet_3d", inputs=["ct"], task="segmentation", epochs=epochs, classes=list(ORGANS),
        options={"classes": len(ORGANS)}, batch_size=2, lr=1e-2, seed=seed, progress=False,
    ).predictor  # fmt: skip


Rows = list[dict[str, Any]]


def measured(predictor: Predictor, case: Case, targets: Sequence[str], *, steps: int) -> tuple[Rows, Rows]:
    """Scores of all maps of a case on the same copies of it, and what each map took."""
    methods = [{name: options} for name, options in (GRADIENT | PERTURBATION | CONTROLS).items()]
    maps = explain_many(predictor, [case], methods=methods, targets=[RegionScore(t) for t in targets])
    maps += [in_cubes(a, case) for a in maps if a.method == "integrated_gradients"]
    evidence = evidence_of(Engine(predictor), case, maps, steps=steps, fill="mean")
    scores, _ = score_table(evidence, [as_metric(m) for m in METRICS])
    costs = [
        {"case": case.id, "method": a.method, "target": a.target["label"], "forwards": a.cost.forwards,
         "backwards": a.cost.backwards, "seconds": a.cost.seconds}
        for a in maps
    ]  # fmt: skip
    return scores, costs


def in_cubes(a: Attribution, case: Case) -> Attribution:
    """A map, its mean over each cube on all of the cube's voxels."""
    ids = partition(case, ("ct",), "cubes", segments=CUBES).labels["ct"].flatten()
    values = a.spatial("ct").double().flatten()
    means = torch.zeros(int(ids.max()) + 1, dtype=torch.double).index_add_(0, ids, values) / torch.bincount(ids)
    return a.replace(maps={"ct": means[ids].view(1, *case.spatial).float()}, method=COARSE)


def pairs(scores: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Gradient less perturbation method, and the mean of the one family less that of the other.

    A case's value is the mean over its targets; differences have the sign in which more is better for the gradient
    method. Intervals are 95 %, over cases; ``p`` is Wilcoxon's, Holm-corrected over the pairs of a metric.
    """
    rows = []
    for metric, own in scores.groupby("metric", sort=False):
        wide = own.groupby(["case", "method"], sort=False)["value"].mean().unstack("method")
        sign = 1.0 if KNOWN[base_name(str(metric))].direction == "higher" else -1.0
        groups = np.arange(len(wide))
        draws = draws_of(len(wide), n_boot, seed)
        of = {str(m): wide[m].to_numpy(float) for m in wide}
        of |= {"gradient family": wide[list(GRADIENT)].mean(axis=1).to_numpy(float)}
        of |= {"perturbation family": wide[list(PERTURBATION)].mean(axis=1).to_numpy(float)}
        asked = [(a, b) for a in GRADIENT for b in PERTURBATION] + [(COARSE, "kernel_shap")]
        asked.append(("gradient family", "perturbation family"))
        mine = []
        for a, b in asked:
            gains = sign * gap(of[a], of[b])
            low, high, _ = interval(gains, groups, draws)
            mine.append(
                {"metric": metric, "gradient": a, "perturbation": b, "n": int(np.isfinite(gains).sum()),
                 "difference": mean(gains), "low": low, "high": high, "p": signed_rank(gains, groups)}
            )  # fmt: skip
        corrected = holm(np.array([r["p"] for r in mine[:-1]]))
        for row, p in zip(mine, corrected):  # that of the two families stands alone
            row["p"] = float(p)
        rows += mine
    return pd.DataFrame(rows)


def dice(predictor: Predictor, cases: Sequence[Case]) -> pd.Series:
    """The network's Dice by organ, mean over the cases."""
    engine, rows = Engine(predictor), []
    for case in cases:
        found, truth = predictor.labels(engine.outputs([case])[0][None])[0], case.truth
        assert isinstance(truth, torch.Tensor)
        row = {}
        for k, organ in enumerate(ORGANS[1:], 1):
            size = int((found == k).sum() + (truth == k).sum())
            row[organ] = 2 * int(((found == k) & (truth == k)).sum()) / size if size else np.nan
        rows.append(row)
    return pd.DataFrame(rows).mean()


def study(
    *, train: int, test: int, size: int, epochs: int, steps: int = 8, targets: Sequence[str] = TARGETS, seed: int = 0
) -> tuple[Predictor, list[Case], pd.DataFrame, pd.DataFrame]:
    """The trained network, the cases that were held out, the scores and the costs."""
    cases = load_dataset("synthetic_volume", n=train + 4 + test, seed=42, size=size)
    predictor = trained(cases[:train], cases[train : train + 4], epochs=epochs, seed=seed)
    held_out = cases[train + 4 :]
    scores, costs = [], []
    for case in held_out:
        mine, cost = measured(predictor, case, targets, steps=steps)
        scores += mine
        costs += cost
    return predictor, held_out, pd.DataFrame(scores), pd.DataFrame(costs)


def main() -> None:
    """Train, explain, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/volume-faithfulness"))
    parser.add_argument("--train", type=int, default=24)
    parser.add_argument("--test", type=int, default=16)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    start = time.perf_counter()
    predictor, held_out, scores, costs = study(
        train=options.train, test=options.test, size=options.size, epochs=options.epochs
    )
    options.out.mkdir(parents=True, exist_ok=True)
    tables = {"scores": scores, "costs": costs, "methods": compare(scores), "pairs": pairs(scores)}
    for name, table in tables.items():
        table.to_csv(options.out / f"{name}.csv", index=False)
    print(dice(predictor, held_out).round(3).to_string())
    for metric, own in tables["methods"].groupby("metric", sort=False):
        print(f"\n{metric}\n\n| method | mean | better than random | p against the better control |\n|---|---|---|---|")
        for r in own.to_dict("records"):
            better = "" if pd.isna(r["better_than_random"]) else "yes" if r["better_than_random"] else "no"
            print(f"| `{r['method']}` | {r['mean']:.3f} [{r['low']:.3f}, {r['high']:.3f}] | {better} | {r['p']:.2g} |")
    print("\n| metric | gradient | perturbation | n | difference | p |\n|---|---|---|---|---|---|")
    for r in tables["pairs"].to_dict("records"):
        print(
            f"| {r['metric']} | {r['gradient']} | {r['perturbation']} | {r['n']} | {r['difference']:+.3f} "
            f"[{r['low']:+.3f}, {r['high']:+.3f}] | {r['p']:.2g} |"
        )
    print(costs.groupby("method", sort=False)[["forwards", "backwards", "seconds"]].mean().round(2).to_string())
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
