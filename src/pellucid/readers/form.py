"""From a run to blinded forms, one for each reader, and the key that stays behind."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import UsageError, unknown
from pellucid.readers.items import NAMES
from pellucid.readers.key import FOLDER, Entry, Key, hash_of, path_of, write_key
from pellucid.readers.page import Page, page
from pellucid.readers.pictures import map_of, picture_of, said, stage_of, target_of
from pellucid.readers.plan import Shown, check, choose, order
from pellucid.study.store import Run, write_text


@dataclass(frozen=True)
class Made:
    """What was written.

    Attributes:
        study: its id.
        forms: one page for each reader: these are given away.
        key: what un-blinds the answers: this stays.
        maps: how many maps there are, those seen again not counted.
        pages: how many each reader sees.
        cases: of how many cases.
        seed: that the order was drawn from.
    """

    study: str
    forms: tuple[Path, ...]
    key: Path
    maps: int
    pages: int
    cases: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"forms": [str(p) for p in self.forms], "key": str(self.key)}


def study_form(
    folder: str | Path, *, out: Path | None = None, task: str | None = None, cases: int = 6,
    methods: Sequence[str] = (), readers: int = 3, repeat: float = 0.15, seed: int | None = None,
    show_prediction: bool = False, show_truth: bool = False,
) -> Made:  # fmt: skip
    """Write a blinded form for every reader, and the key.

    Every reader sees the same maps in an order of their own, some of them twice. No form holds an id of a case or a
    patient, the name of a method or of a file.

    Args:
        folder: of the run.
        out: folder of the forms; ``readers/forms-STUDY`` in the run by default.
        task: needed where several are explained.
        cases: how many, drawn at random.
        methods: names as in the run; all by default. Its controls are always shown.
        readers: how many.
        repeat: share of the maps that a reader sees twice, 0 to 0.5.
        seed: of the draw; fresh by default, so that nobody can draw the order again, and kept in the key.
        show_prediction: tell what the model says.
        show_truth: draw the outlines of the true region.

    Raises:
        UsageError: a number out of range, an unknown method or task, a run without maps.
        InputError: no run.
    """
    check(cases=cases, readers=readers, repeat=repeat)
    run = Run(folder)
    task = task_of(run, task)
    drawn = secrets.randbits(32) if seed is None else seed
    if drawn < 0:
        raise UsageError(f"--seed is {drawn}; give a number from 0")
    shown = choose(run, task, cases=cases, methods=methods, seed=drawn)
    seen = hash_of(s.map for s in shown)
    asked = repr((seen, task, drawn, readers, repeat, show_prediction, show_truth))
    study = hashlib.sha256(asked.encode()).hexdigest()[:12]
    entries = _entries(shown, readers=readers, repeat=repeat, seed=drawn)
    pages = _pages(run, task, shown, truth=show_truth, prediction=show_prediction)
    key = Key(study=study, run=seen, task=task, seed=drawn, readers=readers, asked=NAMES, entries=tuple(entries))
    write_key(path_of(run, study), key)
    target = out or run.folder / FOLDER / f"forms-{study}"
    forms = []
    for reader in range(1, readers + 1):
        own = sorted((e for e in entries if e.reader == reader), key=lambda e: e.place)
        mine = [replace(pages[e.case, e.method, e.target_index], map=e.map) for e in own]
        forms.append(target / f"reader-{reader:02d}.html")
        write_text(forms[-1], page(mine, study=study, reader=reader))
    return Made(study, tuple(forms), path_of(run, study), len(shown), len(entries) // readers,
                len({s.map.case_id for s in shown}), drawn)  # fmt: skip


def task_of(run: Run, task: str | None) -> str:
    """The task that is meant, the only one that is explained by default.

    Raises:
        UsageError: no such task, or several to choose from.
    """
    known = [t for t in run.tasks if run.recipe(t)["explain"]]
    if task is not None:
        if task not in known:
            raise unknown("task", task, known)
        return task
    if len(known) != 1:
        raise UsageError(f"{run.folder} explains {', '.join(known) or 'nothing'}; name one task with --task")
    return known[0]


def _entries(shown: Sequence[Shown], *, readers: int, repeat: float, seed: int) -> list[Entry]:
    """Every page of every reader, under ids that are drawn anew for each."""
    found: list[Entry] = []
    used: set[str] = set()
    for reader in range(1, readers + 1):
        generator = np.random.default_rng([seed, reader])
        for place, (which, again) in enumerate(order(len(shown), repeat=repeat, generator=generator)):
            name = generator.bytes(4).hex()
            while name in used:
                name = generator.bytes(4).hex()
            used.add(name)
            case, method, index = shown[which].key
            found.append(
                Entry(map=name, reader=reader, place=place, again=again, case=case, group=shown[which].group,
                      method=method, target_index=index, target=target_of(shown[which].map.target))
            )  # fmt: skip
    return found


def _pages(
    run: Run, task: str, shown: Sequence[Shown], *, truth: bool, prediction: bool
) -> dict[tuple[str, str, int], Page]:
    """What is seen of every map, drawn once for all readers; the id comes with the reader."""
    found = {}
    for case in dict.fromkeys(s.map.case_id for s in shown):
        maps = [s.map for s in shown if s.map.case_id == case]
        stage = stage_of(run, task, maps, truth=truth, prediction=prediction)
        picture = picture_of(stage)
        told = said(run, task, case) if prediction else ""
        for a in maps:
            key = (case, a.method, int(a.target["index"]))
            found[key] = Page("", target_of(a.target), told, picture, map_of(stage, a))
    return found
