"""Data sets that tests register for themselves, and take back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from pellucid.core.registry import Registry
from pellucid.data.registry import DATASETS


@contextmanager
def entries(registry: Registry[Any], **named: Any) -> Iterator[None]:
    """Entries of a registry by name, until the end of the block."""
    list(registry)  # ours are loaded first
    for name, entry in named.items():
        registry.add(name, entry)
    try:
        yield
    finally:
        for name in named:
            del registry._entries[name]


def registered(**loaders: Callable[..., Any]) -> AbstractContextManager[None]:
    """Data sets by name, until the end of the block."""
    return entries(DATASETS, **loaders)


def registering(**loaders: Callable[..., Any]) -> Any:
    """The same as a fixture of a whole test module: ``own_sets = registering(name=loader)``."""

    @pytest.fixture(scope="module", autouse=True)
    def own_sets() -> Iterator[None]:
        with registered(**loaders):
            yield

    return own_sets
