"""Other tools as independent references, brought to run where they would not.

pytorch-grad-cam and zennit import torchvision at the top and need nothing of it for what is compared here, and
torchvision has no CPU build everywhere: they get an empty stand-in, while they are imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy


class _Empty(ModuleType):
    """A module of which any class can be imported; the classes are nobody's."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".", maxsplit=1)[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def without_torchvision() -> Iterator[None]:
    """While active, ``torchvision`` is an empty stand-in; afterwards it is what it was."""
    finder = _StandIn()
    held = {k: sys.modules.pop(k) for k in list(sys.modules) if k.split(".")[0] == "torchvision"}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for key in [k for k in sys.modules if k.split(".")[0] == "torchvision"]:
            del sys.modules[key]
        sys.modules.update(held)


def peer(name: str) -> ModuleType:
    """A peer's module, such as ``"pytorch_grad_cam"`` or ``"zennit.composites"``.

    Quantus calls ``numpy.trapz``, which NumPy 2.4 no longer has: it is lent its successor under the old name.
    """
    if name.split(".", maxsplit=1)[0] == "quantus" and not hasattr(numpy, "trapz"):
        setattr(numpy, "trapz", numpy.trapezoid)  # noqa: B010, its name is gone on purpose
    if name not in sys.modules:
        with without_torchvision():
            importlib.import_module(name)
    return sys.modules[name]
