"""Data sets as Cases, and splits."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from pellucid.core.case import Case
from pellucid.data.folds import Folds, check_folds, folds
from pellucid.data.given_splits import follow_split, official_split
from pellucid.data.registry import DATASETS
from pellucid.data.splits import Split, check_split, split
from pellucid.errors import UsageError, nearest

__all__ = [
    "DATASETS", "Folds", "Split", "check_folds", "check_split", "folds", "follow_split", "load_dataset",
    "official_split", "split",
]  # fmt: skip


def load_dataset(name: str, root: str | Path | None = None, **options: Any) -> list[Case]:
    """The cases of a data set that is registered by name.

    Args:
        name: one of ``DATASETS``.
        root: the folder where it lies; None for data that are made.
        options: of the data set, by keyword.

    Raises:
        UsageError: unknown name or option, a root that is missing or has no meaning.
        InputError: the data cannot be read.

    Example:
        >>> len(load_dataset("synthetic_regression", n=2, size=32))
        2
    """
    loader = DATASETS[name]
    parameters = inspect.signature(loader).parameters
    known = [p.name for p in parameters.values() if p.name != "root" and p.kind is not p.VAR_KEYWORD]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for option in options:
            if option not in known:
                raise UsageError(f"data set {name!r} has no option {option!r}; {nearest(option, known)}")
    absent = [p for p in known if parameters[p].default is inspect.Parameter.empty and p not in options]
    if absent:
        raise UsageError(f"data set {name!r} needs {', '.join(absent)}: give it by keyword")
    if "root" not in parameters:
        if root is not None:
            raise UsageError(f"data set {name!r} is made, not read: leave root={str(root)!r} out")
        return loader(**options)
    if root is None:
        if parameters["root"].default is inspect.Parameter.empty:
            raise UsageError(f"data set {name!r} is read from a folder: give root")
        return loader(**options)
    return loader(root, **options)
