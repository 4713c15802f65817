"""Pictures by the thousand: read once, made small, kept in files of some hundreds that are mapped into memory."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import imagehash
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data.pictures import full_size, resized, windowed, with_channels
from pellucid.data.progress import reading
from pellucid.data.volume_cache import VolumeCache
from pellucid.errors import InputError, UsageError
from pellucid.io import read

SHARD = 512
THREADS = 2
_FORMS = {1: "grey", 3: "colour"}


class Item(NamedTuple):
    """A picture to be read: its place in the list (which decides the file that it is kept in), id and path."""

    place: int
    id: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture as it was read.

    Attributes:
        pixels: ``(C, H, W)`` in [0, 1], mapped where there is a cache; None where it cannot be read.
        problem: why not.
        shape: rows and columns of the file.
        content: a hash of the grey values of the file, whichever way they are stored.
        look: a perceptual hash of 64 bits.
    """

    pixels: Tensor | None
    problem: str | None = None
    shape: tuple[int, ...] = ()
    content: str = ""
    look: int = 0


def read_pictures(
    items: Sequence[Item], *, size: int | Sequence[int] | None, cache: Path | None, source: str, channels: int = 1
) -> dict[str, Seen]:
    """Every picture by its id; what cannot be read is said in its place.

    With a cache they are read shard by shard, ``SHARD`` places of the list each: what is stopped loses one shard at
    most, and a picture that is added makes its own shard anew and no other. A shard is made anew when one of its files
    has another name, size or time of the last change, and when ``size`` is another.

    Args:
        items: which.
        size: rows and columns; as stored if None.
        cache: the folder; None keeps all pictures in memory.
        source: what to call the data set beside the bar.
        channels: 1 for grey, or 3.

    Raises:
        InputError: the cache cannot be written.
        UsageError: a size that is none, or another number of channels.
    """
    if channels not in _FORMS:
        raise UsageError(f"channels={channels!r}; give 1 for grey, or 3 for colour")
    wanted = full_size(size, 2)
    kept = None if cache is None else VolumeCache(folder=cache, options={"size": wanted, "form": _FORMS[channels]})
    shards: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        shards[item.place // SHARD].append(item)
    found: dict[str, Seen] = {}
    with reading(source, len(items)) as done:
        for number, shard in sorted(shards.items()):
            file = None if kept is None else kept.path(f"pictures-{number:05d}", [i.path for i in shard])
            ready = None if kept is None or file is None else kept.load(file)
            if ready is not None:
                for _ in shard:
                    done()
                found |= _restored(*ready)
                continue
            fresh = dict(_read(shard, wanted, channels, done))
            if kept is not None and file is not None:
                kept.save(file, *_stored(fresh))
                ready = kept.load(file)  # mapped, so that the copies in memory can go
                fresh = fresh if ready is None else _restored(*ready)
            found |= fresh
    return {item.id: found[item.id] for item in items}


def _read(
    shard: Sequence[Item], size: tuple[int, ...] | None, channels: int, done: Callable[[], None]
) -> Iterator[tuple[str, Seen]]:
    pool = ThreadPoolExecutor(THREADS)  # decoding and resizing leave the interpreter's lock
    try:
        with warnings.catch_warnings():  # the readers put the filters back themselves, but not in the order of threads
            for item, seen in zip(shard, pool.map(partial(_one, size=size, channels=channels), shard)):
                done()
                yield item.id, seen
    finally:
        pool.shutdown(cancel_futures=True)


def _one(item: Item, *, size: tuple[int, ...] | None, channels: int) -> Seen:
    try:
        image = read(item.path)
        if image.meta.get("format") == "DICOM" and len(image.array) == 3:
            # Colour is stored from 0 to the largest number of its bits, whatever is in the picture.
            image = windowed(replace(image, meta={"scaled": True}), (0.0, 2.0 ** int(image.meta["bits"]) - 1))
        array = image.array
        if array.ndim != 3 or not image.meta.get("scaled"):
            raise InputError(f"{item.path}: is no picture of 8 or 16 bits; save it as PNG")
        if len(array) == 3 and (array == array[:1]).all():  # grey as colour: without the rounding of a weighted sum
            array = array[:1]
    except InputError as error:
        return Seen(pixels=None, problem=str(error).removeprefix(f"{item.path}: "))
    seen = type(image)(array=array, source=item.path)
    grey = with_channels(seen, 1)
    small = resized(grey if channels == 1 else with_channels(seen, channels), size)
    return Seen(
        pixels=torch.from_numpy(small.array), shape=grey.spatial, content=_content(grey.array), look=_look(grey.array)
    )


def _content(array: NDArray[np.float32]) -> str:
    values = np.round(array * 65535).astype(np.uint16)
    return hashlib.blake2b(repr(values.shape).encode() + values.tobytes(), digest_size=12).hexdigest()


def _look(array: NDArray[np.float32]) -> int:
    grey = PIL.Image.fromarray(np.round(array[0] * 255).astype(np.uint8))
    return int(str(imagehash.phash(grey)), 16)


def _stored(fresh: Mapping[str, Seen]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    pixels = {id: s.pixels for id, s in fresh.items() if s.pixels is not None}
    return pixels, {id: [s.problem, list(s.shape), s.content, s.look] for id, s in fresh.items()}


def _restored(pixels: Mapping[str, Tensor], facts: Mapping[str, Any]) -> dict[str, Seen]:
    return {
        id: Seen(pixels=pixels.get(id), problem=problem, shape=tuple(shape), content=content, look=look)
        for id, (problem, shape, content, look) in facts.items()
    }
