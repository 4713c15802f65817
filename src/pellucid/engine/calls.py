"""What a torch function mode sees: functions by their plain form, whether or not they overwrite their argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.engine.rules import OVERWRITING, POINTWISE
from pellucid.errors import UsageError

# ``x += y`` and its kind.
ARITHMETIC = {
    getattr(Tensor, f"{form}"): getattr(Tensor, plain)
    for plain in ("add", "sub", "mul", "div")
    for form in (f"{plain}_", f"__i{plain}__", *(("__itruediv__",) if plain == "div" else ()))
    if hasattr(Tensor, form)
}
IN_PLACE = OVERWRITING | ARITHMETIC | {Tensor.masked_fill_: Tensor.masked_fill}


def plain_form(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any], bool]:
    """The function that does not overwrite, its keywords, and whether the one called does."""
    plain = IN_PLACE.get(func, func)
    overwrites = plain is not func
    if plain in POINTWISE:
        overwrites = overwrites or bool(kwargs.get("inplace")) or any(a is True for a in args[1:])
        kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    return plain, kwargs, overwrites


def name_of(func: Callable[..., Any]) -> str:
    """``"add"`` for ``torch.add``, ``Tensor.__add__`` and ``torch.ops.aten.add.Tensor``."""
    return str(getattr(func, "__name__", func)).split(".")[0].strip("_")


def computed(value: Any) -> bool:
    """Whether a value depends on the model's input (the engine's copy has no weight that asks for a gradient)."""
    return isinstance(value, Tensor) and value.requires_grad


def see_through(module: nn.Module, method: str) -> None:
    """Raise UsageError if a module hides its functions from a torch function mode.

    Raises:
        UsageError: a part of it is scripted, traced or compiled.
    """
    for name, part in module.named_modules():
        kind = "scripted or traced (torch.jit)" if isinstance(part, torch.jit.ScriptModule) else None
        kind = "compiled (torch.compile)" if type(part).__name__ == "OptimizedModule" else kind
        if kind:
            raise UsageError(
                f"{method}: {name or 'the module'} is {kind}, so the functions inside cannot be given another backward "
                "rule; give the plain nn.Module that it was made from, or use integrated_gradients"
            )
