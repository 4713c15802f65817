"""How alike maps stay as a network forgets layer by layer: docs/pictures/sanity_curves.png, and the page's tables.

    python examples/sanity_curves.py [--page docs/explanation-sanity.md] [--out docs/pictures/sanity_curves.png]

Trains a small network on pictures with a known answer (is there a round finding, an elongated one, or none?), and the
same network on shuffled labels; then asks the sanity metrics of eight methods on pictures that neither has seen. The
tables between the marks on the page are written anew, so that its numbers are those of this script.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pellucid import Case, Predictor, explain_many
from pellucid.api import evidence_of
from pellucid.engine import Engine
from pellucid.evaluate.run import as_metric, score_table
from pellucid.report.style import INK, MARKERS, QUIET, SERIES, canvas, house_style, png
from pellucid.train.shuffle import shuffled

SIDE, TRAIN, TEST, EPOCHS = 32, 360, 12, 15
CLASSES = ("none", "round", "long")
METHODS = (
    "saliency", {"smoothgrad": {"samples": 16}}, {"integrated_gradients": {"n_steps": 16}}, "lrp", "guided_backprop",
    "grad_cam", "random", "edge",
)  # fmt: skip
METRICS = (
    {"mprt": {"layers": None}}, {"mprt": {"layers": None, "order": "bottom_up"}}, "parameter_randomisation",
    {"smooth_mprt": {"samples": 6, "layers": None}}, "efficient_mprt", "random_logit", "label_randomisation",
)  # fmt: skip
COLUMNS = (
    "parameter_randomisation", "mprt(layers=None)", "mprt(order=bottom_up, layers=None)", "smooth_mprt",
    "efficient_mprt", "random_logit", "label_randomisation",
)  # fmt: skip
DRAWS = 2000


def picture(number: int) -> Case:
    """A body in air with ribs and vessels, and a bright finding in two of three."""
    rng = np.random.default_rng(number)
    kind = number % 3
    r, c = np.mgrid[:SIDE, :SIDE]
    body = ((r - SIDE / 2) / (0.47 * SIDE)) ** 2 + ((c - SIDE / 2) / (0.42 * SIDE)) ** 2 <= 1
    grain = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.5)
    x = np.where(body, 0.4 + 0.05 * grain / grain.std(), 0.0)
    ribs = (r + 0.35 * abs(c - SIDE / 2) + rng.uniform(0, 9)) % 9 < 2
    x = x + 0.25 * (ribs & body)
    row, column = rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2)
    turn = rng.uniform(0, np.pi)
    u = (r - row) * np.cos(turn) + (c - column) * np.sin(turn)
    v = (c - column) * np.cos(turn) - (r - row) * np.sin(turn)
    size = {0: (0, 0), 1: (3.2, 3.2), 2: (6.5, 1.6)}[kind]
    finding = (u / max(size[0], 1e-9)) ** 2 + (v / max(size[1], 1e-9)) ** 2 <= 1
    x = np.where(finding, 0.9, x) + 0.02 * rng.standard_normal((SIDE, SIDE)) * body
    return Case(
        id=f"picture {number}", inputs={"picture": torch.tensor(x[None], dtype=torch.float32)}, truth=kind,
        regions={"finding": torch.tensor(finding)},
    )  # fmt: skip


def network() -> nn.Module:
    """Five convolutions with batch norm, a mean over the picture, a linear head."""
    widths = (1, 12, 16, 24, 32, 32)
    parts: dict[str, nn.Module] = {}
    for i in range(5):
        parts[f"conv{i + 1}"] = nn.Conv2d(widths[i], widths[i + 1], 3, padding=1)
        parts[f"norm{i + 1}"] = nn.BatchNorm2d(widths[i + 1])
        parts[f"relu{i + 1}"] = nn.ReLU()
        if i in (0, 2):
            parts[f"pool{i + 1}"] = nn.MaxPool2d(2)
    parts |= {"mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(widths[-1], len(CLASSES))}
    return nn.Sequential(OrderedDict(parts))


def folded(net: nn.Module) -> nn.Module:
    """The same function with each batch norm in the weights of its convolution, so that a layer is one step."""
    for i in range(1, 6):
        conv, norm = net.get_submodule(f"conv{i}"), net.get_submodule(f"norm{i}")
        setattr(net, f"conv{i}", fuse_conv_bn_eval(conv, norm))  # type: ignore[type-var]
        setattr(net, f"norm{i}", nn.Identity())
    return net


def trained(cases: Sequence[Case], epochs: int, seed: int) -> Predictor:
    """The network after so many epochs of Adam."""
    torch.manual_seed(seed)
    net = network()
    x = torch.stack([c.inputs["picture"] for c in cases])
    y = torch.tensor([int(c.truth) for c in cases])  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
        schedule.step()
    return Predictor(folded(net.eval()), inputs=["picture"], task="classification", classes=CLASSES)


def accuracy(predictor: Predictor, cases: Sequence[Case]) -> float:
    """Share of the cases whose class is right."""
    found: Tensor = Engine(predictor).predict(cases).argmax(1)
    return float((found == torch.tensor([int(c.truth) for c in cases])).double().mean())  # type: ignore[arg-type]


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval over cases; NaN are left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan, np.nan
    picks = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[picks].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def judged(predictor: Predictor, other: Predictor, cases: Sequence[Case]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and details of all methods on the cases."""
    engine = Engine(predictor)
    metrics = [as_metric(m) for m in METRICS]
    scores, details = [], []
    for case in cases:
        maps = explain_many(predictor, [case], methods=METHODS)
        evidence = evidence_of(engine, case, maps, shuffled=other)
        found = score_table(evidence, metrics)
        scores += found[0]
        details += found[1]
    return pd.DataFrame(scores), pd.DataFrame(details)


def said(value: float) -> str:
    """Two digits, a true minus sign, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def table(scores: pd.DataFrame) -> str:
    """Mean and interval of every metric by method, as Markdown."""
    names = list(dict.fromkeys(scores["method"]))
    titles = [
        "`parameter_randomisation`", "`mprt`", "`mprt`, `bottom_up`", "`smooth_mprt`", "`efficient_mprt`",
        "`random_logit`", "`label_randomisation`",
    ]  # fmt: skip
    lines = ["| method | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for name in names:
        cells = []
        for column in COLUMNS:
            mine = scores[(scores["method"] == name) & (scores["metric"] == column)]["value"].to_numpy(float)
            mean, low, high = interval(mine)
            none = int((~np.isfinite(mine)).sum())
            text = "none" if np.isnan(mean) else f"{said(mean)} ({said(low)} to {said(high)})"
            cells.append(text + (f", {none} undefined" if none and not np.isnan(mean) else ""))
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def drawn(details: pd.DataFrame) -> bytes:
    """Similarity by layer, from the top and from the bottom, mean over cases with its interval."""
    names = list(dict.fromkeys(details["method"]))
    colours = dict(zip(names, (*SERIES[:6], QUIET, INK)))
    with house_style():
        figure = canvas(9.4, 4.1, dpi=120)
        axes = figure.subplots(1, 2, sharey=True)
        for axis, column, title in zip(
            axes, COLUMNS[1:3], ("From the last layer down (top_down)", "From the first layer up (bottom_up)")
        ):
            mine = details[details["metric"] == column]
            layers = list(dict.fromkeys(mine.sort_values("position")["part"]))
            for i, name in enumerate(names):
                rows = mine[mine["method"] == name]
                by_layer = [interval(rows[rows["part"] == part]["value"].to_numpy(float)) for part in layers]
                mean, low, high = np.array([(1.0, 1.0, 1.0), *by_layer]).T
                at = np.arange(len(layers) + 1) + (i - len(names) / 2) * 0.03
                control = name in ("random", "edge")
                axis.plot(
                    at, mean, color=colours[name], marker=MARKERS[i % len(MARKERS)], markersize=3.2, linewidth=1.2,
                    linestyle=":" if control else "-", label=name,
                )  # fmt: skip
                axis.vlines(at, low, high, color=colours[name], linewidth=0.8, alpha=0.6)
            axis.set_xticks(range(len(layers) + 1), ["none", *[str(p) for p in layers]], rotation=60, ha="right")
            axis.set_title(title, loc="left", color=INK)
            axis.axhline(0, color=QUIET, linewidth=0.6)
            axis.set_ylim(-0.5, 1.06)
            axis.annotate("random and edge", (len(layers), 0.985), ha="right", va="top", fontsize=8, color=QUIET)
            axis.set_xlabel("layer randomised last")
        axes[0].set_ylabel("similarity to the map of the trained model (ρ)")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right upper")
    return png(figure)


def written(page: Path, name: str, text: str) -> None:
    """Put a text between ``<!-- name -->`` and ``<!-- end of name -->``."""
    before = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    if not pattern.search(before):
        raise SystemExit(f"{page}: no place <!-- {name} --> … <!-- end of {name} -->")
    page.write_text(pattern.sub(lambda m: m[1] + text + "\n" + m[2], before), encoding="utf-8")


def main() -> None:
    """Train, judge, draw."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path, default=docs / "explanation-sanity.md")
    parser.add_argument("--out", type=Path, default=docs / "pictures" / "sanity_curves.png")
    options = parser.parse_args()
    start = time.perf_counter()
    train, test = [picture(i) for i in range(TRAIN)], [picture(10_000 + i) for i in range(120)]
    predictor = trained(train, EPOCHS, 0)
    mixed = shuffled(train, 0)
    other = trained(mixed, 3 * EPOCHS, 0)
    trained_in = time.perf_counter() - start
    facts = (
        f"Accuracy on {len(test)} new pictures: {accuracy(predictor, test):.2f}; of the network that was trained on "
        f"shuffled labels {accuracy(other, test):.2f}\n(it has learned {accuracy(other, mixed):.0%} of its own labels "
        f"by heart). Means over {TEST} of these pictures with 95 % bootstrap intervals."
    )
    scores, details = judged(predictor, other, test[:TEST])
    options.out.write_bytes(drawn(details))
    if options.page.is_file():
        written(options.page, "facts", facts)
        written(options.page, "table", table(scores))
    print(facts, table(scores), sep="\n\n")
    print(f"{trained_in:.0f} s for training, {time.perf_counter() - start:.0f} s in all; {options.out}")


if __name__ == "__main__":
    main()
