"""What an experiment has found so far, in its folder: an arm or a method on a fold is there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.core.explainer import EXPLAINERS
from pellucid.core.registry import named
from pellucid.io.files import atomic
from pellucid.study.context import Context
from pellucid.study.crossval_fold import Fold
from pellucid.study.experiment_arms import Matrix
from pellucid.study.experiment_fold import Arm, Judged, folder_of
from pellucid.study.store import write_text

CONTROLS = ("random", "edge")


@dataclass(frozen=True)
class Level:
    """A method that is compared: its factor, what it is called, the method, whether it knows nothing of the model."""

    factor: str
    name: str
    method: Any
    control: bool = False


def method_levels(matrix: Matrix) -> list[Level]:
    """The methods of all factors, each factor with the controls that it does not have itself."""
    found = []
    for factor, levels in matrix.methods.items():
        used = {named(m, "method", "a method")[0] for m in levels.values()}
        found += [
            Level(factor, name, m, named(m, "method", "a method")[0] in CONTROLS) for name, m in levels.items()
        ]
        extra = [c for c in CONTROLS if c not in used and c in EXPLAINERS and c not in levels]
        found += [Level(factor, c, c, True) for c in extra]
    return found


def method_key(base: str, method: Any) -> str:
    """12 hex digits of a method with its options and the models that it explains."""
    return hashlib.sha256(json.dumps([base, method], sort_keys=True, default=str).encode()).hexdigest()[:12]


class Kept:
    """The folder ``experiment`` of a run."""

    def __init__(self, context: Context) -> None:
        self.folder = folder_of(context)

    def has_arm(self, arm: Arm) -> bool:
        """Whether it was trained and measured."""
        return (self._arm(arm) / "facts.json").is_file()

    def put_arm(self, arm: Arm, fold: Fold) -> None:
        """Keep it; its facts come last, and say that it is whole."""
        folder = self._arm(arm)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "metrics.parquet", fold.metrics)
        _write(folder / "predictions.parquet", fold.predictions)
        write_text(folder / "facts.json", json.dumps(fold.facts))

    def arm(self, arm: Arm) -> Fold:
        """What it found."""
        folder = self._arm(arm)
        tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("metrics", "predictions"))
        return Fold(json.loads((folder / "facts.json").read_text("utf-8")), *tables)

    def has_method(self, key: str, number: int) -> bool:
        """Whether a method was judged on a fold."""
        return self._method(key, number).with_suffix(".json").is_file()

    def put_method(self, key: str, number: int, judged: Judged) -> None:
        """Keep it."""
        path = self._method(key, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, judged.scores)
        write_text(path.with_suffix(".json"), json.dumps({"seconds": judged.seconds, "cases": judged.cases}))

    def method(self, key: str, number: int) -> Judged:
        """What it found."""
        path = self._method(key, number)
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        return Judged(pd.read_parquet(path), facts["seconds"], facts["cases"])

    def _arm(self, arm: Arm) -> Path:
        key, number = arm
        return self.folder / "arms" / key / f"fold-{number:03d}"

    def _method(self, key: str, number: int) -> Path:
        return self.folder / "methods" / key / f"fold-{number:03d}.parquet"


def _write(path: Path, frame: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        frame.to_parquet(temporary)
