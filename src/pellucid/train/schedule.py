"""The learning rate: warm-up by step, then PyTorch's schedulers by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau, StepLR

from pellucid.core.registry import build
from pellucid.errors import UsageError, nearest

Named = str | Mapping[str, Mapping[str, Any] | None]


class Kind(Protocol):
    """The options of a schedule, and what makes PyTorch's scheduler of them."""

    def on(self, optimizer: Optimizer, *, epochs: int, higher: bool) -> Any:
        """A scheduler that is stepped once per epoch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same for all epochs."""

    def on(self, optimizer: Optimizer, *, epochs: int, higher: bool) -> LambdaLR:  # noqa: ARG002
        """A factor of one."""
        return LambdaLR(optimizer, _one)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from ``lr`` in the first epoch to nearly 0 in the last [loshchilov2017sgdr], without restarts."""

    def on(self, optimizer: Optimizer, *, epochs: int, higher: bool) -> LambdaLR:  # noqa: ARG002
        """The closed form: CosineAnnealingLR goes from epoch to epoch and gathers rounding errors."""
        return LambdaLR(optimizer, partial(_cosine, epochs=epochs))


@dataclass(frozen=True, kw_only=True)
class Step:
    """Multiplied by ``gamma`` every ``size`` epochs, as StepLR.

    Attributes:
        size: epochs between two steps; two thirds of all, so that there is one, if None.
        gamma: factor, above 0 and at most 1.
    """

    size: int | None = None
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Check."""
        if self.size is not None and self.size < 1:
            raise UsageError(f"schedule 'step': size is {self.size}; give at least 1 epoch")
        if not 0 < self.gamma <= 1:
            raise UsageError(f"schedule 'step': gamma is {self.gamma}; give a factor above 0 and at most 1")

    def on(self, optimizer: Optimizer, *, epochs: int, higher: bool) -> StepLR:  # noqa: ARG002
        """StepLR."""
        return StepLR(optimizer, self.size or math.ceil(2 * epochs / 3), self.gamma)


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """Multiplied by ``factor`` when the monitored number was not better for ``patience`` epochs, as ReduceLROnPlateau.

    Attributes:
        factor: above 0 and below 1.
        patience: epochs without a better number that are borne; the rate falls after the next one.
    """

    factor: float = 0.1
    patience: int = 10

    def __post_init__(self) -> None:
        """Check."""
        if not 0 < self.factor < 1:
            raise UsageError(f"schedule 'plateau': factor is {self.factor}; give one above 0 and below 1")
        if self.patience < 0:
            raise UsageError(f"schedule 'plateau': patience is {self.patience}; give 0 epochs or more")

    def on(self, optimizer: Optimizer, *, epochs: int, higher: bool) -> ReduceLROnPlateau:  # noqa: ARG002
        """ReduceLROnPlateau."""
        mode: Literal["min", "max"] = "max" if higher else "min"
        return ReduceLROnPlateau(optimizer, mode, factor=self.factor, patience=self.patience)


SCHEDULES: dict[str, type[Any]] = {"cosine": Cosine, "constant": Constant, "step": Step, "plateau": Plateau}


def as_schedule(spec: Named) -> Kind:
    """A schedule from a name, or one name with its options.

    Raises:
        UsageError: unknown name or option.

    Example:
        >>> as_schedule({"step": {"size": 7}})
        Step(size=7, gamma=0.1)
    """
    named: Mapping[str, Any] = {spec: {}} if isinstance(spec, str) else spec
    if len(named) != 1:
        raise UsageError(f"schedule is {dict(named)}; give one name, or one name with its options")
    ((name, options),) = named.items()
    if name not in SCHEDULES:
        raise UsageError(f"unknown schedule {name!r}; {nearest(name, SCHEDULES)}")
    return build(SCHEDULES[name], "schedule", name, dict(options or {}))


class Schedule:
    """The learning rate of every step.

    PyTorch's scheduler works on an optimiser of its own, which trains nothing: the warm-up can then multiply the rate
    without the scheduler taking it for its own.

    Args:
        kind: what happens from epoch to epoch.
        lr: of the first epoch.
        epochs: of the whole training.
        ramp: steps of the warm-up [goyal2017accurate]: step ``i`` (from 0) takes ``(i + 1) / ramp`` of its epoch's
            rate.
        higher: whether a higher monitored number is better.
    """

    def __init__(self, kind: Kind, *, lr: float, epochs: int, ramp: int = 0, higher: bool = False) -> None:
        self.ramp = ramp
        self._holder = torch.optim.SGD([torch.zeros(1)], lr=lr)
        self._scheduler = kind.on(self._holder, epochs=epochs, higher=higher)

    @property
    def rate(self) -> float:
        """Of the running epoch, without warm-up."""
        return float(self._holder.param_groups[0]["lr"])

    def at(self, step: int) -> float:
        """Of an optimiser's step, counted from 0 over the whole training."""
        return self.rate if step >= self.ramp else self.rate * (step + 1) / self.ramp

    def next_epoch(self, monitored: float) -> None:
        """Go to the next epoch's rate, knowing this epoch's monitored number."""
        self._holder.step()  # does nothing; PyTorch warns of a scheduler that steps before its optimiser
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(monitored)
        else:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Plain values that can be written as JSON."""
        return {"lr": self.rate, "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self._scheduler.load_state_dict(dict(state["scheduler"]))
        self._holder.param_groups[0]["lr"] = state["lr"]


def _one(_: int) -> float:
    return 1.0


def _cosine(epoch: int, *, epochs: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))
