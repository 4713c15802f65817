"""A model as a user names it: a folder, or a class in a module or file of the user's own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, UsageError, nearest
from pellucid.nets.store import load_predictor


def load_module(spec: str | Path) -> nn.Module | Predictor:
    """A network from ``"package.module:Name"``, ``"path/to/file.py:Name"``, or a folder with ``model.json``.

    ``Name`` is a class or function that is called without arguments, or an instance. The user's code is run:
    it is the user who names it.

    Raises:
        UsageError: the spec is malformed.
        ModelError: no such file, module or name, or not a network.
    """
    text = str(spec)
    if Path(text).is_dir():
        return load_predictor(text)
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name.replace(".", "").isidentifier():
        raise UsageError(
            f"model {text!r}: give a folder with model.json, 'package.module:Name' or 'path/to/file.py:Name'"
        )
    found: Any = _import(where)
    for part in name.split("."):
        if not hasattr(found, part):
            known = [k for k in vars(found) if not k.startswith("_")]
            raise ModelError(f"model {text!r}: {where} has no {part!r}; {nearest(part, known)}")
        found = getattr(found, part)
    if not isinstance(found, nn.Module | Predictor):
        if not callable(found):
            raise ModelError(f"model {text!r} is a {type(found).__name__}; a torch.nn.Module is wanted")
        try:
            found = found()
        except Exception as error:
            raise ModelError(
                f"model {text!r} could not be made without arguments: {type(error).__name__}: {error}; "
                "write a function without arguments that returns it"
            ) from error
    if not isinstance(found, nn.Module | Predictor):
        raise ModelError(f"model {text!r} gave a {type(found).__name__}; a torch.nn.Module is wanted")
    return found


def _import(where: str) -> ModuleType:
    if where.endswith(".py") and not Path(where).is_file():
        raise ModelError(f"model file {where}: no such file")
    try:
        return _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:
        raise ModelError(f"model {where!r} cannot be imported: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    name = f"pellucid_user_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and the like look their module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
