"""The numbers of every picture: its range, mean and spread, whether it is constant, and a hash of its content."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.case import Case

COLOURS = ("red", "green", "blue")
LOOKED_AT = 1_000_000  # values that quantiles are taken of; of a larger volume every so-manyth


def views(case: Case) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The pictures of a case by name, ``(C, *spatial)``; of three channels each colour is one, ``(1, *spatial)``."""
    for name in case.images:
        if name in case.missing:  # what lies there is a placeholder
            continue
        values = case.inputs[name].numpy()
        if values.shape[0] == 3:
            yield from ((f"{name}, {colour}", values[k : k + 1]) for k, colour in enumerate(COLOURS))
        else:
            yield name, values


def picture_rows(case: Case, part: str) -> list[dict[str, Any]]:
    """One row per picture, in the image's own units.

    Quantiles are of every so-manyth value where there are more than a million. ``hash`` is that of all pictures of the
    case together: equal where every value is.
    """
    content = blake2b(digest_size=12)
    for name in case.images:
        values = case.inputs[name].numpy()
        content.update(repr((name, values.shape)).encode())
        content.update(np.ascontiguousarray(values).data)
    digest, rows = content.hexdigest(), []
    spacing = None if case.spacing is None else "×".join(f"{s:.3g}" for s in case.spacing)
    for name, values in views(case):
        flat = values.reshape(-1)
        some = flat[:: -(-flat.size // LOOKED_AT)]
        p01, median, p99 = np.quantile(some, (0.01, 0.5, 0.99))
        low, high = float(flat.min()), float(flat.max())
        rows.append({
            "case": case.id, "part": part, "group": case.group, "input": name,
            "shape": "×".join(map(str, values.shape[1:])), "spacing": spacing, "min": low, "p01": float(p01),
            "median": float(median), "p99": float(p99), "max": high, "mean": float(flat.mean(dtype=np.float64)),
            "sd": float(flat.std(dtype=np.float64)), "constant": low == high, "hash": digest,
        })  # fmt: skip
    return rows
