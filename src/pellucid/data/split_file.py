"""The file of a split: the cases and the groups of each side, as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.core.case import Case
from pellucid.errors import InputError

SIDES = ("train", "val", "test")
PARTS = (*SIDES, "left_out")
_FORMATS = ("pellucid split 1", "pellucid split 2")  # the first knew no groups, and left nothing out


def write(path: Path, sides: Mapping[str, Sequence[Case]], fractions: Sequence[float], seed: int | None) -> Path:
    """Write the ids and the groups of each of :data:`PARTS`; a broken write leaves the old file as it was."""
    content = {
        "format": _FORMATS[-1],
        "fractions": list(fractions),
        "seed": seed,
        **{part: [c.id for c in sides[part]] for part in PARTS},
        "groups": {part: sorted({str(c.group) for c in sides[part]}) for part in PARTS},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def load(path: Path) -> dict[str, Any]:
    """What :func:`write` wrote, of any version: ``fractions``, ``seed``, ids by part, and ``groups`` by part.

    Raises:
        InputError: no such file, not a split, a case that is named twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a split file: {type(error).__name__}") from error
    if not isinstance(content, dict) or content.get("format") not in _FORMATS:
        raise InputError(f"{path.name} is not a split file; write one with split(cases).save(path)")
    groups = content.get("groups", {})
    lists = [content.get(part, []) for part in PARTS] + [groups.get(p, []) for p in PARTS if isinstance(groups, dict)]
    if not isinstance(groups, dict) or not all(isinstance(some, list) for some in lists):
        raise InputError(f"{path.name} is a damaged split file: a side of it is no list; make a new split")
    known = {part: [str(i) for i in content.get(part, [])] for part in PARTS}
    listed = [i for ids in known.values() for i in ids]
    if len(set(listed)) != len(listed):
        raise InputError(f"{path.name} names {len(listed) - len(set(listed))} cases twice; make a new split")
    return {
        "fractions": tuple(content.get("fractions") or ()), "seed": content.get("seed"), **known,
        "groups": {part: [str(g) for g in groups.get(part, [])] for part in PARTS},
    }  # fmt: skip
