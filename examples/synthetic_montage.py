"""Draw the synthetic data as they are looked at: pictures, outlines of the planted signal, the volume in 3 planes.

    python examples/synthetic_montage.py --out build/montage
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from pellucid.core.case import Case
from pellucid.data import synthetic


def sheet(cases: list[Case], names: tuple[str, ...], path: Path, *, region: str = "lesion") -> None:
    """One column a case: each input plain, then the last one with the region's outline."""
    fig, axes = plt.subplots(len(names) + 1, len(cases), figsize=(2.6 * len(cases), 2.75 * (len(names) + 1)))
    for column, case in zip(axes.T, cases):
        for axis, name in zip(column, (*names, names[-1])):
            axis.imshow(case.inputs[name][0], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        truth = case.truth if isinstance(case.truth, int | float) else int(case.region(region).sum())
        column[0].set_title(f"{names[0]}   truth {truth:.2f}" if isinstance(truth, float) else f"{names[0]}   {truth}")
        column[-1].contour(case.region(region).numpy(), levels=[0.5], colors="#ff8c1a", linewidths=0.9)
    fig.tight_layout(pad=0.3)
    fig.savefig(path, dpi=75)
    plt.close(fig)


def volume_sheet(cases: list[Case], path: Path) -> None:
    """Axial, coronal and sagittal cuts with the labels beside them."""
    fig, axes = plt.subplots(len(cases) * 2, 3, figsize=(10, 6.2 * len(cases)))
    for i, case in enumerate(cases):
        ct, organs = case.inputs["ct"][0].numpy(), case.regions["organs"].numpy()
        sx, sy, sz = case.spacing or (1, 1, 1)
        i0, i1, i2 = (n // 2 for n in ct.shape)
        cuts = [
            (np.s_[:, :, i2], sy / sx, "upper"),
            (np.s_[:, i1, :], sz / sx, "lower"),
            (np.s_[i0 + 2, :, :], sz / sy, "lower"),
        ]
        for j, (cut, aspect, origin) in enumerate(cuts):
            axes[2 * i, j].imshow(ct[cut].T, cmap="gray", vmin=-1000, vmax=400, aspect=aspect, origin=origin)
            shown = np.ma.masked_equal(organs[cut].T, 0)
            axes[2 * i + 1, j].imshow(shown, cmap="tab10", vmin=0, vmax=9, aspect=aspect, origin=origin)
    for axis in axes.flat:
        axis.set_axis_off()
    fig.tight_layout(pad=0.3)
    fig.savefig(path, dpi=75)
    plt.close(fig)


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/montage"))
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = {"classification": ("ct",), "regression": ("t1", "t2"), "segmentation": ("flair", "t1ce")}
    for size in dict.fromkeys((options.size, 96)):
        for task, names in tasks.items():
            cases = synthetic.make(task, n=6, size=size)
            if task == "regression":
                cases = sorted(synthetic.make(task, n=30, size=size), key=lambda c: c.truth)[::5]
            sheet(cases, names, options.out / f"synthetic_{task}_{size}.png")
    marked = synthetic.make("classification", n=6, size=options.size, confounder=True)
    sheet(marked, ("ct",), options.out / "synthetic_confounder.png", region="confounder")
    volume_sheet(synthetic.make("volume", n=2, size=96), options.out / "synthetic_volume.png")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
