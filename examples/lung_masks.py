"""How well a lung segmenter holds on changed pictures: docs/pictures/lung_masks.png, and the page's table.

    python examples/lung_masks.py --run runs/chest-lungs [--data ../shared/data/chestxray_nih] [--page …] [--out …]

Takes the network and the held-out patients of a run of ``recipes/chest-lungs.yaml``, changes each picture as other
origins would (turned, smaller, another exposure, letters and devices …), and compares what the network then finds with
the classical mask of the unchanged picture, moved along, and with its own answer to the unchanged picture, moved along.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.core.statistics import draws_of, interval
from pellucid.data.manifest import load_manifest
from pellucid.data.zones import with_zones
from pellucid.engine import Engine
from pellucid.nets import load_predictor
from pellucid.report.style import QUIET, SERIES, canvas, house_style, png
from pellucid.train.augment_grey import Blur, Invert, Noise
from pellucid.train.augment_things import Frame, Opacities, PasteDevices

DRAWS = 2000

Row = tuple[str, list[tuple[float, float, float]]]
Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def moved(degrees: float = 0.0, scale: float = 1.0, down: float = 0.0, mirror: bool = False) -> Change:
    """Picture and mask turned, scaled, shifted or mirrored; black where the picture ends."""
    a, s = math.radians(degrees), 1 / scale
    m = -1.0 if mirror else 1.0
    c, d = s * math.cos(a), s * math.sin(a)
    theta = torch.tensor([[c * m, -d, 0.0], [d * m, c, -2 * down]])

    def change(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        grid = F.affine_grid(theta[None].expand(len(x), -1, -1), list(x.shape), align_corners=False)
        low = x.amin((1, 2, 3), keepdim=True)
        warped = low + F.grid_sample(x - low, grid, align_corners=False)
        return warped, F.grid_sample(mask[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0] > 0.5

    return change


def bent(power: float) -> Change:
    """Another exposure."""

    def change(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        low = x.amin((1, 2, 3), keepdim=True)
        span = x.amax((1, 2, 3), keepdim=True) - low
        return low + span * ((x - low) / span) ** power, mask

    return change


def drawn_by(augmentation: Callable[..., tuple[dict[str, Tensor], Tensor | None]]) -> Change:
    """One of the augmentations of training, each case once, from a fixed seed."""

    def change(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        images, other = augmentation({"image": x}, mask.to(torch.uint8), torch.Generator().manual_seed(20))
        assert other is not None
        return images["image"], other > 0

    return change


CHANGES: dict[str, Change] = {
    "as it is": moved(),
    "mirrored": moved(mirror=True),
    "turned by 10°": moved(degrees=10),
    "turned by 20°": moved(degrees=20),
    "turned by 30°": moved(degrees=30),
    "two thirds of the size, black around": moved(scale=0.667),
    "a third larger, cut off": moved(scale=1.333),
    "15 % lower": moved(down=0.15),
    "gamma 0.4": bent(0.4),
    "gamma 2.5": bent(2.5),
    "inverted": drawn_by(Invert(p=1.0)),
    "letters, devices, wires": drawn_by(PasteDevices(p=1.0, most=4)),
    "opacities in the lungs": drawn_by(Opacities(p=1.0, most=4, strength=1.0)),
    "frame": drawn_by(Frame(p=1.0, most=0.2)),
    "noise": drawn_by(Noise(most=0.15)),
    "blur": drawn_by(Blur(most=3.0)),
}


def dice(a: Tensor, b: Tensor) -> np.ndarray:
    """Per case; NaN where both are empty."""
    both, size = (a & b).flatten(1).sum(1).double(), (a.flatten(1).sum(1) + b.flatten(1).sum(1)).double()
    return (2 * both / size).numpy()


def measured(run: Path, data: Path, size: int = 128) -> tuple[list[Row], int, int]:
    """Per change: mean and interval of the Dice with the classical mask, and with the network's own answer."""
    cases = load_manifest(
        data, csv="labels_224.csv", images="images_224.zip", group="patient_id", size=size, channels=1
    )
    ids = set(json.loads((run / "splits" / "lungs.json").read_text(encoding="utf-8"))["test"])
    test = [with_zones(c, ["lungs_classical"]) for c in cases if c.id in ids]
    predictor = load_predictor(run / "model" / "lungs")
    engine = Engine(predictor)
    x = torch.stack([c.inputs["image"].float() for c in test])
    classical = torch.stack([c.regions["lungs_classical"] for c in test])

    def find(pictures: Tensor) -> Tensor:
        shown = [c.replace(inputs={"image": p}, regions={}) for c, p in zip(test, pictures)]
        return predictor.labels(engine.predict(shown)) == 1

    own = find(x)
    groups = np.unique([str(c.group) for c in test], return_inverse=True)[1]
    draws = draws_of(len(set(groups)), DRAWS, 0)
    rows = []
    for name, change in CHANGES.items():
        pictures, masks = change(x, classical)
        found, mine = find(pictures), change(x, own)[1]
        cells = []
        for truth in (masks, mine):
            values = dice(found, truth)
            low, high, _ = interval(values, groups, draws)
            cells.append((float(np.nanmean(values)), low, high))
        rows.append((name, cells))
    return rows, len(test), len(set(groups))


def table(rows: list[Row]) -> str:
    """Rows of the page."""
    lines = ["| change | Dice with the classical mask | Dice with its own answer before |", "|---|---|---|"]
    for name, cells in rows:
        said = [f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in cells]
        lines.append(f"| {name} | {said[0]} | {'–' if name == 'as it is' else said[1]} |")
    return "\n".join(lines)


def drawn(rows: list[Row]) -> bytes:
    """Means and intervals, one line per change."""
    with house_style():
        figure = canvas(7.2, 0.32 * len(rows) + 1.1, dpi=120)
        axis = figure.subplots()
        looks = (("with the classical mask", SERIES[0], "o"), ("with its own answer before", SERIES[1], "s"))
        for k, (label, colour, marker) in enumerate(looks):
            at = np.arange(len(rows)) + (k - 0.5) * 0.3
            mean, low, high = np.array([cells[k] for _, cells in rows]).T
            axis.hlines(at, low, high, color=colour, linewidth=1.4)
            axis.plot(mean, at, marker, color=colour, markersize=4.5, label=label)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows])
        axis.invert_yaxis()
        axis.axvline(0.9, color=QUIET, linewidth=0.8, linestyle=":")
        axis.set_xlabel("Dice, mean over cases and 95 % interval over patients")
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
    return png(figure)


def main() -> None:
    """Measure, draw, write the table."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of recipes/chest-lungs.yaml")
    parser.add_argument("--data", type=Path, default=docs.parents[1] / "shared" / "data" / "chestxray_nih")
    parser.add_argument("--page", type=Path, default=docs / "explanation-lung-masks.md")
    parser.add_argument("--out", type=Path, default=docs / "pictures" / "lung_masks.png")
    options = parser.parse_args()
    rows, n, patients = measured(options.run, options.data)
    text = f"{n} held-out pictures of {patients} patients.\n\n{table(rows)}"
    print(text)
    options.out.write_bytes(drawn(rows))
    before = options.page.read_text(encoding="utf-8")
    pattern = re.compile(r"(<!-- changes -->\n).*?(<!-- end of changes -->)", re.S)
    if not pattern.search(before):
        raise SystemExit(f"{options.page}: no place <!-- changes --> … <!-- end of changes -->")
    options.page.write_text(pattern.sub(lambda m: m[1] + text + "\n" + m[2], before), encoding="utf-8")


if __name__ == "__main__":
    main()
