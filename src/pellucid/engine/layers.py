"""Which layers a class activation map can be made on, found by running the model, not by its names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError, nearest

# A pooled or dropped-out copy of a map is not where the map is made.
PASSING = ("Pool", "Dropout", "Identity", "Flatten", "Upsample", "Pad")


# Steps of an autograd graph that treat each value by itself, or each channel: what they return is no new map.
VALUEWISE = (
    "Relu", "LeakyRelu", "PreluKernel", "Elu", "Gelu", "Silu", "Hardtanh", "Hardswish", "Hardsigmoid", "Sigmoid",
    "Tanh", "Softmax", "LogSoftmax", "LogSigmoid", "Softplus", "NativeBatchNorm", "CudnnBatchNorm", "Clone", "Alias",
    "ToCopy",
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A place in the model where a spatial map comes out.

    Attributes:
        name: as in ``module.named_modules()``; ``name#1`` is its second call in one forward pass.
        kind: the module's class.
        channels: of the map.
        grid: its spatial axes.
        inputs: names of the model's inputs that it depends on.
        carries: those of them that reach the model's output through this layer alone: no path goes around it.
        final: whether its output is the model's output, or becomes it by a norm or an activation alone.
        depth: length of the longest way to it from an input. The shortcut of a residual block comes last and is
            shallow, so depth tells what comes late better than the order of the calls.
        tokens: whether its map is cut into a sequence of tokens further on, as a transformer's patch embedding is.
    """

    name: str
    kind: str
    channels: int
    grid: tuple[int, ...]
    inputs: frozenset[str]
    carries: frozenset[str]
    final: bool
    depth: int
    tokens: bool = False


@contextmanager
def tap(module: nn.Module, change: Callable[[str, Tensor], Tensor | None]) -> Iterator[None]:
    """Call ``change(name#call, output)`` on every tensor that a sub-module returns; hooks come off at the end.

    A tensor that ``change`` returns takes the place of the output. The first call has no ``#0``.
    """
    calls: dict[str, int] = {}

    def hook(name: str) -> Callable[[nn.Module, object, object], Tensor | None]:
        def inner(_module: nn.Module, _args: object, output: object) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            call = calls.get(name, 0)
            calls[name] = call + 1
            return change(name if call == 0 else f"{name}#{call}", output)

        return inner

    handles = [
        m.register_forward_hook(hook(name))
        for name, m in module.named_modules()
        if name and not isinstance(m, torch.jit.ScriptModule)  # which takes no hooks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(
    module: nn.Module, run: Callable[[], Tensor], leaves: dict[str, Tensor], axes: int
) -> list[Layer]:
    """All layers with a spatial map, in the order in which they come, from one pass of one case with a graph.

    Args:
        module: the model.
        run: makes one forward pass and returns the output as the module made it.
        leaves: the inputs, which require gradients.
        axes: number of spatial axes.
    """
    outputs: list[tuple[str, tuple[int, ...], Any]] = []
    # The graph node is noted at once: an in-place operation would give the tensor another one.
    with tap(module, lambda name, out: outputs.append((name, tuple(out.shape), out.grad_fn))):
        final = run().grad_fn
    kinds = {name: type(m).__name__ for name, m in module.named_modules()}
    graph = _Graph([node for _, _, node in outputs if node is not None], final, leaves)
    sequences = {
        node for name, shape, node in outputs
        if axes > 1 and len(shape) == 3 and node is not None and not _passes(kinds[name.split("#")[0]])
    }  # fmt: skip
    cut = graph.above(sequences)
    features = {
        node for name, shape, node in outputs
        if node is not None and len(shape) == axes + 2 and kinds[name.split("#")[0]].endswith("Linear")
    }  # fmt: skip
    turned = graph.turned(features, axes + 2)
    ends = graph.ends(final)
    found: list[Layer] = []
    seen: dict[Any, int] = {}
    for name, shape, node in outputs:
        if node is None or len(shape) != axes + 2 or shape[0] != 1 or prod(shape[2:]) <= 1:
            continue
        depends = graph.inputs(node)
        if not depends or node in turned:
            continue
        layer = Layer(
            name, kinds[name.split("#")[0]], shape[1], shape[2:], depends, graph.carries(node), node in ends,
            graph.depth[node], node in cut,
        )  # fmt: skip
        if node not in seen:
            seen[node] = len(found)
            found.append(layer)
        elif not (passing(layer) or passing(found[seen[node]])):
            found[seen[node]] = layer  # a container that returns its last child's tensor: its name says more
    return found


def choose(layers: Sequence[Layer], input_name: str, *, task: str, several: bool) -> Layer:
    """The automatic layer of one input.

    Of the layers that depend on this input, those that depend on no other where there are such; not a pooling or
    pass-through module, not the model's output. Classification and regression: the last grid, and on it the deepest
    layer that all paths from the input go through (else the deepest). Segmentation, where the last one is nearly the
    output: the deepest one on the coarsest grid. A map that a transformer cuts into tokens is not taken: most of the
    model comes after it.

    Raises:
        UsageError: no layer of this input has a spatial grid.
    """
    usable = [x for x in layers if input_name in x.inputs and not x.final and not passing(x)]
    if several:
        usable = [x for x in usable if x.inputs == {input_name}] or usable
    if not usable:
        raise UsageError(
            f"no layer with a spatial map depends on input {input_name!r}: a class activation map cannot be made (a "
            "layer that is given slices or patches as a batch does not count); for a transformer use a method of the "
            "family 'attention', else one that needs no layer, such as integrated_gradients or occlusion"
        )
    whole = [x for x in usable if not x.tokens]
    if not whole:
        raise UsageError(
            f"behind {_deepest(usable).name!r} the model works on tokens, not on a spatial map of input "
            f"{input_name!r}: use a method of the family 'attention', or name a layer"
        )
    usable = whole
    if task == "segmentation":
        coarsest = min(prod(x.grid) for x in usable)
        return _deepest([x for x in usable if prod(x.grid) == coarsest])
    last = _deepest(usable)
    carrying = [x for x in usable if x.grid == last.grid and input_name in x.carries]
    return _deepest(carrying) if carrying else last


def passing(layer: Layer) -> bool:
    """Whether a layer only passes on, pools or resizes a map that was made before it."""
    return _passes(layer.kind)


def _passes(kind: str) -> bool:
    return any(p in kind for p in PASSING)


def _deepest(layers: Sequence[Layer]) -> Layer:
    return max(reversed(layers), key=lambda x: x.depth)


def named(layers: Sequence[Layer], name: str, input_name: str) -> Layer:
    """The layer called ``name``, checked to lie on the way from the input.

    Raises:
        UsageError: no such layer, or none with a spatial grid, or it does not depend on the input.
    """
    for layer in layers:
        if layer.name == name:
            if input_name not in layer.inputs:
                other = sorted(layer.inputs)
                raise UsageError(
                    f"layer {name!r} does not depend on input {input_name!r} but on {', '.join(other)}; name one for "
                    f"each input: layer={{{other[0]!r}: {name!r}, …}}"
                )
            return layer
    raise UsageError(f"no layer {name!r} with a spatial map; {nearest(name, [x.name for x in layers])}")


class _Graph:
    """What an autograd graph says of its nodes: which inputs they come from, how deep, and whether paths go around.

    A node carries an input if the number of paths from the input to the output through it is that of all paths.
    """

    def __init__(self, nodes: Sequence[Any], final: Any, leaves: dict[str, Tensor]) -> None:
        names = {id(v): k for k, v in leaves.items()}
        order = _inputs_first([*nodes, *([] if final is None else [final])])
        self.depth: dict[Any, int] = {}
        self.order = order
        self.paths: dict[Any, dict[str, int]] = {}
        for node in order:
            parents = _parents(node)
            self.depth[node] = 1 + max((self.depth[p] for p in parents), default=0)
            leaf = names.get(id(getattr(node, "variable", None)))
            count = {} if leaf is None else {leaf: 1}
            for p in parents:
                for name, n in self.paths[p].items():
                    count[name] = count.get(name, 0) + n
            self.paths[node] = count
        self.onward: dict[Any, int] = dict.fromkeys(order, 0)
        self.all = self.paths.get(final, {})
        if final is not None:
            self.onward[final] = 1
        for node in reversed(order):
            for p in _parents(node):
                self.onward[p] += self.onward[node]

    def inputs(self, node: Any) -> frozenset[str]:
        """Names of the inputs that a node was computed from."""
        return frozenset(self.paths[node])

    def carries(self, node: Any) -> frozenset[str]:
        """Names of the inputs all of whose paths to the output go through a node."""
        here = self.paths[node]
        return frozenset(k for k, n in self.all.items() if n and here.get(k, 0) * self.onward[node] == n)

    def ends(self, final: Any) -> set[Any]:
        """The output's node, and those before it that only norms and activations are between."""
        found = {final}
        while final is not None and _step(final) in VALUEWISE:
            before = [p for p in _parents(final) if self.paths[p]]
            if len(before) != 1:
                break
            final = before[0]
            found.add(final)
        return found

    def turned(self, features: set[Any], ndim: int) -> set[Any]:
        """Nodes of tensors whose channels come last, as behind dense layers and layer norms of each place."""
        found: set[Any] = set()
        for node in self.order:
            kind = _step(node)
            # the norm's own name, not the module's class: some turn the channels to the end and back again
            norm = kind == "NativeLayerNorm" and len(node._saved_normalized_shape) == 1 and (
                node._saved_input.ndim == ndim
            )
            kept = kind in VALUEWISE or kind in ("Add", "Sub", "Mul", "Roll")
            if node in features or norm or (kept and any(p in found for p in _parents(node))):
                found.add(node)
        return found

    def above(self, nodes: set[Any]) -> set[Any]:
        """The nodes, and all that they were computed from."""
        found = set(nodes)
        for node in reversed(self.order):
            if node in found:
                found.update(_parents(node))
        return found


def _step(node: Any) -> str:
    """``"Relu"`` for a node called ReluBackward0."""
    return str(node.name()).removesuffix("0").removesuffix("Backward")


def _parents(node: Any) -> list[Any]:
    return [p for p, _ in node.next_functions if p is not None]


def _inputs_first(roots: Sequence[Any]) -> list[Any]:
    """All nodes above the roots, each after its parents."""
    order: list[Any] = []
    done: set[Any] = set()
    stack = [(r, False) for r in roots]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack.extend((p, False) for p in _parents(node) if p not in done)
    return order
