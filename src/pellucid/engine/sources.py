"""What the tokens of a silenced attention depend on: one side of it at a time, by gradients of coded sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.engine.places import CLEAN, DIGIT, channels, decode


@dataclass(frozen=True, eq=False)
class Seen:
    """A use of attention in the silent pass, and the spatial maps that came before it."""

    name: str
    lead: tuple[int, ...]
    scores: Tensor
    values: Tensor
    maps: dict[str, tuple[int, ...]]
    outputs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(eq=False)
class Local:
    """One side of a site, tokens numbered from 0: the token of each pixel, and the parameter that a token is."""

    places: dict[str, Tensor]
    named: dict[int, tuple[str, int]]
    mixed: set[str]

    def known(self) -> set[int]:
        """The tokens that stand for a pixel or a column, and, as negative numbers, those that are a parameter alone."""
        placed = set().union(*(p[p >= 0].unique().tolist() for p in self.places.values()))
        return placed | {-1 - t for t in self.named if t not in placed}


class Reader:
    """Reads the tokens of the attentions of one silent pass.

    Args:
        leaves: the inputs of one case, ``(1, …)``, which require gradients.
        parameters: those that may be tokens, which require them too.
    """

    def __init__(self, leaves: dict[str, Tensor], parameters: dict[str, nn.Parameter]) -> None:
        self.leaves, self.parameters = leaves, parameters
        self.splits: dict[Any, tuple[int, int]] = {}

    def columns(self, use: Seen) -> tuple[int, Local]:
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

    def rows(self, use: Seen, windows: int, columns: Local) -> Local:
        """By the scores of one column; its own token, and all if its key is zero, by those of another one."""
        n, m = use.scores.shape[-2:]
        s = use.scores.reshape(windows, -1, n, m)
        g = torch.Generator().manual_seed(1)
        weigh = torch.rand(s.shape[1], generator=g).to(s) + 0.5
        picked = list(dict.fromkeys([0, m - 1, m // 2]))
        spoilt = [{k: p % m == j for k, p in columns.places.items()} if m > 1 else None for j in picked]
        sums = [torch.einsum("whn,h->wn", s[..., j], weigh) for j in picked]
        return self._read(sums, spoilt, enough=columns.known() if n == m else None)

    def behind(self, use: Seen, name: str) -> Reader | None:
        """A reader that sees the last spatial map of picture ``name`` in the picture's place.

        An encoder's pixels enter several tokens, where each place of its last map goes to one: the last of the maps
        that come from this input alone and that the tokens depend on. None if there is none.
        """
        others = [v for k, v in self.leaves.items() if k != name]
        for out in reversed(list(use.outputs.values())):
            if out.grad_fn is None or out.ndim != self.leaves[name].ndim:
                continue
            asked = use.values.sum() + use.scores.sum()
            if torch.autograd.grad(asked, [out], retain_graph=True, allow_unused=True)[0] is None:
                continue
            mine, *rest = torch.autograd.grad(
                out.sum(), [self.leaves[name], *others], retain_graph=True, allow_unused=True
            )
            if mine is not None and all(g is None for g in rest):
                return Reader(self.leaves | {name: out}, self.parameters)
        return None

    def _read(
        self, sums: list[Tensor], spoilt: Sequence[dict[str, Tensor] | None], enough: set[int] | None = None
    ) -> Local:
        """The token ``w · N + i`` that each pixel goes to, from one scalar ``(W, N)`` per token.

        Where the first sums leave a pixel unclear, or ``spoilt`` says that they would, the next ones are asked, until
        the tokens in ``enough`` are all found.
        """
        names, holders = [*self.leaves, *self.parameters], [*self.leaves.values(), *self.parameters.values()]
        out = Local({}, {}, set())
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
        self, out: Local, energy: dict[str, Tensor], name: str, label: Tensor, power: Tensor, clear: Tensor
    ) -> None:
        if float(power.max()) == 0:
            return
        leaf = self.leaves[name]
        old = out.places.get(name)
        new = torch.where(clear, label, -1).cpu().view(leaf.shape[2:] if leaf.ndim > 2 else leaf.shape[1:])
        out.places[name] = new if old is None else torch.where(old >= 0, old, new)
        energy[name] = power if name not in energy else torch.maximum(energy[name], power)
