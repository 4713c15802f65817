"""Which layers a class activation map can be made on, found by running the model, not by its names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.errors import UsageError, nearest

# A pooled or dropped-out copy of a map is not where the map is made.
PASSING = ("Pool", "Dropout", "Identity", "Flatten", "Upsample", "Pad")


@dataclass(frozen=True)
class Layer:
    """A place in the model where a spatial map comes out.

    Attributes:
        name: as in ``module.named_modules()``; ``name#1`` is its second call in one forward pass.
        kind: the module's class.
        channels: of the map.
        grid: its spatial axes.
        inputs: names of the model's inputs that it depends on.
        final: whether its output is the model's output.
        order: when its output came, counted from 0.
    """

    name: str
    kind: str
    channels: int
    grid: tuple[int, ...]
    inputs: frozenset[str]
    final: bool
    order: int


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

    handles = [m.register_forward_hook(hook(name)) for name, m in module.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(
    module: nn.Module, run: Callable[[], Tensor], leaves: dict[str, Tensor], axes: int
) -> list[Layer]:
    """All layers with a spatial map, in the order in which they come, from one pass with a graph.

    Args:
        module: the model.
        run: makes one forward pass and returns the output.
        leaves: the inputs, which require gradients.
        axes: number of spatial axes.
    """
    outputs: list[tuple[str, Tensor]] = []
    with tap(module, lambda name, out: outputs.append((name, out))):
        final = run()
    kinds = {name: type(m).__name__ for name, m in module.named_modules()}
    reach = _reach(leaves)
    found: list[Layer] = []
    seen: dict[int, int] = {}
    for order, (name, out) in enumerate(outputs):
        if out.ndim != axes + 2 or out[0, 0].numel() <= 1:
            continue
        depends = reach(out)
        if not depends:
            continue
        layer = Layer(
            name, kinds[name.split("#")[0]], out.shape[1], tuple(out.shape[2:]), depends, out is final, order
        )
        if id(out) in seen:  # a container that returns its last child's tensor: its name says more
            found[seen[id(out)]] = layer
        else:
            seen[id(out)] = len(found)
            found.append(layer)
    return found


def choose(layers: Sequence[Layer], input_name: str, *, task: str, several: bool) -> Layer:
    """The automatic layer of one input.

    Of the layers that depend on this input, those that depend on no other where there are such; not a pooling or
    pass-through module, not the model's output. Classification and regression: the last one. Segmentation, where
    the last one is nearly the output: the last one on the coarsest grid.

    Raises:
        UsageError: no layer of this input has a spatial grid.
    """
    usable = [
        x for x in layers
        if input_name in x.inputs and not x.final and not any(p in x.kind for p in PASSING)
    ]  # fmt: skip
    if several:
        usable = [x for x in usable if x.inputs == {input_name}] or usable
    if not usable:
        raise UsageError(
            f"no layer with a spatial map depends on input {input_name!r}: a class activation map cannot be made"
        )
    if task == "segmentation":
        coarsest = min(_size(x.grid) for x in usable)
        usable = [x for x in usable if _size(x.grid) == coarsest]
    return usable[-1]


def named(layers: Sequence[Layer], name: str, input_name: str) -> Layer:
    """The layer called ``name``, checked to lie on the way from the input.

    Raises:
        UsageError: no such layer, or none with a spatial grid, or it does not depend on the input.
    """
    for layer in layers:
        if layer.name == name:
            if input_name not in layer.inputs:
                raise UsageError(
                    f"layer {name!r} does not depend on input {input_name!r} but on {', '.join(sorted(layer.inputs))}"
                )
            return layer
    raise UsageError(f"no layer {name!r} with a spatial map; {nearest(name, [x.name for x in layers])}")


def _size(grid: tuple[int, ...]) -> int:
    total = 1
    for g in grid:
        total *= g
    return total


def _reach(leaves: dict[str, Tensor]) -> Callable[[Tensor], frozenset[str]]:
    """A function that tells from which leaves a tensor was computed, by walking its autograd graph."""
    names = {id(v): k for k, v in leaves.items()}
    memo: dict[object, frozenset[str]] = {}

    def of(tensor: Tensor) -> frozenset[str]:
        start = tensor.grad_fn
        if start is None:
            return frozenset([names[id(tensor)]]) if id(tensor) in names else frozenset()
        stack = [start]
        while stack:
            node = stack[-1]
            if node in memo:
                stack.pop()
                continue
            variable = getattr(node, "variable", None)
            if variable is not None:
                memo[node] = frozenset([names[id(variable)]]) if id(variable) in names else frozenset()
                stack.pop()
                continue
            parents = [p for p, _ in node.next_functions if p is not None]
            waiting = [p for p in parents if p not in memo]
            if waiting:
                stack.extend(waiting)
                continue
            memo[node] = frozenset().union(*(memo[p] for p in parents))
            stack.pop()
        return memo[start]

    return of
