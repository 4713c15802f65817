"""Does each metric rank maps as it should? On data whose answer is known: oracle, a good method, a random map.

The model is additive by construction: two pictures (or volumes), each pixel through the same small network, everything
added up. So the contribution of every pixel is known exactly (``g(x_i) − g(fill_i)``: the only map that all axioms of
Shapley allow), for the model as it is and for one with random weights. The signal is a bright lesion in both pictures,
of which the first counts more; dark discs with sharp edges distract.

    python examples/meta_evaluation.py [--cases 8] [--write docs/explanation-meta-evaluation.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor, nn

from pellucid.api import controls, reexplain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.predictor import Predictor
from pellucid.core.target import Bound, ClassScore
from pellucid.engine import Engine, Problem
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric
from pellucid.explain.make import as_explainer

KINDS = ("oracle", "occlusion", "random")
MISSING = {"shuffled": "a model trained on shuffled labels", "cohort": "other cases"}  # what is not given to them here
START, END = "<!-- table: begin -->", "<!-- table: end -->"


class Additive(nn.Module):
    """Class 1 for bright pixels: every pixel's evidence is known."""

    def __init__(self, axes: int, pixels: int) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.a, self.b = (nn.Sequential(conv(1, 4, 1), nn.ReLU(), conv(4, 2, 1, bias=False)) for _ in "ab")
        gain = 600.0 / pixels
        with torch.no_grad():
            for part, weight in ((self.a, 1.0), (self.b, 0.4)):
                part[0].weight.copy_(torch.tensor([1.0, 0.05, -0.05, 0.02]).view_as(part[0].weight))
                part[0].bias.copy_(torch.tensor([-0.6, 0.0, 0.05, 0.0]))
                part[2].weight.zero_()
                part[2].weight[1, 0] = gain * weight
                part[2].weight[0, 1] = 0.002 * gain * weight
        self.offset = nn.Parameter(torch.tensor([0.0, -1.5]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits of two classes."""
        return self.a(a).flatten(2).sum(2) + self.b(b).flatten(2).sum(2) + self.offset


def scene(seed: int, shape: tuple[int, ...]) -> Case:
    """A smooth background, three dark discs with sharp edges, a bright lesion in both pictures."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    side = min(shape)

    def disc(radius: float) -> np.ndarray:
        centre = draw.uniform(radius + 1, np.array(shape) - radius - 2)
        return np.sqrt(((grid - centre.reshape(-1, *[1] * len(shape))) ** 2).sum(0)) <= radius

    lesion = disc(side * draw.uniform(0.1, 0.16))
    away = ~ndimage.binary_dilation(lesion, iterations=2)
    dark = [disc(side * draw.uniform(0.08, 0.14)) & away for _ in range(3)]
    pictures = {}
    for name in "ab":
        smooth = ndimage.gaussian_filter(draw.normal(size=shape), side / 12)
        x = 0.3 + 0.12 * (smooth - smooth.mean()) / smooth.std()
        x = np.clip(x, 0.05, 0.55)
        for spot in dark:
            x[spot] = 0.0
        bright = ndimage.gaussian_filter(draw.normal(size=shape), 1.0)
        x[lesion] = np.clip(0.85 + 0.07 * bright / bright.std(), 0.65, 1)[lesion]
        pictures[name] = torch.from_numpy(x[None]).float()
    return Case(id=f"s{seed}", inputs=pictures, regions={"lesion": torch.from_numpy(lesion)}, truth=1)


def oracle(
    engine: Engine, cases: Sequence[Case], bound: Sequence[Bound], *, seed: int | None = None
) -> list[Attribution]:
    """``g(x_i) − g(fill_i)``, the fill being each picture's mean: exact for any weights."""
    del seed
    net: Any = engine.predictor.module
    found = []
    for case in cases:
        maps = {}
        for name, part in (("a", net.a), ("b", net.b)):
            x = case.inputs[name][None]
            mean, sd = engine.predictor.normalise.get(name, (torch.zeros(1), torch.ones(1)))
            shown = [(v - mean.view(1, -1, *[1] * (x.ndim - 2))) / sd.view(1, -1, *[1] * (x.ndim - 2))
                     for v in (x, torch.full_like(x, float(x.mean())))]  # fmt: skip
            with torch.no_grad():
                maps[name] = (part(shown[0]) - part(shown[1]))[:, bound[0].index]
        total = sum(float(m.sum()) for m in maps.values())
        k = bound[0].index
        described = {"kind": "class", "k": k, "on": "logit", "index": k, "label": bound[0].label}
        found.append(Attribution(maps=maps, method="oracle", case_id=case.id, target=described, score=total,
                                 image_axes=len(case.spatial), spacing=case.spacing))  # fmt: skip
    return found


def values(shape: tuple[int, ...], cases: int, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per case, metric and kind of map."""
    predictor = Predictor(
        Additive(len(shape), int(np.prod(shape))).eval(), inputs=["a", "b"], task="classification",
        classes=["none", "lesion"],
    )  # fmt: skip
    side = min(shape)
    target = ClassScore(1)
    occlusion = as_explainer("occlusion", {"window": max(4, side // 6), "stride": max(2, side // 12), "fill": "mean"})
    makers = [oracle, reexplain(occlusion, target, 0, seed=0), reexplain(as_explainer("random"), target, 0, seed=0)]
    rows = []
    for seed in range(cases):
        case, engine = scene(seed, shape), Engine(predictor)
        problem = Problem(engine, [case], [target])
        problem.bind()
        bound = problem.objective.bound[0] or []
        maps = [make(engine, [case], bound)[0] for make in makers]
        evidence = Evidence(
            engine, case, maps, bound * len(maps), makers, fill="mean", controls=controls([target], 0)
        )
        for place, kind in enumerate(KINDS):
            for name, score in evidence.view(place).scores([as_metric(m) for m in metrics]).items():
                whose = {"case": case.id, "metric": name, "kind": kind}
                rows.append({**whose, "value": score.value, "reason": score.reason})
    return pd.DataFrame(rows)


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """Per metric: the three means, and how it orders the maps (paired 95 % intervals over cases)."""
    found = []
    for name, rows in table.groupby("metric", sort=True):
        cls = METRICS[str(name).split("[")[0]]
        wide = rows.pivot(index="case", columns="kind", values="value")[list(KINDS)]
        row: dict[str, Any] = {"metric": name, "question": cls.question, "direction": cls.direction}
        row |= {k: wide[k].mean() for k in KINDS}
        if wide.notna().all(axis=1).sum() < 2:
            reason = rows.loc[rows["value"].isna(), "reason"].iloc[0]
            what = [n for n in cls.needs if n in MISSING]
            found.append({**row, "order": f"needs {MISSING[what[0]]}" if what else f"undefined here: {reason}"})
            continue
        if cls.direction == "none":
            found.append({**row, "order": "has no better or worse"})
            continue
        sign = 1 if cls.direction == "higher" else -1
        signs = [_compare(sign * wide[a], sign * wide[b]) for a, b in (KINDS[:2], KINDS[1:], (KINDS[0], KINDS[2]))]
        last = "" if signs[2] == ">" else f" (oracle {signs[2]} random)"
        row["order"] = f"oracle {signs[0]} occlusion {signs[1]} random{last}"
        found.append(row)
    return pd.DataFrame(found).sort_values(["question", "metric"])


def _compare(a: pd.Series, b: pd.Series) -> str:
    gap = (a - b).dropna().to_numpy()
    if not len(gap) or not np.any(gap):
        return "="
    draws = np.random.default_rng(0).integers(0, len(gap), (2000, len(gap)))
    low, high = np.quantile(gap[draws].mean(1), [0.025, 0.975])
    return ">" if low > 0 else "<" if high < 0 else "≈"


def page(flat: pd.DataFrame, volume: pd.DataFrame) -> str:
    """The table in Markdown."""
    both = flat.merge(volume[["metric", "order"]], on="metric", how="outer", suffixes=("", " in 3-D"))
    both = both.sort_values(["question", "metric"])
    heads = ["metric", "question", "better", *KINDS, "order in 2-D", "order in 3-D"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for r in both.to_dict("records"):
        numbers = " | ".join("–" if pd.isna(r[k]) else f"{r[k]:.3g}" for k in KINDS)
        about = f"| `{r['metric']}` | {r['question']} | {r['direction']} | {numbers} |"
        lines.append(f"{about} {r['order']} | {r['order in 3-D']} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--write", type=Path, default=None, help="a page with the marks of the table in it")
    parser.add_argument("--metrics", nargs="*", default=None)
    options = parser.parse_args()
    names = options.metrics or [n for n, c in METRICS.items() if c.question != "cost"]
    found = [judge(values(shape, options.cases, names)) for shape in ((32, 32), (12, 12, 12))]
    text = page(*found)
    print(text)
    if options.write:
        old = options.write.read_text(encoding="utf-8")
        head, rest = old.split(START)
        _, tail = rest.split(END)
        options.write.write_text(f"{head}{START}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
