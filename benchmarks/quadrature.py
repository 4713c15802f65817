"""``python -m benchmarks.quadrature``: which rule integrated gradients should use by default, measured.

Several networks are trained briefly (or loaded); for a handful of held-out pictures of each, every rule's map is
compared with one of 2,401 nodes. The tables are those of docs/explanation-integrated-gradients.md.

    OMP_NUM_THREADS=1 python -m benchmarks.quadrature --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import pellucid as pc
from pellucid.core.target import Target
from pellucid.data import synthetic
from pellucid.engine import Engine, Problem, Stream
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients, quadrature
from pellucid.explain.make import attributions
from pellucid.nets import build_network, load_weights
from pellucid.nets.registry import NETWORKS
from pellucid.train import fit

COUNTS = (8, 24, 50, 100, 200)  # every midpoint of these lies on the grid of the reference
RULES = ("midpoint", "gauss_legendre", "trapezoid")


@dataclass
class Work:
    """A network, held-out cases, what is explained, and the intervals of the reference's grid."""

    name: str
    predictor: pc.Predictor
    cases: list[pc.Case]
    target: Target
    grid: int = 2400


@dataclass
class Found:
    """Errors by rule and number of nodes; of the adaptive rule with its nodes and passes."""

    gap: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    apart: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    adaptive: list[dict[str, float]] = field(default_factory=list)


# -- networks --------------------------------------------------------------------------------------------------


def synthetic_works(size: int = 48, shown: int = 12) -> Iterator[Work]:
    """The three small networks of the synthetic tasks, trained in under half a minute each."""
    cases = synthetic.make("classification", n=500, size=size, table_signal=0.25)
    trained = fit(
        cases[:440], cases[440:480], network="image_tabular", inputs=["ct", "ehr"], task="classification",
        classes=["benign", "malignant"], features={"ehr": list(synthetic.FEATURES)}, epochs=8, lr=2e-3, progress=False,
    )  # fmt: skip
    yield Work("image + table, classification", trained.predictor, cases[480 : 480 + shown], pc.ClassScore())
    cases = synthetic.make("regression", n=240, size=size)
    trained = fit(
        cases[:190], cases[190:220], network="two_stream", inputs=["t1", "t2"], task="regression",
        classes=["score"], epochs=8, progress=False,
    )  # fmt: skip
    yield Work("two streams, regression", trained.predictor, cases[220 : 220 + shown], pc.Score())
    cases = synthetic.make("segmentation", n=90, size=size)
    trained = fit(
        cases[:64], cases[64:74], network="two_encoder_unet", inputs=["flair", "t1ce"], task="segmentation",
        classes=["tumour"], options={"width": 8}, epochs=8, batch_size=8, progress=False,
    )  # fmt: skip
    yield Work("two-encoder U-Net, segmentation", trained.predictor, cases[74 : 74 + shown], pc.RegionScore("tumour"))


class Vgg(nn.Module):
    """Plain convolutions, ReLU and max-pooling, eight layers deep: no shortcut, no normalisation."""

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        channels = 1
        for width in (16, 32, 64):
            parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            parts += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = width
        self.body = nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 1, 32, 32)`` to logits."""
        out: Tensor = self.body(x)
        return out


def chest_works(data: Path, shown: int = 12) -> Iterator[Work]:
    """Networks of the usual kinds on small chest X-rays (PneumoniaMNIST, 28², with an edge of 2)."""
    held = np.load(data / "medmnist" / "pneumoniamnist.npz")

    def cases(part: str, count: int) -> list[pc.Case]:
        order = np.random.default_rng(0).permutation(len(held[f"{part}_images"]))[:count]
        pictures, labels = held[f"{part}_images"], held[f"{part}_labels"]
        return [
            pc.Case(
                id=f"{part}{i}", truth=int(labels[i, 0]),
                inputs={"cxr": torch.as_tensor(np.pad(pictures[i], 2, "edge")[None] / 255, dtype=torch.float32)},
            )
            for i in order
        ]  # fmt: skip

    if "benchmark_vgg" not in NETWORKS:
        NETWORKS.register("benchmark_vgg")(Vgg)
    train, val, test = cases("train", 1600), cases("val", 200), cases("test", shown)
    for network, label, lr, epochs, few in (
        ("resnet18", "ResNet-18", 1e-3, 3, shown), ("benchmark_vgg", "VGG-like", 1e-3, 5, shown),
        ("densenet121", "DenseNet-121", 1e-3, 2, shown // 2),
    ):  # fmt: skip
        trained = fit(
            train, val, network=network, inputs=["cxr"], task="classification", classes=["normal", "pneumonia"],
            options={"classes": 2}, balance="class_weights", epochs=epochs, lr=lr, batch_size=32, progress=False,
        )  # fmt: skip
        yield Work(f"{label}, chest X-rays 32²", trained.predictor, test[:few], pc.ClassScore())


def brain_work(data: Path, side: int = 14, shown: int = 4) -> Iterator[Work]:
    """The published MeshNet (brainchop, 3 classes) on small crops of a T1 volume."""
    import nibabel as nib

    folder = data / "mri_brainchop"
    net = build_network("meshnet", {"classes": 3, "channels": 20})
    load_weights(net, folder / "model20chan3cls_torch.pt")
    volume = np.asarray(nib.load(folder / "t1_crop.nii.gz").dataobj).astype(np.float32)  # type: ignore[attr-defined]
    low, high = np.quantile(volume, [0.02, 0.98])
    volume = np.clip((volume - low) / (high - low), 0, 1)
    centre = np.array(volume.shape) // 2
    cases = []
    for i, shift in enumerate(((0, 0, 0), (20, 0, 0), (0, -20, 10), (-20, 15, 0))[:shown]):
        at = tuple(slice(c + s - side // 2, c + s + side // 2) for c, s in zip(centre, shift))
        cases.append(pc.Case(id=f"crop{i}", inputs={"t1": torch.as_tensor(volume[at][None].copy())}))
    p = pc.Predictor(net.eval(), inputs=["t1"], task="segmentation", classes=["background", "white", "grey"])
    yield Work(f"MeshNet (published), crops {side}³", p, cases, pc.RegionScore("white", region="image"), grid=1200)


# -- measurement -----------------------------------------------------------------------------------------------


def measure(work: Work, precision: str = "float32") -> Found:
    """All rules on all cases; the gradients on the reference's grid serve midpoint and trapezoid too."""
    found = Found()
    engine = Engine(work.predictor, device="cpu", precision=precision)  # type: ignore[arg-type]
    for case in work.cases:
        problem = Problem(engine, [case], [work.target])
        base = problem.fill(IntegratedGradients().baseline)
        expected = float((problem.scores - problem.score_of(base))[0, 0])
        n = work.grid
        grid = np.full(n + 1, 1 / n)
        grid[[0, -1]] /= 2
        rules: dict[tuple[str, int], dict[int, float]] = {("reference", n): dict(enumerate(grid))}
        for count in COUNTS:
            rules["midpoint", count] = {n * (2 * i + 1) // (2 * count): 1 / count for i in range(count)}
            ends = np.full(count + 1, 1 / count)
            ends[[0, -1]] /= 2
            rules["trapezoid", count] = {n * i // count: w for i, w in enumerate(ends)}
        maps = path_sums(problem, base, np.arange(n + 1) / n, rules)
        for count in COUNTS:
            nodes, weights = quadrature("gauss_legendre", count)
            key = ("gauss_legendre", count)
            maps |= path_sums(problem, base, nodes.numpy(), {key: dict(enumerate(weights.tolist()))})
        reference = maps.pop(("reference", n))
        size = float(reference.abs().sum())
        for key, m in maps.items():
            found.gap.setdefault(key, []).append(abs(float(m.sum()) - expected) / abs(expected))
            found.apart.setdefault(key, []).append(float((m - reference).abs().sum()) / size)
        ((a,),) = attributions(Problem(engine, [case], [work.target]), IntegratedGradients())
        m = torch.cat([v.double().flatten() for v in a.maps.values()])
        found.adaptive.append(
            {
                "nodes": a.notes["nodes"], "gap": a.notes["completeness_error"],
                "apart": float((m - reference).abs().sum()) / size,
                "reference_gap": abs(float(reference.sum()) - expected) / abs(expected),
            }
        )  # fmt: skip
    return found


def path_sums(
    problem: Problem, base: dict[str, Tensor], nodes: np.ndarray, rules: dict[tuple[str, int], dict[int, float]]
) -> dict[tuple[str, int], Tensor]:
    """The map of each rule, flat and in float64, from one gradient for each node."""
    step = torch.cat([(v - base[k]).double().flatten() for k, v in problem.inputs.items()])
    alpha = torch.as_tensor(nodes, dtype=problem.engine.dtype)
    sums = {key: torch.zeros_like(step) for key in rules}

    def make(index: Tensor) -> dict[str, Tensor]:
        a = alpha[index]
        return {
            k: base[k] + a.view(-1, *[1] * (v.ndim - 1)) * (v - base[k]) for k, v in problem.inputs.items()
        }

    def keep(index: Tensor, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        rows = torch.cat([g[:, 0].double().flatten(1) for g in grads.values()], 1)
        for key, weights in rules.items():
            w = torch.tensor([weights.get(i, 0.0) for i in index.tolist()], dtype=torch.float64)
            sums[key] += w @ rows
        return grads

    stream: Stream = problem.stream(torch.zeros(len(nodes), dtype=torch.int64), make)
    problem.engine.gradients(stream, problem.objective, transform=keep)
    return {key: s * step for key, s in sums.items()}


# -- tables ----------------------------------------------------------------------------------------------------


def percent(values: Sequence[float]) -> str:
    """Median and worst."""
    return f"{100 * median(values):.2g} / {100 * max(values):.2g}"


def show(console: Console, works: dict[str, Found]) -> None:
    """One table for each question, in Markdown's form."""
    for title, of in (("completeness error", "gap"), ("distance of the map", "apart")):
        table = Table("network", "rule", *[str(c) for c in COUNTS], title=f"{title}, %: median / worst")
        for name, found in works.items():
            for rule in RULES:
                table.add_row(name, rule, *[percent(getattr(found, of)[rule, c]) for c in COUNTS])
        console.print(table)
    heads = ("network", "nodes: median / most", "error, %", "map's distance, %", "reference's own error, %")
    table = Table(*heads, title="adaptive")
    for name, found in works.items():
        rows = found.adaptive
        nodes = [r["nodes"] for r in rows]
        table.add_row(
            name, f"{median(nodes):.0f} / {max(nodes):.0f}", percent([r["gap"] for r in rows]),
            percent([r["apart"] for r in rows]), percent([r["reference_gap"] for r in rows]),
        )  # fmt: skip
    console.print(table)


def main() -> int:
    """Train, measure, print; keep the numbers as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/quadrature.json"))
    parser.add_argument("--shown", type=int, default=12, help="pictures of each network")
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    console = Console(width=150)
    sources: list[Callable[[], Iterator[Work]]] = [lambda: synthetic_works(shown=args.shown)]
    if args.data.is_dir():
        sources += [lambda: chest_works(args.data, args.shown), lambda: brain_work(args.data, shown=min(4, args.shown))]
    else:
        print(f"no data at {args.data}: the synthetic tasks alone", file=sys.stderr)
    works: dict[str, Found] = {}
    for source in sources:
        start = time.perf_counter()
        for work in source():
            trained = time.perf_counter()
            works[work.name] = measure(work)
            done = time.perf_counter()
            print(f"{work.name}: made in {trained - start:.0f} s, measured in {done - trained:.0f} s", file=sys.stderr)
            start = done
    show(console, works)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        name: {
            "gap": {f"{r} {c}": v for (r, c), v in f.gap.items()},
            "apart": {f"{r} {c}": v for (r, c), v in f.apart.items()}, "adaptive": f.adaptive,
        }
        for name, f in works.items()
    }  # fmt: skip
    fresh = args.out.with_suffix(".tmp")
    fresh.write_text(json.dumps(plain, indent=1))
    fresh.replace(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
