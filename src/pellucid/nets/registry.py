"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from pellucid.core.registry import Registry
from pellucid.errors import UsageError, nearest

NETWORKS: Registry[Callable[..., nn.Module]] = Registry("network", "pellucid.nets")


def build_network(name: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A new network with random weights (from torch's global generator).

    Args:
        name: a registered name.
        options: keyword arguments of the network.

    Raises:
        UsageError: unknown network, unknown option, or a value that the network refuses.

    Example:
        >>> sum(p.numel() for p in build_network("two_stream").parameters())
        22337
    """
    factory = NETWORKS[name]
    known = list(inspect.signature(factory).parameters)
    for option in options or {}:
        if option not in known:
            raise UsageError(f"network {name!r} has no option {option!r}; {nearest(option, known)}")
    try:
        return factory(**dict(options or {}))
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"network {name!r} with options {dict(options or {})}: {error}") from error


def count_inputs(module: nn.Module) -> int | None:
    """How many inputs ``forward`` needs; None if it takes any number."""
    parameters = inspect.signature(module.forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)
