"""Which voxel belongs to which named region: of a label map, of masks that may overlap, and of regions joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError, nearest

WHOLE = "*"  # the region of what is measured over the whole volume


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelMap:
    """Named regions of one case's grid.

    The grid is cut into parts that do not overlap; a region is one part or several. So sums over the parts give those
    over every region, also where regions overlap or are joined.

    Attributes:
        of: where the regions come from: ``"predicted"``, ``"truth"``, or the name of a region or file.
        parts: ``(*spatial)``, int16 or int32, the number of each voxel's part, from 0.
        count: how many parts there are.
        regions: name to the numbers of its parts. A part may be in no region.
    """

    of: str
    parts: Tensor
    count: int
    regions: Mapping[str, tuple[int, ...]]

    def mask(self, region: str) -> Tensor:
        """``(*spatial)`` bool."""
        if region not in self.regions:
            raise UsageError(f"{self.of}: no region {region!r}; {nearest(region, self.regions)}")
        return torch.isin(self.parts, torch.tensor(self.regions[region], dtype=self.parts.dtype))

    def joined(self, join: Mapping[str, Sequence[str]] | None) -> LabelMap:
        """With further regions, each made of others, which stay: ``{"lungs": ["right lung", "left lung"]}``.

        Raises:
            UsageError: an unknown member, a name that there is already, nothing to join.
        """
        more: dict[str, tuple[int, ...]] = {}
        for name, members in (join or {}).items():
            if name in self.regions or name == WHOLE:
                raise UsageError(f"join: {name!r} is the name of a region of {self.of!r} already; choose another")
            if isinstance(members, str) or not members:
                raise UsageError(f"join: {name!r} wants a list of regions, such as ['right lung', 'left lung']")
            for member in members:
                if member not in self.regions:
                    raise UsageError(
                        f"join: {name!r} is to hold {member!r}, which is no region of {self.of!r}; "
                        f"{nearest(member, self.regions)}"
                    )
            more[name] = tuple(sorted({p for m in members for p in self.regions[m]}))
        return replace(self, regions={**self.regions, **more}) if more else self


def of_labels(of: str, labels: Tensor, names: Mapping[int, str]) -> LabelMap:
    """Regions of an integer label map; a value without a name is in no region, a name without a voxel is empty.

    Raises:
        UsageError: two values with one name, or the name ``"*"``.
    """
    twice = [n for n in names.values() if list(names.values()).count(n) > 1]
    if twice:
        raise UsageError(f"{of}: two labels are called {twice[0]!r}; give each a name of its own, or join them")
    if WHOLE in names.values():
        raise UsageError(f"{of}: no region can be called {WHOLE!r}, which stands for the whole volume")
    found, parts = _numbered(labels)
    place = {int(v): i for i, v in enumerate(found.tolist())}
    regions = {str(name): (place[v],) if v in place else () for v, name in names.items()}
    return LabelMap(of=of, parts=parts.to(torch.int32), count=len(found), regions=regions)


def _numbered(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The values that occur, and each voxel's place among them; without a sort where the values lie close together."""
    low, high = int(labels.min()), int(labels.max())
    if high - low >= labels.numel():
        found, parts = torch.unique(labels, return_inverse=True)
        return found, parts
    shifted = labels.long() - low
    occurs = torch.bincount(shifted.flatten()) > 0
    return occurs.nonzero()[:, 0] + low, (occurs.cumsum(0) - 1)[shifted]


def of_masks(of: str, masks: Mapping[str, Tensor]) -> LabelMap:
    """Regions that may overlap: everything that is not zero is inside."""
    parts: Tensor | None = None
    members: list[tuple[str, ...]] = [()]
    for name, given in masks.items():
        mask = torch.as_tensor(given) != 0
        parts = torch.zeros(mask.shape, dtype=torch.int64) if parts is None else parts
        codes, parts = torch.unique(2 * parts + mask, return_inverse=True)
        members = [members[int(c) // 2] + ((name,) if int(c) % 2 else ()) for c in codes.tolist()]
    if parts is None:
        raise UsageError(f"{of}: no region; give at least one")
    regions = {name: tuple(i for i, m in enumerate(members) if name in m) for name in masks}
    return LabelMap(of=of, parts=parts.to(torch.int32), count=len(members), regions=regions)


def class_names(predictor: Predictor) -> dict[int, str]:
    """Label value to class name of a segmentation, the background among them where it is a class."""
    return {predictor.label_of(k): name for k, name in enumerate(predictor.classes)}


def of_truth(predictor: Predictor, case: Case) -> LabelMap:
    """The classes of the case's true mask.

    Raises:
        InputError: the case has no true mask.
    """
    if not isinstance(case.truth, Tensor) or case.truth.ndim < 2 or predictor.task != "segmentation":
        raise InputError(f"case {case.id}: regions 'truth' asked for, but it has no true mask of the model's classes")
    return of_labels("truth", case.truth, class_names(predictor))


def of_case(predictor: Predictor, case: Case, name: str, names: Mapping[int, str] | None = None) -> LabelMap:
    """A region of the case: one region of a mask; of a label map one per value, called as ``names`` says.

    Without ``names`` a value is called ``name=value``; in a label map that is the case's true mask as the model's class
    with that label. A mask that is bool keeps its own name.

    Raises:
        InputError: the case has no such region.
    """
    if name not in case.regions:
        raise InputError(f"case {case.id}: no region {name!r}; {nearest(name, ('predicted', 'truth', *case.regions))}")
    given = case.regions[name]
    if given.dtype == torch.bool:  # a mask has a name already; ``names`` are of the label maps beside it
        return of_masks(name, {name: given})
    if names:
        return of_labels(name, given.to(torch.int64), names)
    values = [int(v) for v in given.unique() if v]
    if values in ([], [1]):
        return of_masks(name, {name: given})
    known = class_names(predictor) if predictor.task == "segmentation" and _is_truth(given, case) else {}
    return of_labels(name, given, {v: known.get(v, f"{name}={v}") for v in values})


def _is_truth(given: Tensor, case: Case) -> bool:
    """Whether a label map is the case's true mask: of any other the numbers may mean something else."""
    return isinstance(case.truth, Tensor) and given.shape == case.truth.shape and bool((given == case.truth).all())
