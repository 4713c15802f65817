"""What is done for rare classes: one word, or one with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.core.registry import build
from pellucid.errors import UsageError, nearest

BALANCES = ("class_weights", "oversample", "smote")
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
        if self.on not in PLACES:
            raise UsageError(f"balance: smote: on is {self.on!r}; {nearest(str(self.on), PLACES)}")
        if isinstance(self.neighbours, bool) or not isinstance(self.neighbours, int) or self.neighbours < 1:
            raise UsageError(f"balance: smote: neighbours is {self.neighbours!r}; give at least 1")
        if isinstance(self.ratio, bool) or not isinstance(self.ratio, (int, float)) or not 0 < self.ratio <= 1:
            raise UsageError(f"balance: smote: ratio is {self.ratio!r}; give a number above 0, at most 1")


@dataclass(frozen=True)
class Balance:
    """What is asked for.

    Attributes:
        name: one of ``BALANCES``; None does nothing.
        smote: its options.
    """

    name: str | None = None
    smote: Smote | None = None


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
    if options and name != "smote":
        raise UsageError(f"balance: {name} has no option {next(iter(options))!r}; only 'smote' has options")
    return Balance(name, build(Smote, "balance", "smote", dict(options or {})) if name == "smote" else None)
