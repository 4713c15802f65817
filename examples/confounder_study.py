"""How often a run finds a letter in the corner that its model uses, and how often it cries wolf.

One cohort of synthetic nodules; for every seed other patients train and test the model, and for every strength of the
shortcut (how often the letter agrees with the truth) another model is trained. Whether a model does use the letter is
known exactly: the same picture without it is at hand. The finding is not told: the case's regions are taken away.

    python examples/confounder_study.py --seeds 5 --out build/confounder
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pellucid.api import explain_many
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.synthetic import FEATURES
from pellucid.data.synthetic.make import make
from pellucid.data.synthetic.parts import stamp, token_mask
from pellucid.engine import Engine
from pellucid.evaluate.cohort.hotspots import density
from pellucid.evaluate.cohort.shortcut import shortcuts
from pellucid.report.style import canvas, house_style
from pellucid.train import fit

SIZE, TRAIN, VAL, TEST = 64, 360, 40, 24
METHODS = ["saliency", "input_x_gradient", "grad_cam", "random", "edge"]
LEVELS: dict[str, float | None] = {"no letter": None, "0.5": 0.5, "0.7": 0.7, "0.85": 0.85, "1.0": 1.0}
USED = 0.1  # a case hangs on the letter if without it its probability changes by so much, or its answer flips


def lettered(cases: list[Case], agreement: float | None, rng: np.random.Generator) -> list[Case]:
    """The cases with the letter R in the corner of those that "are malignant", which is true as often as asked."""
    found = []
    for case in cases:
        shown = agreement is not None and (int(case.truth) == 1) == (rng.random() < agreement)
        picture = case.inputs["ct"][0].numpy().copy()
        if shown:
            stamp([picture], 1.0)
        inputs = {**case.inputs, "ct": torch.from_numpy(picture[None])}
        found.append(case.replace(inputs=inputs, meta={**case.meta, "letter": shown}))
    return found


def probabilities(engine: Engine, cases: list[Case]) -> np.ndarray:
    """Of the second class."""
    return engine.predictor.probabilities(engine.predict(cases))[:, 1].numpy()


def one(plain: list[Case], agreement: float | None, seed: int) -> tuple[dict[str, Any], Any]:
    """Train, explain and look for the shortcut; the row of the table, and what the picture needs."""
    rng = np.random.default_rng([seed, 1])
    plain = [plain[i] for i in rng.permutation(len(plain))]
    cases = lettered(plain, agreement, rng)
    train, val, test = cases[:TRAIN], cases[TRAIN : TRAIN + VAL], cases[TRAIN + VAL :]
    predictor: Predictor = fit(
        train, val, network="image_tabular", inputs=["ct", "ehr"], task="classification",
        classes=["benign", "malignant"], features={"ehr": list(FEATURES)}, epochs=10, batch_size=16, lr=2e-3,
        seed=seed, device="cpu", progress=False,
    ).predictor  # fmt: skip
    engine = Engine(predictor, device="cpu")
    looked, without = test[:TEST], plain[TRAIN + VAL :][:TEST]
    right = float(np.mean((probabilities(engine, test) > 0.5) == np.array([c.truth for c in test])))
    before, after = probabilities(engine, looked), probabilities(engine, without)
    change = np.abs(before - after)
    hang = {c.id for c, p, q in zip(looked, before, after) if abs(p - q) >= USED or (p > 0.5) != (q > 0.5)}
    maps: dict[str, list[Attribution]] = {}
    for a in explain_many(predictor, looked, methods=METHODS, seed=seed, device="cpu"):
        maps.setdefault(a.case_id, []).append(a)
    row: dict[str, Any] = {
        "agreement": agreement, "seed": seed, "accuracy": right, "shows": sum(c.meta["letter"] for c in looked),
        "hang": len(hang), "change": float(change.sum() / max(1, sum(c.meta["letter"] for c in looked))),
    }  # fmt: skip
    token = token_mask(SIZE) > 0
    rows = None
    for outline, regions in (("found", ()), ("given", ("anatomy",))):
        blind = [c.replace(regions={k: c.regions[k] for k in regions}) for c in looked]
        rows = shortcuts(engine, blind, maps.__getitem__, seed=seed)
        wolf, hit = 0, None
        for r in rows[rows["kind"] == "shortcut"].to_dict("records"):
            box = tuple(slice(*map(int, part.split(":"))) for part in r["box"].split(","))
            if token[box].sum() >= 0.5 * token.sum() and agreement is not None:
                hit = r
            else:
                wolf += 1
        named = set(hit["cases"].split(",")) if hit else set()
        row |= {
            f"{outline} hit": hit is not None, f"{outline} other": wolf, f"{outline} box": hit["box"] if hit else "",
            f"{outline} covered": float(_covered(hit, token)) if hit else np.nan,
            f"{outline} precision": len(named & hang) / len(named) if named else np.nan,
            f"{outline} recall": len(named & hang) / len(hang) if hit and hang else np.nan,
            f"{outline} value": hit["value"] if hit else np.nan, f"{outline} forwards": int(rows["forwards"].iloc[0]),
        }  # fmt: skip
    return row, (looked, maps, rows)


def _covered(hit: dict[str, Any], token: np.ndarray) -> float:
    box = tuple(slice(*map(int, part.split(":"))) for part in hit["box"].split(","))
    return token[box].sum() / token.sum()


def draw(seen: dict[str, Any], table: pd.DataFrame, path: Path) -> None:
    """Mean map with the box, a case with and one without the letter, the run without a letter, and the rates."""
    with house_style():
        figure: Figure = canvas(9.6, 5.4, dpi=110)
        axes = figure.subplots(2, 4, width_ratios=(1, 1, 1, 1.15))
        for line, level in zip(axes, ("1.0", "no letter")):
            looked, maps, rows = seen[level]
            mean = np.mean([d for i in maps for a in maps[i] if a.method == "input_x_gradient"
                            for d in [density(a, (SIZE, SIZE))] if d is not None], axis=0)  # fmt: skip
            named = set(",".join(rows["cases"]).split(","))
            inside = [c for c in looked if c.id in named]
            shown = [*inside[:1], *[c for c in looked if c.id not in named]][:2]
            line[0].imshow(mean, cmap="magma", vmax=np.quantile(mean, 0.995))
            what = "letter agrees always" if inside else "no letter"
            line[0].set_title(f"mean map, {what}")
            for axis, case in zip(line[1:3], shown):
                axis.imshow(case.inputs["ct"][0], cmap="gray", vmin=0, vmax=1)
                axis.set_title("a case that is named" if case.id in named else "a case that is not")
            for axis in line[:3]:
                axis.set_axis_off()
                for box in filter(None, rows["box"]):
                    (a, b), (c, d) = (map(int, part.split(":")) for part in box.split(","))
                    style = {"fill": False, "edgecolor": "#56b4e9", "linewidth": 1.4}
                    axis.add_patch(_rectangle((c - 0.5, a - 0.5), d - c, b - a, **style))
        levels = list(LEVELS)
        by = {k: table[table["agreement"].isna() if v is None else table["agreement"] == v] for k, v in LEVELS.items()}
        for axis, name, title in ((axes[0, 3], "hit", "runs that name the letter"), (axes[1, 3], "hang", "")):
            if name == "hit":
                axis.bar(levels, [100 * by[k]["found hit"].mean() for k in levels], color="#0072b2")
                axis.set(title=f"{title}, %", ylim=(0, 119), yticks=(0, 50, 100))
                for i, k in enumerate(levels):
                    hits = by[k]["found hit"]
                    axis.text(i, 100 * hits.mean() + 3, f"{int(hits.sum())} of {len(hits)}", ha="center", fontsize=7.5)
            else:
                for i, k in enumerate(levels):
                    axis.plot([i] * len(by[k]), by[k]["hang"], "o", color="#0072b2", alpha=0.5, markersize=4)
                axis.set_xticks(range(len(levels)), levels)
                axis.set(title=f"cases of {TEST} whose answer hangs on it", ylim=(-0.8, TEST * 0.7))
                axis.set_yticks(range(0, int(TEST * 0.7), 4))
                axis.set_xlabel("how often the letter agrees with the truth")
            axis.tick_params(axis="x", labelsize=7)
        figure.savefig(path)


def _rectangle(*args: Any, **kwargs: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(*args, **kwargs)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/confounder"))
    parser.add_argument("--redraw", action="store_true", help="draw again from the table, training two models only")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plain = make("classification", n=TRAIN + VAL + 80, seed=42, size=SIZE, table_signal=0.1)
    if options.redraw:
        drawn = {name: one(plain, LEVELS[name], 0)[1] for name in ("1.0", "no letter")}
        draw(drawn, pd.read_csv(options.out / "confounder.csv"), options.out / "confounder.png")
        return
    rows, seen = [], {}
    for seed in range(options.seeds):
        for name, agreement in LEVELS.items():
            row, what = one(plain, agreement, seed)
            rows.append(row)
            if seed == 0:
                seen[name] = what
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
            pd.DataFrame(rows).to_csv(options.out / "confounder.csv", index=False)
    table = pd.DataFrame(rows)
    shown = table.assign(agreement=table["agreement"].fillna(-1)).groupby("agreement").mean(numeric_only=True)
    print(shown.drop(columns="seed").round(2).T.to_string())
    draw(seen, table, options.out / "confounder.png")


if __name__ == "__main__":
    main()
