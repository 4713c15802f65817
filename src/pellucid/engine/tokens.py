"""Which part of the input each token of an attention stands for, found by running the model.

In one forward pass all attention is silenced (its matrices are zero), so that a token depends on nothing but what was
cut out for it: its patch, its columns of a table, or a parameter of the model (a class token). The gradient of
``Σ_t c_t · token_t`` at a pixel, over that of ``Σ_t token_t``, is then the code ``c_t`` of the token that the pixel
goes to. Windows, shifts, the merging of patches, class and register tokens and the order of the inputs all come out
of that, with no list of architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.engine.attention import LOOKED_FOR, Use, watch
from pellucid.engine.counts import Counts
from pellucid.engine.layers import tap
from pellucid.engine.places import pieces, stretched, whole
from pellucid.engine.sources import Local, Reader, Seen
from pellucid.errors import UsageError


@dataclass(frozen=True, eq=False)
class Side:
    """The tokens that ask (rows) or are asked (columns).

    Attributes:
        ids: ``(W, N)`` numbers of the tokens in W windows.
        places: input name to the token of each pixel or column, −1 where there is none.
    """

    ids: Tensor
    places: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Site:
    """A place in the model where attention happens.

    Attributes:
        name: of the module; ``name#1`` is its second time.
        windows: W, matrices side by side; 1 but for windowed attention.
        heads: H.
        rows: who asks.
        columns: who is asked.
        births: ``(child, parent, share)`` of tokens that come up here and stand for the place of earlier ones, as
            after the merging of patches: the share of the child in each parent; sums to 1 per child.
    """

    name: str
    windows: int
    heads: int
    rows: Side
    columns: Side
    births: tuple[Tensor, Tensor, Tensor]


@dataclass(eq=False)
class Layout:
    """All attention of a model on inputs of one shape.

    Attributes:
        sites: in the order in which they run.
        count: of tokens.
        free: ``(count,)``, tokens that stand for no place in the input: class tokens, registers, padding.
        first: input name to its finest tokens, those that come first; pixel to token.
        last: the same of those that come last.
        skipped: names of the places whose tokens could not be told.
    """

    sites: list[Site] = field(default_factory=list)
    count: int = 0
    free: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    first: dict[str, Tensor] = field(default_factory=dict)
    last: dict[str, Tensor] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def probe(
    module: nn.Module, run: Callable[[], Tensor], leaves: dict[str, Tensor], name: str,
    grid: tuple[int, ...] | None = None, prefix: int | None = None,
) -> Layout:  # fmt: skip
    """The layout of a model, from one pass of one case.

    Args:
        module: the model.
        run: makes one forward pass.
        leaves: the inputs of one case, ``(1, …)``, which require gradients.
        name: of the model, for messages.
        grid: of the patches, where the caller knows better.
        prefix: number of tokens before the patches, likewise.

    Raises:
        UsageError: no attention, or its tokens cannot be told.
    """
    parameters = _token_parameters(module)
    images = [k for k, v in leaves.items() if v.ndim > 2]
    if (grid is not None or prefix is not None) and len(images) != 1:
        raise UsageError(f"grid and prefix are for models with one picture; {name} has {len(images)}")
    try:
        for p in parameters.values():
            p.requires_grad_(True)
        seen = _silent_pass(module, run)
        if not seen:
            raise UsageError(
                f"{name} has no attention that could be seen: looked for {LOOKED_FOR}; use a method of another family"
            )
        return _Builder(leaves, parameters, name, grid, prefix).build(seen)
    finally:
        for p in parameters.values():
            p.requires_grad_(False)


def _token_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that may be tokens: ``(…, D)``, no weights of an ordinary layer."""
    holders = (nn.Embedding, nn.ParameterList, nn.ParameterDict)
    return {
        f"{at}.{n}": p
        for at, m in module.named_modules()
        if isinstance(m, holders) or not type(m).__module__.startswith("torch.nn.")
        for n, p in m.named_parameters(recurse=False)
        if p.ndim > 1 and p.is_floating_point()
    }


def _silent_pass(module: nn.Module, run: Callable[[], Tensor]) -> list[Seen]:
    seen: list[Seen] = []
    maps: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, Tensor] = {}

    def note(name: str, out: Tensor) -> None:
        if out.ndim > 3 and len(out) == 1 and prod(out.shape[2:]) > 1:
            maps[name], outputs[name] = tuple(out.shape[2:]), out

    def silence(use: Use) -> Tensor:
        lead = tuple(use.matrix.shape[:-2])
        values = use.values.expand(*lead, *use.values.shape[-2:])
        seen.append(Seen(use.name, lead, use.scores, values, dict(maps), dict(outputs)))
        return torch.zeros_like(use.matrix)

    with torch.enable_grad(), tap(module, note), watch(module, silence):
        run()
    return seen


class _Builder:
    """Names the tokens from site to site, so that the same token has the same number everywhere."""

    def __init__(
        self, leaves: dict[str, Tensor], parameters: dict[str, nn.Parameter], name: str,
        grid: tuple[int, ...] | None, prefix: int | None,
    ) -> None:  # fmt: skip
        self.leaves, self.name, self.grid, self.prefix = leaves, name, grid, prefix
        self.reader, self.counts = Reader(leaves, parameters), Counts(leaves, name, grid, prefix)
        self.numbers: dict[Any, int] = {}
        self.free: list[bool] = []
        self.earlier: dict[tuple[int, int], Side] = {}
        self.layout = Layout()
        self.newest = -1

    def build(self, seen: Sequence[Seen]) -> Layout:
        """One site after the other."""
        why = ""
        for number, use in enumerate(seen):
            windows, columns = self.reader.columns(use)
            rows = self.reader.rows(use, windows, columns)
            if len(self.leaves) > 1 and (columns.mixed or rows.mixed):
                columns, rows = self._behind(use, windows, columns, rows)
            m, n = use.values.shape[-2], use.scores.shape[-2]
            told = [
                self._told(number, use, side, windows, count, kind)
                for side, count, kind in ((columns, m, "columns"), (rows, n, "rows"))
            ]
            if told[0] is None or told[1] is None:
                self.layout.skipped.append(use.name)
                why = why or self.counts.why(use, windows)
                continue
            heads = prod(use.lead) // windows
            births = self._born(told[0], told[1])
            self.layout.sites.append(Site(use.name, windows, heads, told[1], told[0], births))
        if not self.layout.first:
            raise UsageError(why or f"{self.name} has attention ({seen[0].name}), but no input reaches it")
        if self.grid is not None and not self.counts.fits:
            lengths = sorted({u.values.shape[-2] for u in seen})
            raise UsageError(
                f"grid={self.grid} with prefix={self.prefix}: no attention of {self.name} has that many tokens; "
                f"numbers seen: {', '.join(map(str, lengths))}"
            )
        self.layout.count = len(self.free)
        self.layout.free = torch.tensor(self.free)
        return self.layout

    def _behind(self, use: Seen, windows: int, columns: Local, rows: Local) -> tuple[Local, Local]:
        """The two sides as encoders' last maps tell them, where the pixels themselves cannot."""
        mixed = {n for n in columns.mixed | rows.mixed if self.leaves[n].ndim > 2}
        reader: Reader | None = self.reader
        for name in sorted(mixed):
            reader = None if reader is None else reader.behind(use, name)
        if reader is None or not mixed:
            return columns, rows
        found = reader.columns(use)[1]
        sides = found, reader.rows(use, windows, found)
        for side in sides:
            for name in mixed & set(side.places):
                side.places[name] = stretched(side.places[name], self.leaves[name].shape[2:])
        return sides

    def _told(
        self, number: int, use: Seen, local: Local, windows: int, count: int, kind: str
    ) -> Side | None:
        """The side with its tokens' numbers, or None where they cannot be told."""
        images = [k for k, v in self.leaves.items() if v.ndim > 2]
        if windows == 1 and len(images) == 1 and (self.grid is not None or self.prefix is not None):
            given = self.counts.given(use, images[0], count)
            if given is not None:
                local.places[images[0]] = given
                local.mixed.discard(images[0])
        known = self.earlier.get((windows, count))
        empty = not local.places and not local.named
        if (local.mixed or empty) and known is not None:
            return known
        if local.mixed:
            counted = self.counts.counted(use, images, count) if windows == 1 and local.mixed == set(images) else None
            if counted is None:
                return None
            local.places[images[0]] = counted
        local.places = {k: whole(p) if p.ndim > 1 else p for k, p in local.places.items()}
        keys = self._keys(number, local, windows, count, kind)
        ids = torch.tensor([self._number(k) for k in keys])
        places = {k: torch.where(p >= 0, ids[p.clamp(min=0)], -1) for k, p in local.places.items()}
        side = Side(ids.view(windows, count), places)
        self.earlier[windows, count] = side
        return side

    def _keys(self, number: int, local: Local, windows: int, count: int, kind: str) -> list[Any]:
        """What names each token: its places in the inputs, else its parameter, else its place in the sequence."""
        parts: list[list[Any]] = [[] for _ in range(windows * count)]
        for name, place in local.places.items():
            for token, piece in pieces(place).items():
                parts[token].append((name, piece))
        keys: list[Any] = []
        free = 0
        for token, covered in enumerate(parts):
            if covered:
                keys.append(tuple(covered))
            elif token in local.named:
                keys.append(("parameter", *local.named[token]))
            elif windows == 1:
                keys.append(("free", free))
                free += 1
            else:
                keys.append(("free", number, kind, token))
        return keys

    def _number(self, key: Any) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.free.append(isinstance(key[0], str))
        return self.numbers[key]

    def _born(self, *sides: Side) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens that stand where others stood before, and the shares of those; keeps the books on both."""
        child, parent, share = [], [], []
        for side in sides:
            for name, place in side.places.items():
                before = self.layout.last.get(name)
                if before is None:
                    self.layout.first[name] = self.layout.last[name] = place
                    continue
                both = (place >= 0) & (before >= 0) & (place != before) & (place > self.newest)
                pairs, size = torch.unique(torch.stack([place[both], before[both]]), dim=1, return_counts=True)
                child.append(pairs[0])
                parent.append(pairs[1])
                share.append(size.double())
                self.layout.last[name] = torch.where(place >= 0, place, before)
                first = self.layout.first[name]
                self.layout.first[name] = torch.where(first >= 0, first, place)
        self.newest = len(self.free) - 1
        if not child:
            none = torch.zeros(0, dtype=torch.int64)
            return none, none, none.double()
        c, p, s = torch.cat(child), torch.cat(parent), torch.cat(share)
        total = torch.zeros(len(self.free), dtype=s.dtype).index_add_(0, c, s)
        return c, p, s / total[c]
