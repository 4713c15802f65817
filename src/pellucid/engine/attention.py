"""Attention matrices, caught where they weigh their values, whoever computes them."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LOOKED_FOR = (
    "scaled_dot_product_attention, nn.MultiheadAttention, and a softmax over the last axis whose result is multiplied "
    "with values (matmul, bmm, einsum)"
)
PRODUCTS = frozenset({"matmul", "__matmul__", "bmm"})
# What a softmax may go through on its way to the values.
KEEPS = frozenset(
    {
        "dropout", "to", "type", "type_as", "float", "half", "bfloat16", "double", "contiguous", "clone", "view",
        "reshape", "unflatten", "flatten", "squeeze", "unsqueeze", "mul", "__mul__", "__rmul__", "div", "true_divide",
        "__truediv__", "masked_fill", "nan_to_num",
    }
)  # fmt: skip
CHECKPOINTS = ("use_checkpoint", "gradient_checkpointing", "grad_checkpointing")


@dataclass(frozen=True, eq=False)
class Use:
    """An attention matrix about to weigh its values.

    Attributes:
        name: the module in which that happens; ``name#1`` is the second time in one forward pass.
        matrix: ``(*lead, N, M)``: how much each of N tokens takes from each of M.
        scores: the same before the softmax.
        values: ``(*lead, M, D)``, broadcastable.
    """

    name: str
    matrix: Tensor
    scores: Tensor
    values: Tensor


Change = Callable[[Use], "Tensor | None"]


@contextmanager
def watch(module: nn.Module, change: Change) -> Iterator[None]:
    """Call ``change(use)`` for every attention matrix of the passes inside; what it returns takes its place.

    Fused attention is written out (``softmax(QKᵀ · scale + mask) V``, no dropout), so that its matrix exists; the
    fast paths of PyTorch's transformer layers and gradient checkpoints are off. Hooks and switches come off at the
    end.
    """
    stack: list[str] = []

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: stack.append(name)

    def leave(*_: object) -> None:
        stack.pop()

    handles: list[Any] = []
    switched = [(m, a) for m in module.modules() for a in CHECKPOINTS if getattr(m, a, None) is True]
    try:
        for m, a in switched:
            setattr(m, a, False)
        for name, m in module.named_modules():
            if isinstance(m, torch.jit.ScriptModule):
                continue  # takes no hooks, and shows nothing of what it calls
            handles += [m.register_forward_pre_hook(enter(name)), m.register_forward_hook(leave)]
        with _Watch(change, stack):
            yield
    finally:
        for handle in handles:
            handle.remove()
        for m, a in switched:
            setattr(m, a, True)


class _Watch(TorchFunctionMode):
    """Sees every function that is called on tensors."""

    def __init__(self, change: Change, stack: list[str]) -> None:
        super().__init__()
        self.change, self.stack = change, stack
        self.calls: dict[str, int] = {}
        # by id; the tensors are held, so that no other one gets their id
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note a softmax, follow it, and stop where it meets its values."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "multi_head_attention_forward":
            with self:
                return _unchecked(func)(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            return self._fused(*args, **kwargs)
        if name in PRODUCTS and len(args) == 2 and id(args[0]) in self.seen and isinstance(args[1], Tensor):
            return func(self._used(*self.seen[id(args[0])], args[1]), args[1])
        if name == "einsum" and isinstance(args[0], str):
            tensors = list(args[1]) if len(args) == 2 and not isinstance(args[1], Tensor) else list(args[1:])
            return self._einsum(func, args[0], tensors)
        out = func(*args, **kwargs)
        if name == "softmax":
            x = args[0] if args else kwargs["input"]
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            if dim is not None and x.ndim > 2 and dim in (-1, x.ndim - 1):
                self.seen[id(out)] = (out, x)
        elif name in KEEPS and isinstance(out, Tensor):
            source = next((a for a in args if isinstance(a, Tensor) and id(a) in self.seen), None)
            if source is not None and out is not source and out.ndim > 2:
                _, scores = self.seen[id(source)]
                if out.shape[-2:] == scores.shape[-2:] and out.numel() == scores.numel():
                    self.seen[id(out)] = (out, scores.reshape(out.shape))
        return out

    def _used(self, matrix: Tensor, scores: Tensor, values: Tensor) -> Tensor:
        """The matrix, or what is to take its place."""
        name = self.stack[-1] if self.stack else ""
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        given = self.change(Use(name if call == 0 else f"{name}#{call}", matrix, scores, values))
        return matrix if given is None else given

    def _fused(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,  # noqa: ARG002
        is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        """``scaled_dot_product_attention`` in words, as PyTorch documents it, without dropout."""
        if enable_gqa:
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        nothing = (scores == -torch.inf).all(-1, keepdim=True)  # a token that may look at none
        matrix = scores.masked_fill(nothing, 0).softmax(-1).masked_fill(nothing, 0).to(value.dtype)
        return self._used(matrix, scores, value) @ value

    def _einsum(self, func: Callable[..., Any], equation: str, tensors: list[Tensor]) -> Any:
        """An einsum that contracts the last axis of a matrix with an axis of the values."""
        at = next((i for i, t in enumerate(tensors) if id(t) in self.seen), None)
        sides, _, out = equation.replace(" ", "").partition("->")
        letters = sides.split(",")
        if at is None or len(tensors) != 2 or not out:
            return func(equation, *tensors)
        hidden = tensors[at].ndim - len(letters[at].replace("...", ""))
        more = "".join(c for c in "ABCDEFGH" if c not in equation)[:hidden]
        letters, out = [s.replace("...", more) for s in letters], out.replace("...", more)
        a, v = letters[at], letters[1 - at]
        if a[-1] not in v or a[-1] in out or a[-2] not in out:
            return func(equation, *tensors)
        other = tensors[1 - at]
        lead = [c for c in a[:-2] if c in v]
        rest = [c for c in v if c not in a]
        order = torch.einsum(f"{v}->{''.join([*lead, a[-1], *rest])}", other)
        values = order.flatten(len(lead) + 1) if rest else order[..., None]
        shape = [other.shape[v.index(c)] if c in v else 1 for c in a[:-2]]
        tensors[at] = self._used(*self.seen[id(tensors[at])], values.reshape(*shape, *values.shape[-2:]))
        return func(f"{letters[0]},{letters[1]}->{out}", *tensors)


def _unchecked(func: Callable[..., Any]) -> Callable[..., Any]:
    """A Python function of torch that does not hand itself to the active mode: what it calls is then seen."""
    assert isinstance(func, types.FunctionType)
    scope = {**func.__globals__, "has_torch_function": lambda *_: False}
    same = types.FunctionType(func.__code__, scope, func.__name__, func.__defaults__, func.__closure__)
    same.__kwdefaults__ = func.__kwdefaults__
    return same
