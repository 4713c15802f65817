"""The run folder: everything that a run produced. Reports, the app and exports read it, and never a model.

::

    run.json            recipe, its hash, versions, seed, state of every task
    ledger.sqlite       task × stage × item: state, error, seconds
    data.parquet        one row per case: task, case, part, group, truth, and the meta columns
    eda_*.parquet       what the data are like: docs/reference-run-folder.md
    predictions.parquet task, case, part, truth, predicted, class, value (probability or score)
    performance.parquet task, part, stratum, metric, class, value, low, high, n, reason
    thresholds, calibration, reliability, roc, pr, confusion, bias.parquet  of a classifier: reference-run-folder.md
    history.parquet     task, epoch, the losses and the validation metric
    maps.zarr           task / case: inputs, regions, truth, prediction, and the maps of all methods
    verdicts.parquet    task, case, method, target_index, target, check, status, value, threshold, sentence
    scores.parquet      task, case, group, method, target_index, target, metric, value, reason
    comparison.parquet  task, metric, method, mean, low, high, n, rank …
    details, ranking, aggregated, pareto, agreement, strata, explained, detector …: docs/reference-run-folder.md
    regions.parquet     task, case, method, target_index, target, region, measure, value; of
    aggregate_costs.parquet  task, case, method, forwards, backwards, seconds, peak_bytes
    aggregate/TASK/     wide.csv, the table with Agg²Exp's columns, where it is asked for
    costs.parquet       task, case, method, target_index, forwards, backwards, seconds, peak_bytes, evaluations,
                        dense_evaluations
    precision.parquet   task, case, precision, relative_error, agreement: half precision beside float32
    folds, fold_predictions, fold_summary.parquet  of a cross-validation, beside cross_validation/TASK/results.json
    model/TASK/         weights.safetensors, model.json
    splits/TASK.json    ids of train, val, test
    search/TASK.sqlite  the search for settings; its tables search, search_epochs, search_importance
    readers/            keys, forms and CSV files of readers' studies; their tables readers, readers_…
    figures/  report.html  run.log
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.geometry import Geometry
from pellucid.core.verdict import Verdict
from pellucid.errors import InputError, UsageError
from pellucid.io.files import atomic
from pellucid.study.refinement import packed, unpacked

FORMAT = 1
TABLES = (
    "data", "cleaning", "eda_notes", "eda_checks", "eda_labels", "eda_cooccurrence", "eda_people", "eda_associations",
    "eda_pictures", "eda_histograms", "eda_montage", "eda_regions", "eda_compartments", "eda_places", "eda_features",
    "eda_correlations", "eda_violins", "eda_scores",
    "predictions", "performance", "thresholds", "calibration", "reliability", "history",
    "roc", "pr", "confusion", "bias",
    "verdicts", "scores", "comparison", "regions", "aggregate_costs", "costs", "precision", "outcomes", "findings",
    "details", "ranking",
    "aggregated", "pareto", "agreement", "agreement_cases", "strata", "explained", "detector", "risk_coverage",
    "refined", "ensemble_weights", "zone_importance", "zone_importance_summary", "cooccurrence", "cooccurrence_cases",
    "outliers", "outlier_tests", "claims", "claim_maps", "segmentation_quality", "segmentation_quality_summary",
    "search", "search_epochs", "search_importance", "folds", "fold_predictions", "fold_summary",
    "experiment_folds", "experiment_summary", "experiment_tests",
    "readers", "readers_pairs", "readers_agreement", "readers_metrics", "readers_ratings",
)  # fmt: skip


class Run:
    """A run folder, open for reading and writing. Every write goes to a temporary name first.

    Args:
        folder: of an existing run (it has a ``run.json``).

    Raises:
        InputError: no such run, or one of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "run.json"
        if not path.is_file():
            raise InputError(f"{self.folder} is no run folder: it has no run.json")
        try:
            info = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path} is damaged: {error}") from error
        if info.get("format") != FORMAT:
            raise InputError(f"{path} has format {info.get('format')}, this version reads {FORMAT}")
        self.info: dict[str, Any] = info
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self._verdicts: tuple[Any, pd.DataFrame, Mapping[Any, Any]] | None = None

    @staticmethod
    def create(folder: str | Path, info: Mapping[str, Any]) -> Run:
        """Make the folder with its ``run.json``."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
        write_text(folder / "run.json", json.dumps({"format": FORMAT, **info}, indent=1, default=str))
        return Run(folder)

    def update(self, **info: Any) -> None:
        """Change entries of ``run.json``."""
        self.info |= info
        write_text(self.folder / "run.json", json.dumps(self.info, indent=1, default=str))

    @property
    def tasks(self) -> list[str]:
        """Names of the run's tasks, in order."""
        return [t["name"] for t in self.info["recipe"]["tasks"]]

    def recipe(self, task: str) -> dict[str, Any]:
        """What was asked for a task, as plain values; the model with what was taken from the cases."""
        asked = next(t for t in self.info["recipe"]["tasks"] if t["name"] == task)
        taken = self.info.get("models", {}).get(task, {})
        return {**asked, "model": {**asked["model"], **taken}} if taken else asked

    # -- tables ----------------------------------------------------------------------------------------------

    def table(self, name: str, task: str | None = None) -> pd.DataFrame:
        """A table of the run, of one task if named; empty if the stage that makes it has not run."""
        path = self.folder / f"{name}.parquet"
        frame = pd.read_parquet(path) if path.is_file() else pd.DataFrame({"task": pd.Series(dtype=str)})
        return frame if task is None else frame[frame["task"] == task].reset_index(drop=True)

    def put_table(self, name: str, task: str, frame: pd.DataFrame) -> None:
        """Replace one task's rows of a table."""
        frame = frame.assign(task=task)
        frame = frame[["task", *[c for c in frame.columns if c != "task"]]]
        old = self.table(name)
        kept = old[old["task"] != task]
        parts = [part for part in (kept, frame) if len(part)]
        self._write_table(name, pd.concat(parts, ignore_index=True) if parts else frame)

    def put_part(self, name: str, task: str, item: str, frame: pd.DataFrame) -> None:
        """Keep one item's rows until :meth:`merge` joins them to the table, so that nothing done is lost."""
        path = self._parts(name, task) / f"{quote(item, safe='')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            frame.to_parquet(temporary)

    def merge(self, name: str, task: str) -> None:
        """Join all parts of a task to the table."""
        folder = self._parts(name, task)
        parts = [pd.read_parquet(p) for p in sorted(folder.glob("*.parquet"))] if folder.is_dir() else []
        filled = [p for p in parts if len(p)]
        if filled:
            self.put_table(name, task, pd.concat(filled, ignore_index=True))

    def forget(self, task: str, stage: str, tables: Iterable[str]) -> None:
        """Start a stage of a task anew."""
        self.ledger.forget(task, stage)
        for name in tables:
            shutil.rmtree(self._parts(name, task), ignore_errors=True)

    def tidy(self) -> None:
        """Remove the parts of a run that is complete."""
        shutil.rmtree(self.folder / "parts", ignore_errors=True)

    def _parts(self, name: str, task: str) -> Path:
        return self.folder / "parts" / name / quote(task, safe="")

    def _write_table(self, name: str, frame: pd.DataFrame) -> None:
        with atomic(self.folder / f"{name}.parquet") as temporary:
            frame.to_parquet(temporary)

    # -- maps ------------------------------------------------------------------------------------------------

    def put_maps(
        self, task: str, case: Case, attributions: Iterable[Attribution], prediction: Tensor | None = None,
        soft: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write a case with all its maps, as one piece.

        ``prediction`` is the model's output of the case: ``(K,)`` probabilities or scores, or a label map; ``soft`` the
        probabilities ``(*spatial)`` of the regions that a model predicted.
        """
        import zarr

        spare = self.folder / "parts" / f"maps-{uuid.uuid4().hex}"
        group = zarr.open_group(str(spare), mode="w")
        group.attrs.update(_case_attributes(case))
        for name, value in case.inputs.items():
            _put(group, f"inputs/{quote(name, safe='')}", value)
        for name, value in case.regions.items():
            _put(group, f"regions/{quote(name, safe='')}", value)
        if isinstance(case.truth, Tensor):
            _put(group, "truth", case.truth)
        if prediction is not None:
            _put(group, "prediction", prediction)
        for name, value in (soft or {}).items():
            _put(group, f"soft/{quote(name, safe='')}", value)
        made = list(attributions)
        for place, a in enumerate(made):
            for name, value in a.maps.items():
                _put(group, f"maps/{place}/{quote(name, safe='')}", value)
            changed, arrays = packed(a, made)
            for key, value in enumerate(arrays):
                _put(group, f"refined/{place}/{key}", value)
            group[f"maps/{place}"].attrs.update(_attribution_attributes(a, changed))
        final = self._case_folder(task, case.id)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            shutil.rmtree(final)
        spare.rename(final)

    def cases(self, task: str) -> list[str]:
        """Ids of the cases that have maps, in the order in which they were explained."""
        folder = self.folder / "maps.zarr" / quote(task, safe="")
        found = {unquote(p.name) for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set()
        order = [c for c in self.table("data", task).get("case", pd.Series(dtype=str)) if c in found]
        return order + sorted(found - set(order))

    def case(self, task: str, case_id: str) -> Case:
        """The case as it was explained (inputs, regions, truth, spacing, geometry, display window)."""
        group = self._group(task, case_id)
        attrs = dict(group.attrs)
        geometry = attrs.get("geometry")
        return Case(
            id=case_id,
            inputs={k: torch.as_tensor(group[f"inputs/{quote(k, safe='')}"][:]) for k in attrs["inputs"]},
            regions=self.regions(task, case_id),
            truth=torch.as_tensor(group["truth"][:]) if "truth" in group else attrs.get("truth"),
            spacing=tuple(attrs["spacing"]) if attrs.get("spacing") else None,
            geometry=None if geometry is None else Geometry.described(geometry),
            meta=attrs.get("display", {}),
            missing=tuple(attrs.get("missing", ())),
        )

    def prediction(self, task: str, case_id: str) -> Tensor | None:
        """The model's output of a case: probabilities, scores, or a label map."""
        group = self._group(task, case_id)
        return torch.as_tensor(group["prediction"][:]) if "prediction" in group else None

    def regions(self, task: str, case_id: str) -> dict[str, Tensor]:
        """The regions of a case as it was explained, those that a model predicted among them."""
        group = self._group(task, case_id)
        return {k: torch.as_tensor(group[f"regions/{quote(k, safe='')}"][:]) for k in group.attrs["regions"]}

    def soft(self, task: str, case_id: str) -> dict[str, Tensor]:
        """The probabilities ``(*spatial)`` of the regions of a case that a model predicted, by name."""
        group = self._group(task, case_id)
        if "soft" not in group:
            return {}
        return {unquote(k): torch.as_tensor(group[f"soft/{k}"][:]) for k in group["soft"].array_keys()}

    def attributions(self, task: str, case_id: str) -> list[Attribution]:
        """All maps of a case, with the verdicts that the run has on them."""
        group = self._group(task, case_id)
        if "maps" not in group:
            return []
        mine = self._verdicts_of(task, case_id)
        geometry = dict(group.attrs).get("geometry")
        found: list[Attribution] = []
        for place in sorted(group["maps"].group_keys(), key=int):
            node = group[f"maps/{place}"]
            attrs = dict(node.attrs)
            checks = {}
            if len(mine):
                rows = mine[(mine["method"] == attrs["method"]) & (mine["target_index"] == attrs["target"]["index"])]
                checks = {
                    r.check: Verdict(r.check, r.status, r.sentence, _number(r.value), _number(r.threshold))
                    for r in rows.itertuples()
                }
            array = partial(_array, group, f"refined/{place}")
            refinement = unpacked(attrs.pop("refinement", None), found, array)
            found.append(
                Attribution(
                    maps={name: torch.as_tensor(node[quote(name, safe="")][:]) for name in attrs.pop("inputs")},
                    case_id=case_id,
                    checks=checks,
                    cost=Cost(**attrs.pop("cost")),
                    flags=tuple(attrs.pop("flags")),
                    spacing=tuple(attrs.pop("spacing")) if attrs.get("spacing") else attrs.pop("spacing"),
                    geometry=None if geometry is None else Geometry.described(geometry),
                    refinement=refinement,
                    **attrs,
                )
            )
        return found

    def explained(self, task: str, case_id: str) -> set[int]:
        """What the maps of a case are of, by its index; no map is read."""
        group = self._group(task, case_id)
        places = group["maps"].group_keys() if "maps" in group else ()
        return {int(group[f"maps/{place}"].attrs["target"]["index"]) for place in places}

    def _verdicts_of(self, task: str, case_id: str) -> pd.DataFrame:
        """A case's rows of the verdicts; the table is read again only when it was written anew, not for every case."""
        path = self.folder / "verdicts.parquet"
        status = path.stat() if path.is_file() else None
        stamp = (task, None if status is None else (status.st_ino, status.st_mtime_ns, status.st_size))
        if self._verdicts is None or self._verdicts[0] != stamp:
            table = self.table("verdicts", task)
            self._verdicts = (stamp, table, table.groupby("case").indices if len(table) else {})
        _, table, places = self._verdicts
        return table.iloc[places.get(case_id, [])]

    def _case_folder(self, task: str, case_id: str) -> Path:
        return self.folder / "maps.zarr" / quote(task, safe="") / quote(case_id, safe="")

    def _group(self, task: str, case_id: str) -> Any:
        import zarr

        folder = self._case_folder(task, case_id)
        if not folder.is_dir():
            raise UsageError(f"{self.folder}: no maps of case {case_id!r} in task {task!r}")
        return zarr.open_group(str(folder), mode="r")


class Ledger:
    """What has been done: one row per task, stage and item, in SQLite, so that a run can go on where it stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS ledger (task TEXT, stage TEXT, item TEXT, state TEXT, error TEXT,"
                " seconds REAL, at REAL, PRIMARY KEY (task, stage, item))"
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as db, db:
            yield db

    def record(self, task: str, stage: str, item: str, state: str, *, seconds: float = 0.0, error: str = "") -> None:
        """Note an item as ``done`` or ``failed``; the item ``*`` is the whole stage."""
        with self._open() as db:
            db.execute(
                "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
                (task, stage, item, state, error, seconds, time.time()),
            )

    def state(self, task: str, stage: str, item: str = "*") -> str | None:
        """``done``, ``failed``, or None."""
        with self._open() as db:
            row = db.execute(
                "SELECT state FROM ledger WHERE task = ? AND stage = ? AND item = ?", (task, stage, item)
            ).fetchone()
        return row[0] if row else None

    def forget(self, task: str, stage: str) -> None:
        """Remove a stage's rows."""
        with self._open() as db:
            db.execute("DELETE FROM ledger WHERE task = ? AND stage = ?", (task, stage))

    def rows(self) -> pd.DataFrame:
        """The whole ledger."""
        with self._open() as db:
            return pd.read_sql_query("SELECT * FROM ledger ORDER BY at", db)


def load_run(folder: str | Path) -> Run:
    """Open a run folder."""
    return Run(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _put(group: Any, path: str, value: Tensor) -> None:
    array = value.detach().cpu().numpy()
    group.create_array(path, data=np.ascontiguousarray(array), chunks=array.shape)


def _array(group: Any, path: str, key: int) -> Tensor:
    return torch.as_tensor(group[f"{path}/{key}"][:])


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | Tensor):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _case_attributes(case: Case) -> dict[str, Any]:
    g = case.geometry
    return {
        "id": case.id,
        "inputs": list(case.inputs),  # a folder has no order of its own
        "missing": list(case.missing),
        "regions": list(case.regions),
        "truth": None if isinstance(case.truth, Tensor) else case.truth,
        "spacing": list(case.spacing) if case.spacing else None,
        "display": _plain({k: v for k, v in case.meta.items() if k in ("window", "features", "orientation")}),
        "geometry": None if g is None else g.describe(),
    }  # fmt: skip


def _attribution_attributes(a: Attribution, refinement: Any) -> dict[str, Any]:
    return _plain(
        {
            "inputs": list(a.maps), "method": a.method, "target": a.target, "score": a.score,
            "signed": a.signed, "flags": a.flags,
            "provenance": a.provenance, "cost": a.cost.as_dict(), "notes": a.notes,
            "spacing": a.spacing, "image_axes": a.image_axes, "refinement": refinement,
        }
    )  # fmt: skip
