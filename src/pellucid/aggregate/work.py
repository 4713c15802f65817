"""One case while its table is made: what is asked of it, and the sums that its maps go into."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.aggregate.sums import RegionSums
from pellucid.aggregate.targets import LabelTarget
from pellucid.core.explainer import Explainer, Result
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, UsageError


@dataclass(eq=False)
class Work:
    """One case, one method.

    Attributes:
        problem: the case and its targets.
        explainer: the method.
        labels: predicted label map of a segmentation.
        on_labels: the targets on label maps, where they can be had from these alone.
        sums: one for each label map that is asked for.
        keep: target to its maps by input, of those that are kept.
        names, indices: of the targets.
        empty: targets without a voxel.
        flags: of each target.
        result: of a method that made all maps at once.
    """

    problem: Problem
    explainer: Explainer
    labels: Tensor | None
    on_labels: list[LabelTarget] | None
    sums: list[RegionSums]
    keep: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    empty: set[int] = field(default_factory=set)
    flags: dict[int, tuple[str, ...]] = field(default_factory=dict)
    result: Result | None = None

    def name_targets(self, keep: Collection[object]) -> None:
        """Find names, classes and what is empty, and which maps are to be kept.

        Raises:
            UsageError: a class to keep that is no target.
        """
        if self.on_labels is not None:
            # Bound from the label map: nothing runs the model again to find the regions.
            self.names = [t.label for t in self.on_labels]
            self.indices = [t.index for t in self.on_labels]
            self.empty = {i for i, t in enumerate(self.on_labels) if not t.voxels}
            self.flags = dict.fromkeys(self.empty, ("empty_target",))
        else:
            self.problem.bind()
            bound = self.problem.objective.bound[0] or []
            self.names, self.indices = [b.label for b in bound], [b.index for b in bound]
            self.flags = {i: b.flags for i, b in enumerate(bound)}
            self.empty = {i for i, b in enumerate(bound) if "empty_target" in b.flags}
        for name in [keep] if isinstance(keep, str) else keep:
            k = self.problem.predictor.class_index(name)  # type: ignore[arg-type]
            found = [t for t, i in enumerate(self.indices) if i == k]
            if not found:
                raise UsageError(f"keep: {name!r} is none of the targets; add it to targets")
            self.keep |= {t: {} for t in found}

    def add(self, t: int, made: dict[str, Tensor], start: int = 0) -> None:
        """Add planes of a target's maps, by input, to all sums, and to the kept map."""
        case = self.problem.cases[0]
        axes = len(case.spatial)
        pictures = [m.sum(0) if m.ndim == axes + 1 else m for m in made.values()]
        for sums in self.sums:
            for m in pictures:
                if m.shape[1:] != sums.parts.shape[1:]:
                    raise InputError(
                        f"case {case.id}: label map {sums.labels.of!r} is {tuple(sums.parts.shape)}, a map is "
                        f"{tuple(m.shape)}; resample the label map to the image's grid"
                    )
            sums.update(t, pictures, start=start)
        for name, m in made.items() if t in self.keep else ():
            shape = case.inputs[name].shape if m.ndim == axes + 1 else case.spatial
            kept = self.keep[t].setdefault(name, torch.zeros(tuple(shape)))
            kept.narrow(-axes, start, m.shape[-axes]).copy_(m)

    def kept(self) -> Result:
        """The kept maps, ``(1, T, *shape)``, with what the method said of them."""
        case, places = self.problem.cases[0], list(self.keep)
        like = self.result.maps if self.result is not None else {}
        maps = {}
        for name in self.problem.images:
            blank = torch.zeros(tuple(like[name].shape[2:]) if name in like else tuple(case.inputs[name].shape))
            maps[name] = torch.stack([self.keep[t].get(name, blank) for t in places])[None]
        if self.result is None:
            return Result(maps)

        def pick(value: object) -> object:
            return value[:, places] if isinstance(value, Tensor) and value.ndim == 2 else value

        expected, flags = self.result.expected, self.result.flags
        return Result(
            {k: v for k, v in maps.items() if k in like},
            None if expected is None else expected[:, places],
            {k: pick(v) for k, v in self.result.notes.items()},
            {k: v[:, places] for k, v in flags.items()} if isinstance(flags, dict) else flags,
        )
