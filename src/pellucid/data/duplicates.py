"""The same picture twice: by the hash of its content, or by its look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pellucid.data.absent import Cleaned
from pellucid.errors import UsageError

ALIKE = 0.98
"""The least correlation of two pictures whose perceptual hashes are near that are taken for one."""

MOST_BITS = 12
_SMALL = 64


def near_pairs(looks: Sequence[int], bits: int) -> Iterator[tuple[int, int]]:
    """The pairs of 64-bit hashes that differ in at most ``bits`` bits, each once, the earlier first.

    Of ``bits + 1`` pieces of such a pair one at least is equal: only those that share a piece are compared.

    Raises:
        UsageError: a number of bits that is none.

    Example:
        >>> list(near_pairs([0b1111, 0b0111, 1 << 40], 1))
        [(0, 1)]
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 0 <= bits <= MOST_BITS:
        raise UsageError(f"near={bits!r}; give the bits of 64 that may differ, a whole number from 0 to {MOST_BITS}")
    values = np.asarray(looks, np.uint64)
    edges = np.linspace(0, 64, bits + 2).astype(int)
    found: set[tuple[int, int]] = set()
    for start, end in pairwise(edges.tolist()):
        piece = (values >> np.uint64(start)) & np.uint64(2 ** (end - start) - 1)
        order = np.argsort(piece, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(piece[order])) + 1):
            for k, one in enumerate(group[:-1]):
                others = group[k + 1 :]
                for other in others[np.bitwise_count(values[others] ^ values[one]) <= bits]:
                    found.add((int(one), int(other)))
    yield from sorted(found)


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two pictures ``(1, H, W)``, made small, correlate by ``ALIKE`` or more."""
    values = [
        torch.nn.functional.interpolate(x[None], (_SMALL, _SMALL), mode="bilinear", antialias=True).ravel().double()
        for x in (one, other)
    ]
    return bool(torch.corrcoef(torch.stack(values))[0, 1] >= ALIKE)


def duplicates(
    contents: Mapping[str, str],
    groups: Mapping[str, str],
    *,
    action: Literal["drop", "keep"],
    near: Sequence[tuple[str, str]] = (),
) -> list[Cleaned]:
    """A line for each picture that is there more than once.

    Of one patient the first is kept. The same picture under two patients is left out wherever it is: one of the two
    numbers is wrong, and with it the age, the sex and the findings; and on two sides of a split it would be a leak.

    Args:
        contents: id to hash, in order.
        groups: id to patient.
        action: what is done; ``"keep"`` only says so.
        near: pairs that are taken for one picture although their contents differ.
    """
    ids = list(contents)
    place = {id: k for k, id in enumerate(ids)}
    firsts: dict[str, int] = {}
    exact = [(place[id], firsts.setdefault(content, place[id])) for id, content in contents.items()]
    pairs = exact + [(place[a], place[b]) for a, b in near]
    if not pairs:
        return []
    rows, columns = zip(*pairs)
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(ids), len(ids)))
    clusters: dict[int, list[str]] = defaultdict(list)
    for id, label in zip(ids, connected_components(graph, directed=False)[1].tolist()):
        clusters[label].append(id)
    lines = []
    for cluster in clusters.values():
        across = len({groups[id] for id in cluster}) > 1
        for id in cluster if across else cluster[1:]:
            others = [c for c in cluster if c != id] if across else cluster[:1]
            same = any(contents[c] == contents[id] for c in others)
            kind = "duplicate" if same else "near_duplicate"
            who = f"of another patient ({others[0]})" if across else f"of the same patient ({others[0]})"
            what = "the same picture as one" if same else "looks the same as one"
            lines.append(Cleaned(id, kind, f"{what} {who}", "left out" if action == "drop" else "kept"))
    return lines
