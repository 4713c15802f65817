"""From answers to what they say: tables of the run, CSV files, and the report written again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.errors import UsageError
from pellucid.io.files import atomic
from pellucid.readers.agreement import agreement
from pellucid.readers.answers import of_one_study, read_answers, unblind, unfinished
from pellucid.readers.key import FOLDER, read_key
from pellucid.readers.means import means, pairs
from pellucid.readers.metrics import against_metrics
from pellucid.report import build_report
from pellucid.study.store import Run

TABLES = ("readers", "readers_pairs", "readers_agreement", "readers_metrics", "readers_ratings")
N_BOOT = 2000


@dataclass(frozen=True)
class Read:
    """What the answers of a study say.

    Attributes:
        study: its id.
        task: of the run.
        tables: by name, as they are in the run folder.
        unfinished: what is missing, in sentences.
        files: the CSV files, then the report.
    """

    study: str
    task: str
    tables: dict[str, pd.DataFrame]
    unfinished: tuple[str, ...]
    files: tuple[Path, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values; what is undefined is None, with the reason in ``note``. Single ratings are left out."""
        shown = {k: t for k, t in self.tables.items() if k != "readers_ratings"}
        return {
            "study": self.study, "task": self.task, "unfinished": list(self.unfinished),
            **{k: t.astype(object).where(t.notna(), None).to_dict("records") for k, t in shown.items()},
        }  # fmt: skip


def study_read(
    folder: str | Path, answers: Sequence[str | Path], *, key: Path | None = None, out: Path | None = None,
    n_boot: int = N_BOOT, seed: int = 0,
) -> Read:  # fmt: skip
    """Read the answers of one study, write its tables into the run and as CSV, and the report again.

    Args:
        folder: the run that the forms were made from.
        answers: files that the forms saved, one for each reader.
        key: where the key is, if not in the run.
        out: folder of the CSV files; ``readers/read-STUDY`` in the run by default.
        n_boot: draws of the intervals.
        seed: of the draws.

    Raises:
        UsageError: no file, or no key of the study.
        InputError: a file that cannot be used; says which and why.
    """
    if not answers:
        raise UsageError("no answers to read; give the files that the forms saved")
    run = Run(folder)
    files = [(Path(p), read_answers(Path(p))) for p in answers]
    study = of_one_study(files)
    found = read_key(run, study, key)
    ratings = unblind(files, found)
    left = unfinished(files, found)
    scores = run.table("scores", found.task)
    tables = {
        "readers": means(ratings, n_boot=n_boot, seed=seed),
        "readers_pairs": pairs(ratings, n_boot=n_boot, seed=seed),
        "readers_agreement": agreement(ratings, n_boot=n_boot, seed=seed),
        "readers_metrics": against_metrics(ratings, scores, run.info.get("metrics", {}), n_boot=n_boot, seed=seed),
        "readers_ratings": ratings,
    }
    tables["readers"] = tables["readers"].assign(study=study, unfinished="; ".join(left))
    target = out or run.folder / FOLDER / f"read-{study}"
    written = []
    for name in TABLES:
        run.put_table(name, found.task, tables[name])
        written.append(target / f"{name}.csv")
        with atomic(written[-1]) as temporary:
            tables[name].to_csv(temporary, index=False)
    return Read(study, found.task, tables, tuple(left), (*written, build_report(run.folder)))
