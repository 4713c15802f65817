"""Cases whose labels belong to other patients: what a network learns from them is not what they mean."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from pellucid.core.case import Case


def shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    """The cases with their truths permuted between patients; nothing else of them changes.

    The truths of one patient stay together as far as the numbers of cases allow it. Labels, scores and masks alike;
    masks are exchanged between masks of one shape. Every truth is there as often as before, and a case may get its own
    back by chance, as in any permutation.
    """
    kinds: dict[Hashable, list[int]] = {}
    for i, case in enumerate(cases):
        kinds.setdefault(tuple(case.truth.shape) if isinstance(case.truth, Tensor) else (), []).append(i)
    found = list(cases)
    generator = torch.Generator().manual_seed(seed)
    for places in kinds.values():
        patients: dict[str, list[int]] = {}
        for i in places:
            patients.setdefault(cases[i].group or cases[i].id, []).append(i)
        own = list(patients.values())
        givers = [i for p in torch.randperm(len(own), generator=generator).tolist() for i in own[p]]
        for to, giver in zip((i for patient in own for i in patient), givers):
            found[to] = cases[to].replace(truth=cases[giver].truth)
    return found
