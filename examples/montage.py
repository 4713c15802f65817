"""Draw every registered method on three cases of each task, to be looked at after a change.

    python examples/montage.py --out build/montage --data ../shared/data

Real pictures and networks where the data are, synthetic ones elsewhere; one sheet for each family of methods. Every map
has its own colour bar in its own unit, without stretching or clipping; signed maps diverge around zero; the outline is
the region that the map is expected to show. A method that refuses is drawn as its sentence.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from montage_works import REAL, SYNTHETIC, Work

from pellucid import Attribution, Case, Predictor, explain_many, methods
from pellucid.errors import PellucidError
from pellucid.report.planes import Plane, planes

CONTROLS = ("random", "edge")


def outline(work: Work, case: Case) -> np.ndarray:
    """The region that is drawn around."""
    name, label = work.outline
    return np.asarray(case.region(name) if label is None else case.region(name, label)).astype(float)


def cut(case: Case, shape: np.ndarray, m: Any) -> Plane:
    """What is shown: a picture as it is; of a volume the axial plane through the middle of the outline."""
    at = None
    if len(case.spatial) == 3 and shape.any():
        at = tuple(int(v) for v in np.median(np.argwhere(shape > 0), axis=0))
    found = planes(np.asarray(m), ndim=len(case.spatial), at=at, geometry=case.geometry, spacing=case.spacing)
    return found[0] if case.geometry is not None else found[-1]


def aspect(plane: Plane) -> float:
    """Height of a pixel over its width."""
    (rows, columns), (high, wide) = plane.values.shape[:2], plane.size
    return (high / rows) / (wide / columns)


def draw(axis: Any, m: np.ndarray, attribution: Attribution, shape: np.ndarray, ratio: float) -> None:
    """One map with its colour bar."""
    low, top = float(m.min()), float(m.max())
    if low < 0:
        top = max(-low, top)
        picture = axis.imshow(m, cmap="RdBu_r", vmin=-top, vmax=top, aspect=ratio)
    else:
        picture = axis.imshow(m, cmap="magma", vmin=0, vmax=top or 1.0, aspect=ratio)
    axis.contour(shape, levels=[0.5], colors="#00a05a" if low < 0 else "#5dffb0", linewidths=0.8)
    bar = axis.figure.colorbar(picture, ax=axis, fraction=0.046, pad=0.03)
    bar.ax.tick_params(labelsize=6)
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.yaxis.get_offset_text().set_fontsize(6)
    flags = [f for f in attribution.flags if not (attribution.method in CONTROLS and f == "flat")]
    axis.set_xlabel(", ".join(flags), fontsize=7, color="#b2182b")


def fitting(work: Work) -> dict[str, list[str]]:
    """Family to the methods that run on the work's model, by the compatibility table."""
    table, found = methods(), {}
    for name, row in table.iterrows():
        if work.only and row["family"] not in work.only:
            continue
        several = row["inputs"] == "any" or len(work.predictor.inputs) > 1
        if set(filter(None, row["needs"].split(", "))) <= work.offers and several:
            found.setdefault(row["family"], []).append(str(name))
    controls = found.pop("control", [])
    return {family: [*names, *controls] for family, names in found.items()}


def explained(work: Work, names: list[str]) -> dict[tuple[str, str], Attribution | str]:
    """Case and method to the map, or to the sentence by which the method refuses."""
    found: dict[tuple[str, str], Attribution | str] = {}
    for name in names:
        start = time.perf_counter()
        try:
            made = explain_many(
                work.predictor, work.cases, methods=[{name: work.options.get(name, {})}], targets=[work.target],
                background=work.background,
            )  # fmt: skip
        except PellucidError as error:
            found |= {(c.id, name): str(error) for c in work.cases}
        else:
            found |= {(a.case_id, a.method): a for a in made}
        print(f"  {name:24} {time.perf_counter() - start:6.1f} s", file=sys.stderr)
    return found


def sheet(work: Work, title: str, names: list[str], path: Path) -> None:
    """Rows are cases and their picture inputs, columns the methods; tables in a second figure."""
    found = explained(work, names)
    rows = [(case, name) for case in work.cases for name in work.predictor.inputs if name in case.images]
    fig, axes = plt.subplots(
        len(rows), len(names) + 1, figsize=(2.15 * (len(names) + 1), 2.05 * len(rows) + 0.5), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, (case, name) in zip(axes, rows):
        whole = outline(work, case)
        shape = cut(case, whole, whole).values
        low, high = case.meta.get("window", (None, None))
        shown = cut(case, whole, case.inputs[name][0])
        line[0].imshow(shown.values, cmap="gray", vmin=low, vmax=high, aspect=aspect(shown))
        for letter, x, y in zip(shown.edges, (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.96, 0.04)):
            look = {"color": "#ff8c1a", "fontsize": 7, "ha": "center", "va": "center"}
            line[0].text(x, y, letter, transform=line[0].transAxes, **look)
        line[0].contour(shape, levels=[0.5], colors="#ff8c1a", linewidths=0.8)
        score = next((a.score for (c, _), a in found.items() if c == case.id and isinstance(a, Attribution)), None)
        line[0].set_ylabel(f"{name}   f(x) = {score:.3g}" if score is not None else name, fontsize=8)
        for axis, method in zip(line[1:], names):
            a = found[case.id, method]
            if isinstance(a, str):
                sentence = textwrap.fill(a, 26)
                axis.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=6, transform=axis.transAxes)
            elif name in a.maps:
                draw(axis, cut(case, whole, a.spatial(name)).values, a, shape, aspect(shown))
            else:
                axis.text(0.5, 0.5, "no map", ha="center", fontsize=8, transform=axis.transAxes)
    for axis, label in zip(axes[0], ["input", *names]):
        axis.set_title(label.replace("_", " "), fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    some = next(a for a in found.values() if isinstance(a, Attribution))
    fig.suptitle(f"{title}: {some.target['label']}", fontsize=11)
    fig.savefig(path, dpi=100)
    plt.close(fig)
    for table in work.cases[0].tables:
        if table in work.predictor.inputs:
            bars(work.predictor, work.cases, found, table, names, path.with_stem(f"{path.stem}_{table}"))


def bars(
    predictor: Predictor, cases: list[Case], found: dict[tuple[str, str], Attribution | str], table: str,
    names: list[str], path: Path,
) -> None:  # fmt: skip
    """Signed bars of a table's columns."""
    columns = predictor.features.get(table) or [str(i) for i in range(len(cases[0].inputs[table]))]
    made = {key: a for key, a in found.items() if isinstance(a, Attribution) and table in a.maps}
    shown = [n for n in names if (cases[0].id, n) in made]
    if not shown:
        return
    fig, axes = plt.subplots(
        len(cases), len(shown), figsize=(1.7 * len(shown) + 1.2, 2.2 * len(cases) + 0.3), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, case in zip(axes, cases):
        for axis, method in zip(line, shown):
            m = made[case.id, method].maps[table].numpy()
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
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the real data, if there are any")
    parser.add_argument("--works", help=f"of {', '.join((*REAL, *SYNTHETIC))}, separated by commas")
    parser.add_argument("--families", help="of methods, separated by commas; all by default")
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if not args.data.is_dir():
        print(f"{args.data} is not there: synthetic data instead", file=sys.stderr)
    everything = {**REAL, **SYNTHETIC}
    for name in args.works.split(",") if args.works else REAL if args.data.is_dir() else SYNTHETIC:
        print(name, file=sys.stderr)
        # most nets are so small that threads wait for each other longer than they work
        torch.set_num_threads(os.cpu_count() or 1 if name == "brain" else 1)
        work = everything[name](args.data, args.out / "models" / name)
        for family, names in fitting(work).items():
            if args.families and family not in args.families.split(","):
                continue
            path = args.out / f"{name}_{family}.png"
            sheet(work, f"{name}, {family}", names, path)
            print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
