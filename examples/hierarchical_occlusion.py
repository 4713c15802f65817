"""Hierarchical occlusion against dense occlusion at its finest level: what a twentieth of the evaluations loses.

Reads the models of two runs; the cases are others than those of the training. Prints a table for each: means over the
cases, and the paired difference from dense occlusion with its 95 % bootstrap interval.

    pellucid demo --task classification --out runs/demo
    pellucid run recipes/chest-small.yaml --out runs/chest-small
    python examples/hierarchical_occlusion.py --demo runs/demo --cases 16
    python examples/hierarchical_occlusion.py --chest runs/chest-small --data ../shared/data/chestxray_nih --cases 8
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import pellucid as pc
from pellucid.evaluate.cohort.compare import compare

WAYS: dict[str, dict[str, Any]] = {
    "default": {}, "sign: for": {"sign": "for"}, "combine: sum": {"combine": "sum"},
    "threshold: 0.3": {"threshold": 0.3},
}  # fmt: skip
METRICS = {
    "deletion_auc": "deletion AUC", "insertion_auc": "insertion AUC", "pointing_game": "pointing",
    "dice_matched": "Dice",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A model, its cases, and what is asked."""

    predictor: pc.Predictor
    cases: list[pc.Case]
    target: str
    region: str
    dense: dict[str, int]
    fill: Any
    options: dict[str, Any] = field(default_factory=dict)


def synthetic(run: Path, count: int) -> Setting:
    """Nodules of the demo's kind, drawn anew; the windows are no larger than a nodule's surroundings."""
    cases = pc.load_dataset("synthetic_classification", n=count, size=64, seed=11, table_signal=0.1)
    levels = {"levels": [(32, 8), (16, 4), (7, 1)]}
    model = pc.load_predictor(run / "model" / "classification")
    return Setting(model, list(cases), "predicted", "lesion", {"window": 7, "stride": 1}, 0.14, levels)


def chest(run: Path, data: Path, count: int, skip: int = 6) -> Setting:
    """Chest X-rays with boxes of readers, in 128²; the first six were looked at when defaults were chosen."""
    cases = pc.load_dataset(
        "manifest", data, csv="boxed_images.csv", images="boxed_1024", label="folder_class",
        classes=["No Finding", "Pneumonia"], group="patient_id", boxes="boxes.csv",
        box_sources={"NIH BBox_List_2017": "reader_nih", "RSNA 2018 stage 2": "reader_rsna"}, size=128, channels=1,
    )  # fmt: skip
    boxed = [c for c in cases if "boxes" in c.regions and bool(c.region("boxes").any())]
    model = pc.load_predictor(run / "model" / "pneumonia")
    return Setting(model, boxed[skip : skip + count], "pneumonia", "boxes", {"window": 8, "stride": 2}, "mean")


def measure(s: Setting) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores ``case, group, method, metric, value``, and the evaluations of each map."""
    scores, asked = [], []
    for case in s.cases:
        maps = {"dense": pc.explain(s.predictor, case, "occlusion", s.target, fill=s.fill, **s.dense)}
        for name, options in WAYS.items():
            method = {"hierarchical_occlusion": s.options | options | {"fill": s.fill}}
            (maps[name],) = pc.explain_many(s.predictor, [case], methods=[method], targets=[s.target])
        found = pc.evaluate(
            s.predictor, case, list(maps.values()), list(METRICS), fill=s.fill, region=s.region
        )
        for (name, a), values in zip(maps.items(), found):
            asked.append({"case": case.id, "method": name, "windows": a.cost.forwards - 1})
            scores += [
                {"case": case.id, "group": case.group, "method": name, "metric": k, "value": v}
                for k, v in values.items()
            ]
    return pd.DataFrame(scores), pd.DataFrame(asked)


def table(s: Setting) -> str:
    """Markdown."""
    scores, asked = measure(s)
    windows = asked.groupby("method")["windows"].mean()
    rows = compare(scores, controls=("dense",)).set_index(["metric", "method"])
    lines = [
        f"{len(s.cases)} cases of {scores['group'].nunique()} patients", "",
        "| map | windows | share | " + " | ".join(f"{said} | less dense" for said in METRICS.values()) + " |",
        "|---" * (3 + 2 * len(METRICS)) + "|",
    ]  # fmt: skip
    for name in ("dense", *WAYS):
        cells = [name, f"{windows[name]:.0f}", f"{windows[name] / windows['dense']:.1%}"]
        for metric in METRICS:
            r = rows.loc[metric, name]
            gap = f"{r.difference:+.3f} ({r.difference_low:+.3f} to {r.difference_high:+.3f})"
            cells += [f"{r['mean']:.3f}", "" if name == "dense" else gap]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Any = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="run of the demo's classification")
    parser.add_argument("--chest", type=Path, help="run of recipes/chest-small.yaml")
    parser.add_argument("--data", type=Path, help="the chest X-rays")
    parser.add_argument("--cases", type=int, default=12)
    chosen = parser.parse_args(arguments)
    if chosen.demo:
        print("Synthetic nodules, " + table(synthetic(chosen.demo, chosen.cases)))
    if chosen.chest:
        print("Chest X-rays, " + table(chest(chosen.chest, chosen.data, chosen.cases)))


if __name__ == "__main__":
    main()
