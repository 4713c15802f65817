"""Layer-wise relevance propagation, put on functions as they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid.core.module_copy import tensors
from pellucid.engine.calls import computed, name_of, plain_form
from pellucid.engine.relevance_first import DivideFirst, Picture
from pellucid.engine.relevance_names import (
    AFFINE,
    CONSERVING,
    CONVOLUTIONS,
    GATES,
    NORMS,
    PRODUCTS,
    QUOTIENTS,
    SUMS,
)
from pellucid.engine.relevance_rules import Composite, Divide, Instead, Keep, Linear, Pass, Rule, Share
from pellucid.engine.rules import POINTWISE


class Relevance(TorchFunctionMode):
    """Backward rules that make ``x ∘ gradient`` the relevance of ``x``, while the forward pass is the model's own.

    - Linear layers divide relevance by the composite's rules. A batch norm right behind one is merged into it, so that
      both are one linear layer; on its own it is a linear layer of each channel.
    - Functions of each value pass relevance unchanged; max-pooling gives all to the winner; sums, concatenation,
      pooling by the mean, resampling and reshaping divide it in proportion to the values.
    - Layer, group and instance norm have their standard deviation as a constant, attention its softmax, a product with
      the output of a sigmoid or softmax that output (ali2022xai, arras2017explaining); in any other product of two
      computed tensors each has half.
    - What is not known passes the plain gradient, and its name goes to ``unknown`` if relevance really came that way.

    Source: bach2015pixel, montavon2019layer, ali2022xai.

    Args:
        rules: of the linear layers.
        ledger: ``(m, 2)`` zeros that require a gradient: as such they receive, for each item of the batch, the
            relevance that biases and stabilisers absorb.
        unknown: filled during the backward pass.
        pictures: inputs of which the first layer has a rule of its own.
    """

    def __init__(
        self, rules: Composite, ledger: Tensor, unknown: set[str], pictures: Sequence[Picture] = ()
    ) -> None:
        super().__init__()
        self.rules, self.ledger, self.unknown, self.pictures = rules, ledger, unknown, pictures

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give each function that relevance passes its rule."""
        kwargs = dict(kwargs or {})
        if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors([*args, *kwargs.values()])):
            return func(*args, **kwargs)
        plain, kept, overwrites = plain_form(func, args, kwargs)
        if not overwrites:
            return self._rule(plain, args, kept)
        made = self._rule(plain, (args[0].clone(), *args[1:]), kept)
        return args[0].copy_(made)

    def _rule(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = name_of(func)
        first = args[0] if args else kwargs.get("input")
        made: Any = None
        if name in CONVOLUTIONS:
            made = self._convolution(func, args, kwargs, transposed="transpose" in name)
        elif name == "linear":
            made = self._dense(func, *args, **kwargs)
        elif func is F.batch_norm:
            made = self._batch_norm(func, *args, **kwargs)
        elif name in NORMS and func is getattr(F, name, None):
            made = self._norm(func, args, kwargs)
        elif name in PRODUCTS:
            made = self._product(func, args, kwargs)
        elif name in QUOTIENTS:
            made = self._quotient(func, args, kwargs)
        elif name in SUMS:
            made = self._sum(func, args, kwargs)
        elif func is F.scaled_dot_product_attention:
            made = self._attention(func, *args, **kwargs)
        elif func is F.multi_head_attention_forward:
            made = self._heads(func, args, kwargs)
        elif func is F.glu:
            signal, gate = args[0].chunk(2, args[1] if len(args) > 1 else kwargs.get("dim", -1))
            made = signal * torch.sigmoid(gate).detach()
        elif func is F.normalize:
            made = Instead.apply(*_normalised(func, args, kwargs))
        elif func in POINTWISE and isinstance(first, Tensor) and _depends_on_one(first, [*args, *kwargs.values()]):
            kwargs.pop("input", None)
            made = self._pass(first, partial(_later, func, args[1:], kwargs))
        elif name in CONSERVING:
            made = func(*args, **kwargs)
            if isinstance(made, Tensor) and _is_gate(first):
                _mark_gate(made)
            return self._constant_kept(made, func, args, kwargs) if name in AFFINE else made
        if made is None:
            made = func(*args, **kwargs)
            for out in tensors(made):
                if out.requires_grad:
                    out.register_hook(partial(self._note, name))
        if name in GATES and isinstance(made, Tensor):
            _mark_gate(made)
        return made

    def _note(self, name: str, grad: Tensor) -> None:
        if bool((grad != 0).any()):
            self.unknown.add(name)

    def _pass(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return Pass.apply(x, self.ledger, f)

    # -- linear layers ---------------------------------------------------------------------------------------

    def _divide(self, x: Tensor, run: Callable[[Tensor], Tensor], layer: Linear, rule: Rule) -> Tensor:
        for picture in self.pictures:
            if picture.is_seen_as(x):
                picture.used = True
                return DivideFirst.apply(x, picture.relevance, self.ledger, run, layer, picture, self.rules.epsilon)
        return Divide.apply(x, self.ledger, run, layer, rule, self.rules.epsilon)

    def _convolution(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, transposed: bool
    ) -> Tensor | None:
        x, weight, bias, rest, named = _layer_arguments(args, kwargs)
        if not computed(x) or computed(weight) or computed(bias):
            return None

        def apply(v: Tensor, w: Tensor) -> Tensor:
            return func(v, w, None, *rest, **named)

        groups = rest[3] if len(rest) > 3 else named.get("groups", 1)
        shape = (-1, *[1] * (weight.ndim - 2))
        layer = Linear(apply, weight, None if bias is None else bias.view(shape))
        y = self._divide(x, lambda v: func(v, weight, bias, *rest, **named), layer, self.rules.convolution)

        def scaled(scale: Tensor) -> Tensor:
            if not transposed:
                return weight * scale.view(-1, *[1] * (weight.ndim - 1))
            split = weight.view(groups, -1, *weight.shape[1:])
            return (split * scale.view(groups, 1, -1, *[1] * (weight.ndim - 2))).view_as(weight)

        _remember(y, x, layer, scaled, self.rules.convolution)
        return y

    def _dense(
        self, func: Callable[..., Any], input: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor | None:
        if not computed(input) or computed(weight) or computed(bias):
            return None
        layer = Linear(F.linear, weight, bias)
        y = self._divide(input, lambda v: func(v, weight, bias), layer, self.rules.dense)
        if input.ndim == 2:
            _remember(y, input, layer, lambda scale: weight * scale[:, None], self.rules.dense)
        return y

    def _batch_norm(
        self, func: Callable[..., Any], input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
        weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:  # fmt: skip
        if training or running_mean is None or running_var is None or computed(weight) or computed(bias):
            return None
        scale = torch.rsqrt(running_var + eps) * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - running_mean * scale
        view = (-1, *[1] * (input.ndim - 2))

        def run(v: Tensor) -> Tensor:
            return func(v, running_mean, running_var, weight, bias, False, momentum, eps)

        known = getattr(input, "_pellucid_layer", None)
        if known is not None and known[0] == input._version:
            _, x, layer, scaled, rule = known
            made = input.detach()
            merged = Linear(layer.apply, scaled(scale), layer.added * scale.view(view) + shift.view(view))
            return self._divide(x, lambda _: run(made), merged, rule)
        alone = Linear(lambda v, w: v * w, scale.view(view), shift.view(view))
        return self._divide(input, run, alone, self.rules.norm if input.ndim > 2 else self.rules.dense)

    # -- norms, sums, products -------------------------------------------------------------------------------

    def _norm(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """The standard deviation is a constant; what is left is linear."""
        a = _bound(func, args, kwargs)
        x, weight, bias = a["input"], a.get("weight"), a.get("bias")
        if not computed(x) or computed(weight) or computed(bias):
            return None
        name, view = name_of(func), None
        if name == "instance_norm" and not a["use_input_stats"]:
            return self._batch_norm(func, x, a["running_mean"], a["running_var"], weight, bias, eps=a["eps"])
        if name in ("layer_norm", "rms_norm"):
            axes: tuple[int, ...] = tuple(range(-len(a["normalized_shape"]), 0))
            grouped = x
        else:
            view = (-1, *[1] * (x.ndim - 2))
            grouped, axes = x.reshape(x.shape[0], a.get("num_groups", x.shape[1]), -1), (-1,)
        if name == "rms_norm":
            eps = torch.finfo(x.dtype).eps if a["eps"] is None else a["eps"]
            centred, size = grouped, grouped.detach().square().mean(axes, keepdim=True)
        else:
            eps = a["eps"]
            centred = grouped - grouped.mean(axes, keepdim=True)
            size = centred.detach().square().mean(axes, keepdim=True)
        stand_in = (centred * torch.rsqrt(size + eps)).view(x.shape)
        if weight is not None:
            stand_in = stand_in * (weight if view is None else weight.view(view))
        y = Instead.apply(stand_in, func(*args, **kwargs).detach())
        return y if bias is None else self._keep(y, bias if view is None else bias.view(view))

    def _keep(self, y: Tensor, constant: Tensor) -> Tensor:
        return Keep.apply(y, self.ledger, constant)

    def _sum(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        y = func(*args, **kwargs)
        both = [*args[:2], *[kwargs[k] for k in ("input", "other") if k in kwargs]]
        if all(map(computed, both)):
            return y
        gate = any(map(_is_gate, both))
        y = self._constant_kept(y, func, args, kwargs)
        return _mark_gate(y) if gate else y

    def _constant_kept(
        self, y: Tensor, func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """What an affine function makes of nothing is a constant, whose relevance stays behind."""
        constant = func(*_emptied(args), **_emptied(kwargs))
        constant = torch.where(torch.isfinite(constant), constant, torch.zeros_like(constant))  # −∞ before a softmax
        return self._keep(y, constant) if bool((constant != 0).any()) else y

    def _product(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        operands = [t for t in tensors([*args, *kwargs.values()]) if t.requires_grad]
        signals = [t for t in operands if not _is_gate(t)]
        if len(operands) == 1:
            y = func(*args, **kwargs)
            return y if signals else _mark_gate(y)
        constant = len(signals) if signals else len(operands)

        def factor(t: Any) -> Any:
            if isinstance(t, list | tuple):
                return type(t)(map(factor, t))
            if not computed(t):
                return t
            return t.detach() if signals and _is_gate(t) else Share.apply(t, 1 / constant)

        return func(*map(factor, args), **{k: factor(v) for k, v in kwargs.items()})

    def _quotient(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """A divisor that is computed is a scale, hence a constant."""
        if len(args) != 2 or kwargs.get("rounding_mode"):
            return None
        above, below = args
        if computed(above):
            return func(above, below.detach() if computed(below) else below, **kwargs)
        if isinstance(above, Tensor) and above.shape != torch.broadcast_shapes(above.shape, below.shape):
            return None
        return self._pass(below, lambda v: func(above, v))

    # -- attention -------------------------------------------------------------------------------------------

    @staticmethod
    def _attention(
        func: Callable[..., Any], query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor | None:
        if not computed(value):
            return None
        return func(query.detach(), key.detach(), value, *args, **kwargs)

    def _heads(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same numbers; relevance goes through the values alone."""
        a = _bound(func, args, kwargs)
        unusual = any(a.get(k) is not None for k in ("bias_k", "bias_v", "static_k", "static_v")) or a["add_zero_attn"]
        if unusual or a["training"] or not computed(a["value"]) or a["value"].ndim != 3:
            return None
        heads, value = a["num_heads"], a["value"]
        with torch.no_grad():
            out, weights = func(**{**a, "need_weights": True, "average_attn_weights": False})
        separate = a["use_separate_proj_weight"]
        w = a["v_proj_weight"] if separate else a["in_proj_weight"].chunk(3)[2]
        b = None if a["in_proj_bias"] is None else a["in_proj_bias"].chunk(3)[2]
        with self:
            v = F.linear(value, w, b)  # (S, B, E)
            v = v.unflatten(2, (heads, -1)).permute(1, 2, 0, 3)
            mixed = torch.matmul(weights, v).permute(2, 0, 1, 3).flatten(2)  # (L, B, E)
            stand_in = F.linear(mixed, a["out_proj_weight"], a["out_proj_bias"])
        if not a["need_weights"]:
            shown = None
        else:
            shown = weights.mean(1) if a["average_attn_weights"] else weights
        return Instead.apply(stand_in, out), shown


def _later(func: Callable[..., Tensor], rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    return func(x.clone(), *rest, **kwargs)  # a clone: an in-place form leaves the recorded input alone


def _normalised(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """A vector over its length, which is a constant, and the same by the function itself."""
    a = _bound(func, args, kwargs)
    length = a["input"].detach().norm(a["p"], a["dim"], keepdim=True).clamp_min(a["eps"])
    return a["input"] / length, func(*args, **kwargs).detach()


def _depends_on_one(x: Tensor, arguments: list[Any]) -> bool:
    return x.requires_grad and sum(map(computed, tensors(arguments))) == 1


def _emptied(value: Any) -> Any:
    """Arguments with zeros in place of what is computed."""
    if isinstance(value, dict):
        return {k: _emptied(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_emptied(v) for v in value)
    return torch.zeros_like(value) if computed(value) else value


def _is_gate(t: Any) -> bool:
    return isinstance(t, Tensor) and getattr(t, "_pellucid_gate", False)


def _mark_gate(t: Tensor) -> Tensor:
    t._pellucid_gate = True  # type: ignore[attr-defined]
    return t


def _remember(
    y: Tensor, x: Tensor, layer: Linear, scaled: Callable[[Tensor], Tensor], rule: Rule
) -> None:
    """Note on a layer's output what made it, for a batch norm that may follow."""
    y._pellucid_layer = (y._version, x, layer, scaled, rule)  # type: ignore[attr-defined]


def _layer_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor | None, tuple[Any, ...], dict[str, Any]]:
    """``(input, weight, bias, the other arguments by place, by name)``."""
    named = dict(kwargs)
    lead = [args[i] if len(args) > i else named.pop(k, None) for i, k in enumerate(("input", "weight", "bias"))]
    return lead[0], lead[1], lead[2], args[3:], named


def _bound(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)
