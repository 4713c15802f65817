"""The data sets that are known by name."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.core.case import Case
from pellucid.core.registry import Registry

DATASETS: Registry[Callable[..., list[Case]]] = Registry("data set", "pellucid.data")
