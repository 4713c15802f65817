"""The base of all methods."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from pellucid.core.fill import Fill
from pellucid.core.registry import Registry
from pellucid.errors import UsageError

if TYPE_CHECKING:
    from pellucid.engine.linear import Linear
    from pellucid.engine.problem import Problem


@dataclass(eq=False)
class Result:
    """What a method returns for B cases and T targets.

    Attributes:
        maps: input name to ``(B, T, *shape)``, the shape of the input or that without the channel axis. A mapping may
            make them when they are asked for.
        expected: ``(B, T)``, what the map of each case and target should add up to, where the method promises it.
        notes: name to ``(B, T)`` tensor or one plain value for all.
        flags: words for ``a.flags``: of all the maps, or name to a boolean ``(B, T)`` tensor.
    """

    maps: Mapping[str, Tensor]
    expected: Tensor | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] | dict[str, Tensor] = ()


@dataclass(frozen=True, kw_only=True)
class Explainer(ABC):
    """A method: its formula. Fields are its options; batches, devices, hooks and counting are the engine's.

    A new method is a frozen dataclass in a file of its own under ``explain/``; giving it a ``name`` registers it.

    Class attributes:
        name: registered name.
        family: ``gradient``, ``cam``, ``perturbation``, ``shapley``, ``attention`` or ``control``.
        source: citation key in ``docs/references.bib``.
        signed: whether negative values mean "speaks against".
        complete: ``"exact"`` if the map adds up to ``f(x) − f(x')``, ``"expected"`` if it does so on average.
        stochastic: whether the map depends on the seed.
        needs: what the model has to offer: ``"gradient"``; ``"layer"`` with a spatial grid; ``"linear_head"``, global
            average pooling and one linear layer; ``"attention"``; ``"several_inputs"``. Where it does not, the method
            raises UsageError.
        tasks: the tasks that it can explain.
        axes: the numbers of spatial axes that it takes.
        tables: whether tabular inputs get a map.
        targeted: whether the map depends on what is explained (raw attention does not).
        shared: whether all targets come from the same passes; a method that searches for each target asks for more.
        resolution: of the map: ``"pixel"``, ``"layer"``, ``"feature"`` (window, block, segment) or ``"token"``.
        passes: of one case, such as ``"1 + S F, S*T B"``: forwards and backwards, T targets, the other letters
            explained in the docstring. The tests hold the method to it.
    """

    name: ClassVar[str] = ""
    family: ClassVar[str] = ""
    source: ClassVar[str] = ""
    signed: ClassVar[bool] = True
    complete: ClassVar[Literal["exact", "expected", "no"]] = "no"
    stochastic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression", "segmentation")
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    tables: ClassVar[bool] = True
    targeted: ClassVar[bool] = True
    shared: ClassVar[bool] = True
    resolution: ClassVar[Literal["pixel", "layer", "feature", "token"]] = "pixel"
    passes: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            EXPLAINERS.add(cls.name, cls)

    @abstractmethod
    def attribute(self, problem: Problem) -> Result:
        """The maps of all cases and targets of the problem."""

    def linear(self, problem: Problem) -> Linear | None:  # noqa: ARG002
        """How the map of a problem's one case follows from gradients, where it does so plane by plane; else None.

        Region tables of a volume are made that way without a map of the whole. It has to give what ``attribute`` does.
        """
        return None

    def direction(self, problem: Problem) -> Mapping[str, Tensor] | None:  # noqa: ARG002
        """``d``, ``(B, …)`` per input, where the map is ``d ∘ ∂y/∂x``, so that its sums are directional derivatives."""
        return None

    def describe(self) -> dict[str, Any]:
        """The options as plain values, for provenance."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


EXPLAINERS: Registry[type[Explainer]] = Registry("method", "pellucid.explain")


def require(condition: bool, message: str) -> None:
    """Raise UsageError unless an option makes sense."""
    if not condition:
        raise UsageError(message)


def _plain(value: Any) -> Any:
    if isinstance(value, Fill):
        return value.describe()
    return list(value) if isinstance(value, tuple) else value
