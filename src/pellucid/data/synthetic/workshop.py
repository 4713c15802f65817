"""The workshop's data as files: three tasks, a main set to train on and a smaller one to explain.

Seventeen files, in one folder (``{part}`` is ``main`` or ``xai``):

==============================  ==================================================================
classification_{part}_images    .npz: ``ct`` (n, 1, H, W) float32 in [0, 1]
classification_{part}_table     .csv: id, group, label (0 benign, 1 malignant), 12 features, raw units
regression_{part}_images        .npz: ``t1``, ``t2`` (n, 1, H, W) float32 in [0, 1]
regression_{part}_table         .csv: id, group, score
segmentation_{part}_images      .npz: ``flair``, ``t1ce`` (n, 1, H, W) float32 in [0, 1]
segmentation_{part}_masks       .npy: whole lesion (n, H, W) uint8, 0 or 1
segmentation_{part}_table       .csv: id, group, lesion_px
features                        .csv: name, unit, law, mean and sd of each clinical feature in each class
metadata                        .json: version, numbers of cases, seeds, size, spacing in mm, file names
README                          .md: this text
==============================  ==================================================================

Beside them the folder ``signal``: ``{task}_{part}_regions.npz``, each region's masks (n, H, W) uint8; ``lesion`` is
the planted signal. The file names are ours: those of the workshop's own script were not at hand.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
import torch

from pellucid.core.case import Case
from pellucid.data.registry import DATASETS
from pellucid.data.synthetic.features import FEATURES, TABLE
from pellucid.data.synthetic.make import make
from pellucid.errors import InputError, UsageError, unknown

INPUTS = {"classification": ("ct",), "regression": ("t1", "t2"), "segmentation": ("flair", "t1ce")}
PARTS = ("main", "xai")
VALUE = {"classification": "label", "regression": "score", "segmentation": "lesion_px"}


def write_workshop(
    out: str | Path, *, n: int = 300, seed: int = 42, xai_n: int = 30, xai_seed: int = 999, size: int = 224
) -> list[Path]:
    """Write the seventeen files and the masks of the signal; returns the seventeen.

    Raises:
        UsageError: numbers out of range, or two parts with one seed, which would share their patients.
        InputError: the folder cannot be written.
    """
    if seed == xai_seed:
        raise UsageError(f"seed and xai_seed are both {seed}: what is explained would have been trained on")
    out = Path(out)
    spacing: dict[str, list[float]] = {}
    try:
        (out / "signal").mkdir(parents=True, exist_ok=True)
        for part, count, start in zip(PARTS, (n, xai_n), (seed, xai_seed)):
            for task in INPUTS:
                cases = make(task, n=count, seed=start, size=size)
                spacing[task] = list(cases[0].spacing or ())
                _write_task(out, task, part, cases)
        frame = pd.DataFrame([
            {"name": f.name, "unit": f.unit, "law": f.law, "mean_benign": f.mean[0], "mean_malignant": f.mean[1],
             "sd_benign": f.sd[0], "sd_malignant": f.sd[1], "low": f.low, "high": f.high} for f in TABLE
        ])  # fmt: skip
        _put(out / "features.csv", lambda f: frame.to_csv(f, index=False))
        meta = {
            "format": "pellucid workshop 1", "size": size, "spacing_mm": spacing,
            "parts": {"main": {"n": n, "seed": seed}, "xai": {"n": xai_n, "seed": xai_seed}},
            "inputs": INPUTS, "files": sorted(_names()),
        }  # fmt: skip
        _put(out / "metadata.json", lambda f: f.write(json.dumps(meta, indent=1).encode()))
        _put(out / "README.md", lambda f: f.write(_readme(meta).encode()))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; free space or choose another") from error
    return [out / name for name in sorted(_names())]


def read_workshop(
    root: str | Path, task: str, part: Literal["main", "xai"] = "main", *, limit: int | None = None
) -> list[Case]:
    """The cases of one task and part, with regions where the folder ``signal`` is there.

    Raises:
        UsageError: unknown task or part.
        InputError: a file is missing, corrupt, or does not fit the others.
    """
    if task not in INPUTS:
        raise unknown("workshop task", task, INPUTS)
    if part not in PARTS:
        raise unknown("workshop part", part, PARTS)
    root = Path(root)
    stem = f"{task}_{part}"
    try:
        meta = json.loads((root / "metadata.json").read_text(encoding="utf-8"))
        spacing = tuple(meta["spacing_mm"][task])
        table = pd.read_csv(root / f"{stem}_table.csv", dtype=str)  # float() of the text gives the very same number
        images = _arrays(root / f"{stem}_images.npz", INPUTS[task])
        masks = np.load(root / f"{stem}_masks.npy", allow_pickle=False) if task == "segmentation" else None
        signal = root / "signal" / f"{stem}_regions.npz"
        regions = _arrays(signal) if signal.is_file() else {}
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise InputError(f"{root}: {missing} is missing; write the folder with pellucid synth --out") from error
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{root}: the files of {stem} cannot be read ({error}); write them again") from error
    count = len(table)
    for name, array in {**images, **regions, **({} if masks is None else {"masks": masks})}.items():
        if len(array) != count:
            raise InputError(f"{root}: {stem} has {count} lines in its table, but {len(array)} of {name!r}")
    cases = []
    for i, row in enumerate(table.to_dict("records")[:limit]):
        inputs = {name: torch.from_numpy(array[i].copy()) for name, array in images.items()}
        truth: Any = float(row["score"]) if task == "regression" else None
        if task == "classification":
            inputs["ehr"] = torch.tensor([float(row[f]) for f in FEATURES], dtype=torch.float32)
            truth = int(row["label"])
        elif masks is not None:
            truth = torch.from_numpy(masks[i].astype(np.int64))
        cases.append(Case(
            id=row["id"], inputs=inputs, truth=truth, group=row["group"], spacing=spacing,
            regions={
                k: torch.from_numpy(v[i] if k == "lungs" else v[i] > 0) for k, v in regions.items()
            },
            meta={"window": (0.0, 1.0), "modality": "CT" if task == "classification" else "MR"},
        ))  # fmt: skip
    return cases


@DATASETS.register("workshop")
def workshop(
    root: str | Path, *, task: str, part: Literal["main", "xai"] = "main", limit: int | None = None
) -> list[Case]:
    """One task of a folder that ``pellucid synth`` wrote."""
    return read_workshop(root, task, part, limit=limit)


def _write_task(out: Path, task: str, part: str, cases: list[Case]) -> None:
    stem = f"{task}_{part}"
    images = {name: np.stack([c.inputs[name].numpy() for c in cases]) for name in INPUTS[task]}
    _put(out / f"{stem}_images.npz", lambda f: np.savez(f, allow_pickle=False, **images))
    rows = []
    for case in cases:
        value = int(case.region("lesion").sum()) if task == "segmentation" else case.truth
        row = {"id": case.id, "group": case.group, VALUE[task]: value}
        if task == "classification":
            row |= {name: float(v) for name, v in zip(FEATURES, case.inputs["ehr"])}
        rows.append(row)
    frame = pd.DataFrame(rows)
    _put(out / f"{stem}_table.csv", lambda f: frame.to_csv(f, index=False))
    if task == "segmentation":
        masks = np.stack([c.truth.numpy().astype(np.uint8) for c in cases])
        _put(out / f"{stem}_masks.npy", lambda f: np.save(f, masks, allow_pickle=False))
    regions = {k: np.stack([c.regions[k].numpy().astype(np.uint8) for c in cases]) for k in cases[0].regions}
    signal = out / "signal" / f"{stem}_regions.npz"
    _put(signal, lambda f: np.savez_compressed(f, allow_pickle=False, **regions))


def _arrays(path: Path, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in (names or file.files)}


def _names() -> list[str]:
    """The seventeen."""
    each = [f"{task}_{part}_{kind}" for task in INPUTS for part in PARTS for kind in ("images.npz", "table.csv")]
    masks = [f"segmentation_{part}_masks.npy" for part in PARTS]
    return [*each, *masks, "features.csv", "metadata.json", "README.md"]


def _readme(meta: dict[str, Any]) -> str:
    main, xai = meta["parts"]["main"], meta["parts"]["xai"]
    head = (
        "# Synthetic multi-modal data with a known answer\n\n"
        f"Made, not measured: no patient is in it. Pictures of {meta['size']}² pixels; main: {main['n']} cases a task, "
        f"seed {main['seed']}; xai: {xai['n']} cases, seed {xai['seed']}.\n"
        "Read it with `pellucid.load_dataset(\"workshop\", folder, task=\"classification\", part=\"main\")`.\n\n"
    )
    return head + "```\n" + (__doc__ or "").strip() + "\n```\n"


def _put(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write to a name of its own, then rename: a file is whole or not there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
