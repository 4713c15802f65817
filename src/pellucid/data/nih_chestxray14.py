"""ChestX-ray14 of the NIH: 112,120 frontal chest X-rays of 30,805 patients, 14 findings mined from reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.data.absent import Cleaned, cleaning_table, present
from pellucid.data.boxes import box_mask
from pellucid.data.case_list import CaseList, collect
from pellucid.data.duplicates import alike, near_pairs
from pellucid.data.duplicates import duplicates as said_twice
from pellucid.data.layout import Below
from pellucid.data.nih_lists import FINDINGS, LAYOUT, NONE, Entry, age_of, boxes, entries, parts, sides
from pellucid.data.picture_shards import Item, Seen, read_pictures
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io.files import stem

NAME = "nih_chestxray14"
SIDE = 1024
"""Rows and columns of the published pictures, in whose pixels the boxes are given."""


@DATASETS.register(NAME)
def load_nih_chestxray14(
    root: str | Path,
    *,
    findings: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    size: int | Sequence[int] | None = 224,
    channels: int = 1,
    duplicates: Literal["drop", "keep"] = "drop",
    near: int | None = None,
    least: float = 0.95,
    cache: str | Path | None = None,
    limit: int | None = None,
) -> CaseList:
    """The cases of ChestX-ray14; ``.cleaning`` says of which pictures something was noticed, and what was done.

    ``truth`` is a vector of 0 and 1 over the findings; the boxes of a radiologist are a region per finding, and
    ``"boxes"`` their union. The group is the patient. ``meta`` has ``class`` (findings joined by ``|``), ``age``
    (``age_flag`` says why it is not there), ``sex``, ``view``, ``follow_up``, and ``part`` (``"train"`` or ``"test"``)
    where the official lists are there. Source: wang2017chestx.

    Args:
        root: the folder of the unpacked files.
        findings: which, in the order of ``truth``; the 14 of the paper if None.
        keep: only pictures with one of these labels at least, ``"No Finding"`` among them if it is named; all if None.
        size: rows and columns, or one number for both. As stored if None.
        channels: 1, or 3 for grey repeated (which takes no more memory).
        duplicates: ``"drop"``: of a picture that one patient has twice the first is kept, one that two patients have
            is left out; ``"keep"``: they are only said.
        near: take pictures for duplicates, too, whose perceptual hashes differ in at most so many of 64 bits and which
            correlate by 0.98 or more; only equal contents if None.
        least: the share of the listed pictures that must be there.
        cache: a folder, seen from ``root``, in which the resized pictures are kept and from which they are mapped into
            memory; without one, all are read at every start and kept in memory.
        limit: keep the first lines of the table only.

    Raises:
        InputError: another layout, missing columns, findings that are none of the 14, too many pictures absent, or no
            case that can be read.
        UsageError: an option without meaning.
    """
    names = _known(findings, FINDINGS, "findings") or FINDINGS
    wanted = _known(keep, (*FINDINGS, NONE), "keep")
    if duplicates not in ("drop", "keep"):
        raise UsageError(f"{NAME}: duplicates={duplicates!r}; give 'drop' or 'keep'")
    if channels not in (1, 3):
        raise UsageError(f"{NAME}: channels={channels!r}; the pictures are grey: give 1, or 3 for grey repeated")
    below = Below(root)
    listed = entries(below)
    drawn, lines = boxes(below, (e.file for e in listed))
    rows = [e for e in listed if wanted is None or {*(e.labels or (NONE,))} & {*wanted}][:limit]
    part, odd = sides(rows, parts(below))
    named = [(stem(e.file), e) for e in rows]
    below.need_any([_files(e.file) for e in rows], what="pictures", layout=LAYOUT)
    named, absent = present(named, lambda _, e: below.find(*_files(e.file)) is not None, least=least, source=NAME)
    items = [Item(e.line, id, path) for id, e in named if (path := below.find(*_files(e.file))) is not None]
    seen = read_pictures(items, size=size, cache=None if cache is None else below.root / cache, source=NAME)
    unfit, groups = _unfit(seen), {id: e.patient for id, e in named}
    gone = {line.case for line in unfit if line.action == "left out"}
    double = _double({id: s for id, s in seen.items() if id not in gone}, groups, duplicates, near)
    gone |= {line.case for line in double if line.action == "left out"}
    there = {id for id, _ in named} - gone
    lines += [*absent, *unfit, *double, *(line for line in odd if line.case in there)]

    def make(id: str, entry: Entry) -> Case:
        pixels = seen[id].pixels
        assert pixels is not None
        years, flag = age_of(entry.age)
        if flag is not None:
            lines.append(Cleaned(id, "age", flag, "kept, its age is unknown"))
        facts = {
            "class": "|".join(f for f in entry.labels if f in names) or NONE, "age": years, "age_flag": flag,
            "sex": entry.sex.upper()[:1] or None, "view": entry.view.upper() or None, "part": part.get(entry.file),
            "follow_up": int(entry.follow_up) if entry.follow_up.isdigit() else None, "group_is": "patient",
        }  # fmt: skip
        return Case(
            id=id, inputs={"image": pixels.expand(channels, -1, -1)}, group=entry.patient,
            truth=torch.tensor([int(f in entry.labels) for f in names]),
            regions=_regions(id, [(f, b) for f, b in drawn.get(entry.file, ()) if f in names], pixels, lines),
            meta={k: v for k, v in facts.items() if v is not None},
        )  # fmt: skip

    if not there:
        raise InputError(f"{NAME}: none of the {len(items)} pictures can be used; the first: {lines[0].detail}")
    cases = collect([(id, e) for id, e in named if id in there], make, source=NAME)
    cases.cleaning = cleaning_table(lines)
    return cases


def _known(asked: Sequence[str] | None, known: Sequence[str], option: str) -> tuple[str, ...] | None:
    if asked is None:
        return None
    if isinstance(asked, str) or not asked or len({*asked}) < len(asked):
        raise UsageError(f"{NAME}: {option}={asked!r}; give a list of labels, each once")
    for name in asked:
        if name not in known:
            raise UsageError(f"{NAME}: {option}: no label {name!r}; {nearest(name, known)}")
    return tuple(asked)


def _files(name: str) -> tuple[str, ...]:
    """The names that a picture may have: copies of another size are often JPEG."""
    return (name, *(f"{stem(name)}{suffix}" for suffix in (".png", ".jpg", ".jpeg") if not name.endswith(suffix)))


def _unfit(seen: Mapping[str, Seen]) -> list[Cleaned]:
    """Pictures that cannot be read, are not square, or are of another size than most."""
    lines = []
    shapes = Counter(s.shape for s in seen.values() if s.pixels is not None)
    usual = max(shapes, key=lambda shape: shapes[shape], default=())
    for id, s in seen.items():
        if s.pixels is None:
            lines.append(Cleaned(id, "corrupt", s.problem or "", "left out"))
        elif s.shape[0] != s.shape[1]:  # as published they are square: the boxes would not lie where they belong
            lines.append(Cleaned(id, "size", f"{s.shape[0]} × {s.shape[1]} pixels, not square", "left out"))
        elif s.shape != usual:
            detail = f"{s.shape[0]} × {s.shape[1]} pixels, most are {usual[0]} × {usual[1]}"
            lines.append(Cleaned(id, "size", detail, "kept, resized"))
    return lines


def _double(
    seen: Mapping[str, Seen], groups: Mapping[str, str], action: Literal["drop", "keep"], near: int | None
) -> list[Cleaned]:
    ids, pairs = list(seen), []
    if near is not None:
        for a, b in near_pairs([s.look for s in seen.values()], near):
            one, other = seen[ids[a]], seen[ids[b]]
            assert one.pixels is not None
            assert other.pixels is not None
            if one.content != other.content and alike(one.pixels, other.pixels):
                pairs.append((ids[a], ids[b]))
    return said_twice({id: s.content for id, s in seen.items()}, groups, action=action, near=pairs)


def _regions(
    id: str, drawn: Sequence[tuple[str, tuple[Any, ...]]], pixels: Tensor, lines: list[Cleaned]
) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for finding, box in drawn:
        left, top, width, height = box
        try:
            mask = box_mask(box, (SIDE, SIDE), tuple(pixels.shape[1:]), where=f"case {id}")  # type: ignore[arg-type]
        except InputError as error:
            lines.append(Cleaned(id, "box", str(error).removeprefix(f"case {id}: "), "box left out"))
            continue
        if min(left, top) < 0 or max(left + width, top + height) > SIDE:
            lines.append(Cleaned(id, "box", f"the box of {finding} reaches over the edge", "box cut off there"))
        for region in (finding, "boxes"):
            out[region] = out[region] | mask if region in out else mask
    return out
