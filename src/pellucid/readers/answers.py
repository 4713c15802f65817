"""Answers as the form saves them: from strangers, so that every value is checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pellucid.errors import InputError
from pellucid.readers.checked import read_checked
from pellucid.readers.items import LEVELS, NAMES
from pellucid.readers.key import Key, MapId, StudyId
from pellucid.readers.plan import MOST_READERS

LARGEST = 5_000_000  # bytes of a file
LONGEST = 2000  # characters of a comment
MOST = 20_000  # maps of a file
COLUMNS = ["reader", "case", "group", "method", "target_index", "target", "again", "place", *NAMES, "comment"]
Rating = Annotated[int, Field(strict=True, ge=LEVELS[0], le=LEVELS[-1])]


class Answer(BaseModel):
    """What was said of one map; items without a rating are missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    map: MapId
    ratings: dict[str, Rating]
    comment: Annotated[str, Field(max_length=LONGEST)] = ""

    @field_validator("ratings")
    @classmethod
    def _known(cls, ratings: dict[str, int]) -> dict[str, int]:
        for name in ratings:
            if name not in NAMES:
                raise ValueError(f"no item {name[:40]!r}; known: {', '.join(NAMES)}")
        return ratings


class Answers(BaseModel):
    """A file that a form saved."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    study: StudyId
    reader: Annotated[int, Field(strict=True, ge=1, le=MOST_READERS)]
    answers: Annotated[tuple[Answer, ...], Field(max_length=MOST)]


def read_answers(path: Path) -> Answers:
    """One file.

    Raises:
        InputError: missing, too large, not such a file, a rating out of range.
    """
    return read_checked(path, Answers, what="file of a reader's answers", largest=LARGEST)


def of_one_study(files: Sequence[tuple[Path, Answers]]) -> str:
    """The study that all files are of.

    Raises:
        InputError: of several studies, or two files of one reader.
    """
    path, first = files[0]
    seen: dict[int, Path] = {}
    for other, found in files:
        if found.study != first.study:
            raise InputError(
                f"{other} is of study {found.study}, {path} of study {first.study}; read one study at a time"
            )
        if found.reader in seen:
            raise InputError(
                f"{other} and {seen[found.reader]} are both of reader {found.reader}; give the one that is meant"
            )
        seen[found.reader] = other
    return first.study


def unblind(files: Sequence[tuple[Path, Answers]], key: Key) -> pd.DataFrame:
    """One row for every map that was shown to these readers: :data:`COLUMNS`, NaN where an item was left out.

    Raises:
        InputError: a map that is not of this reader's form, or twice in a file; nobody rated anything.
    """
    known = {e.map: e for e in key.entries}
    said: dict[str, Answer] = {}
    for path, found in files:
        for answer in found.answers:
            entry = known.get(answer.map)
            if entry is None:
                raise InputError(f"{path}: study {key.study} has no map {answer.map}; ask for the file again")
            if entry.reader != found.reader:
                raise InputError(
                    f"{path}: map {answer.map} was shown to reader {entry.reader}, the file is of reader {found.reader}"
                )
            if answer.map in said:
                raise InputError(f"{path}: map {answer.map} is there twice; ask for the file again")
            said[answer.map] = answer
    readers = {found.reader for _, found in files}
    rows = []
    for entry in key.entries:
        if entry.reader in readers:
            given = said.get(entry.map)
            values = {name: np.nan if given is None else float(given.ratings.get(name, np.nan)) for name in NAMES}
            rows.append(entry.model_dump(exclude={"map"}) | values | {"comment": given.comment if given else ""})
    table = pd.DataFrame(rows, columns=COLUMNS)
    if not table[list(NAMES)].notna().to_numpy().any():
        raise InputError(f"{', '.join(str(p) for p, _ in files)}: no map is rated; give files of readers who answered")
    ordered = table.sort_values(["reader", "case", "method", "again"], kind="stable")
    return ordered.reset_index(drop=True)


def unfinished(files: Sequence[tuple[Path, Answers]], key: Key) -> list[str]:
    """A sentence for every reader who left something out, and for those of whom there is no file."""
    found = []
    by = {a.reader: a for _, a in files}
    for reader in range(1, key.readers + 1):
        asked = len(NAMES) * sum(e.reader == reader for e in key.entries)
        if reader not in by:
            found.append(f"reader {reader}: no file")
            continue
        given = sum(len(a.ratings) for a in by[reader].answers)
        if given < asked:
            found.append(f"reader {reader}: {given} of {asked} ratings given")
    return found
