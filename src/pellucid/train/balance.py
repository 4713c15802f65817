"""What is done for rare classes: one word, or one with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.core.registry import build
from pellucid.errors import UsageError, nearest

BALANCES = ("class_weights", "oversample", "smote", "mlsmote")
PLACES = ("embeddings", "pixels")
Named = str | Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Smote:
    """The options of SMOTE [chawla2002smote].

    Attributes:
        on: where the synthetic rows lie: between ``"embeddings"``, which the network's head gets, or between the
            inputs themselves (``"pixels"``, and the columns of tables).
        neighbours: of the same class, one of which is drawn for each synthetic row.
        ratio: to which share of the largest class every rarer one is filled up.
    """

    on: str = "embeddings"
    neighbours: int = 5
    ratio: float = 1.0

    def __post_init__(self) -> None:
        """Check."""
        _check("smote", self.on, self.neighbours)
        if isinstance(self.ratio, bool) or not isinstance(self.ratio, (int, float)) or not 0 < self.ratio <= 1:
            raise UsageError(f"balance: smote: ratio is {self.ratio!r}; give a number above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class MlSmote:
    """The options of MLSMOTE, for several independent labels [charte2015mlsmote].

    Attributes:
        on: as of :class:`Smote`.
        neighbours: with the same rare label, one of which is drawn for each synthetic row.
    """

    on: str = "embeddings"
    neighbours: int = 5

    def __post_init__(self) -> None:
        """Check."""
        _check("mlsmote", self.on, self.neighbours)


def _check(name: str, on: Any, neighbours: Any) -> None:
    if on not in PLACES:
        raise UsageError(f"balance: {name}: on is {on!r}; {nearest(str(on), PLACES)}")
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or neighbours < 1:
        raise UsageError(f"balance: {name}: neighbours is {neighbours!r}; give at least 1")


OPTIONS: dict[str, type[Any]] = {"smote": Smote, "mlsmote": MlSmote}


@dataclass(frozen=True)
class Balance:
    """What is asked for.

    Attributes:
        name: one of ``BALANCES``; None does nothing.
        smote: the options of the last two.
    """

    name: str | None = None
    smote: Smote | MlSmote | None = None


def as_balance(spec: Named | None) -> Balance:
    """From a name, or one name with its options.

    Raises:
        UsageError: unknown name or option.

    Example:
        >>> as_balance({"smote": {"on": "pixels"}}).smote
        Smote(on='pixels', neighbours=5, ratio=1.0)
    """
    if spec is None:
        return Balance()
    named: Mapping[str, Any] = {spec: None} if isinstance(spec, str) else spec
    if not isinstance(named, Mapping) or len(named) != 1:
        raise UsageError(f"balance is {spec!r}; give one name, or one name with its options")
    ((name, options),) = named.items()
    if name not in BALANCES:
        raise UsageError(f"balance is {name!r}; {nearest(str(name), BALANCES)}, or leave it out")
    if options and name not in OPTIONS:
        known = " and ".join(map(repr, OPTIONS))
        raise UsageError(f"balance: {name} has no option {next(iter(options))!r}; only {known} have options")
    return Balance(name, build(OPTIONS[name], "balance", name, dict(options or {})) if name in OPTIONS else None)
