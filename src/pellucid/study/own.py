"""Explain one's own files with one's own model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from pellucid.api import explain_iter, layers
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import as_target
from pellucid.core.windows import Windows
from pellucid.data.pictures import full_size, resized
from pellucid.engine.engine import Engine
from pellucid.errors import InputError, UsageError, nearest
from pellucid.explain.make import as_explainer
from pellucid.io import Image, read, read_table
from pellucid.nets import load_module, load_weights
from pellucid.study.store import write_text


def explain_own(
    *,
    model: str,
    inputs: Sequence[str],
    out: Path,
    methods: Sequence[str],
    target: str,
    task: str | None,
    classes: Sequence[str] | None,
    weights: Path | None,
    size: int | None,
    windows: str | None,
    checks: str,
    device: str,
    seed: int,
    console: Console,
) -> list[dict[str, Any]]:
    """Explain, write the maps (NIfTI for volumes, else NPZ, and a PNG each) and ``attributions.json``.

    Raises:
        UsageError: the model does not say what it does, or an input is not named.
        InputError: a file that cannot be read or does not fit.
    """
    explainers = [as_explainer(m) for m in methods]
    predictor = own_predictor(model, inputs, task=task, classes=classes)
    if weights is not None:
        load_weights(predictor.module, weights)
    if windows is not None:
        predictor.windows = _windows(windows, predictor)
    case = own_case(predictor, inputs, size=size)
    asked = as_target(target, predictor)
    found = list(
        explain_iter(Engine(predictor, device=device), [case], explainers, [asked], seed=seed, checks=checks)
    )
    out.mkdir(parents=True, exist_ok=True)
    rows = [_write(a, case, out) for a in found]
    write_text(out / "attributions.json", json.dumps(rows, indent=1))
    for a, row in zip(found, rows):
        bad = [v for v in a.checks.values() if v.status in ("warn", "fail")]
        console.print(f"[bold]{a.method}[/] for {a.target['label']} (score {a.score:.4g})", highlight=False)
        for verdict in bad:
            console.print(f"  [yellow]{verdict.status}[/] {verdict.name}: {verdict.sentence}", highlight=False)
        if not bad:
            console.print("  every verdict that was tested passed", highlight=False)
        console.print("  " + ", ".join(row["files"]), highlight=False, soft_wrap=True)
    return rows


def own_predictor(
    model: str, inputs: Sequence[str], *, task: str | None, classes: Sequence[str] | None
) -> Predictor:
    """The model, with what is known of it; a bare module's inputs are named by the ``NAME=…`` texts.

    Raises:
        UsageError: the model does not say what it does, and nor do the options.
    """
    module = load_module(model)
    if isinstance(module, Predictor):
        return module
    if task is None or (task == "classification" and not classes):
        raise UsageError("the model does not say what it does: give --task, and --classes for a classification")
    names = [text.partition("=")[0] for text in inputs if "=" in text] or ["image"]
    return Predictor(module.eval(), inputs=names, task=task, classes=classes)  # type: ignore[arg-type]


def _windows(text: str, predictor: Predictor) -> Windows:
    """The windows that ``--windows`` asks for, of the overlap and blending that the model has or that are usual."""
    if predictor.task != "segmentation":
        raise UsageError(f"--windows are stitched to a segmentation, this model does {predictor.task}; use --size")
    parts = text.split(",")
    if not all(p.strip().isdecimal() for p in parts):
        raise UsageError(f"--windows {text}: give whole numbers, one per axis, such as 96,96,96")
    return replace(predictor.windows or Windows(roi=(1, 1)), roi=tuple(int(p) for p in parts))


def own_layers(
    model: str, inputs: Sequence[str], shapes: Sequence[str], *, task: str | None, classes: Sequence[str] | None
) -> pd.DataFrame:
    """The layers of a model, run on files (``[NAME=]FILE``) or on random numbers of a shape (``[NAME=]C,H,W``).

    Raises:
        UsageError: neither or both were given, or a shape that is none.
    """
    if bool(inputs) == bool(shapes):
        raise UsageError("--layers runs the model once: give either --input [NAME=]FILE or --shape [NAME=]C,H,W")
    predictor = own_predictor(model, inputs or shapes, task=task, classes=classes)
    if inputs:
        return layers(predictor, own_case(predictor, inputs, size=None))
    given: dict[str, tuple[int, ...]] = {}
    for text in shapes:
        name, equals, numbers = text.rpartition("=")
        if not equals and len(predictor.inputs) > 1:
            raise UsageError(
                f"--shape {text}: the model has inputs {', '.join(predictor.inputs)}; say NAME={numbers}"
            )
        parts = numbers.split(",")
        if not all(p.strip().isdecimal() for p in parts):
            raise UsageError(f"--shape {text}: give whole numbers, channels first, such as NAME=1,224,224")
        given[name or predictor.inputs[0]] = tuple(int(p) for p in parts)
    return layers(predictor, given)


def own_case(predictor: Predictor, inputs: Sequence[str], *, size: int | None) -> Case:
    """A Case from ``[NAME=]FILE`` texts: pictures and volumes, or a table with one row."""
    given: dict[str, Path] = {}
    for text in inputs:
        name, equals, file = text.partition("=")
        if not equals:
            if len(predictor.inputs) > 1:
                raise UsageError(f"--input {text}: the model has inputs {', '.join(predictor.inputs)}; say NAME=FILE")
            name, file = predictor.inputs[0], text
        if name not in predictor.inputs:
            raise UsageError(f"--input {text}: the model has no input {name!r}; {nearest(name, predictor.inputs)}")
        given[name] = Path(file)
    for name in predictor.inputs:
        if name not in given:
            raise UsageError(f"the model wants input {name!r}; give --input {name}=FILE")
    first: Image | None = None
    values = {}
    for name, path in given.items():
        if name in predictor.features or path.suffix.lower() in (".csv", ".tsv", ".parquet"):
            values[name] = _row(path, predictor.features.get(name))
            continue
        image = read(path)
        if size is not None:
            image = resized(image, full_size(size, len(image.spatial)))
        values[name] = image.array
        first = first or image
    case_id = next(iter(given.values())).name.split(".")[0]
    return Case(
        id=case_id, inputs=values, spacing=None if first is None else first.spacing,
        geometry=None if first is None else first.geometry,
        meta={} if first is None or first.window is None else {"window": first.window},
    )  # fmt: skip


def _row(path: Path, columns: Sequence[str] | None) -> Any:
    frame = read_table(path)
    if len(frame) != 1:
        raise InputError(f"{path}: a case has one row of the table, this file has {len(frame)}")
    wanted = list(columns or frame.columns)
    for column in wanted:
        if column not in frame.columns:
            raise InputError(f"{path}: column {column!r} is missing; {nearest(column, frame.columns)}")
    return frame[wanted].to_numpy(dtype="float32")[0]


def _write(a: Attribution, case: Case, out: Path) -> dict[str, Any]:
    label = "".join(c if c.isalnum() else "_" for c in str(a.target["label"]))
    stem = f"{a.case_id}_{a.method}_{label}"
    files = a.save(out / f"{stem}.nii.gz") if a.geometry is not None else a.save(out / f"{stem}.npz")
    figure = a.plot(case)
    figure.savefig(out / f"{stem}.png", dpi=130, bbox_inches="tight")
    return {
        "method": a.method, "target": dict(a.target), "score": a.score, "flags": list(a.flags),
        "checks": {k: v.as_dict() for k, v in a.checks.items()}, "cost": a.cost.as_dict(),
        "provenance": dict(a.provenance), "files": [str(p.name) for p in files] + [f"{stem}.png"],
    }  # fmt: skip
