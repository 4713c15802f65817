"""What a TIFF says of itself before a library is asked to read it."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pellucid.errors import InputError
from pellucid.io.files import PathLike


def check_pages(path: PathLike, data: bytes | None) -> None:
    """Follow the chain of pages once: a damaged one that leads back to itself would be read for ever.

    Each page ends with the place of the next (TIFF 6.0, section 2; BigTIFF has wider numbers).

    Raises:
        InputError: the chain goes in a circle.
    """
    with BytesIO(data) if data is not None else Path(path).open("rb") as file:
        order, wide = _head(file)
        if order is None:
            return
        counts, entry, place = (("Q", 20, "Q") if wide else ("H", 12, "I"))
        here = _number(file, order + place)
        seen: set[int] = set()
        while here:
            if here in seen:
                raise InputError(f"{path}: the pages of this TIFF lead back to themselves; the file is damaged")
            seen.add(here)
            file.seek(here)
            tags = _number(file, order + counts)
            file.seek(here + struct.calcsize(order + counts) + tags * entry)
            here = _number(file, order + place)


def _head(file: BinaryIO) -> tuple[str | None, bool]:
    """Byte order and width; the file then stands at the place of the first page."""
    order = {b"II": "<", b"MM": ">"}.get(file.read(2))
    if order is None:
        return None, False
    wide = _number(file, order + "H") == 43
    file.seek(8 if wide else 4)
    return order, wide


def _number(file: BinaryIO, kind: str) -> int:
    """The next number; 0 where the file has ended, which also ends a chain."""
    size = struct.calcsize(kind)
    found = file.read(size)
    return int(struct.unpack(kind, found)[0]) if len(found) == size else 0
