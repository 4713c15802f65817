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
from pellucid.engine.layers import tap
from pellucid.engine.places import CLEAN, DIGIT, channels, decode, even, pieces, whole
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


@dataclass(frozen=True, eq=False)
class _Seen:
    """A use of attention in the silent pass, and the spatial maps that came before it."""

    name: str
    lead: tuple[int, ...]
    scores: Tensor
    values: Tensor
    maps: dict[str, tuple[int, ...]]


@dataclass(eq=False)
class _Local:
    """One side of a site, tokens numbered from 0: the token of each pixel, and the parameter that a token is."""

    places: dict[str, Tensor]
    named: dict[int, tuple[str, int]]
    mixed: set[str]

    def known(self) -> set[int]:
        """The tokens that stand for a pixel or a column, and, as negative numbers, those that are a parameter alone."""
        placed = set().union(*(p[p >= 0].unique().tolist() for p in self.places.values()))
        return placed | {-1 - t for t in self.named if t not in placed}


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


def _silent_pass(module: nn.Module, run: Callable[[], Tensor]) -> list[_Seen]:
    seen: list[_Seen] = []
    maps: dict[str, tuple[int, ...]] = {}

    def note(name: str, out: Tensor) -> None:
        if out.ndim > 3 and len(out) == 1 and prod(out.shape[2:]) > 1:
            maps[name] = tuple(out.shape[2:])

    def silence(use: Use) -> Tensor:
        lead = tuple(use.matrix.shape[:-2])
        values = use.values.expand(*lead, *use.values.shape[-2:])
        seen.append(_Seen(use.name, lead, use.scores, values, dict(maps)))
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
        self.leaves, self.parameters, self.name, self.grid, self.prefix = leaves, parameters, name, grid, prefix
        self.numbers: dict[Any, int] = {}
        self.free: list[bool] = []
        self.splits: dict[Any, tuple[int, int]] = {}
        self.earlier: dict[tuple[int, int], Side] = {}
        self.layout = Layout()
        self.newest = -1
        self.fits = False

    def build(self, seen: Sequence[_Seen]) -> Layout:
        """One site after the other."""
        why = ""
        for number, use in enumerate(seen):
            windows, columns = self._columns(use)
            rows = self._rows(use, windows, columns)
            m, n = use.values.shape[-2], use.scores.shape[-2]
            told = [
                self._told(number, use, side, windows, count, kind)
                for side, count, kind in ((columns, m, "columns"), (rows, n, "rows"))
            ]
            if told[0] is None or told[1] is None:
                self.layout.skipped.append(use.name)
                why = why or self._why(use, windows)
                continue
            heads = prod(use.lead) // windows
            births = self._born(told[0], told[1])
            self.layout.sites.append(Site(use.name, windows, heads, told[1], told[0], births))
        if not self.layout.first:
            raise UsageError(why or f"{self.name} has attention ({seen[0].name}), but no input reaches it")
        if self.grid is not None and not self.fits:
            lengths = sorted({u.values.shape[-2] for u in seen})
            raise UsageError(
                f"grid={self.grid} with prefix={self.prefix}: no attention of {self.name} has that many tokens; "
                f"numbers seen: {', '.join(map(str, lengths))}"
            )
        self.layout.count = len(self.free)
        self.layout.free = torch.tensor(self.free)
        return self.layout

    # -- what a side depends on ------------------------------------------------------------------------------

    def _columns(self, use: _Seen) -> tuple[int, _Local]:
        """By the values. An axis before the tokens is one of windows if its items come from different places."""
        total = prod(use.lead)
        ways = list(dict.fromkeys([(total, 1), (prod(use.lead[:-1]), use.lead[-1])])) if use.lead else [(1, 1)]
        key = (use.lead, use.scores.shape[-2:])
        if key in self.splits:
            ways = [self.splits[key]]
        for windows, heads in ways:
            v = use.values.reshape(windows, heads, *use.values.shape[-2:])
            g = torch.Generator().manual_seed(0)
            weigh = torch.rand(heads, v.shape[-1], generator=g).to(v) + 0.5
            found = self._read([torch.einsum("whmd,hd->wm", v, weigh)], [None])
            if not found.mixed and (found.places or found.named):
                break
        self.splits[key] = (windows, heads)
        return windows, found

    def _rows(self, use: _Seen, windows: int, columns: _Local) -> _Local:
        """By the scores of one column; its own token, and all if its key is zero, by those of another one."""
        n, m = use.scores.shape[-2:]
        s = use.scores.reshape(windows, -1, n, m)
        g = torch.Generator().manual_seed(1)
        weigh = torch.rand(s.shape[1], generator=g).to(s) + 0.5
        picked = list(dict.fromkeys([0, m - 1, m // 2]))
        spoilt = [{k: p % m == j for k, p in columns.places.items()} if m > 1 else None for j in picked]
        sums = [torch.einsum("whn,h->wn", s[..., j], weigh) for j in picked]
        return self._read(sums, spoilt, enough=columns.known() if n == m else None)

    def _read(
        self, sums: list[Tensor], spoilt: Sequence[dict[str, Tensor] | None], enough: set[int] | None = None
    ) -> _Local:
        """The token ``w · N + i`` that each pixel goes to, from one scalar ``(W, N)`` per token.

        Where the first sums leave a pixel unclear, or ``spoilt`` says that they would, the next ones are asked, until
        the tokens in ``enough`` are all found.
        """
        names, holders = [*self.leaves, *self.parameters], [*self.leaves.values(), *self.parameters.values()]
        out = _Local({}, {}, set())
        energy: dict[str, Tensor] = {}
        for z, bad in zip(sums, spoilt):
            if not z.requires_grad:
                continue
            if enough and out.known() >= enough:
                break
            flat = z.flatten()
            index = torch.arange(len(flat), device=flat.device)
            digits = 1
            while DIGIT**digits < len(flat):
                digits += 1
            codes = [torch.ones_like(flat), *((index // DIGIT**k % DIGIT).to(flat) for k in range(digits))]
            grads = [torch.autograd.grad(flat, holders, c, retain_graph=True, allow_unused=True) for c in codes]
            for at, (name, holder) in enumerate(zip(names, holders)):
                if grads[0][at] is None:
                    continue
                image = name in self.leaves
                parts = [channels(g[at], holder, image=image) for g in grads]
                label, power, clear = decode(parts)
                if image:
                    if bad is not None and name in bad:
                        fit = ~bad[name].flatten().to(clear.device)
                        power, clear = power * fit, clear & fit
                    self._note(out, energy, name, label, power, clear)
                else:
                    for row in clear.nonzero()[:, 0].tolist():
                        out.named.setdefault(int(label[row]), (name, row))
        for name, power in energy.items():
            lost = out.places[name].flatten() < 0
            if float(power[lost.to(power.device)].sum()) > CLEAN * float(power.sum()):
                out.mixed.add(name)
        return out

    def _note(
        self, out: _Local, energy: dict[str, Tensor], name: str, label: Tensor, power: Tensor, clear: Tensor
    ) -> None:
        if float(power.max()) == 0:
            return
        leaf = self.leaves[name]
        old = out.places.get(name)
        new = torch.where(clear, label, -1).cpu().view(leaf.shape[2:] if leaf.ndim > 2 else leaf.shape[1:])
        out.places[name] = new if old is None else torch.where(old >= 0, old, new)
        energy[name] = power if name not in energy else torch.maximum(energy[name], power)

    # -- the tokens' numbers ---------------------------------------------------------------------------------

    def _told(
        self, number: int, use: _Seen, local: _Local, windows: int, count: int, kind: str
    ) -> Side | None:
        """The side with its tokens' numbers, or None where they cannot be told."""
        images = [k for k, v in self.leaves.items() if v.ndim > 2]
        if windows == 1 and len(images) == 1 and (self.grid is not None or self.prefix is not None):
            given = self._given(use, images[0], count)
            if given is not None:
                local.places[images[0]] = given
                local.mixed.discard(images[0])
        known = self.earlier.get((windows, count))
        empty = not local.places and not local.named
        if (local.mixed or empty) and known is not None:
            return known
        if local.mixed:
            counted = self._counted(use, images, count) if windows == 1 and local.mixed == set(images) else None
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

    def _keys(self, number: int, local: _Local, windows: int, count: int, kind: str) -> list[Any]:
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

    # -- where the gradient cannot tell ----------------------------------------------------------------------

    def _given(self, use: _Seen, name: str, count: int) -> Tensor | None:
        """The places by the caller's word, if the number of tokens fits."""
        grid, prefix = self.grid, self.prefix
        if grid is not None:
            axes = self.leaves[name].ndim - 2
            if len(grid) != axes:
                raise UsageError(f"grid={grid} has {len(grid)} axes, input {name!r} has {axes}")
            before = count - prod(grid) if prefix is None else prefix
            if before < 0 or before + prod(grid) != count:
                return None
            self.fits = True
            return even(self.leaves[name].shape[2:], grid, before)
        assert prefix is not None
        ways = {g for g in self._grids(use, name) if prod(g) == count - prefix}
        if len(ways) > 1:
            raise self._ambiguous(use, name, count, [(prefix, g) for g in ways])
        return even(self.leaves[name].shape[2:], next(iter(ways)), prefix) if ways else None

    def _counted(self, use: _Seen, images: list[str], count: int) -> Tensor | None:
        """The places by the number of tokens, where just one spatial map fits it."""
        if len(images) != 1:
            return None
        ways = {(count - prod(g), g) for g in self._grids(use, images[0]) if 0 <= count - prod(g) <= 8}
        if len(ways) > 1:
            raise self._ambiguous(use, images[0], count, sorted(ways))
        if not ways:
            return None
        ((before, grid),) = ways
        return even(self.leaves[images[0]].shape[2:], grid, before)

    def _grids(self, use: _Seen, name: str) -> set[tuple[int, ...]]:
        """The grids of the maps seen so far, and those of patches with equal sides."""
        shape = tuple(self.leaves[name].shape[2:])
        equal = {tuple(s // p for s in shape) for p in range(2, min(shape) + 1) if all(s % p == 0 for s in shape)}
        maps = {g for g in use.maps.values() if len(g) == len(shape)}
        return maps or equal

    def _ambiguous(self, use: _Seen, name: str, count: int, ways: Sequence[Any]) -> UsageError:
        text = " or ".join(f"grid={g} with prefix={p}" for p, g in ways)
        return UsageError(
            f"attention {use.name!r} has {count} tokens, which pixels of {name!r} they stand for is not clear: {text}? "
            "Give the options grid and prefix"
        )

    def _why(self, use: _Seen, windows: int) -> str:
        grids = sorted(set(use.maps.values()))
        count = use.values.shape[-2]
        return (
            f"attention {use.name!r} of {self.name} has {windows} x {count} tokens, but which pixels each stands for "
            "cannot be told: a pixel enters several of them; spatial maps before it: "
            f"{', '.join(map(str, grids)) or 'none'}; "
            "give the options grid=(…) and prefix=…, the tokens before the patches"
        )
