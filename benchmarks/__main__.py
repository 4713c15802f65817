"""``make bench``: each method of ours and the peer's with the same nodes or windows, in turns, as a ratio of times.

The two are run alternately; the ratio of each pair is taken, and its median and range are printed. Under 1, ours is
faster. The maps are compared too, so that a fast wrong answer cannot win.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import captum.attr
import torch
from rich.console import Console
from rich.table import Table

import pellucid as pc
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.explain.make import as_explainer
from pellucid.nets import build_network

SIDE, REPEATS = 64, 5
Pair = tuple[str, Callable[[], torch.Tensor], Callable[[], torch.Tensor]]


def pairs(device: torch.device) -> list[Pair]:
    """``(name, ours, the peer's)``; both return the map of class 1."""
    torch.manual_seed(0)
    options = {"spatial_dims": 2, "in_channels": 1, "classes": 3}
    net = build_network("resnet18", options).eval()
    predictor = pc.Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = pc.Case(id="1", inputs={"x": torch.randn(1, SIDE, SIDE)})
    engine = Engine(predictor, device=device.type)
    peer_net = engine.module
    x = case.inputs["x"][None].to(device)

    def ours(method: str, **settings: object) -> Callable[[], torch.Tensor]:
        explainer = as_explainer(method, settings)

        def go() -> torch.Tensor:
            problem = Problem(engine, [case], [ClassScore(1)])
            return explainer.attribute(problem).maps["x"][0, 0]

        return go

    ig = captum.attr.IntegratedGradients(peer_net)
    occlusion = captum.attr.Occlusion(peer_net)
    saliency = captum.attr.Saliency(peer_net)
    return [
        ("saliency", ours("saliency"), lambda: saliency.attribute(x.clone(), target=1)[0]),
        (
            "integrated_gradients, 32 midpoints",
            ours("integrated_gradients", n_steps=32),
            lambda: ig.attribute(x, target=1, n_steps=32, method="riemann_middle")[0],
        ),
        (
            "occlusion, window 8, stride 4 (peer: 64 at a time)",
            ours("occlusion", window=8, stride=4, fill="zero"),
            lambda: occlusion.attribute(
                x, target=1, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), perturbations_per_eval=64
            )[0],
        ),
        (
            "occlusion, window 8, stride 4 (peer: its default)",
            ours("occlusion", window=8, stride=4, fill="zero"),
            lambda: occlusion.attribute(x, target=1, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4))[0],
        ),
    ]


def overhead(device: torch.device) -> float:
    """Occlusion's own time as a share of the bare forwards of as many inputs in batches of the same size."""
    ((_, ours, _),) = [p for p in pairs(device) if "64" in p[0]]
    net = build_network("resnet18", {"spatial_dims": 2, "in_channels": 1, "classes": 3}).eval().to(device)
    windows = ((SIDE - 8) // 4 + 1) ** 2
    batch = torch.randn(64, 1, SIDE, SIDE, device=device)
    shares = []
    for _ in range(REPEATS):
        a = _seconds(ours)
        with torch.no_grad():
            start = time.perf_counter()
            for first in range(0, windows + 1, 64):
                net(batch[: min(64, windows + 1 - first)])
            b = time.perf_counter() - start
        shares.append(a / b - 1)
    return statistics.median(shares)


def _seconds(act: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    act()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> int:
    """Print the table; exit status 1 if a map differs from the peer's."""
    console = Console()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = Table("method", "ours / Captum, median", "range", "largest difference of the maps", box=None)
    wrong = 0
    for name, ours, peer in pairs(device):
        a, b = ours(), peer()
        a = a if a.shape == b.shape else a[None]
        a = a.abs() if name == "saliency" else a
        gap = float((a - b).abs().max() / b.abs().max())
        wrong += gap > 1e-3
        ratios = [_seconds(ours) / _seconds(peer) for _ in range(REPEATS)]
        table.add_row(
            name, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}", f"{gap:.1e}"
        )
    console.print(table)
    console.print(f"occlusion's own overhead over its forwards: {overhead(device):.1%} (budget 5 %)")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
