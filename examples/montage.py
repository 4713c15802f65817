"""Draw every registered method on three cases of three tasks, to be looked at after a change.

    python examples/montage.py --out build/montage

Small networks are trained on synthetic data first. Every map has its own colour bar in its own unit, without stretching
or clipping; signed maps diverge around zero; the outline is the planted signal.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from pellucid import Attribution, Case, ClassScore, Predictor, RegionScore, explain_many, methods
from pellucid.core.target import Target
from pellucid.data import synthetic
from pellucid.train import fit

Cut = Callable[[Any], Any]
Work = tuple[Predictor, list[Case], list[Case], Target]  # model, cases to explain, background, what is explained
CONTROLS = ("random", "edge")


def classification(size: int) -> Work:
    """CT and a table that tells little by itself."""
    cases = synthetic.make("classification", n=743, size=size, table_signal=0.25)
    trained = fit(
        cases[:700], cases[700:740], network="image_tabular", inputs=["ct", "ehr"], task="classification",
        classes=["benign", "malignant"], features={"ehr": list(synthetic.FEATURES)}, epochs=14, lr=2e-3,
        progress=False,
    )  # fmt: skip
    return trained.predictor, cases[740:743], cases[:16], ClassScore("malignant")


def segmentation(size: int) -> Work:
    """FLAIR and contrast-enhanced T1."""
    cases = synthetic.make("segmentation", n=80, size=size)
    trained = fit(
        cases[:64], cases[64:74], network="two_encoder_unet", inputs=["flair", "t1ce"], task="segmentation",
        classes=["tumour"], options={"width": 8}, epochs=8, batch_size=8, progress=False,
    )  # fmt: skip
    return trained.predictor, cases[74:77], cases[:16], RegionScore("tumour")


def volume(size: int) -> Work:
    """Organs of a CT volume."""
    cases = synthetic.make("volume", n=14, size=size)
    classes = list(synthetic.ORGANS)
    trained = fit(
        cases[:9], cases[9:11], network="unet_3d", inputs=["ct"], task="segmentation", classes=classes,
        options={"classes": len(classes)}, epochs=30, batch_size=2, progress=False,
    )  # fmt: skip
    return trained.predictor, cases[11:14], cases[:8], RegionScore("heart")


def outline(case: Case) -> torch.Tensor:
    """The planted signal."""
    return case.region("lesion") if "lesion" in case.regions else case.region("organs", 4)


def cut_of(case: Case) -> Cut:
    """What is shown: a picture as it is; of a volume, the axial plane with most of the signal, front at the top."""
    if len(case.spatial) == 2:
        return np.asarray
    plane = int(outline(case).sum((0, 1)).argmax())
    return lambda m: np.asarray(m)[:, :, plane].T


def draw(axis: Any, m: np.ndarray, attribution: Attribution, shape: np.ndarray, aspect: float) -> None:
    """One map with its colour bar."""
    low, top = float(m.min()), float(m.max())
    if low < 0:
        top = max(-low, top)
        picture = axis.imshow(m, cmap="RdBu_r", vmin=-top, vmax=top, aspect=aspect)
    else:
        picture = axis.imshow(m, cmap="magma", vmin=0, vmax=top or 1.0, aspect=aspect)
    axis.contour(shape, levels=[0.5], colors="#00a05a" if low < 0 else "#5dffb0", linewidths=0.8)
    bar = axis.figure.colorbar(picture, ax=axis, fraction=0.046, pad=0.03)
    bar.ax.tick_params(labelsize=6)
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.yaxis.get_offset_text().set_fontsize(6)
    flags = [f for f in attribution.flags if not (attribution.method in CONTROLS and f == "flat")]
    axis.set_xlabel(", ".join(flags), fontsize=7, color="#b2182b")


def sheet(
    predictor: Predictor, cases: list[Case], background: list[Case], target: Target, names: list[str], path: Path
) -> None:
    """Rows are cases and their picture inputs, columns the methods; tables in a second figure."""
    made = explain_many(predictor, cases, methods=names, targets=[target], background=background)
    found = {(a.case_id, a.method): a for a in made}
    rows = [(case, name) for case in cases for name in predictor.inputs if name in case.images]
    fig, axes = plt.subplots(
        len(rows), len(names) + 1, figsize=(2.15 * (len(names) + 1), 2.05 * len(rows) + 0.3), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, (case, name) in zip(axes, rows):
        cut = cut_of(case)
        shape = cut(outline(case)).astype(float)
        spacing = case.spacing or (1.0, 1.0)
        aspect = spacing[0] / spacing[1] if len(case.spatial) == 2 else spacing[1] / spacing[0]
        low, high = case.meta.get("window", (None, None))
        line[0].imshow(cut(case.inputs[name][0]), cmap="gray", vmin=low, vmax=high, aspect=aspect)
        line[0].contour(shape, levels=[0.5], colors="#ff8c1a", linewidths=0.8)
        any_map = found[case.id, names[0]]
        line[0].set_ylabel(f"{name}   f(x) = {any_map.score:.3g}", fontsize=8)
        for axis, method in zip(line[1:], names):
            a = found[case.id, method]
            if name in a.maps:
                draw(axis, cut(a.spatial(name)), a, shape, aspect)
            else:
                axis.text(0.5, 0.5, "no map", ha="center", fontsize=8, transform=axis.transAxes)
    for axis, title in zip(axes[0], ["input", *names]):
        axis.set_title(title.replace("_", " "), fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    fig.suptitle(f"{path.stem}: {any_map.target['label']}", fontsize=11)
    fig.savefig(path, dpi=100)
    plt.close(fig)
    for table in cases[0].tables:
        bars(predictor, cases, found, table, names, path.with_stem(f"{path.stem}_{table}"))


def bars(
    predictor: Predictor, cases: list[Case], found: dict[tuple[str, str], Attribution], table: str, names: list[str],
    path: Path,
) -> None:  # fmt: skip
    """Signed bars of a table's columns."""
    columns = predictor.features.get(table) or [str(i) for i in range(len(cases[0].inputs[table]))]
    shown = [n for n in names if table in found[cases[0].id, n].maps]
    fig, axes = plt.subplots(
        len(cases), len(shown), figsize=(1.7 * len(shown) + 1.2, 2.2 * len(cases) + 0.3), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, case in zip(axes, cases):
        for axis, method in zip(line, shown):
            m = found[case.id, method].maps[table].numpy()
            axis.barh(columns, m, color=np.where(m < 0, "#2166ac", "#b2182b"))
            axis.axvline(0, color="0.4", linewidth=0.7)
            axis.tick_params(labelsize=6)
            axis.ticklabel_format(axis="x", scilimits=(-2, 3))
            axis.xaxis.get_offset_text().set_fontsize(6)
    for axis, title in zip(axes[0], shown):
        axis.set_title(title.replace("_", " "), fontsize=8)
    axes[0, 0].invert_yaxis()
    fig.savefig(path, dpi=100)
    plt.close(fig)


def main() -> None:
    """Train, explain, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/montage"))
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the nets are so small that threads wait for each other longer than they work
    names = sorted(methods().index, key=lambda n: n in CONTROLS)
    for make, size in ((classification, 64), (segmentation, 64), (volume, 32)):
        path = args.out / f"{make.__name__}.png"
        sheet(*make(size), names, path)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
