"""Cases that stand for "a usual input", each with a weight, and how they were chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.errors import UsageError


@dataclass(frozen=True, eq=False)
class Background(Sequence[Case]):
    """Background cases with weights; wherever a list of background cases goes, this goes too.

    Real cases, never a mean of them. A weight is how much of the cohort a case stands for, such as the size of its
    cluster. A plain list is a background whose cases weigh alike.

    Attributes:
        cases: the cases.
        weights: one per case, positive; they are divided by their sum. All alike if None.
        how: how they were chosen, for a map's provenance: sizes, seed and the like, never a patient.

    Raises:
        UsageError: as many weights as cases are not given, or one is not positive.

    Example:
        >>> usual = [Case(id=f"c{i}", inputs={"x": torch.full((1, 2, 2), float(i))}) for i in range(2)]
        >>> Background(usual, [3, 1]).weights.tolist()
        [0.75, 0.25]
    """

    cases: Sequence[Case]
    weights: Any = None
    how: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the weights, and make them add up to one."""
        object.__setattr__(self, "cases", tuple(self.cases))
        if self.weights is None:
            return
        given = torch.as_tensor(self.weights, dtype=torch.float64).cpu()
        if given.shape != (len(self.cases),):
            raise UsageError(f"background: {given.numel()} weights for {len(self.cases)} cases; give one for each")
        if not bool((torch.isfinite(given) & (given > 0)).all()):
            raise UsageError("background: a weight is not positive; leave the case out, or give its cluster's size")
        object.__setattr__(self, "weights", given / given.sum())

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Case]: ...
    def __getitem__(self, index: int | slice) -> Case | Sequence[Case]:
        """A case, or a plain tuple of some."""
        return self.cases[index]

    def __len__(self) -> int:
        return len(self.cases)

    def map(self, change: Callable[[Case], Case]) -> Background:
        """The same with every case changed."""
        return Background([change(c) for c in self.cases], self.weights, self.how)


def weights_of(background: Sequence[Case]) -> Tensor | None:
    """``(R,)`` float64 that add up to one, or None where all cases weigh alike."""
    weights = background.weights if isinstance(background, Background) else None
    if weights is None or bool((weights == weights[0]).all()):
        return None
    found: Tensor = weights
    return found


def described(background: Sequence[Case]) -> dict[str, Any]:
    """Plain values for a map's provenance: how many cases, weighted or not, and how they were chosen."""
    how = dict(background.how) if isinstance(background, Background) else {}
    return {**how, "cases": len(background), "weighted": weights_of(background) is not None}
