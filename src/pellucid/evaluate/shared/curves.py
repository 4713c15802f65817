"""Deletion and insertion curves: what the model says as the picture is taken away, and as it comes back.

Units (pixels, by default) of all image inputs are ranked once per map, jointly; all channels of a pixel go together
and tables stay as they are. Pixels of an image for which the method made no map come last. Ties are broken by one
seeded permutation for all maps, so that a flat map is at chance instead of in raster order.

Every metric of ranked pixels reads this one pair: to take away the *least* relevant first is insertion backwards, and
to build the picture up from them is deletion backwards (:meth:`Curves.least_first`).

A signed map is ranked by value, supporting pixels first. Where a score or a region's logit is *lower* than with the
picture filled, what moved it is the negative part, so there the signed map is ranked the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.evaluate.maths import check_fits, heat
from pellucid.evaluate.shared.plan import unit_means
from pellucid.evaluate.shared.scorer import Scorer
from pellucid.evaluate.undefined import Undefined

Scale = Literal["auto", "probability", "normalised"]
SCALES = ("auto", "probability", "normalised")
STILL = 1e-6  # of a probability, in single precision
TINY, FLOOR = 1e-5, 1e-2  # differences under TINY of a score (of FLOOR, if it is smaller) are rounding


@dataclass(frozen=True, eq=False)
class Curves:
    """One map's curves.

    Attributes:
        fraction: ``(T + 1,)`` share of the pixels removed (deletion) or brought back (insertion), from 0 to 1.
        deletion, insertion: ``(T + 1,)`` the explained scalar, in its own unit.
        probability: ``(2, T + 1)`` of the explained class, deletion then insertion; None unless a classification.
    """

    fraction: Tensor
    deletion: Tensor
    insertion: Tensor
    probability: Tensor | None = None

    def on(self, scale: Scale = "auto", *, cut: bool = True) -> tuple[Tensor, Tensor]:
        """Deletion and insertion on a scale that can be compared across cases.

        ``"probability"``: of the explained class, in [0, 1], as in the original (petsiuk2018rise); it needs no
        division, so it exists for every case in which it moves at all. ``"normalised"``:
        ``(s − f(fill)) / (f(x) − f(fill))``, 1 for the picture and 0 for the fill; a regression's score and a sum of
        logits have units of their own, and without it one large organ or one old patient would outweigh the rest. It
        is cut off at 0 and 1: a half-empty picture on which the model says more than on the picture itself, as
        speckled ones often do, is no better evidence. With ``cut=False`` it is not, for what asks of the steps of a
        curve whether they rise. ``"auto"``: the probability for a classification, normalised otherwise.

        Raises:
            Undefined: a probability of something that has none, or that is the same all along; a picture that says no
                more than its fill.
        """
        if scale == "probability" or (scale == "auto" and self.probability is not None):
            if self.probability is None:
                raise Undefined("only a classification has the probability of a class; use on='normalised'")
            check_moves(self.probability)
            return self.probability[0], self.probability[1]
        whole, empty = float(self.deletion[0]), float(self.insertion[0])
        gap(whole, empty, classify=self.probability is not None)
        return normalised(self.deletion, whole, empty, cut=cut), normalised(self.insertion, whole, empty, cut=cut)

    @property
    def least_fraction(self) -> Tensor:
        """``(T + 1,)`` share of the pixels removed or brought back, the least relevant first."""
        return (1 - self.fraction).flip(0)

    def least_first(self, scale: Scale = "auto", *, cut: bool = True) -> tuple[Tensor, Tensor]:
        """The same two curves with the least relevant units first: taken away (LeRF), and brought back.

        Taking away the least relevant share q leaves the most relevant ``1 − q``: a point of the insertion curve. The
        shares are those of :attr:`least_fraction`.
        """
        deletion, insertion = self.on(scale, cut=cut)
        return insertion.flip(0), deletion.flip(0)


def flat(probability: Tensor) -> bool:
    """Whether probabilities are the same but for rounding."""
    return float(probability.max() - probability.min()) <= STILL


def check_moves(probability: Tensor) -> None:
    """Raise Undefined where the model gives the class one probability whatever is taken away.

    A curve that never moves would be a perfect score for what should not fall and the worst for what should.
    """
    if flat(probability):
        raise Undefined(
            f"the model gives the class the same probability ({float(probability.max()):.4g}) whatever is taken away: "
            "nothing to tell maps apart by; on='normalised' reads its score"
        )


def gap(whole: float, empty: float, *, classify: bool) -> float:
    """``f(x) − f(fill)``, by which a normalised score is divided.

    Raises:
        Undefined: a picture that says no more than its fill.
    """
    found = whole - empty
    if abs(found) <= TINY * max(FLOOR, abs(whole), abs(empty)):
        raise Undefined(f"the explained score is the same with the picture filled ({empty:.4g}): nothing to delete")
    if found < 0 and classify:
        raise Undefined(f"the fill speaks more for the class than the picture does ({empty:.4g} > {whole:.4g})")
    return found


def normalised(scores: Tensor, whole: float, empty: float, *, cut: bool = True) -> Tensor:
    """``(s − f(fill)) / (f(x) − f(fill))``, cut off at 0 and 1."""
    found = (scores - empty) / (whole - empty)
    return found.clamp(0, 1) if cut else found


def area(fraction: Tensor, values: Tensor) -> float:
    """Area under a curve by the trapezoid rule."""
    return float(torch.trapezoid(values, fraction))


def between(curves: Curves, scale: Scale = "auto") -> float:
    """The area between the curves of least and of most relevant units first taken away (ABPC).

    Raises:
        Undefined: the curves have no such scale.
    """
    lerf = area(curves.least_fraction, curves.least_first(scale)[0])
    return lerf - area(curves.fraction, curves.on(scale)[0])


def curves(
    scorer: Scorer, maps: Sequence[Attribution], columns: Sequence[int], filled: dict[str, Tensor],
    ends: Callable[[], Tensor], units: Tensor, steps: int, seed: int,
) -> list[Curves | Undefined]:  # fmt: skip
    """The curves of all maps of one case, in shared batches: ``m · 2(steps − 1)`` forwards for m different rankings.

    Args:
        scorer: of the case.
        maps: of the case.
        columns: of each map, the place of its target in the scorer.
        filled: stand-in of every input, ``(1, …)``.
        ends: gives the scores of the case as it is, and filled, ``(2, columns of the scorer)``.
        units: ``(N,)`` of all pixels, see :meth:`Plan.units`.
        steps: T, at most; the curves have T + 1 points, or one for each unit if there are fewer.
        seed: of the order of tied units.

    Returns:
        Of each map its curves, or why it has none.
    """
    found: dict[int, Curves | Undefined] = {}
    ranked: dict[int, Tensor] = {}
    count = int(units.max()) + 1 if len(units) else 0
    permutation = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    for i, a in enumerate(maps):
        try:
            values, known = evidence_for(scorer, a, columns[i], ends)
        except Undefined as reason:
            found[i] = reason.bare()
            continue
        strength, there = unit_means(values, units), unit_means(known, units) > 0
        ranked[i] = ranks(torch.where(there, strength, torch.full_like(strength, -torch.inf)), permutation)[units]
    if count == 1:
        found |= {i: Undefined("the pictures are one part only: there is no order to take it away in") for i in ranked}
    elif ranked:
        steps = min(steps, count)
        counts = (torch.arange(steps + 1).double() * count / steps).round().long()
        for i, (deletion, insertion) in _runs(scorer, ranked, counts, filled).items():
            found[i] = _curves(
                scorer, counts.double() / count, torch.cat([ends()[:1], deletion, ends()[1:]]),
                torch.cat([ends()[1:], insertion, ends()[:1]]), columns[i],
            )  # fmt: skip
    return [found[i] for i in range(len(maps))]


def evidence_for(
    scorer: Scorer, a: Attribution, column: int, ends: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """``(N,)`` how much each pixel speaks for what moved the score, and whether the method gave it a value.

    A signed map is turned round where a score or a region's logit is lower than with the picture filled.

    Raises:
        Undefined: see :meth:`Scorer.join`.
    """
    check_fits(a, scorer.problem.cases[0])
    values, known = scorer.join(heat(a), a.method)
    if a.signed and not scorer.classify:
        whole, empty = ends()[:, column].tolist()
        if whole < empty:
            values = -values
    return values, known


def ranks(values: Tensor, permutation: Tensor) -> Tensor:
    """Place of each unit, 0 for the largest value; ties in the order of the permutation."""
    found = torch.empty(len(values), dtype=torch.int32)
    order = permutation[values[permutation].argsort(descending=True, stable=True)]
    found[order] = torch.arange(len(values), dtype=torch.int32)
    return found


def _runs(
    scorer: Scorer, ranked: dict[int, Tensor], counts: Tensor, filled: dict[str, Tensor]
) -> dict[int, tuple[Tensor, Tensor]]:
    """Scores of the inner points of both curves; equal rankings (one map, several targets) are run once."""
    keys = {i: r.numpy().tobytes() for i, r in ranked.items()}
    first = {key: i for i, key in reversed(keys.items())}
    place = {key: n for n, key in enumerate(first)}
    device = scorer.problem.engine.device
    places = torch.stack([ranked[i] for i in first.values()]).to(device)
    inner = counts[1:-1]
    which = torch.arange(len(places)).repeat_interleave(2 * len(inner)).to(device)
    insert = torch.tensor([False, True]).repeat_interleave(len(inner)).repeat(len(places)).to(device)
    count = inner.repeat(2 * len(places)).to(device)

    def keep(index: Tensor) -> Tensor:
        index = index.to(device)
        return (places[which[index]] < count[index, None]) == insert[index, None]

    scores = scorer.run(len(which), scorer.blend(keep, filled)).view(len(places), 2, len(inner), -1)
    return {i: (scores[place[key], 0], scores[place[key], 1]) for i, key in keys.items()}


def _curves(scorer: Scorer, fraction: Tensor, deletion: Tensor, insertion: Tensor, column: int) -> Curves:
    (out, p_out), (back, p_back) = scorer.pick(deletion, column), scorer.pick(insertion, column)
    probability = None if p_out is None or p_back is None else torch.stack([p_out, p_back])
    return Curves(fraction, out, back, probability)
