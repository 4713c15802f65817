"""The base of what is made of maps: Attributions in, Attributions out, without a pass through the model."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.registry import Registry
from pellucid.core.verdict import Thresholds
from pellucid.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Refiner(ABC):
    """Makes maps of maps. Fields are its options.

    A new one is a frozen dataclass in a file of its own under ``refine/``; giving it a ``name`` registers it. A refined
    map is called ``label(method)``, such as ``segx(grad_cam)``, keeps the target and the provenance of what it was made
    from, and says in ``refinement`` what was done (``refiner``, ``options``, ``of``).

    Attributes:
        of: the methods whose maps are taken; all that are not refined themselves if None.
        label: what the refined maps are called; the refiner's name if None.

    Class attributes:
        name: registered name.
        source: citation key in ``docs/references.bib``.
    """

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""
    of: tuple[str, ...] | None = None
    label: str | None = None

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            REFINERS.add(cls.name, cls)

    @abstractmethod
    def refine(
        self, maps: Sequence[Attribution], case: Case, *, soft: Mapping[str, Tensor] | None = None,
        limits: Thresholds | None = None,
    ) -> list[Attribution]:  # fmt: skip
        """What is made of the maps of one case.

        Args:
            maps: of the case; those that :meth:`takes` declines are left out by the caller.
            case: that was explained; its regions are the masks.
            soft: probabilities ``(*spatial)`` by region, where a model predicted the region.
            limits: thresholds of the verdicts.
        """

    @classmethod
    def again(cls, made: Sequence[Attribution], like: Attribution) -> list[Attribution]:  # noqa: ARG003
        """The same done to maps of the same method that were made again, of noisy copies or another model.

        Args:
            made: maps of what ``like`` was made from.
            like: a refined map; what its refinement took from the case, such as a mask, is taken from there.

        Raises:
            UsageError: it takes more than one map to make one.
        """
        raise UsageError(f"{like.method}: a map of {cls.name} cannot be made again from the map of one method")

    @classmethod
    def together(cls, made: Sequence[Attribution], like: Attribution) -> Attribution:  # noqa: ARG003
        """The same done to the maps of several methods, which ``like.refinement["members"]`` lists, made again.

        Raises:
            UsageError: it takes one map to make one.
        """
        raise UsageError(f"{like.method}: a map of {cls.name} is not made of several")

    def takes(self, a: Attribution) -> bool:
        """Whether this map is to be refined."""
        return a.refinement is None and self.usual(a.method) if self.of is None else a.method in self.of

    def usual(self, method: str) -> bool:  # noqa: ARG002
        """Whether the map of a method is taken where ``of`` does not say."""
        return True

    def called(self, method: str) -> str:
        """The name of the refined map."""
        return f"{self.label or self.name}({method})"

    def makes(self, taken: Sequence[str]) -> list[str]:
        """The names of the maps that are made of those taken."""
        return [self.called(m) for m in taken]

    def describe(self) -> dict[str, Any]:
        """The options as plain values, for provenance."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


REFINERS: Registry[type[Refiner]] = Registry("refiner", "pellucid.refine")


def refined_again(made: Sequence[Attribution], like: Attribution) -> list[Attribution]:
    """Maps of one method, refined as ``like`` was; as they are if it was not.

    With an ensemble there is nothing to combine one method's map with: it is masked, if the members were masked alike.

    Raises:
        UsageError: that refinement cannot be repeated.
    """
    if like.refinement is None:
        return list(made)
    if "members" in like.refinement:
        return refined_again(made, _member(like, like.refinement["members"][0])) if is_masked(like) else list(made)
    before = like.refinement.get("before")
    made = refined_again(made, like.replace(refinement=before))
    return REFINERS[str(like.refinement["refiner"])].again(made, like)


def made_again(like: Attribution, explain: Callable[[Attribution], list[Attribution]]) -> list[Attribution]:
    """Maps like ``like``, from what its methods make anew: one method's, or those of all members of an ensemble.

    Args:
        like: the map, refined or not.
        explain: makes one method's maps again, one per case; it is given what the provenance of that map says.

    Raises:
        UsageError: that refinement cannot be repeated.
    """
    if like.refinement is None:
        return explain(like)
    refiner = REFINERS[str(like.refinement["refiner"])]
    if "members" in like.refinement:
        parts = [made_again(_member(like, m), explain) for m in like.refinement["members"]]
        return [refiner.together(list(one), like) for one in zip(*parts)]
    return refiner.again(made_again(like.replace(refinement=like.refinement.get("before")), explain), like)


def _member(like: Attribution, member: Mapping[str, Any]) -> Attribution:
    """A member of an ensemble, as far as it is known from it."""
    return like.replace(
        method=str(member["method"]), provenance=member["provenance"], refinement=member["refinement"]
    )


def is_masked(a: Attribution) -> bool:
    """Whether a mask has decided where the map may lie; the maps before it are in ``refinement["unmasked"]``."""
    return a.refinement is not None and "unmasked" in a.refinement


def is_ensemble(a: Attribution) -> bool:
    """Whether a map is made of several others, masked or not."""
    found = a.refinement
    while found is not None and "members" not in found:
        found = found.get("before")
    return found is not None


def base_of(method: str) -> str:
    """The method within the name of a refined map; an ensemble is a method of its own.

    Example:
        >>> base_of("segx(grad_cam)"), base_of("grad_cam")
        ('grad_cam', 'grad_cam')
    """
    return method.rsplit("(", maxsplit=1)[-1].rstrip(")")


def as_refined(method: str, other: str) -> str:
    """What ``other`` is called when it is refined as ``method`` is.

    Example:
        >>> as_refined("segx(grad_cam)", "random"), as_refined("grad_cam", "random")
        ('segx(random)', 'random')
    """
    inner = base_of(method)
    outer, _, rest = method.rpartition(inner)
    return f"{outer}{other}{rest}"


def is_refined(method: str) -> bool:
    """Whether a name is that of a refined map."""
    return base_of(method) != method
