"""The model's answers as pixels are removed by imputation, the most and the least relevant first (ROAD)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.evaluate.shared.curves import Scale, check_moves, evidence_for, flat, gap, normalised, ranks
from pellucid.evaluate.shared.impute import impute, neighbourhood
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


@dataclass(frozen=True, eq=False)
class Removal:
    """One map's answers with shares of the pixels imputed.

    Attributes:
        shares: of the pixels, P of them.
        most, least: ``(P,)`` the explained scalar with the most, and the least, relevant share imputed.
        probability: ``(2, P)`` of the explained class, most then least; None unless a classification.
    """

    shares: tuple[float, ...]
    most: Tensor
    least: Tensor
    probability: Tensor | None

    def on(self, scale: Scale, ends: Callable[[], tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor]:
        """Most and least relevant first, on a scale of :meth:`Curves.on`.

        Args:
            scale: which.
            ends: gives the scores ``(2,)`` of the case and of its fill and, for a classification, the probabilities;
                asked where they are needed.

        Raises:
            Undefined: a probability of something that has none; a picture that says no more than its fill.
        """
        if scale == "probability" or (scale == "auto" and self.probability is not None):
            if self.probability is None:
                raise Undefined("only a classification has the probability of a class; use on='normalised'")
            if flat(self.probability):
                _, p = ends()
                check_moves(self.probability if p is None else torch.cat([self.probability.flatten(), p]))
            return self.probability[0], self.probability[1]
        whole, empty = ends()[0].tolist()
        gap(whole, empty, classify=self.probability is not None)
        return normalised(self.most, whole, empty), normalised(self.least, whole, empty)


def removals(evidence: Evidence, shares: Sequence[float], noise: float) -> list[Removal | Undefined]:
    """The answers of all maps, in full batches: two forwards for each share and different ranking of the pixels, once.

    Args:
        evidence: of the case.
        shares: of the pixels of all images together; those that another metric asked for are there.
        noise: sd of what is added to imputed pixels, in units of the picture's range; drawn once for a case.
    """
    known: dict[float, tuple[list[Removal | Undefined], int]] = evidence.once(("removals", noise), dict)
    missing = tuple(q for q in dict.fromkeys(shares) if q not in known)
    if missing:
        made = _removals(evidence, missing, noise)
        known |= {q: (made, n) for n, q in enumerate(missing)}
    return [_joined(tuple(shares), [(known[q][0][i], known[q][1]) for q in shares]) for i in range(len(evidence.maps))]


def _joined(shares: tuple[float, ...], runs: list[tuple[Removal | Undefined, int]]) -> Removal | Undefined:
    """One map's answers at the shares, each from the run that it was part of."""
    parts: list[tuple[Removal, int]] = []
    for run, n in runs:
        if isinstance(run, Undefined):
            return run
        parts.append((run, n))
    p = [r.probability[:, n] for r, n in parts if r.probability is not None]
    return Removal(
        shares, torch.stack([r.most[n] for r, n in parts]), torch.stack([r.least[n] for r, n in parts]),
        torch.stack(p, 1) if p else None,
    )  # fmt: skip


def _removals(evidence: Evidence, shares: tuple[float, ...], noise: float) -> list[Removal | Undefined]:
    scorer, columns, p = evidence.scorer, evidence.columns, len(shares)
    if scorer.pixels == 1:
        return [Undefined("the picture is one pixel, which has no surroundings") for _ in evidence.maps]
    found: dict[int, Removal | Undefined] = {}
    ranked: dict[int, Tensor] = {}
    permutation = torch.randperm(scorer.pixels, generator=torch.Generator().manual_seed(evidence.seed))
    for i, a in enumerate(evidence.maps):
        try:
            values, known = evidence_for(scorer, a, columns[i], evidence.ends)
            ranked[i] = ranks(torch.where(known, values, torch.full_like(values, -torch.inf)), permutation)
        except Undefined as reason:
            found[i] = reason.bare()
    if ranked:
        keys = {i: r.numpy().tobytes() for i, r in ranked.items()}
        place = {key: n for n, key in enumerate(dict.fromkeys(keys.values()))}
        first = {place[key]: ranked[i] for i, key in reversed(keys.items())}
        places = torch.stack([first[n] for n in range(len(place))])
        scores = scorer.run(len(place) * 2 * p, _copies(evidence, places, shares, noise)).view(len(place), 2, p, -1)
        for i, key in keys.items():
            (most, p_most), (least, p_least) = (scorer.pick(scores[place[key], side], columns[i]) for side in (0, 1))
            both = None if p_most is None or p_least is None else torch.stack([p_most, p_least])
            found[i] = Removal(shares, most, least, both)
    return [found[i] for i in range(len(evidence.maps))]


def _copies(
    evidence: Evidence, places: Tensor, shares: tuple[float, ...], noise: float
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Copies by ranking, side (most, least) and share."""
    scorer, problem, n = evidence.scorer, evidence.problem, evidence.scorer.pixels
    counts = [min(max(round(q * n), 1), n - 1) for q in shares]
    pictures = {k: x[0].double().cpu().numpy() for k, x in scorer.images.items()}
    systems = {k: neighbourhood(x.shape[1:]) if x.ndim == 3 else None for k, x in pictures.items()}
    zero = torch.zeros(1, dtype=torch.long)
    grain = {
        k: (noise * problem.scale(k)[0] * problem.draw("normal", k, zero, zero, "road")[0]).double().cpu().numpy()
        for k in (pictures if noise else ())
    }

    def one(number: int) -> dict[str, Tensor]:
        ranking, rest = divmod(number, 2 * len(counts))
        side, share = divmod(rest, len(counts))
        gone = places[ranking] < counts[share] if side == 0 else places[ranking] >= n - counts[share]
        made = {}
        for name, removed in scorer.split(gone[None]).items():
            mask = removed[0].numpy()
            out = impute(pictures[name], mask, systems[name])
            made[name] = torch.from_numpy(out + grain[name] * mask if noise else out)
        return made

    def make(index: Tensor) -> dict[str, Tensor]:
        rows = [one(int(k)) for k in index]
        found = {name: x.expand(len(index), *x.shape[1:]).clone() for name, x in problem.inputs.items()}
        for name in pictures:
            found[name] = torch.stack([row[name] for row in rows]).to(found[name])
        return found

    return make
