"""Data sets that tests register for themselves, and take back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pellucid.data.registry import DATASETS


@contextmanager
def registered(**loaders: Callable[..., Any]) -> Iterator[None]:
    """Data sets by name, until the end of the block."""
    list(DATASETS)  # ours are loaded first
    for name, loader in loaders.items():
        DATASETS.add(name, loader)
    try:
        yield
    finally:
        for name in loaders:
            del DATASETS._entries[name]


def registering(**loaders: Callable[..., Any]) -> Any:
    """The same as a fixture of a whole test module: ``own_sets = registering(name=loader)``."""

    @pytest.fixture(scope="module", autouse=True)
    def own_sets() -> Iterator[None]:
        with registered(**loaders):
            yield

    return own_sets
