"""The key of a study: which map hides behind which id. It stays with the study's owner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pellucid.core.attribution import Attribution
from pellucid.errors import InputError, UsageError
from pellucid.readers.checked import read_checked
from pellucid.study.store import Run, write_text

LARGEST = 50_000_000  # bytes
FOLDER = "readers"  # within a run
MapId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
StudyId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class Entry(BaseModel):
    """One page of one reader's form."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    map: MapId
    reader: int
    place: int
    again: bool
    case: str
    group: str
    method: str
    target_index: int
    target: str


class Key(BaseModel):
    """What un-blinds the answers of a study.

    Attributes:
        run: SHA-256 of the maps that were shown, values and all: answers hold for these and no others.
        asked: the names of the items.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    study: StudyId
    run: str
    task: str
    seed: int
    readers: int
    asked: tuple[str, ...]
    entries: tuple[Entry, ...]


def hash_of(maps: Iterable[Attribution]) -> str:
    """SHA-256 of maps: case, method, what is explained, and every value; their order does not matter."""
    parts = []
    for a in maps:
        one = hashlib.sha256(repr((a.case_id, a.method, int(a.target["index"]))).encode())
        for name in sorted(a.maps):
            one.update(repr((name, tuple(a.maps[name].shape))).encode() + a.maps[name].contiguous().numpy().tobytes())
        parts.append(one.hexdigest())
    return hashlib.sha256("".join(sorted(parts)).encode()).hexdigest()


def path_of(run: Run, study: str) -> Path:
    """Where a run keeps the key of a study."""
    return run.folder / FOLDER / f"key-{study}.json"


def write_key(path: Path, key: Key) -> None:
    """Write a key whole or not at all."""
    write_text(path, key.model_dump_json(indent=1))


def read_key(run: Run, study: str, path: Path | None = None) -> Key:
    """The key of a study, from the run folder or from where it was put.

    Raises:
        UsageError: there is none.
        InputError: it is damaged, of another study, or the run's maps are no longer those that were shown.
    """
    where = path or path_of(run, study)
    if not where.is_file():
        here = sorted(p.stem.removeprefix("key-") for p in (run.folder / FOLDER).glob("key-*.json"))
        raise UsageError(
            f"no key of study {study} at {where}; "
            + (f"the keys there are of {', '.join(here)}; " if here and path is None else "")
            + "give the file with --key, or the run folder that the form was made from"
        )
    key = read_checked(where, Key, what="key of a readers' study", largest=LARGEST)
    if key.study != study:
        raise InputError(f"{where} is the key of study {key.study}, the answers are of study {study}; give its own key")
    if key.task not in run.tasks:
        raise InputError(f"{where} is of task {key.task!r}, the run has {', '.join(run.tasks)}; give the study's run")
    if hash_of(_shown(run, key)) != key.run:
        raise InputError(
            f"{where}: the maps of {run.folder} are not those that the readers saw; give the run that the form was "
            "made from, as it was then"
        )
    return key


def _shown(run: Run, key: Key) -> list[Attribution]:
    """The maps of a run that a key names, as far as they are there."""
    wanted = {(e.case, e.method, e.target_index) for e in key.entries}
    there = set(run.cases(key.task))
    maps = [a for case in sorted({c for c, _, _ in wanted} & there) for a in run.attributions(key.task, case)]
    return [a for a in maps if (a.case_id, a.method, int(a.target["index"])) in wanted]
