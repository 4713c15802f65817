"""The attention matrices of a batch, who asks in them, and how a value of a token becomes one of a pixel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.core.explainer import require
from pellucid.engine.attention import Use, watch
from pellucid.engine.engine import leaf
from pellucid.engine.places import tiles
from pellucid.engine.problem import Problem
from pellucid.engine.tokens import Layout, Side, Site
from pellucid.errors import UsageError
from pellucid.explain.cam.base import upsample

Heads = Literal["mean", "max"] | int
Query = Literal["auto", "class", "mean"]


@dataclass(frozen=True, eq=False)
class Caught:
    """What :func:`catch` returns for B cases and T targets.

    Attributes:
        layout: where attention happens, and what the tokens stand for.
        matrices: name to ``(B, W, H, N, M)``, rows that sum to 1.
        gradients: name to ``(B, T, W, H, N, M)``, empty unless asked for.
    """

    layout: Layout
    matrices: dict[str, Tensor]
    gradients: dict[str, Tensor]


def catch(problem: Problem, *, gradients: bool, grid: tuple[int, ...] | None, prefix: int | None) -> Caught:
    """The attention of the cases themselves: one forward, with gradients T backwards; once for all methods.

    Raises:
        UsageError: no attention, tokens whose place cannot be told, or an input that attention never looks at.
    """
    layout = problem.engine.attention(problem.inputs, grid=grid, prefix=prefix)
    missing = [k for k in problem.inputs if k not in layout.first]
    if missing:
        raise UsageError(
            f"no attention of {problem.predictor.name} has tokens of input {missing[0]!r}; it has those of "
            f"{', '.join(layout.first)}: use a method of another family for this model"
        )
    sites = {s.name: s for s in layout.sites}

    def record(held: dict[str, Tensor]) -> AbstractContextManager[Any]:
        def keep(use: Use) -> Tensor | None:
            site = sites.get(use.name)
            if site is None:
                return None
            shape = use.matrix.shape
            batch = prod(shape[:-2]) // (site.windows * site.heads)
            held[use.name] = leaf(use.matrix.reshape(batch, site.windows, site.heads, *shape[-2:]))
            return held[use.name].reshape(shape)

        return watch(problem.engine.module, keep)

    def make() -> Caught:
        scores, values, grads = problem.engine.captured(problem.clean, problem.objective, record, gradients=gradients)
        problem.learn(scores)
        return Caught(layout, values, grads)

    return problem.once(("attention", gradients, grid, prefix), make, clean=True)


def fuse(matrix: Tensor, heads: Heads, name: str) -> Tensor:
    """``(B, W, H, N, M)`` to ``(B, W, N, M)``: the mean or the largest of the heads, or one of them."""
    if heads == "mean":
        return matrix.mean(2)
    if heads == "max":
        return matrix.amax(2)
    if heads >= matrix.shape[2]:
        raise UsageError(f"heads={heads}: attention {name!r} has {matrix.shape[2]} heads, numbered from 0")
    return matrix[:, :, heads]


def check_heads(heads: Heads) -> None:
    """Raise UsageError unless ``heads`` is one of its choices."""
    fits = heads in ("mean", "max") if isinstance(heads, str) else isinstance(heads, int) and heads >= 0
    require(fits, f"heads={heads!r}: choose 'mean', 'max' or the number of a head, counted from 0")


def check_tokens(grid: tuple[int, ...] | None, prefix: int | None) -> None:
    """Raise UsageError unless ``grid`` and ``prefix`` make sense."""
    require(grid is None or (len(grid) > 0 and all(g >= 1 for g in grid)), f"grid={grid}: give patches along each axis")
    require(prefix is None or prefix >= 0, f"prefix={prefix}: give the number of tokens before the patches")


def check_query(query: Query) -> None:
    """Raise UsageError unless ``query`` is one of its choices."""
    require(query in ("auto", "class", "mean"), f"query={query!r}: choose 'auto', 'class' or 'mean'")


def class_rows(layout: Layout, side: Side) -> Tensor:
    """The places in a sequence of the tokens that collect for the output, ``(n,)``; none in windows.

    The first token that stands for no part of the input (register and distillation tokens come after the class
    token); all of them where there are no others, as in a bottleneck of latent tokens.
    """
    if len(side.ids) > 1:
        return torch.zeros(0, dtype=torch.int64)
    free = layout.free[side.ids[0]]
    at = free.nonzero()[:, 0]
    return at if bool(free.all()) else at[:1]


def asking(layout: Layout, query: Query) -> tuple[Tensor, str]:
    """Who reads at the end, as shares of the tokens ``(count,)`` that sum to 1, and in words.

    The class tokens, by the last attention of each input that has one; for an input that these never hear of, and
    where there is none, the mean over its last tokens.
    """
    start = torch.zeros(layout.count, dtype=torch.float64)
    classes: set[tuple[int, ...]] = set()
    if query != "mean":
        for name in layout.first:
            sites = [s for s in layout.sites if name in s.columns.places and len(class_rows(layout, s.rows))]
            if sites:
                rows = sites[-1].rows
                classes.add(tuple(rows.ids[0, class_rows(layout, rows)].tolist()))
        if not classes and query == "class":
            raise UsageError("query='class': no attention has a token that stands for no part of the input; use 'mean'")
    for tokens in classes:
        start[list(tokens)] += 1 / len(tokens)
    heard = _heard(layout, start > 0)
    unheard = [k for k, p in layout.first.items() if not heard[p[p >= 0]].any()]
    last = [layout.last[k] for k in unheard]
    tokens_left = torch.cat([p[p >= 0].unique() for p in last]).unique() if last else torch.zeros(0, dtype=torch.int64)
    if len(tokens_left):
        start[tokens_left] += max(1, len(classes)) / len(tokens_left)
    words = ["class token"] * bool(classes) + ["mean over tokens"] * bool(unheard)
    return start / start.sum(), ", ".join(words)


def _heard(layout: Layout, who: Tensor) -> Tensor:
    """Of which tokens those at the end could have heard."""
    heard = who.clone()
    for site in reversed(layout.sites):
        asked = heard[site.rows.ids].any(1)
        for w in asked.nonzero()[:, 0].tolist():
            heard[site.columns.ids[w]] = True
        child, parent, _ = site.births
        heard[parent[heard[child]]] = True
    return heard


def back(layout: Layout, carried: Tensor, step: Callable[[Site, int], None]) -> None:
    """Go from the last attention to the first; merged tokens pass what is ``carried (…, count)`` on to their parts."""
    for number in reversed(range(len(layout.sites))):
        site = layout.sites[number]
        step(site, number)
        child, parent, share = (x.to(carried.device) for x in site.births)
        if len(child):
            parts = carried[..., child] * share.to(carried)
            carried.index_fill_(-1, child.unique(), 0)
            carried.index_add_(-1, parent, parts)


def within(layout: Layout, start: int, stop: int | None) -> range:
    """The numbers of the attentions from ``start`` to before ``stop``."""
    count = len(layout.sites)
    end = count if stop is None else stop
    if not (0 <= start < end <= count):
        raise UsageError(
            f"start={start}, stop={stop}: the model has {count} attentions, numbered 0 to {count - 1}; "
            "stop is one past the last"
        )
    return range(start, end)


def paint(values: Tensor, place: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Values of tokens ``(B, T, count)`` on the input: a picture ``(B, T, *shape)`` or a table ``(B, T, F)``.

    A picture's are upsampled linearly from the grid of its patches, where they make one. A token of several columns
    is divided between them.
    """
    at = place.clamp(min=0).to(values.device)
    here = (place >= 0).to(values)
    if len(shape) == 1 and place.ndim == 1:
        size = torch.bincount(place[place >= 0], minlength=values.shape[-1]).clamp(min=1).to(values)
        return (values / size)[..., at] * here
    found = tiles(place)
    if found is None:
        return values[..., at] * here
    grid, covered = found
    maps = upsample(values[..., grid.to(values.device)], tuple(covered))
    beyond = [s - c for s, c in zip(shape, covered)]
    if not any(beyond):
        return maps
    return F.pad(maps, [n for b in reversed(beyond) for n in (0, b)], mode="replicate")


def grids(places: dict[str, Tensor]) -> dict[str, Any]:
    """The grid of the tokens of each picture, their number in a table: for the notes."""
    out: dict[str, Any] = {}
    for name, place in places.items():
        found = tiles(place) if place.ndim > 1 else None
        out[name] = list(found[0].shape) if found else int(place[place >= 0].unique().numel())
    return out


def maps_of(problem: Problem, values: Tensor, places: dict[str, Tensor]) -> dict[str, Tensor]:
    """The maps of the inputs in ``places``, ``(B, T, …)``, from values of tokens ``(B, T, count)``."""
    shapes = {k: tuple(x.shape[2:]) if x.ndim > 2 else tuple(x.shape[1:]) for k, x in problem.inputs.items()}
    return {k: paint(values, places[k], shapes[k]) for k in shapes if k in places}
