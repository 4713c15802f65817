"""The picture seen through its own map: ``x ∘ Â + fill ∘ (1 − Â)``, ``Â`` the map's positive part from 0 to 1.

The originals multiply the picture by the map, which makes what is masked zero; after normalisation zero is a grey or a
tissue, so that here it is blended into the fill. ``Â`` of several pictures has one minimum and one maximum; a picture
that the method made no map of is filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.evaluate.maths import pearson
from pellucid.evaluate.shared.curves import Curves, evidence_for
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


@dataclass(frozen=True, eq=False)
class Seen:
    """One map's masked picture.

    Attributes:
        weight: ``(N,)`` ``Â`` of all pixels, from 0 to 1.
        curve: its deletion is the model's answer on the picture, on the masked one and on the fill.
    """

    weight: Tensor
    curve: Curves

    @property
    def complexity(self) -> float:
        """Mean of ``Â``, in (0, 1): its L1 norm over the number of pixels."""
        return float(self.weight.mean())


def seen(evidence: Evidence, fill: Fill | None = None) -> list[Seen | Undefined]:
    """The masked picture of every map, in full batches, once: one forward for each map, and both ends."""
    fill = fill or evidence.fill
    return evidence.once(("seen", fill), lambda: _seen(evidence, fill))


def coherency(evidence: Evidence, place: int, fill: Fill | None = None) -> float:
    """How alike the map of the picture and that of the masked picture are: ``(Pearson's r + 1) / 2``, in [0, 1].

    Of their positive parts, as the map is a mask. One more explanation for each map.

    Raises:
        Undefined: a map without a positive part, or that is the same everywhere; a method that cannot be repeated.
    """
    fill = fill or evidence.fill
    found = seen(evidence, fill)[place]
    if isinstance(found, Undefined):
        raise found.bare()
    (again,) = evidence.remade(("seen", fill), place, evidence.engine, [_case(evidence, found.weight, fill)])
    ends = lambda: evidence.ends(fill)  # noqa: E731
    values, _ = evidence_for(evidence.scorer, again, evidence.column(place), ends)
    return (pearson(found.weight, values.clamp(min=0)) + 1) / 2


def _seen(evidence: Evidence, fill: Fill) -> list[Seen | Undefined]:
    scorer, columns = evidence.scorer, evidence.columns
    found: dict[int, Seen | Undefined] = {}
    weights: dict[int, Tensor] = {}
    for i, a in enumerate(evidence.maps):
        try:
            weights[i] = _weight(evidence_for(scorer, a, columns[i], lambda: evidence.ends(fill))[0])
        except Undefined as reason:
            found[i] = reason.bare()
    if weights:
        stacked = torch.stack(list(weights.values()))
        scores = scorer.run(len(stacked), lambda index: _blended(evidence, stacked[index], fill))
        ends = evidence.ends(fill)
        for row, (i, weight) in zip(scores, weights.items()):
            answer, p = scorer.pick(torch.stack([ends[0], row, ends[1]]), columns[i])
            both = None if p is None else torch.stack([p, p.flip(0)])
            found[i] = Seen(weight, Curves(torch.tensor([0, 0.5, 1]).double(), answer, answer.flip(0), both))
    return [found[i] for i in range(len(evidence.maps))]


def _weight(values: Tensor) -> Tensor:
    positive = values.clamp(min=0)
    low, high = positive.min(), positive.max()
    if not high > 0:
        raise Undefined("the map has no positive value, so there is nothing to see through it")
    if not high > low:
        raise Undefined("the map is the same everywhere, so it masks nothing")
    return (positive - low) / (high - low)


def _blended(evidence: Evidence, weights: Tensor, fill: Fill) -> dict[str, Tensor]:
    """Copies of the case, one for each row of ``weights (b, N)``."""
    filled = evidence.filled_with(fill)
    found = {k: x.expand(len(weights), *x.shape[1:]).clone() for k, x in evidence.problem.inputs.items()}
    for name, part in evidence.scorer.split(weights).items():
        found[name] = torch.lerp(filled[name], found[name], part[:, None].to(found[name]))
    return found


def _case(evidence: Evidence, weight: Tensor, fill: Fill) -> Case:
    made = {k: v[0].cpu() for k, v in _blended(evidence, weight[None], fill).items() if k in evidence.scorer.images}
    return evidence.case.replace(inputs={**evidence.case.inputs, **made})
